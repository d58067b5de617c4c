"""An input in words, and as what one types to see it again."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import BpfwrightError, Fault
from bpfwright.userspace.counterexamples.inputs import PACKETS, Input

if TYPE_CHECKING:
    from bpfwright.spec.objects import ObjectSpec
    from bpfwright.userspace.counterexamples.searching import Counterexample

__all__ = ["as_test", "described", "plain_fault"]

_SHOWN = 96  # bytes of one thing in a line


def described(given: Input, kind: int) -> list[str]:
    """An input of a program of bpf_prog_type `kind`, a line each."""
    lines = []
    if kind in PACKETS:
        lines.append(f"packet of {len(given.data)} bytes: {_hex(given.data)}")
    words = [f"{int.from_bytes(word, 'little'):#x} at {at}" for at, word in (
        (at, given.context[at:at + 8]) for at in range(0, len(given.context), 8)) if any(word)]
    if words:
        lines.append(f"context, in words of 64 bits: {', '.join(words)}; zeros otherwise")
    elif kind not in PACKETS:
        lines.append("context: zeros")
    for name, key, value in given.entries:
        lines.append(f"map {name}: [{key.hex(' ')}] = {_hex(value) if any(value) else 'zeros'}")
    if not given.entries:
        lines.append("maps: as they are after loading")
    for name, room in given.full:
        lines.append(f"map {name}: full" if not room else f"map {name}: with room for {room} more only")
    if given.socket:
        lines.append("look-ups of sockets find one")
    if given.lonely:
        lines.append("no task is found by its number")
    if given.cpu:
        lines.append(f"on CPU {given.cpu}")
    if given.memory:
        lines.append(f"memory that pointers lead to: {_hex(given.memory)}")
    if given.task:
        lines.append("current task: " + ", ".join(f"byte {at} is {value:#x}" for at, value in given.task))
    lines += [f"{_word_name(address)} is {value:#x}" for address, value in given.words]
    if given.random is not None:
        lines.append(f"the first random number is {given.random:#x}")
    return lines


def _hex(data: bytes) -> str:
    return data[:_SHOWN].hex(" ") + (f" ... ({len(data)} bytes)" if len(data) > _SHOWN else "")


def _word_name(address: int) -> str:
    from bpfwright.spec import page
    names = {page.CLOCK: "the clock", page.PID_TGID: "the pid and tgid", page.UID_GID: "the uid and gid",
             page.CGROUP: "the cgroup's id", page.SOCKET_COOKIE: "the socket's cookie", page.COMM: "the task's name",
             page.SOCKET_UID: "the socket's uid", page.ATTACH_COOKIE: "the attach cookie",
             page.RETVAL: "the return value so far", page.COMM + 8: "the rest of the task's name"}
    return names.get(address, f"the machine's word at {address:#x}")


def as_test(given: Input, file: str, program: str) -> str:
    """A test that fails as long as the program faults on this input."""
    shown = []
    for name, value in zip(Input._fields, given):
        if value != Input._field_defaults[name] and value != bytes(len(given.context)):
            shown.append(f"{name}=bytes.fromhex({value.hex()!r})" if isinstance(value, bytes) else f"{name}={value!r}")
    if given.context and not any(given.context):
        shown.append(f"context=bytes({len(given.context)})")
    return "\n".join((
        "from bpfwright.cli.test_run import object_of", "from bpfwright.userspace.counterexamples import Input, Runner",
        "", "", f"def test_{program}_does_not_fault() -> None:",
        f"    with Runner(object_of({file!r}, None), {program!r}) as runner:",
        f"        ran = runner.run(Input({', '.join(shown)}))",
        "        assert ran.fault is None, ran.fault"))


def plain_fault(spec: ObjectSpec, program: str, found: Counterexample) -> bool:
    """Whether an ordinary machine, as the debugger has it, faults on the packet alone."""
    from bpfwright.userspace.machine import Userspace
    given = found.given
    if given._replace(data=b"", context=b"") != Input() or any(given.context) or not given.data:
        return False
    try:
        with Userspace(engine="interpreter") as machine, machine.load(spec) as loaded:
            loaded.programs[program].test_run(given.data)
    except Fault as fault:
        return fault.instruction == found.fault.instruction
    except BpfwrightError:
        return False
    return False

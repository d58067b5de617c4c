"""Helpers whose effect lies outside of the machine: it is kept as a record. And stacks, which are given."""
from __future__ import annotations

from struct import pack

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.spec.page import PROGRAM
from bpfwright.maps.stores import stack_trace
from bpfwright.maps.stores._header import VALUE_SIZE
from bpfwright.spec import memory as dialect
from bpfwright.userspace.world import Redirect

if TYPE_CHECKING:
    from bpfwright.userspace.interpreter import Interpreter

__all__ = ["bind", "clone_redirect", "get_option", "get_stack", "get_stackid", "get_task_stack", "override_return",
           "note_redirect", "send_signal", "send_signal_thread", "set_option"]

_EFAULT, _EINVAL = -14, -22
_SKIP, _USER, _FAST_COMPARE, _REUSE, _BUILD_ID = 0xFF, 1 << 8, 1 << 9, 1 << 10, 1 << 11
_MOST_SIGNALS = 64
_INET, _INET6 = 2, 10


def clone_redirect(interpreter: Interpreter, r: list[int]) -> int:
    """Send a copy of the packet as it is now."""
    if r[3] & ~1:
        return _EINVAL
    start, end = dialect.load32(r[1] + 76), dialect.load32(r[1] + 80)
    data = bytes(interpreter.arena.memory[start:end])
    interpreter.host.machine.redirects.append(Redirect("clone_redirect", r[2] & 0xFFFFFFFF, r[3], "", data))
    return 0


def _signal(interpreter: Interpreter, r: list[int], whole: bool) -> int:
    number = r[1] & 0xFFFFFFFF
    if number > _MOST_SIGNALS:
        return _EINVAL
    interpreter.host.machine.signals.append((number, whole))
    return 0


def send_signal(interpreter: Interpreter, r: list[int]) -> int:
    """To the process."""
    return _signal(interpreter, r, True)


def send_signal_thread(interpreter: Interpreter, r: list[int]) -> int:
    """To the thread."""
    return _signal(interpreter, r, False)


def override_return(interpreter: Interpreter, r: list[int]) -> int:
    """What the probed function would return."""
    interpreter.host.machine.overridden.append(r[2] - (1 << 64) if r[2] >> 63 else r[2])
    return 0


def bind(interpreter: Interpreter, r: list[int]) -> int:
    """A struct sockaddr: of IPv4 or IPv6, with port 0 or another."""
    size = r[3] & 0xFFFFFFFF
    family = dialect.load16(r[2]) if size >= 2 else 0
    if (family, size >= 16) != (_INET, True) and (family, size >= 28) != (_INET6, True):
        return _EINVAL
    interpreter.host.machine.bound.append(bytes(interpreter.arena.memory[r[2]:r[2] + size]))
    return 0


def set_option(interpreter: Interpreter, r: list[int]) -> int:
    """bpf_setsockopt(): kept."""
    size = r[5] & 0xFFFFFFFF
    if not size:
        return _EINVAL
    value = bytes(interpreter.arena.memory[r[4]:r[4] + size])
    interpreter.host.machine.options.append((r[2] & 0xFFFFFFFF, r[3] & 0xFFFFFFFF, value))
    return 0


def get_option(interpreter: Interpreter, r: list[int]) -> int:
    """bpf_getsockopt(): what was set last; -EINVAL and zeros when nothing was."""
    size = r[5] & 0xFFFFFFFF
    wanted = r[2] & 0xFFFFFFFF, r[3] & 0xFFFFFFFF
    found = next((v for *which, v in reversed(interpreter.host.machine.options) if tuple(which) == wanted), None)
    interpreter.arena.memory[r[4]:r[4] + size] = (found or b"")[:size].ljust(size, b"\0")
    return 0 if found is not None else _EINVAL


def _frames(machine: Any, flags: int) -> bytes:
    given = machine.user_stack if flags & _USER else machine.kernel_stack
    return b"".join(pack("<Q", address) for address in list(given)[flags & _SKIP:])


def get_stackid(interpreter: Interpreter, r: list[int]) -> int:
    """The number of the present stack in a stack trace map."""
    flags = r[3]
    if flags & ~(_SKIP | _USER | _FAST_COMPARE | _REUSE):
        return _EINVAL
    words = _frames(interpreter.host.machine, flags)[:dialect.load32(r[2] + VALUE_SIZE)]
    if not words:
        return _EFAULT
    arena = interpreter.arena
    place = arena.allocate(len(words) + 8, owned=False)
    try:
        arena.memory[place:place + len(words)] = words
        return int(stack_trace.put(r[2], place, len(words), flags))
    finally:
        arena.release(place)


def _copy_stack(interpreter: Interpreter, to: int, size: int, flags: int) -> int:
    size &= 0xFFFFFFFF
    if flags & ~(_SKIP | _USER | _BUILD_ID) or flags & _BUILD_ID or size % 8:
        return _EINVAL
    words = _frames(interpreter.host.machine, flags)[:size]
    interpreter.arena.memory[to:to + size] = words.ljust(size, b"\0")
    return len(words) or _EFAULT


def get_stack(interpreter: Interpreter, r: list[int]) -> int:
    """The present stack's addresses; how many bytes they are."""
    return _copy_stack(interpreter, r[2], r[3], r[4])


def get_task_stack(interpreter: Interpreter, r: list[int]) -> int:
    """Every task is the present one."""
    return _copy_stack(interpreter, r[2], r[3], r[4])


def note_redirect(machine: Any, value: int) -> None:
    """After a run: where its packet went, if its value says that it did."""
    from bpfwright._abi.helpers import HELPER_NAMES
    from bpfwright.spec.page import REDIRECT, REDIRECT_FLAGS, REDIRECT_MAP
    way, target = dialect.load32(REDIRECT), dialect.load32(REDIRECT + 4)
    if way and value == (4 if dialect.load32(PROGRAM) == 6 else 7):
        address = dialect.load64(REDIRECT_MAP)
        name = next((t.spec.name for t in machine.things() if address and getattr(t, "address", 0) == address), "")
        machine.redirects.append(Redirect(HELPER_NAMES[way], target, dialect.load64(REDIRECT_FLAGS), name))
    dialect.store64(REDIRECT, 0)

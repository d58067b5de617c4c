"""Run one program on the packets of a capture and say what it did to them, without an interface and without traffic.

The userspace machine needs neither a kernel nor privilege; --machine kernel runs the same packets through
BPF_PROG_TEST_RUN. pcap and pcapng are read; --out writes what the program let pass, as it left it, with the times of
the input. Maps keep what they hold from packet to packet; --maps prints them afterwards, on stderr.
"""
from __future__ import annotations

import sys

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.cli.output import Cell, Column, add_options, write
from bpfwright.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from bpfwright.spec.objects import ObjectSpec

__all__ = ["EXAMPLES", "arguments", "file_of", "object_of", "run"]

EXAMPLES = (
    "bpfwright test-run firewall.py --in traffic.pcap                what became of each packet, by action",
    "bpfwright test-run nat.bpf.o xdp_nat --in a.pcap --out b.pcap   what came out of it",
    "bpfwright test-run firewall.py --in a.pcap --machine kernel      the same in the kernel, as root",
)

_ACTIONS = {
    6: {0: "ABORTED", 1: "DROP", 2: "PASS", 3: "TX", 4: "REDIRECT"},
    3: {-1: "UNSPEC", 0: "OK", 1: "RECLASSIFY", 2: "SHOT", 3: "PIPE", 4: "STOLEN", 7: "REDIRECT"},
    4: {-1: "UNSPEC", 0: "OK", 2: "SHOT", 7: "REDIRECT"}, 8: {0: "DENY", 1: "ALLOW"},
    22: {0: "OK", 2: "DROP", 129: "CONTINUE"},
}
_LOST = {6: {0, 1}, 3: {2, 4}, 4: {2}, 8: {0}, 1: {0}, 22: {2}}
_DISSECTOR = 22
_HEADLESS = (1, 8)  # bpf_prog_type: socket filters and cgroup programs see no Ethernet header
_SHORT = -1 << 31


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a Python file with programs, or an object (.o)")
    parser.add_argument("program", nargs="?", metavar="PROGRAM", help="which of its programs, if it has several")
    parser.add_argument("--in", dest="given", metavar="FILE", required=True, help="the capture to run")
    parser.add_argument("--out", metavar="FILE", help="write the packets that were not dropped")
    parser.add_argument("--machine", choices=("user", "kernel"), default="user", help="where to run (user)")
    parser.add_argument("--engine", choices=("jit", "interpreter"), default="jit",
                        help="of the userspace machine (jit)")
    parser.add_argument("--seed", type=int, default=0, help="of the userspace machine's randomness (0)")
    parser.add_argument("--maps", action="store_true", help="print what the maps hold afterwards")
    add_options(parser)


def run(chosen: argparse.Namespace) -> int:
    with open(chosen.given, "rb") as file:
        data = file.read()
    spec = object_of(chosen.file, chosen.program)
    names = [program.name for program in spec.programs]
    if chosen.program is None and len(names) != 1:
        raise UsageError(f"{chosen.file} has {len(names)} programs", cure=f"Name one: {', '.join(names)}.")
    name = chosen.program or names[0]
    if name not in names:
        raise UsageError(f"{chosen.file} has no program {name}", cure=f"It has {', '.join(names)}.")
    from bpfwright.formats.pcap import read_capture
    with _machine(chosen) as machine, machine.load(spec) as loaded:
        program = loaded.programs[name]
        actions, packets, ns = (_in_kernel if chosen.machine == "kernel" else _here)(program, data, bool(chosen.out))
        kind = program.spec.type
        if chosen.out:
            from bpfwright.formats.pcap import write_capture
            capture = read_capture(data)
            lost = _LOST.get(kind, set())
            kept = [(record.time_ns, packet) for record, action, packet
                    in zip(capture.records, actions, packets, strict=True) if action not in lost and action != _SHORT]
            with open(chosen.out, "wb") as file:
                file.write(write_capture(kept))
            print(f"bpfwright: wrote {len(kept):,} of {len(actions):,} packets to {chosen.out}", file=sys.stderr)
        if chosen.maps:
            _print_maps(loaded)
    counts: dict[int, int] = {}
    for action in actions:
        counts[action] = counts.get(action, 0) + 1
    columns = [Column("action", "ACTION"), Column("packets", "PACKETS", right=True, grouped=True),
               Column("share", "SHARE", right=True)]
    rows: list[dict[str, Cell]] = [
        {"action": "too short" if value == _SHORT else _ACTIONS.get(kind, {}).get(value, str(value)), "packets": count,
         "share": f"{100 * count / len(actions):.1f} %"}
        for value, count in sorted(counts.items(), key=lambda each: -each[1])]
    write(chosen, columns, rows)
    each = ns / len(actions) if len(actions) else 0
    print(f"bpfwright: {len(actions):,} packets, {each:,.0f} ns each", file=sys.stderr)
    return 0


def object_of(path: str, wanted: str | None, machine: Any = None) -> ObjectSpec:
    """A file's programs: of an object, or compiled from Python for a userspace machine, which knows of events and
    kernel types what they ask for."""
    from bpfwright.objfile import read
    return read(file_of(path, wanted, machine=machine), path)


def file_of(path: str, wanted: str | None, *, variables: bool = False, machine: Any = None) -> bytes:
    """A file's programs as an object file, compiled for a userspace machine or `machine`; `variables` has their places
    in its DWARF, where it is compiled here."""
    if path.endswith(".o"):
        with open(path, "rb") as file:
            return file.read()
    from bpfwright.cli.sources import chosen_programs
    from bpfwright.lang.compile import compile_programs
    from bpfwright.lang.target import Target
    from bpfwright.session import prepare
    from bpfwright.userspace import Userspace
    if machine is None:
        with Userspace(memory_bytes=1 << 20) as made:
            return file_of(path, wanted, variables=variables, machine=made)
    programs = chosen_programs(path, [wanted] if wanted else [])
    prepare(programs, machine)
    return compile_programs(programs, Target("v3", machine.target_features), variables=variables).elf


def _machine(chosen: argparse.Namespace) -> Any:
    if chosen.machine == "kernel":
        from bpfwright.kernel import Kernel
        return Kernel()
    from bpfwright.userspace import Userspace
    return Userspace(engine=chosen.engine, seed=chosen.seed)


def _here(program: Any, data: bytes, keep: bool) -> tuple[list[int], list[bytes], int]:
    from bpfwright.userspace.captures import drive
    done = drive(program, data, keep=keep)
    return [_SHORT if short else value for value, short in zip(done.actions, done.short, strict=True)], \
        done.packets, done.ns


def _in_kernel(program: Any, data: bytes, keep: bool) -> tuple[list[int], list[bytes], int]:
    from bpfwright.formats.pcap import read_capture
    actions, packets, ns = [], [], 0
    for packet in read_capture(data):
        if len(packet) < 14:
            actions.append(_SHORT)
            packets.append(packet)
            continue
        result = program.test_run(packet)
        value = result.value
        actions.append(value - (1 << 32) if value >> 31 else value)
        # Of the Ethernet header that sockets and cgroups do not see, the kernel leaves zeros.
        hidden = 14 if program.spec.type in _HEADLESS else 0
        left = packet if program.spec.type == _DISSECTOR else packet[:hidden] + result.data[hidden:]
        packets.append(left if keep else b"")
        ns += result.duration_ns
    return actions, packets, ns


def _print_maps(loaded: Any) -> None:
    for name, map_ in loaded.maps.items():
        if name.startswith(".") or not map_.key_size:
            continue
        for key, value in map_.items():
            if any(value):
                print(f"{name}[{key.hex(' ')}] = {value.hex(' ')}", file=sys.stderr)

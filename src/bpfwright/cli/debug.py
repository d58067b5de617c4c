"""Step through a program on one packet or record, forward and back, without a kernel and without privilege.

The program runs in the userspace machine's interpreter, where every run is the same, so that going back is exact.
--dap speaks the Debug Adapter Protocol on stdin and stdout (or on a port) for VS Code and other editors. Commands on
the terminal, each also by its first letters: step, back, next, into, previous, finish, continue, reverse, go N, break
FILE:LINE, break helper N, watch map NAME HEXKEY, watch packet OFFSET SIZE, delete, registers, stack, packet, maps,
lines, variables, print NAME[.MEMBER], verifier (what it knew here), quit.
"""
from __future__ import annotations

import sys

from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.errors import BpfwrightError, FormatError, UsageError

if TYPE_CHECKING:
    import argparse

    from bpfwright.userspace.view import View

__all__ = ["EXAMPLES", "arguments", "command", "open_debugger", "run", "watch"]

EXAMPLES = (
    "bpfwright debug firewall.py --pcap traffic.pcap:3      the fourth packet of a capture",
    "bpfwright debug nat.bpf.o xdp_nat --packet 'ff ff ...'  a packet in hex",
    "bpfwright debug opens.py opened --event run.rec:0      the first run of a recording",
    "bpfwright debug firewall.py --dap                      for an editor: it says in `launch` what to run",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="a Python file with programs, or an object (.o)")
    parser.add_argument("program", nargs="?", metavar="PROGRAM", help="which of its programs, if it has several")
    given = parser.add_mutually_exclusive_group()
    given.add_argument("--packet", metavar="HEX", help="the packet's bytes")
    given.add_argument("--pcap", metavar="FILE:N", help="packet N of a capture, counted from 0")
    given.add_argument("--event", metavar="FILE[:N]",
                       help="a record: the raw bytes of the context, or run N of the program in a recording, from 0")
    parser.add_argument("--seed", type=int, default=0, help="of the machine's randomness (0)")
    parser.add_argument("--dap", action="store_true", help="speak the Debug Adapter Protocol on stdin and stdout")
    parser.add_argument("--dap-port", type=int, metavar="PORT", help="the same, to one client on a port of loopback")


def run(chosen: argparse.Namespace) -> int:
    if chosen.dap or chosen.dap_port is not None:
        from bpfwright.cli.dap import serve
        return serve(chosen, open_debugger)
    if chosen.file is None:
        raise UsageError("debug takes a file", cure="Write `bpfwright debug FILE --packet HEX`.")
    view, close = open_debugger(vars(chosen))
    try:
        _converse(view)
    finally:
        close()
    return 0


def open_debugger(chosen: dict[str, Any]) -> tuple[View, Callable[[], None]]:
    """A debugger for what a command line, or an editor's `launch`, asks for; and what closes everything."""
    from bpfwright.cli.test_run import file_of
    from bpfwright.objfile import read
    from bpfwright.userspace import Userspace
    from bpfwright.userspace.debugger import Debugger
    from bpfwright.userspace.view import View
    recording, number = _recorded(chosen.get("event") or "")
    if recording is not None:
        return _at_event(chosen, recording, number)
    elf = file_of(chosen["file"], chosen.get("program"), variables=True)
    spec = read(elf, chosen["file"])
    name = _chosen_name(chosen, chosen["file"], [program.name for program in spec.programs])
    data, context = _input(chosen)
    machine = Userspace(engine="interpreter", seed=int(chosen.get("seed") or 0))
    try:
        loaded = machine.load(spec)
        debugger = Debugger(loaded.programs[name], data, context=context)
    except BaseException:
        machine.close()
        raise

    return View(debugger, spec, elf), lambda: _close(debugger, loaded, machine)


def _chosen_name(chosen: dict[str, Any], place: str, known: list[str]) -> str:
    """The program that was asked for, or the only one that a file or a recording has."""
    name: str = chosen.get("program") or (known[0] if len(known) == 1 else "")
    if name not in known:
        raise UsageError(f"{place} has {f'no program {name}' if name else 'several programs' if known else 'none'}",
                         cure=f"Name one: {', '.join(known)}." if known else "")
    return name


def _close(*things: Any) -> None:
    for thing in things:
        thing.close()


def _recorded(event: str) -> tuple[Any, int]:
    """(recording, number) of FILE:N; of anything else (None, 0)."""
    import os
    path, colon, number = event.rpartition(":")
    if not colon or not number.isdigit() or os.path.exists(event):
        return None, 0
    from bpfwright.formats.recording import Recording
    return Recording.open(path), int(number)


def _at_event(chosen: dict[str, Any], recording: Any, number: int) -> tuple[View, Callable[[], None]]:
    """A debugger at a recorded run: maps hold what they held, and helpers find what they found."""
    from bpfwright.cli.test_run import file_of
    from bpfwright.objfile import read
    from bpfwright.recording.replay import Replay
    from bpfwright.userspace.debugger import Debugger
    from bpfwright.userspace.view import View
    machine = Replay(recording, strict=False)
    try:
        elf = file_of(chosen["file"], None, variables=True, machine=machine)
        spec = read(elf, chosen["file"])
        known = [program.name for program in spec.programs if any(r.name == program.name for r in recording.programs)]
        name = _chosen_name(chosen, chosen["event"], known)
        runs = recording.runs_of(name)
        if number >= len(runs):
            raise UsageError(f"{chosen['event']} has no event {number} of {name}", why=f"it has {len(runs)}, from 0 on")
        loaded = machine.load(spec)
        run = runs[number]
        machine.standing_at(run)
        debugger = Debugger(loaded.programs[name], run.packet, cpu=run.cpu % machine.arena.cpus)
    except BaseException:
        machine.close()
        raise

    return View(debugger, spec, elf), lambda: _close(debugger, loaded, machine)


def _input(chosen: dict[str, Any]) -> tuple[bytes, bytes]:
    if chosen.get("packet"):
        try:
            return bytes.fromhex("".join(chosen["packet"].split())), b""
        except ValueError:
            raise UsageError("--packet is not hex", why=repr(chosen["packet"][:40])) from None
    if chosen.get("pcap"):
        from bpfwright.formats.pcap import read_capture
        path, colon, number = chosen["pcap"].rpartition(":")
        if not colon or not number.isdigit():
            raise UsageError(f"{chosen['pcap']!r} names no packet", cure="Write FILE:N, as in traffic.pcap:0.")
        with open(path, "rb") as file:
            return read_capture(file.read()).packet(int(number)), b""
    if chosen.get("event"):
        with open(chosen["event"], "rb") as file:
            return b"", file.read()
    raise UsageError("there is nothing to run the program on",
                     cure="Give --packet HEX, --pcap FILE:N or --event FILE.")


def _converse(view: View) -> None:
    print(view.screen())
    while True:
        if sys.stdin.isatty():
            print("(debug) ", end="", flush=True)
        line = sys.stdin.readline()
        words = line.split()
        if not line or (words and "quit".startswith(words[0])):
            return
        if not words:
            continue
        try:
            said = command(view, words)
        except (BpfwrightError, ValueError, IndexError) as error:
            said = f"bpfwright: {error or 'that command needs more words'}"
        print(said)


def command(view: View, words: list[str]) -> str:
    """Do what a line of the terminal says, and tell what is to be shown."""
    from bpfwright.userspace.showing import disassembly, source_lines
    debugger = view.debugger
    name = next((each for each in _COMMANDS if each.startswith(words[0])), "")
    moves: dict[str, Callable[[], object]] = {
        "step": debugger.step, "back": debugger.back, "next": lambda: debugger.step_line(over=True),
        "into": debugger.step_line, "previous": lambda: debugger.back_line(over=True), "finish": debugger.finish,
        "continue": debugger.run, "reverse": debugger.run_back, "go": lambda: debugger.go(int(words[1]))}
    if name in moves:
        moves[name]()
        return view.screen()
    position = debugger.position
    if name == "break":
        return _break(debugger, words[1:])
    if name == "watch":
        return watch(debugger, words[1:])
    if name == "delete":
        debugger.breakpoints.clear()
        return "no breakpoints"
    if name == "registers":
        return view.screen()
    if name == "variables":
        return "\n".join(f"  {each} = {value}" for each, value in view.variable_lines()) or \
            (view.no_variables or "no variables here")
    if name == "print":
        return _print(view, words[1])
    if name == "verifier":
        return "\n".join(f"  {line}" for line in view.verifier_lines())
    if name == "stack":
        data = debugger.stack()
        return "\n".join(f"  r10-{512 - at:<4} {data[at:at + 8].hex(' ')}" for at in range(0, 512, 8)
                         if any(data[at:at + 8])) or "nothing but zeros"
    if name == "packet":
        data = debugger.packet()
        return "\n".join(f"  {at:04x}  {data[at:at + 16].hex(' ')}" for at in range(0, len(data), 16))
    if name == "maps":
        return "\n".join(f"  {map_name}[{key.hex(' ')}] = {value.hex(' ')}" for map_name, entries in debugger.maps()
                         for key, value in entries if any(value)) or "nothing but zeros"
    if name == "lines":
        return "\n".join([*source_lines(position, 12), *disassembly(position, 12)])
    return f"bpfwright: no command {words[0]!r}; there are {', '.join(_COMMANDS)}"


_COMMANDS = ("step", "back", "next", "into", "print", "previous", "finish", "continue", "reverse", "go", "break",
             "watch", "delete", "registers", "stack", "packet", "maps", "lines", "variables", "verifier", "quit")


def _print(view: View, path: str) -> str:
    """A variable, and what is inside of it: `ip`, `ip.source`."""
    first, *rest = path.split(".")
    found = view.variables()
    for number, name in enumerate((first, *rest)):
        one = next((each for each in found if each.name == name), None)
        if one is None:
            raise UsageError(f"there is no {'.'.join((first, *rest)[:number + 1])} here",
                             cure=f"There are {', '.join(each.name for each in found) or 'no variables'}.")
        found = view.names.inside(one.part) if one.part is not None and view.names is not None else []
    lines = [f"  {path} = {one.value}"] if one is not None else []
    return "\n".join([*lines, *(f"    {each.name} = {each.value}" for each in found)])


def _break(debugger: Any, words: list[str]) -> str:
    from bpfwright._abi.helpers import HELPER_NAMES
    from bpfwright.userspace.debugger import Breakpoint
    if words[0] == "helper":
        numbers = {name: number for number, name in HELPER_NAMES.items()}
        wanted = words[1].removeprefix("bpf_")
        made = Breakpoint("helper", int(wanted) if wanted.isdigit() else numbers.get(wanted, -1))
        if made.first < 0:
            raise UsageError(f"there is no helper {words[1]}")
    else:
        file, _, line = words[0].rpartition(":")
        made = Breakpoint("line", file or debugger.position.line.file, int(line))
    debugger.breakpoints.append(made)
    return f"stops at {made}"


def watch(debugger: Any, words: list[str]) -> str:
    """A breakpoint on a map's key or on bytes of the packet; what it is."""
    from bpfwright.userspace.debugger import Breakpoint
    if words[0] == "map":
        try:
            key = bytes.fromhex("".join(words[2:]))
        except ValueError:
            raise FormatError("the key is not hex") from None
        made = Breakpoint("map", debugger.map_named(words[1]), key)
        made.first.lookup(key)
    else:
        made = Breakpoint("packet", int(words[1], 0), int(words[2], 0))
    debugger.breakpoints.append(made)
    return f"stops when {made} change"

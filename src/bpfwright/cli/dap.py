"""The Debug Adapter Protocol over a debugger: what VS Code and other editors speak (microsoft.github.io, version 1.6).

`launch` takes the same words as the command line: program (the file), function, packet, pcap, event, seed.
"""
from __future__ import annotations

import json
import os
import sys

from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.errors import BpfwrightError, UsageError

__all__ = ["Adapter", "serve"]

if TYPE_CHECKING:
    import argparse

    from bpfwright.userspace.debugger import Debugger
    from bpfwright.userspace.variables import Shown
    from bpfwright.userspace.view import View

Open = Callable[[dict[str, Any]], "tuple[View, Callable[[], None]]"]
_SCOPES = ("Variables", "Registers", "Verifier", "Stack", "Packet", "Maps")
_INSIDE = 1 << 20  # from here on references are to what is inside of variables
_THREAD = 1
_LARGEST = 1 << 24


def serve(chosen: argparse.Namespace, opener: Open) -> int:
    """Talk to one client until it goes."""
    if chosen.dap_port is None:
        output = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)  # whatever prints goes to stderr: stdout is the protocol's
        Adapter(sys.stdin.buffer, output, vars(chosen), opener).talk()
        return 0
    import socket
    with socket.create_server(("127.0.0.1", chosen.dap_port)) as server:
        print(f"bpfwright: waiting for an editor on 127.0.0.1:{server.getsockname()[1]}", file=sys.stderr, flush=True)
        client, _ = server.accept()
        with client, client.makefile("rb") as given, client.makefile("wb") as to:
            Adapter(given, to, vars(chosen), opener).talk()
    return 0


class Adapter:
    """One conversation. Requests come from `given`, answers and events go to `to`."""

    def __init__(self, given: Any, to: Any, defaults: dict[str, Any], opener: Open) -> None:
        self._given = given
        self._to = to
        self._defaults = defaults
        self._opener = opener
        self._number = 0
        self._view: View | None = None
        self._parts: list[Any] = []
        self._close: Callable[[], None] = lambda: None
        self._lines: dict[str, list[int]] = {}
        self._going = True

    def talk(self) -> None:
        """Answer until `disconnect` or the end of the input."""
        try:
            while self._going:
                request = self._read()
                if request is None:
                    break
                self._answer(request)
        finally:
            self._close()

    def _read(self) -> dict[str, Any] | None:
        length = -1
        while True:
            line = self._given.readline(4096)
            if not line:
                return None
            if line in (b"\r\n", b"\n"):
                break
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                length = int(value)
        if not 0 < length <= _LARGEST:
            raise UsageError("a message of the debug protocol without a length")
        try:
            found = json.loads(self._given.read(length))
        except ValueError:
            raise UsageError("a message of the debug protocol that is no JSON") from None
        if not isinstance(found, dict):
            raise UsageError("a message of the debug protocol that is no object")
        return found

    def _send(self, message: dict[str, Any]) -> None:
        self._number += 1
        data = json.dumps({"seq": self._number, **message}).encode()
        self._to.write(f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
        self._to.flush()

    def _event(self, name: str, **body: Any) -> None:
        self._send({"type": "event", "event": name, "body": body})

    def _answer(self, request: dict[str, Any]) -> None:
        command = str(request.get("command", ""))
        answer = {"type": "response", "request_seq": request.get("seq", 0), "command": command}
        handler = getattr(self, "_do_" + command, None)
        try:
            if handler is None:
                raise UsageError(f"this adapter does not know {command!r}")
            body = handler(request.get("arguments") or {})
        except (BpfwrightError, OSError, LookupError, TypeError, ValueError) as error:
            self._send({**answer, "success": False, "message": str(error).partition("\n")[0]})
            return
        self._send({**answer, "success": True, "body": body or {}})
        if command == "initialize":
            self._event("initialized")
        elif command == "configurationDone":
            self._start()
        elif command in _MOVES:
            self._stopped(_MOVES[command])

    # life

    def _do_initialize(self, given: dict[str, Any]) -> dict[str, Any]:
        can = ("ConfigurationDoneRequest", "StepBack", "FunctionBreakpoints", "DataBreakpoints", "DisassembleRequest",
               "SteppingGranularity", "EvaluateForHovers")
        return {f"supports{each}": True for each in can}

    def _do_launch(self, given: dict[str, Any]) -> None:
        asked = {**self._defaults, **{k: v for k, v in given.items() if v is not None}}
        asked["file"] = given.get("program") or self._defaults.get("file")
        asked["program"] = given.get("function") or self._defaults.get("program")
        if not asked["file"]:
            raise UsageError("launch names no program")
        self._view, self._close = self._opener(asked)
        self._stop_on_entry = bool(given.get("stopOnEntry", True))

    _do_attach = _do_launch

    def _do_configurationDone(self, given: dict[str, Any]) -> None:
        self._need()

    def _start(self) -> None:
        if self._stop_on_entry:
            self._stopped("entry")
        else:
            self._need().run()
            self._stopped("breakpoint")

    def _do_disconnect(self, given: dict[str, Any]) -> None:
        self._going = False

    _do_terminate = _do_disconnect

    def _seen(self) -> View:
        if self._view is None:
            raise UsageError("nothing was launched")
        return self._view

    def _need(self) -> Debugger:
        return self._seen().debugger

    # breakpoints

    def _do_setBreakpoints(self, given: dict[str, Any]) -> dict[str, Any]:
        path = given["source"]["path"]
        self._lines[path] = [int(each["line"]) for each in given.get("breakpoints", ())]
        self._arrange("line", [(file, line) for file, lines in self._lines.items() for line in lines])
        known = {line.line for program in self._programs() for line in program.code.lines if _same(line.file, path)}
        return {"breakpoints": [{"verified": line in known, "line": line} for line in self._lines[path]]}

    def _do_setFunctionBreakpoints(self, given: dict[str, Any]) -> dict[str, Any]:
        from bpfwright._abi.helpers import HELPER_NAMES
        numbers = {name: number for number, name in HELPER_NAMES.items()}
        wanted = [numbers.get(str(each["name"]).removeprefix("bpf_"), -1) for each in given.get("breakpoints", ())]
        self._arrange("helper", [(number, None) for number in wanted if number >= 0])
        return {"breakpoints": [{"verified": number >= 0} for number in wanted]}

    def _do_dataBreakpointInfo(self, given: dict[str, Any]) -> dict[str, Any]:
        name = str(given.get("name", ""))
        return {"dataId": name, "description": name, "accessTypes": ["write"]}

    def _do_setDataBreakpoints(self, given: dict[str, Any]) -> dict[str, Any]:
        """Ids are `packet OFFSET SIZE` or `map NAME HEXKEY`."""
        debugger = self._need()
        kept = [b for b in debugger.breakpoints if b.kind not in ("map", "packet")]
        debugger.breakpoints[:] = kept
        from bpfwright.cli.debug import watch
        found: list[dict[str, Any]] = []
        for each in given.get("breakpoints", ()):
            try:
                watch(debugger, str(each["dataId"]).split())
                found.append({"verified": True})
            except (BpfwrightError, ValueError, IndexError) as error:
                found.append({"verified": False, "message": str(error).partition("\n")[0]})
        return {"breakpoints": found}

    def _do_setExceptionBreakpoints(self, given: dict[str, Any]) -> None:
        return None

    def _arrange(self, kind: str, places: list[tuple[Any, Any]]) -> None:
        from bpfwright.userspace.debugger import Breakpoint
        debugger = self._need()
        debugger.breakpoints[:] = [b for b in debugger.breakpoints if b.kind != kind]
        debugger.breakpoints += [Breakpoint(kind, first, second) for first, second in places]

    def _programs(self) -> list[Any]:
        return [thing for thing in self._need().machine.things() if hasattr(thing, "code")]

    # going

    def _stopped(self, reason: str) -> None:
        position = self._need().position
        if position.ended:
            if position.fault is not None:
                self._event("output", category="stderr", output=f"{position.fault}\n")
                self._event("stopped", reason="exception", threadId=_THREAD, text=str(position.fault),
                            allThreadsStopped=True)
                return
            self._event("output", category="console", output=f"r0 = {position.registers[0]:#x}\n")
            reason = "end of the program"
        self._event("stopped", reason=reason, threadId=_THREAD, allThreadsStopped=True)

    def _do_continue(self, given: dict[str, Any]) -> dict[str, Any]:
        self._need().run()
        return {"allThreadsContinued": True}

    def _do_reverseContinue(self, given: dict[str, Any]) -> None:
        self._need().run_back()

    def _do_next(self, given: dict[str, Any]) -> None:
        debugger = self._need()
        debugger.step() if given.get("granularity") == "instruction" else debugger.step_line(over=True)

    def _do_stepIn(self, given: dict[str, Any]) -> None:
        debugger = self._need()
        debugger.step() if given.get("granularity") == "instruction" else debugger.step_line()

    def _do_stepOut(self, given: dict[str, Any]) -> None:
        self._need().finish()

    def _do_stepBack(self, given: dict[str, Any]) -> None:
        debugger = self._need()
        debugger.back() if given.get("granularity") == "instruction" else debugger.back_line(over=True)

    # looking

    def _do_threads(self, given: dict[str, Any]) -> dict[str, Any]:
        return {"threads": [{"id": _THREAD, "name": self._need().program.spec.name}]}

    def _do_stackTrace(self, given: dict[str, Any]) -> dict[str, Any]:
        from bpfwright.userspace.showing import frame_name
        position = self._need().position
        frames: list[dict[str, Any]] = []
        for number, frame in enumerate(position.frames):
            line = frame.program.code.line_at(frame.slot)
            shown: dict[str, Any] = {"id": number, "name": frame_name(frame), "line": line.line if line else 0,
                                     "column": line.column if line else 0,
                                     "instructionPointerReference": str(frame.slot)}
            if line is not None:
                shown["source"] = {"name": os.path.basename(line.file), "path": os.path.abspath(line.file)}
            frames.append(shown)
        return {"stackFrames": frames, "totalFrames": len(frames)}

    def _do_scopes(self, given: dict[str, Any]) -> dict[str, Any]:
        first = 1 + len(_SCOPES) * int(given.get("frameId", 0))
        self._parts.clear()
        return {"scopes": [{"name": name, "variablesReference": first + number, "expensive": False}
                           for number, name in enumerate(_SCOPES)]}

    def _do_variables(self, given: dict[str, Any]) -> dict[str, Any]:
        view, reference = self._seen(), int(given["variablesReference"])
        if reference >= _INSIDE:
            names = view.names
            return self._named(names.inside(self._parts[reference - _INSIDE]) if names is not None else [])
        frame, which = divmod(reference - 1, len(_SCOPES))
        if _SCOPES[which] == "Variables":
            return self._named(view.variables(frame))
        return {"variables": [{"name": name, "value": value, "variablesReference": 0}
                              for name, value in _scope(view, _SCOPES[which], frame)]}

    def _named(self, found: list[Shown]) -> dict[str, Any]:
        """Variables as the protocol wants them; what has an inside gets a number by which that is asked for."""
        rows = []
        for each in found:
            reference = 0
            if each.part is not None:
                self._parts.append(each.part)
                reference = _INSIDE + len(self._parts) - 1
            value = each.value if each.since < 0 else f"{each.value} (at instruction {each.since}; not kept)"
            rows.append({"name": each.name, "value": value, "type": each.type, "variablesReference": reference})
        return {"variables": rows}

    def _do_evaluate(self, given: dict[str, Any]) -> dict[str, Any]:
        word = str(given.get("expression", "")).strip()
        position = self._need().position
        if word.startswith("r") and word[1:].isdigit() and int(word[1:]) <= 10:
            from bpfwright.userspace.showing import describe_value
            value = position.registers[int(word[1:])]
            what = describe_value(self._need(), position, value)
            return {"result": f"{value:#x}  ({what})", "variablesReference": 0}
        from bpfwright.cli.debug import command
        if word in [each.name for each in self._seen().variables()]:
            word = f"print {word}"
        return {"result": command(self._seen(), word.split() or ["lines"]), "variablesReference": 0}

    def _do_disassemble(self, given: dict[str, Any]) -> dict[str, Any]:
        from bpfwright.formats.isa import text
        slots = self._need().position.program.code.slots
        first = int(given["memoryReference"]) + int(given.get("instructionOffset", 0))
        rows = []
        for slot in range(first, first + int(given["instructionCount"])):
            instruction = slots[slot] if 0 <= slot < len(slots) else None
            rows.append({"address": str(slot), "instruction": text(instruction) if instruction is not None else ""})
        return {"instructions": rows}


_MOVES = {"continue": "breakpoint", "reverseContinue": "breakpoint", "next": "step", "stepIn": "step",
          "stepOut": "step", "stepBack": "step"}


def _scope(view: View, name: str, frame: int) -> list[tuple[str, str]]:
    """(name, value) of what is in a scope."""
    from bpfwright.userspace.showing import registers
    debugger = view.debugger
    if name == "Registers":
        return [(each, f"{value:#x}  ({what})") for each, value, what in registers(debugger, debugger.position)]
    if name == "Verifier":
        return [(line.partition(" ")[0], line.partition(" ")[2]) for line in view.verifier_lines()]
    if name == "Stack" and debugger.position.frames:
        data = debugger.stack(frame)
        return [(f"r10-{512 - at}", data[at:at + 8].hex(" ")) for at in range(0, 512, 8) if any(data[at:at + 8])]
    if name == "Packet":
        data = debugger.packet()
        return [(f"{at:#06x}", data[at:at + 16].hex(" ")) for at in range(0, len(data), 16)]
    if name == "Maps":
        return [(f"{each}[{key.hex(' ')}]", value.hex(" ")) for each, entries in debugger.maps()
                for key, value in entries]
    return []


def _same(file: str, path: str) -> bool:
    return os.path.abspath(file) == os.path.abspath(path)

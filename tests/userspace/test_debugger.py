"""The debugger goes both ways through the same states, stops where it was told to, and speaks an editor's protocol."""
from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.programs.machines import PROGRAMS
from bench.workloads import PACKETS
from bpfwright import Userspace, load, u32, u64
from bpfwright.errors import Fault
from bpfwright.formats.isa.instructions import Instruction, encode
from bpfwright.headers import IPv4
from bpfwright.helpers import subprogram
from bpfwright.hooks import xdp
from bpfwright.maps import Hash
from bpfwright.spec.objects import Function, ObjectSpec, ProgramSpec
from bpfwright.userspace.debugger import Breakpoint, Debugger, Position

LOOKUP = 1
seen = Hash[u32, u64](max_entries=8)


@subprogram
def doubled(number: u32) -> u32:
    return number * 2


@xdp.program
def walked(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    total: u32 = 0
    for i in range(ip.ttl):
        total += doubled(i)
    seen.increment(total)
    ip.ttl = 7
    return xdp.DROP


@contextmanager
def debugging(program: Any, packet: str = "tcp") -> Iterator[Debugger]:
    with Userspace() as machine, load(program, machine=machine) as session:
        loaded: Any = session.loaded.programs[program.name]
        with Debugger(loaded, PACKETS[packet]) as debugger:
            yield debugger


def state(debugger: Debugger) -> tuple[Any, ...]:
    at = debugger.position
    return (at.count, at.slot, at.registers, at.frames, hash(tuple(debugger.machine.arena.save())))


@pytest.mark.userspace
@pytest.mark.parametrize("program", [p for p in (*PROGRAMS, walked) if p.name not in ("longest", "arithmetic", "memory",
                                                                                       "checksum")],
                         ids=lambda p: p.name)
def test_to_the_end_and_fully_back_through_the_same_states(program: Any) -> None:
    with debugging(program) as debugger:
        states = []
        while not debugger.position.ended:
            states.append(state(debugger))
            debugger.step()
        assert debugger.position.fault is None
        for before in reversed(states):
            debugger.back()
            assert state(debugger) == before
        assert debugger.position.count == 0
        debugger.back()
        assert debugger.position.count == 0


@pytest.mark.userspace
def test_lines_functions_and_breakpoints() -> None:
    with debugging(walked) as debugger:
        first = walked.function.__code__.co_firstlineno
        debugger.breakpoints.append(Breakpoint("line", __file__, first + 9))  # ip.ttl = 7
        stopped = debugger.run()
        assert stopped.line is not None and stopped.line.line == first + 9
        debugger.breakpoints[:] = [Breakpoint("helper", LOOKUP)]
        looked = debugger.run_back()
        assert looked.instruction.startswith("call bpf_map_lookup_elem") and looked.count < stopped.count
        debugger.breakpoints[:] = [Breakpoint("packet", 22, 1)]
        changed = debugger.run()
        assert debugger.packet()[22] == 7 and not changed.ended
        debugger.back()
        assert debugger.packet()[22] == 64
        debugger.breakpoints[:] = [Breakpoint("map", debugger.map_named("seen"), (64 * 63).to_bytes(4, "little"))]
        debugger.go(0)
        debugger.run()
        entries = dict(dict(debugger.maps())["seen"])
        assert (64 * 63).to_bytes(4, "little") in entries
        debugger.breakpoints.clear()
        assert debugger.run().registers[0] == xdp.DROP


@pytest.mark.userspace
def test_into_a_function_and_out_of_it() -> None:
    with debugging(walked) as debugger:
        while len(debugger.position.frames) < 2:
            debugger.step()
        inside = debugger.position
        assert inside.line is not None and inside.frames[0].function != inside.frames[1].function
        assert inside.frames[1].pointer - inside.frames[0].pointer == 512
        out = debugger.finish()
        assert len(out.frames) == 1
        debugger.back_line(over=True)
        assert len(debugger.position.frames) == 1 and debugger.position.count < out.count


def test_a_fault_is_where_it_happens() -> None:
    insns = encode([Instruction(0xB7, dst=1, imm=16), Instruction(0x79, dst=0, src=1), Instruction(0x95)])
    spec = ObjectSpec((ProgramSpec("wild", "wild", "xdp", 6),), (Function("wild", insns),), ())
    with Userspace() as machine, machine.load(spec) as loaded, Debugger(loaded.programs["wild"], bytes(60)) as debugger:
        ended: Position = debugger.run()
        assert ended.ended and isinstance(ended.fault, Fault) and ended.fault.instruction == 1
        assert ended.fault.address == 16 and debugger.back().slot == 1


class Client:
    """An editor, as far as the protocol goes."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen([sys.executable, "-m", "bpfwright", "debug", "--dap"], cwd=folder,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        env={"PYTHONPATH": ":".join(sys.path), "HOME": str(folder), "PATH": "/usr/bin"})
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def request(self, command: str, **arguments: Any) -> dict[str, Any]:
        self.number += 1
        data = json.dumps({"seq": self.number, "type": "request", "command": command, "arguments": arguments}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(data) + data)
        self.process.stdin.flush()
        while (message := self.read())["type"] == "event":
            self.events.append(message)
        assert message["request_seq"] == self.number
        return message

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        length = 0
        while (line := self.process.stdout.readline()).strip():
            length = int(line.split(b":")[1])
        found: dict[str, Any] = json.loads(self.process.stdout.read(length))
        return found

    def until(self, event: str) -> dict[str, Any]:
        while True:
            for index, message in enumerate(self.events):
                if message["event"] == event:
                    return self.events.pop(index)["body"]  # type: ignore[no-any-return]
            self.events.append(self.read())


PROGRAM = """from bpfwright.headers import IPv4
from bpfwright.hooks import xdp

@xdp.program
def fence(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    ip.ttl = 9
    return xdp.DROP
"""


@pytest.mark.userspace
def test_an_editor_debugs(tmp_path: Path) -> None:
    file = tmp_path / "fence.py"
    file.write_text(PROGRAM)
    editor = Client(tmp_path)
    try:
        assert editor.request("initialize", adapterID="bpfwright")["body"]["supportsStepBack"]
        editor.until("initialized")
        assert not editor.request("threads")["success"]
        assert editor.request("launch", program=str(file), packet=PACKETS["tcp"].hex())["success"]
        placed = editor.request("setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": 9}, {"line": 1}])
        assert [each["verified"] for each in placed["body"]["breakpoints"]] == [True, False]
        assert editor.request("setDataBreakpoints", breakpoints=[{"dataId": "packet 22 1"}, {"dataId": "nonsense"}])[
            "body"]["breakpoints"][1]["verified"] is False
        editor.request("configurationDone")
        assert editor.until("stopped")["reason"] == "entry"
        editor.request("continue", threadId=1)
        assert editor.until("stopped")["reason"] == "breakpoint"
        frames = editor.request("stackTrace", threadId=1)["body"]["stackFrames"]
        assert frames[0]["line"] == 9 and frames[0]["source"]["path"] == str(file)
        scopes = editor.request("scopes", frameId=0)["body"]["scopes"]
        shown = {scope["name"]: editor.request("variables", variablesReference=scope["variablesReference"])[
            "body"]["variables"] for scope in scopes}
        assert {each["name"] for each in shown["Registers"]} >= {"r0", "r10"}
        ip = next(each for each in shown["Variables"] if each["name"] == "ip")
        inside = editor.request("variables", variablesReference=ip["variablesReference"])["body"]["variables"]
        assert next(each["value"] for each in inside if each["name"] == "ttl") == "64"
        assert any("pkt(" in each["value"] for each in shown["Verifier"])
        assert "ttl = 64" in editor.request("evaluate", expression="ip")["body"]["result"]
        packet_scope = next(each["variablesReference"] for each in scopes if each["name"] == "Packet")
        assert shown["Packet"][1]["value"].split()[6] == "40"
        assert "frame 0" in editor.request("evaluate", expression="r10")["body"]["result"]
        editor.request("continue", threadId=1)  # the watched byte changes
        editor.until("stopped")
        packet = editor.request("variables", variablesReference=packet_scope)["body"]["variables"]
        assert packet[1]["value"].split()[6] == "09"
        editor.request("stepBack", threadId=1, granularity="instruction")
        editor.until("stopped")
        packet = editor.request("variables", variablesReference=packet_scope)["body"]["variables"]
        assert packet[1]["value"].split()[6] == "40"
        code = editor.request("disassemble", memoryReference="0", instructionCount=2)["body"]["instructions"]
        assert len(code) == 2 and code[0]["instruction"]
        assert not editor.request("nonsense")["success"]
        assert editor.request("disconnect")["success"]
        assert editor.process.wait(10) == 0
    finally:
        editor.process.kill()
        editor.process.wait()
        for pipe in (editor.process.stdin, editor.process.stdout):
            assert pipe is not None
            pipe.close()

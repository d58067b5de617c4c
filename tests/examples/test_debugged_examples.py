"""Every example under the debugger, at events that were recorded live: forward to the end, and fully back."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfwright.cli.debug import open_debugger
from bpfwright.formats.recording import Recording
from bpfwright.userspace.debugger import Debugger

TOP = Path(__file__).resolve().parents[2]
FILES = sorted((TOP / "tests" / "data" / "recordings").glob("*.rec"))
RECORDINGS = {path.stem: Recording.open(str(path)) for path in FILES}
CASES = [(name, program.name) for name, recording in RECORDINGS.items() for program in recording.programs
         if recording.runs_of(program.name)]


def state(debugger: Debugger, often: int) -> tuple[Any, ...]:
    """Where it stands, its registers and stack, and at every so many positions all memory."""
    at = debugger.position
    memory = tuple(debugger.machine.arena.save()) if at.count % often == 0 else ()
    return (at.count, at.slot, at.registers, at.frames, debugger.stack(), hash(memory))


def test_every_example_is_here() -> None:
    assert {name for name, _ in CASES} == {path.stem for path in (TOP / "examples").glob("*.py")}


@pytest.mark.userspace
@pytest.mark.parametrize(("name", "program"), CASES)
def test_to_the_end_and_fully_back_through_the_same_states(name: str, program: str) -> None:
    recording = TOP / "tests" / "data" / "recordings" / f"{name}.rec"
    runs = RECORDINGS[name].runs_of(program)
    for event in sorted(range(len(runs)), key=lambda each: len(runs[each].packet))[:2]:
        view, close = open_debugger({"file": str(TOP / "examples" / f"{name}.py"), "program": program,
                                     "event": f"{recording}:{event}"})
        try:
            debugger = view.debugger
            states = []
            large = sum(len(data) for _, data in debugger.machine.arena.save()) > 1 << 24
            often = 64 if large else 1
            met: set[str] = set()
            while not debugger.position.ended:
                states.append(state(debugger, often))
                met |= {each.name for each in view.variables()}
                debugger.step()
            assert debugger.position.fault is None and len(states) > 5
            assert met, "no variable by name"
            for before in reversed(states):
                debugger.back()
                assert state(debugger, often) == before
            assert debugger.position.count == 0
            if large:
                return  # each step back lays 60 MiB out anew
        finally:
            close()

"""What a debugger shows of a stopped run: source around the line, registers, frames, the stack, maps, as text."""
from __future__ import annotations

import linecache

from bpfwright._typing import Iterator
from bpfwright.formats.isa import text
from bpfwright.userspace.arena import FRAME
from bpfwright.userspace.code import FUNCTIONS
from bpfwright.userspace.debugger import Debugger, Frame, Position

__all__ = ["describe_value", "disassembly", "frame_name", "registers", "source_lines"]


def source_lines(position: Position, around: int = 4) -> Iterator[str]:
    """The lines around the present one, which an arrow marks; the text comes from the object where the file is gone."""
    line = position.line
    if line is None:
        return
    for number in range(max(1, line.line - around), line.line + around + 1):
        shown = linecache.getline(line.file, number).rstrip("\n")
        if number == line.line:
            shown = shown or line.source
        elif not shown:
            continue
        yield f"{'->' if number == line.line else '  '} {number:>5}  {shown}"


def disassembly(position: Position, around: int = 3) -> Iterator[str]:
    """The instructions around the present one."""
    slots = position.program.code.slots
    for slot in range(max(0, position.slot - around), min(len(slots), position.slot + around + 1)):
        instruction = slots[slot]
        if instruction is not None:
            yield f"{'=>' if slot == position.slot else '  '} {slot:>5}: {text(instruction)}"


def registers(debugger: Debugger, position: Position) -> Iterator[tuple[str, int, str]]:
    """(name, value, what it is) of each register."""
    for number, value in enumerate(position.registers):
        yield f"r{number}", value, describe_value(debugger, position, value)


def describe_value(debugger: Debugger, position: Position, value: int) -> str:
    """A number, or where a pointer points."""
    for depth, frame in enumerate(position.frames):
        if frame.pointer - FRAME <= value <= frame.pointer:
            return f"stack of frame {depth}, {value - frame.pointer:+d}" if value != frame.pointer else f"frame {depth}"
    for name, start, size in debugger.places():
        if start <= value < start + size or (value == start + size and name == "packet"):
            return f"{name}{f' + {value - start}' if value != start else ''}"
    if FUNCTIONS <= value < FUNCTIONS + len(position.program.code.slots):
        return f"function at {value - FUNCTIONS}"
    signed = value - (1 << 64) if value >> 63 else value
    return f"{signed}"


def frame_name(frame: Frame) -> str:
    """The function that a frame runs."""
    names = {slot: name for name, slot in frame.program.functions.items()}
    return names.get(frame.function, f"{frame.program.spec.name}, function at {frame.function}")

"""How much stack the functions of a program need together: known once LLVM has laid out their frames."""
from __future__ import annotations

import linecache
from struct import unpack_from

from bpfwright._typing import Any
from bpfwright.errors import CompileError
from bpfwright.formats.elf import Elf
from bpfwright.lang import ir

__all__ = ["ChainExceeded", "check"]

STACK = 512  # MAX_BPF_STACK: of all functions that are on the stack at once
_UNIT = 16   # what a frame is rounded up to; kernels that do not compile programs round to 32
# Programs whose functions may have stacks of their own since Linux 6.13 (bpf_enable_priv_stack() of the verifier).
_PRIVATE = frozenset((2, 5, 7, 17, 26, 27, 29))
_SET_CALLBACK = 170  # bpf_timer_set_callback: the function runs later, on a stack of its own


class ChainExceeded(CompileError):
    """Functions that call one another need more stack together than there is."""


def check(module: ir.Module, elf: bytes, programs: list[tuple[Any, str]]) -> None:
    """Refuse a program whose functions need more stack than the kernel has, one calling another.

    `programs` come with their names in the object.
    """
    calls = {name: _calls(function) for name, function in module.functions.items()}
    if not any(calls.values()):
        return
    frames = _frames(elf)
    for program, name in programs:
        chain = _deepest(name, calls, frames)
        need = sum(_rounded(frames.get(step, 0)) for step in chain)
        if need > STACK and len(chain) > 1 and program.hook.kernel_type(program) not in _PRIVATE:
            raise _refusal(module, name, chain, need)


def _calls(function: ir.Function) -> set[str]:
    """The functions that run while this one waits: subprograms, and loops' bodies that the kernel calls."""
    found: dict[int, str] = {}
    called: set[str] = set()
    for op in function.ops():
        if op.name == "call":
            called.add(str(op.args[0]))
        elif op.name == "function":
            found[op.id] = str(op.args[0])
        elif op.name == "helper" and op.args[0] != _SET_CALLBACK:
            called.update(found[value] for value in op.args[1:] if value in found)
    return called


def _frames(elf: bytes) -> dict[str, int]:
    """How far below its top each function's instructions reach, in bytes."""
    image = Elf(elf)
    found = {}
    for symbol in image.symbols:
        section = next((s for s in image.sections if s.index == symbol.section and s.executable), None)
        if symbol.type == 2 and section is not None:  # STT_FUNC
            code = image.contents(section)[symbol.value:symbol.value + symbol.size]
            found[symbol.name] = _reach(code)
    return found


def _reach(code: bytes) -> int:
    """The deepest place that is named from the frame pointer: by a load or store, or by `rX = r10; rX += -N`."""
    deepest, copy = 0, -1
    for at in range(0, len(code), 8):
        opcode, registers, offset, immediate = unpack_from("<BBhi", code, at)
        target, source = registers & 15, registers >> 4
        kind = opcode & 7
        if (kind == 1 and source == 10) or (kind in (2, 3) and target == 10):
            deepest = max(deepest, -offset)
        if opcode == 0x07 and target == copy:
            deepest = max(deepest, -immediate)
        copy = target if opcode == 0xBF and source == 10 else -1
    return deepest


def _deepest(name: str, calls: dict[str, set[str]], frames: dict[str, int]) -> list[str]:
    """The chain of calls from `name` that needs the most."""
    chains = [_deepest(called, calls, frames) for called in calls.get(name, ())]
    longest = max(chains, key=lambda chain: sum(_rounded(frames.get(step, 0)) for step in chain), default=[])
    return [name, *longest]


def _rounded(size: int) -> int:
    return -(-max(size, 1) // _UNIT) * _UNIT


def _refusal(module: ir.Module, name: str, chain: list[str], need: int) -> CompileError:
    function = module.functions[name]
    file = module.files[function.file]
    source = linecache.getline(file, function.line).rstrip("\n")
    column = len(source) - len(source.lstrip())
    names = f"{', '.join(chain[:-1])} and {chain[-1]}"
    return ChainExceeded(f"{names} need {need} bytes of stack together, and a program has {STACK}", file=file,
                        line=function.line, column=column, end_column=len(source), source=source,
                        cure="Use shorter texts, or build records in the ring: `with ring.reserve() as e:`.")

"""Speak the protocol of bpf_conformance's runner: memory as a hex argument, bytecode in hex on stdin, r0 in hex out.

Programs are not verified: each access is checked, and a fault is a message on stderr and a status that is not 0.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING

import sys

from bpfwright.errors import UsageError

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    'bpfwright conformance-plugin --program "b7 00 00 00 2a 00 00 00 95 00 00 00 00 00 00 00"     prints 2a',
)
_UNWIND = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("memory", nargs="?", default="", metavar="HEX", help="what r1 points to; r2 is its length")
    parser.add_argument("--program", metavar="HEX", help="the bytecode, in place of stdin")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--jit", action="store_true", help="native code (by default the interpreter)")
    group.add_argument("--interpret", action="store_true", help="the interpreter")
    parser.add_argument("--elf", action="store_true", help="what comes is an ELF object")


def run(chosen: argparse.Namespace) -> int:
    memory = _bytes(chosen.memory, "the memory")
    given = _bytes(chosen.program if chosen.program is not None else sys.stdin.read(), "the program")
    from bpfwright.userspace import Userspace
    with Userspace(engine="jit" if chosen.jit else "interpreter", memory_bytes=1 << 20) as machine:
        if chosen.elf:
            from bpfwright.objfile import read
            spec = read(given, types={".text": (1, 0)})
            if not spec.functions:
                raise UsageError("the object has no function")
            given = spec.functions[0].insns
        program = machine.load_code(given, helpers={_UNWIND: lambda *words: words[0]})
        address = machine.arena.allocate(max(len(memory), 1))
        machine.arena.memory[address:address + len(memory)] = memory
        print(f"{program.call(address if memory else 0, len(memory)):x}")
    return 0


def _bytes(text: str, what: str) -> bytes:
    try:
        return bytes.fromhex("".join(text.split()))
    except ValueError:
        raise UsageError(f"{what} is not hex", why=repr(text[:40])) from None

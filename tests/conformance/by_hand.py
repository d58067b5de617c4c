"""Vectors by hand, for rows whose meaning lies around the instruction: calls, plain jumps, maps, packets.

A listing is the assembly of the public vectors and, besides: `MAP %r, name` and `DATA %r, name` load a map and the
address of its values, `FUNC %r, name` a function's address, `KFUNC name` calls a function of the kernel, `OWN name`
one of the object's, `RAW opcode dst src offset imm` is one slot. Each vector says what r0 must be; None: it must be
refused, or end in a fault, and never give a number.
"""
from __future__ import annotations

import re
from typing import NamedTuple

from bench.random_code import BTF, TYPES
from bpfwright.spec.objects import Extern, Function, MapSpec, ObjectSpec, ProgramSpec, Relocation
from tests.conformance.assembler import assemble
from tests.conformance.edges import slot

__all__ = ["PACKET", "VECTORS", "ByHand", "spec_of"]

PACKET = bytes(12) + b"\x08\x00" + bytes(range(0x80, 0xB2))
_SOCKET_FILTER, _SCHED_CLS = 1, 3
_CELLS = MapSpec("cells", 2, 4, 32, 1, contents=bytes(range(1, 33)))


class ByHand(NamedTuple):
    """`rows` are the (opcode, source register or -1) that it covers. `linux` is False for what Linux refuses to load:
    the reason stands beside it in the table."""

    name: str
    rows: tuple[tuple[int, int], ...]
    text: str
    result: int | None
    functions: tuple[tuple[str, str], ...] = ()
    linux: bool = True
    kind: int = _SCHED_CLS


_ADD_UP = "mov %r0, %r1\nadd %r0, %r2\nadd %r0, %r3\nadd %r0, %r4\nadd %r0, %r5\nmov %r6, 0\nmov %r9, 0\nexit"
_LOOKUP = "stw [%r10-4], {key}\nmov %r2, %r10\nadd %r2, -4\nMAP %r1, cells\ncall 1\n"
_FAR = "mov %r2, 1\n" * 40_000


def _absolute(opcode: int, offset: int, *, src: int = 0) -> str:
    """A load of the packet between values that it must leave alone, or may destroy."""
    return f"mov %r6, %r1\nmov %r7, 10\nmov %r8, -4\nmov %r0, -1\nRAW {opcode:#x} 0 {src} 0 {offset}\nexit"


def _loads() -> list[ByHand]:
    """(opcode of the absolute form, offset, result): in range, at the last byte, behind it, from the network header."""
    net, link = -0x100000, -0x200000
    cases = ((0x20, 14, 0x80818283), (0x20, 60, 0xAEAFB0B1 if len(PACKET) == 64 else 0), (0x20, 61, 0),
             (0x20, 0x7FFFFFFF, 0), (0x20, net + 0, 0x80818283), (0x20, link + 12, 0x08008081), (0x20, -1, 0),
             (0x28, 12, 0x0800), (0x28, 62, 0xB0B1), (0x28, 63, 0), (0x28, net + 2, 0x8283), (0x30, 14, 0x80),
             (0x30, 63, 0xB1), (0x30, 64, 0), (0x30, net + 49, 0xB1), (0x30, net + 50, 0))
    found = []
    for opcode, offset, result in cases:
        found.append(ByHand(f"absolute {opcode:#x} at {offset}", ((opcode, 0),), _absolute(opcode, offset), result))
        indirect = opcode + 0x20
        for register, value in ((7, 10), (8, -4)):
            if -0x80000000 <= offset - value <= 0x7FFFFFFF:
                found.append(ByHand(f"indirect {indirect:#x} at {offset - value} and r{register}", ((indirect, -1),),
                                    _absolute(indirect, offset - value, src=register), result))
    # Socket filters see the packet from its network header on; what lies in front of it is there all the same.
    for offset, result in ((0, 0x80818283), (46, 0xAEAFB0B1), (47, 0), (net, 0x80818283), (link + 12, 0x08008081),
                           (link + 60, 0xAEAFB0B1), (link + 61, 0), (link - 1, 0)):
        found.append(ByHand(f"absolute at {offset} of a socket filter", ((0x20, 0),), _absolute(0x20, offset), result,
                            kind=_SOCKET_FILTER))
    return found


def _refused() -> list[ByHand]:
    """What is no program, and what an object's relocations have to turn into something else first."""
    listings = {
        "the end is missing": "mov %r0, 1", "nothing at all": "", "a jump behind the end": "ja 5\nexit",
        "a jump before the beginning": "ja -5\nexit", "a far jump behind the end": "ja32 70000\nexit",
        "a branch behind the end": "mov %r0, 1\njeq %r0, 1, 9\nexit",
        "a jump into a wide load": "ja 1\nlddw %r0, 1\nexit", "a call behind the end": "call local 7\nexit",
        "half a wide load": "RAW 0x18 0 0 0 1",
        "a wide load of two first halves": "RAW 0x18 0 0 0 1\nRAW 0x18 0 0 0 1\nexit",
        "an opcode of nothing": "RAW 0xff 0 0 0 0\nexit", "an atomic of nothing": "RAW 0xdb 10 1 -8 0x33\nexit",
        "an atomic of 16 bits": "mov %r1, 1\nRAW 0xcb 10 1 -8 0\nmov %r0, 1\nexit",
        "a swap of 8 bits": "mov %r0, 1\nRAW 0xd7 0 0 0 8\nexit", "register 11": "RAW 0xbf 0 11 0 0\nexit",
        "a write to r10": "mov %r10, 1\nmov %r0, 1\nexit", "gotox": "mov %r1, 2\nRAW 0x0d 1 0 0 0\nmov %r0, 1\nexit",
        "a helper of nothing": "call 9999\nmov %r0, 1\nexit",
        "the stack's other side": "ldxb %r0, [%r10]\nexit", "below the stack": "mov %r0, 1\nstb [%r10-513], 1\nexit",
    }
    sources = {1: "a map's descriptor", 2: "a place in a map by its descriptor", 3: "a variable's type",
               5: "a map by its index", 6: "a place in a map by its index"}
    found = [ByHand(f"refused: {name}", (), text, None) for name, text in listings.items()]
    return found + [ByHand(f"refused: {name}, which no object resolved", ((0x18, source),),
                           f"RAW 0x18 0 {source} 0 77\nRAW 0 0 0 0 0\nmov %r0, 1\nexit", None)
                    for source, name in sources.items()]


VECTORS: tuple[ByHand, ...] = (
    ByHand("exit gives r0", ((0x95, 0),), "mov %r0, 7\nexit", 7),
    ByHand("exit gives the low half to whoever asked", ((0x95, 0),), "lddw %r0, 0x100000007\nexit", 7),
    ByHand("goto nothing", ((0x05, 0),), "mov %r0, 3\nja 0\nexit", 3),
    ByHand("goto forward", ((0x05, 0),), "mov %r0, 3\nja over\nover: add %r0, 1\nexit", 4),
    ByHand("goto backward", ((0x05, 0),),
           "mov %r0, 0\nja there\nback: add %r0, 5\nexit\nthere: add %r0, 2\nja back", 7),
    ByHand("gotol nothing", ((0x06, 0),), "mov %r0, 3\nja32 0\nexit", 3),
    ByHand("gotol backward", ((0x06, 0),),
           "mov %r0, 0\nja32 there\nback: add %r0, 5\nexit\nthere: add %r0, 2\nja32 back", 7),
    # Linux refuses instructions that nothing reaches.
    ByHand("gotol over 40,000", ((0x06, 0),), f"mov %r0, 3\nja32 over\n{_FAR}over: add %r0, 1\nexit", 4, linux=False),
    ByHand("wide: all ones", ((0x18, 0), (0, 0)), "lddw %r1, 0xffffffffffffffff\nmov %r0, 0\nsub %r0, %r1\nexit", 1),
    ByHand("wide: the low half has no sign", ((0x18, 0), (0, 0)), "lddw %r0, 0x80000000\nrsh %r0, 32\nexit", 0),
    ByHand("wide: the high half", ((0x18, 0), (0, 0)), "lddw %r0, 0x8000000000000000\nrsh %r0, 60\nexit", 8),
    ByHand("wide: both halves", ((0x18, 0), (0, 0)),
           "lddw %r1, 0x123456789abcdef0\nmov %r0, %r1\nrsh %r1, 32\nxor %r0, %r1\nexit", 0x88888888),
    ByHand("map by descriptor", ((0x18, 1), (0x85, 0)),
           _LOOKUP.format(key=0) + "jeq %r0, 0, exit\nldxw %r0, [%r0+20]\nexit", 0x18171615),
    ByHand("map by descriptor, no such key", ((0x18, 1), (0x85, 0)),
           _LOOKUP.format(key=1) + "jne %r0, 0, some\nmov %r0, 5\nexit\nsome: mov %r0, 6\nexit", 5),
    ByHand("a map's values", ((0x18, 2),), "DATA %r1, cells\nldxh %r0, [%r1+2]\nexit", 0x0403),
    ByHand("a place in a map's values", ((0x18, 2),), "DATA %r1, cells+9\nldxb %r0, [%r1+0]\nexit", 10),
    ByHand("helper: r6 to r9 stay", ((0x85, 0),),
           "mov %r6, 1\nmov %r7, 2\nmov %r8, 4\nmov %r9, 8\ncall 8\nmov %r0, 0\n"
           "add %r0, %r6\nadd %r0, %r7\nadd %r0, %r8\nadd %r0, %r9\nexit", 15),
    ByHand("a variable that is not there", ((0x18, 3),),
           "EXTERN %r1, no_such_variable\nmov %r0, 0\nadd %r0, %r1\nexit", 0),
    ByHand("a function's address", ((0x18, 4),),
           "mov %r1, 4\nFUNC %r2, callback\nmov %r3, %r10\nadd %r3, -8\nstdw [%r10-8], 1\nmov %r4, 0\ncall 181\n"
           "ldxdw %r1, [%r10-8]\nadd %r0, %r1\nexit", 4 + 16,
           (("callback", "ldxdw %r3, [%r2+0]\nlsh %r3, 1\nstxdw [%r2+0], %r3\nmov %r0, 0\nexit"),)),
    ByHand("local call: five arguments, four registers kept", ((0x85, 1),),
           "mov %r6, 100\nmov %r9, 200\nmov %r1, 1\nmov %r2, 2\nmov %r3, 3\nmov %r4, 4\nmov %r5, 5\nOWN one\n"
           "add %r0, %r6\nadd %r0, %r9\nexit", 315, (("one", _ADD_UP),)),
    ByHand("local call: a frame of its own", ((0x85, 1),),
           "stdw [%r10-8], 11\nOWN one\nldxdw %r0, [%r10-8]\nexit", 11,
           (("one", "stdw [%r10-8], 22\nmov %r0, 0\nexit"),)),
    ByHand("local call: the caller's frame", ((0x85, 1),),
           "stdw [%r10-8], 11\nmov %r1, %r10\nadd %r1, -8\nOWN one\nldxdw %r0, [%r10-8]\nexit", 22,
           (("one", "stdw [%r1+0], 22\nmov %r0, 0\nexit"),)),
    ByHand("local call: within one listing", ((0x85, 1),),
           "mov %r1, 40\ncall local twice\nadd %r0, 2\nexit\ntwice: mov %r0, %r1\nadd %r0, %r1\nexit", 82),
    ByHand("local calls: seven deep", ((0x85, 1),), "mov %r1, 1\nOWN one\nexit", 8,
           tuple((name, f"add %r1, 1\nOWN {below}\nexit" if below else "mov %r0, %r1\nadd %r0, 1\nexit")
                 for name, below in zip(("one", "two", "three", "four", "five", "six", "seven"),
                                        ("two", "three", "four", "five", "six", "seven", ""), strict=True))),
    ByHand("kernel function by its type", ((0x85, 2),),
           "mov %r7, 0\nmov %r1, %r10\nadd %r1, -8\nmov %r2, 3\nmov %r3, 7\nKFUNC bpf_iter_num_new\n"
           "more: mov %r1, %r10\nadd %r1, -8\nKFUNC bpf_iter_num_next\njeq %r0, 0, done\nldxw %r1, [%r0+0]\n"
           "add %r7, %r1\nja more\ndone: mov %r1, %r10\nadd %r1, -8\nKFUNC bpf_iter_num_destroy\nmov %r0, %r7\nexit",
           3 + 4 + 5 + 6),
    # Linux's additions to the RFC.
    *(ByHand(f"load_acquire of {size} bytes", (), f"lddw %r1, 0xf1f2f3f4f5f6f7f8\nstxdw [%r10-8], %r1\n"
             f"RAW {opcode:#x} 0 10 -8 0x100\nmov %r1, 56\nrsh %r0, {max(8 * size - 8, 0)}\nexit", 0xF8 - size + 1)
      for size, opcode in ((1, 0xD3), (2, 0xCB), (4, 0xC3), (8, 0xDB))),
    *(ByHand(f"store_release of {size} bytes", (), f"stdw [%r10-8], -1\nmov %r1, 0\nRAW {opcode:#x} 10 1 -8 0x110\n"
             f"ldxdw %r0, [%r10-8]\nmov %r2, 0\nsub %r2, %r0\nmov %r0, %r2\nrsh %r0, {8 * size % 64}\nexit",
             1 if size < 8 else 0) for size, opcode in ((1, 0xD3), (2, 0xCB), (4, 0xC3), (8, 0xDB))),
    ByHand("may_goto goes on", (), "mov %r0, 0\nmore: add %r0, 1\nRAW 0xe5 0 0 2 0\njge %r0, 5, 1\nja more\nexit", 5),
    # No Linux takes callx from a program yet.
    ByHand("callx of a function", (), "FUNC %r6, callback\nmov %r1, 20\ncall %r6\nadd %r0, 1\nexit", 41,
           (("callback", "mov %r0, %r1\nadd %r0, %r1\nexit"),), linux=False),
    *_loads(),
    *_refused(),
)

_WORD = re.compile(r"(?:(\w+): )?(MAP|DATA|FUNC|EXTERN|KFUNC|OWN|RAW) (.*)")


def _function(name: str, text: str) -> Function:
    """A listing with its references taken out."""
    relocations, lines, raws, at = [], [], {}, 0
    for line in filter(None, map(str.strip, text.splitlines())):
        found = _WORD.fullmatch(line)
        if found is None:
            lines.append(line)
            at += 2 if "lddw" in line else 1
            continue
        label = f"{found[1]}: " if found[1] else ""
        kind, rest = found[2], found[3]
        if kind == "RAW":
            opcode, dst, src, offset, imm = (int(word, 0) for word in rest.split())
            raws[at] = slot(opcode, dst, src, offset, imm)
            line = "ja 0"
        elif kind in ("KFUNC", "OWN"):
            relocations.append(Relocation(at, "kfunc" if kind == "KFUNC" else "call", rest))
            raws[at] = slot(0x85, 0, 2 if kind == "KFUNC" else 1)
            line = "ja 0"
        else:
            register, _, rest = rest.partition(", ")
            target, _, place = rest.partition("+")
            relocations.append(Relocation(at, kind.lower(), target, int(place or 0)))
            line = f"lddw {register}, 0"
        lines.append(label + line)
        at += 2 if line.startswith("lddw") else 1
    code = bytearray(assemble("\n".join(lines)))
    for position, data in raws.items():
        code[8 * position:8 * position + 8] = data
    # Linux wants a type of every function or of none; those of a listing's own labels have none.
    return Function(name, bytes(code), tuple(relocations), type_id=0 if "call local" in text else TYPES[name])


def spec_of(vector: ByHand) -> ObjectSpec:
    """A program for traffic control, the map `cells` beside it."""
    functions = (_function("main", vector.text), *(_function(name, text) for name, text in vector.functions))
    references = [one for function in functions for one in function.relocations]
    externs = [Extern(name, "kfunc", TYPES[name], False)
               for name in sorted({one.name for one in references if one.kind == "kfunc"})]
    externs += [Extern(one.name, "ksym", 0, True) for one in references if one.kind == "extern"]
    return ObjectSpec((ProgramSpec("main", "main", "test", vector.kind),), functions, (_CELLS,), tuple(externs), BTF)

"""Random programs for measuring a verifier: templates by feature, then mutations; knows nothing of any checker.

Every program is an ObjectSpec that a kernel can be shown. A stratum is a kind of program and a feature.
"""
from __future__ import annotations

from random import Random

from bench.random_code import (
    ADD,
    ALL_KINDS,
    AND,
    ARSH,
    BTF,
    COMPARISONS,
    Draft,
    EXIT,
    FEATURES,
    KINDS,
    LSH,
    MAPS,
    MOD,
    MORE_KINDS,
    MUL,
    OR,
    RSH,
    SUB,
    TYPES,
    XOR,
    _LOCKING,
    _PACKET,
)
from bench.pieces import PIECES
from bpfwright.formats.isa.instructions import encode
from bpfwright.spec.objects import Extern, Function, ObjectSpec, ProgramSpec

__all__ = ["BTF", "FEATURES", "KINDS", "MAPS", "TYPES", "generate", "mutate", "spec_of", "strata"]


def strata() -> list[tuple[str, str]]:
    """Every kind of program with every feature that it can have."""
    more = [(kind, feature) for kind in MORE_KINDS for feature in ("helpers", "contexts")]
    return more + [(kind, feature) for kind in KINDS for feature in FEATURES
            if not (feature == "locks" and kind not in _LOCKING) and not (
                feature == "packets" and kind not in _PACKET)
            and not (feature == "iterators" and kind in ("socket_filter", "sk_lookup"))
            and not (feature == "timers" and kind not in (*_LOCKING, "sk_lookup"))
            and not (feature == "kfuncs" and kind in ("socket_filter", "sk_lookup"))]


def generate(rng: Random, kind: str, feature: str) -> ObjectSpec:
    """One program of a stratum."""
    d = Draft(rng, kind)
    c = d.main
    out = "out"
    c.mov(6, 1)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        others = ("maps", "pointers") if kind in MORE_KINDS else ("ranges", "maps", "pointers")
        piece = PIECES[feature if rng.random() < 0.85 else rng.choice(others)]
        piece(d, c, out)
    if rng.random() < 0.02:
        c.map(2, "tails")
        c.mov(1, 6)
        c.num(3, 1)
        c.call(12)
    if rng.random() < 0.97:
        c.num(0, rng.choice((0, 1, 1, 1)))
    last = c.label("last")
    c.goto(last)
    c.here(out)
    c.num(0, 1)
    c.here(last)
    c.add(EXIT)
    return assemble(d)


def assemble(d: Draft) -> ObjectSpec:
    functions = tuple(Function(code.name, encode(code.done()), tuple(code.relocations), type_id=TYPES[code.name],
                               is_global=code.name.startswith("global"))
                      for code in (d.main, *d.functions))
    return spec_of(functions, d.kind)


def spec_of(functions: tuple[Function, ...], kind: str) -> ObjectSpec:
    number, attach = ALL_KINDS[kind]
    wanted = {one.name for function in functions for one in function.relocations if one.kind == "kfunc"}
    externs = tuple(Extern(name, "kfunc", TYPES[name], False) for name in sorted(wanted))
    return ObjectSpec((ProgramSpec("main", "main", kind, number, attach),), functions, MAPS, externs, BTF)


# Mutations: what goes wrong in hand-written and compiled programs

def mutate(rng: Random, spec: ObjectSpec) -> ObjectSpec:
    """One to three changes of instructions."""
    functions = list(spec.functions)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        which = rng.randrange(len(functions))
        functions[which] = _changed(rng, functions[which])
    return spec._replace(functions=tuple(functions))


def _changed(rng: Random, function: Function) -> Function:
    code = bytearray(function.insns)
    count = len(code) // 8
    fixed = {one.index for one in function.relocations}
    wide = {at + 1 for at in range(count) if code[8 * at] == 0x18 and (at + 1) not in fixed}
    places = [at for at in range(count) if at not in fixed and at not in wide and code[8 * at] != 0x18]
    if not places:
        return function
    at = rng.choice(places)
    opcode, registers = code[8 * at], code[8 * at + 1]
    offset = int.from_bytes(code[8 * at + 2:8 * at + 4], "little", signed=True)
    imm = int.from_bytes(code[8 * at + 4:8 * at + 8], "little", signed=True)
    kind = opcode & 7
    jump = kind in (5, 6) and opcode not in (0x85, 0x95)
    way = rng.randrange(8)
    if jump:
        if way < 3 and opcode & 0xF0 not in (0x00, 0xE0):
            opcode = opcode & 0x0F | rng.choice(COMPARISONS)
        elif way == 3:
            offset += rng.choice((1, -1, 2))
        elif way == 4 and opcode not in (0x05, 0x06, 0xE5):
            opcode, registers, offset, imm = 0x05, 0, 0, 0       # the check is dropped
        elif way == 5 and opcode not in (0x05, 0x06, 0xE5) and not opcode & 8:
            imm += rng.choice((1, -1, 8, -8, 100))
        elif way == 6 and opcode not in (0x05, 0x06, 0xE5):
            opcode ^= 3                                           # the other width
        else:
            registers = _other_register(rng, registers)
    elif kind in (1, 2, 3):
        if way < 3:
            offset += rng.choice((1, -1, 4, -4, 8, -8, 64, -64))
        elif way < 5:
            opcode = opcode & ~0x18 | rng.choice((0, 8, 0x10, 0x18))
        else:
            registers = _other_register(rng, registers)
    elif opcode == 0x85:
        if way < 4:
            opcode, registers, imm = 0xB7, 0, 0                   # the call (a release, say) is dropped
        elif registers >> 4 == 0:
            imm = rng.choice((1, 2, 3, 5, 7, 8, 14, 25, 44, 86, 93, 94, 112, 131, 132, 133, imm + 1, imm - 1))
    elif kind in (4, 7):
        if way < 3 and not opcode & 8:
            imm += rng.choice((1, -1, 8, -8, 16, -imm, 1 << 16))
        elif way == 3:
            opcode ^= 3
        elif way < 6 and opcode & 0xF0 not in (0x80, 0xB0, 0xD0):
            opcode = opcode & 0x0F | rng.choice((ADD, SUB, MUL, OR, AND, LSH, RSH, MOD, XOR, ARSH))
        else:
            registers = _other_register(rng, registers)
    else:
        registers = _other_register(rng, registers)
    code[8 * at:8 * at + 8] = (bytes((opcode & 0xFF, registers)) + (offset & 0xFFFF).to_bytes(2, "little")
                               + (imm & 0xFFFFFFFF).to_bytes(4, "little"))
    return function._replace(insns=bytes(code))


def _other_register(rng: Random, registers: int) -> int:
    if rng.random() < 0.5:
        return registers & 0xF0 | rng.randrange(11)
    return registers & 0x0F | rng.randrange(11) << 4

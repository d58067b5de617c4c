"""The one table of eBPF opcodes (RFC 9669 and the kernel's additions): what decodes, prints and executes them reads it.

A row says what an opcode byte means. Three meanings hide in other fields and are resolved by `Instruction.meaning`:
signed division and moves with sign extension (offset), atomics (immediate), load-acquire and store-release.
"""
from __future__ import annotations

from bpfwright._typing import NamedTuple



__all__ = ["ATOMICS", "OPCODES", "Opcode"]


class Opcode(NamedTuple):
    """One opcode byte.

    `op` is the operation: `add sub mul div or and lsh rsh neg mod xor mov arsh` · `to_le to_be bswap` · `ja jeq jgt jge
    jset jne jsgt jsge jlt jle jslt jsle` · `call callx exit may_goto` · `ldimm64 ldabs ldind ldx ldxs st stx atomic`.
    `width` is in bits (of the operation, or of the memory accessed), `operand` is `k` (immediate), `x` (register) or
    empty. `text` prints it; see disassembler.py for the names in it.
    """

    code: int
    op: str
    width: int
    operand: str
    text: str


_ALU = (("add", 0x00, "+="), ("sub", 0x10, "-="), ("mul", 0x20, "*="), ("div", 0x30, "/="), ("or", 0x40, "|="),
        ("and", 0x50, "&="), ("lsh", 0x60, "<<="), ("rsh", 0x70, ">>="), ("mod", 0x90, "%="), ("xor", 0xA0, "^="),
        ("mov", 0xB0, "="), ("arsh", 0xC0, "s>>="))
_JUMPS = (("jeq", 0x10, "=="), ("jgt", 0x20, ">"), ("jge", 0x30, ">="), ("jset", 0x40, "&"), ("jne", 0x50, "!="),
          ("jsgt", 0x60, "s>"), ("jsge", 0x70, "s>="), ("jlt", 0xA0, "<"), ("jle", 0xB0, "<="), ("jslt", 0xC0, "s<"),
          ("jsle", 0xD0, "s<="))
_SIZES = ((32, 0x00), (16, 0x08), (8, 0x10), (64, 0x18))
_ALU_CLASSES = ((32, 0x04, "w"), (64, 0x07, "r"))
_JUMP_CLASSES = ((64, 0x05, "r"), (32, 0x06, "w"))


def _rows() -> list[Opcode]:
    rows = []
    for width, klass, reg in _ALU_CLASSES:
        for op, bits, sign in _ALU:
            rows.append(Opcode(klass | bits, op, width, "k", f"{reg}{{dst}} {sign} {{imm}}"))
            rows.append(Opcode(klass | bits | 8, op, width, "x", f"{reg}{{dst}} {sign} {reg}{{src}}"))
        rows.append(Opcode(klass | 0x80, "neg", width, "", f"{reg}{{dst}} = -{reg}{{dst}}"))
    rows.append(Opcode(0xD4, "to_le", 64, "", "r{dst} = le{imm} r{dst}"))
    rows.append(Opcode(0xDC, "to_be", 64, "", "r{dst} = be{imm} r{dst}"))
    rows.append(Opcode(0xD7, "bswap", 64, "", "r{dst} = bswap{imm} r{dst}"))
    for width, klass, reg in _JUMP_CLASSES:
        for op, bits, sign in _JUMPS:
            rows.append(Opcode(klass | bits, op, width, "k", f"if {reg}{{dst}} {sign} {{imm}} goto {{jump}}"))
            rows.append(Opcode(klass | bits | 8, op, width, "x", f"if {reg}{{dst}} {sign} {reg}{{src}} goto {{jump}}"))
    rows.append(Opcode(0x05, "ja", 64, "", "goto {jump}"))
    rows.append(Opcode(0x06, "ja", 32, "", "gotol {long_jump}"))
    rows.append(Opcode(0x0D, "gotox", 64, "x", "gotox r{dst}"))
    rows.append(Opcode(0x85, "call", 64, "k", "call {callee}"))
    rows.append(Opcode(0x8D, "callx", 64, "x", "callx r{dst}"))
    rows.append(Opcode(0x95, "exit", 64, "", "exit"))
    rows.append(Opcode(0xE5, "may_goto", 64, "", "may_goto {jump}"))
    rows.append(Opcode(0x18, "ldimm64", 64, "k", "r{dst} = {wide}"))
    for width, size in _SIZES:
        if width != 64:
            rows.append(Opcode(0x20 | size, "ldabs", width, "k", f"r0 = *(u{width} *)skb[{{imm}}]"))
            rows.append(Opcode(0x40 | size, "ldind", width, "x", f"r0 = *(u{width} *)skb[r{{src}} + {{imm}}]"))
            rows.append(Opcode(0x81 | size, "ldxs", width, "x", f"r{{dst}} = *(s{width} *)(r{{src}} {{place}})"))
        rows.append(Opcode(0x61 | size, "ldx", width, "x", f"r{{dst}} = *(u{width} *)(r{{src}} {{place}})"))
        rows.append(Opcode(0x62 | size, "st", width, "k", f"*(u{width} *)(r{{dst}} {{place}}) = {{imm}}"))
        rows.append(Opcode(0x63 | size, "stx", width, "x", f"*(u{width} *)(r{{dst}} {{place}}) = r{{src}}"))
        rows.append(Opcode(0xC3 | size, "atomic", width, "x", ""))
    return rows


OPCODES: dict[int, Opcode] = {row.code: row for row in _rows()}

# The immediate of an atomic -> (operation, what it prints as).
ATOMICS: dict[int, tuple[str, str]] = {
    0x00: ("add", "lock *(u{width} *)(r{dst} {place}) += {reg}{src}"),
    0x40: ("or", "lock *(u{width} *)(r{dst} {place}) |= {reg}{src}"),
    0x50: ("and", "lock *(u{width} *)(r{dst} {place}) &= {reg}{src}"),
    0xA0: ("xor", "lock *(u{width} *)(r{dst} {place}) ^= {reg}{src}"),
    0x01: ("fetch_add", "{reg}{src} = atomic_fetch_add((u{width} *)(r{dst} {place}), {reg}{src})"),
    0x41: ("fetch_or", "{reg}{src} = atomic_fetch_or((u{width} *)(r{dst} {place}), {reg}{src})"),
    0x51: ("fetch_and", "{reg}{src} = atomic_fetch_and((u{width} *)(r{dst} {place}), {reg}{src})"),
    0xA1: ("fetch_xor", "{reg}{src} = atomic_fetch_xor((u{width} *)(r{dst} {place}), {reg}{src})"),
    0xE1: ("xchg", "{reg}{src} = xchg_{width}(r{dst} {place}, {reg}{src})"),
    0xF1: ("cmpxchg", "{reg}0 = cmpxchg_{width}(r{dst} {place}, {reg}0, {reg}{src})"),
    0x100: ("load_acquire", "{reg}{dst} = load_acquire((u{width} *)(r{src} {place}))"),
    0x110: ("store_release", "store_release((u{width} *)(r{dst} {place}), {reg}{src})"),
}

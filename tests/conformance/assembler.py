"""The assembly of the public conformance vectors (see the README beside them): text to bytecode."""
from __future__ import annotations

import re
from struct import pack

_ALU = {"add": 0x00, "sub": 0x10, "mul": 0x20, "div": 0x30, "or": 0x40, "and": 0x50, "lsh": 0x60, "rsh": 0x70,
        "mod": 0x90, "xor": 0xA0, "mov": 0xB0, "arsh": 0xC0, "sdiv": 0x30, "smod": 0x90}
_JUMPS = {"jeq": 0x10, "jgt": 0x20, "jge": 0x30, "jset": 0x40, "jne": 0x50, "jsgt": 0x60, "jsge": 0x70, "jlt": 0xA0,
          "jle": 0xB0, "jslt": 0xC0, "jsle": 0xD0}
_SIZES = {"w": 0x00, "h": 0x08, "b": 0x10, "dw": 0x18}
_LOCKED = {"add": 0x00, "or": 0x40, "and": 0x50, "xor": 0xA0, "xchg": 0xE1, "cmpxchg": 0xF1}


def assemble(text: str) -> bytes:
    """Bytecode of a listing; ValueError for a line that it does not know."""
    lines, labels, at = [], {}, 0
    for raw in text.splitlines():
        line = raw.split("#")[0].strip()
        while (found := re.match(r"(\w+):\s*", line)) is not None:
            labels[found[1]] = at
            line = line[found.end():]
        if not line:
            continue
        if line == "exit":
            labels.setdefault("exit", at)
        lines.append((at, line))
        at += 2 if line.startswith("lddw") else 1
    return b"".join(_one(at, line, labels) for at, line in lines)


def _one(at: int, line: str, labels: dict[str, int]) -> bytes:
    name, _, rest = line.partition(" ")
    operands = [part.strip() for part in rest.split(",")] if rest else []

    def insn(opcode: int, dst: int = 0, src: int = 0, offset: int = 0, imm: int = 0) -> bytes:
        imm &= 0xFFFFFFFF
        return pack("<BBhi", opcode, src << 4 | dst, offset, imm - (1 << 32) if imm >> 31 else imm)

    def jump(word: str) -> int:
        return labels[word] - at - 1 if word in labels else int(word, 0)

    if name == "exit":
        return insn(0x95)
    if name == "lddw":
        value = int(operands[1], 0) & (1 << 64) - 1
        return insn(0x18, _register(operands[0]), imm=value) + insn(0, imm=value >> 32)
    if name == "ja":
        return insn(0x05, offset=jump(operands[0]))
    if name == "ja32":
        return insn(0x06, imm=jump(operands[0]))
    if name == "call":
        kind, _, what = rest.partition(" ")
        if kind == "local":
            return insn(0x85, src=1, imm=jump(what))
        word = what or kind
        return insn(0x8D, _register(word)) if word.startswith("%") else insn(0x85, imm=int(word, 0))
    if name == "lock":
        return _locked(rest, insn)
    if (found := re.fullmatch(r"(be|le|swap|bswap)(16|32|64)", name)) is not None:
        opcode = {"be": 0xDC, "le": 0xD4}.get(found[1], 0xD7)
        return insn(opcode, _register(operands[0]), imm=int(found[2]))
    if (found := re.fullmatch(r"movsx(8|16|32)(32|64)", name)) is not None:
        return insn(0xBF if found[2] == "64" else 0xBC, _register(operands[0]), _register(operands[1]), int(found[1]))
    if (found := re.fullmatch(r"(st|stx|ldx|ldxs)(b|h|w|dw)", name)) is not None:
        return _memory(found[1], _SIZES[found[2]], operands, insn)
    word, narrow = (name[:-2], True) if name.endswith("32") else (name, False)
    if word == "neg":
        return insn(0x84 if narrow else 0x87, _register(operands[0]))
    if word in _ALU:
        signed = int(word in ("sdiv", "smod"))
        base = _ALU[word] | (0x04 if narrow else 0x07)
        if operands[1].startswith("%"):
            return insn(base | 8, _register(operands[0]), _register(operands[1]), signed)
        return insn(base, _register(operands[0]), 0, signed, int(operands[1], 0))
    if word in _JUMPS:
        base = _JUMPS[word] | (0x06 if narrow else 0x05)
        offset = jump(operands[2])
        if operands[1].startswith("%"):
            return insn(base | 8, _register(operands[0]), _register(operands[1]), offset)
        return insn(base, _register(operands[0]), 0, offset, int(operands[1], 0))
    raise ValueError(line)


def _register(text: str) -> int:
    return int(text.removeprefix("%r"))


def _place(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"\[%r(\d+)\s*([+-]\s*\w+)?\]", text)
    assert found is not None, text
    return int(found[1]), int((found[2] or "0").replace(" ", ""), 0)


def _memory(kind: str, size: int, operands: list[str], insn: object) -> bytes:
    make: object = insn
    if kind in ("ldx", "ldxs"):
        base, offset = _place(operands[1])
        return make((0x61 if kind == "ldx" else 0x81) | size, _register(operands[0]), base, offset)  # type: ignore
    base, offset = _place(operands[0])
    if kind == "stx":
        return make(0x63 | size, base, _register(operands[1]), offset)  # type: ignore
    return make(0x62 | size, base, 0, offset, int(operands[1], 0))  # type: ignore


def _locked(rest: str, insn: object) -> bytes:
    words, _, operands = rest.partition("[")
    fetch, *names = words.split() if words.startswith("fetch") else ["", *words.split()]
    name, narrow = (names[0][:-2], True) if names[0].endswith("32") else (names[0], False)
    place, _, source = ("[" + operands).partition(",")
    base, offset = _place(place.strip())
    make: object = insn
    return make(0xC3 if narrow else 0xDB, base, _register(source.strip()), offset,  # type: ignore
                _LOCKED[name] | (1 if fetch else 0))

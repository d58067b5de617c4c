"""The static tracepoints of programs and libraries: the notes that <sys/sdt.h> leaves in .note.stapsdt.

A note says where the probe is, where the counter is that its program asks whether somebody listens (the semaphore), and
as text, in the assembler's syntax, where each argument stands.
"""
from __future__ import annotations

import re
from struct import Struct

from bpfwright._typing import NamedTuple
from bpfwright.errors import ElfError, FormatError
from bpfwright.formats.elf.program import PT_LOAD, Program

__all__ = ["StaticArgument", "StaticProbe", "parse_argument", "static_probes"]

_NOTE = Struct("<III")
_PLACES = Struct("<QQQ")
_TYPE = 3
_OWNER = b"stapsdt\0"


class StaticProbe(NamedTuple):
    """One place of a probe. `address` and `offset` are its instruction's, in memory and in the file; `semaphore` is the
    file offset of the counter to be raised while somebody listens, 0 without one; `arguments` as the note has them."""

    provider: str
    name: str
    address: int
    offset: int
    semaphore: int
    arguments: tuple[str, ...]


class StaticArgument(NamedTuple):
    """Where an argument of `size` bytes stands.

    | kind | value |
    |---|---|
    | constant | `offset` |
    | register | of `base`, the bits from `shift` on |
    | memory | at `base` + `index` * `scale` + `offset` |
    | symbol | at `symbol` + `offset` |
    | float | a vector register's, `base` |
    """

    size: int
    signed: bool
    kind: str
    base: str = ""
    offset: int = 0
    index: str = ""  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    scale: int = 1
    symbol: str = ""
    shift: int = 0


def static_probes(program: Program) -> list[StaticProbe]:
    """The probes of a program or library, in the order of its notes; ElfError for damaged ones."""
    section = program.section(b".note.stapsdt")
    if section is None:
        return []
    data = program.contents(section)
    base = next((s.address for s in program.sections if s.name == b".stapsdt.base"), 0)
    found, at = [], 0
    while at + _NOTE.size <= len(data):
        name_size, size, kind = _NOTE.unpack_from(data, at)
        name_at = at + _NOTE.size
        at = name_at + (name_size + 3 & ~3)
        if at + size > len(data):
            raise ElfError("malformed static tracepoint", why="its note is longer than its section")
        if kind == _TYPE and data[name_at:name_at + name_size] == _OWNER:
            found.append(_probe(program, data[at:at + size], base))
        at += size + 3 & ~3
    return found


def _probe(program: Program, note: bytes, base: int) -> StaticProbe:
    texts = note[_PLACES.size:].split(b"\0")
    if len(note) < _PLACES.size or len(texts) < 3:
        raise ElfError("malformed static tracepoint", why=f"a note of {len(note)} bytes")
    address, noted, semaphore = _PLACES.unpack_from(note)
    moved = base - noted if base and noted else 0  # the file was prelinked after the note was written
    address += moved
    provider, name, arguments = (text.decode("utf-8", "replace") for text in texts[:3])
    return StaticProbe(provider, name, address, _offset(program, address),
                       _offset(program, semaphore + moved) if semaphore else 0, _split(arguments))


def _offset(program: Program, address: int) -> int:
    for segment in program.segments:
        if segment.type == PT_LOAD and segment.address <= address < segment.address + segment.size:
            return segment.offset + address - segment.address
    raise ElfError("malformed static tracepoint", why=f"address {address:#x} is in no part of the file")


_ARGUMENT = re.compile(r"(?:[^\s\[(]|\[[^\]]*\]|\([^)]*\))+")


def _split(text: str) -> tuple[str, ...]:
    return tuple(_ARGUMENT.findall(text))


# ------------------------------------------------------------------------------------------------------- arguments

_HEAD = re.compile(r"(?:(-?)(\d+)(f?)@)?(.+)", re.S)
_NUMBER = r"[-+]?(?:0[xX][0-9a-fA-F]+|\d+)"
_X86_MEMORY = re.compile(rf"(?P<offset>{_NUMBER})?\((?:%(?P<base>\w+))?(?:,%(?P<index>\w+)(?:,(?P<scale>[1248]))?)?\)")
_X86_SYMBOL = re.compile(rf"(?:(?P<first>{_NUMBER})\+)?(?P<symbol>[A-Za-z_.$][\w.$@]*)(?P<offset>[-+]\w+)?"
                         r"(?:\(%rip\))?")
_X86_OUTER = {"ax": "rax", "bx": "rbx", "cx": "rcx", "dx": "rdx", "si": "rsi", "di": "rdi", "bp": "rbp", "sp": "rsp"}
_ARM_MEMORY = re.compile(rf"\[\s*(?P<base>\w+)\s*(?:,\s*#?(?P<offset>{_NUMBER}))?"
                         r"(?:,\s*(?P<index>[xw]\d+)\s*(?:,\s*(?P<extend>lsl|sxtw|uxtw|sxtx)(?:\s*#(?P<by>[0-4]))?)?"
                         r")?\s*\]")


def parse_argument(text: str, architecture: str) -> StaticArgument:
    """What an argument's text means on `x86_64` or `aarch64`. FormatError for what is neither."""
    found = _HEAD.fullmatch(text)
    if found is None:
        raise FormatError("an argument of nothing")
    sign, size, real, rest = found.groups("")
    width = int(size or 8)
    if width not in (1, 2, 4, 8) and not real:
        raise FormatError(f"`{text}` is an argument of {width} bytes")
    place = (_x86 if architecture == "x86_64" else _arm)(rest)
    if place is None:
        raise FormatError(f"`{text}` is no argument of a static tracepoint on {architecture}")
    return place._replace(size=width, signed=bool(sign), kind="float" if real else place.kind)


def _number(text: str | None) -> int:
    return int(text, 0) if text and not re.fullmatch(r"[-+]?0\d+", text) else int(text or "0", 10)


def _x86(text: str) -> StaticArgument | None:
    if found := re.fullmatch(rf"\$({_NUMBER})", text):
        return StaticArgument(8, False, "constant", offset=_number(found[1]))
    if found := re.fullmatch(r"%(\w+)", text):
        return _x86_register(found[1])
    if found := _X86_MEMORY.fullmatch(text):
        base, index = (_x86_register(name) if name else None for name in (found["base"], found["index"]))
        if (found["base"] and (base is None or base.kind == "float")) or (found["index"] and index is None):
            return None
        return StaticArgument(8, False, "memory", base.base if base is not None else "", _number(found["offset"]),
                              index.base if index is not None else "", int(found["scale"] or 1))
    if found := _X86_SYMBOL.fullmatch(text):
        offset = _number(found["first"]) + _number(found["offset"])
        return StaticArgument(8, False, "symbol", offset=offset, symbol=found["symbol"])
    return None


def _x86_register(name: str) -> StaticArgument | None:
    if re.fullmatch(r"[xyz]mm\d+", name):
        return StaticArgument(8, False, "float", name)
    if found := re.fullmatch(r"(r(?:8|9|1[0-5]))[dwb]?", name):
        return StaticArgument(8, False, "register", found[1])
    if name == "rip":
        return StaticArgument(8, False, "register", name)
    if found := re.fullmatch(r"([abcd])h", name):
        return StaticArgument(8, False, "register", f"r{found[1]}x", shift=8)
    if found := re.fullmatch(r"([abcd])l", name):
        return StaticArgument(8, False, "register", f"r{found[1]}x")
    full = _X86_OUTER.get(name.removesuffix("l") if name in ("sil", "dil", "bpl", "spl") else name.lstrip("re"))
    return StaticArgument(8, False, "register", full) if full is not None else None


def _arm(text: str) -> StaticArgument | None:
    if found := re.fullmatch(rf"#?({_NUMBER})", text):
        return StaticArgument(8, False, "constant", offset=_number(found[1]))
    if found := re.fullmatch(r"\w+", text):
        return _arm_register(text)
    found = _ARM_MEMORY.fullmatch(text)
    base = _arm_register(found["base"]) if found is not None else None
    if found is None or base is None or base.kind != "register":
        return None
    if found["extend"] in ("sxtw", "uxtw", "sxtx"):
        return None  # compilers do not leave them in notes
    return StaticArgument(8, False, "memory", base.base, _number(found["offset"]),
                          f"x{found['index'][1:]}" if found["index"] else "", 1 << int(found["by"] or 0))


def _arm_register(name: str) -> StaticArgument | None:
    if re.fullmatch(r"[dsqhv]\d+", name):
        return StaticArgument(8, False, "float", name)
    if found := re.fullmatch(r"[xw](\d|[12]\d|30)", name):
        return StaticArgument(8, False, "register", f"x{found[1]}")
    if name in ("sp", "wsp"):
        return StaticArgument(8, False, "register", "sp")
    if name in ("xzr", "wzr"):
        return StaticArgument(8, False, "constant")
    return None

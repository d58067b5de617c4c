"""How to unwind: call frame information (.eh_frame) as a table of small rows, sorted by address.

A row holds from its address up to the next one's. What it says is what a frame walker needs and no more: where the
canonical frame address (CFA) is, and where the caller's frame pointer was saved. The return address stands right below
the CFA (x86-64) or beside the frame pointer (AArch64). DWARF 5, section 6.4; the .eh_frame form is that of the Linux
Standard Base, section 10.6; registers are those of the psABIs.
"""
from __future__ import annotations

from struct import Struct, error as StructError

import numpy as np
from numpy.typing import NDArray

from bpfwright._typing import Generator, Iterator, NamedTuple
from bpfwright.errors import FormatError
from bpfwright.formats.elf.program import Program

__all__ = ["FP_AT_FP", "FP_LOST", "ROW", "Rule", "UnwindTable", "frames_in_pieces", "read_frames",
           "unwind_table"]

# Kinds of a row, in its lower bits: where the CFA is. Offsets (cfa, fp) count words of 8 bytes.
NONE = 0       # nothing is known here: no function, or none with tables
SP = 1         # the stack pointer + cfa
FP = 2         # the frame pointer + cfa
PLT = 3        # the stack pointer + cfa, and a word more from byte `fp` of each 16 on: a lazy binding stub has pushed
AT_SP = 4      # what stands at the stack pointer + cfa
AT_FP = 5      # what stands at the frame pointer + cfa: functions that align their stack
SIGNAL = 6     # the kernel's frame of a signal handler: the registers stand in it
END = 7        # the outermost frame: nobody called it
OTHER = 8      # something that is not followed here
RA_IN_REGISTER = 16  # AArch64: the return address is in its register still
FP_AT_FP = 32  # the caller's frame pointer stands at the frame pointer + fp, not at the CFA + fp
FP_LOST = 64   # it is nowhere

ROW = np.dtype([("pc", "<u4"), ("cfa", "<i2"), ("kind", "u1"), ("fp", "i1")])
Rows = NDArray[np.void]
Rule = tuple[int, int, int]  # cfa, kind, fp

_PADDING = 16  # bytes between functions that are no code
_MOST = 1 << 24
_PIECE = 1 << 13  # bytes that are read at a time
_U2, _U4, _U8, _I2, _I4, _I8 = (Struct(f"<{code}") for code in "HIQhiq")
_NUMBERS = {0x00: _U8, 0x02: _U2, 0x03: _U4, 0x04: _U8, 0x0A: _I2, 0x0B: _I4, 0x0C: _I8}
_PC_RELATIVE, _OMITTED = 0x10, 0xFF
_OPERANDS = {  # of instructions that change nothing here: u unsigned, s signed, b block
    0x00: "", 0x08: "u", 0x2D: "", 0x2E: "u"}
_UNKNOWN: Rule = (0, NONE, 0)


class _Registers(NamedTuple):
    """DWARF's numbers for a machine."""

    sp: int
    fp: int
    ra: int


_MACHINES = {62: _Registers(7, 6, 16), 183: _Registers(31, 29, 30)}
_X86 = 62


class UnwindTable(NamedTuple):
    """`rows` by address, each `base` + pc; of `functions` there was information."""

    base: int
    rows: Rows
    functions: int

    def rule(self, address: int) -> Rule:
        """What holds at an address of the file; the CFA's offset in bytes."""
        at = int(np.searchsorted(self.rows["pc"], address - self.base, "right")) - 1 if address >= self.base else -1
        if at < 0:
            return _UNKNOWN
        row = self.rows[at]
        return int(row["cfa"]) * 8, int(row["kind"]), int(row["fp"])


class _Cie(NamedTuple):
    """What several functions share."""

    code_align: int
    data_align: int
    encoding: int
    augmented: bool
    signal: bool
    start: _State


class _State(NamedTuple):
    """Rules at one address. `fp` and `ra`: ("same", 0), ("cfa", offset), ("fp", offset), ("lost", 0), ("other", 0)."""

    cfa: tuple[str, int]
    fp: tuple[str, int]
    ra: tuple[str, int]


_FRESH = _State(("none", 0), ("same", 0), ("same", 0))


def unwind_table(program: Program) -> UnwindTable:
    """The table of a program or library; empty where it has no .eh_frame. Raises FormatError and ElfError."""
    section = program.section(b".eh_frame")
    if section is None or program.machine not in _MACHINES:
        return UnwindTable(0, np.zeros(0, ROW), 0)
    return read_frames(program.contents(section), section.address, program.machine)


def read_frames(data: bytes, address: int, machine: int = _X86) -> UnwindTable:
    """The table of an .eh_frame section that is loaded at an address. Raises FormatError."""
    pieces = frames_in_pieces(data, address, machine)
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            table: UnwindTable = end.value
            return table


def frames_in_pieces(data: bytes, address: int, machine: int = _X86) -> Generator[None, None, UnwindTable]:
    """What `read_frames` does, a few milliseconds at a time: a large file takes seconds, and a caller may have others
    to answer meanwhile. The table is the generator's value."""
    reader = _Reader(data, address, machine)
    try:
        yield from reader.read()
        return reader.table()
    except (IndexError, OverflowError, StructError, ValueError, _NotFollowed) as error:
        raise FormatError(".eh_frame is damaged", offset=reader.at, why=str(error)) from None


class _Reader:
    def __init__(self, data: bytes, address: int, machine: int) -> None:
        self.data = data
        self.address = address
        self.machine = machine
        self.registers = _MACHINES[machine]
        self.at = 0
        self.cies: dict[int, _Cie] = {}
        # Functions of a compiler look alike: their instructions are run once for all that share them.
        self.programs: dict[tuple[int, bytes], int] = {}
        self.made: list[list[tuple[int, Rule]]] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.which: list[int] = []

    def read(self) -> Iterator[None]:
        data, size = self.data, len(self.data)
        at = pause = 0
        while at + 4 <= size:
            self.at = at
            length, = _U4.unpack_from(data, at)
            at += 4
            if length == 0:  # a linker may leave such an end between what it put together
                continue
            if length == 0xFFFF_FFFF:
                length, = _U8.unpack_from(data, at)
                at += 8
            if at + length > size:
                raise FormatError(".eh_frame is damaged", offset=self.at, why=f"an entry of {length} bytes")
            pointer, = _U4.unpack_from(data, at)
            if pointer:
                self.function(at, at + length, at - pointer)
            at += length
            if at > pause:
                yield
                pause = at + _PIECE
            if len(self.starts) > _MOST:
                raise FormatError("an absurd .eh_frame", why=f"more than {_MOST} functions")

    def function(self, at: int, end: int, cie_at: int) -> None:
        cie = self.cies.get(cie_at)
        if cie is None:
            if cie_at < 0:
                raise FormatError(".eh_frame is damaged", offset=self.at, why="an entry without its head")
            cie = self.cies[cie_at] = self.head(cie_at)
        number = _NUMBERS.get(cie.encoding & 0x0F)
        if number is None or cie.encoding & 0xF0 not in (0, _PC_RELATIVE):
            raise FormatError("functions are given in a way that is not known", offset=self.at,
                              why=f"pointer encoding {cie.encoding:#x}")
        place = at + 4
        start, = number.unpack_from(self.data, place)
        length, = number.unpack_from(self.data, place + number.size)
        if cie.encoding & _PC_RELATIVE:
            start += self.address + place
        place += 2 * number.size
        if cie.augmented:
            size, place = _uleb(self.data, place)
            place += size
        start &= 0xFFFF_FFFF_FFFF_FFFF
        key = (cie_at, self.data[place:end].rstrip(b"\0"))  # a nop is a zero byte, but so may be an operand's end
        which = self.programs.get(key)
        if which is None:
            which = self.programs[key] = len(self.made)
            self.made.append(self.run(cie, place, end))
        if length > 0:
            self.starts.append(start)
            self.ends.append(start + length)
            self.which.append(which)

    def head(self, at: int) -> _Cie:
        data = self.data
        length, = _U4.unpack_from(data, at)
        at += 4
        if length == 0xFFFF_FFFF:
            length, = _U8.unpack_from(data, at)
            at += 8
        end = at + length
        at += 5  # its id and version
        version = data[at - 1]
        text_end = data.index(b"\0", at)
        augmentation = data[at:text_end].decode("ascii", "replace")
        at = text_end + 1
        code_align, at = _uleb(data, at)
        data_align, at = _sleb(data, at)
        _, at = _uleb(data, at) if version > 1 else (data[at], at + 1)
        encoding = 0
        if augmentation.startswith("z"):
            size, at = _uleb(data, at)
            encoding = self.augmentation(augmentation, at)
            at += size
        fresh = _Cie(code_align, data_align, encoding, augmentation.startswith("z"), "S" in augmentation, _FRESH)
        states: list[tuple[int, _State]] = []
        last = self.instructions(fresh, at, end, states)
        return fresh._replace(start=last)

    def augmentation(self, text: str, at: int) -> int:
        """How functions are pointed at."""
        encoding = 0
        for letter in text[1:]:
            if letter == "R":
                encoding = self.data[at]
                at += 1
            elif letter == "L":
                at += 1
            elif letter == "P":
                kind = self.data[at]
                at += 1 + (_NUMBERS[kind & 0x0F].size if kind != _OMITTED and kind & 0x0F in _NUMBERS else 0)
            elif letter not in "SB":
                raise FormatError("an augmentation that is not known", offset=at, why=repr(text))
        return encoding

    # instructions

    def run(self, cie: _Cie, at: int, end: int) -> list[tuple[int, Rule]]:
        states: list[tuple[int, _State]] = []
        try:
            self.instructions(cie, at, end, states)
        except _NotFollowed as stop:
            states.append((stop.pc, _State(("other", 0), ("same", 0), ("same", 0))))
        rows: list[tuple[int, Rule]] = []
        for pc, state in states:
            rule = self.rule(cie, state)
            if rows and rows[-1][0] == pc:
                rows[-1] = (pc, rule)
            elif not rows or rows[-1][1] != rule:
                rows.append((pc, rule))
        return rows

    def instructions(self, cie: _Cie, at: int, end: int, states: list[tuple[int, _State]]) -> _State:
        """Run them; `states` gets each address and what holds from there. The last state is given."""
        data, fp, ra = self.data, self.registers.fp, self.registers.ra
        cfa, rules = cie.start.cfa, {fp: cie.start.fp, ra: cie.start.ra}
        initial = dict(rules)
        saved: list[tuple[tuple[str, int], dict[int, tuple[str, int]]]] = []
        pc = 0
        while at < end:
            code = data[at]
            at += 1
            high = code & 0xC0
            if high == 0x40 or code in _ADVANCE:
                states.append((pc, _State(cfa, rules[fp], rules[ra])))
                if high:
                    step = code & 0x3F
                else:
                    number = _ADVANCE[code]
                    step, = number.unpack_from(data, at)
                    at += number.size
                pc += step * cie.code_align
            elif high == 0x80:
                value, at = _uleb(data, at)
                if code & 0x3F in rules:
                    rules[code & 0x3F] = ("cfa", value * cie.data_align)
            elif high == 0xC0:
                if code & 0x3F in rules:
                    rules[code & 0x3F] = initial[code & 0x3F]
            elif code in _OPERANDS:
                if _OPERANDS[code]:
                    register, at = _uleb(data, at)
                    if code == 0x08 and register in rules:
                        rules[register] = ("same", 0)
            elif code in (0x0A, 0x0B):
                if code == 0x0A:
                    saved.append((cfa, dict(rules)))
                elif saved:
                    cfa, rules = saved.pop()
            elif code in (0x0C, 0x12):
                register, at = _uleb(data, at)
                offset, at = _uleb(data, at) if code == 0x0C else _sleb(data, at)
                cfa = self.of_register(register, offset if code == 0x0C else offset * cie.data_align)
            elif code == 0x0D:
                register, at = _uleb(data, at)
                cfa = self.of_register(register, cfa[1])
            elif code in (0x0E, 0x13):
                offset, at = _uleb(data, at) if code == 0x0E else _sleb(data, at)
                cfa = (cfa[0], offset if code == 0x0E else offset * cie.data_align)
            elif code == 0x0F:
                size, at = _uleb(data, at)
                cfa = self.expression(data[at:at + size])
                at += size
            else:
                at = self.of_one(code, at, cie, rules, initial, pc)
        state = _State(cfa, rules[fp], rules[ra])
        states.append((pc, state))
        return state

    def of_one(self, code: int, at: int, cie: _Cie, rules: dict[int, tuple[str, int]],
               initial: dict[int, tuple[str, int]], pc: int) -> int:
        """The rarer instructions about one register."""
        data = self.data
        if code not in _OF_ONE:
            raise _NotFollowed(pc)
        register, at = _uleb(data, at)
        rule = ("other", 0)
        kind = _OF_ONE[code]
        if kind == "b":
            size, at = _uleb(data, at)
            rule = self.saved_at(data[at:at + size]) if code == 0x10 else rule
            at += size
        elif kind:
            value, at = _uleb(data, at) if kind == "u" else _sleb(data, at)
            rule = ("cfa", value * cie.data_align * (-1 if code == 0x2F else 1)) if code in (0x05, 0x11, 0x2F) else rule
        elif code == 0x07:
            rule = ("lost", 0)
        elif register in initial:
            rule = initial[register]
        if register in rules:
            rules[register] = rule
        return at

    def of_register(self, register: int, offset: int) -> tuple[str, int]:
        names = {self.registers.sp: "sp", self.registers.fp: "fp"}
        return names.get(register, "other"), offset

    def expression(self, block: bytes) -> tuple[str, int]:
        """The CFA's expressions that compilers and linkers write: `*(register + n)`, and that of binding stubs."""
        register = block[0] - 0x70 if block else -1  # DW_OP_breg0 + n
        if not 0 <= register < 32:
            return "other", 0
        offset, at = _sleb(block, 1)
        if block[at:] == b"\x06":  # DW_OP_deref
            name, _ = self.of_register(register, 0)
            return ("at " + name if name != "other" else name), offset
        # breg16(0) lit15 and litN ge lit3 shl plus
        rest = block[at:]
        if (len(rest) == 9 and rest[:4] == b"\x80\x00\x3f\x1a" and rest[5:] == b"\x2a\x33\x24\x22"
                and self.machine == _X86 and register == self.registers.sp and offset == 8):
            return "plt", rest[4] - 0x30
        return "other", 0

    def saved_at(self, block: bytes) -> tuple[str, int]:
        """Where a register is, if beside the frame pointer."""
        if block and block[0] == 0x70 + self.registers.fp:
            offset, at = _sleb(block, 1)
            if at == len(block):
                return "fp", offset
        return "other", 0

    # rows

    def rule(self, cie: _Cie, state: _State) -> Rule:
        """What a row says of a state."""
        if cie.signal:
            return 0, SIGNAL, 0
        if state.ra[0] == "lost":
            return 0, END, 0
        (name, offset), (fp_name, fp_offset) = state.cfa, state.fp
        if name == "plt":
            return 1, PLT, offset
        kind = _KINDS.get(name, OTHER)
        fp = fp_offset // 8
        if fp_name in ("cfa", "fp"):
            kind |= FP_AT_FP if fp_name == "fp" else 0
            if fp_offset % 8 or not -128 <= fp <= 127 or (fp == 0 and fp_name == "cfa"):
                kind |= FP_LOST
        elif fp_name != "same":
            kind |= FP_LOST
        if kind & FP_LOST or fp_name == "same":
            fp = 0
        if self.machine != _X86 and state.ra[0] == "same":
            kind |= RA_IN_REGISTER
        elif state.ra != (("cfa", -8) if self.machine == _X86 else ("cfa", fp_offset + 8)):
            return 0, OTHER, 0
        if kind & 15 == OTHER or offset % 8 or not -0x8000 <= offset // 8 <= 0x7FFF:
            return 0, OTHER, 0
        return offset // 8, kind, fp

    def table(self) -> UnwindTable:
        """All rows in the order of their addresses; between functions stands a row that knows nothing."""
        if not self.starts:
            return UnwindTable(0, np.zeros(0, ROW), 0)
        starts, ends = np.array(self.starts, np.uint64), np.array(self.ends, np.uint64)
        order = np.argsort(starts, kind="stable")
        starts, ends, which = starts[order], ends[order], np.array(self.which, np.int64)[order]
        # What a linker has dropped stands at zero with the length it had; what lies in another is not code.
        behind = np.maximum.accumulate(ends)
        kept = np.append(True, starts[1:] >= behind[:-1]) & (starts != 0)
        starts, ends, which = starts[kept], ends[kept], which[kept]
        if not len(starts):
            return UnwindTable(0, np.zeros(0, ROW), 0)
        base = int(starts[0])
        if int(ends[-1]) - base >= 1 << 32:
            raise FormatError("code of more than 4 GiB", why=f"{base:#x} to {int(ends[-1]):#x}")
        flat = np.array([(pc, *rule) for rows in self.made for pc, rule in rows], dtype=ROW)
        lengths = np.array([len(rows) for rows in self.made], np.int64)
        firsts = np.append(0, np.cumsum(lengths)[:-1])
        each = lengths[which]
        picked = np.arange(int(each.sum())) + np.repeat(firsts[which] - np.append(0, np.cumsum(each)[:-1]), each)
        rows = flat[picked]
        offsets = (starts - np.uint64(base)).astype(np.int64)
        limits = (ends - np.uint64(base)).astype(np.int64)
        pcs = rows["pc"].astype(np.int64) + np.repeat(offsets, each)
        inside = pcs < np.repeat(limits, each)
        gaps = np.flatnonzero(np.append(offsets[1:] - limits[:-1] >= _PADDING, True))
        none = np.zeros(len(gaps), ROW)
        pcs = np.concatenate((pcs[inside], limits[gaps]))
        rows = np.concatenate((rows[inside], none))
        order = np.argsort(pcs, kind="stable")
        rows, pcs = rows[order], pcs[order]
        rows["pc"] = pcs
        same = np.zeros(len(rows), bool)
        for name in ("cfa", "kind", "fp"):
            same[1:] |= rows[name][1:] != rows[name][:-1]
        same[0] = True
        return UnwindTable(base, rows[same], len(starts))


_ADVANCE = {0x02: Struct("<B"), 0x03: _U2, 0x04: _U4}
# offset_extended, restore_extended, undefined, register, expression, offset_extended_sf, val_offset, val_offset_sf,
# val_expression, GNU_negative_offset_extended: what follows the register.
_OF_ONE = {0x05: "u", 0x06: "", 0x07: "", 0x09: "u", 0x10: "b", 0x11: "s", 0x14: "u", 0x15: "s", 0x16: "b", 0x2F: "u"}
_KINDS = {"sp": SP, "fp": FP, "at sp": AT_SP, "at fp": AT_FP, "none": NONE}


class _NotFollowed(Exception):
    """An instruction that is not known; what comes behind it cannot be either."""

    def __init__(self, pc: int) -> None:
        self.pc = pc


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at + 1


def _sleb(data: bytes, at: int) -> tuple[int, int]:
    begin = at
    value, at = _uleb(data, at)
    bits = 7 * (at - begin)
    return (value - (1 << bits) if data[at - 1] & 0x40 else value), at

"""Helpers that format: bpf_printk and its kin, and what iterators write (bpf_bprintf_prepare() in
kernel/bpf/helpers.c)."""
from __future__ import annotations

import re
from struct import unpack_from

from bpfwright._typing import TYPE_CHECKING, Callable
from bpfwright.spec import memory as dialect
from bpfwright.spec.page import SHADOW

if TYPE_CHECKING:
    from bpfwright.userspace.interpreter import Interpreter

__all__ = ["format_text", "seq_printf", "seq_write", "snprintf", "strtol", "strtoul", "trace_printk", "trace_vprintk"]

_EINVAL, _ERANGE = -22, -34
_CONVERSION = re.compile(rb"%(?:%|([-0+ ]*)((?:[1-9]\d*)?)(?:(ll|l)?([diuxX])"
                         rb"|(pi4|pI4|pi6|pI6|c|(?:pK|px|pB|pS|ps|pks|pus|p|s)(?![0-9A-Za-z]))))")
_WIDTHS = {b"l": 64, b"ll": 64}
_MOST_ARGUMENTS = 12
_LONGEST = 1024


def _text_at(address: int, memory: bytearray, most: int = 512) -> bytes:
    """A zero-ended text, as far as it may be read."""
    end = dialect.load64(SHADOW)
    at = address
    while at < end and at - address < most and memory[end + at] and memory[at]:
        at += 1
    return bytes(memory[address:at]) if at > address else b""


def format_text(form: bytes, words: list[int], memory: bytearray) -> bytes | None:
    """A text out of a form of the kernel's and 64-bit words; None when the form is not one that it takes."""
    left = list(words)
    bad = False

    def one(match: re.Match[bytes]) -> bytes:
        nonlocal bad
        flags, width, size, number, other = match.groups()
        if flags is None:
            return b"%"
        if not left:
            bad = True
            return b""
        word = left.pop(0)
        shown = _number_text(word, size, number, flags) if number else _shown(word, other, memory)
        if b"-" in flags:
            return shown.ljust(int(width or b"0"))
        if b"0" in flags and number and shown[:1] in b"+- ":
            return shown[:1] + shown[1:].rjust(int(width or b"1") - 1, b"0")
        return shown.rjust(int(width or b"0"), b"0" if b"0" in flags and number else b" ")

    text = _CONVERSION.sub(one, form)
    if bad or b"%" in _CONVERSION.sub(b"", form) or re.search(rb"[^\x20-\x7e\s]", form):
        return None
    return text


def _number_text(word: int, size: bytes | None, kind: bytes, flags: bytes) -> bytes:
    bits = _WIDTHS.get(size or b"", 32)
    number = word & (1 << bits) - 1
    if kind in b"xX":
        return b"%x" % number if kind == b"x" else b"%X" % number
    if kind == b"u":
        return b"%d" % number
    number -= 1 << bits if number >> (bits - 1) else 0
    sign = b"+" if b"+" in flags else b" " if b" " in flags else b""
    return (sign if number >= 0 else b"") + b"%d" % number


def _shown(word: int, kind: bytes, memory: bytearray) -> bytes:
    if kind == b"c":
        return bytes((word & 0xFF,))
    if kind in (b"s", b"pks", b"pus"):
        return _text_at(word, memory)
    if kind in (b"pi4", b"pI4"):
        digits = b"%03d" if kind == b"pi4" else b"%d"
        return b".".join(digits % byte for byte in memory[word:word + 4])
    if kind in (b"pi6", b"pI6"):
        raw = bytes(memory[word:word + 16])
        return b"".join(b"%02x" % byte for byte in raw) if kind == b"pi6" else b":".join(
            b"%02x%02x" % (raw[i], raw[i + 1]) for i in range(0, 16, 2))
    return b"%016x" % word


def _form(interpreter: Interpreter, address: int, size: int) -> bytes | None:
    raw = bytes(interpreter.arena.memory[address:address + size])
    return raw.partition(b"\0")[0] if raw.endswith(b"\0") else None


def _words(interpreter: Interpreter, address: int, size: int) -> list[int] | None:
    if size % 8 or size > 8 * _MOST_ARGUMENTS or (size and not address):
        return None
    return list(unpack_from(f"<{size // 8}Q", interpreter.arena.memory, address)) if size else []


def _print(interpreter: Interpreter, form: bytes | None, words: list[int] | None) -> int:
    text = None if form is None or words is None else format_text(form, words, interpreter.arena.memory)
    if text is None:
        return _EINVAL
    text = text[:_LONGEST - 1]
    interpreter.host.machine.printed.append(text.rstrip(b"\n").decode("utf-8", "replace"))
    return len(text)


def trace_printk(interpreter: Interpreter, r: list[int]) -> int:
    """bpf_trace_printk(): a line in the machine's `printed`."""
    return _print(interpreter, _form(interpreter, r[1], r[2] & 0xFFFFFFFF), r[3:6])


def trace_vprintk(interpreter: Interpreter, r: list[int]) -> int:
    """The same, of up to twelve words in memory."""
    return _print(interpreter, _form(interpreter, r[1], r[2] & 0xFFFFFFFF),
                  _words(interpreter, r[3], r[4] & 0xFFFFFFFF))


def snprintf(interpreter: Interpreter, r: list[int]) -> int:
    """Into memory; how long the whole text is, its zero counted."""
    to, size, memory = r[1], r[2] & 0xFFFFFFFF, interpreter.arena.memory
    words = _words(interpreter, r[4], r[5] & 0xFFFFFFFF)
    text = None if words is None else format_text(_text_at(r[3], memory, 4096), words, memory)
    if text is None:
        return _EINVAL
    if size:
        kept = text[:size - 1] + b"\0"
        memory[to:to + len(kept)] = kept
    return len(text) + 1


def seq_write(interpreter: Interpreter, r: list[int]) -> int:
    """Bytes for the reader of an iterator."""
    size = r[3] & 0xFFFFFFFF
    interpreter.host.machine.sequence += interpreter.arena.memory[r[2]:r[2] + size]
    return 0


def seq_printf(interpreter: Interpreter, r: list[int]) -> int:
    """Text for the reader of an iterator."""
    form = _form(interpreter, r[2], r[3] & 0xFFFFFFFF)
    words = _words(interpreter, r[4], r[5] & 0xFFFFFFFF)
    text = None if form is None or words is None else format_text(form, words, interpreter.arena.memory)
    if text is None:
        return _EINVAL
    interpreter.host.machine.sequence += text
    return 0


def _number(interpreter: Interpreter, r: list[int], fits: Callable[[int], bool], signed: bool) -> int:
    memory = interpreter.arena.memory
    size, base, flags = r[2] & 0xFFFFFFFF, r[3] & 31, r[3]
    if not r[1] or not size or flags & ~31 or base not in (0, 8, 10, 16):
        return _EINVAL
    text = bytes(memory[r[1]:r[1] + size]).partition(b"\0")[0]
    start = len(text) - len(text.lstrip(b" \t\n\v\f\r"))
    rest = text[start:]
    minus = rest.startswith(b"-")
    rest = rest[minus:][:63]
    prefix = 2 if rest[:2].lower() == b"0x" and rest[2:3].isalnum() and base in (0, 16) else 0
    base = base or (16 if prefix else 8 if rest.startswith(b"0") else 10)
    digits = re.match({8: rb"[0-7]*", 10: rb"[0-9]*", 16: rb"[0-9a-fA-F]*"}[base], rest[prefix:])
    assert digits is not None
    if (minus and not signed) or not digits.group():
        return _EINVAL
    value = int(digits.group(), base) * (-1 if minus else 1)
    if not fits(value):
        return _ERANGE
    dialect.store64(r[4], value)
    return start + minus + prefix + len(digits.group())


def strtol(interpreter: Interpreter, r: list[int]) -> int:
    """A signed number out of a text; how many bytes it took."""
    return _number(interpreter, r, lambda value: -1 << 63 <= value < 1 << 63, True)


def strtoul(interpreter: Interpreter, r: list[int]) -> int:
    """An unsigned number out of a text; how many bytes it took."""
    return _number(interpreter, r, lambda value: value < 1 << 64, False)

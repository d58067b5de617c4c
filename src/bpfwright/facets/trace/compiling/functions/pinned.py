"""printf of a pinned iterator: nobody listens when its file is read, so the text goes into the file."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.typed import Typed, is_scalar, refuse
from bpfwright.facets.trace.types import Text, Type

__all__ = ["is_pinned", "printed"]

_SEQ_PRINTF = 126
_MOST = 12
_KINDS = {"d": "d", "i": "d", "u": "u", "x": "x", "X": "X", "p": "x", "c": "c"}


def is_pinned(checker: Checker) -> bool:
    """Whether this is an iterator that stays in a file."""
    site = checker.site
    return site.kind == "iter" and bool(site.attachments) and bool(site.attachments[0].where[0])


def printed(checker: Checker, node: Any, content: bytes, values: list[Typed], types: tuple[Type, ...]) -> Typed:
    """`printf` by bpf_seq_printf, whose formats know numbers of 64 bits and texts."""
    from bpfwright.facets.trace.output import formats
    if len(values) > _MOST:
        raise refuse(node.span, f"{len(values)} values", f"A pinned iterator prints up to {_MOST} at once.")
    parts, taken = [], iter(values)
    for piece in formats.parse(content).pieces:
        parts.append(piece.replace(b"%", b"%%") if isinstance(piece, bytes) else _conversion(node, piece, next(taken)))
    form = b"".join(parts)

    def emit(code: Code) -> None:
        words = [_word(code, value) for value in values]
        data = code.room(8 * len(words)) if words else code.null()
        for at, word in enumerate(words):
            code.store(data, word, 8 * at)
        sequence = code.load("ptr", code.context_pointer(0), 0, 8)  # ctx->meta->seq
        code.helper(_SEQ_PRINTF, sequence, code.text_constant(form).memory, code.number(len(form) + 1), data,
                    code.number(8 * len(words)))
    return checker.nothing(node.span, emit)


def _conversion(node: Any, conversion: Any, value: Typed) -> bytes:
    flags = f"{conversion.flags}{conversion.width if conversion.width > 0 else ''}"
    plain = conversion.arguments == 1 and conversion.precision < 0
    if plain and conversion.kind == "s" and isinstance(value.type, Text):
        return f"%{flags}s".encode()
    if plain and conversion.kind in _KINDS and is_scalar(value.type):
        kind = _KINDS[conversion.kind]
        return f"%{flags}{'' if kind == 'c' else 'll'}{kind}".encode()
    raise refuse(value.span, "a pinned iterator prints numbers and texts",
                 "Without a pin it prints everything: `iter:task`.")


def _word(code: Code, value: Typed) -> int:
    if is_scalar(value.type):
        return code.number_of(value)
    return code.op("toint", "i64", code.memory_of(value))

"""Rewrites an object's type information where the kernel would refuse it.

Compilers write what no kernel accepts (externs in data sections) and what old ones do not know (floats, tags, enums of
64 bits). Every rewrite keeps a record's length and so all type numbers: func and line info stay as they are.
"""
from __future__ import annotations

from array import array
from struct import unpack_from

from bpfwright.formats.btf import Btf, Kind

__all__ = ["rewritten"]

_EXTERN, _GLOBAL = 2, 1


def rewritten(data: bytes, *, old: bool) -> bytes:
    """The same types as this kernel takes them; with `old`, as a kernel of 5.10 does."""
    btf = Btf(data)
    header_len, types_at, length = unpack_from("=III", data, 4)
    start = header_len + types_at
    words = array("I", data[start:start + length])
    number = _some_int(btf)
    for type_id in btf.ids():
        kind, at = btf.kind(type_id), btf.word_offset(type_id)
        if kind == Kind.DATASEC and btf.name(type_id) in (".ksyms", ".kconfig"):
            _extern_section(btf, words, at, number)
        elif kind == Kind.VAR and words[at + 3] == _EXTERN:
            words[at + 2], words[at + 3] = number, _GLOBAL
        elif kind == Kind.FUNC and words[at + 1] & 0xFFFF == _EXTERN:
            words[at + 1] = _info(Kind.FUNC, _GLOBAL)
            _name_parameters(btf, words, btf.type_of(type_id), words[at])
        elif old:
            _age(words, at, kind, number)
    return data[:start] + words.tobytes() + data[start + length:]


def _some_int(btf: Btf) -> int:
    """An int of 4 bytes, or any: what stands in for the types of externs."""
    ints = [type_id for type_id in btf.ids() if btf.kind(type_id) == Kind.INT]
    return next((type_id for type_id in ints if btf.size(type_id) == 4), ints[0] if ints else 0)


def _info(kind: int, vlen: int = 0) -> int:
    return kind << 24 | vlen


def _extern_section(btf: Btf, words: array[int], at: int, number: int) -> None:
    """A data section of externs becomes an anonymous struct of ints."""
    vlen = words[at + 1] & 0xFFFF
    words[at], words[at + 1], words[at + 2] = 0, _info(Kind.STRUCT, vlen), 8 * vlen
    for index in range(vlen):
        entry = at + 3 + 3 * index
        name = words[btf.word_offset(words[entry])]
        words[entry], words[entry + 1], words[entry + 2] = name, number, 64 * index


def _name_parameters(btf: Btf, words: array[int], prototype: int, name: int) -> None:
    """The kernel wants a name for every parameter of a function; declarations need none."""
    at = btf.word_offset(prototype)
    for entry in range(at + 3, at + 3 + 2 * (words[at + 1] & 0xFFFF), 2):
        if words[entry + 1] and not words[entry]:
            words[entry] = name


def _age(words: array[int], at: int, kind: int, number: int) -> None:
    if kind == Kind.FLOAT:                                  # since 5.13
        words[at], words[at + 1] = 0, _info(Kind.STRUCT)
    elif kind == Kind.DECL_TAG:                             # since 5.16
        words[at + 1], words[at + 2], words[at + 3] = _info(Kind.INT), 1, 8
    elif kind == Kind.TYPE_TAG:                             # since 5.17
        words[at], words[at + 1] = 0, _info(Kind.CONST)
    elif kind == Kind.ENUM64:                               # since 6.0
        vlen = words[at + 1] & 0xFFFF
        words[at + 1], words[at + 2] = _info(Kind.UNION, vlen), 8
        for entry in range(at + 3, at + 3 + 3 * vlen, 3):
            words[entry + 1], words[entry + 2] = number, 0
    elif kind == Kind.ENUM:                                 # signed enums: since 6.0
        words[at + 1] &= 0x7FFFFFFF

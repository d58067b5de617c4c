"""BTF types as C writes them: declarations of any type, definitions of structs, unions and enums."""
from __future__ import annotations

from bpfwright.errors import BtfError
from bpfwright.formats.btf.reader import Btf, Kind

__all__ = ["declaration", "definition"]

_MAX_DEPTH = 64
_QUALIFIERS = {Kind.CONST: "const", Kind.VOLATILE: "volatile", Kind.RESTRICT: "restrict"}


def declaration(btf: Btf, type_id: int, name: str = "") -> str:
    """A variable of a type, declared; without a name, the type.

        >>> declaration(kernel, pointer_to_array_of_u8, "p")
        'u8 (*p)[16]'
    """
    return _declare(btf, type_id, name, 0)


def _declare(btf: Btf, type_id: int, inner: str, depth: int) -> str:
    """`inner` is what stands to the right of the base type so far: C declarators grow from the inside out."""
    if depth > _MAX_DEPTH:
        raise BtfError("a type without end")
    kind = btf.kind(type_id)
    if kind == Kind.PTR:
        pointee = btf.type_of(type_id)
        star = "*" + inner
        if btf.kind(_unqualified(btf, pointee)) in (Kind.ARRAY, Kind.FUNC_PROTO):
            star = f"({star})"
        return _declare(btf, pointee, star, depth + 1)
    if kind == Kind.ARRAY:
        element = btf.array(type_id)
        return _declare(btf, element.type_id, f"{inner}[{element.count or ''}]", depth + 1)
    if kind == Kind.FUNC_PROTO:
        parameters = [_declare(btf, one.type_id, one.name, depth + 1) if one.type_id or one.name else "..."
                      for one in btf.parameters(type_id)]
        return _declare(btf, btf.type_of(type_id), f"{inner}({', '.join(parameters) or 'void'})", depth + 1)
    if kind in _QUALIFIERS:
        beneath = btf.type_of(type_id)
        word = _QUALIFIERS[kind]
        if btf.kind(_unqualified(btf, beneath)) == Kind.PTR:
            return _declare(btf, beneath, f" {word} {inner}".rstrip(), depth + 1)
        return f"{word} {_declare(btf, beneath, inner, depth + 1)}"
    if kind == Kind.TYPE_TAG:
        return _declare(btf, btf.type_of(type_id), inner, depth + 1)
    if kind in (Kind.FUNC, Kind.VAR):
        return _declare(btf, btf.type_of(type_id), inner or btf.name(type_id), depth + 1)
    base = _base(btf, type_id, kind)
    return base + (inner if inner.startswith("[") else f" {inner.lstrip()}" if inner else "")


def _unqualified(btf: Btf, type_id: int) -> int:
    for _ in range(_MAX_DEPTH):
        if btf.kind(type_id) not in (*_QUALIFIERS, Kind.TYPE_TAG):
            return type_id
        type_id = btf.type_of(type_id)
    raise BtfError("a type without end")


def _base(btf: Btf, type_id: int, kind: int) -> str:
    name = btf.name(type_id)
    if kind == Kind.VOID:
        return "void"
    words = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}.get(kind, "")
    if kind == Kind.FWD:
        words = "union" if btf.kind_flag(type_id) else "struct"
    if words and not name:
        return f"{words} {{ ... }}"
    return f"{words} {name}".strip()


def definition(btf: Btf, type_id: int, *, offsets: bool = False) -> str:
    """A struct, union, enum, typedef or function written out; with `offsets`, each field's place in bytes."""
    kind = btf.kind(type_id)
    if kind in Kind.COMPOSITES:
        return _composite(btf, type_id, "", "", 0, 0, offsets) + ";"
    if kind in Kind.ENUMS:
        rows = "".join(f"\t{item.name} = {item.value},\n" for item in btf.enumerators(type_id))
        return f"{_base(btf, type_id, kind).removesuffix(' { ... }')} {{\n{rows}}};"
    if kind == Kind.TYPEDEF:
        return f"typedef {declaration(btf, btf.type_of(type_id), btf.name(type_id))};"
    return declaration(btf, type_id) + ";"


def _composite(btf: Btf, type_id: int, name: str, indent: str, base: int, depth: int, offsets: bool) -> str:
    if depth > _MAX_DEPTH:
        raise BtfError("a struct inside itself")
    words = _base(btf, type_id, btf.kind(type_id)).removesuffix(" { ... }")
    lines = [f"{indent}{words} {{"]
    for member in btf.members(type_id):
        place = base + member.bit_offset
        inner = member.type_id
        if btf.kind(inner) in Kind.COMPOSITES and not btf.name(inner):
            lines.append(_composite(btf, inner, member.name, indent + "\t", place, depth + 1, offsets) + ";")
            continue
        text = declaration(btf, inner, member.name) + (f" : {member.bit_size}" if member.bit_size else "")
        where = f"{place // 8}:{place % 8}" if member.bit_size else f"{place // 8}"
        lines.append(f"{indent}\t{text};" + (f"\t/* {where} */" if offsets else ""))
    lines.append(f"{indent}}}{' ' + name if name else ''}")
    return "\n".join(lines)

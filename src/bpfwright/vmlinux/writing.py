"""Kernel structs and kfuncs out of BTF, written as Python classes: for the shipped stubs, and for `bpfwright types`."""
from __future__ import annotations

import re
from keyword import iskeyword
from textwrap import fill

from bpfwright._typing import Callable, Iterable
from bpfwright.errors import BtfError, TargetError
from bpfwright.formats.btf import Btf, Kind

__all__ = ["Picture", "Record", "import_lines", "kfuncs_of", "merge", "picture_of", "render",
           "render_record", "write_structs"]

_BUILTIN = ("array", "bits", "char", "ptr", "L", "be16", "be32", "be64", "i8", "i16", "i32", "i64", "u8", "u16", "u32",
            "u64")
_RESERVED = frozenset((*_BUILTIN, "bool", "KernelStruct"))
_BIG = {"__be16": "be16", "__be32": "be32", "__be64": "be64", "__sum16": "be16"}
_WORD = re.compile(r"[A-Za-z_]\w*")
_MAX_DEPTH = 32


class Record:
    """A struct or union as it will be written: annotations by field name, in terms of other records' names."""

    __slots__ = ("fields", "union")

    def __init__(self, union: bool, fields: dict[str, str]) -> None:
        self.union = union
        self.fields = fields


Picture = dict[str, Record]


class _Reader:
    """Reads records out of one BTF, and those that they hold by value or point to."""

    def __init__(self, btf: Btf) -> None:
        self.btf = btf
        self.found: Picture = {}
        self.waiting: list[tuple[str, int]] = []

    def add(self, name: str, type_id: int) -> None:
        """Read the composite `type_id` under `name`, unless that was done."""
        if name in self.found or name in _RESERVED or not _usable(name):
            return
        self.found[name] = Record(self.btf.kind(type_id) == Kind.UNION, {})
        self.waiting.append((name, type_id))

    def run(self) -> None:
        while self.waiting:
            name, type_id = self.waiting.pop()
            self._members(name, type_id, self.found[name].fields, 0)

    def _members(self, owner: str, type_id: int, fields: dict[str, str], depth: int) -> None:
        for member in self.btf.members(type_id):
            if not member.name:
                inner = self.btf.resolve(member.type_id)
                if self.btf.kind(inner) in Kind.COMPOSITES and depth < _MAX_DEPTH:
                    self._members(owner, inner, fields, depth + 1)
                continue
            if not _usable(member.name) or member.name in fields:
                continue
            if member.bit_size:
                text: str | None = f"bits[{self._integer(member.type_id)}, L[{member.bit_size}]]"
            else:
                text = self.text(member.type_id, f"{owner}__{member.name}")
            if text is not None:
                fields[member.name] = text

    def _integer(self, type_id: int) -> str:
        resolved = self.btf.resolve(type_id)
        size = self.btf.size(resolved)
        signed = False
        if self.btf.kind(resolved) == Kind.INT:
            encoding = self.btf.int_encoding(resolved)
            signed = encoding.signed
        elif self.btf.kind(resolved) in Kind.ENUMS:
            signed = any(each.value < 0 for each in self.btf.enumerators(resolved))
        return f"{'i' if signed else 'u'}{min(size, 8) * 8}"

    def text(self, type_id: int, path: str) -> str | None:
        """The annotation of a type; `path` names what has no name. None for what cannot be a field."""
        typedef = ""
        for _ in range(_MAX_DEPTH):
            kind = self.btf.kind(type_id)
            if kind == Kind.TYPEDEF:
                typedef = self.btf.name(type_id)
                if typedef in _BIG:
                    return _BIG[typedef]
            elif kind not in Kind.MODIFIERS:
                break
            type_id = self.btf.type_of(type_id)
        if kind == Kind.INT:
            return self._scalar(type_id)
        if kind in Kind.ENUMS:
            return self._integer(type_id)
        if kind == Kind.PTR:
            return self._pointer(self.btf.type_of(type_id), path)
        if kind == Kind.ARRAY:
            return self._array(type_id, path)
        if kind in Kind.COMPOSITES:
            name = self.btf.name(type_id) or typedef or path
            if name in _RESERVED or not _usable(name):
                return f"array[u8, L[{self.btf.size(type_id)}]]" if self.btf.size(type_id) else None
            self.add(name, type_id)
            return name
        return None

    def _scalar(self, type_id: int) -> str | None:
        size = self.btf.size(type_id)
        if self.btf.int_encoding(type_id).is_bool:
            return "bool"
        if size not in (1, 2, 4, 8):
            return f"array[u64, L[{size // 8}]]" if size and size % 8 == 0 else None
        return self._integer(type_id)

    def _array(self, type_id: int, path: str) -> str | None:
        element = self.btf.array(type_id)
        count = max(element.count, 1)  # a flexible array has no length; its first element has a place
        inner = self.btf.resolve(element.type_id)
        if self.btf.kind(inner) == Kind.INT and self.btf.name(inner) == "char":
            return f"char[L[{count}]]"
        text = self.text(element.type_id, path)
        return None if text is None else f"array[{text}, L[{count}]]"

    def _pointer(self, type_id: int, path: str) -> str:
        """A pointer to a record or scalar; one that a program cannot follow by an attribute is a plain number."""
        typedef = ""
        for _ in range(_MAX_DEPTH):
            kind = self.btf.kind(type_id)
            if kind == Kind.TYPEDEF:
                typedef = self.btf.name(type_id)
                if typedef in _BIG:
                    return f"ptr[{_BIG[typedef]}]"
            elif kind not in Kind.MODIFIERS:
                break
            type_id = self.btf.type_of(type_id)
        if kind == Kind.INT and (scalar := self._scalar(type_id)) and "[" not in scalar:
            return f"ptr[{scalar}]"
        name = self.btf.name(type_id) or typedef if kind in (*Kind.COMPOSITES, Kind.FWD) else ""
        if not name or name in _RESERVED or not _usable(name):
            return "u64"
        if kind != Kind.FWD:
            self.add(name, type_id)
        elif name not in self.found:
            real = next((i for k in Kind.COMPOSITES for i in self.btf.find_all(name, k)), 0)
            if real:
                self.add(name, real)
            else:
                self.found[name] = Record(False, {})
        return f"ptr[{name}]"


def _usable(name: str) -> bool:
    return name.isidentifier() and name.isascii() and not iskeyword(name)


def picture_of(btf: Btf, names: Iterable[str] | None = None) -> Picture:
    """The records of these names (None: all) and everything that they reach. TargetError for an unknown name."""
    reader = _Reader(btf)
    if names is None:
        for type_id in btf.ids():
            if btf.kind(type_id) in Kind.COMPOSITES and btf.name(type_id):
                reader.add(btf.name(type_id), type_id)
    else:
        for name in names:
            reader.add(name, record_id(btf, name))
    reader.run()
    return reader.found


def record_id(btf: Btf, name: str) -> int:
    """The number of a struct, union, or typedef of one; TargetError when the kernel has none of that name."""
    for kind in (Kind.STRUCT, Kind.UNION, Kind.TYPEDEF):
        try:
            for type_id in btf.find_all(name, kind):
                resolved = btf.resolve(type_id)
                if btf.kind(resolved) in Kind.COMPOSITES:
                    return resolved
        except BtfError:
            continue
    raise TargetError(f"the kernel has no struct {name!r}", cure="bpfwright inspect shows the types that it has.")


def merge(newest: Picture, older: Picture) -> None:
    """Add to `newest` the records and fields that only `older` has."""
    for name, record in older.items():
        mine = newest.setdefault(name, record)
        for field, text in record.fields.items():
            mine.fields.setdefault(field, text)


def kfuncs_of(btf: Btf, names: frozenset[str]) -> dict[str, str]:
    """The kernel's kfuncs as `def` lines by name, in terms of the records in `names`."""
    found: dict[str, str] = {}
    reader = _Reader(btf)
    for tag in btf.find_all("bpf_kfunc", Kind.DECL_TAG):
        function = btf.words(tag)[2]
        if btf.kind(function) != Kind.FUNC:
            continue
        line = _kfunc_line(btf, reader, function, names)
        if line and btf.name(function) not in names:
            found[btf.name(function)] = line
    return found


def _kfunc_line(btf: Btf, reader: _Reader, function: int, names: frozenset[str]) -> str:
    prototype = btf.type_of(function)
    parameters = []
    for index, parameter in enumerate(btf.parameters(prototype)):
        name = parameter.name if _usable(parameter.name) else f"_{index}"
        text = reader.text(parameter.type_id, "") if parameter.type_id else None
        if text is None or parameter.name.endswith("__prog"):
            return ""
        inner = text[4:-1] if text.startswith("ptr[") else text
        known = inner in names or inner in _RESERVED
        parameters.append(f"{name}: {text if known else 'u64'}")
    result_id = btf.type_of(prototype)
    result = "None"
    if btf.resolve(result_id) if result_id else 0:
        text = reader.text(result_id, "") or "u64"
        inner = text[4:-1] if text.startswith("ptr[") else text
        result = f"{inner} | None" if text.startswith("ptr[") and inner in names else "u64" if "[" in text else text
    return f"def {btf.name(function)}({', '.join(parameters)}) -> {result}:"


# Writing

def import_lines(imports: Iterable[tuple[str, str]]) -> str:
    """Import statements for (module, name) pairs, one a module."""
    by_module: dict[str, set[str]] = {}
    for module, name in imports:
        by_module.setdefault(module, set()).add(name)
    lines = []
    for module in sorted(by_module):
        names = sorted(by_module[module])
        line = f"from {module} import {', '.join(names)}"
        if len(line) > 120:
            line = "\n".join([f"from {module} import (", *fill(", ".join(names), 114).splitlines()])
            line = line.replace("\n", "\n    ") + ",\n)"
        lines.append(line + "\n")
    return "".join(lines)


def render_record(name: str, record: Record) -> tuple[str, set[str]]:
    """The class, and the names for which it needs an alias: those that one of its own fields hides."""
    used = {word for text in record.fields.values() for word in _WORD.findall(text)}
    hidden = {word for word in used if word in record.fields}
    head = f"class {name}(KernelStruct{', union=True' if record.union else ''}):"
    if not record.fields:
        return f"{head} ...\n", set()

    def alias(match: re.Match[str]) -> str:
        word = match.group()
        return f"_t_{word}" if word in hidden else word

    lines = [f"    {field}: {_WORD.sub(alias, text) if hidden else text}\n" for field, text in record.fields.items()]
    return f"{head}\n{''.join(lines)}", hidden


def render(picture: Picture, *, head: str, kfuncs: dict[str, str] | None = None, body: str = "...",
           outside: Callable[[str], bool] = lambda name: False) -> str:
    """A module: `head`, the imports, the classes in order of their names, aliases, kfuncs with `body`."""
    aliases: set[str] = set()
    classes = []
    for name in sorted(picture):
        if outside(name):
            continue
        text, hidden = render_record(name, picture[name])
        classes.append(text)
        aliases |= hidden
    gap = "\n" if body == "..." else "\n\n"
    whole = "".join(gap + text for text in classes)
    words = set(_WORD.findall(whole + " ".join((kfuncs or {}).values()))) | aliases
    imports = [("bpfwright.types", name) for name in ("KernelStruct", *(n for n in _BUILTIN if n in words))]
    imports += [("bpfwright.types", f"{name} as _t_{name}") for name in aliases if name in _BUILTIN]
    imports += [("bpfwright.vmlinux", name) for name in picture if outside(name) and name in words]
    if kfuncs and body != "...":
        imports += [("bpfwright.helpers", name) for name in ("external", "kfunc")]
    lines = [head, import_lines(imports), whole, "\n" if aliases else ""]
    lines += [f"_t_{name} = {name}\n" for name in sorted(aliases) if name not in _BUILTIN]
    for name in sorted(kfuncs or {}):
        assert kfuncs is not None
        lines.append(f"{kfuncs[name]} ...\n" if body == "..." else f"\n\n@kfunc\n{kfuncs[name]}\n    {body}\n")
    return "".join(lines)


_USER_HEAD = '''"""Kernel types, written by `bpfwright types` from the running kernel."""
from __future__ import annotations

'''


def write_structs(names: Iterable[str], btf: Btf, *, shipped: Callable[[str], bool] | None = None) -> str:
    """A Python module with these structs and kfuncs, and what they hold by value.

    Types that they only point to are imported from bpfwright.vmlinux where `shipped` says that it has them, and written
    with the rest otherwise. TargetError for a name that the kernel does not have.
    """
    if shipped is None:
        from bpfwright.vmlinux.lookup import is_shipped
        shipped = is_shipped
    wanted = list(dict.fromkeys(names))
    functions = kfuncs_of(btf, frozenset())
    picture = picture_of(btf, [name for name in wanted if name not in functions])
    asked = {name: text for name, text in kfuncs_of(btf, frozenset(_all_names(btf))).items() if name in wanted}
    for text in asked.values():
        for word in set(_WORD.findall(text)) - _RESERVED:
            if (word not in picture and _is_record(btf, word) and f"{word}]" in text) or f"-> {word} " in text:
                merge(picture, picture_of(btf, [word]))
    keep = _needed(picture, [name for name in wanted if name not in functions], asked.values(), shipped)
    return render({name: record for name, record in picture.items() if name in keep}, head=_USER_HEAD, kfuncs=asked,
                  body="external()", outside=lambda name: name not in wanted and shipped(name))


def _all_names(btf: Btf) -> Iterable[str]:
    return (btf.name(i) for i in btf.ids() if btf.kind(i) in Kind.COMPOSITES and btf.name(i))


def _is_record(btf: Btf, name: str) -> bool:
    return any(True for kind in Kind.COMPOSITES for _ in btf.find_all(name, kind))


def _needed(picture: Picture, wanted: list[str], kfuncs: Iterable[str], shipped: Callable[[str], bool]) -> set[str]:
    """What must be in the module for `wanted` to be whole: stops at what is shipped."""
    keep: set[str] = set()
    waiting = [*wanted, *(word for text in kfuncs for word in _WORD.findall(text) if word in picture)]
    while waiting:
        name = waiting.pop()
        if name in keep:
            continue
        keep.add(name)
        if name not in wanted and shipped(name):
            continue
        waiting += [word for text in picture[name].fields.values() for word in _WORD.findall(text) if word in picture]
    return keep

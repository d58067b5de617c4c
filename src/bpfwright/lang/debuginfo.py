"""LLVM debug metadata: the types, functions and lines that become BTF."""
from __future__ import annotations

import os

from bpfwright._typing import Any, NamedTuple, Sequence
from bpfwright.spec.meaning import Boolean, Integer, KernelObject, Meaning, Optional, Reference
from bpfwright.types.ctype import (AddressType, ArrayType, AtomicType, BitsType, Bool, CharArray, CType, EnumType, Int,
                                   Opaque, Pointer, RecordType, UserPointer)

__all__ = ["Metadata", "quote"]

_C_NAMES = {"u8": "unsigned char", "u16": "unsigned short", "u32": "unsigned int", "u64": "unsigned long long",
            "i8": "signed char", "i16": "short", "i32": "int", "i64": "long long", "be16": "unsigned short",
            "be32": "unsigned int", "be64": "unsigned long long"}


def quote(text: str) -> str:
    """A text as an LLVM string literal."""
    return '"' + "".join(c if 32 <= ord(c) < 127 and c not in '"\\' else "".join(f"\\{b:02X}" for b in
                         c.encode("utf-8", "surrogateescape")) for c in text) + '"'


class Part(NamedTuple):
    """A member of a kernel type as we drew it: its access string, its storage in bytes, its bits in that storage."""

    access: str
    offset: int
    size: int
    shift: int
    width: int

    def local(self, kind: int) -> int:
        """What a CO-RE relocation of a kind finds in our own drawing: libbpf refuses code that holds another number."""
        known = {0: self.offset, 1: self.size, 4: 64 - self.shift - self.width, 5: 64 - self.width}
        return known.get(kind, 1)


class Metadata:
    """Numbered metadata nodes, each made once."""

    def __init__(self) -> None:
        self.nodes: list[str] = []
        self.known: dict[Any, int] = {}
        self.globals: list[int] = []
        self.retained: dict[int, int] = {}
        self.unit = self.add_node("")
        self.kernel_fields: dict[str, list[tuple[str, ...]]] = {}
        self.kernel_places: dict[str, dict[tuple[str, ...], Part]] = {}

    def add_node(self, text: str) -> int:
        self.nodes.append(text)
        return len(self.nodes) - 1

    def node(self, text: str) -> int:
        """The number of a node with this text."""
        known = self.known.get(text)
        if known is None:
            known = self.known[text] = self.add_node(text)
        return known

    def list_of(self, items: Sequence[int | None]) -> int:
        return self.node("!{" + ", ".join("null" if i is None else f"!{i}" for i in items) + "}")

    def file(self, path: str) -> int:
        """A source file; its text comes along when it is not on disk (a notebook's cell)."""
        text = f"!DIFile(filename: {quote(path)}, directory: \"\""
        if not os.path.exists(path):
            import linecache
            text += f", source: {quote(''.join(linecache.getlines(path)))}"
        return self.node(text + ")")

    # types

    def integer(self, name: str, size: int, encoding: str) -> int:
        return self.node(f'!DIBasicType(name: "{name}", size: {size * 8}, encoding: {encoding})')

    def number(self) -> int:
        return self.integer("int", 4, "DW_ATE_signed")

    def pointer(self, target: int | None) -> int:
        base = "null" if target is None else f"!{target}"
        return self.node(f"!DIDerivedType(tag: DW_TAG_pointer_type, baseType: {base}, size: 64)")

    def array(self, element: int, count: int, size: int) -> int:
        ranges = self.list_of([self.node(f"!DISubrange(count: {count})")])
        return self.node(f"!DICompositeType(tag: DW_TAG_array_type, baseType: !{element}, size: {size * 8}, "
                         f"elements: !{ranges})")

    def member(self, name: str, type: int, offset_bits: int, size_bits: int, scope: int | None = None,
               storage: int | None = None) -> int:
        extra = "" if storage is None else f", flags: DIFlagBitField, extraData: i64 {storage}"
        within = "" if scope is None else f", scope: !{scope}"
        return self.add_node(f"!DIDerivedType(tag: DW_TAG_member, name: {quote(name)}, baseType: !{type}, "
                             f"size: {size_bits}, offset: {offset_bits}{extra}{within})")

    def record(self, tag: str, name: str, size: int, members: list[int]) -> str:
        title = f"name: {quote(name)}, " if name else ""
        return (f"distinct !DICompositeType(tag: DW_TAG_{tag}_type, {title}size: {size * 8}, "
                f"elements: !{self.list_of(members)})")

    def named(self, name: str) -> int:
        """A struct of which nothing but the name is told."""
        return self.add_node(self.record("structure", name, 0, []))

    def type(self, ctype: CType) -> int:
        """The node of a C type."""
        known = self.known.get(ctype)
        if known is None:
            known = self._type(ctype)
            self.known[ctype] = known
        return known

    def _type(self, ctype: CType) -> int:
        match ctype:
            case Int(name=name, size=size, signed=signed):
                kind = "char" if size == 1 else ""
                encoding = ("DW_ATE_signed" if signed else "DW_ATE_unsigned") + (f"_{kind}" if kind else "")
                return self.integer(_C_NAMES[name], size, encoding)
            case Bool():
                return self.integer("_Bool", 1, "DW_ATE_boolean")
            case EnumType():
                return self._enum(ctype)
            case CharArray(size=size):
                return self.array(self.integer("char", 1, "DW_ATE_signed_char"), size, size)
            case ArrayType(element=element, length=length, size=size):
                return self.array(self.type(element), length, size)
            case AtomicType(element=element):
                return self.type(element)
            case AddressType(size=size):
                return self.array(self.integer("unsigned char", 1, "DW_ATE_unsigned_char"), size, size)
            case Pointer() | UserPointer():
                return self.pointer(None)
            case Opaque(name=name, size=size):
                return self._opaque(name, size)
            case RecordType():
                return self._record(ctype)
        raise AssertionError(f"no debug type for {ctype!r}")

    def _enum(self, ctype: EnumType) -> int:
        members = [self.node(f'!DIEnumerator(name: "{m.name}", value: {m.value}'
                             f'{"" if m.value < 0 else ", isUnsigned: true"})') for m in ctype.enum]
        base = self.type(ctype.storage)
        return self.add_node(f'!DICompositeType(tag: DW_TAG_enumeration_type, name: "{ctype.name}", '
                             f"baseType: !{base}, size: 32, elements: !{self.list_of(members)})")

    def _opaque(self, name: str, size: int) -> int:
        word = self.integer("unsigned int", 4, "DW_ATE_unsigned") if size == 4 else \
            self.integer("unsigned long long", 8, "DW_ATE_unsigned")
        unit = 4 if size == 4 else 8
        members = [self.member(f"opaque{i}" if size > unit else "val", word, i * unit * 8, unit * 8)
                   for i in range(size // unit)]
        return self.add_node(self.record("structure", name, size, members))

    def _record(self, ctype: RecordType) -> int:
        number = self.add_node("")
        self.known[ctype] = number
        members = []
        layout = ctype.cls.__layout__()
        for field in layout.fields.values():
            if isinstance(field.type, BitsType):
                bit = field.offset * 8 + field.shift
                members.append(self.member(field.name, self.type(field.type.storage), bit, field.width, number,
                                           field.offset * 8))
            else:
                members.append(self.member(field.name, self.type(field.type), field.offset * 8, field.type.size * 8,
                                           number))
        tag = "union" if getattr(ctype.cls, "__union__", False) else "structure"
        self.nodes[number] = self.record(tag, ctype.name, layout.size, members)
        return number

    # kernel types: only the members that a program reads, so that no type graph comes along

    def kernel_access(self, key: str, path: tuple[str, ...]) -> None:
        """Note that a program reads `path` of a kernel type; before `kernel_type` is asked for."""
        paths = self.kernel_fields.setdefault(key, [])
        if path not in paths:
            paths.append(path)

    def kernel_type(self, key: str, cls: Any, name: str) -> tuple[int, dict[tuple[str, ...], Part]]:
        """(node, {path: where it is}) of the part of a kernel type that is read."""
        known = self.known.get(("kernel", key))
        if known is not None:
            return known, self.kernel_places[key]
        places: dict[tuple[str, ...], Part] = {}
        number = self._kernel_record(cls, name, self.kernel_fields[key], (), "0", 0, places)
        self.known[("kernel", key)] = number
        self.kernel_places[key] = places
        return number, places

    def _kernel_record(self, cls: Any, name: str, paths: list[tuple[str, ...]], done: tuple[str, ...],
                       access: str, base: int, places: dict[tuple[str, ...], Part]) -> int:
        number = self.add_node("")
        layout = cls.__layout__()
        heads = list(dict.fromkeys(p[0] for p in paths if p))
        order = [n for n in layout.fields if n in heads]
        members = []
        union = getattr(cls, "__union__", False)
        for index, head in enumerate(order):
            field = layout.fields[head]
            here = (*done, head)
            step = f"{access}:{index}"
            rest = [p[1:] for p in paths if p[0] == head and len(p) > 1]
            if isinstance(field.type, BitsType):
                bit = field.offset * 8 + field.shift
                places[here] = Part(step, base + field.offset, field.type.size, field.shift, field.width)
                members.append(self.member(head, self.type(field.type.storage), bit, field.width, number,
                                           field.offset * 8))
                continue
            places[here] = Part(step, base + field.offset, field.type.size, 0, field.type.size * 8)
            if isinstance(field.type, RecordType):
                inner = self._kernel_record(field.type.cls, field.type.name, rest, here, step, base + field.offset,
                                            places)
            else:
                inner = self.type(field.type)
            members.append(self.member(head, inner, field.offset * 8, field.type.size * 8, number))
        self.nodes[number] = self.record("union" if union else "structure", name, layout.size, members)
        return number

    # functions and globals

    def subroutine(self, types: Sequence[int | None]) -> int:
        return self.node(f"!DISubroutineType(types: !{self.list_of(types)})")

    def function(self, name: str, file: int, line: int, types: Sequence[int | None], params: list[str], static: bool,
                 ) -> tuple[int, list[int]]:
        """(subprogram, its parameters' variables); see `retain` for others."""
        number = self.add_node("")
        variables = [self.add_node(f"!DILocalVariable(name: {quote(p)}, arg: {i}, scope: !{number}, file: !{file}, "
                                   f"line: {line}, type: !{types[i] if types[i] is not None else self.pointer(None)})")
                     for i, p in enumerate(params, 1)]
        self.retained[number] = self.add_node("!{" + ", ".join(f"!{each}" for each in variables) + "}")
        flags = "DISPFlagDefinition | DISPFlagOptimized" + (" | DISPFlagLocalToUnit" if static else "")
        self.nodes[number] = (f"distinct !DISubprogram(name: {quote(name)}, scope: !{file}, file: !{file}, "
                              f"line: {line}, type: !{self.subroutine(types)}, scopeLine: {line}, "
                              f"flags: DIFlagPrototyped, spFlags: {flags}, unit: !{self.unit}, "
                              f"retainedNodes: !{self.retained[number]})")
        return number, variables

    def retain(self, function: int, variable: int) -> None:
        """Tell of a function's variable also where nothing is left of it."""
        node = self.retained[function]
        known = self.nodes[node].removesuffix("}")
        self.nodes[node] = f"{known}{', ' if known != '!{' else ''}!{variable}}}"

    def external(self, name: str, file: int, types: Sequence[int | None], params: list[str]) -> int:
        """A function that the kernel defines."""
        del params
        return self.add_node(f"!DISubprogram(name: {quote(name)}, scope: !{file}, file: !{file}, line: 1, "
                             f"type: !{self.subroutine(types)}, flags: DIFlagPrototyped, spFlags: DISPFlagOptimized)")

    def local(self, name: str, scope: int, file: int, line: int, type: int) -> int:
        """A variable of a function: `line` is that of the function in the source, inlined or not."""
        return self.add_node(f"!DILocalVariable(name: {quote(name)}, scope: !{scope}, file: !{file}, line: {line}, "
                             f"type: !{type})")

    def meaning(self, meaning: Meaning) -> int:
        """The node of what a variable's slot holds: a number, or where a thing is."""
        match meaning:
            case Integer(low=low):
                return self.integer("long long", 8, "DW_ATE_signed") if low < 0 else \
                    self.integer("unsigned long long", 8, "DW_ATE_unsigned")
            case Boolean():
                return self.integer("_Bool", 1, "DW_ATE_boolean")
            case Optional(inner=inner):
                return self.meaning(inner)
            case Reference(ctype=ctype):
                return self.pointer(self.type(ctype))
            case KernelObject(cls=cls):
                name = getattr(cls, "__kernel_name__", cls.__name__)
                return self.pointer(self.node(f"!DICompositeType(tag: DW_TAG_structure_type, name: {quote(name)}, "
                                              "flags: DIFlagFwdDecl)"))
        return self.pointer(None)

    def variable(self, name: str, file: int, type: int) -> int:
        """A global's debug expression."""
        made = self.add_node(f"distinct !DIGlobalVariable(name: {quote(name)}, scope: !{self.unit}, file: !{file}, "
                             f"line: 1, type: !{type}, isLocal: false, isDefinition: true)")
        expression = self.node("!DIExpression()")
        found = self.add_node(f"!DIGlobalVariableExpression(var: !{made}, expr: !{expression})")
        self.globals.append(found)
        return found

    def location(self, line: int, column: int, scope: int) -> int:
        return self.node(f"!DILocation(line: {line}, column: {column + 1}, scope: !{scope})")

    def block_file(self, scope: int, file: int) -> int:
        """The scope of code that was inlined from another file."""
        return self.node(f"!DILexicalBlockFile(scope: !{scope}, file: !{file}, discriminator: 0)")

    def text(self, file: int) -> str:
        """All nodes, and the module's named metadata."""
        globals_ = self.list_of(self.globals)
        self.nodes[self.unit] = (f'distinct !DICompileUnit(language: DW_LANG_C11, file: !{file}, '
                                 'producer: "bpfwright", isOptimized: true, runtimeVersion: 0, '
                                 f"emissionKind: FullDebug, globals: !{globals_})")
        version = self.node('!{i32 2, !"Debug Info Version", i32 3}')
        lines = [f"!{number} = {text}" for number, text in enumerate(self.nodes)]
        return "\n".join([f"!llvm.dbg.cu = !{{!{self.unit}}}", f"!llvm.module.flags = !{{!{version}}}", *lines, ""])

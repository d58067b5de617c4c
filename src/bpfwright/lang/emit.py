"""IR to LLVM's text, with everything that becomes BTF. It knows no syntax tree."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.lang import ir
from bpfwright.lang.debuginfo import Metadata, quote
from bpfwright.types.ctype import CType, Pointer, RecordType

__all__ = ["Emitter", "GlobalData", "MapShape"]

_HEADER = 'target triple = "bpfel"\ntarget datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"\n'
# may_goto's stand-in is an empty asm statement that "writes" r11, and a branch on it: `if r11 == 0x7ffffff0 goto`, one
# instruction, which objfile replaces. BPF has no r11; LLVM has, but allots it to nothing. For LLVM must never keep the
# answer in another register, no path may tell it: to where there is budget left another way leads, until code is made.
_MAY_GOTO = 'call i64 asm sideeffect "", "={r11}"() #8'
_MAY_GOTO_OVER = 0x7FFFFFF0
_ANOTHER_WAY = "call i1 @llvm.experimental.widenable.condition()"
_CHUNK = 512  # the back end expands memcpy and memset of up to 1,024 bytes
_PREDICATES = {"eq": "eq", "ne": "ne", "ult": "ult", "ule": "ule", "slt": "slt", "sle": "sle"}
_CASTS = {"zext": "zext", "sext": "sext", "trunc": "trunc", "toptr": "inttoptr", "toint": "ptrtoint"}
_BINARY = {"add": "add", "sub": "sub", "mul": "mul", "udiv": "udiv", "urem": "urem", "and": "and", "or": "or",
           "xor": "xor", "shl": "shl", "lshr": "lshr", "ashr": "ashr"}


class MapShape:
    """What the object says of a map: numbers by member name, key and value types, the map inside."""

    __slots__ = ("inner", "key", "numbers", "value")

    def __init__(self, numbers: dict[str, int], key: CType | None, value: CType | None, inner: MapShape | None) -> None:
        self.numbers = numbers
        self.key = key
        self.value = value
        self.inner = inner


class GlobalData:
    """A global of the object: its section, members (name, type, offset), size in bytes and first contents."""

    __slots__ = ("contents", "members", "name", "read_only", "section")

    def __init__(self, name: str, section: str, members: list[tuple[str, CType, int]], contents: bytes,
                 read_only: bool) -> None:
        self.name = name
        self.section = section
        self.members = members
        self.contents = contents
        self.read_only = read_only


class Emitter:
    """One object's LLVM module."""

    def __init__(self, module: ir.Module, maps: dict[str, MapShape], data: list[GlobalData],
                 kernel_types: dict[str, tuple[type[Any], str]],
                 kfuncs: dict[str, tuple[CType | None, list[CType]]], *, native: bool = False,
                 variables: bool = False, license: str = "GPL") -> None:
        self.license = license
        self.native = native
        self.variables = variables
        self.module = module
        self.maps = maps
        self.data = data
        self.kernel_types = kernel_types
        self.kfuncs = kfuncs
        self.debug = Metadata()
        self.files = [self.debug.file(name) for name in module.files] or [self.debug.file("program.py")]
        self.externals: dict[str, str] = {}
        self.anchors = 0
        self.used: list[str] = []

    def text(self) -> str:
        """The whole module."""
        for function in self.module.functions.values():
            for op in function.ops():
                if op.name == "core":
                    key = str(op.args[0])
                    self.debug.kernel_access(key, tuple(str(op.args[2]).split(".")))
        parts = [] if self.native else [_HEADER]
        parts += [self.map_global(name, shape) for name, shape in self.maps.items()]
        parts += [self.data_global(data) for data in self.data]
        parts.append(f'@LICENSE = dso_local global [{len(self.license) + 1} x i8] c"{self.license}\\00", '
                     'section "license", align 1')
        self.used.append("LICENSE")
        functions = [FunctionText(self, function).text() for function in self.module.functions.values()]
        parts.append(f"@llvm.compiler.used = appending global [{len(self.used)} x ptr] ["
                     + ", ".join(f"ptr @{name}" for name in self.used) + '], section "llvm.metadata"')
        parts += self.externals.values()
        parts += functions
        parts.append(_INTRINSICS if self.native else _INTRINSICS + _BPF_INTRINSICS)
        parts.append('attributes #0 = { nounwind "no-jump-tables"="true" "no-builtins" }')
        parts.append('attributes #1 = { noinline nounwind "no-jump-tables"="true" "no-builtins" }')
        parts.append('attributes #8 = { nomerge nounwind willreturn memory(inaccessiblemem: readwrite) }')
        parts.append('attributes #9 = { "btf_ama" }')
        parts.append(self.debug.text(self.files[0]))
        return "\n".join(parts)

    # maps and data

    def map_global(self, name: str, shape: MapShape) -> str:
        type, count = self.map_type(shape)
        self.used.append(name)
        number = self.debug.variable(name, self.files[0], type)
        return f'@{name} = dso_local global [{count} x ptr] zeroinitializer, section ".maps", align 8, !dbg !{number}'

    def map_type(self, shape: MapShape) -> tuple[int, int]:
        """The anonymous struct that libbpf reads a map's definition from."""
        debug = self.debug
        entries: list[tuple[str, int]] = []
        for name, value in shape.numbers.items():
            entries.append((name, debug.pointer(debug.array(debug.number(), value, value * 4))))
        for name, ctype in (("key", shape.key), ("value", shape.value)):
            if ctype is not None:
                entries.append((name, debug.pointer(debug.type(ctype))))
        if shape.inner is not None:
            inner, _ = self.map_type(shape.inner)
            entries.append(("values", debug.array(debug.pointer(inner), 0, 0)))
        members = [debug.member(name, type, i * 64, 0 if name == "values" else 64)
                   for i, (name, type) in enumerate(entries)]
        size = 8 * (len(entries) - (shape.inner is not None))
        return debug.add_node(debug.record("structure", "", size, members)), max(size // 8, 1)

    def data_global(self, data: GlobalData) -> str:
        debug = self.debug
        members = [debug.member(name, debug.type(ctype), offset * 8, ctype.size * 8)
                   for name, ctype, offset in data.members]
        size = len(data.contents)
        type = debug.add_node(debug.record("structure", f"{data.name}_t", size, members))
        if data.read_only:
            type = debug.node(f"!DIDerivedType(tag: DW_TAG_const_type, baseType: !{type})")
        self.used.append(data.name)
        number = debug.variable(data.name, self.files[0], type)
        contents = 'c"' + "".join(f"\\{b:02X}" for b in data.contents) + '"'
        kind = "constant" if data.read_only else "global"
        return (f"@{data.name} = dso_local {kind} [{size} x i8] {contents}, section {quote(data.section)}, align 8, "
                f"!dbg !{number}")

    # what functions ask for

    def kfunc(self, name: str) -> None:
        if name in self.externals:
            return
        result, params = self.kfuncs[name]
        debug = self.debug
        types = [None if result is None else self.signature_type(result), *map(self.signature_type, params)]
        number = debug.external(name, self.files[0], types, [])
        shown = ", ".join(signature(p) for p in params)
        self.externals[name] = (f"declare !dbg !{number} {'void' if result is None else signature(result)} "
                                f'@{name}({shown}) section ".ksyms"')

    def signature_type(self, ctype: CType) -> int:
        if isinstance(ctype, Pointer):
            target = ctype.target
            if isinstance(target, RecordType):
                forward = self.debug.node(f"!DICompositeType(tag: DW_TAG_structure_type, name: {quote(target.name)}, "
                                          "flags: DIFlagFwdDecl)")
                return self.debug.pointer(forward)
        return self.debug.type(ctype)

    def core(self, key: str, kind: int, path: str, type: str) -> str:
        """The global whose address CO-RE patches; declared once."""
        cls, name = self.kernel_types[key]
        number, places = self.debug.kernel_type(key, cls, name)
        part = places[tuple(path.split("."))]
        symbol = f"llvm.{name}:{kind}:{part.local(kind)}${part.access}"
        self.externals.setdefault(f'"{symbol}"', f'@"{symbol}" = external global {type}, '
                                                 f"!llvm.preserve.access.index !{number} #9")
        return f'@"{symbol}"'

    def anchor(self) -> int:
        self.anchors += 1
        return self.anchors


def signature(ctype: CType) -> str:
    """The LLVM type of a kernel function's parameter or result."""
    if isinstance(ctype, (Pointer, RecordType)):
        return "ptr"
    return "i8" if ctype.name == "bool" else f"i{ctype.size * 8}"


class FunctionText:
    """One function's LLVM text."""

    def __init__(self, emitter: Emitter, function: ir.Function) -> None:
        self.emitter = emitter
        self.function = function
        self.names = [f"%{i}" for i in range(function.next_id)]
        for index in range(len(function.params)):
            self.names[index] = f"%p{index}"
        for index in range(len(function.params), function.next_id):
            self.names[index] = f"%v{index}"
        self.lines: list[str] = []
        self.scopes: dict[int, int] = {}
        self.temporary = 0
        self.at = ""

    def text(self) -> str:
        function, debug = self.function, self.emitter.debug
        number = debug.integer("long long", 8, "DW_ATE_signed") if function.result == "i64" else debug.number()
        types: list[int | None] = [number]
        for at, (_, type) in enumerate(function.params):
            told = debug.named(function.context) if function.context and at == 0 else None
            types.append(debug.pointer(told) if type == "ptr" else
                         debug.integer("unsigned int", 4, "DW_ATE_unsigned") if type == "i32" else
                         debug.integer("unsigned long long", 8, "DW_ATE_unsigned"))
        file = self.emitter.files[function.file]
        self.scope, variables = debug.function(function.name, file, function.line, types,
                                               [n for n, _ in function.params], function.static)
        self.scopes[function.file] = self.scope
        self.first = debug.location(function.line, 0, self.scope)
        self.empty = debug.node("!DIExpression()")
        params = ", ".join(f"{type} %p{i}" for i, (_, type) in enumerate(function.params))
        linkage = "internal" if function.static else "dso_local"
        section = f" section {quote(function.section)}" if function.section else ""
        attributes = "#0" if function.section else "#1"
        head = (f"define {linkage} {function.result} @{function.name}({params}) {attributes}{section} "
                f"!dbg !{self.scope} {{")
        if not function.static:
            self.emitter.used.append(function.name)
        budgets = {op.id for op in function.ops() if op.name == "may_goto"}
        ends = [op.args for op in function.ops() if op.name == "branch" and op.args[0] in budgets]
        self.on = {test: on for test, _, on in ends}
        # Where the budget's end does not follow the branch, the branch jumps when it is reached, as may_goto does.
        for block in sorted(function.blocks, key=lambda block: block.id in {over for _, over, _ in ends}):
            self.lines.append(f"b{block.id}:")
            if block.id == 0:
                for index, variable in enumerate(variables):
                    type = function.params[index][1]
                    self.lines.append(f"  #dbg_value({type} %p{index}, !{variable}, !{self.empty}, !{self.first})")
                if not function.static and not function.section:
                    # Used, or LLVM lets callers pass whatever a register holds, and the verifier looks at arguments.
                    self.lines += [f'  call void asm sideeffect "", "r"({type} %p{index}), !dbg !{self.first}'
                                   for index, (_, type) in enumerate(function.params)]
            for op in block.ops:
                self.op(op)
        return "\n".join([head, *self.lines, "}"])

    # operations

    def op(self, op: ir.Op) -> None:
        self.at = self.location(op.span)
        if op.name in _BINARY:
            self.line(op, f"{_BINARY[op.name]} {op.type} {self.bare(op.args[0])}, {self.bare(op.args[1])}")
        elif op.name in _PREDICATES:
            self.line(op, f"icmp {_PREDICATES[op.name]} {self.value(op.args[0])}, {self.bare(op.args[1])}")
        elif op.name in _CASTS:
            self.line(op, f"{_CASTS[op.name]} {self.value(op.args[0])} to {op.type}")
        else:
            _EMITTERS[op.name](self, op)

    def location(self, span: ir.Span) -> str:
        debug = self.emitter.debug
        scope = self.scopes.get(span.file)
        if scope is None:
            scope = self.scopes[span.file] = debug.block_file(self.scope, self.emitter.files[span.file])
        return f", !dbg !{debug.location(span.line or self.function.line, span.column, scope)}"

    def line(self, op: ir.Op, text: str) -> None:
        result = f"{self.names[op.id]} = " if op.id >= 0 else ""
        self.lines.append(f"  {result}{text}{self.at}")

    def bare(self, value: Any) -> str:
        name: str = self.names[value]
        return name

    def value(self, value: Any) -> str:
        return f"{self.function.types[value]} {self.names[value]}"

    def fresh(self) -> str:
        self.temporary += 1
        return f"%t{self.temporary}"

    def place(self, pointer: Any, offset: int) -> str:
        if offset == 0:
            return self.bare(pointer)
        name = self.fresh()
        self.lines.append(f"  {name} = getelementptr inbounds i8, ptr {self.bare(pointer)}, i64 {offset}{self.at}")
        return name

    def const(self, op: ir.Op) -> None:
        number = int(op.args[0])
        bits = ir.WIDTHS[op.type]
        self.names[op.id] = str(number - (1 << bits) if bits > 1 and number >> (bits - 1) else number)

    def named(self, op: ir.Op) -> None:
        self.names[op.id] = f"@{op.args[0]}"

    def null(self, op: ir.Op) -> None:
        self.names[op.id] = "null"

    def select(self, op: ir.Op) -> None:
        test, then, other = op.args
        self.line(op, f"select {self.value(test)}, {self.value(then)}, {self.value(other)}")

    def slot(self, op: ir.Op) -> None:
        size, align, _ = op.args
        self.line(op, f"alloca [{size} x i8], align {align}")
        known = self.function.variables.get(op.id) if self.emitter.variables else None
        if known is not None:
            debug = self.emitter.debug
            variable = debug.local(known.name, self.scope, self.emitter.files[known.file], known.line,
                                   debug.meaning(known.meaning))
            debug.retain(self.scope, variable)
            self.lines.append(f"  #dbg_declare(ptr {self.bare(op.id)}, !{variable}, !{self.empty}, !{self.first})")

    def load(self, op: ir.Op) -> None:
        pointer, offset, align = op.args
        place = self.place(pointer, int(offset))
        self.line(op, f"load {op.type}, ptr {place}, align {self.align(op.type, int(align))}")

    def fixed(self, op: ir.Op) -> None:
        """A load of what nothing changes while the program runs."""
        pointer, offset, align = op.args
        place = self.place(pointer, int(offset))
        never = self.emitter.debug.node("!{}")
        self.line(op, f"load {op.type}, ptr {place}, align {self.align(op.type, int(align))}, !invariant.load !{never}")

    def volatile(self, op: ir.Op) -> None:
        pointer, offset, align = op.args
        place = self.place(pointer, int(offset))
        self.line(op, f"load volatile {op.type}, ptr {place}, align {self.align(op.type, int(align))}")

    def store(self, op: ir.Op) -> None:
        pointer, offset, value, align = op.args
        place = self.place(pointer, int(offset))
        type = self.function.types[int(value)]
        self.line(op, f"store {self.value(value)}, ptr {place}, align {self.align(type, int(align))}")

    def align(self, type: str, asked: int) -> int:
        return asked or (8 if type == "ptr" else max(1, ir.WIDTHS[type] // 8))

    def offset(self, op: ir.Op) -> None:
        pointer, offset = op.args
        self.line(op, f"getelementptr inbounds i8, ptr {self.bare(pointer)}, i64 {offset}")

    def index(self, op: ir.Op) -> None:
        pointer, index, scale = op.args
        self.line(op, f"getelementptr [{scale} x i8], ptr {self.bare(pointer)}, {self.value(index)}")

    def copy(self, op: ir.Op) -> None:
        target, source, size, align, source_align = op.args
        for at in range(0, int(size), _CHUNK):
            count = min(_CHUNK, int(size) - at)
            to, since = self.place(target, at), self.place(source, at)
            self.lines.append(f"  call void @llvm.memcpy.p0.p0.i64(ptr align {align} {to}, "
                              f"ptr align {source_align} {since}, i64 {count}, i1 false){self.at}")

    def fill(self, op: ir.Op) -> None:
        target, size, byte, align = op.args
        for at in range(0, int(size), _CHUNK):
            count = min(_CHUNK, int(size) - at)
            self.lines.append(f"  call void @llvm.memset.p0.i64(ptr align {align} {self.place(target, at)}, i8 {byte}, "
                              f"i64 {count}, i1 false){self.at}")

    def arena(self, op: ir.Op) -> None:
        """Where the userspace machine's memory begins; its address stands in the module's own word."""
        self.emitter.externals.setdefault("arena", "@arena = dso_local global ptr null, align 8")
        never = self.emitter.debug.node("!{}")
        self.line(op, f"load ptr, ptr @arena, align 8, !invariant.load !{never}")

    def move(self, op: ir.Op) -> None:
        to, source, size = op.args
        self.lines.append(f"  call void @llvm.memcpy.p0.p0.i64(ptr align 1 {self.bare(to)}, ptr align 1 "
                          f"{self.bare(source)}, {self.value(size)}, i1 false){self.at}")

    def wipe(self, op: ir.Op) -> None:
        to, byte, size = op.args
        self.lines.append(f"  call void @llvm.memset.p0.i64(ptr align 1 {self.bare(to)}, {self.value(byte)}, "
                          f"{self.value(size)}, i1 false){self.at}")

    def differ(self, op: ir.Op) -> None:
        self.emitter.externals.setdefault("memcmp", "declare i32 @memcmp(ptr, ptr, i64)")
        left, right, size = op.args
        found = self.fresh()
        self.lines.append(f"  {found} = call i32 @memcmp({self.value(left)}, {self.value(right)}, {self.value(size)})"
                          f"{self.at}")
        self.line(op, f"icmp ne i32 {found}, 0")

    def atomic(self, op: ir.Op) -> None:
        kind, pointer, value = op.args
        fetch = str(kind).startswith("fetch_")
        order = "seq_cst" if fetch else "monotonic"
        what = str(kind).removeprefix("fetch_")
        self.line(op, f"atomicrmw {what} ptr {self.bare(pointer)}, {self.value(value)} {order}")

    def cmpxchg(self, op: ir.Op) -> None:
        pointer, expected, new = op.args
        pair = self.fresh()
        self.lines.append(f"  {pair} = cmpxchg ptr {self.bare(pointer)}, {self.value(expected)}, {self.value(new)} "
                          f"seq_cst seq_cst{self.at}")
        self.line(op, f"extractvalue {{ {op.type}, i1 }} {pair}, 0")

    def helper(self, op: ir.Op) -> None:
        number, *args = op.args
        shown = ", ".join(map(self.value, args))
        self.line(op, f"call {op.type} inttoptr (i64 {number} to ptr)({shown})")

    def kfunc(self, op: ir.Op) -> None:
        name, *args = op.args
        self.emitter.kfunc(str(name))
        shown = ", ".join(map(self.value, args))
        self.line(op, f"call {op.type} @{name}({shown})")

    def call(self, op: ir.Op) -> None:
        name, *args = op.args
        shown = ", ".join(map(self.value, args))
        result = self.emitter.module.functions[str(name)].result
        if op.id < 0 and result != "void":
            self.lines.append(f"  {self.fresh()} = call {result} @{name}({shown}){self.at}")
        else:
            self.line(op, f"call {op.type} @{name}({shown})")

    def core(self, op: ir.Op) -> None:
        key, kind, path = op.args
        symbol = self.emitter.core(str(key), int(kind), str(path), op.type)
        self.line(op, f"load {op.type}, ptr {symbol}")

    def anchor(self, op: ir.Op) -> None:
        self.line(op, f"call ptr @llvm.bpf.passthrough.p0.p0(i32 {self.emitter.anchor()}, {self.value(op.args[0])})")

    def opaque(self, op: ir.Op) -> None:
        if self.emitter.native:
            self.names[op.id] = self.bare(op.args[0])
            return
        self.line(op, f"call {op.type} @llvm.bpf.passthrough.{op.type}.{op.type}(i32 {self.emitter.anchor()}, "
                      f"{self.value(op.args[0])})")

    def held(self, op: ir.Op) -> None:
        """`opaque` ends before the back end, which makes `pointer + small` an `or`; this lasts to the end."""
        if self.emitter.native:
            self.names[op.id] = self.bare(op.args[0])
            return
        self.line(op, f'call {op.type} asm "", "=r,0"({self.value(op.args[0])})')

    def may_goto(self, op: ir.Op) -> None:
        way, left = self.fresh(), self.fresh()
        asked = f"asked{left[1:]}"
        self.lines += [f"  {way} = {_ANOTHER_WAY}{self.at}",
                       f"  br i1 {way}, label %{asked}, label %b{self.on[op.id]}{self.at}", f"{asked}:",
                       f"  {left} = {_MAY_GOTO}{self.at}"]
        self.line(op, f"icmp eq i64 {left}, {_MAY_GOTO_OVER}")

    def intrinsic(self, op: ir.Op) -> None:
        value = self.value(op.args[0])
        extra = ", i1 false" if op.name == "ctlz" else ""
        self.line(op, f"call {op.type} @llvm.{op.name}.{op.type}({value}{extra})")

    def goto(self, op: ir.Op) -> None:
        self.line(op, f"br label %b{op.args[0]}")

    def branch(self, op: ir.Op) -> None:
        test, then, other = op.args
        self.line(op, f"br {self.value(test)}, label %b{then}, label %b{other}")

    def give_back(self, op: ir.Op) -> None:
        self.line(op, f"ret {self.value(op.args[0])}" if op.args else "ret void")


_EMITTERS: dict[str, Callable[[FunctionText, ir.Op], None]] = {
    "const": FunctionText.const, "null": FunctionText.null, "function": FunctionText.named,
    "global": FunctionText.named, "select": FunctionText.select, "slot": FunctionText.slot, "load": FunctionText.load,
    "volatile": FunctionText.volatile, "fixed": FunctionText.fixed, "store": FunctionText.store,
    "offset": FunctionText.offset,
    "index": FunctionText.index, "arena": FunctionText.arena, "move": FunctionText.move, "wipe": FunctionText.wipe,
    "differ": FunctionText.differ, "copy": FunctionText.copy, "fill": FunctionText.fill, "atomic": FunctionText.atomic,
    "cmpxchg": FunctionText.cmpxchg, "helper": FunctionText.helper, "kfunc": FunctionText.kfunc,
    "call": FunctionText.call, "core": FunctionText.core, "anchor": FunctionText.anchor,
    "may_goto": FunctionText.may_goto,
    "opaque": FunctionText.opaque, "held": FunctionText.held, "bswap": FunctionText.intrinsic,
    "ctpop": FunctionText.intrinsic, "ctlz": FunctionText.intrinsic, "goto": FunctionText.goto,
    "branch": FunctionText.branch,
    "return": FunctionText.give_back,
}

_INTRINSICS = """declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i16 @llvm.bswap.i16(i16)
declare i32 @llvm.bswap.i32(i32)
declare i64 @llvm.bswap.i64(i64)
declare i64 @llvm.ctpop.i64(i64)
declare i64 @llvm.ctlz.i64(i64, i1)"""
_BPF_INTRINSICS = """
declare i1 @llvm.experimental.widenable.condition()
declare ptr @llvm.bpf.passthrough.p0.p0(i32, ptr)
declare i32 @llvm.bpf.passthrough.i32.i32(i32, i32)
declare i64 @llvm.bpf.passthrough.i64.i64(i32, i64)"""

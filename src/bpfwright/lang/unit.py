"""One object file in the making: what its functions share (maps, data, kernel types, subprograms)."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.errors import UsageError
from bpfwright.lang import ir, passes
from bpfwright.lang.build import STACK_BUDGETS, part_types
from bpfwright.lang.check import Body
from bpfwright.lang.emit import Emitter, MapShape
from bpfwright.lang.layouted import Layouted
from bpfwright.lang.lower import Lowering
from bpfwright.lang.source import portable
from bpfwright.lang.target import Target
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import ContextOf
from bpfwright.types import u64
from bpfwright.types.config import Config
from bpfwright.types.ctype import ArrayType, CharArray, CType, RecordType
from bpfwright.types.structs import Struct

__all__ = ["Unit"]

_RINGS = (4, 27)  # perf event arrays and ring buffers


class Unit:
    """Collects what functions ask for while they are lowered; the `sink` of every Lowering."""

    def __init__(self, target: Target, names: dict[int, str], configs: dict[type[Config], Config],
                 shape_of: Callable[[Any], MapShape], *, anywhere: bool = False) -> None:
        self.target = target
        self.anywhere = anywhere
        self.module = ir.Module()
        self.names = names
        self.configs = configs
        self.shape_of = shape_of
        self.maps: dict[str, Any] = {}
        self.shapes: dict[str, MapShape] = {}
        self.by_identity: dict[int, str] = {}
        self.shared = Layouted("bpfwright_shared", ".data.shared", False)
        self.constants = Layouted("bpfwright_constants", ".rodata.constants", True)
        self.config = Layouted("bpfwright_config", ".rodata.config", True)
        self.lost: dict[str, int] = {}
        self.kernel_types: dict[str, tuple[type[Any], str]] = {}
        self.kfuncs: dict[str, tuple[CType | None, list[CType]]] = {}
        self.lowered: set[str] = set()
        self.logs: list[tuple[str, Any]] = []
        self.default_return = 0
        self.separate_results = False
        self.facts: Any = None
        self.raw_exit = False
        self.packet_bounds: Any = None
        self.moves_packet = False
        self.program = ""
        self.context: Any = None
        self.scratch_sizes: dict[str, int] = {}
        self.scratch_allowed = True
        self.stack_budget = STACK_BUDGETS[0]
        self.taken: set[str] = set()

    # names and files

    def file(self, path: str) -> int:
        path = portable(path) if self.anywhere else path
        if path not in self.module.files:
            self.module.files.append(path)
        return self.module.files.index(path)

    def fresh(self, name: str) -> str:
        made, number = name, 1
        while made in self.module.functions or made in self.maps or made in self.taken:
            number += 1
            made = f"{name}_{number}"
        self.taken.add(made)
        return made

    def add(self, function: ir.Function) -> None:
        self.module.functions[function.name] = function

    # maps

    def map_name(self, declaration: Any) -> str:
        """The name of a map in the object; it is put there at the first asking."""
        known = self.by_identity.get(id(declaration))
        if known is None:
            wanted = self.names.get(id(declaration)) or f"map{len(self.maps)}"
            known = self.by_identity[id(declaration)] = self.fresh(_c_name(wanted))
            self.maps[known] = declaration
            self.shapes[known] = self.shape_of(declaration)
        return known

    def hidden_map(self, name: str, shape: MapShape) -> str:
        """A map of the compiler's own."""
        self.shapes.setdefault(name, shape)
        return name

    # scratch: records that do not fit the stack

    def scratch_base(self, lowering: Lowering) -> int:
        """A pointer to this program's per-CPU scratch entry, looked up once per function, at its entry."""
        if not self.scratch_allowed:
            raise UsageError("a sleepable program has 512 bytes of stack and no scratch memory",
                             cure="Use shorter texts, or build the record in the ring: `with ring.reserve() as e:`.")
        if lowering.scratch_at is None:
            lowering.scratch_at = self._lookup_scratch(lowering)
        return lowering.scratch_at

    def _lookup_scratch(self, lowering: Lowering) -> int:
        name = f"scratch_{self.program}"[:15]
        self.scratch_sizes.setdefault(name, 0)
        out, entry, at, span = lowering.out, lowering.entry, lowering.at, lowering.span
        prologue = out.block()
        missing, go = out.block(), out.block()
        lowering.at, lowering.span = prologue, ir.Span(0, 0)
        key = lowering.slot(4, 4, "scratch key")
        lowering.store(key, lowering.number(0, "i32"), 0, 4)
        found = lowering.helper_pointer(1, lowering.op("global", "ptr", name), key)
        lowering.branch(lowering.is_null(found), missing, go)
        lowering.at = missing
        lowering.give_back(None)
        lowering.at = go
        lowering.effect("goto", 1)
        lowering.prologue = prologue.id
        lowering.at, lowering.span = at, span
        del entry
        return found

    def reserve(self, size: int) -> int:
        """The offset of `size` more bytes of scratch."""
        name = f"scratch_{self.program}"[:15]
        offset = self.scratch_sizes[name]
        self.scratch_sizes[name] = offset + size
        return offset

    # data

    def struct_pointer(self, lowering: Lowering, value: Struct) -> int:
        """Where a shared or constant struct lives."""
        name = _c_name(self.names.get(id(value)) or type(value).__name__)
        memory = getattr(value, "shared_memory", None)
        if memory is not None:
            ctype = RecordType(type(value).__mro__[1])
            offset = self.shared.place(id(value), name, ctype, memory.initial)
            return lowering.pointer(lowering.op("global", "ptr", self.shared.name), offset)
        ctype = RecordType(type(value))
        offset = self.constants.place((type(value), bytes(value)), name, ctype, bytes(value))
        return lowering.pointer(lowering.op("global", "ptr", self.constants.name), offset)

    def config_place(self, lowering: Lowering, config: Config, name: str) -> tuple[int, int]:
        """(pointer, offset) of a member of a Config; its value is the one given at load, by type."""
        cls = type(config)
        value = self.configs.get(cls, config)
        offset = -1
        for member, ctype in cls.types().items():
            place = self.config.place((cls, member), f"{cls.__name__}_{member}", ctype,
                                      ctype.to_bytes(getattr(value, member)))
            offset = place if member == name else offset
        return lowering.op("global", "ptr", self.config.name), offset

    def lost_counter(self, lowering: Lowering, declaration: object) -> tuple[int, int]:
        """The counter of what found no room in a map (or in a hidden one, by name)."""
        name = declaration if isinstance(declaration, str) else self.map_name(declaration)
        offset = self.shared.place(("lost", name), f"lost_{name}", u64, b"")  # type: ignore[arg-type]
        self.lost[name] = offset
        return lowering.op("global", "ptr", self.shared.name), offset

    # kernel

    def kernel_type(self, cls: type[Any]) -> str:
        """The key of a kernel type; different pictures of one type get flavours, as CO-RE calls them."""
        base = cls.__kernel_name__
        for key, (known, _) in self.kernel_types.items():
            if known is cls:
                return key
        name = base if base not in self.kernel_types else f"{base}___{cls.__name__}"
        self.kernel_types[name] = (cls, name)
        return name

    def kfunc(self, name: str, result: CType | None, parameters: list[CType]) -> None:
        self.kfuncs.setdefault(name, (result, parameters))

    # logs

    def log_site(self, record: tuple[str, Any]) -> int:
        """The number of a log line's form: (program, parts)."""
        if record not in self.logs:
            self.logs.append(record)
        return self.logs.index(record)

    def log_ring(self, lowering: Lowering) -> int:
        """A pointer to the ring that carries log lines."""
        from bpfwright.helpers.log import LOG_RING
        self.hidden_map(LOG_RING, MapShape({"type": 27, "max_entries": 1 << 18}, None, None, None))
        return lowering.op("global", "ptr", LOG_RING)

    def name_records(self) -> None:
        """Put the record types of rings into the object's type information, for readers in other languages.

        Rings have no value type that the kernel would take; an array of no length in the object's data costs nothing.
        """
        area = next((area for area in (self.shared, self.config, self.constants) if area.members), None)
        if area is None:
            return
        area.contents += bytes(-len(area.contents) % 8)
        for name, declaration in self.maps.items():
            if declaration.kind in _RINGS and isinstance(declaration.value, RecordType):
                area.members.append((f"records_of_{name}", ArrayType(declaration.value, 0), len(area.contents)))

    # functions

    def lower_program(self, body: Body, name: str, section: str, parameters: list[Value], context: Any) -> None:
        """An entry point: `parameters` tells how the function's arguments come out of the context."""
        del parameters
        out = ir.Function(name, [("ctx", "ptr")], "i32", section=section, line=body.tree.line,
                          file=self.file(body.source.file))
        self.program = name
        self.add(out)
        lowering = Lowering(self, out, body)
        lowering.context_value = 0
        lowering.run(context(lowering))
        self.finish(out, lowering)

    def lower_instance(self, body: Body) -> None:
        """A subprogram or callback, once."""
        if body.name in self.lowered:
            return
        self.lowered.add(body.name)
        self.taken.add(body.name)
        params: list[tuple[str, str]] = []
        shapes = []
        if body.pointers is not None:
            first, pointed = body.pointers
            params = [("first", first)] * bool(first) + [(name, "ptr") for name, _ in body.params]
        for name, meaning in body.params if body.pointers is None else ():
            types = part_types(meaning)
            shapes.append((meaning, len(types)))
            params += [(name if i == 0 else f"{name}_{i}", type) for i, type in enumerate(types)]
        static = not getattr(body.function, "__judged_alone__", False)
        out = ir.Function(body.name, params, "i64", static=static, line=body.tree.line,
                          file=self.file(body.source.file))
        if not static and body.params and isinstance(body.params[0][1], ContextOf):
            out.context = body.params[0][1].cls.kernel_name
        self.add(out)
        lowering = Lowering(self, out, body)
        values, at = [], 0
        for meaning, count in shapes:
            values.append(Value(meaning, *range(at, at + count)))
            at += count
        if body.pointers is not None:
            for index, ((_, meaning), ctype) in enumerate(zip(body.params, pointed, strict=True)):
                space = getattr(meaning, "space", "stack")
                values.append(lowering.read(ctype, index + bool(first), 0, space))
        kept = self.default_return, self.separate_results
        self.default_return, self.separate_results = 0, False
        lowering.run(values)
        self.default_return, self.separate_results = kept
        self.finish(out, lowering)

    def finish(self, out: ir.Function, lowering: Lowering) -> None:
        """The entry block goes through the scratch look-up, if there is one; then the passes."""
        if lowering.prologue is not None:
            lowering.entry.ops[-1] = ir.Op("goto", "void", (lowering.prologue,), -1, ir.Span(0, 0))

    def add_scratch(self) -> None:
        """The maps of scratch memory, whose sizes are known once everything is lowered."""
        from bpfwright.types import u32
        for name, size in self.scratch_sizes.items():
            numbers = {"type": 6, "max_entries": 1}  # BPF_MAP_TYPE_PERCPU_ARRAY
            self.hidden_map(name, MapShape(numbers, u32, CharArray(max(size, 8)), None))  # type: ignore[arg-type]

    def text(self, *, native: bool = False, variables: bool = False) -> str:
        """LLVM's text of the whole object; for this process's own processor with `native`. `variables`: where each
        variable of the source is kept goes into the debug information."""
        for function in self.module.functions.values():
            passes.run(function)
        self.add_scratch()
        self.name_records()
        data = [area.finish() for area in (self.shared, self.constants, self.config) if area.members]
        return Emitter(self.module, self.shapes, data, self.kernel_types, self.kfuncs, native=native,
                       variables=variables).text()


def _c_name(name: str) -> str:
    made = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    return made if made and not made[0].isdigit() else f"m_{made}"

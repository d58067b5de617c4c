"""The object in the making: functions, maps, constants, counters, messages; what Code asks for and the plan keeps."""
from __future__ import annotations

from bpfwright._abi import bpf as B
from bpfwright._typing import Any
from bpfwright.facets.trace.plan import Counter, Map, Message
from bpfwright.facets.trace.types import Type
from bpfwright.lang import ir, passes
from bpfwright.lang.emit import Emitter, MapShape
from bpfwright.lang.layouted import Layouted
from bpfwright.lang.target import Target
from bpfwright.types import u64
from bpfwright.types.ctype import CharArray, CType

__all__ = ["COUNTERS", "RING", "STACKS", "Unit"]

RING, STACKS, COUNTERS = "messages", "stacks", ".data.counters"
_STACKS = 16_384
_DEEPEST = 127


class Unit:
    """One object. It is the `sink` of every Code."""

    def __init__(self, target: Target, ring_bytes: int, cpus: int, license: str = "GPL") -> None:
        self.target = target
        self.license = license
        self.cpus = cpus
        self.module = ir.Module()
        self.shapes: dict[str, MapShape] = {
            RING: MapShape({"type": B.BPF_MAP_TYPE_RINGBUF, "max_entries": ring_bytes}, None, None, None)}
        self.constants = Layouted("bpfwright_constants", ".rodata.constants", True)
        self.counters = Layouted("bpfwright_counters", COUNTERS, False)
        self.counted: list[Counter] = []
        self.kfuncs: dict[str, tuple[CType | None, list[CType]]] = {}
        self.messages: list[Message] = []
        self.texts: list[str] = []
        self.maps: dict[str, Map] = {}
        self.scratch: dict[str, int] = {}
        self.embedded: Any = None
        self.unwound: tuple[tuple[str, str], ...] = ()
        self.count("lost", "")

    # what Builder asks for

    def kfunc(self, name: str, result: CType | None, parameters: list[CType]) -> None:
        self.kfuncs.setdefault(name, (result, parameters))

    def map_name(self, declaration: Any) -> str:
        return str(declaration)

    # what Code asks for

    def file(self, path: str) -> int:
        """The number of a source file."""
        if path not in self.module.files:
            self.module.files.append(path)
        return self.module.files.index(path)

    def add(self, function: ir.Function) -> None:
        self.module.functions[function.name] = function

    def message(self, kind: str, fields: tuple[Type, ...] = (), texts: tuple[str, ...] = ()) -> int:
        """The index of a message."""
        made = Message(kind, fields, texts)
        if made not in self.messages:
            self.messages.append(made)
        return self.messages.index(made)

    def text(self, content: str) -> int:
        """The index of a text that tokens name."""
        if content not in self.texts:
            self.texts.append(content)
        return self.texts.index(content)

    def count(self, kind: str, name: str) -> int:
        """The offset of a counter in the counters' global."""
        at = self.counters.place((kind, name), f"{kind}_{len(self.counted)}", u64, b"")  # type: ignore[arg-type]
        made = Counter(kind, name, at)
        if made not in self.counted:
            self.counted.append(made)
        return at

    def bytes_constant(self, content: bytes) -> int:
        """The offset of bytes in the constants' global, aligned to 8, with NULs up to the next word."""
        room = content.ljust(-(-max(len(content), 1) // 8) * 8, b"\0")
        self.constants.contents += bytes(-len(self.constants.contents) % 8)
        return self.constants.place(("bytes", room), f"text_{len(self.constants.members)}", CharArray(len(room)), room)

    def stacks(self) -> str:
        """The stack map's name."""
        self.shapes.setdefault(STACKS, MapShape(
            {"type": B.BPF_MAP_TYPE_STACK_TRACE, "key_size": 4, "value_size": 8 * _DEEPEST, "max_entries": _STACKS},
            None, None, None))
        return STACKS

    def unwinder(self, machine: Any) -> str:
        """The name of the function that keeps a user stack, unwound by tables: it takes how many frames, gives a name.

        With it come its maps and the programs that tell processes apart.
        """
        from bpfwright.stacks import kept
        if self.embedded is None:
            from bpfwright.lang.embedding import embed
            from bpfwright.session import prepare
            from bpfwright.stacks.processes import own_namespace
            programs: list[Any] = [kept.carrier, *(program for program, _ in kept.PROGRAMS)]
            prepare(programs, machine)
            self.embedded = embed(programs, self.target, self.module, kept.Settings(namespace=own_namespace()),
                                  without=kept.carrier.name)
            self.shapes.update(self.embedded.maps)
            self.kfuncs.update(self.embedded.kfuncs)
            self.unwound = tuple((program.name, "" if program.options["btf"] else tracepoint)
                                 for program, tracepoint in kept.PROGRAMS)
        return kept.user_stack.__name__

    def has(self, feature: str) -> bool:
        return self.target.has(feature)

    # the end

    def llvm(self) -> str:
        """LLVM's text of the object."""
        for function in self.module.functions.values():
            passes.run(function)
        for name, size in self.scratch.items():
            self.shapes[name] = MapShape({"type": B.BPF_MAP_TYPE_PERCPU_ARRAY, "key_size": 4,
                                          "value_size": max(8, -(-size // 8) * 8), "max_entries": 1}, None, None, None)
        data = [area.finish() for area in (self.counters, self.constants) if area.members]
        types = {}
        if self.embedded is not None:
            data += self.embedded.data
            types = self.embedded.kernel_types
        return Emitter(self.module, self.shapes, data, types, self.kfuncs, license=self.license).text()

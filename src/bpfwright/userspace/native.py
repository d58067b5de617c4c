"""A program as native code: translated, compiled (or out of the cache), linked with stores and helpers, and run."""
from __future__ import annotations

from struct import pack_into, unpack_from

from bpfwright import _cache, _llvm
from bpfwright._native import NativeCode, address_of, callback, load_native
from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import Fault
from bpfwright.hooks.running.traffic import KINDS as KINDS_DRIVEN
from bpfwright.maps.stores import FILES
from bpfwright.spec.page import FAULT, FAULT_ADDRESS, STACK_TOP
from bpfwright.userspace import kernel_functions
from bpfwright.userspace.arena import FRAME, STACK_SIZE
from bpfwright.userspace.jit import KINDS, translate
from bpfwright.userspace.map import UserMap
from bpfwright.userspace.stores import functions, helper_body

if TYPE_CHECKING:
    from bpfwright.userspace.program import UserProgram

__all__ = ["NativeProgram"]

_OPT = 2
_TRACING = 26  # bpf_prog_type
_counts: dict[str, int] = {}


def _arguments(name: str) -> int:
    """How many words a native function of the library takes; 0 when there is none."""
    if not _counts:
        _counts.update({each: function.__code__.co_argcount for each, function in functions().items()})
    return _counts.get(name, 0)


class NativeProgram:
    """One program's code. It holds the machine's memory and library; both outlive it."""

    def __init__(self, program: UserProgram) -> None:
        self._program = program
        machine = program.machine
        maps = [thing for thing in machine.things() if isinstance(thing, UserMap)]
        stores = {map_.address: FILES[map_.spec.type] for map_ in maps}
        def native_name(number: int) -> str:
            return "" if number in program.helpers else _native_name(number)

        text, needs = translate(program.code, checked=not program.verified, map_at=lambda at: stores.get(at, ""),
                         arguments=_arguments, helper=native_name, probes=program.probes,
                         arena_bits=machine.arena.bits, stores=_reachable(program, maps),
                         stage=KINDS_DRIVEN.get(program.spec.type, ""),
                         counters=program.counts.address if program.counts is not None else 0)
        self._problem: BaseException | None = None
        self._keep: list[object] = []
        self._top = 0
        symbols = machine.library().addresses(needs)
        for name, function, count in (("python", self._python, 8), ("tail_target", self._tail_target, 2)):
            symbols[name], kept = callback(function, count)
            self._keep.append(kept)
        self._code: NativeCode = load_native(_compiled(text), symbols)
        self._code.set_word("arena", address_of(machine.arena.memory))
        self._repeat = self._code.words("repeat", 4)
        self._drive = self._code.words("drive", 7) if program.spec.type in KINDS_DRIVEN else None
        self._enter_with = self._code.words("enter_with", 4)

    @property
    def entry(self) -> int:
        """Where the program begins, for tail calls from others."""
        return self._code.address("main")

    def run(self, context: int, cpu: int, budget: int, repeat: int = 1) -> int:
        """Run it `repeat` times on one context; r0 of the last. Raises Fault."""
        return self._run(cpu, lambda top: self._repeat(context, top, budget, max(1, repeat)))

    def call(self, first: int, second: int, budget: int, cpu: int = 0) -> int:
        """Run it once on two words; r0. Raises Fault."""
        return self._run(cpu, lambda top: self._enter_with(first, second, top, budget))

    def drive(self, context: int, budget: int, table: int, count: int, results: int, out: int) -> int:
        """Run it on each packet of a table of (address, bytes); see captures. Raises Fault."""
        drive = self._drive
        assert drive is not None
        return self._run(0, lambda top: drive(table, count, context, top, budget, results, out))

    def _run(self, cpu: int, run: object) -> int:
        arena = self._program.machine.arena
        top = arena.stack_top(cpu)
        pack_into("<IIQQ", arena.memory, FAULT, 0, 0, 0, top - STACK_SIZE)
        pack_into("<Q", arena.memory, STACK_TOP, top)
        if not self._program.verified:
            arena.forbid(top - STACK_SIZE, STACK_SIZE)
            arena.allow(top - FRAME, FRAME)
        self._problem, self._top = None, top
        value: int = run(top)  # type: ignore[operator]
        if self._problem is not None:
            raise self._problem
        kind, slot = unpack_from("<II", arena.memory, FAULT)
        if kind:
            if self._program.counts is not None:
                self._program.counts.stopped(KINDS[kind], slot)
            raise Fault(KINDS[kind], slot, unpack_from("<Q", arena.memory, FAULT_ADDRESS)[0])
        return value

    def _python(self, number: int, slot: int, *words: int) -> int:
        """What native code has no body for; errors wait until the run has come back."""
        program = self._program
        interpreter = program.interpreter
        number = number - (1 << 64) if number >> 63 else number
        try:
            registers = interpreter.registers
            registers[1:6] = words[:5]
            registers[10] = words[5]
            interpreter.stack_top = self._top
            body = program.kernel_function(-number, slot) if number < 0 else program.helper(number, slot)
            found = body(interpreter, registers)
            return (found or 0) & (1 << 64) - 1
        except BaseException as problem:
            self._problem = problem
            pack_into("<I", program.machine.arena.memory, FAULT, 6)
            return 0

    def _tail_target(self, array: int, index: int) -> int:
        program = self._program
        try:
            target = program.tail_target(array, index & 0xFFFFFFFF)
            native = target.native() if target is not None else None
            return native.entry if native is not None else 0
        except BaseException as problem:
            self._problem = problem
            pack_into("<I", program.machine.arena.memory, FAULT, 6)
            return 0

    def close(self) -> None:
        """Unmap it."""
        self._code.close()


def _reachable(program: UserProgram, maps: list[UserMap]) -> dict[int, str]:
    """The stores, by bpf_map_type, of all maps that a program may come by: those that are there, and those in maps of
    maps. Iterators see maps of anyone."""
    if program.spec.type == _TRACING:
        return FILES
    specs = [map_.spec for map_ in maps]
    kinds = {spec.type for spec in specs} | {spec.inner.type for spec in specs if spec.inner is not None}
    return {kind: file for kind, file in FILES.items() if kind in kinds}


def _native_name(number: int) -> str:
    """The library's name of a helper, or of kernel function -number; empty when it has none."""
    if number < 0:
        return kernel_functions.native_name(-number)
    return f"helper_{number}" if helper_body(number) is not None else ""


def _compiled(text: str) -> bytes:
    cache = _cache.default()
    key = _cache.key_of(b"jit", _llvm.version().encode(), bytes([_OPT]), text.encode())
    found = cache.get(key)
    if found is None:
        found = _llvm.compile_native(text, opt=_OPT)
        cache.put(key, found)
    return found

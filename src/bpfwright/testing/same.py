"""One program, everywhere: interpreter, native code and kernel must do the same, or the first difference is shown."""
from __future__ import annotations


from bpfwright._host import native_code_runs
from bpfwright._typing import TYPE_CHECKING, Any, Iterable, Mapping, NamedTuple, Self, Sequence
from bpfwright.errors import Fault, UsageError
from bpfwright.session import Session
from bpfwright.spec.header import Header
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.packet import Packet
from bpfwright.spec.page import CLOCK, RANDOM
from bpfwright.testing.contexts import SkbContext, XdpContext
from bpfwright.testing.privilege import may_load
from bpfwright.types.ctype import CType

if TYPE_CHECKING:
    from bpfwright.spec.machine import Machine
    from bpfwright.spec.program import Program
    from bpfwright.types.config import Config

__all__ = ["Difference", "Everywhere", "assert_same_everywhere"]

_RINGS, _QUEUES, _PER_CPU = (27,), (22, 23), (5, 6, 10)
_CLEARED = (1, 2, 5, 6, 9, 10, 11)  # maps whose contents are compared, and put back between checks
_SKB_TYPES = (3, 8)
_MOST_TAKEN = 1 << 20


class Difference(AssertionError):
    """Two machines did not do the same. `where` says in what, `by_machine` holds what each of the two had."""

    def __init__(self, where: str, by_machine: dict[str, str], story: Sequence[str]) -> None:
        width = max(map(len, by_machine))
        lines = [f"not the same everywhere: {where}", *(f"  {name.ljust(width)}  {each}"
                                                        for name, each in by_machine.items()), *story]
        super().__init__("\n".join(lines))
        self.where = where
        self.by_machine = by_machine


class _Outcome(NamedTuple):
    """What one run did: `action` as text, the packet, mark and the like; or the fault that stopped it."""

    action: str
    data: bytes
    context: SkbContext | None


class _Place:
    """A machine, and the programs in it."""

    def __init__(self, name: str, machine: Machine, programs: list[Program[Any, Any, Any]],
                 config: Config | None) -> None:
        self.name = name
        self.machine = machine
        try:
            self.session = Session(programs, machine, config)
        except BaseException:
            machine.close()
            raise
        self.rings: dict[str, Any] = {}
        if name == "jit":  # now, so that the first run is as quick as the others
            for loaded in self.session.loaded.programs.values():
                loaded.native()  # type: ignore[attr-defined]
        self.maps: dict[str, MapDeclaration] = {
            each: self.session[declared] for each, declared in self.session.compiled.maps.items()}
        self.before = {each: self._contents(declared) for each, declared in self.maps.items()}
        shared = self.session._shared_memory()
        self.shared = shared, bytes(shared)
        self.words = self._words()

    def _words(self) -> list[tuple[int, int]]:
        machine: Any = self.machine
        return [(at, machine.word(at)) for at in (CLOCK, RANDOM)] if hasattr(machine, "word") else []

    def _contents(self, declared: MapDeclaration) -> dict[bytes, bytes]:
        handle = declared.handle
        return dict(handle.items()) if declared.kind in _CLEARED else {}

    def reset(self) -> None:
        """Everything as it was when the programs were loaded."""
        for name, declared in self.maps.items():
            if declared.kind in _CLEARED:
                had, handle = self.before[name], declared.handle
                now = dict(handle.items())
                for key in now.keys() - had.keys():
                    handle.delete(key)
                for key, value in had.items():
                    if now.get(key) != value:
                        handle.update(key, value)
            elif declared.kind in _QUEUES:
                self.taken(declared)
            elif declared.kind in _RINGS:
                self.records(name)
        memory, had_bytes = self.shared
        memory[:] = had_bytes
        for at, word in self.words:
            self.machine.set_word(at, word)  # type: ignore[attr-defined]

    def run(self, program: Program[Any, Any, Any], given: Any, context: XdpContext | SkbContext | None) -> _Outcome:
        try:
            if context is not None:
                loaded = self.session.program(program)
                data = bytes(given)
                done = loaded.test_run(data, context=context.to_bytes(len(data)))
                action = str(done.value)
                return _Outcome(action, done.data, self._skb(program, done.context))
            result = self.session.test_of(program, given)
        except Fault as fault:
            line: Any = fault.line
            place = f" ({line.file}:{line.line})" if line is not None else ""
            return _Outcome(f"fault: {fault.kind}{place}", b"", None)
        return _Outcome(repr(result.action), result.data, self._skb(program, result.context))

    def _skb(self, program: Program[Any, Any, Any], context: bytes) -> SkbContext | None:
        kind = program.hook.kernel_type(program)
        return SkbContext.of(context) if kind in _SKB_TYPES and context else None

    def records(self, name: str) -> list[Any]:
        """The records of a ring since the last time, in order."""
        if name not in self.rings:
            self.rings[name] = self.session.events(self.session.compiled.maps[name])
            self.rings[name].stop()
        return list(self.rings[name])

    def taken(self, declared: Any) -> list[bytes]:
        found: list[bytes] = []
        while len(found) < _MOST_TAKEN and (each := declared.handle.pop(b"")) is not None:
            found.append(each)
        return found

    def state(self, ignore: frozenset[str]) -> dict[str, Any]:
        """What is in every map, as it can be compared between machines, by the map's name."""
        found: dict[str, Any] = {}
        for name, declared in sorted(self.maps.items()):
            value = declared.value
            if declared.kind in _RINGS:
                found[name] = [_plain(record, ignore) for record in self.records(name)]
            elif declared.kind in _QUEUES and value is not None:
                found[name] = [_plain(value.from_bytes(each), ignore) for each in self.taken(declared)]
            elif declared.kind in _CLEARED and value is not None:
                found[name] = {self._key(declared, key): self._value(declared, value, raw, ignore)
                               for key, raw in declared.handle.items()}
        return found

    def _key(self, declared: Any, raw: bytes) -> str:
        return str(declared._key_from(raw)) if hasattr(declared, "_key_from") else str(int.from_bytes(raw, "little"))

    def _value(self, declared: MapDeclaration, value: CType, raw: bytes, ignore: frozenset[str]) -> str:
        if declared.kind not in _PER_CPU:
            return _plain(value.from_bytes(raw), ignore)
        # How many CPUs there are differs, and which of them ran: what counts is what was written.
        stride = -(-value.size // 8) * 8
        each = [raw[at:at + value.size] for at in range(0, len(raw), stride)]
        return ", ".join(sorted(_plain(value.from_bytes(one), ignore) for one in each if any(one))) or "zeros"

    def close(self) -> None:
        self.session.close()
        self.machine.close()


def _plain(value: Any, ignore: frozenset[str]) -> str:
    """A value as text, without the fields that are left out."""
    fields = getattr(type(value), "__own__", None)
    if not isinstance(fields, dict):
        return repr(value)
    shown = ", ".join(f"{name}={_plain(getattr(value, name), ignore)}" for name in fields if name not in ignore)
    return f"{type(value).__name__}({shown})"


class Everywhere:
    """Programs loaded in every machine, for many checks: `with Everywhere(firewall) as everywhere:`.

    `machines` are some of "interpreter", "jit" and "kernel"; by default all that there are here (native code on
    x86-64 Linux, the kernel where this process may use it). `others` are loaded beside the program: what it tail-calls.
    `ignore` names fields of records and values that may differ, such as times. Raises what load() raises.
    """

    def __init__(self, program: Program[Any, Any, Any], *others: Program[Any, Any, Any],
                 machines: Iterable[str] | None = None, config: Config | None = None, ignore: Iterable[str] = (),
                 seed: int = 0) -> None:
        self.program = program
        self.ignore = frozenset(ignore)
        self._places: list[_Place] = []
        names = list(machines) if machines is not None else ["interpreter", *_here()]
        try:
            for name in names:
                self._places.append(_Place(name, _machine(name, seed), [program, *others], config))
        except BaseException:
            self.close()
            raise

    def check(self, *inputs: Any, maps: Mapping[Any, Mapping[Any, Any]] | None = None,
              context: XdpContext | SkbContext | None = None) -> None:
        """Run the program on these inputs, one after the other, from the same state in each machine.

        `maps` are the contents of declared maps beforehand; `context` what came with the packet. Raises Difference.
        """
        for place in self._places:
            place.reset()
            for declared, contents in (maps or {}).items():
                here: Any = place.session[declared]
                for key, value in contents.items():
                    here[key] = value
        for number, given in enumerate(inputs):
            story = _story(given, number, len(inputs), maps)
            self._agree([place.run(self.program, given, context) for place in self._places], story)
        self._compare_state(_story(inputs[-1] if inputs else None, len(inputs) - 1, len(inputs), maps))

    def _agree(self, outcomes: list[_Outcome], story: list[str]) -> None:
        first = outcomes[0]
        for place, other in zip(self._places[1:], outcomes[1:]):
            if other.action != first.action:
                self._differ("the action", place, first.action, other.action, story)
            if other.data != first.data:
                where, mine, theirs = _in_packets(first.data, other.data)
                self._differ(where, place, mine, theirs, story)
            if other.context is not None and first.context is not None and other.context != first.context:
                self._differ("the context", place, repr(first.context), repr(other.context), story)

    def _differ(self, where: str, place: _Place, mine: str, theirs: str, story: list[str]) -> None:
        raise Difference(where, {self._places[0].name: mine, place.name: theirs}, story)

    def _compare_state(self, story: list[str]) -> None:
        states = [place.state(self.ignore) for place in self._places]
        for place, other in zip(self._places[1:], states[1:]):
            for name, mine in states[0].items():
                theirs = other[name]
                if mine == theirs:
                    continue
                if isinstance(mine, list):
                    at = next((n for n, (a, b) in enumerate(zip(mine, theirs)) if a != b), min(len(mine), len(theirs)))
                    one, two = (each[at] if at < len(each) else "nothing" for each in (mine, theirs))
                    self._differ(f"record {at} of {name}", place, one, two, story)
                key = next(key for key in [*mine, *theirs] if mine.get(key) != theirs.get(key))
                self._differ(f"{name}[{key}]", place, mine.get(key, "nothing"), theirs.get(key, "nothing"), story)

    def close(self) -> None:
        """Unload everything."""
        while self._places:
            self._places.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def assert_same_everywhere(program: Program[Any, Any, Any], *inputs: Any,
                           maps: Mapping[Any, Mapping[Any, Any]] | None = None,
                           context: XdpContext | SkbContext | None = None, machines: Iterable[str] | None = None,
                           config: Config | None = None, ignore: Iterable[str] = (), seed: int = 0) -> None:
    """Run a program on inputs in the interpreter, as native code and, where allowed, in the kernel: the same actions,
    packets, map contents and ring records, or Difference says which is not. See Everywhere, which is faster for many.

    >>> @given(packets(Ethernet, IPv4, TCP), entries(blocked))
    ... def test_same(packet, contents):
    ...     assert_same_everywhere(firewall, packet, maps={blocked: contents})
    """
    with Everywhere(program, machines=machines, config=config, ignore=ignore, seed=seed) as everywhere:
        everywhere.check(*inputs, maps=maps, context=context)


def _here() -> list[str]:
    """The machines besides the interpreter that this system has."""
    return ["jit"] * native_code_runs() + ["kernel"] * may_load()


def _machine(name: str, seed: int) -> Machine:
    if name == "kernel":
        from bpfwright.kernel import Kernel
        return Kernel()
    if name not in ("interpreter", "jit"):
        raise UsageError(f"{name!r} is no machine", cure='Name some of "interpreter", "jit" and "kernel".')
    from bpfwright.userspace import Userspace
    return Userspace(engine=name, seed=seed)


def _story(given: Any, number: int, count: int, maps: Mapping[Any, Any] | None) -> list[str]:
    """What was run, for the message."""
    shown = given if isinstance(given, (Packet, Header)) or not isinstance(given, bytes) else given.hex(" ")
    lines = [f"  input{f' {number + 1} of {count}' if count > 1 else ''}: {shown}"]
    for declared, contents in (maps or {}).items():
        lines.append(f"  {declared!r}: {contents!r}")
    return lines


def _in_packets(one: bytes, other: bytes) -> tuple[str, str, str]:
    """Where two packets differ first: the field, if it is in a known header."""
    at = next((n for n, (a, b) in enumerate(zip(one, other)) if a != b), min(len(one), len(other)))
    start = 0
    for mine, theirs in zip(Packet.parse(one).headers, Packet.parse(other).headers):
        size = mine.header_length()
        if start <= at < start + size and type(mine) is type(theirs):
            for field in type(mine).__layout__().fields:
                had, has = getattr(mine, field), getattr(theirs, field)
                if had != has:
                    return f"the packet's {type(mine).__name__}.{field} (byte {at})", str(had), str(has)
        start += size
    return f"the packet, from byte {at}", _bytes_at(one, at), _bytes_at(other, at)


def _bytes_at(data: bytes, at: int) -> str:
    return f"{data[at:at + 16].hex(' ') or 'its end'} ({len(data)} bytes)"

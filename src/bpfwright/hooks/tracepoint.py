"""Tracepoints: the kernel's stable events, each a class of fields; system calls in bulk by one dispatching program."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, ClassVar, NamedTuple, TypeVar, overload
from bpfwright.errors import KernelError, NotSupported, TargetError, UsageError
from bpfwright.hooks import _feeding, _registers
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.meaning import (BOOLEAN, I64, NOTHING, U32, Constant, ContextOf, Integer, Meaning, Reference,
                                    UserAddress, meaning_of)
from bpfwright.spec.program import BoundProgram, HookPoint, Result, Target
from bpfwright.spec.program import Context as _Context
from bpfwright.types.ctype import (AddressType, ArrayType, Bool, CharArray, CType, Int, caller_namespaces, ctype_of,
                                   defining_frame, own_annotations)

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:
    def dataclass_transform(**_: object):
        return lambda cls: cls

__all__ = ["Context", "Event", "Fields", "Place", "argument", "parse_format", "program", "result"]

F = TypeVar("F", bound="Fields")
_PROBE_READ_KERNEL, _PROBE_READ_KERNEL_STR, _GET_CURRENT_TASK = 113, 115, 35
_TS_COMPAT = 2  # arch/x86/include/asm/thread_info.h
_FIRST_ARGUMENT = 16  # struct trace_event_raw_sys_enter and _exit: what every event has, the number, then words
_MOST_SINGLE = 16  # a wildcard over more system calls than this becomes one raw tracepoint


class Place(NamedTuple):
    """Where a field stands in the event's record: bytes; `dynamic` is a __data_loc: where the text stands, instead."""

    offset: int
    size: int
    signed: bool
    dynamic: bool


def parse_format(text: str) -> dict[str, Place]:
    """The fields of a tracefs `format` file, the common ones left out."""
    found = {}
    for line in text.splitlines():
        head, _, rest = line.strip().partition(";")
        if not head.startswith("field:"):
            continue
        words = head[6:].partition("[" if head.endswith("]") else "\0")[0].replace("*", " ").split()
        if words[0] in ("__data_loc", "__rel_loc"):  # "char[] name": the brackets are the type's
            words = [words[0], head.split()[-1]]
        numbers = dict(part.strip().split(":") for part in rest.split(";") if ":" in part)
        if not words[-1].startswith("common_"):
            found[words[-1]] = Place(int(numbers["offset"]), int(numbers["size"]), numbers["signed"] == "1",
                                     words[0] in ("__data_loc", "__rel_loc"))
    return found


class Event(Target):
    """A tracepoint by `category:name`; `cookie` is a number that the program reads with `helpers.cookie(ctx)`.

    A program of the common Context attaches to any: `seen.on(Event("sched:sched_switch", cookie=3))`.
    """

    def __init__(self, name: str, *, cookie: int = 0) -> None:
        if name.count(":") != 1:
            raise UsageError(f"{name!r} names no tracepoint", cure='Write "sched:sched_switch".')
        self.name = name
        self.cookie = cookie

    def __repr__(self) -> str:
        return f"Event({self.name!r})"


class _Declared(Event):
    """What a decorator names: an event, or the first of several names and wildcards."""


def _check_syscall(site: Any) -> Meaning:
    if not (site.program.facts or {}).get("raw"):
        site.refuse("ctx.syscall exists where a wildcard over system calls is watched",
                    'Write @tracepoint.program("syscalls:sys_enter_*").')
    return U32


def _check_name(site: Any) -> Meaning:
    facts = site.program.facts or {"raw": "", "events": [site.program.target.name]}
    if facts["raw"] or len(facts["events"]) != 1:
        site.refuse("several events come here, and which one has no name in the kernel",
                    "Read ctx.syscall, or write a program for each event.")
    return Constant(facts["events"][0])


_EVENT_NAME = Property(_check_name, lambda b, site: Value(site.node.meaning))


def _lower_syscall(b: Any, site: Any) -> Value:
    if b.sink.raw_exit:
        registers = b.op("toptr", "ptr", b.load("i64", b.context(), 0, 8))
        return Value(U32, _read_register(b, registers, _SYSCALL_NUMBER))
    number = b.load("i64", b.context(), 8, 8)
    return Value(U32, b.extend(b.truncate(number, "i32"), "i32"))


_SYSCALL_NUMBER = 120  # orig_ax in struct pt_regs of x86-64


def _read_register(b: Any, registers: int, offset: int) -> int:
    place = b.slot(8, 8, "register")
    b.helper(_PROBE_READ_KERNEL, place, b.number(8), b.pointer(registers, offset))
    value: int = b.load("i64", place, 0, 8)
    return value


def _check_context(site: Any) -> None:
    meaning = site.meaning("ctx")
    if not isinstance(meaning, ContextOf) or meaning.cls is not Context:
        site.refuse("the first argument is the context of a wildcard's program", "Write tracepoint.argument(ctx, 0).")


def _check_argument(site: Any) -> Meaning:
    site.bind("ctx", "index")
    _check_context(site)
    index = site.constant("index")
    if not isinstance(index, int) or not 0 <= index < 6:
        site.refuse("a system call has six arguments: 0 to 5")
    return Integer(0, (1 << 64) - 1)


def _lower_argument(b: Any, site: Any) -> Value:
    registers = b.op("toptr", "ptr", b.load("i64", b.context(), 0, 8))
    offset = _registers.of_this_machine().syscall_arguments[site.constant("index")]
    return Value(site.node.meaning, _read_register(b, registers, offset))


def _check_result(site: Any) -> Meaning:
    site.bind("ctx")
    _check_context(site)
    return I64


def _lower_result(b: Any, site: Any) -> Value:
    return Value(I64, b.load("i64", b.context(), 8, 8))


class Context(_Context):
    """What every event has; the fields of one event come with a class made by Fields.

    Under a wildcard over system calls `syscall` is the number; `argument(ctx, 0)` and `result(ctx)` give the rest.
    32-bit calls are left out unless the program asks for `compat=True`.
    """

    __operations__: ClassVar[dict[str, Operation]] = {"syscall": Property(_check_syscall, _lower_syscall),
                                                      "event_name": _EVENT_NAME}

    if TYPE_CHECKING:
        @property
        def event_name(self) -> str:
            """The event's `category:name`."""
        @property
        def syscall(self) -> int:
            """The system call's number."""


def argument(ctx: Context, index: int) -> int:
    """Argument 0 to 5 of the system call, under a wildcard over entries."""
    raise UsageError("tracepoint.argument() exists inside a kernel program only")


def result(ctx: Context) -> int:
    """What the system call returned, under a wildcard over exits."""
    raise UsageError("tracepoint.result() exists inside a kernel program only")


argument.__operation__ = Operation(_check_argument, _lower_argument)  # type: ignore[attr-defined]
result.__operation__ = Operation(_check_result, _lower_result)  # type: ignore[attr-defined]


@dataclass_transform(kw_only_default=True)
class Fields(Context):
    """An event's fields: `class sched_switch(tracepoint.Fields, event="sched:sched_switch")`.

    Declare the fields that you use; the running kernel's format says where they are, and what it does not have is an
    error before anything is loaded.
    """

    __event__: ClassVar[str] = ""
    __own__: ClassVar[dict[str, object]] = {}
    __spaces__: ClassVar[Any] = ()

    def __init_subclass__(cls, *, event: str = "") -> None:
        if event:
            Event(event)
            cls.__event__ = event
        own = own_annotations(cls)
        cls.__own__ = {**cls.__own__, **{n: t for n, t in own.items() if not n.startswith("__")}}
        cls.__spaces__ = caller_namespaces(defining_frame(1))
        cls.__operations__ = {"event_name": _EVENT_NAME, **{name: _field(cls, name) for name in cls.__own__}}

    def __init__(self, **values: Any) -> None:
        unknown = [name for name in values if name not in type(self).__own__]
        if unknown:
            raise UsageError(f"{type(self).__name__} has no field {unknown[0]!r}")
        self.__dict__.update(values)

    @classmethod
    def field_type(cls, name: str) -> CType:
        """The declared type of a field."""
        return ctype_of(cls.__own__[name], [{cls.__name__: cls}, *cls.__spaces__])

    def to_bytes(self, places: dict[str, Place]) -> bytes:
        """The record that the kernel would hand to a program, for tests."""
        size = max((p.offset + p.size for p in places.values()), default=8)
        memory = bytearray(size + 512)
        end = size
        for name, value in self.__dict__.items():
            place = places[name]
            if place.dynamic:
                text = (value.encode() if isinstance(value, str) else bytes(value)) + b"\0"
                memory[end:end + len(text)] = text
                memory[place.offset:place.offset + 4] = (end | len(text) << 16).to_bytes(4, "little")
                end += len(text)
            elif isinstance(value, (str, bytes)):
                memory[place.offset:place.offset + place.size] = CharArray(place.size).to_bytes(value)
            else:
                number = int(value) & (1 << place.size * 8) - 1
                memory[place.offset:place.offset + place.size] = number.to_bytes(place.size, "little")
        return bytes(memory[:-(-end // 8) * 8])


def _field(cls: type[Fields], name: str) -> Property:
    def check(site: Any) -> Meaning:
        ctype = cls.field_type(name)
        if isinstance(ctype, (AddressType, ArrayType, CharArray)):
            return Reference(ctype, "stack")
        return meaning_of(ctype, "untrusted")

    def lower(b: Any, site: Any) -> Value:
        place: Place = b.sink.facts[name]
        return _read_field(b, cls.field_type(name), place, _address(b, name, place), site.node.meaning)

    return Property(check, lower)


def _address(b: Any, name: str, place: Place) -> tuple[int, int]:
    """(pointer, offset) of a field: as it is here, or found by its name in the kernel that loads a portable object."""
    drawing = b.sink.facts.get("")
    if drawing is None:
        return b.context(), place.offset
    from bpfwright.hooks import _record
    member = _record.member_of(name, place.dynamic)
    return b.op("index", "ptr", b.context(), b.core_offset(_record.class_of(drawing), (member,)), 1), 0


def _read_field(b: Any, ctype: CType, place: Place, at: tuple[int, int], meaning: Meaning) -> Value:
    """A field out of the record. Texts are copied; a number of another width is widened or cut."""
    context = b.context()
    pointer, offset = at
    if isinstance(ctype, (AddressType, ArrayType, CharArray)):
        target = b.scratch(ctype)
        if place.dynamic:
            location = b.extend(b.load("i32", pointer, offset, 4), "i32")
            start = b.op("index", "ptr", context, b.op("and", "i64", location, b.number(0xFFFF)), 1)
            b.fill(target, ctype.size)
            b.helper(_PROBE_READ_KERNEL_STR, target, b.number(ctype.size), start)
        else:
            size = min(ctype.size, place.size)
            if size < ctype.size:
                b.fill(target, ctype.size)
            b.helper(_PROBE_READ_KERNEL, target, b.number(size), b.pointer(pointer, offset))
        return Value(Reference(ctype, "stack"), target)
    type = f"i{place.size * 8}"
    raw = b.load(type, pointer, offset, place.size)
    if isinstance(meaning, UserAddress):
        return Value(meaning, b.extend(raw, type))
    if isinstance(ctype, Bool):
        return Value(BOOLEAN, b.op("ne", "i1", raw, b.number(0, type)))
    if isinstance(meaning, Integer):
        wanted = ctype.size
        if isinstance(ctype, Int) and ctype.big and wanted == place.size and wanted > 1:
            raw = b.op("bswap", type, raw)
        signed = meaning.low < 0
        if wanted < place.size:
            return Value(meaning, b.extend(b.truncate(raw, f"i{wanted * 8}"), f"i{wanted * 8}", signed))
        return Value(meaning, b.extend(raw, type, signed))
    return Value(meaning, b.op("toptr", "ptr", b.extend(raw, type)))


class _Hook(HookPoint):
    """BPF_PROG_TYPE_TRACEPOINT (since 4.7); a wildcard over system calls is BPF_PROG_TYPE_RAW_TRACEPOINT (4.17)."""

    name = "tracepoint"
    type = 5

    def section(self, program: Any) -> str:
        if program.facts and program.facts["raw"]:
            return f"raw_tp/{program.facts['raw']}"
        events = program.facts["events"] if program.facts else [program.target.name]
        return f"tracepoint/{events[0].replace(':', '/')}"

    def prepare(self, machine: Any, program: Any) -> Any:
        """Where the fields are, and which events the wildcards mean, on this kernel."""
        cls = program.options.get("fields")
        if cls is not None:
            category, _, name = cls.__event__.partition(":")
            places = _places(machine, cls, category, name)
            missing = [field for field in cls.__own__ if field not in places]
            if missing:
                raise TargetError(f"{cls.__event__} has no field {missing[0]!r} on this kernel",
                                  cure=f"It has: {', '.join(places)}.")
            _check_types(cls, places)
            return {"raw": "", "events": [cls.__event__], "places": places, "numbers": []}
        return _wildcards(machine, program.options["events"])

    def make_portable(self, machine: Any, program: Any) -> str:
        """Let fields be found by name where the object is loaded; those of system calls are the same everywhere."""
        cls, facts = program.options.get("fields"), program.facts
        if cls is None or cls.__event__.startswith("syscalls:") or not cls.__own__:
            return ""
        from bpfwright.hooks import _record
        category, _, name = cls.__event__.partition(":")
        try:
            places = parse_format(machine.event_format(category, name))
            drawing = _record.draw([machine.types.vmlinux], name, places) \
                or _record.draw(machine.types.modules(), name, places)
        except NotSupported:
            drawing = None
        if drawing is None:
            return (f"{program.name} reads {cls.__event__} where this kernel has its fields: its type information "
                    "describes no such record")
        program.facts = {**facts, "places": {**facts["places"], "": drawing}}
        return ""

    def parameters(self, program: Any, annotations: list[Any]) -> list[Any]:
        return [ContextOf(annotations[0])]

    def result(self, program: Any) -> Any:
        return NOTHING

    def enter(self, builder: Any, program: Any, meanings: list[Any]) -> list[Any]:
        facts = program.facts
        builder.sink.facts = facts["places"]
        builder.sink.raw_exit = facts["raw"] == "sys_exit"
        if facts["raw"]:
            self.dispatch(builder, program, facts)
        return [Value(meanings[0], builder.context())]

    def dispatch(self, b: Any, program: Any, facts: Any) -> None:
        """Leave at once what the single tracepoints would not show: 32-bit calls, and calls that are not meant."""
        if not program.options.get("compat"):
            from bpfwright.vmlinux import task_struct
            task = b.op("toptr", "ptr", b.helper(_GET_CURRENT_TASK))
            status = b.slot(8, 8, "status")
            b.store(status, b.number(0))
            place = b.anchor(b.op("index", "ptr", task, b.core_offset(task_struct, ("thread_info", "status")), 1))
            b.helper(_PROBE_READ_KERNEL, status, b.number(4), place)
            compat = b.op("and", "i64", b.load("i64", status), b.number(_TS_COMPAT))
            with b.when(b.op("ne", "i1", compat, b.number(0))):
                b.leave_program()
        if facts["numbers"]:
            number = _number_of_call(b)
            known = b.number(0, "i1")
            for first, last in _ranges(facts["numbers"]):
                above = b.op("ule", "i1", b.number(first), number)
                known = b.op("or", "i1", known, b.op("and", "i1", above, b.op("ule", "i1", number, b.number(last))))
            with b.unless(known):
                b.leave_program()

    def attach(self, machine: Any, loaded: Any, program: Any, target: Any) -> Any:
        if not isinstance(target, _Declared):
            return _attach_to(machine, loaded, program, target)
        facts = program.facts
        if facts["raw"]:
            return machine.raw_tracepoint(loaded, facts["raw"])
        links = []
        try:
            for event in facts["events"]:
                category, _, name = event.partition(":")
                links.append(machine.tracepoint(loaded, category, name, 0))
        except BaseException:
            for link in links:
                link.close()
            raise
        return links[0] if len(links) == 1 else _Links(links, f"{len(links)} tracepoints")

    def test(self, loaded: Any, program: Any, given: Any, repeat: int) -> Result[Any]:
        """A record: the event's class filled in, a dict of fields, or bytes as the kernel has them. Wildcards over
        system calls take the words of the raw tracepoint: (registers, number), or (registers, result)."""
        if program.facts["raw"]:
            words = b"".join((int(word) & (1 << 64) - 1).to_bytes(8, "little") for word in given)
            return Result(loaded.test_run(context=words), None, [])
        _feeding.takes_anything(loaded, "tracepoint programs", "Attach it")
        if isinstance(given, dict) and program.options.get("fields") is not None:
            given = program.options["fields"](**given)
        record = given.to_bytes(program.facts["places"]) if isinstance(given, Fields) else _feeding.raw(
            given, "a record of this event", "Give its class filled in, a dict of its fields, or bytes.")
        return Result(loaded.test_run(context=record, repeat=repeat), None, [])


def _attach_to(machine: Any, loaded: Any, program: Any, target: Event) -> Any:
    """To an event that the decorator does not name, which what was compiled must fit."""
    cls, names = program.options.get("fields"), program.options.get("events", ())
    if cls is not None and cls.__event__ != target.name:
        raise UsageError(f"{program.name} reads the fields of {cls.__event__}, not of {target.name}",
                         cure="Take tracepoint.Context for a program of any event.")
    many = len(names) != 1 or any(ch in names[0] for ch in "*?[")
    if cls is None and (many or program.mentions("event_name")):
        raise UsageError(f"{program.name} is made for {', '.join(names)}, not for {target.name}",
                         cure="Attach it without a target, or name one event in its decorator and no event_name in it.")
    category, _, name = target.name.partition(":")
    return machine.tracepoint(loaded, category, name, target.cookie)


class _Links:
    """Several attachments as one."""

    def __init__(self, links: list[Any], description: str) -> None:
        self.links = links
        self.description = description

    def update(self, program: Any) -> None:
        for link in self.links:
            link.update(program)

    def pin(self, path: str) -> None:
        raise UsageError("several attachments cannot be pinned under one name", cure="Attach one event.")

    def close(self) -> None:
        for link in self.links:
            link.close()

    def __enter__(self) -> _Links:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _number_of_call(b: Any) -> int:
    if b.sink.raw_exit:
        registers = b.op("toptr", "ptr", b.load("i64", b.context(), 0, 8))
        return _read_register(b, registers, _SYSCALL_NUMBER)
    number: int = b.load("i64", b.context(), 8, 8)
    return number


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _places(machine: Any, cls: type[Fields], category: str, name: str) -> dict[str, Place]:
    """The fields as the machine describes them. Where it cannot, those of system calls are as they are everywhere."""
    try:
        return parse_format(machine.event_format(category, name))
    except (KernelError, NotSupported, OSError) as error:
        if cls.__module__ == "bpfwright.tracepoints.syscalls":
            return {field: Place(_FIRST_ARGUMENT + 8 * at, 8, False, False) for at, field in enumerate(cls.__own__)}
        if isinstance(error, OSError):
            raise NotSupported(f"the fields of {cls.__event__} are not known", why=str(error),
                               cure="They are read from tracefs: mount it, or use an event of a system call.") from None
        raise


def _check_types(cls: type[Fields], places: dict[str, Place]) -> None:
    for name in cls.__own__:
        ctype, place = cls.field_type(name), places[name]
        texts = isinstance(ctype, (AddressType, ArrayType, CharArray))
        if texts != (place.dynamic or place.size not in (1, 2, 4, 8)) and not (texts and place.size <= 8):
            raise TargetError(f"{cls.__event__}: {name} is {place.size} bytes on this kernel, declared as {ctype.name}",
                              cure="Declare it as the kernel has it: `bpfwright types -t EVENT`.")


def _wildcards(machine: Any, patterns: tuple[str, ...]) -> dict[str, Any]:
    from bpfwright._abi.syscall_events import numbers_of_events
    whole = {"syscalls:sys_enter_*": "sys_enter", "syscalls:sys_exit_*": "sys_exit"}
    if len(patterns) == 1 and patterns[0] in whole:
        return {"raw": whole[patterns[0]], "events": list(patterns), "places": {}, "numbers": []}
    events: list[str] = []
    for pattern in patterns:
        category, _, name = pattern.partition(":")
        found = [pattern]
        if any(ch in pattern for ch in "*?["):
            from fnmatch import fnmatchcase
            found = [f"{c}:{n}" for c, n in machine.events(category) if fnmatchcase(n, name)]
        if not found:
            raise TargetError(f"no tracepoint matches {pattern!r}", cure="`bpfwright trace -l` lists them.")
        events += [event for event in found if event not in events]
    for prefix, raw in (("syscalls:sys_enter_", "sys_enter"), ("syscalls:sys_exit_", "sys_exit")):
        if len(events) > _MOST_SINGLE and all(event.startswith(prefix) for event in events):
            table = numbers_of_events(_machine())
            numbers = [table[event.removeprefix(prefix)] for event in events if event.removeprefix(prefix) in table]
            return {"raw": raw, "events": events, "places": {}, "numbers": numbers}
    return {"raw": "", "events": events, "places": {}, "numbers": []}


def _machine() -> str:
    from bpfwright._host import processor
    return processor()


HOOK = _Hook()


@overload
def program(function: Callable[[F], None], /) -> BoundProgram[Event, F, None]: ...
@overload
def program(*events: str, compat: bool = False) -> Callable[
        [Callable[[Context], None]], BoundProgram[Event, Context, None]]: ...
def program(*events: Any, compat: bool = False) -> Any:
    """A program at a tracepoint: bare, with an event class as its parameter; or with names and wildcards.

    `@tracepoint.program("syscalls:sys_enter_*")` is one raw tracepoint that tells calls apart by number.
    """
    if len(events) == 1 and callable(events[0]):
        return _bare(events[0])

    def take(function: Any) -> Any:
        cls = _parameter_class(function)
        if cls is not Context:
            raise UsageError(f"{function.__name__} names events twice: in the decorator and by {cls.__name__}",
                             cure="Write a bare @tracepoint.program, or take tracepoint.Context.")
        for event in events:
            Event(event)
        return BoundProgram(HOOK, function, _Declared(events[0]), events=events, compat=compat)

    return take


def _parameter_class(function: Any) -> type[Any]:
    names = function.__code__.co_varnames
    annotation = function.__annotations__.get(names[0]) if names else None
    if isinstance(annotation, str):
        from bpfwright.types.ctype import evaluate
        annotation = evaluate(annotation, [function.__globals__])
    if not isinstance(annotation, type) or not issubclass(annotation, Context):
        raise UsageError(f"{function.__name__} does not say which event it takes",
                         cure="Annotate its parameter: `ctx: sys_exit_openat`.")
    return annotation


def _bare(function: Any) -> Any:
    cls = _parameter_class(function)
    if not issubclass(cls, Fields) or not cls.__event__:
        raise UsageError(f"{function.__name__} takes any event, and its decorator names none",
                         cure='Write @tracepoint.program("sched:*"), or take an event class.')
    return BoundProgram(HOOK, function, _Declared(cls.__event__), fields=cls)


"""Tracepoints: perf's with their record, raw ones with what the kernel passes, system calls in bulk."""
from __future__ import annotations

from bpfwright._abi.syscall_events import numbers_of_events
from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import BpfwrightError, TargetError
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.layouts import BtfLayouts
from bpfwright.facets.trace.plan import Attachment
from bpfwright.facets.trace.probes.resolve import is_pattern, matching
from bpfwright.facets.trace.probes.sites import Argument, Site
from bpfwright.facets.trace.text import did_you_mean, nearest
from bpfwright.facets.trace.types import Array, Boolean, Chars, Integer, Nothing, Pointer, Struct, Type

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.probes.resolve import Uses

__all__ = ["fields_of", "prototype_of", "raw_tracepoint", "tracepoint"]

_MOST_SINGLE = 3
"""More system calls than this become one program at the tracepoint of all of them."""
_REGISTERS = {"x86_64": (112, 104, 96, 56, 72, 64), "aarch64": (0, 8, 16, 24, 32, 40)}
_INT64 = Integer(8, True)
_WORDS = {
    "char": Integer(1, True), "short": Integer(2, True), "int": Integer(4, True), "long": Integer(8, True),
    "unsigned char": Integer(1, False), "unsigned short": Integer(2, False), "unsigned int": Integer(4, False),
    "unsigned": Integer(4, False), "unsigned long": Integer(8, False), "bool": Boolean(),
}


# ------------------------------------------------------------------------------------------------------- the records


def fields_of(text: str, *, space: str = "kernel", layouts: Any = None) -> list[Argument]:
    """The fields of a tracefs `format` file, the common ones left out."""
    found = []
    for line in text.splitlines():
        head, _, rest = line.strip().partition(";")
        if not head.startswith("field:"):
            continue
        numbers = {key.strip(): value.strip() for key, _, value in
                   (part.partition(":") for part in rest.split(";") if ":" in part)}
        argument = _field(head[6:].strip(), int(numbers["offset"]), int(numbers["size"]), numbers.get("signed") == "1",
                          space,
                          layouts)
        if argument is not None:
            found.append(argument)
    return found


def _field(declaration: str, offset: int, size: int, signed: bool, space: str, layouts: Any) -> Argument | None:
    dynamic = declaration.startswith(("__data_loc", "__rel_loc"))
    if dynamic:
        name = declaration.split()[-1]
    else:
        name = declaration.partition("[")[0].replace("*", " ").split()[-1]
    if name.startswith("common_"):
        return None
    if dynamic:
        return Argument(name, Pointer(Integer(1, True), "kernel"), "dynamic", offset)
    return Argument(name, _type(declaration, name, size, signed, space, layouts), "context", offset)


def _type(declaration: str, name: str, size: int, signed: bool, space: str, layouts: Any) -> Type:
    before = declaration[:declaration.rfind(name)].strip()
    if "[" in declaration[declaration.rfind(name):]:
        if before.split()[-1:] == ["char"] and "unsigned" not in before and "signed" not in before.split():
            return Chars(size)
        element = _plain(before, signed)
        count = max(1, size // element.size)
        return Array(element, count)
    if before.endswith("*") and size == 8:
        return Pointer(_pointed(before, layouts), space)
    if size in (1, 2, 4, 8):
        return Boolean() if before == "bool" else Integer(size, signed)
    return Array(Integer(1, False), size)


def _plain(words: str, signed: bool) -> Type:
    known = _WORDS.get(" ".join(word for word in words.split() if word not in ("const", "volatile")))
    if known is not None:
        return known
    sizes = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "s8": 1, "s16": 2, "s32": 4, "s64": 8}
    last = words.split()[-1].removeprefix("__").removesuffix("_t") if words else ""
    return Integer(sizes.get(last.replace("uint", "u").replace("int", "s"), 1 if "char" in words else 8), signed)


def _pointed(words: str, layouts: Any) -> Type:
    """What a pointer's declaration points to."""
    parts = [word for word in words.replace("*", " * ").split() if word not in ("const", "volatile", "__user")]
    stars = parts.count("*")
    parts = [word for word in parts if word != "*"]
    if parts and parts[0] in ("struct", "union") and len(parts) > 1:
        found = layouts.named(parts[0], parts[1]) if layouts is not None else None
        base: Type = found if found is not None else Struct(parts[0], parts[1], 0, "kernel", ())
    else:
        base = Nothing() if parts == ["void"] else _plain(" ".join(parts), "unsigned" not in parts)
    for _ in range(stars - 1):
        base = Pointer(base, "")
    return base


# -------------------------------------------------------------------------------------------------------- tracepoint


def tracepoint(host: Host, point: tree.Tracepoint, uses: Uses) -> list[Site]:
    """`tracepoint:category:event`. Where the record is not asked for, a raw tracepoint does: it costs less than
    half."""
    pairs = _events(host, point)
    if len(pairs) > _MOST_SINGLE and all(category == "syscalls" for category, _ in pairs):
        return _bulk(host, point, pairs, uses)
    found = []
    for category, name in pairs:
        if not uses.args and category != "syscalls" and _is_raw(host, name):
            found.append(_raw_site(category, name))
        else:
            found.append(_single(host, point, category, name))
    return found


def _events(host: Host, point: tree.Tracepoint) -> list[tuple[str, str]]:
    from bpfwright.kernel import tracepoints
    try:
        categories = tracepoints.categories()
    except BpfwrightError as problem:
        raise refuse(point.span, problem.what, problem.cure) from None
    chosen = matching(point.category, categories)
    if not chosen:
        close = nearest(point.category, categories)
        raise refuse(point.span, f"there is no group of tracepoints `{point.category}`",
                     f"Did you mean `{close}`?" if close else
                     "`bpfwright trace -l 'tracepoint:*'` lists them.")
    pairs = [(category, name) for category in chosen for name in matching(point.event, tracepoints.events(category))]
    if not pairs:
        known = [name for category in chosen for name in tracepoints.events(category)]
        raise refuse(point.span, f"there is no tracepoint `{point.category}:{point.event}`",
                     did_you_mean(point.event, [] if is_pattern(point.event) else known,
                                  f"`bpfwright trace -l 'tracepoint:{point.category}:*'` lists them."))
    return pairs


def _is_raw(host: Host, name: str) -> bool:
    """Whether the kernel has a tracepoint of that very name: events may have other names than what fires them."""
    from bpfwright.formats.btf import Kind
    try:
        return host.machine.types.find(f"btf_trace_{name}", Kind.TYPEDEF) is not None
    except BpfwrightError:
        return False


def _raw_site(category: str, name: str) -> Site:
    shown = f"tracepoint:{category}:{name}"
    return Site("tracepoint", "raw_tp", "raw_tp", shown, (Attachment("", "raw_tracepoint", (name,), shown),))


def _single(host: Host, point: tree.Tracepoint, category: str, name: str) -> Site:
    shown = f"tracepoint:{category}:{name}"
    space = "user" if category == "syscalls" else "kernel"
    try:
        arguments = fields_of(host.machine.event_format(category, name), space=space, layouts=host.layouts)
    except TargetError as problem:
        raise refuse(point.span, problem.what, problem.cure) from None
    made = Attachment("", "tracepoint", (category, name), shown)
    return Site("tracepoint", "tracepoint", f"tracepoint/{category}/{name}", shown, (made,), space=space,
                arguments=tuple(arguments))


def _bulk(host: Host, point: tree.Tracepoint, pairs: list[tuple[str, str]], uses: Uses) -> list[Site]:
    """System calls by the tracepoint of all of them: one program for those of one side whose arguments are alike."""
    numbers = {f"sys_{side}_{call}": number for call, number in numbers_of_events(host.architecture).items()
               for side in ("enter", "exit")}
    sites: dict[tuple[Any, ...], list[tuple[str, int]]] = {}
    single = []
    for category, name in pairs:
        if name not in numbers or numbers[name] > 511:
            single.append(_single(host, point, category, name))
            continue
        side = name.split("_")[1]
        arguments = _call_arguments(host, name, side) if uses.args else ()
        sites.setdefault((side, arguments), []).append((name, numbers[name]))
    return [*(_dispatcher(side, arguments, calls) for (side, arguments), calls in sites.items()), *single]


def _call_arguments(host: Host, name: str, side: str) -> tuple[Argument, ...]:
    found = fields_of(host.machine.event_format("syscalls", name), space="user", layouts=host.layouts)
    if side == "exit":
        return tuple(Argument(a.name, _INT64, "word", 1) if a.name == "ret" else Argument(a.name, Integer(4, True),
                                                                                          "number")
                     for a in found if a.name in ("ret", "__syscall_nr"))
    registers = _REGISTERS["x86_64"] if host.architecture == "x86_64" else _REGISTERS["aarch64"]
    named = [a for a in found if a.name != "__syscall_nr"]
    return (Argument("__syscall_nr", Integer(4, True), "number"),
            *(Argument(a.name, a.type, "syscall", register) for a, register in zip(named, registers, strict=False)))


def _dispatcher(side: str, arguments: tuple[Argument, ...], calls: list[tuple[str, int]]) -> Site:
    attached = f"sys_{side}"
    first = f"tracepoint:syscalls:{calls[0][0]}"
    entry = Attachment("", "btf_tracepoint", (attached,), f"tracepoint:syscalls:{attached}_* ({len(calls)} calls)")
    return Site("tracepoint", "syscalls", f"tp_btf/{attached}", first, (entry,), space="user", arguments=arguments,
                index_by="syscall", calls=tuple((number, at) for at, (_, number) in enumerate(calls)),
                names=tuple(f"tracepoint:syscalls:{name}" for name, _ in calls))


# ---------------------------------------------------------------------------------------------------- raw tracepoint


def raw_tracepoint(host: Host, point: tree.RawTracepoint, uses: Uses) -> list[Site]:
    """`rawtracepoint:event`, its arguments typed by BTF."""
    from bpfwright.formats.btf import Kind
    btf = host.machine.types.vmlinux
    if is_pattern(point.event):
        names = matching(point.event, raw_names(host))
    else:
        names = [point.event] if host.machine.types.find(f"btf_trace_{point.event}", Kind.TYPEDEF) else []
    if names and point.module and not matching(point.module, ["vmlinux"]) and names[0] in raw_names(host):
        raise refuse(point.span, f"`{point.event}` is not in `{point.module}`", "It is in `vmlinux`.")
    if not names:
        close = nearest(point.event, raw_names(host)) if not is_pattern(point.event) else ""
        raise refuse(point.span, f"there is no raw tracepoint `{point.event}`",
                     f"Did you mean `{close}`?" if close else "`bpfwright trace -l 'rawtracepoint:*'` lists them.")
    found = []
    for name in names:
        arguments = _prototype(btf, _with_names(btf, name), "word", skip=1)
        numbered = tuple(Argument(f"arg{at}", _INT64, "word", at) for at in range(len(arguments)))
        shown = f"rawtracepoint:{name}"
        entry = Attachment("", "raw_tracepoint", (name,), shown, function=name)
        found.append(Site("rawtracepoint", "raw_tp", "raw_tp", shown, (entry,), function=name, arguments=arguments,
                          numbered=numbered, words=len(numbered)))
    return found


def _with_names(btf: Any, name: str) -> int:
    """The function that calls a tracepoint's probes: its parameters have names, where the kernel lists it."""
    from bpfwright.formats.btf import Kind
    for number in btf.find_all(f"__traceiter_{name}", Kind.FUNC):
        return int(number)
    return int(btf.find(f"btf_trace_{name}", Kind.TYPEDEF))


def _prototype(btf: Any, number: int, how: str, skip: int = 0) -> tuple[Argument, ...]:
    """The parameters of a function type, by BTF."""
    layouts = BtfLayouts(btf)
    number = _bare(btf, number)
    return tuple(Argument(parameter.name or f"arg{at}", layouts.type(parameter.type_id), how, at)
                 for at, parameter in enumerate(btf.parameters(number)[skip:]))


def _bare(btf: Any, number: int) -> int:
    from bpfwright.formats.btf import Kind
    while btf.kind(number) in Kind.MODIFIERS or btf.kind(number) in (Kind.PTR, Kind.FUNC):
        number = btf.type_of(number)
    return number


def prototype_of(btf: Any, name: str) -> int:
    """The type of the functions that a tracepoint calls; their first parameter is no argument."""
    return _bare(btf, _with_names(btf, name))


def raw_names(host: Host) -> list[str]:
    """Every raw tracepoint of the kernel, by its BTF."""
    from bpfwright.formats.btf import Kind
    btf = host.machine.types.vmlinux
    prefix = "btf_trace_"
    return sorted(btf.name(number)[len(prefix):] for number in btf.ids()
                  if btf.kind(number) == Kind.TYPEDEF and btf.name(number).startswith(prefix))

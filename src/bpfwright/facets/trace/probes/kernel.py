"""Kernel functions by kprobes and trampolines, and running BPF programs."""
from __future__ import annotations

from functools import lru_cache

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import BpfwrightError
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.layouts import BtfLayouts
from bpfwright.facets.trace.plan import Attachment
from bpfwright.facets.trace.probes.resolve import is_pattern, matching, not_too_many
from bpfwright.facets.trace.probes.sites import Argument, Site
from bpfwright.facets.trace.types import Array, Integer, Nothing, Struct, Type

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.probes.resolve import Uses

__all__ = ["bpf_program", "function", "functions_of", "loaded_modules", "prototype", "registers", "result",
           "typed_function", "typed_functions"]

_INT64, _UINT64 = Integer(8, True), Integer(8, False)
_ARGUMENTS = {"x86_64": (112, 104, 96, 88, 72, 64), "aarch64": (0, 8, 16, 24, 32, 40, 48, 56)}
_RESULT = {"x86_64": 80, "aarch64": 0}
_LISTED = "available_filter_functions"
_NO_FUNCTIONS = (".", "__pfx_", "__cfi_")
_EXITS = ("fexit", "kretprobe")


def registers(host: Host) -> tuple[Argument, ...]:
    """arg0, arg1, ... of a function call, out of pt_regs."""
    places = _ARGUMENTS.get(host.architecture, ())
    return tuple(Argument(f"arg{at}", _INT64, "register", place) for at, place in enumerate(places))


def result(host: Host) -> Argument:
    """The returned value, out of pt_regs."""
    return Argument("retval", _UINT64, "register", _RESULT.get(host.architecture, 80))


# ------------------------------------------------------------------------------------------------------ which there are


def functions_of() -> dict[str, str]:
    """The kernel functions that can be traced, each with its module (empty: the kernel's own): the kernel's own list,
    or what kallsyms calls functions."""
    return _traceable() or _from_symbols(loaded_modules())


def loaded_modules() -> str:
    """The modules that are loaded: while they stay, the kernel has the same functions."""
    try:
        with open("/proc/modules", encoding="ascii", errors="replace") as file:
            return " ".join(line.split(" ", 1)[0] for line in file)
    except OSError:
        return ""


def _traceable() -> dict[str, str]:
    return _listed(loaded_modules())


@lru_cache(maxsize=1)
def _listed(modules: str) -> dict[str, str]:
    from bpfwright.kernel import mounts
    try:
        with open(f"{mounts.tracefs()}/{_LISTED}", encoding="ascii", errors="replace") as file:
            return _by_name(line.split() for line in file)
    except (OSError, BpfwrightError):
        return {}


@lru_cache(maxsize=1)
def _from_symbols(modules: str) -> dict[str, str]:
    try:
        with open("/proc/kallsyms", encoding="ascii", errors="replace") as file:
            rows = (line.split() for line in file)
            return _by_name(row[2:] for row in rows if row[1] in "tT" and not row[2].startswith(_NO_FUNCTIONS)
                            and row[3:] != ["[bpf]"])
    except OSError:
        return {}


def _by_name(rows: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows:
        if row:
            found.setdefault(row[0], row[1].strip("[]") if len(row) > 1 else "")
    return found


def typed_functions(host: Host, module: str = "") -> dict[str, str]:
    """The functions that type information knows, each with its module: of one, `*` for all."""
    from bpfwright.formats.btf import Kind
    types = host.machine.types
    found: dict[str, str] = {}
    if not module or is_pattern(module) or module == "vmlinux":
        found |= dict.fromkeys(_functions_in(types.vmlinux, 1, Kind.FUNC), "")
    if module != "vmlinux":
        for name in types.module_names():
            if matching(module or "*", [name]):
                btf = types.module(name)
                found |= {each: name for each in _functions_in(btf, btf.first_id, Kind.FUNC) if each not in found}
    return found


def _functions_in(btf: Any, first: int, kind: int) -> list[str]:
    return [btf.name(number) for number in btf.ids() if number >= first and btf.kind(number) == kind]


def _in_module(wanted: str, module: str) -> bool:
    return not wanted or bool(matching(wanted, [module or "vmlinux"]))


# -------------------------------------------------------------------------------------------------------- attach points


def function(host: Host, point: tree.KernelFunction, uses: Uses) -> list[Site]:
    """`kprobe`, `kretprobe`, `fentry`, `fexit` of one function or of a pattern."""
    from bpfwright.facets.trace.probes.instead import attaches, refused_here
    if not attaches(host.machine, point.provider):
        if not is_pattern(point.function):
            _look_up(host, point)
        raise refuse(point.span, *refused_here(host, point.provider, point.function))
    if point.provider in ("fentry", "fexit"):
        return _trampolines(host, point)
    if not is_pattern(point.function):
        _look_up(host, point)
        return [_kprobe(host, point, point.function, uses)]
    names = [name for name in matching(point.function, list(functions_of()))
             if _in_module(point.module, functions_of()[name])]
    not_too_many(host, point, len(names))
    if len(names) > 1 and host.has_feature("kprobe_multi"):
        return _kprobes(host, point, names, uses)
    return [_kprobe(host, point, name, uses) for name in names]


def _kprobe(host: Host, point: tree.KernelFunction, name: str, uses: Uses) -> Site:
    ret = point.provider == "kretprobe"
    place = f"{point.module}:{name}" if point.module and point.module != "vmlinux" and not is_pattern(point.module) \
        else name
    shown = f"{point.provider}:{place}" + (f"+{point.offset:#x}" if point.offset else "")
    made = Attachment("", "kprobe", (place, point.offset, int(ret)), shown, name)
    entry = not ret and not point.offset
    return _common(host, point, ret)._replace(
        shown=shown, function=name, attachments=(made,),
        arguments=_in_registers(host, name) if entry and uses.args else ())


def _common(host: Host, point: tree.KernelFunction, ret: bool) -> Site:
    numbered = () if ret else registers(host)
    return Site(point.provider, "kprobe", "kretprobe" if ret else "kprobe", "", numbered=numbered, words=len(numbered),
                result=result(host) if ret else None, registers=True)


def _kprobes(host: Host, point: tree.KernelFunction, names: list[str], uses: Uses) -> list[Site]:
    """Many functions by one link."""
    ret = point.provider == "kretprobe"
    shown = f"{point.provider}:{point.function}"
    made = Attachment("", "kprobe_multi", (int(ret), -1, *names), shown)
    return [_common(host, point, ret)._replace(
        section="kretprobe.multi" if ret else "kprobe.multi", shown=shown, function=point.function, attachments=(made,),
        index_by="cookie" if uses.names else "", names=tuple(f"{point.provider}:{name}" for name in names))]


def _in_registers(host: Host, name: str) -> tuple[Argument, ...]:
    """The parameters of a function by its type, as far as they are passed in registers."""
    found = typed_function(host, name)
    if found is None:
        return ()
    arguments, _, _ = prototype(*found)
    places = _ARGUMENTS.get(host.architecture, ())
    return tuple(Argument(a.name, a.type, "register", places[a.place]) if a.place < len(places) and a.how == "word" else
                 Argument(a.name, a.type, "nowhere", detail="it is not passed in a register") for a in arguments)


def _look_up(host: Host, point: tree.KernelFunction) -> None:
    """Refuse functions that the kernel does not have."""
    from bpfwright.facets.trace.probes.instead import missing_function
    if point.function not in functions_of() and host.kernel_address(point.function) is None:
        raise refuse(point.span, *missing_function(host, point.provider, point.function))
    module = functions_of().get(point.function)
    if point.module and module is not None and not _in_module(point.module, module):
        raise refuse(point.span, f"`{point.function}` is not in `{point.module}`",
                     f"It is in `{module or 'vmlinux'}`.")


def typed_function(host: Host, name: str, module: str = "") -> tuple[Any, int] | None:
    """The type information of a function, and its number there."""
    from bpfwright.formats.btf import Kind
    types = host.machine.types
    try:
        if module and module != "vmlinux":
            btf = types.module(module)
            return next(((btf, number) for number in btf.find_all(name, Kind.FUNC) if number >= btf.first_id), None)
        found = types.find(name, Kind.FUNC)
    except (BpfwrightError, OSError):
        return None
    if found is None or (module == "vmlinux" and found[1]):
        return None
    return (types.module(found[1]) if found[1] else types.vmlinux), found[0]


# ---------------------------------------------------------------------------------------------------------- trampolines


def _trampolines(host: Host, point: tree.KernelFunction) -> list[Site]:
    from bpfwright.facets.trace.probes.instead import missing_function
    if is_pattern(point.function) or is_pattern(point.module):
        known = typed_functions(host, point.module)
        traceable = _traceable()
        names = [name for name in matching(point.function, list(known)) if not traceable or name in traceable]
        not_too_many(host, point, len(names))
        return [_trampoline(host, point, name, known[name]) for name in names]
    found = typed_function(host, point.function, point.module)
    if found is None:
        raise refuse(point.span, *missing_function(host, point.provider, point.function, point.module))
    return [_trampoline(host, point, point.function, point.module if point.module != "vmlinux" else "")]


def _trampoline(host: Host, point: tree.KernelFunction, name: str, module: str) -> Site:
    found = typed_function(host, name, module)
    assert found is not None  # it was listed
    if not module:
        owner = host.machine.types.find(name, 12)  # Kind.FUNC
        module = owner[1] if owner is not None else ""
    shown = f"{point.provider}:{module or 'vmlinux'}:{name}"
    return _typed_site(point.provider, f"{point.provider}/{name}", shown, name,
                       Attachment("", "trampoline", (name,), shown, name), found)


def _typed_site(provider: str, section: str, shown: str, name: str, made: Attachment, found: tuple[Any, int]) -> Site:
    arguments, returned, words = prototype(*found)
    value = Argument("retval", returned, "word", words) if provider == "fexit" and returned is not None else None
    numbered = tuple(Argument(f"arg{at}", _INT64, "word", at) for at in range(words))
    return Site(provider, provider, section, shown, (made,), function=name, arguments=arguments, numbered=numbered,
                words=words, result=value)


def prototype(btf: Any, number: int) -> tuple[tuple[Argument, ...], Type | None, int]:
    """The parameters of a function, what it returns (None: nothing), and how many words they take, by BTF."""
    layouts = BtfLayouts(btf)
    proto = btf.resolve(btf.type_of(number))
    arguments: list[Argument] = []
    words = 0
    for at, parameter in enumerate(btf.parameters(proto)):
        type = layouts.type(parameter.type_id)
        struct = isinstance(type, (Struct, Array))
        arguments.append(Argument(parameter.name or f"arg{at}", type, "words" if struct else "word", words))
        words += max(1, -(-type.size // 8)) if struct else 1
    returned = layouts.type(btf.result_of(proto))
    return tuple(arguments), None if isinstance(returned, (Nothing, Struct)) else returned, words


# ------------------------------------------------------------------------------------------------- running BPF programs


def bpf_program(host: Host, point: tree.BpfProgram, uses: Uses) -> list[Site]:
    """`fentry:bpf:[id:]name`: running BPF programs, by the name of their function."""
    from bpfwright.errors import PrivilegeError
    from bpfwright.kernel.listing import programs
    try:
        running = [(one.id, one.name, one.type) for one in programs()]
    except PrivilegeError as problem:
        raise refuse(point.span, problem.what, problem.cure) from None
    found = []
    from bpfwright.facets.trace.probes.instead import attaches, refused_here
    if not attaches(host.machine, point.provider) and any(name == point.name for _, name, _ in running):
        raise refuse(point.span, *refused_here(host, point.provider, f"bpf:{point.name}"))
    for number, _, _ in running:
        if point.id is None or point.id == number:
            found += [_of_program(point, number, name, btf, at) for name, btf, at in _subjects(number, point.name)]
    if not found:
        named = sorted({name for _, name, _ in running if name})
        what = f"there is no BPF program {point.id} with a function `{point.name}`" if point.id is not None else \
            f"no BPF program that runs here has a function `{point.name}`"
        raise refuse(point.span, what, f"There are {', '.join(named[:8])}; `bpfwright ps` lists them." if named else
                     "None runs now: `bpfwright ps` lists them.")
    return found


def _subjects(number: int, wanted: str) -> list[tuple[str, Any, int]]:
    """The functions of a running program that are meant: name, type information, number there."""
    from bpfwright.formats.btf import Kind
    from bpfwright.kernel.typeload import program_types
    try:
        btf, main = program_types(number)
    except BpfwrightError:
        return []
    names = {btf.name(at): at for at in btf.ids() if btf.kind(at) == Kind.FUNC}
    chosen = matching(wanted, list(names))
    return [(name, btf, names[name]) for name in chosen if not is_pattern(wanted) or names[name] == main]


def _of_program(point: tree.BpfProgram, number: int, name: str, btf: Any, at: int) -> Site:
    shown = f"{point.provider}:bpf:{number}:{name}"
    made = Attachment("", "bpf_trampoline", (number, name), shown, name)
    return _typed_site(point.provider, f"{point.provider}/{name}", shown, name, made, (btf, at))

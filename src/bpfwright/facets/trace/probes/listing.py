"""`-l` and `-lv`: what can be traced, with arguments, and what types look like; `--info`: what this kernel can do.

Names come from files that the kernel has ready, so a whole list takes less than a second.
"""
from __future__ import annotations

from fnmatch import fnmatchcase

from bpfwright._typing import TYPE_CHECKING, Any, Iterator
from bpfwright.errors import BpfwrightError, TargetError
from bpfwright.facets.trace.probes.resolve import is_pattern

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host

__all__ = ["definition", "information", "listed", "with_arguments"]


def listed(host: Host, pattern: str) -> Iterator[str]:
    """The attach points that a pattern means, in full: `tracepoint:sched:*`, `*open*`, `uprobe:/bin/bash:read*`."""
    from bpfwright.facets.trace.points import SHORT
    provider, colon, rest = pattern.partition(":")
    provider = {"kfunc": "fentry", "kretfunc": "fexit"}.get(provider, SHORT.get(provider, provider))
    if not colon:
        from bpfwright.facets.trace.probes.instead import attaches
        for name in _EVERYWHERE:
            if provider != name and not attaches(host.machine, name):
                continue  # of no use here; it is listed where it is asked for by name
            if fnmatchcase(name, provider):
                yield from _PROVIDERS[name](host, "*")
            elif provider not in _PROVIDERS:
                yield from (one for one in _PROVIDERS[name](host, "*") if fnmatchcase(one.partition(":")[2], pattern))
        return
    chosen = [name for name in _PROVIDERS if fnmatchcase(name, provider)]
    if not chosen:
        raise TargetError(f"there is no provider `{provider}`", cure=f"There are {', '.join(_PROVIDERS)}.")
    for name in chosen:
        if name in _EVERYWHERE or not is_pattern(provider):
            yield from _PROVIDERS[name](host, rest or "*")


# -------------------------------------------------------------------------------------------------------------- names


def _tracepoints(host: Host, rest: str) -> Iterator[str]:
    import os

    from bpfwright.kernel import mounts
    category, _, event = rest.partition(":")
    try:
        with open(f"{mounts.tracefs()}/available_events", encoding="ascii", errors="replace") as file:
            places = [line.split() for line in file]
    except (OSError, BpfwrightError):
        places = []
    names = [place[0] for place in places if place] or \
        [f"{group}:{name}" for group in os.listdir(f"{mounts.tracefs()}/events")
         if os.path.isdir(f"{mounts.tracefs()}/events/{group}")
         for name in os.listdir(f"{mounts.tracefs()}/events/{group}") if name not in ("enable", "filter")]
    for name in sorted(names):
        group, _, one = name.partition(":")
        if _means(category, group) and _means(event or "*", one) and group != "ftrace":
            yield f"tracepoint:{name}"


def _raw(host: Host, rest: str) -> Iterator[str]:
    from bpfwright.facets.trace.probes.tracepoints import raw_names
    wanted = rest.rpartition(":")[2]
    for name in raw_names(host):
        if _means(wanted, name):
            yield f"rawtracepoint:{name}"


def _kprobes(host: Host, rest: str) -> Iterator[str]:
    from bpfwright.facets.trace.probes.kernel import functions_of
    module, colon, name = rest.rpartition(":")
    for each, owner in sorted(functions_of().items()):
        if _means(name, each) and (not colon or _means(module, owner or "vmlinux")):
            yield f"kprobe:{owner}:{each}" if owner else f"kprobe:{each}"


def _fentries(host: Host, rest: str) -> Iterator[str]:
    from bpfwright.facets.trace.probes.kernel import typed_functions
    module, _, name = rest.rpartition(":")
    if module.partition(":")[0] == "bpf":
        yield from _of_programs(host, module, name)
        return
    for each, owner in sorted(typed_functions(host, module or "*").items()):
        if _means(name, each):
            yield f"fentry:{owner or 'vmlinux'}:{each}"


def _of_programs(host: Host, module: str, name: str) -> Iterator[str]:
    from bpfwright.kernel.listing import programs
    number = module.partition(":")[2]
    for one in programs():
        if one.name and _means(name, one.name) and _means(number or "*", str(one.id)):
            yield f"fentry:bpf:{one.id}:{one.name}"


def _users(host: Host, rest: str) -> Iterator[str]:
    file, _, name = rest.rpartition(":")
    language = ""
    if file.endswith(":cpp"):
        file, language = file[:-4], "cpp:"
    for binary in _binaries(host, file or rest):
        chosen = binary.functions
        if language:
            from bpfwright.symbols import demangle
            names = sorted({demangle(each) for each in chosen})
        else:
            names = sorted(chosen)
        yield from (f"uprobe:{binary.shown}:{language}{each}" for each in names if _means(name if file else "*", each))


def _static(host: Host, rest: str) -> Iterator[str]:
    parts = rest.split(":")
    name, provider = (parts[-1], parts[1] if len(parts) > 2 else "*") if len(parts) > 1 else ("*", "*")
    for binary in _binaries(host, parts[0]):
        found = {f"{one.provider}:{one.name}" for one in binary.static_probes
                 if _means(name, one.name) and _means(provider, one.provider)}
        yield from (f"usdt:{binary.shown}:{one}" for one in sorted(found))


def _binaries(host: Host, file: str) -> list[Any]:
    from bpfwright.facets.trace import tree
    from bpfwright.facets.trace.compiling.typed import Refused
    from bpfwright.facets.trace.probes.binaries import binaries_of
    from bpfwright.facets.trace.text import Text as Source
    if file == "*" and host.options.pid is None:
        raise TargetError("which binary is not said", cure="Write `uprobe:/path/to/program:*`, or name a process: -p.")
    source = Source(file)
    try:
        return binaries_of(host, tree.AttachPoint(source.span(0, len(file)), ""), file)
    except Refused as refused:
        raise TargetError(refused.note.what, cure=refused.note.cure) from None


def _iterators(host: Host, rest: str) -> Iterator[str]:
    from bpfwright.facets.trace.probes.iterators import iterator_names
    yield from (f"iter:{name}" for name in iterator_names(host) if _means(rest, name))


def _software(host: Host, rest: str) -> Iterator[str]:
    from bpfwright.facets.trace.probes.perf import SOFTWARE
    yield from (f"software:{name}:" for name in sorted(SOFTWARE) if _means(rest.partition(":")[0], name))


def _hardware(host: Host, rest: str) -> Iterator[str]:
    from bpfwright.facets.trace.probes.perf import HARDWARE
    yield from (f"hardware:{name}:" for name in sorted(HARDWARE) if _means(rest.partition(":")[0], name))


def _units(provider: str) -> Any:
    def units(host: Host, rest: str) -> Iterator[str]:
        yield from (f"{provider}:{unit}:" for unit in ("hz", "ms", "ns", "s", "us")
                    if _means(rest.partition(":")[0], unit))
    return units


def _only(name: str) -> Any:
    def only(host: Host, rest: str) -> Iterator[str]:
        yield name
    return only


def _returns(provider: str, entries: Any) -> Any:
    def returns(host: Host, rest: str) -> Iterator[str]:
        for one in entries(host, rest):
            yield provider + one[one.index(":"):]
    return returns


def _means(pattern: str, name: str) -> bool:
    return pattern == name or fnmatchcase(name, pattern)


_PROVIDERS: dict[str, Any] = {
    "begin": _only("begin"), "end": _only("end"), "self": _only("self:signal:SIGUSR1"),
    "interval": _units("interval"), "profile": _units("profile"), "software": _software, "hardware": _hardware,
    "tracepoint": _tracepoints, "rawtracepoint": _raw, "iter": _iterators, "kprobe": _kprobes,
    "kretprobe": _returns("kretprobe", _kprobes), "fentry": _fentries, "fexit": _returns("fexit", _fentries),
    "uprobe": _users, "uretprobe": _returns("uretprobe", _users), "usdt": _static,
}
_EVERYWHERE = ("fentry", "hardware", "interval", "iter", "kprobe", "profile", "rawtracepoint", "software", "tracepoint")
"""What `*` lists: user probes want a file, and returns are where entries are."""


# ------------------------------------------------------------------------------------------------------- with arguments


def with_arguments(host: Host, shown: str) -> Iterator[str]:
    """An attach point, and a line for each of its arguments: type and name."""
    from bpfwright.facets.trace.compiling.typed import Refused
    from bpfwright.facets.trace.parser import parse
    from bpfwright.facets.trace.probes.declarations import arguments_of
    yield shown
    if shown.endswith(":") or shown.count(":") < 1 or shown.startswith("self"):
        return
    quoted = shown.replace(":cpp:", ':cpp:"') + ('"' if ":cpp:" in shown else "")
    point = parse(f"{quoted} {{ }}", "").program.probes[0].points[0]
    try:
        yield from (f"    {line}" for line in arguments_of(host, point))
    except Refused:
        return


def definition(host: Host, wanted: str) -> Iterator[str]:
    """`struct NAME`, `union NAME`, `enum NAME`, as C has it. TargetError when there is none."""
    keyword, _, name = " ".join(wanted.split()).partition(" ")
    if is_pattern(name):
        for each in _type_names(host, keyword, name):
            yield f"{keyword} {each}"
        return
    from bpfwright.facets.trace.probes.declarations import definition_of
    found = definition_of(host, keyword, name)
    if not found:
        from bpfwright.facets.trace.text import nearest
        close = nearest(name, _type_names(host, keyword, "*"))
        raise TargetError(f"there is no type `{keyword} {name}`",
                          cure=f"Did you mean `{keyword} {close}`?" if close else "It is not in the kernel's types.")
    yield found


def _type_names(host: Host, keyword: str, pattern: str) -> list[str]:
    from bpfwright.formats.btf import Kind
    kinds: dict[str, tuple[int, ...]] = {"struct": (Kind.STRUCT,), "union": (Kind.UNION,),
                                         "enum": (Kind.ENUM, Kind.ENUM64)}
    btf = host.machine.types.vmlinux
    names = {btf.name(number) for number in btf.ids() if btf.kind(number) in kinds.get(keyword, ())}
    return sorted(name for name in names if name and _means(pattern, name))


# --------------------------------------------------------------------------------------------------------------- --info


def information(host: Host) -> Iterator[str]:
    """What this kernel can do, as far as scripts care: a line a fact."""
    import os

    from bpfwright._version import __version__
    from bpfwright.facets.trace.probes.instead import attaches
    from bpfwright.session import target_of
    machine, target = host.machine, target_of(host.machine)
    system = os.uname()
    yield "System"
    yield f"  kernel: {system.sysname} {system.release} {system.version}"
    yield f"  processor: {system.machine}"
    yield f"  bpfwright: {__version__}"
    yield "Kernel"
    yield f"  BTF: {_yes(os.path.exists('/sys/kernel/btf/vmlinux'))}"
    for name, feature in (("cookies of probes", "cookies"), ("bpf_loop", "bpf_loop"), ("open-coded iterators",
                                                                                        "iter_num"),
                          ("may_goto", "may_goto"), ("current task with its types", "current_task_btf")):
        yield f"  {name}: {_yes(target.has(feature))}"
    yield f"  instructions a program may have: {1_000_000 if machine.features.named('bounded loops').works else 4096}"
    yield "Helpers"
    for name, kind, number in _HELPERS:
        yield f"  {name}: {_yes(machine.features.helper(kind, number).works)}"
    yield "Map types"
    for name, number in _MAPS:
        yield f"  {name}: {_yes(machine.features.map_type(number).works)}"
    yield "Probe types"
    for provider in ("tracepoint", "rawtracepoint", "uprobe", "usdt", "iter"):
        yield f"  {provider}: yes"
    yield f"  kprobe: {_yes(attaches(machine, 'kprobe'))}"
    yield f"  kprobe_multi: {_yes(attaches(machine, 'kprobe') and target.has('kprobe_multi'))}"
    verdict = machine.features.attach_type(26, 24)
    yield f"  fentry: {_yes(bool(verdict.works))}" + (f" ({verdict.why})" if verdict.why and not verdict.works else "")
    yield f"  hardware: {_yes(os.path.exists('/sys/bus/event_source/devices/cpu/type'))}"
    yield f"  watchpoint: {_yes(os.path.exists('/sys/bus/event_source/devices/breakpoint/type'))}"


def _yes(works: object) -> str:
    return "yes" if works else "no"


_HELPERS = (("probe_read_kernel", 5, 113), ("probe_read_user", 5, 112), ("probe_read_user_str", 5, 114),
            ("get_current_cgroup_id", 5, 80), ("send_signal", 5, 109), ("override_return", 2, 58),
            ("get_boot_ns", 5, 125), ("d_path", 26, 147), ("skb_output", 26, 111), ("get_attach_cookie", 2, 174),
            ("get_func_ip", 2, 173), ("loop", 5, 181))
_MAPS = (("hash", 1), ("per-CPU hash", 5), ("array", 2), ("per-CPU array", 6), ("stack trace", 7),
         ("perf event array", 4), ("ring buffer", 27), ("LRU hash", 9), ("queue", 22), ("bloom filter", 30))



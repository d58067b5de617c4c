"""Say what works on this machine: every hook, map type, helper family and mount; where not, why, and what to do.

Everything is tried, nothing is guessed from a version. Trying loads tiny programs and makes tiny maps, attaches where
that disturbs nobody, and leaves nothing behind.
"""
from __future__ import annotations

import os
from functools import partial

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Callable, Iterator, NamedTuple
from bpfwright.cli.output import Cell, Column, add_options, destination, write
from bpfwright.errors import BpfwrightError, KernelError
from bpfwright.kernel import mounts, perf
from bpfwright.kernel.explain import MAP_TYPES, PROGRAM_TYPES, missing_capabilities
from bpfwright.kernel.features import ATTACH_TYPES, Features, Verdict

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "Finding", "arguments", "findings", "run"]

EXAMPLES = (
    "bpfwright doctor               everything",
    "bpfwright doctor --broken      only what does not work",
    "bpfwright doctor tcx 'ring buffer'",
    "bpfwright doctor -j            for programs",
)

COLUMNS = (Column("group", "GROUP"), Column("name", "WHAT"), Column("works", "WORKS"),
           Column("since", "SINCE LINUX", empty=""), Column("why", "WHY NOT", empty=""),
           Column("cure", "WHAT TO DO", empty=""))

# A family of helpers: a program type that should have it, and a helper that stands for it.
FAMILIES = (
    ("packet reading and writing", B.BPF_PROG_TYPE_SCHED_CLS, "skb_store_bytes", "4.1"),
    ("packet resizing", B.BPF_PROG_TYPE_XDP, "xdp_adjust_tail", "4.18"),
    ("multi-buffer packets", B.BPF_PROG_TYPE_XDP, "xdp_load_bytes", "5.18"),
    ("redirection", B.BPF_PROG_TYPE_XDP, "redirect_map", "4.14"),
    ("routing table look-up", B.BPF_PROG_TYPE_XDP, "fib_lookup", "4.18"),
    ("socket look-up", B.BPF_PROG_TYPE_XDP, "sk_lookup_tcp", "4.20"),
    ("SYN cookies", B.BPF_PROG_TYPE_XDP, "tcp_raw_gen_syncookie_ipv4", "6.0"),
    ("reading kernel memory", B.BPF_PROG_TYPE_KPROBE, "probe_read_kernel", "5.5"),
    ("reading user memory", B.BPF_PROG_TYPE_KPROBE, "probe_read_user", "5.5"),
    ("writing user memory", B.BPF_PROG_TYPE_KPROBE, "probe_write_user", "4.8"),
    ("stack traces", B.BPF_PROG_TYPE_KPROBE, "get_stackid", "4.6"),
    ("signals", B.BPF_PROG_TYPE_KPROBE, "send_signal", "5.3"),
    ("overriding a return value", B.BPF_PROG_TYPE_KPROBE, "override_return", "4.16"),
    ("attach cookies", B.BPF_PROG_TYPE_KPROBE, "get_attach_cookie", "5.15"),
    ("ring buffer", B.BPF_PROG_TYPE_TRACEPOINT, "ringbuf_reserve", "5.8"),
    ("perf event output", B.BPF_PROG_TYPE_TRACEPOINT, "perf_event_output", "4.4"),
    ("task storage", B.BPF_PROG_TYPE_TRACING, "task_storage_get", "5.11"),
    ("timers", B.BPF_PROG_TYPE_XDP, "timer_start", "5.15"),
    ("loops by callback", B.BPF_PROG_TYPE_XDP, "loop", "5.17"),
    ("iterating a map", B.BPF_PROG_TYPE_XDP, "for_each_map_elem", "5.13"),
    ("spin locks", B.BPF_PROG_TYPE_XDP, "spin_lock", "5.1"),
    ("dynptrs", B.BPF_PROG_TYPE_XDP, "dynptr_read", "5.19"),
    ("formatted text", B.BPF_PROG_TYPE_XDP, "snprintf", "5.13"),
    ("coarse clock", B.BPF_PROG_TYPE_XDP, "ktime_get_coarse_ns", "5.11"),
)

# What sees nothing today because newer means took its place; not a fault of the machine.
LEGACY_MAPS = frozenset((B.BPF_MAP_TYPE_CGROUP_STORAGE, B.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE))


class Finding(NamedTuple):
    """One line of the report."""

    group: str
    name: str
    works: bool
    since: str = ""
    why: str = ""
    cure: str = ""

    def row(self) -> dict[str, Cell]:
        return {key: value if value != "" else None for key, value in self._asdict().items()}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="WORD", help="only lines with one of these in group or name")
    parser.add_argument("--broken", action="store_true", help="only what does not work")
    add_options(parser)


def run(chosen: argparse.Namespace) -> int:
    found = [finding for finding in findings() if _asked(finding, chosen)]
    with destination(chosen) as to:
        write(chosen, COLUMNS, (finding.row() for finding in found), to=to)
        if chosen.format == "table":
            working = sum(finding.works for finding in found)
            to.write(f"\n{working} of {len(found)} work on Linux {os.uname().release}.\n")
    return 3 if missing_capabilities() else 0


def _asked(finding: Finding, chosen: argparse.Namespace) -> bool:
    text = f"{finding.group} {finding.name}".lower()
    named = not chosen.words or any(word.lower() in text for word in chosen.words)
    return named and not (chosen.broken and finding.works)


def findings() -> Iterator[Finding]:
    """Everything, in the order of the report."""
    yield from _privilege()
    yield from _mounts()
    yield from _hooks()
    yield from _maps()
    yield from _helpers()
    yield from _features()


# Groups

def _privilege() -> Iterator[Finding]:
    missing = missing_capabilities()
    yield Finding("privilege", "loading programs", not missing, "", f"lacks {', '.join(missing)}" if missing else "",
                  "run it as root (sudo), or with these capabilities" if missing else "")
    mode = _lockdown()
    if mode:
        locked = mode != "none"
        yield Finding("privilege", "no lockdown", not locked, "5.4",
                      f"mode {mode}: reading and writing of some memory is refused" if locked else "",
                      "only booting without it changes that" if locked else "")


def _mounts() -> Iterator[Finding]:
    tried: tuple[tuple[str, Callable[[], str]], ...] = (
        ("bpffs (pinning)", mounts.bpffs), ("tracefs (tracepoints)", mounts.tracefs), ("cgroup2", mounts.cgroup2))
    for name, find in tried:
        try:
            yield Finding("mount", f"{name} at {find()}", True)
        except (BpfwrightError, OSError) as problem:
            yield Finding("mount", name, False, "", *_words(problem))
    if os.access("/sys/kernel/btf/vmlinux", os.R_OK):
        yield Finding("mount", "kernel types (BTF)", True, "5.4")
    else:
        yield Finding("mount", "kernel types (BTF)", False, "5.4", "/sys/kernel/btf/vmlinux is not readable",
                      "needs a kernel built with CONFIG_DEBUG_INFO_BTF")


def _hooks() -> Iterator[Finding]:
    features = Features()
    found = {}
    for kind, (name, since) in PROGRAM_TYPES.items():
        found[name] = _tried("hook", name, since, partial(features.program_type, kind))
    for (kind, attach_type), (name, since, _) in ATTACH_TYPES.items():
        # Both directions of a hook have one name: it works when both do.
        finding = _tried("hook", name, since, partial(features.attach_type, kind, attach_type))
        if name not in found or found[name].works:
            found[name] = finding
    yield from found.values()
    yield _event("kprobes", "4.17", lambda: [perf.kprobe_event("do_nanosleep", 0, False)],
                 "needs a kernel built with CONFIG_KPROBE_EVENTS")
    yield _event("sampling by the CPU clock", "4.9", lambda: perf.sampling_events(1, os.getpid()), "")
    yield _event("hardware counters", "4.9", lambda: [perf.open_event(0, 0, period=1 << 30, pid=os.getpid(), cpu=-1)],
                 "needs a CPU with counters, which most virtual machines hide; sample by the CPU clock")


def _maps() -> Iterator[Finding]:
    features = Features()
    for kind, (name, since) in MAP_TYPES.items():
        if kind not in LEGACY_MAPS:
            yield _tried("map", name, since, partial(features.map_type, kind))


def _helpers() -> Iterator[Finding]:
    features = Features()
    for name, kind, helper, since in FAMILIES:
        yield _tried("helper", f"{name} (bpf_{helper})", since, partial(features.helper, kind, helper))


def _features() -> Iterator[Finding]:
    features = Features()
    for name in features.names():
        yield _tried("feature", name, "", partial(features.named, name))


# Wording

def _tried(group: str, name: str, since: str, probe: Callable[[], Verdict]) -> Finding:
    """What a probe says; one that fails by itself says why, too."""
    try:
        verdict = probe()
    except (BpfwrightError, OSError) as problem:
        verdict = Verdict(name, False, since, _words(problem)[0])
    known_since = since or verdict.since
    why = "" if verdict.works else verdict.why or "it does not load, and the kernel does not say why"
    return Finding(group, name, verdict.works, known_since, why, "" if verdict.works else _cure(why, known_since))


def _event(name: str, since: str, open_events: Callable[[], list[int]], cure: str) -> Finding:
    """Whether a kind of perf event opens; it is closed at once."""
    try:
        opened = open_events()
    except (BpfwrightError, OSError) as problem:
        why = _words(problem)[0]
        return Finding("hook", name, False, since, why, "try again as root" if missing_capabilities() else cure)
    for descriptor in opened:
        os.close(descriptor)
    return Finding("hook", name, True, since)


def _words(problem: BpfwrightError | OSError) -> tuple[str, str]:
    """(why not, what to do) of an error."""
    if isinstance(problem, BpfwrightError):
        number = problem.errno if isinstance(problem, KernelError) else 0
        return problem.why or (os.strerror(number) if number else problem.what), problem.cure
    return problem.strerror or str(problem), ""


def _cure(why: str, since: str) -> str:
    if missing_capabilities():
        return "try again as root"
    if "permitted" in why:
        mode = _lockdown()
        return "root may not: another kernel" if mode in ("", "none") else f"this kernel is locked down ({mode})"
    if "built without" in why or not since:
        return "needs a kernel built with it"
    return f"needs Linux {since} or newer, built with it"


def _lockdown() -> str:
    """The mode in force: /sys/kernel/security/lockdown marks it by brackets."""
    try:
        with open("/sys/kernel/security/lockdown") as file:
            return file.read().partition("[")[2].partition("]")[0]
    except OSError:
        return ""

"""Each tool beside bcc's of its name in the VM lab, and beside bpftrace's script of its name here.

    sudo .venv/bin/python bench/tools.py [--quick] [--lab SERIES [--keep FILE]] [NAME...]

Here, for information: `attached` is the time until the command of bpftrace's -c has run, and until `bpfwright tool`
says that it traces.
--lab SERIES: bcc (apt-get install bpfcc-tools) needs kprobes and the kernel's headers, so both run in one guest (6.12;
one run each, in an emulated machine: ratios only) and see the same workload; `attached` is the first line of bcc's
output, which it prints when it has attached (argdist: after its first second). `rows` are the workload's own, in both
outputs: `same` in number, or on `both` sides where they are buckets, intervals or the whole machine's. `first` is a
start with an empty cache folder, as after an installation: objects come with the package. It is long: some minutes for
ten tools; --keep FILE, and --table FILE afterwards, take it in pieces.
"""
from __future__ import annotations

import argparse
import json
import os
import re
import resource
import selectors
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring, tool_works as works
from bench.tool_works import MARK

START_BAR, MEMORY_BAR = 1.0, 1 / 2
PATIENCE_S = 240.0
SETTLE_S = 1.5  # an emulated machine's other processor sees new probes a little later
HERE = ("execsnoop", "opensnoop", "statsnoop", "killsnoop", "syncsnoop", "threadsnoop", "setuids", "gethostlatency",
        "bashreadline", "biolatency", "biosnoop", "bitesize", "runqlat", "runqlen", "pidpersec", "syscount", "tcpdrop")


class Case(NamedTuple):
    """A tool in the lab: its words, the same for both; its work; how its rows look.

    Rows are the same in number, or `some` on both sides: buckets, intervals, what the whole machine does. `setup` comes
    before the tools start.
    """

    words: tuple[str, ...]
    work: Callable[[], object]
    rows: str
    some: bool = False
    setup: Callable[[], object] | None = None


BUCKET = r"\d+ +-> +\d+ +: +\d+ +\|\*"
CASES = {
    # processes
    "execsnoop": Case((), works.executions, rf"/bin/echo \W*{MARK}-\d"),
    "exitsnoop": Case((), works.exits, r"code [345]"),
    "killsnoop": Case((), works.signals, r" 10 +\d+ +0"),
    "threadsnoop": Case((), works.threads, r"start_thread|thread_run|pythread_wrapper", some=True),
    "pidpersec": Case((), works.executions, r"(?:PIDs/sec: |\d\d:\d\d:\d\d )\s*[1-9]", some=True),
    "syscount": Case((), works.sleeps, r"clock_nanosleep"),
    "capable": Case((), works.ownerships, r"CAP_CHOWN"),
    "bashreadline": Case((), works.commands, rf"echo {MARK}-\d"),
    "gethostlatency": Case((), works.look_ups, rf"{MARK}-\d"),
    "sslsniff": Case((), works.secrets, rf"{MARK}-\d", setup=works.certificate),
    # files
    "opensnoop": Case((), works.opens, rf"/nowhere/{MARK}-\d"),
    "statsnoop": Case((), works.file_systems, rf"/nowhere/{MARK}-\d"),
    "filelife": Case((), works.short_files, rf"{MARK}-\d"),
    "mountsnoop": Case((), works.mounts, rf"u?mount\(\"(?={MARK}|/run/{MARK})"),
    "syncsnoop": Case((), works.syncs, r"\bsync\b"),
    "dcsnoop": Case((), works.missing_names, rf"M {MARK}-missing-\d"),
    "fileslower": Case(("0",), works.short_files, rf"W 1 .*{MARK}-\d"),
    "filetop": Case(("-C", "1"), works.rounds_of_reading, rf"R {MARK}-read", setup=works.ext4, some=True),
    "cachestat": Case(("1",), works.rounds_of_reading, r"(?m)^ *\d{3,} +\d+ +\d+ +\d+\.\d+", setup=works.ext4,
                      some=True),
    "ext4dist": Case((), works.ext4_files, BUCKET, setup=works.ext4, some=True),
    "ext4slower": Case(("0",), works.ext4_files, rf"[RWS] +\d+ +\d+ +\d+\.\d+ {MARK}-\d", setup=works.ext4),
    # block I/O
    "biosnoop": Case((), works.block_writes, r"loop\d +W +\d+ +8192", setup=works.disk),
    "biolatency": Case((), works.block_writes, BUCKET, setup=works.disk, some=True),
    "biotop": Case(("-C", "1"), works.rounds_of_block_writes, r"W +7 +\d+ +loop\d", setup=works.disk, some=True),
    "biopattern": Case((), works.block_writes, r"loop\d +\d+ +\d+ +\d+ +3[12]\b", setup=works.disk),
    "bitesize": Case((), works.block_writes, BUCKET, setup=works.disk),
    # scheduler
    "runqlat": Case((), works.sleeps, BUCKET, some=True),
    "runqlen": Case((), works.contention, r"\d+ +: +\d+ +\|\*", some=True),
    "runqslower": Case(("1000",), works.contention, r"python\S* +\d+ +\d+", some=True),
    "cpudist": Case((), works.sleeps, BUCKET, some=True),
    "offcputime": Case(("-p", "SELF"), works.sleeps, r"clock_nanosleep|do_select", some=True),
    "wakeuptime": Case((), works.sleeps, r"hrtimer_wakeup", some=True),
    "softirqs": Case((), works.sleeps, r"\b(?:timer|sched)\b"),
    "hardirqs": Case((), works.files_of_the_host, r"virtio\S*", some=True),
    # memory
    "memleak": Case(("-p", "SELF"), works.allocations, r"617280 bytes in 5 allocations", some=True),
    "oomkill": Case((), works.out_of_memory, r"python\S*(?:\"\),| +)\d+ pages|python\S* +\d+ +\d+\.\d+"),
    "drsnoop": Case((), works.reclaims, r"(?m)^sh +\d+ +\d+\.\d+ +\d+", some=True),
    # network
    "tcpconnect": Case((), works.connections, r"127\.0\.0\.1 +127\.0\.0\.1 +7171"),
    "tcpaccept": Case((), works.connections, r"127\.0\.0\.1 +\d+ +127\.0\.0\.1 +7171"),
    "tcplife": Case((), works.connections, r"127\.0\.0\.1 +7171 "),
    "tcpstates": Case((), works.connections, r"7171 .*ESTABLISHED +(?:-> +)?CLOSE"),
    "tcptracer": Case((), works.connections, r"\b[CA] .*127\.0\.0\.1 +127\.0\.0\.1 +.*7171"),
    "tcptop": Case(("-C", "1"), works.rounds_of_sending, r"127\.0\.0\.1:\d+ +127\.0\.0\.1:7171", some=True),
    "tcprtt": Case((), works.connections, BUCKET, some=True),
    "tcpretrans": Case((), works.retransmissions, r"R> +127\.0\.0\.1:7171 +ESTABLISHED", some=True),
    "tcpdrop": Case((), works.refusals, r"127\.0\.0\.1:1 "),
    # what the user names
    "funccount": Case(("vfs_read*",), works.opens, r"\bvfs_read +\d"),
    "funclatency": Case(("vfs_read",), works.reads_of_a_length, BUCKET, some=True),
    "stackcount": Case(("vfs_read",), works.reads_of_a_length, r"\bvfs_read\b", some=True),
    "argdist": Case(("-C", "p::vfs_read(void *file, char *buffer, size_t count):u64:count"), works.reads_of_a_length,
                    r"\b4242\b", some=True),
}
NOT_HERE = "llcstat: counts of the processor's caches, which no emulated machine has"


class Run(NamedTuple):
    """One tool at work: ms until attached, peak MiB, its output; `why` when it did not attach."""

    attached_ms: float
    memory_mib: float
    output: str
    why: str = ""


def watched(words: Sequence[str], work: Callable[[], object], *, said_on: str, cache: str = "") -> Run:
    """Start a tool, wait for its first line on `said_on`, do the work, press Ctrl-C."""
    changed = {**os.environ, "PYTHONPATH": str(measuring.ROOT / "src"), "PYTHONUNBUFFERED": "1",
               **({"XDG_CACHE_HOME": cache} if cache else {})}
    changed.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        read, write = os.pipe()
        kept = err if said_on == "stdout" else out
        began = time.perf_counter()
        child = subprocess.Popen(list(words), env=changed, stdin=subprocess.DEVNULL,
                                 stdout=write if kept is err else out, stderr=err if kept is err else write)
        os.close(write)
        first = _line(read, PATIENCE_S)
        attached = (time.perf_counter() - began) * 1000
        said = [first]
        reader = threading.Thread(target=_drain, args=(read, said))
        reader.start()
        if first:
            time.sleep(SETTLE_S)
            work()
            time.sleep(SETTLE_S)
        usage = _ended(child, signal.SIGINT if first else signal.SIGTERM)
        reader.join()
        kept.seek(0)
        other = kept.read().decode(errors="replace")
    output = b"".join(said).decode(errors="replace")
    failed = not first or (said_on == "stdout" and "Traceback" in other and "KeyboardInterrupt" not in other)
    why = " ".join(other.strip().splitlines()[-2:])[-160:] if failed else ""
    return Run(attached, usage.ru_maxrss / 1024, output if said_on == "stdout" else other, why)


def _ended(child: subprocess.Popen[bytes], number: int) -> resource.struct_rusage:
    """Press until it ends: bcc's tools do not hear what comes while they print."""
    while True:
        os.kill(child.pid, number)  # nobody has waited for it yet, not even send_signal()
        for _ in range(100):
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                return usage
            time.sleep(0.1)


def _line(descriptor: int, patience_s: float) -> bytes:
    """What comes first; nothing when it ends or takes too long."""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return os.read(descriptor, 65_536) if selector.select(patience_s) else b""


def _drain(descriptor: int, said: list[bytes]) -> None:
    with os.fdopen(descriptor, "rb") as stream:
        said.append(stream.read())


def ours(name: str, *words: str) -> list[str]:
    return [measuring.bare_python(), "-m", "bpfwright", "tool", name, *words]


# in the lab

def inside(names: Sequence[str]) -> None:
    """In the guest: each tool, one JSON line each."""
    for name in names:
        try:
            print(json.dumps({"name": name, **compared(name, CASES[name])}), flush=True)
        except Exception as problem:  # the others are still of interest
            print(json.dumps({"name": name, "failed": f"{type(problem).__name__}: {problem}"}), flush=True)


def compared(name: str, case: Case) -> dict[str, object]:
    """A tool of both, and the rows that both showed."""
    if case.setup is not None:
        case.setup()
    words = [str(os.getpid()) if word == "SELF" else word for word in case.words]
    bcc = watched([f"/usr/sbin/{name}-bpfcc", *words], case.work, said_on="stdout")
    with tempfile.TemporaryDirectory(dir="/run") as cache:
        first = watched(ours(name, *words), case.work, said_on="stderr", cache=cache)
        cached = watched(ours(name, *words), case.work, said_on="stderr", cache=cache)
    return {"bcc": bcc._replace(output=bcc.output[-3000:]), "cached": cached._replace(output=cached.output[-3000:]),
            "first": first._replace(output=""),
            "rows": [len(re.findall(case.rows, run.output)) for run in (bcc, first, cached)]}


def lab(series: str, names: Sequence[str], keep: str) -> int:
    """Both in one guest of that kernel, with the tools compiled ahead as in an installed package."""
    from vmtest import boot, kernels
    subprocess.run([measuring.bare_python(), str(measuring.ROOT / "scripts/compile_ahead.py")], check=True)
    kernel = kernels.get(series)
    environment = {"PYTHONPATH": f"{measuring.ROOT}/src:{measuring.ROOT}", "HOME": "/root",
                   "BCC_KERNEL_SOURCE": str(headers(series))}
    found: list[dict[str, object]] = []

    def line(text: str) -> None:
        if text.startswith("{"):
            found.append({"kernel": kernel.release, **json.loads(text)})
            if keep:
                with open(keep, "a") as file:
                    file.write(json.dumps(found[-1]) + "\n")
            print(*_row(found[-1]), file=sys.stderr, flush=True)

    command = [measuring.bare_python(), str(Path(__file__).resolve()), "--inside", *names]
    outcome = boot.run(kernel, command, folder=str(measuring.ROOT), environment=environment, timeout_s=7200.0,
                       on_line=line, memory="3G")
    if outcome.status != 0:
        print(f"the guest ended early: {outcome.stderr[-500:]}", file=sys.stderr)
    return report(found) or int(outcome.status != 0)


def report(found: Sequence[dict[str, object]]) -> int:
    """The table of what was measured in the lab, and the verdicts."""
    names = list(CASES)
    latest = {str(each["name"]): each for each in found}
    found = [latest[name] for name in names if name in latest]
    ran = [each for each in found if not _stopped(each)]
    print(f"Linux {found[0]['kernel']} in an emulated machine, one run each: ratios only; first: with an empty cache\n")
    print(measuring.table(["", "bcc attached ms", "ours, first", "ours, cached", "bcc MiB", "ours, first",
                           "ours, cached", "rows of bcc", "ours, first", "ours, cached", "rows"],
                          [_row(each) for each in ran]))
    bad = 0
    for who in ("first", "cached"):
        for field, bar in (("attached_ms", START_BAR), ("memory_mib", MEMORY_BAR)):
            ratios = {str(each["name"]): _ratio(each, who, field) for each in ran}
            if not ratios:
                continue
            worst = max(ratios, key=lambda name: ratios[name])
            over = sorted(name for name, ratio in ratios.items() if ratio > bar)
            bad |= int(bool(over))
            mean = measuring.geometric(list(ratios.values()))
            print(f"\n{who}, {field.partition('_')[0]}: geometric mean {mean:.2f} of bcc's, worst {ratios[worst]:.2f} "
                  f"({worst}); bar {bar:.2f}: {len(ratios) - len(over)} of {len(ratios)} met"
                  + (f", missed by {', '.join(over)}" if over else ""), end="")
    said = {each: [str(found["name"]) for found in ran if _agreement(found) == each]
            for each in ("same", "both", "only ours", "neither", "DIFFER")}
    print("\nrows: " + "; ".join(f"{each}: {len(names)}" + (f" ({', '.join(names)})" if each not in ("same", "both")
                                                          else "") for each, names in said.items() if names))
    print("\nNot compared:", NOT_HERE, *filter(None, map(_stopped, found)), sep="\n- ")
    return bad


def _stopped(found: dict[str, object]) -> str:
    """Why there is nothing to compare; "" when there is."""
    if "failed" in found:
        return f"{found['name']}: {found['failed']}"
    for who in ("bcc", "first", "cached"):
        why = Run(*found[who]).why  # type: ignore[misc]
        if why:
            return f"{found['name']}: {'bcc' if who == 'bcc' else 'ours'} stops: {why[max(why.find('Failed'), 0):]}"
    return ""


def _ratio(found: dict[str, object], who: str, field: str) -> float:
    ratio: float = getattr(Run(*found[who]), field) / getattr(Run(*found["bcc"]), field)  # type: ignore[misc]
    return ratio


def _agreement(found: dict[str, object]) -> str:
    rows: list[int] = found["rows"]  # type: ignore[assignment]
    if not all(rows):
        return "neither" if not any(rows) else "only ours" if rows[1] and rows[2] else "DIFFER"
    return "same" if rows[0] == rows[1] == rows[2] else "both" if CASES[str(found["name"])].some else "DIFFER"


def _row(found: dict[str, object]) -> list[object]:
    if stopped := _stopped(found):
        return [stopped, *("-",) * 10]
    base = Run(*found["bcc"])  # type: ignore[misc]
    rows: list[int] = found["rows"]  # type: ignore[assignment]
    cells: list[object] = []
    for field in ("attached_ms", "memory_mib"):
        cells += [getattr(base, field), *(f"{_ratio(found, who, field):.2f}" for who in ("first", "cached"))]
    return [found["name"], *cells, *rows, _agreement(found)]


def headers(series: str) -> Path:
    """Debian's kernel headers in one folder, changed so that bcc's older copy of bpf.h does not hide the kernel's."""
    from vmtest import kernels
    folder = kernels.headers(series)
    config = folder / "include/linux/kconfig.h"
    text = config.read_text()
    if "bpf.h" not in text:
        config.write_text(text + "\n#ifndef __ASSEMBLY__\n#undef CONFIG_CC_HAS_NAMED_AS\n"
                          "#undef CONFIG_USE_X86_SEG_SUPPORT\n#include <uapi/linux/bpf.h>\n#endif\n")
    return folder


# here

def here(names: Sequence[str], rounds: int) -> int:
    """Beside bpftrace's scripts, taking turns."""
    print(f"{measuring.machine()}\n")
    rows: list[list[object]] = []
    ratios: dict[str, list[float]] = {"attached": [], "memory": []}
    for name in names:
        script = f"/usr/sbin/{name}.bt"
        if not os.path.exists(script):
            continue
        mine, other, cold = [], [], []
        with tempfile.TemporaryDirectory() as cache:
            cold.append(watched(ours(name), lambda: None, said_on="stderr", cache=cache))
            try:
                for _ in range(rounds):
                    mine.append(watched(ours(name), lambda: None, said_on="stderr", cache=cache))
                    other.append(measuring.process(["bpftrace", "-c", "/bin/echo attached", script], None, "attached"))
            except SystemExit as problem:
                rows.append([f"{name}: bpftrace's stops: {str(problem).strip().splitlines()[-1][:60]}", *("-",) * 6])
                continue
        base = statistics.median(run.marker_ms for run in other), statistics.median(run.memory_mib for run in other)
        best = (statistics.median(run.attached_ms for run in mine), statistics.median(run.memory_mib for run in mine))
        ratios["attached"].append(best[0] / base[0])
        ratios["memory"].append(best[1] / base[1])
        rows.append([name, base[0], best[0], cold[0].attached_ms, base[1], best[1], cold[0].memory_mib])
    print(measuring.table(["", "bpftrace attached ms", "ours, cached", "ours, uncached", "bpftrace MiB", "ours, cached",
                           "ours, uncached"], rows))
    for what, all_of in ratios.items():
        if all_of:
            print(f"\n{what}, cached: geometric mean {measuring.geometric(all_of):.2f} of bpftrace's, worst "
                  f"{max(all_of):.2f}", end="")
    print()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--lab", metavar="SERIES", default="", help="beside bcc, in a guest of that kernel")
    parser.add_argument("--keep", metavar="FILE", default="", help="add what is measured in the lab to FILE, as JSON")
    parser.add_argument("--table", metavar="FILE", nargs="+", default=(), help="only the table of what --keep kept")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        inside(chosen.names or tuple(CASES))
        return 0
    if chosen.table:
        return report([json.loads(line) for file in chosen.table for line in Path(file).read_text().splitlines()])
    if chosen.lab:
        return lab(chosen.lab, chosen.names or tuple(CASES), chosen.keep)
    if shutil.which("bpftrace") is None:
        print("bpftrace is not here: apt-get install -y bpftrace")
        return 0
    return here(chosen.names or HERE, 1 if chosen.quick else 5)


if __name__ == "__main__":
    sys.exit(main())

"""Tools about block I/O, the scheduler, interrupts and memory."""
from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from bpfwright.errors import NotSupported, TargetError, UsageError
from bpfwright.facets.tools import tool
from tests.facets.tools import works
from tests.facets.tools.works import rows, taken

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]
ME = os.getpid()


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A file whose bytes reach a disk."""
    path = Path(f"/var/tmp/bpfwright-{ME}")
    yield path
    path.unlink(missing_ok=True)


def test_biosnoop_has_who_and_where(on_disk: Path) -> None:
    found = rows("biosnoop", lambda: works.write_through(on_disk, 1 << 17), pid=ME, queue=True)
    writes = [row for row in found if row["t"] == "W" and row["bytes"]]
    assert sum(row["bytes"] for row in writes) >= 1 << 17
    assert {row["pid"] for row in writes} == {ME} and all(0 < row["lat_ms"] < 60_000 for row in writes)
    disk = writes[0]["disk"]
    assert Path(f"/sys/class/block/{disk}").exists()
    assert rows("biosnoop", lambda: works.write_through(on_disk), pid=ME, disk=disk)
    read = "dd", f"if={on_disk}", "of=/dev/null", "bs=16k", "iflag=direct"
    places = [row["p"] for row in rows("biosnoop", lambda: works.execute(*read), comm="dd", pattern=True)
              if row["bytes"] == 16_384]
    assert places == ["R", "S", "S", "S"]
    with pytest.raises(TargetError, match="no disk"):
        tool("biosnoop").start(disk="nothing")


def test_biotop_sums_by_process(on_disk: Path) -> None:
    found = [row for row in taken("biotop", lambda: works.write_through(on_disk, 1 << 17), pid=ME) if row["d"] == "W"]
    assert found[0]["pid"] == ME and found[0]["kbytes"] >= 128 and found[0]["i_o"] >= 1
    assert 0 < found[0]["avgms"] < 60_000


def test_bitesize_in_kilobytes(on_disk: Path) -> None:
    found = taken("bitesize", lambda: works.write_through(on_disk, 1 << 18), pid=ME)
    largest = max(high for one in found for _, high, count in one.buckets if count)
    assert found[0].unit == "Kbytes" and largest >= 127


def test_biopattern_of_sequential_writes(on_disk: Path) -> None:
    found = taken("biopattern", lambda: works.write_through(on_disk, 1 << 18))
    assert all(row["rnd"] + row["seq"] in (0, 99, 100) for row in found)
    assert max(row["kbytes"] for row in found if row["disk"] != "-") >= 128


BUSY = "import time; end = time.time() + 0.3\nwhile time.time() < end: pass"


def busy(count: int) -> None:
    """More threads that want a CPU than there are."""
    children = [subprocess.Popen([sys.executable, "-S", "-c", BUSY]) for _ in range(count)]
    for child in children:
        child.wait()


def test_runqlen_sees_a_queue() -> None:
    cpus = os.cpu_count() or 1
    (one,) = taken("runqlen", lambda: busy(3 * cpus))
    assert one.unit == "runqlen" and sum(count for low, _, count in one.buckets if low >= 1) > 5
    assert {one.keys["cpu"] for one in taken("runqlen", lambda: busy(cpus), cpus=True)} == set(range(cpus))
    (share,) = taken("runqlen", lambda: busy(3 * cpus), runqocc=True)
    assert 5 < share["runqocc"] <= 100


def test_runqslower_shows_waits_above_the_least() -> None:
    cpus = os.cpu_count() or 1
    found = rows("runqslower", lambda: busy(3 * cpus), min_us=1000, previous=True)
    assert found and all(row["lat_us"] >= 1000 for row in found)
    assert any(row["comm"].startswith("python") and row["prev_comm"] for row in found)
    assert not rows("runqslower", lambda: busy(3 * cpus), min_us=60_000_000)


def test_offcputime_has_the_stack_of_a_sleep() -> None:
    # A stack may be lost to another tracer that was preempted on that CPU while it took one: once more, then.
    for _ in range(5):
        found = taken("offcputime", lambda: time.sleep(0.12), pid=ME, kernel_stacks_only=True)
        if any("hrtimer_nanosleep" in row["kernel"] for row in found):
            break
    slept = next(row for row in found if "hrtimer_nanosleep" in row["kernel"])
    assert slept["us"] >= 100_000 and slept["pid"] == ME and not slept["user"]
    assert slept["kernel"].split(";")[0] in ("__schedule", "schedule")
    assert not taken("offcputime", lambda: time.sleep(0.05), pid=ME, min_block_time=60_000_000)


def test_offcputime_of_programs_or_of_the_kernel() -> None:
    def work() -> None:
        for _ in range(10):
            time.sleep(0.02)
            works.execute("unshare", "--mount", "/bin/true")  # its mounts go: the kernel's own threads do that

    mine = Path("/proc/self/comm").read_text().strip()
    of_programs = {row["comm"] for row in taken("offcputime", work, user_threads_only=True)}
    of_kernel = {row["comm"] for row in taken("offcputime", work, kernel_threads_only=True)}
    assert mine in of_programs and not any(name.startswith("rcu_") for name in of_programs)
    assert mine not in of_kernel and any(name.startswith(("rcu_", "kworker", "ksoftirqd")) for name in of_kernel)


def test_runqlat_by_pid_namespace() -> None:
    def work() -> None:
        for _ in range(3):
            works.execute("unshare", "--pid", "--fork", "sleep", "0.02")

    found = {one.keys["pidns"]: sum(count for *_, count in one.buckets)
             for one in taken("runqlat", work, pidnss=True)}
    mine = os.stat("/proc/self/ns/pid").st_ino
    assert mine in found and len(found) >= 2


def test_wakeuptime_names_target_and_waker() -> None:
    comm = Path("/proc/self/comm").read_text().strip()
    found = taken("wakeuptime", lambda: works.execute("/bin/sleep", "0.5"), comm=comm)
    assert any(row["target"] == comm and row["waker"] == "sleep" and row["us"] >= 100_000 for row in found)


def interrupts() -> int:
    """How many interrupts of devices there have been."""
    lines = [line.split() for line in Path("/proc/interrupts").read_text().splitlines()[1:]]
    return sum(int(word) for line in lines if line[0][:-1].isdigit()
               for word in takewhile(str.isdigit, line[1:]))


def test_hardirqs_and_softirqs(on_disk: Path) -> None:
    def work() -> None:
        before, end = interrupts(), time.monotonic() + 10
        while interrupts() == before and time.monotonic() < end:
            works.write_through(on_disk, 1 << 20)
        time.sleep(0.1)

    assert all(row["total_usecs"] >= 0 and row["hardirq"] for row in taken("hardirqs", work))
    counts = {row["softirq"]: row["total_count"] for row in taken("softirqs", work, events=True)}
    assert counts.get("timer", 0) + counts.get("sched", 0) > 0
    timers = taken("softirqs", work, dist=True, nanoseconds=True)
    assert all(one.unit == "nsecs" for one in timers) and sum(n for one in timers for *_, n in one.buckets) > 0
    assert "total_nsecs" in taken("hardirqs", work, nanoseconds=True)[0]


def test_llcstat_needs_counters() -> None:
    try:
        with tool("llcstat").start(sample_period=1000):
            pass
    except NotSupported as problem:
        assert problem.exit_code == 4 and "cache-references" in str(problem)


def test_llcstat_sums_samples_of_two_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its programs at counters that every machine has: each page fault is a reference, each fourth one a miss."""
    from bpfwright.facets.tools import llcstat
    from bpfwright.hooks import perf_event

    def programs(options: Any) -> Any:
        return [(llcstat.referred.on(perf_event.Counting("page-faults", period=options.sample_period)),
                 llcstat.missed.on(perf_event.Counting("page-faults", period=4 * options.sample_period)))]

    def work() -> None:
        with mmap.mmap(-1, 4096 * mmap.PAGESIZE) as memory:
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            for at in range(0, len(memory), mmap.PAGESIZE):
                memory[at] = 1

    monkeypatch.setattr(llcstat.TOOL, "programs", programs)
    found = taken("llcstat", work, sample_period=1, pid=ME)
    references, misses = (sum(row[name] for row in found) for name in ("reference", "miss"))
    assert 4096 <= references < 8192 and 0.1 * references < misses < 0.4 * references
    assert {row["pid"] for row in found} == {ME} and all(0 <= row["hit"] <= 100 for row in found)
    assert {row["name"] for row in found} == {Path("/proc/self/comm").read_text().strip()}
    assert not taken("llcstat", work, sample_period=1, comm="nobody")


LEAKS = """
import ctypes, time, sys
c = ctypes.CDLL(None)
c.malloc.restype = c.calloc.restype = c.realloc.restype = ctypes.c_void_p
c.malloc.argtypes, c.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
c.calloc.argtypes, c.realloc.argtypes = [ctypes.c_size_t] * 2, [ctypes.c_void_p, ctypes.c_size_t]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5): c.malloc(123456)
for _ in range(3): c.calloc(2, 111111)
c.free(c.malloc(777777))
c.realloc(c.malloc(333333), 444444)
print("done", flush=True)
sys.stdin.readline()
"""


def test_memleak_of_a_process() -> None:
    with subprocess.Popen([sys.executable, "-S", "-c", LEAKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                          ) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with tool("memleak").start(pid=child.pid, older=0, min_size=100_000) as running:
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "done\n"
            found = running.take()
        child.communicate("\n")
    assert (5 * 123456, 5) in {(row["bytes"], row["allocations"]) for row in found}
    total = sum(row["bytes"] for row in found), sum(row["allocations"] for row in found)
    assert total == (5 * 123456 + 3 * 222222 + 444444, 9)  # without what was freed, and what realloc moved


def test_memleak_of_the_kernel() -> None:
    def work() -> list[int]:
        return [os.eventfd(0) for _ in range(50)]

    with tool("memleak").start(older=0, comm=Path("/proc/self/comm").read_text().strip()) as running:
        held = work()
        found = running.take()
        for fd in held:
            os.close(fd)
    assert any("eventfd" in row["kernel"] and row["allocations"] >= 50 for row in found)


@contextlib.contextmanager
def limited(size: int) -> Iterator[str]:
    """A cgroup with so much memory; Python that enters it."""
    top = Path("/sys/fs/cgroup/memory")
    group = (top if top.exists() else Path("/sys/fs/cgroup")) / f"bpfwright-{ME}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if top.exists() else "memory.max")).write_text(str(size))
        yield f"open({str(group / 'cgroup.procs')!r}, 'w').write('0')"
    finally:
        works.removed(group)


HUNGRY = "x = []\nwhile True: x.append(bytearray(1 << 20))"


def test_oomkill_in_a_cgroup_of_its_own() -> None:
    with limited(48 << 20) as join:
        found = rows("oomkill", lambda: works.python(f"{join}\n{HUNGRY}"))
    row = next(row for row in found if row["tcomm"].startswith("python"))
    assert row["pages"] > 8 << 20 >> 12 and row["fpid"] > 0 and row["loadavg"].count(".") >= 3


READS = "import os\nfile = os.open({!r}, os.O_RDONLY)\nwhile os.read(file, 1 << 20): pass"


def test_drsnoop_times_a_reclaim_at_a_limit(on_disk: Path) -> None:
    """A file that is larger than the memory of who reads it."""
    works.write_through(on_disk, 48 << 20)
    with open(on_disk) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with limited(16 << 20) as join:
        found = rows("drsnoop", lambda: works.python(f"{join}\n{READS.format(str(on_disk))}"), limits=True,
                     print_uid=True, timestamp=True, comm="python")
        assert not rows("drsnoop", lambda: works.python(join), limits=True, comm="nobody")
    assert found and all(row["lat_ms"] > 0 and row["uid"] == 0 for row in found)
    assert sum(row["pages"] for row in found) > 24 << 20 >> 12  # what did not fit had to go again


CALLS = "import ctypes, time; c = ctypes.CDLL(None)\nfor _ in range(20): c.usleep(2000)"


def test_funclatency_of_a_library_function() -> None:
    (one,) = taken("funclatency", lambda: works.named(CALLS), pattern="c:usleep", microseconds=True, function=True,
                   comm=works.NAME)
    assert one.keys["function"] == "usleep" and one.unit == "usecs"
    assert sum(count for low, _, count in one.buckets if low >= 1024) == 20
    with pytest.raises(UsageError, match="no duration"):
        tool("funclatency").start(pattern="t:sched:sched_switch")


def test_stackcount_leads_to_the_function() -> None:
    found = taken("stackcount", lambda: works.named(CALLS), pattern="c:usleep", perpid=True, comm=works.NAME)
    assert sum(row["count"] for row in found) == 20
    events = taken("stackcount", lambda: works.execute(), pattern="t:sched:sched_process_exec", kernel_only=True)
    assert any("exec" in row["kernel"] and row["count"] >= 1 for row in events)

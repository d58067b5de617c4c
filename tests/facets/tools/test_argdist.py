"""argdist: its probes, and that the programs which are compiled once for all show what others made for a probe show."""
from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bpfwright.errors import UsageError
from bpfwright.facets.tools import _expressions, tool
from tests.cli.commands import ENVIRONMENT, line
from tests.facets.tools import works

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]
CALLS = "import ctypes, time; c = ctypes.CDLL(None)\nfor _ in range(20): c.usleep(2000)"
NUMBERS = (0, 1, 5, 127, 128, 255, 65_535, 1 << 31, (1 << 31) - 1, (1 << 63) - 1, -(1 << 63), -1, -5, -128, -129)
MANY = f"""
import ctypes, os
c = ctypes.CDLL(None)
c.labs.restype = ctypes.c_long
for number in {NUMBERS}:
    c.labs(ctypes.c_long(number))
    c.lseek(-1, ctypes.c_long(number), 1)
    c.splice(*map(ctypes.c_long, (-1, number, -1, number + 2, number - 3, 77)))
for name in (b"ONE", b"TWO", b"ONE", b"x" * 100, b""):
    c.getenv(name)
os.execv("/bin/true", ["true"])
"""


def test_argdist_of_arguments_results_and_fields() -> None:
    def work() -> None:
        works.named(CALLS)

    def taken(name: str, work: Callable[[], object], **options: Any) -> list[Any]:
        return works.taken(name, work, comm=works.NAME, **options)

    counts = {row["event"]: row["count"] for row in taken("argdist", work, frequency="p:c:usleep(int us):int:us")}
    assert counts == {2000: 20}
    results = taken("argdist", work, frequency="r:c:usleep():int:$retval:$retval == 0")
    assert [(row["event"], row["count"]) for row in results] == [(0, 20)]
    (one,) = taken("argdist", work, histogram="p:c:usleep(u32 us):u32:us / 2:us > 1")
    assert [(low, high, count) for low, high, count in one.buckets if count] == [(512, 1023, 20)]
    renamed = f"{CALLS}\nimport os; os.execv('/bin/true', ['true'])"
    both = works.taken("argdist", lambda: works.named(renamed), frequency=[
        "p:c:usleep(int us):int:us", "r:c:usleep():int:$retval", "t:sched:sched_process_exec():char*:args->filename"])
    assert "/bin/true" in {row["event"] for row in both if row["probe"][0] == "t"}
    counted = {(row["probe"][0], row["event"]): row["count"] for row in both}  # of all programs: others sleep, too
    assert counted["p", 2000] >= 20 and counted["r", 0] >= 20
    two = taken("argdist", work, histogram=["p:c:usleep(u32 us):u32:us", "p:c:usleep(u32 us):u32:us / 2"])
    assert sorted(sum(count for *_, count in one.buckets) for one in two) == [20, 20]
    assert len({one.keys["probe"] for one in two}) == 2
    texts = works.taken("argdist", works.execute, frequency="t:sched:sched_process_exec():char*:args->filename")
    assert {"/bin/true"} <= {row["event"] for row in texts}


@pytest.mark.parametrize("probe", ["", "nonsense", "p:c:usleep(int us):int", "p:c:usleep(thing us):thing:us",
                                   "p:c:usleep(int us):int:exec('x')", "p:c:usleep(int us):int:us +"])
def test_argdist_refuses_what_it_cannot_read(probe: str) -> None:
    with pytest.raises(UsageError):
        tool("argdist").start(frequency=probe)


def test_argdist_takes_probes_of_one_sort() -> None:
    with pytest.raises(UsageError, match="one sort"):
        tool("argdist").start(frequency="p:c:usleep(int us):int:us", histogram="p:c:usleep(int us):int:us")
    with pytest.raises(UsageError, match="of numbers"):
        tool("argdist").start(histogram="p:c:open(char *path):char*:path")


def both(probes: Sequence[str], *, how: str = "frequency", **options: Any) -> dict[str, list[list[Any]]]:
    """What the ready programs, and those made of a probe, show of the same work; the former must have served it."""
    with ExitStack() as stack:
        found = {}
        for probe in probes:
            ready = stack.enter_context(tool("argdist").start(**{how: probe}, **options))
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(_expressions, "look_of", lambda *_: None)
                made = stack.enter_context(tool("argdist").start(**{how: probe}, **options))
            assert ready.options.look is not None and made.options.look is None
            found[probe] = [ready, made]
        works.named(MANY)
        return {probe: [sorted(running.take(), key=str) for running in pair] for probe, pair in found.items()}


BY_TYPE = (*(f"p:c:labs({kind} n):u64:n" for kind in ("u8", "short", "u32", "int", "u64", "long")),
           *(f"r:c:labs():{kind}:$retval" for kind in ("i8", "u16", "int", "u64")))
COMPARED = (
    *(f"p:c:labs(int n):u64:n:n {sign} -5" for sign in ("==", "!=", "<", "<=", ">", ">=")),
    "p:c:labs(u64 n):u64:n:n < 5", "p:c:labs(u64 n):u64:n:n >= 5",
    "p:c:labs(u64 n):u64:n:0x7fffffffffffffff < n", "p:c:labs(long n):u64:n:-9223372036854775808 >= n",
    "p:c:labs(u8 n):u64:n:255 == n", "r:c:labs():long:$retval:$retval >= 128",
    *(f"p:c:splice(int a, long b, int c, u32 d, u64 e, u8 f):u64:{name}:{other}" for name, other in
      (("a", "b > 4"), ("b", "a == -1"), ("c", "d < 200"), ("d", "e != 2"), ("e", "f == 77"), ("f", "c < 0"))))
FIELDS = (
    "t:syscalls:sys_enter_lseek():u64:args->offset", "t:syscalls:sys_enter_lseek():long:args->offset",
    "t:syscalls:sys_enter_lseek():int:args->offset:args->whence == 1",
    "t:syscalls:sys_enter_lseek():u8:args->offset:args->offset > 127",
    "t:syscalls:sys_exit_lseek():long:args->ret:args->ret <= -1",
    "p:c:getenv(char *name):char*:name", "p:c:getenv(void *name):char*:name:name != 0")


@pytest.mark.parametrize(("probes", "how"), [
    (BY_TYPE, "frequency"), (BY_TYPE[::2], "histogram"), (COMPARED, "frequency"), (FIELDS, "frequency")])
def test_ready_programs_show_what_made_ones_do(probes: Sequence[str], how: str) -> None:
    for probe, (ready, made) in both(probes, how=how, comm=works.NAME).items():
        assert ready == made and ready, probe


def test_ready_programs_show_texts_of_events_and_nothing_where_there_is_nothing() -> None:
    name = "t:sched:sched_process_exec():char*:args->filename"
    found = both([name, "t:sched:sched_process_exec():u64:args->old_pid"], comm="true")
    assert all(ready == made and ready for ready, made in found.values())
    assert [row["event"] for row in found[name][0]] == ["/bin/true"]
    none = both(["r:c:getenv():char*:$retval:$retval != 0", "r:c:labs():int:$retval:$retval == 4"], comm=works.NAME)
    assert list(none.values()) == [[[], []]] * 2


@pytest.mark.parametrize("probe", [
    "p:c:labs(long n):long:n + 1", "p:c:labs(long n):long:n:n > 1 and n < 5", "p:c:labs(long n):long:n:n > n",
    "p:c:labs(long n):long:-n", "r:c:labs():long:$retval / 2", "p:c:labs(int n):char*:n",
    "p:c:labs(u64 n):u64:n:n >= 18446744073709551615 + 1",
    "t:sched:sched_switch():char*:args->next_comm", "t:sched:sched_switch():u32:args->next_pid + args->prev_pid",
    "t:sched:sched_switch():u32:args->next_comm",
])
def test_what_is_not_simple_is_left_to_the_compiler(probe: str) -> None:
    assert _expressions._look(_expressions.parse(probe), False) is None


def test_names_of_arguments_are_nobodys_but_the_probes() -> None:
    """What would hide a name that a made program needs is as good as any."""
    found = works.taken("argdist", lambda: works.named(MANY), frequency="p:c:labs(long wanted):long:wanted",
                        comm=works.NAME)
    assert {row["event"] for row in found} == set(NUMBERS)


def test_what_is_made_of_words_is_compiled_once(tmp_path: Path) -> None:
    """In another process the same words find it; other words do not."""
    kept: list[set[str]] = []
    for probe in ("p:c:usleep(int us):int:us - 1", "p:c:usleep(int us):int:us - 1", "p:c:usleep(int us):int:us + 1"):
        done = subprocess.run([*line("tool", "argdist", "--for", "0.1", "-C", probe)], capture_output=True, text=True,
                              env={**ENVIRONMENT, "XDG_CACHE_HOME": str(tmp_path)}, timeout=60)
        assert done.returncode == 0, done.stderr
        kept.append({path.name for path in (tmp_path / "bpfwright").iterdir()})
    assert kept[0] == kept[1] < kept[2]

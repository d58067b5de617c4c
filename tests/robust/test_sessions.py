"""Sessions under bad treatment: nothing stays attached, open or pinned; and every misuse has one clear error."""
from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright import Struct, attach, load, shared, u32, u64
from bpfwright.errors import BpfwrightError, SessionError, TargetError, UsageError, WrongType
from bpfwright.hooks import raw_tracepoint, uprobe, xdp
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink
from bpfwright.maps import Hash, RingBuf
from tests.cli.commands import ENVIRONMENT
from tests.lang.threeway import define

pytestmark = pytest.mark.kernel
GETPPID = 110


class Seen(Struct):
    count: u64


class Row(Struct):
    number: u64
    more: u64


seen = shared(Seen(0))
table = Hash[u32, u64](max_entries=4)
rows = RingBuf[Row](size_bytes=4096)


@raw_tracepoint.program("sys_enter", btf=False)
def counting(ctx: raw_tracepoint.Context, registers: u64, number: u64) -> None:
    if number == GETPPID:
        seen.count += 1
        table[u32(number)] = seen.count


@raw_tracepoint.program("sys_enter", btf=False)
def sending(ctx: raw_tracepoint.Context, number: u64, more: u64) -> None:
    rows.emit(Row(number, more))


@xdp.program
def passing(ctx: xdp.Context) -> xdp.Action:
    seen.count += 1
    return xdp.PASS


@uprobe.program("libc.so.6:getppid")
def asked(ctx: uprobe.Context) -> None:
    seen.count += 1


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def attached(name: str) -> list[int]:
    """Ids of the programs of this name that the kernel holds."""
    from bpfwright.kernel.listing import programs
    return [one.id for one in programs() if one.name == name[:15]]


def until(reached: Any, seconds: float = 30.0) -> bool:
    end = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_two_hundred_rounds_leave_no_descriptor() -> None:
    attach(counting).close()
    before = descriptors()
    for _ in range(200):
        with attach(counting):
            os.getppid()
    assert descriptors() == before
    assert until(lambda: not attached("counting"))


def test_closed_twice_and_used_after(no_leaks: None) -> None:
    session = attach(counting)
    os.getppid()
    kept = session[table]
    session.close()
    session.close()
    uses: list[Callable[[], object]] = [lambda: table[1], lambda: seen.count, lambda: session[table][1],
                                        lambda: kept[1]]
    for use in uses:
        with pytest.raises((SessionError, UsageError)):
            use()


def test_exceptions_detach(no_leaks: None) -> None:
    with pytest.raises(ZeroDivisionError):
        with attach(counting):
            1 / 0  # noqa: B018
    assert until(lambda: not attached("counting"))


def test_forgotten_sessions_let_go() -> None:
    before = descriptors()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        attach(counting)
        gc.collect()
        assert until(lambda: gc.collect() is not None and not attached("counting")), "still attached"
    assert descriptors() == before


def test_fork_after_use(no_leaks: None) -> None:
    """The child's copies are the child's: closing and ending there leaves the parent's session as it was."""
    with attach(counting):
        os.getppid()
        before = seen.count
        child = os.fork()
        if not child:
            code = 1
            try:
                os.getppid()
                code = 0 if seen.count > before else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        after = seen.count
        os.getppid()
        assert after > before and seen.count > after


def test_a_forked_child_compiles_for_itself(no_leaks: None) -> None:
    with load(counting) as session:
        session.test((1, GETPPID))
        child = os.fork()
        if not child:
            code = 1
            try:
                add = define(f"def f(a: u64) -> u64:\n    return a + {os.getpid()}\n")
                from bpfwright.lang.native import native
                code = 0 if native(add)(1) == os.getpid() + 1 else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_threads_compile_at_once() -> None:
    from bpfwright.lang.native import native
    found: dict[int, int] = {}

    def work(at: int) -> None:
        for turn in range(3):
            function = define(f"def f(a: u64) -> u64:\n    return a * {at + 2} + {turn}\n")
            found[at * 10 + turn] = native(function)(100)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {at * 10 + turn: 100 * (at + 2) + turn for at in range(4) for turn in range(3)}


def test_a_worker_killed_in_the_middle(tmp_path: Path) -> None:
    """SIGKILL on the compile worker while it compiles: one clear error or a result, and the next compile works."""
    script = tmp_path / "killed.py"
    script.write_text("""
import os, signal, threading, time
from bpfwright import u64, _llvm
from bpfwright.errors import CompilerCrash
from bpfwright.lang.native import native
def big(a: u64) -> u64:
    n = a
    for i in range(9):
        n = (n * 31 + i) ^ (n >> 3)
    return n
def children():
    return [int(p) for p in open(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read().split()]
expected = native(big)(5)
crashes = 0
for turn in range(6):
    def kill():
        time.sleep(0.004 * turn)
        for child in children():
            os.kill(child, signal.SIGKILL)
    killer = threading.Thread(target=kill)
    killer.start()
    try:
        assert native(big)(5) == expected
    except CompilerCrash as crash:
        crashes += 1
        assert str(crash)
    killer.join()
    assert native(big)(5) == expected
print("crashes", crashes)
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr


def test_a_full_ring_counts_what_it_lost(no_leaks: None) -> None:
    """Records of 16 bytes take 24 of the ring's 4096; what finds no room is counted to the last one."""
    with load(sending) as session:
        events = session.events(rows)
        for number in range(1000):
            session.test((number, 7))
        got = len(events.columns()["number"])
        assert got == 4096 // 24
        assert events.lost == 1000 - got
        for number in range(10):
            session.test((number, 7))
        assert list(events.columns()["number"]) == list(range(10))
        assert events.lost == 1000 - got


def test_keys_and_values_of_other_types(no_leaks: None) -> None:
    with load(counting):
        for wrong in ("x", None, 1.5, b"abc", (1, 2), -1, 1 << 32, Seen(1)):
            with pytest.raises(BpfwrightError) as caught:
                table[wrong] = 1  # type: ignore[index]
            assert isinstance(caught.value, UsageError), wrong
            with pytest.raises(BpfwrightError):
                table[1] = wrong if wrong != 1 << 32 else -5  # type: ignore[assignment]
        with pytest.raises((WrongType, TypeError, ValueError)):
            table[[]] = 1  # type: ignore[index]
        assert len(table) == 0


@pytest.fixture
def wire() -> Iterator[NetworkNamespace]:
    with NetworkNamespace.create() as space, space.entered(), Netlink() as link:
        link.create_veth("left", "right")
        yield space


def test_an_interface_that_vanishes(wire: NetworkNamespace, no_leaks: None) -> None:
    with Netlink() as link:
        session = attach(passing, xdp.Interface("left"))
        link.delete_interface("left")
        session.close()
        with pytest.raises(TargetError) as caught:
            attach(passing, xdp.Interface("left"))
        assert "left" in str(caught.value)
    assert until(lambda: not attached("passing"))


def test_a_process_that_dies_while_attached(no_leaks: None) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import os, time\nwhile True: os.getppid(); time.sleep(0.01)"])
    try:
        with attach(asked.on(uprobe.Symbol("libc.so.6", "getppid", pid=child.pid))):
            assert until(lambda: seen.count > 0)
            child.kill()
            child.wait()
            last = seen.count
            time.sleep(0.1)
            assert seen.count == last
        with pytest.raises(TargetError):
            attach(asked.on(uprobe.Symbol("libc.so.6", "getppid", pid=child.pid)))
    finally:
        child.kill()
        child.wait()


KILLED = """
import os, sys, time
from tests.robust.test_sessions import counting, passing, asked
from bpfwright import attach
from bpfwright.hooks import xdp
print("ready", flush=True)
while True:
    with attach(counting, asked, passing.on(xdp.Interface("lo", mode="generic"))):
        pass
"""


@pytest.mark.parametrize("after_ms", [0, 20, 60, 150, 151, 152])
def test_kill_in_the_middle_leaves_nothing(after_ms: int) -> None:
    before = {name: set(attached(name)) for name in ("counting", "passing", "asked")}
    with NetworkNamespace.create() as space:
        with space.entered():
            child = subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True,
                                     env=ENVIRONMENT | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)})
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        time.sleep(after_ms / 1000)
        child.kill()
        child.wait()
        child.stdout.close()
        assert until(lambda: all(set(attached(name)) <= known for name, known in before.items()))
        with space.entered():  # the interface is free for others
            with attach(passing, xdp.Interface("lo", mode="generic")):
                pass


# where a program may be defined

def test_in_a_nested_function_with_closures() -> None:
    limit, totals = 5, shared(Seen(0))

    def make(step: int) -> Any:
        @raw_tracepoint.program("sys_enter", btf=False)
        def inner(ctx: raw_tracepoint.Context, a: u64) -> None:
            if a > limit:
                totals.count += step
        return inner

    for step in (3, 4):
        with load(make(step)) as session:
            session.test((9,))
            session.test((1,))
            assert session[totals].count == step


def test_in_a_class_body() -> None:
    class Holder:
        totals = shared(Seen(0))
        held = totals

        @staticmethod
        def double(a: int) -> int:
            return a * 2

    totals, double = Holder.totals, Holder.double

    class Programs:
        @raw_tracepoint.program("sys_enter", btf=False)
        def inner(ctx: raw_tracepoint.Context, a: u64) -> None:
            totals.count += double(a)

    with load(Programs.inner) as session:
        session.test((4,))
        assert session[totals].count == 8


SOURCE = """
from bpfwright import Struct, shared, u64
from bpfwright.hooks import raw_tracepoint
class Seen(Struct):
    count: u64
totals = shared(Seen(0))
@raw_tracepoint.program("sys_enter", btf=False)
def inner(ctx: raw_tracepoint.Context, a: u64) -> None:
    totals.count += a
"""
USE = """
from bpfwright import load
with load(inner) as session:
    session.test((4,))
    print(session[totals].count)
"""


def python(*words: str, given: str = "", **environment: str) -> str:
    done = subprocess.run([sys.executable, *words], input=given, capture_output=True, text=True, timeout=60,
                          env=ENVIRONMENT | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_in_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as bundle:
        bundle.writestr("zipped.py", SOURCE)
    path = f"{tmp_path / 'bundle.zip'}{os.pathsep}{ENVIRONMENT['PYTHONPATH']}"
    assert python("-c", "from zipped import *" + USE, PYTHONPATH=path).strip() == "4"


def test_in_a_script_given_by_name(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SOURCE + USE)
    assert python(str(tmp_path / "script.py")).strip() == "4"


def caught(text: str) -> str:
    """The text, saying what it raises of our own."""
    inside = "\n".join("    " + line for line in text.strip().splitlines())
    return f"from bpfwright.errors import BpfwrightError\ntry:\n{inside}\nexcept BpfwrightError as e:\n    print(e)\n"


@pytest.mark.parametrize("how", ["exec", "-c", "stdin"])
def test_where_there_is_no_source(how: str) -> None:
    """Text that is nowhere to be read again: it works, or one error says what to do."""
    wrapped = f"exec(compile({SOURCE + USE!r}, '<text>', 'exec'), {{'__name__': 'm'}})"
    program = caught(wrapped)
    if how == "exec":
        said = python("-c", program)
    elif how == "-c":
        said = python("-c", SOURCE + caught(USE))
    else:
        said = python("-", given=program)
    assert said.strip() == "4" or ("source" in said and len(said.strip().splitlines()) >= 2), said


def test_in_a_notebook_cell() -> None:
    """As IPython does it: the text of a cell stands in linecache under a name of its own."""
    script = f"""
import linecache
text = {SOURCE!r}
name = "<ipython-input-1-abc>"
linecache.cache[name] = (len(text), None, text.splitlines(True), name)
space = {{"__name__": "__main__"}}
exec(compile(text, name, "exec"), space)
exec({USE!r}, space)
"""
    assert python("-c", script).strip() == "4"


def test_at_the_prompt() -> None:
    """The interactive interpreter keeps no source before 3.13: then the error says so."""
    lines = SOURCE.replace("count: u64\n", "count: u64\n\n").replace("count += a\n", "count += a\n\n")
    lines += caught(USE) + "\n"
    done = subprocess.run([sys.executable, "-i", "-q"], input=lines, capture_output=True, text=True, timeout=60,
                          env=ENVIRONMENT)
    assert "4" in done.stdout.split() or "source" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr

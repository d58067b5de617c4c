"""Tools about processes: their ends, threads, signals, users and capabilities."""
from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.facets.tools.works import NAME, execute, named, python, rows, taken, until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]
ME = os.getpid()
NOBODY = 1 << 30  # more than any process is numbered


def test_exitsnoop_says_how_it_ended() -> None:
    def work() -> None:
        execute("/bin/true")
        execute("/bin/false")
        python("import os; os.kill(os.getpid(), 9)")

    begin = time.monotonic()
    found = [row for row in rows("exitsnoop", work, timestamp=True) if row["ppid"] == ME]
    most = time.monotonic() - begin
    assert [row["exit_code"] for row in found] == ["0", "code 1", "signal 9 (KILL)"]
    assert found[0]["pcomm"] == "true" and all(0 <= row["age_s"] < most for row in found)
    failed = [row for row in rows("exitsnoop", work, failed=True) if row["ppid"] == ME]
    assert [row["exit_code"] for row in failed] == ["code 1", "signal 9 (KILL)"]


def test_exitsnoop_by_thread() -> None:
    def work() -> None:
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        until(lambda: not os.path.exists(f"/proc/self/task/{thread.native_id}"))  # join() is before that

    assert not rows("exitsnoop", work, pid=ME)
    threads = rows("exitsnoop", work, pid=ME, per_thread=True)
    assert [row["tid"] != ME for row in threads] == [True]


def test_threadsnoop_names_the_function() -> None:
    library = ctypes.CDLL(None)

    def work() -> None:
        thread = ctypes.c_ulong()
        assert library.pthread_create(ctypes.byref(thread), None, library.getpid, None) == 0
        library.pthread_join(thread, None)

    found = rows("threadsnoop", work, pid=ME)  # naming functions may start threads of its own, of a library for numbers
    assert {row["pid"] for row in found} == {ME} and any("getpid" in row["func"] for row in found)


def test_killsnoop() -> None:
    def work() -> None:
        os.kill(ME, 0)
        with pytest.raises(ProcessLookupError):
            os.kill(NOBODY, signal.SIGUSR1)

    found = [(row["sig"], row["tpid"], row["result"]) for row in rows("killsnoop", work, pid=ME)]
    assert found == [(0, ME, 0), (10, NOBODY, -3)]
    assert [row["sig"] for row in rows("killsnoop", work, pid=ME, failed=True)] == [10]
    assert [row["sig"] for row in rows("killsnoop", work, pid=ME, signal=10)] == [10]


def test_setuids() -> None:
    found = rows("setuids", lambda: named("import os; os.setresuid(0, 4242, -1); os.seteuid(0)"))
    assert next(row["args"] for row in found if row["comm"] == NAME) == "0, 4242, -1"
    assert all(row["ret"] == 0 for row in found if row["args"] == "0, 4242, -1")


def test_capable_names_what_is_asked_for(tmp_path: Path) -> None:
    def work() -> None:
        Path(tmp_path / "file").write_text("")
        os.chown(tmp_path / "file", 4242, 4242)

    found = rows("capable", work, pid=ME, verbose=True)
    assert ("CAP_CHOWN", 0, 0) in {(row["name"], row["cap"], row["result"]) for row in found}
    stacks = [row for row in rows("capable", work, pid=ME, kernel_stack=True, user_stack=True)
              if row["name"] == "CAP_CHOWN"]
    assert "chown_common" in stacks[0]["kernel"].split(";") and "chown" in stacks[0]["user"].split(";")[0]

    def twice() -> None:
        work()
        work()

    assert [row["name"] for row in rows("capable", twice, pid=ME, unique=True)].count("CAP_CHOWN") <= 1
    refused = rows("capable", lambda: execute("setpriv", "--bounding-set=-all", "--inh-caps=-all", "chown", "1",
                                              str(tmp_path / "file")), failed=True)
    assert {row["result"] for row in refused} <= {-1}


def test_pidpersec_counts_processes_not_threads() -> None:
    def work() -> None:
        for _ in range(5):
            execute()
        threading.Thread(target=lambda: None).start()

    (row,) = taken("pidpersec", work, pid=ME)
    assert row["pids"] == 5 and row["pids_sec"] > 0

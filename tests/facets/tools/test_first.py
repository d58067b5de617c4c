"""Tools see what was done while they ran: opensnoop, execsnoop, biolatency, runqlat, tcplife and others."""
from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from bpfwright.errors import UsageError
from bpfwright.facets.tools import tool
from tests.facets.tools import works
from tests.facets.tools.works import connect, execute, listening, python, rows, taken

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]
ME = os.getpid()


def test_opensnoop_has_path_descriptor_and_error(tmp_path: Path) -> None:
    def work() -> None:
        Path(tmp_path / "there").write_text("")
        with pytest.raises(FileNotFoundError):
            open(tmp_path / "missing")  # noqa: SIM115

    found = {row["path"]: row for row in rows("opensnoop", work, pid=ME)}
    there, missing = found[f"{tmp_path}/there"], found[f"{tmp_path}/missing"]
    assert (there["pid"], there["err"]) == (ME, 0) and there["fd"] >= 0
    assert (missing["fd"], missing["err"]) == (-1, 2)


def test_opensnoop_shows_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the current folder, from a descriptor's, across a mount; and what cannot be opened."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_text("")
    monkeypatch.chdir(tmp_path / "deep")

    def work() -> None:
        open("er/file").close()
        shared = os.open("/dev/shm", os.O_RDONLY)
        with pytest.raises(OSError):
            os.open("is-not-there", os.O_RDONLY, dir_fd=shared)
        os.close(shared)

    with tool("opensnoop").start(pid=ME, full_path=True, buffer_pages=16) as running:
        work()
        paths = [str(row["path"]) for row in running.rows()]
    assert [path for path in paths if path.endswith(("file", "there"))] == [
        f"{tmp_path}/deep/er/file", "/dev/shm/is-not-there"]
    with pytest.raises(UsageError, match="ring of 15 pages"):
        tool("opensnoop").start(buffer_pages=15)


@pytest.mark.parametrize(("options", "seen"), [
    ({"failed": True}, {"missing"}), ({"comm": "nobody here"}, set()), ({"uid": 4242}, set()), ({"tid": 1}, set()),
    ({"name": "nobody"}, set()), ({"uid": os.getuid()}, {"there", "missing"}),
    ({"extended_fields": True, "timestamp": True, "print_uid": True}, {"there", "missing"}),
])
def test_opensnoop_filters_in_the_kernel(tmp_path: Path, options: dict[str, Any], seen: set[str]) -> None:
    def work() -> None:
        Path(tmp_path / "there").write_text("")
        with pytest.raises(FileNotFoundError):
            open(tmp_path / "missing")  # noqa: SIM115

    found = rows("opensnoop", work, pid=ME, **options)
    assert {Path(row["path"]).name for row in found if row["path"].startswith(str(tmp_path))} == seen
    if "extended_fields" in options:
        made = next(row for row in found if row["path"].endswith("there"))
        assert int(made["flags"], 8) & os.O_CREAT and made["uid"] == os.getuid() and made["time_s"] >= 0


def test_execsnoop_has_arguments_and_parent() -> None:
    found = rows("execsnoop", lambda: execute("/bin/echo", "one", "two words"))
    row = next(row for row in found if row["args"].endswith("one two words"))
    assert (row["pcomm"], row["ppid"], row["ret"]) == ("echo", ME, 0)


def test_execsnoop_shows_failures_when_asked() -> None:
    def work() -> None:
        with pytest.raises(FileNotFoundError):
            execute("/nowhere/at-all")

    assert not [row for row in rows("execsnoop", work) if "at-all" in row["args"]]
    failed = [row for row in rows("execsnoop", work, fails=True, time=True) if row["args"] == "/nowhere/at-all"]
    assert failed and failed[0]["ret"] == -2


def test_biolatency_counts_each_request(tmp_path: Path) -> None:
    found = taken("biolatency", lambda: works.write_through(Path("/var/tmp/bpfwright-tools")), disks=True, flags=True)
    os.unlink("/var/tmp/bpfwright-tools")
    writes = [one for one in found if "Write" in str(one.keys["flags"])]
    assert writes and all(one.keys["disk"] != "-" and one.unit == "usecs" for one in writes)
    assert sum(count for one in writes for _, _, count in one.buckets) >= 1


def sleeps(times: int, seconds: float) -> None:
    for _ in range(times):
        time.sleep(seconds)


def test_runqlat_by_process() -> None:
    found = taken("runqlat", lambda: sleeps(60, 0.001), pid=ME, pids=True)
    assert {one.keys["pid"] for one in found} == {ME}
    assert sum(count for one in found for _, _, count in one.buckets) >= 50


def test_cpudist_off_the_cpu_is_the_time_slept() -> None:
    found = taken("cpudist", lambda: sleeps(12, 0.02), pid=ME, tids=True, offcpu=True,
                  milliseconds=True)
    slept = next(one for one in found if one.keys["tid"] == ME)
    assert slept.unit == "msecs" and sum(count for low, _, count in slept.buckets if low >= 16) >= 10


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_tcplife_has_both_ends_and_their_bytes(family: int) -> None:
    ports: list[int] = []
    with listening(family) as address:
        found = rows("tcplife", lambda: ports.append(connect(address, b"x" * 4096)), wide=True)
    ours = next(row for row in found if row["lport"] == ports[0])
    theirs = next(row for row in found if row["rport"] == ports[0])
    assert (ours["pid"], ours["raddr"], ours["rport"]) == (ME, *address)
    assert (ours["tx_kb"], theirs["rx_kb"]) == (4, 4)
    assert ours["ms"] > 0


def test_tcplife_knows_who_when_a_connection_is_reset() -> None:
    """No state but the first and the last is entered by a process."""
    import struct

    def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            link = socket.create_connection(server.getsockname())
            other, _ = server.accept()
            with link, other:
                other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    found = rows("tcplife", work, pid=ME)
    assert [row["pid"] for row in found] == [ME, ME]


def test_tcplife_by_port_and_process() -> None:
    with listening() as address:
        assert not rows("tcplife", lambda: connect(address), pid=1)
        assert not rows("tcplife", lambda: connect(address), remoteport="1,2")
        assert {row["rport"] for row in rows("tcplife", lambda: connect(address), remoteport=f"1,{address[1]}")} \
            == {address[1]}


def test_tcpconnect_names_who_connects() -> None:
    ports: list[int] = []
    with listening() as address:
        found = rows("tcpconnect", lambda: ports.append(connect(address)), pid=ME, lport=True, timestamp=True)
        assert [(row["pid"], row["ip"], row["daddr"], row["dport"], row["lport"]) for row in found] \
            == [(ME, 4, *address, ports[0])]
        assert not rows("tcpconnect", lambda: connect(address), port="1")
        assert not rows("tcpconnect", lambda: connect(address), ipv6=True)
        assert rows("tcpconnect", lambda: connect(address), print_uid=True)[0]["uid"] == os.getuid()


def test_filetop_counts_bytes_by_file(tmp_path: Path) -> None:
    def work() -> None:
        path = tmp_path / "counted"
        path.write_bytes(b"x" * 8192)
        assert len(path.read_bytes()) == 8192

    row = next(row for row in taken("filetop", work, pid=ME) if row["file"] == "counted")
    assert (row["tid"], row["t"], row["r_kb"], row["w_kb"], row["writes"]) == (ME, "R", 8, 8, 1)


def test_syscount_counts_and_times_calls() -> None:
    def work() -> None:
        for _ in range(100):
            os.getppid()
        time.sleep(0.06)

    found = {row["syscall"]: row for row in taken("syscount", work, pid=ME, latency=True)}
    assert found["getppid"]["count"] == 100
    assert found["clock_nanosleep"]["time_us"] >= 50_000
    by_process = taken("syscount", work, comm=Path("/proc/self/comm").read_text().strip(), process=True)
    assert [(row["pid"], row["count"] >= 100) for row in by_process if row["pid"] == ME] == [(ME, True)]


def test_syscount_by_error() -> None:
    def work() -> None:
        for _ in range(7):
            Path("/nowhere").exists()
            os.getppid()

    for options in ({"errno": "ENOENT"}, {"failures": True}):
        found = {row["syscall"]: row["count"] for row in taken("syscount", work, pid=ME, **options)}
        assert found["newfstatat"] == 7 and "getppid" not in found


def test_funccount_of_a_library_and_of_events() -> None:
    code = "import ctypes; c = ctypes.CDLL(None)\nfor _ in range(30): c.getppid()"
    found = {row["func"]: row["count"] for row in taken("funccount", lambda: works.named(code), pattern="c:getpp*",
                                                         comm=works.NAME)}
    assert found == {"getppid": 30}
    events = {row["func"]: row["count"] for row in taken("funccount", lambda: execute(), pattern="t:sched:*exec")}
    assert events["sched:sched_process_exec"] >= 1


def test_container_and_cgroup_filter() -> None:
    """A cgroup named as a container's is found by the start of its id; what runs in it, or below, is seen."""
    from bpfwright.kernel.mounts import cgroup2
    start = f"c0ffee{ME:08d}"
    top = Path(cgroup2()) / f"docker-{start.ljust(64, 'b')}.scope"
    below = top / "below"
    below.mkdir(parents=True)
    try:
        join = f"open({str(below / 'cgroup.procs')!r}, 'w').write('0'); open('/dev/null')"
        seen = rows("opensnoop", lambda: (python(join), python("open('/dev/zero')")), container=start)
        paths = {row["path"] for row in seen}
        assert "/dev/null" in paths and "/dev/zero" not in paths
        assert "/dev/null" in {row["path"] for row in rows("opensnoop", lambda: python(join), cgroup=str(top))}
    finally:
        works.removed(below)
        works.removed(top)


def test_in_a_pid_namespace_numbers_are_the_users_own() -> None:
    """What a container's user sees: his own numbers, of his own processes and of those in namespaces inside of it."""
    code = ("import os, time; from bpfwright.facets.tools import tool; r = tool('execsnoop').start()\n"
            "os.system('/bin/echo inside >/dev/null; unshare -pf /bin/echo deeper >/dev/null')\n"
            "time.sleep(0.1)\n"
            "print([(x['args'], x['pid'], x['ppid']) for x in r.rows()]); r.close()")
    import sys
    done = execute("unshare", "-pf", "--mount-proc", sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    seen = {args: (pid, ppid) for args, pid, ppid in eval(done.stdout)}
    assert 1 < seen["/bin/echo inside"][0] < 20 and 1 <= seen["/bin/echo inside"][1] < 20
    assert 1 < seen["/bin/echo deeper"][0] < 20


def test_threads_of_others_have_the_users_numbers_too() -> None:
    """A thread that is not the current one, seen by the scheduler's events: its number in the user's namespace."""
    code = ("import os, time; from bpfwright.facets.tools import tool\n"
            "with tool('runqlat').start(pid=os.getpid(), pids=True) as r:\n"
            "    for _ in range(60): time.sleep(0.002)\n"
            "    print(os.getpid(), [(one.keys['pid'], sum(n for *_, n in one.buckets) >= 20) for one in r.take()])")
    import sys
    done = execute("unshare", "-pf", "--mount-proc", sys.executable, "-c", code)
    assert done.stdout.strip() == "1 [(1, True)]", done.stdout + done.stderr


def test_iteration_ends_with_stop_and_nothing_stays_attached() -> None:
    with tool("opensnoop").start(pid=ME) as running:
        fd = next(iter(running.session.loaded.programs.values())).fd
        number = Path(f"/proc/self/fdinfo/{fd}").read_text().partition("prog_id:")[2].split()[0]
        assert execute("bpftool", "prog", "show", "id", number).returncode == 0
        open("/dev/null").close()
        signal.signal(signal.SIGALRM, lambda *_: running.stop())
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert "/dev/null" in {row["path"] for row in running}
        assert running.lost == 0
    # The kernel lets go a little later.
    works.until(lambda: execute("bpftool", "prog", "show", "id", number).returncode)

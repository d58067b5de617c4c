"""trace(): scripts from Python, what their maps gathered as values, columns and pictures, and how they end."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from bpfwright import trace
from bpfwright.errors import CompileError, TargetError, UsageError

pytestmark = pytest.mark.kernel
MINE = "tracepoint:syscalls:sys_enter_getppid /pid == $1/"


def asking(times: int) -> Callable[[], None]:
    def ask() -> None:
        for _ in range(times):
            os.getppid()
    return ask


def test_counts_by_key_are_columns() -> None:
    found = trace(f"{MINE} {{ @[comm, cpu >= 0] = count(); }}", os.getpid(), during=asking(100))
    ((key, value),) = found["@"].items()
    assert key[1] is True and value == 100
    assert found["@"].columns() == {"key0": [key[0]], "key1": [True], "value": [100]}
    assert found.lost == {} and found.errors == "" and found.exit_code == 0


def test_every_kind_of_value() -> None:
    found = trace(f"""{MINE} {{
        @count = count(); @sum = sum(2); @avg = avg(3); @stats = stats(4); @hist = hist(5); @lhist = lhist(6, 0, 10, 5);
        @text = "abc"; @pair = (1, "x"); @stack[kstack(3)] = count(); @number = (int64)-7; @flag = 1 == 1;
    }}""", os.getpid(), during=asking(10))
    assert (found["@count"].value, found["@sum"].value, found["@avg"].value) == (10, 20, 3)
    assert found["@stats"].columns() == {"count": [10], "average": [4], "total": [40]}
    assert found["@hist"].columns() == {"low": [4], "high": [8], "count": [10]}
    assert found["@lhist"].value == [(5, 10, 10)]
    assert (found["@text"].value, found["@pair"].value, found["@number"].value) == ("abc", (1, "x"), -7)
    assert found["@flag"].value is True
    ((frames, times),) = found["@stack"].items()
    assert len(frames) == 3 and all(isinstance(frame, str) for frame in frames) and times == 10


def test_a_data_frame_and_a_table() -> None:
    found = trace(f"{MINE} {{ @[pid] = count(); }}", os.getpid(), during=asking(5))["@"]
    assert found.to_pandas().to_dict("list") == {"key": [os.getpid()], "value": [5]}
    assert found.to_arrow().column_names == ["key", "value"]
    assert os.getpid() in found and found.get(0) is None and len(found) == 1


def test_pictures_are_escaped_and_need_nothing_else() -> None:
    found = trace('begin { @["<b>"] = 1; @h = hist(5); printf("<i>\\n"); exit(); }')
    page = found._repr_html_()
    assert "&lt;b&gt;" in page and "&lt;i&gt;" in page and "<b>" not in page and "http" not in page
    assert "background:" in found["@h"]._repr_html_()


def test_a_script_prints_and_ends_with_a_code() -> None:
    found = trace('begin { printf("%s %d\\n", str($1), $2); exit(3); }', "word", 5)
    assert (found.output, found.exit_code, list(found)) == ("word 5\n", 3, [])


def test_a_command_is_traced_from_its_first_instruction() -> None:
    found = trace("tracepoint:syscalls:sys_enter_execve /pid == cpid/ { @[str(args.filename)] = count(); }",
                  command=f"{sys.executable} -c pass")
    assert [key for key in found["@"] if key.endswith(os.path.basename(sys.executable))]


def test_a_process_is_followed_to_its_end() -> None:
    end = 'self:signal:SIGUSR1 { system("kill %d", $1); } begin { system("kill -USR1 %d", $2); } '
    with subprocess.Popen(["sleep", "1000"]) as child:
        try:
            found = trace(f"{end} tracepoint:sched:sched_process_exit {{ @[pid] = count(); }}", child.pid, os.getpid(),
                          pid=child.pid, unsafe=True)
        finally:
            child.kill()
    assert child.pid in found["@"]


def test_named_parameters() -> None:
    assert trace('begin { print(getopt("n", 5)); exit(); }', named={"n": "9"}).output == "9\n"


def test_what_found_no_room_is_counted() -> None:
    found = trace("config = { max_map_keys=2 } begin { for ($i : 0..5) { @[$i] = $i; } exit(); }")
    assert found.lost == {"full @": 3} and "3 entries found no room" in found.errors


def test_many_system_calls_are_one_program() -> None:
    found = trace("tracepoint:syscalls:sys_enter_o*,tracepoint:syscalls:sys_enter_c*,tracepoint:syscalls:sys_enter_getp* "
                  "/pid == $1/ { @[probe] = count(); }", os.getpid(), during=asking(7))
    assert found["@"]["tracepoint:syscalls:sys_enter_getppid"] == 7


def test_arguments_of_many_system_calls() -> None:
    found = trace("tracepoint:syscalls:sys_exit_get* /pid == $1/ { @[probe, args.ret] = count(); }", os.getpid(),
                  during=asking(7))
    assert found["@"]["tracepoint:syscalls:sys_exit_getppid", os.getppid()] == 7


@pytest.mark.parametrize(("script", "kind", "said"), [
    ("", UsageError, "no script"), ("begin { print(x); }", CompileError, "nothing called `x`"),
    ("begin {", CompileError, "is never closed")])
def test_bad_scripts(script: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        trace(script)


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(TargetError, match="there is no program nothing-of-this-name"):
        trace("begin { exit(); }", command="nothing-of-this-name")


def test_a_map_that_is_not_there() -> None:
    found = trace("begin { @x = 1; exit(); }")
    assert found["x"].value == found["@x"].value == 1
    with pytest.raises(UsageError, match="It has @x"):
        found["@y"]


def test_nothing_stays_attached() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    trace("tracepoint:syscalls:sys_enter_getppid { @ = count(); } interval:ms:10 { exit(); }")
    assert sorted(os.listdir("/proc/self/fd")) == before

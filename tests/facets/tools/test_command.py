"""`bpfwright tool`: the list, help, formats, the end by Ctrl-C, a closed pipe, bad options."""
from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bpfwright.errors import UsageError
from bpfwright.facets.tools import names, tool
from bpfwright.facets.tools._tool import Options
from tests.cli.commands import ENVIRONMENT, command, line

NAMES = sorted(names())


def test_the_list_has_every_tool_with_its_line() -> None:
    code, out, _ = command("tool")
    assert code == 0 and [text.split()[0] for text in out.splitlines()] == NAMES
    assert all(len(text) < 120 and len(text.split()) > 3 for text in out.splitlines())


def test_there_are_enough() -> None:
    assert len(NAMES) >= 55


@pytest.mark.parametrize("name", NAMES)
def test_help_ends_with_examples_that_parse(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each example is a command line of this very tool, and what it says is an option that there is."""
    import shlex

    from bpfwright.cli.tool import parser_of
    found = tool(name)
    parser = parser_of(found)
    help_text = parser.format_help()
    examples = help_text.rstrip().split("\nexamples:\n")[1].splitlines()
    assert examples and found.doc.splitlines()[0].rstrip(".") == names()[name]
    for example in examples:
        words = shlex.split(example.strip().split("  ")[0])
        assert words[:3] == ["bpfwright", "tool", name], example
        parser.parse_args(words[3:])
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--no-such-option"])
    assert ended.value.code == 2 and "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_a_tool_is_one_short_file(name: str) -> None:
    import bpfwright.facets.tools as room
    text = (Path(str(room.__file__)).parent / f"{name}.py").read_text()
    lines = text.split('"""', 2)[2].strip().splitlines()
    assert len(lines) <= 60, f"{len(lines)} lines behind the help"


@pytest.mark.parametrize("name", NAMES)
def test_columns_have_names_each_its_own(name: str) -> None:
    """Of the tool as it is, and with everything that can be shown."""
    found = tool(name)
    defaults = {"several": False, **{option.name: option.default for option in found.options}}  # argdist's own
    for shown in (False, True):
        options = Options(**{key: shown if value is False else value for key, value in defaults.items()})
        names = [column.name for column in found.columns_of(options)]
        assert all(names) and (shown or len(names) == len(set(names))), names


def test_unknown_names_and_options() -> None:
    code, _, said = command("tool", "opensnop")
    assert code == 2 and "opensnoop" in said
    with pytest.raises(UsageError, match="has no option 'nothing'"):
        tool("opensnoop").start(nothing=1)
    with pytest.raises(UsageError, match="has no option 'uid'"):
        tool("filetop").start(uid=0)
    with pytest.raises(UsageError, match="funccount needs pattern"):
        tool("funccount").start()
    with pytest.raises(UsageError, match="longer than any name"):
        tool("opensnoop").start(comm="x" * 16)


@pytest.mark.kernel
@pytest.mark.parametrize(("words", "code", "said"), [
    (("opensnoop", "--cgroup", "/no/such/group"), 1, "no cgroup"),
    (("opensnoop", "--container", "no-such-container"), 1, "no container"),
    (("opensnoop", "--top", "0"), 2, "shows nothing"),
    (("biolatency", "--", "-1"), 2, "below 0"),
    (("opensnoop", "-p", "four"), 2, "invalid int"),
    (("opensnoop", "-p", "-4"), 2, ""),
    (("funccount", "c:no_such_function"), 1, "nothing matches"),
    (("funccount", "a:b:c:d"), 2, "names no probe"),
    (("syscount", "-e", "ENONSENSE"), 2, "no error"),
    (("filetop", "-s", "nothing"), 2, "invalid choice"),
    (("bashreadline", "-s", "/nowhere"), 1, "no file"),
])
def test_bad_input_is_one_clear_error(words: tuple[str, ...], code: int, said: str) -> None:
    found, out, text = command("tool", *words, "--for", "0.1") if "--" not in words else command("tool", *words)
    assert (found, out) == (code, "") and said in text and "Traceback" not in text


def test_without_privilege_it_says_so() -> None:
    code, _, said = command("tool", "opensnoop", "--for", "0.1", privileged=False)
    assert code == 3 and "Traceback" not in said


def started(*words: str, path: str) -> tuple[subprocess.Popen[str], float]:
    """The tool at work: it has printed that it is, and then a file was looked for until it was seen."""
    process = subprocess.Popen(line("tool", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=ENVIRONMENT)
    assert process.stderr is not None
    while "Tracing" not in (said := process.stderr.readline()):
        assert said, process.communicate()
    Path(path).exists()
    time.sleep(0.2)
    return process, time.monotonic()


@pytest.mark.kernel
@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv"])
def test_ctrl_c_ends_each_format_whole(form: str) -> None:
    path = f"/nowhere/{form}"
    process, _ = started("statsnoop", "-f", form, "-p", str(os.getpid()), path=path)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0 and "1 events, 0 lost" in said
    row = {"pid": os.getpid(), "fd": -1, "err": 2, "path": path}
    if form == "table":
        head, first = out.splitlines()
        assert head.split() == ["PID", "COMM", "FD", "ERR", "PATH"] and first.split()[-1] == path
        assert head.index("PATH") == first.index(path)
        return
    read = json.loads(out) if form == "json" else [json.loads(each) for each in out.splitlines()] \
        if form == "jsonl" else list(csv.DictReader(io.StringIO(out)))
    assert [{name: str(each[name]) for name in row} for each in read] == [{n: str(v) for n, v in row.items()}]


@pytest.mark.kernel
def test_arrow_is_a_stream_of_typed_columns(tmp_path: Path) -> None:
    import pyarrow.ipc
    output = tmp_path / "rows.arrow"
    process, _ = started("statsnoop", "-f", "arrow", "-o", str(output), "-p", str(os.getpid()), path="/nowhere")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and "1 events, 0 lost" in said
    table = pyarrow.ipc.open_stream(output.read_bytes()).read_all()
    assert table.to_pylist()[0]["path"] == "/nowhere"
    assert [str(field.type) for field in table.schema] == ["int64", "string", "int64", "int64", "string"]
    code, _, _ = command("tool", "cpudist", "0.2", "1", "-f", "arrow", "-o", str(output))
    assert code == 0 and pyarrow.ipc.open_stream(output.read_bytes()).read_all().column_names == [
        "unit", "low", "high", "count"]


@pytest.mark.kernel
def test_ctrl_c_prints_what_was_gathered() -> None:
    for words, wanted in ((("syscount", "-p", str(os.getpid())), "newfstatat"), (("cpudist",), "usecs")):
        process, _ = started(*words, path="/nowhere")
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
        assert process.returncode == 0 and wanted in out, said


@pytest.mark.kernel
def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(["sh", "-c", '"$@" | head -1', "sh", *line("tool", "syscount", "-i", "0.1", "-d", "3")],
                          capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert "SYSCALL" in done.stdout and "Traceback" not in done.stderr and "Broken" not in done.stderr
    endless = line("tool", "syscount", "-i", "0.1")
    code = subprocess.run(["bash", "-c", 'set -o pipefail; "$@" | head -1', "bash", *endless], capture_output=True,
                          env=ENVIRONMENT, timeout=60).returncode
    assert code == 0


@pytest.mark.kernel
def test_intervals_counts_and_top(tmp_path: Path) -> None:
    begin = time.monotonic()
    code, out, _ = command("tool", "cpudist", "0.2", "3", "-T", "-P", "--top", "1")
    assert code == 0 and out.count("usecs") == 3 and time.monotonic() - begin >= 0.6
    code, out, _ = command("tool", "runqlat", "0.2", "2", "-j")
    buckets = json.loads(out)
    assert code == 0 and set(buckets[0]) == {"unit", "low", "high", "count"} and buckets[0]["low"] == 0
    assert [row["high"] + 1 for row in buckets[:2]] == [2, 4]
    output = tmp_path / "rows.csv"
    code, out, said = command("tool", "opensnoop", "--for", "0.5", "--top", "2", "-f", "csv", "-o", str(output))
    assert (code, out) == (0, "") and len(output.read_text().splitlines()) <= 3 and "lost" in said


@pytest.mark.kernel
def test_connections_counted_at_the_end() -> None:
    from tests.facets.tools.works import connect, listening
    process, _ = started("tcpconnect", "-c", "-f", "jsonl", "-p", str(os.getpid()), path="/")
    with listening() as address:
        for _ in range(3):
            connect(address)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        row = json.loads(out)
    assert (row["daddr"], row["dport"], row["count"]) == (*address, 3)


@pytest.mark.kernel
def test_settings_do_not_compile_again(tmp_path: Path) -> None:
    """Another -p is another constant in the same object: nothing new in the cache, and the filter is the new one."""
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": str(tmp_path)}
    counts = []
    for pid in ("1", "2", "3"):
        done = subprocess.run(line("tool", "opensnoop", "--for", "0", "-p", pid), env=environment, capture_output=True,
                              text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        counts.append(len(list((tmp_path / "bpfwright").iterdir())))
    assert counts[0] == counts[1] == counts[2]

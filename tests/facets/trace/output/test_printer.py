"""Every kind of message, as text and as JSON; what is said besides; and streams that close."""
from __future__ import annotations

import io
import json
import os
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from bpfwright.facets.trace.output.benchmarks import table
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.plan import Map, Message
from bpfwright.facets.trace.types import Average, Buffer, Count, Histogram, Statistics, Text, Tuple, Type
from bpfwright.formats.pcap.reader import read_capture
from tests.facets.trace.output.worlds import I64, U32, U64, Kept, Seen, packed, record, words

STR = Text(8)
PLACE = "stdin:1:9-62"


def text(content: bytes) -> bytes:
    return content.ljust(8, b"\0")


def both(message: Message, *values: Any, **options: Any) -> tuple[Seen, Seen]:
    """The message's record to a printer of text and to one of JSON."""
    seen = Seen(message, **options), Seen(message, json=True, **options)
    for one in seen:
        one.send(0, message.fields, *values)
    return seen


def data(seen: Seen) -> Any:
    told = json.loads(seen.text)
    return told["type"], told["data"]


@pytest.mark.parametrize("kind,label", [("warnf", "WARNING"), ("errorf", "ERROR")])
def test_reports(kind: str, label: str) -> None:
    """The reference's samples of warnf and errorf."""
    message = Message(kind, (I64, STR), ("Something bad with args: %d, %s", PLACE))
    plain, lines = both(message, 10, b"arg2")
    assert (plain.text, plain.complaints) == ("", f"{PLACE}: {label}: Something bad with args: 10, arg2\n")
    assert json.loads(lines.complaints) == {
        "type": f"print_{label.lower()}", "msg": "Something bad with args: 10, arg2", "filename": "stdin", "line": 1,
        "col": 9}


def test_warnings_may_be_dropped() -> None:
    for kind in ("warnf", "errorf", "helper"):
        message = Message(kind, (I64,), ("x %d", PLACE))
        assert bool(both(message, -14, warnings=False)[0].complaints) == (kind == "errorf")


@pytest.mark.parametrize("helper,result,said", [
    ("probe_read", -14, "Bad address"), ("bpf_probe_read_kernel", -14, "Bad address"),
    ("map_update_elem", -7, "the map is full"), ("map_delete_elem", -2, "the entry cannot be deleted"),
    ("map_lookup_elem", 0, "the entry cannot be read")])
def test_helper_errors(helper: str, result: int, said: str) -> None:
    plain, lines = both(Message("helper", (I64,), (helper, "stdin:1:37")), result)
    first, second = plain.complaints.splitlines()
    assert first.startswith(f"stdin:1:37: WARNING: {said}")
    assert second == f"Additional Info - helper: {helper}, retcode: {result}"
    told = json.loads(lines.complaints)
    assert told.pop("msg").startswith(said)
    assert told == {"type": "helper_error", "helper": helper, "retcode": result, "filename": "stdin", "line": 1,
                    "col": 37}


@pytest.mark.parametrize("type,value,shown,told", [
    (I64, words(5), "5\n", 5), (STR, text(b"a\"b"), "a\"b\n", 'a"b'), (Count(), words(7), "7\n", 7),
    (Average(True), words(-11, 2), "-5\n", -5), (Tuple((I64, STR), ()), words(1) + text(b"x"), "(1, x)\n", [1, "x"]),
    (Statistics(True), words(4, 1), "count 1, average 4, total 4\n", {"count": 1, "average": 4, "total": 4}),
    (Histogram(0), words(0, 0, 1, *[0] * 63), "[1]                    1 |" + "@" * 52 + "|\n\n",
     [{"min": 1, "max": 1, "count": 1}])])
def test_print(type: Type, value: bytes, shown: str, told: Any) -> None:
    plain, lines = both(Message("print", (type,), ("1",)), value)
    assert plain.text == shown
    assert data(lines) == ("value", told)


MAP = Map("@m", "m", (I64, STR), Count(), False, 9)
KEY, OTHER = words(1) + text(b"a"), words(2) + text(b"b")


def counted() -> dict[str, tuple[Map, Kept]]:
    return {"@m": (MAP, Kept({KEY: words(3, 4), OTHER: words(1, 0)}))}


@pytest.mark.parametrize("top,divisor,shown", [
    (0, 0, "@m[2, b]: 1\n@m[1, a]: 7\n"), (1, 0, "@m[1, a]: 7\n"), (0, 2, "@m[2, b]: 0\n@m[1, a]: 3\n")])
def test_print_map(top: int, divisor: int, shown: str) -> None:
    plain, lines = both(Message("print_map", (U64, U64), ("@m",)), top, divisor, maps=counted())
    assert plain.text == shown
    assert [f"@m[{k.replace(',', ', ')}]: {v}" for k, v in data(lines)[1]["@m"].items()] == shown.splitlines()


def test_print_entry_of_what_is_gathered() -> None:
    for fields, values in (((I64, STR, Count()), (1, b"a", words(0))), ((I64, STR), (1, b"a"))):
        plain, lines = both(Message("print_entry", fields, ("@m",)), *values, maps=counted())
        assert plain.text == "@m[1, a]: 7\n"
        assert data(lines) == ("map", {"@m": {"1,a": 7}})
    plain, lines = both(Message("print_entry", (I64, STR), ("@m",)), 9, b"a", maps=counted())
    assert plain.text == lines.text == ""


def test_print_entry_with_its_value() -> None:
    map = Map("@m", "m", (I64,), STR, False, 9)
    plain, lines = both(Message("print_entry", (I64, STR), ("@m",)), 5, b"then", maps={"@m": (map, Kept({}))})
    assert plain.text == "@m[5]: then\n"
    assert data(lines) == ("map", {"@m": {"5": "then"}})


def test_print_entry_without_keys() -> None:
    map = Map("@m", "m", (), Count(), False, 1)
    maps = {"@m": (map, Kept({bytes(4): words(1, 5, 0, 0, 1, 2)}))}
    assert both(Message("print_entry", (Count(),), ("@m",)), words(0), maps=maps)[0].text == "@m: 7\n"


def test_clear_and_zero() -> None:
    maps = counted()
    seen = Seen(Message("zero", (), ("@m",)), Message("clear", (), ("@m",)), maps=maps)
    seen.send(0)
    assert set(maps["@m"][1].kept.values()) == {bytes(16)}
    seen.send(1)
    assert not maps["@m"][1].kept
    assert seen.text == ""


def test_time() -> None:
    plain, lines = both(Message("time", (), ("%Y\n",)))
    assert plain.text == time.strftime("%Y\n")
    assert data(lines) == ("time", time.strftime("%Y\n"))


def test_join() -> None:
    fields = (STR,) * 4
    plain, lines = both(Message("join", fields, (",",)), b"/bin/echo"[:8], b"", b"A", b"")
    assert plain.text == "/bin/ech,,A\n"
    assert data(lines) == ("join", "/bin/ech,,A")
    assert both(Message("join", fields, (" ",)), b"", b"", b"", b"")[0].text == "\n"


def test_cat(tmp_path: Path) -> None:
    (tmp_path / "7").write_bytes(b"0123456789\xff\n")
    message = Message("cat", (I64,), (f"{tmp_path}/%d",))
    plain, lines = both(message, 7)
    assert plain.text == "0123456789\udcff\n"
    assert data(lines) == ("cat", "0123456789\udcff\n")
    few = World(settings={"max_cat_bytes": 4})
    assert both(message, 7, world=few)[0].text == "0123"
    plain, lines = both(message, 8)
    assert plain.text == ""
    assert plain.complaints == f"ERROR: failed to open file '{tmp_path}/8': No such file or directory\n"
    assert json.loads(lines.complaints)["msg"].startswith("failed to open file")


def test_system() -> None:
    message = Message("system", (I64,), ("echo a %d; echo b; exit 3",))
    plain, lines = both(message, 5)
    assert plain.text == "a 5\nb\n"
    assert data(lines) == ("syscall", "a 5\nb\n")


def test_order_of_everything(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("file\n")
    seen = Seen(Message("printf", (I64,), ("%d\n",)), Message("system", (), ("echo shell",)),
                Message("cat", (), (f"{tmp_path}/f",)), Message("print_map", (U64, U64), ("@m",)), maps=counted())
    for index in (0, 1, 0, 2, 0, 3, 0):
        message = seen.printer.plan.messages[index]
        seen.send(index, message.fields, *[index] * len(message.fields))
    assert seen.text == "0\nshell\n0\nfile\n0\n" + "@m[2, b]: 0\n@m[1, a]: 2\n0\n"


@pytest.mark.parametrize("code", [0, 1, 77])
def test_exit(code: int) -> None:
    seen = Seen(Message("exit", (U64,)), Message("printf", (), ("late\n",)))
    seen.send(1)
    seen.send(0, (U64,), code)
    seen.send(1)
    assert seen.printer.exiting and seen.printer.exit_code == code
    assert seen.text == "late\n"
    seen.printer.resume()
    seen.send(1)
    assert seen.text == "late\nlate\n"
    assert seen.printer.exit_code == code


def test_assertion() -> None:
    seen = both(Message("assertion", (), ("assert failed: x", PLACE)))[0]
    assert seen.complaints == f"{PLACE}: ERROR: assert failed: x\n"
    assert seen.printer.exiting and seen.printer.exit_code == 1


def test_packets(tmp_path: Path) -> None:
    path = tmp_path / "p.pcap"
    fields: tuple[Type, ...] = (U64, U32, Buffer(16))
    seen = Seen(Message("packet", fields, (str(path),)))
    seen.printer.world.boot_to_wall_ns = 10 ** 18
    for number, packet in enumerate((b"\x45abc", b"\x45defg")):
        seen.send(0, fields, number, 99, len(packet).to_bytes(4, "little") + packet)
    seen.printer.finish()
    capture = read_capture(path.read_bytes())
    assert [capture.packet(index) for index in range(len(capture))] == [b"\x45abc", b"\x45defg"]
    assert [found[3:] for found in capture.records] == [(99, 101)] * 2
    assert [found.time_ns for found in capture.records] == [10 ** 18, 10 ** 18 + 1]


def test_packets_that_cannot_be_written() -> None:
    fields: tuple[Type, ...] = (U64, U32, Buffer(4))
    seen = Seen(Message("packet", fields, ("/nowhere/p.pcap",)))
    seen.send(0, fields, 1, 1, b"\1\0\0\0x")
    assert seen.complaints == "ERROR: failed to write '/nowhere/p.pcap': No such file or directory\n"


def test_unwatch() -> None:
    gone: list[int] = []
    both(Message("unwatch", (U64,)), 1 << 63, unwatch=gone.append)
    assert gone == [1 << 63, 1 << 63]
    assert both(Message("unwatch", (U64,)), 1)[0].text == ""


# ------------------------------------------------------------------------------------------------------- what is said


def test_attached() -> None:
    for probes, shown in ((1, "Attached 1 probe\n"), (2, "Attached 2 probes\n"), (0, "Attached 0 probes\n")):
        plain, lines, quiet, silent = Seen(), Seen(json=True), Seen(quiet=True), Seen(json=True, quiet=True)
        for seen in (plain, lines, quiet, silent):
            seen.printer.attached(probes)
        assert (plain.text, quiet.text, silent.text) == (shown, "", "")
        assert data(lines) == ("attached_probes", {"probes": probes})


def test_lost() -> None:
    plain, lines = Seen(), Seen(json=True)
    plain.printer.lost(5)
    lines.printer.lost(5)
    assert (plain.text, plain.complaints) == ("", "Lost 5 events\n")
    assert data(lines) == ("lost_events", {"events": 5})


def test_warnings_and_errors_without_a_place() -> None:
    seen = Seen()
    seen.printer.warning("w")
    seen.printer.error("e", "f.bt:2:3")
    assert seen.complaints == "WARNING: w\nf.bt:2:3: ERROR: e\n"


def test_a_place_may_have_colons() -> None:
    seen = Seen(json=True)
    seen.printer.error("e", "a:b:2:3-4")
    assert json.loads(seen.complaints) == {"type": "error", "msg": "e", "filename": "a:b", "line": 2, "col": 3}


def test_benchmarks() -> None:
    assert table([("a", 12), ("a longer name", 2_500_000)]) == (
        "+---------------+--------------+\n| BENCHMARK     | AVERAGE TIME |\n+---------------+--------------+\n"
        "| a             | 12ns         |\n| a longer name | 2ms          |\n+---------------+--------------+\n\n")
    lines, plain = Seen(json=True), Seen()
    for seen in (lines, plain):
        seen.printer.benchmarks([("a", 12), ("b", 0)])
    assert data(lines) == ("benchmark_results", {"a": 12, "b": 0})
    assert "| b         | 0ns          |\n" in plain.text


def test_finish() -> None:
    maps = {name: (Map(name, "x", (), I64, False, 1), Kept({bytes(4): words(1, 5)})) for name in ("@b", "@a", "@")}
    seen = Seen(maps=maps)
    seen.printer.finish()
    assert seen.text == "\n\n@: 5\n@a: 5\n@b: 5\n"
    seen = Seen(maps=maps, world=World(settings={"print_maps_on_exit": False}))
    seen.printer.finish()
    assert seen.text == "\n\n"


# ----------------------------------------------------------------------------------------------------------- streams


class Counted(io.BytesIO):
    """Counts how often it is written to."""

    writes = 0

    def write(self, data: Any, /) -> int:
        self.writes += 1
        return super().write(data)


@pytest.mark.parametrize("buffering,writes", [("none", 5), ("line", 1), ("full", 0)])
def test_buffering(buffering: str, writes: int) -> None:
    seen = Seen(Message("printf", (I64,), ("%d\n",)), buffering=buffering)
    out = Counted()
    seen.printer._out = out
    seen.printer.handle_batch([(0, record(0, (I64,), number)) for number in range(5)])
    assert out.writes == writes
    seen.printer.handle_batch([(0, record(0, (I64,), number)) for number in range(20_000)])
    seen.printer.finish()
    assert out.getvalue().count(b"\n") == 20_007


def test_a_closed_pipe_is_raised_once() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    seen = Seen(Message("printf", (), ("x\n",)))
    with open(writing, "wb", buffering=0) as raw:
        seen.printer._out = io.BufferedWriter(raw)
        seen.send(0)
        with pytest.raises(BrokenPipeError):
            seen.printer.flush()
        seen.send(0)
        seen.printer.finish()
        with pytest.raises(BrokenPipeError):
            seen.printer._out.flush()
        with open(os.devnull, "wb") as nobody:
            os.dup2(nobody.fileno(), writing)


def test_formats_are_made_at_first_use() -> None:
    seen = Seen(Message("printf", (), ("x",)), Message("nonsense"))
    seen.send(0)
    assert seen.text == "x"


def test_texts_in_reports_are_bytes() -> None:
    seen = both(Message("errorf", (STR,), ("%s", PLACE)), b"\xff")[0]
    assert seen.errors.getvalue() == PLACE.encode() + b": ERROR: \xff\n"


def test_records_with_all_of_a_kind() -> None:
    """A record that was packed by hand."""
    seen = Seen(Message("printf", (U32, STR, U32), ("%d %s %x\n",)))
    seen.printer.handle(0, struct.pack("=IIII8sI", 0, 0, 5, 0, b"hey", 255))
    assert seen.text == "5 hey ff\n"
    assert packed((U32, STR), (1, b"a")) == b"\1\0\0\0\0\0\0\0a\0\0\0\0\0\0\0"

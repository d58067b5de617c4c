"""What a profile is written as: each format read back by something that is not its writer."""
from __future__ import annotations

import gzip
import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bpfwright.errors import FormatError, TargetError, UsageError
from bpfwright.facets.profile import Frame, Profile, read
from bpfwright.facets.profile.difference import write as difference
from bpfwright.facets.profile.folded import read as read_folded

MAIN, WORK, SYSTEM = Frame("main", "user", "/bin/x"), Frame("work", "user", "/bin/x"), Frame("do_sys", "kernel")
PY = Frame("outer", "python", "/lib/py", "/src/a.py", 12)
NASTY = Frame('<script>alert("&;\x01\')</script>\n', "user", "/tmp/]]>")
SHELL = Frame("sh", "process")


def sample() -> Profile:
    return Profile({(SHELL, MAIN): 5, (SHELL, MAIN, WORK): 70, (SHELL, MAIN, WORK, SYSTEM): 20, (SHELL, MAIN, PY): 4,
                    (SHELL, NASTY): 1}, title="a & <b>", hz=99, duration_s=1.5)


def test_folded_lines() -> None:
    lines = sample().folded().splitlines()
    assert {"sh;main;work 70", "sh;main;work;do_sys_[k] 20", "sh;main;outer (a.py:12)_[p] 4"} <= set(lines)
    nasty = next(line for line in lines if "script" in line)
    assert nasty.count(";") == 1 and nasty.endswith(" 1")
    again = read_folded(sample().folded())
    assert again.total == 100 and {len(stack) for stack in again.stacks} == {2, 3, 4}
    assert (SHELL, Frame("main"), Frame("work"), SYSTEM) in again.stacks


@pytest.mark.parametrize("text", ["no weight here\n", "a;b -3\n", "7\n", "a;b 3.5\n"])
def test_lines_that_are_none(text: str) -> None:
    with pytest.raises(FormatError, match="line 1"):
        read_folded(text)


def test_saved_and_read(tmp_path: Path) -> None:
    sample().write(str(tmp_path / "p.json"), "json")
    again = read(str(tmp_path / "p.json"))
    assert again.stacks == sample().stacks and (again.title, again.hz, again.duration_s) == ("a & <b>", 99, 1.5)
    assert again.quality == sample().quality
    (tmp_path / "bad.json").write_text('{"schema": "other"}')
    with pytest.raises(FormatError, match="no profile of ours"):
        read(str(tmp_path / "bad.json"))
    with pytest.raises(TargetError):
        read(str(tmp_path / "none"))


def test_speedscope_has_what_its_schema_requires() -> None:
    made = json.loads(str(sample().text("speedscope")))
    assert made["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    frames, (profile,) = made["shared"]["frames"], made["profiles"]
    assert all(isinstance(frame["name"], str) for frame in frames)
    assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
    assert profile["type"] == "sampled" and profile["unit"] == "none" and profile["endValue"] == 100
    assert len(profile["samples"]) == len(profile["weights"]) == 5 and sum(profile["weights"]) == 100
    assert all(0 <= number < len(frames) for stack in profile["samples"] for number in stack)
    names = [[frames[number]["name"] for number in stack] for stack in profile["samples"]]
    assert names[0] == ["sh", "main", "work"]


def fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """A message of protobuf's wire format, by the rules of protobuf.dev/programming-guides/encoding."""
    found: list[tuple[int, int | bytes]] = []
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            found.append((key >> 3, varint()))
        else:
            assert key & 7 == 2
            size = varint()
            found.append((key >> 3, data[at:at + size]))
            at += size
    return found


def numbers(data: bytes) -> list[int]:
    """A packed field: the same rules, each varint as field 0 would be."""
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value = shift = 0
    return found


def test_pprof_says_the_same() -> None:
    made = sample().text("pprof")
    assert isinstance(made, bytes)
    whole = fields(gzip.decompress(made))
    texts = [value.decode() for number, value in whole if number == 6 and isinstance(value, bytes)]
    assert texts[0] == "" and len(texts) == len(set(texts))

    def messages(number: int) -> list[dict[int, int | bytes]]:
        return [dict(fields(value)) for field, value in whole if field == number and isinstance(value, bytes)]

    functions = {m[1]: texts[int(m[2])] for m in messages(5)}
    locations = {m[1]: functions[dict(fields(bytes(m[4])))[1]] for m in messages(4)}
    mappings = {m[1]: texts[int(m[5])] for m in messages(3)}
    assert "/bin/x" in mappings.values()
    kinds = [(texts[int(m[1])], texts[int(m[2])]) for m in messages(1)]
    assert kinds == [("samples", "count"), ("cpu", "nanoseconds")]
    stacks = {tuple(locations[n] for n in numbers(bytes(m[1]))): numbers(bytes(m[2])) for m in messages(2)}
    assert stacks["do_sys", "work", "main", "sh"] == [20, 20 * round(1e9 / 99)]
    assert dict(whole)[12] == round(1e9 / 99) and dict(whole)[10] == 1_500_000_000


def test_waiting_is_in_nanoseconds() -> None:
    waited = Profile({(SHELL, MAIN): 2_000_000}, unit="ns", title="w")
    whole = fields(gzip.decompress(bytes(waited.text("pprof"))))  # type: ignore[arg-type]
    assert [number for number, _ in whole].count(1) == 1
    assert json.loads(str(waited.text("speedscope")))["profiles"][0]["unit"] == "nanoseconds"
    assert "2 ms" in str(waited.text("table"))


def test_a_flame_graph_is_well_formed_and_needs_nothing() -> None:
    svg = sample().to_svg()
    root = ET.fromstring(svg)
    boxes = [g for g in root.iter("{http://www.w3.org/2000/svg}g") if g.get("class") == "f"]
    widths = {g.get("data-n"): int(g.get("data-w", "0")) for g in boxes}
    assert widths["all"] == 100 and widths["main"] == 99 and widths["work"] == 90 and widths["do_sys_[k]"] == 20
    assert not any(word in svg.replace("http://www.w3.org/", "") for word in ("http://", "https://", "@import", "url("))
    page = sample().to_html()
    assert "<script>alert" not in page and page.count("<script") == 1
    assert "sandbox" in sample()._repr_html_()


def test_top_and_columns() -> None:
    top = sample().top(2)
    assert top[0] == (WORK, 70, 90) and top[1][0] == SYSTEM
    columns = sample().columns()
    assert {len(column) for column in columns.values()} == {2 + 3 + 4 + 3 + 2}
    table = str(sample().text("table"))
    assert table.splitlines()[0] == "100 samples" and "work" in table
    recursion = Profile({(MAIN, WORK, WORK, WORK): 5})
    assert recursion.functions()[WORK] == (5, 5)


def test_differences() -> None:
    before = Profile({(SHELL, MAIN, WORK): 50, (SHELL, MAIN): 50})
    after = Profile({(SHELL, MAIN, WORK): 300, (SHELL, MAIN): 100})
    assert difference(before, after, "folded").splitlines() == ["sh;main 50 100", "sh;main;work 50 300"]
    assert difference(before, after, "table").splitlines()[1].split() in (["50.00", "75.00", "+25.00", "work"],
                                                                          ["50.00", "25.00", "-25.00", "main"])
    svg = difference(before, after, "flamegraph")
    colors = {g.get("data-n"): g.find("{http://www.w3.org/2000/svg}rect").get("style", "")  # type: ignore[union-attr]
              for g in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}g") if g.get("class") == "f"}
    assert "hsl(0,80%" in str(colors["work"]) and "+25.00 %" in svg and "hsl(0,0%,88%)" in str(colors["main"])
    with pytest.raises(UsageError, match="holds one profile"):
        difference(before, after, "pprof")
    with pytest.raises(UsageError, match="counts"):
        difference(before, Profile({}, unit="ns"), "folded")

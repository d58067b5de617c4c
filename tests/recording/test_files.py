"""Files of recordings: what is written is read again, and whatever is damaged is named."""
from __future__ import annotations

import json
import zlib
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import FormatError
from bpfwright.formats.recording import Entry, Note, Recorded, Recording, Run
from bpfwright.formats.recording.file import MAGIC, MOST_BYTES

KEPT = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "data" / "recordings").glob("*.rec"))
        if path.stat().st_size < 1500]  # of the long count there is much
FACTS: dict[str, Any] = {"cpus": 2, "runs": 3, "words": ["eth0"], "features": ["atomics"]}
PROGRAM = Recorded("opened", 5, ((16, 8), (24, 4)), {"opened": (3, 9)}, (), {"opened": b"\x95" + bytes(7)},
                   {"opened": "digest"})


def a_run(number: int, **changed: Any) -> Run:
    run = Run(number, 1000 + number, number + 1, 0, 0, 0, 0, 0, b"", (1, 2),
              (Entry(14, 7 << 32 | 7, b""), Entry(114, 5, b"path\0")))
    return run._replace(**changed)


def a_recording(*runs: Run) -> Recording:
    return Recording(FACTS, [PROGRAM], runs or (a_run(0), a_run(1)), [Note("lookup", 1, 2, ["m", "00", None])])


def packed(body: bytes, *, expanded: int = -1, check: int = -1, version: int = 1) -> bytes:
    data = zlib.compress(body)
    return pack("<8sHHIII", MAGIC, version, 0, len(data), len(body) if expanded < 0 else expanded,
                zlib.crc32(data) if check < 0 else check) + data


def body(facts: object, notes: object, records: bytes = b"") -> bytes:
    parts = [json.dumps(part).encode() for part in (facts, notes)]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts) + records


def test_what_is_written_is_read() -> None:
    made = a_recording(a_run(1, packet=b"x" * 61, length=1500, linear=61, flags=2), a_run(0))
    read = Recording.parse(made.to_bytes())
    assert read.runs == made.runs and [run.number for run in read.runs] == [0, 1]
    assert read.programs == (PROGRAM,) and read.facts == FACTS and read.notes == made.notes
    assert read.lost == 1 and read.runs_of("opened") == list(read.runs) and read.runs_of("other") == []
    assert not read.runs[0].overflowed and a_run(0, flags=1).overflowed


def test_a_file_is_written_and_opened(tmp_path: Path) -> None:
    a_recording().write(str(tmp_path / "a.rec"))
    assert Recording.open(str(tmp_path / "a.rec")).runs == a_recording().runs


GOOD = a_recording().to_bytes()
PLAIN = {**FACTS, "programs": []}
ONE = {**FACTS, "programs": [{"name": "p", "kind": 5, "fields": [], "loads": {}, "functions": [], "code": {},
                              "source": {}}]}


@pytest.mark.parametrize(("data", "said"), [
    (b"", "no recording"), (b"\x7fELF" + bytes(60), "no recording"), (GOOD[:-1], "checksum"), (GOOD + b"x", "checksum"),
    (GOOD[:40] + b"?" + GOOD[41:], "checksum"), (packed(b"", version=2), "version 2"),
    (packed(b"x", expanded=MOST_BYTES + 1), "are the most"), (packed(b"x", expanded=2), "does not expand"),
    (packed(bytes(1000), expanded=10), "does not expand"), (packed(b"\xff\xff\xff\xff"), "cut off"),
    (packed(b"\1\0\0\0{"), "no JSON"), (packed(pack("<I", 200_000) + b"[" * 200_000), "no JSON"),
    (packed(body([], [])), "no table"), (packed(body(PLAIN, {})), "notes are no list"),
    (packed(body({**PLAIN, "cpus": 0}, [])), "how many CPUs"),
    (packed(body({**PLAIN, "cpus": 257}, [])), "how many CPUs"),
    (packed(body({**PLAIN, "runs": -1}, [])), "how many CPUs"), (packed(body({**PLAIN, "words": "x"}, [])), "not what"),
    (packed(body({**PLAIN, "formats": {"a": 1}}, [])), "no text"),
    (packed(body({**PLAIN, "events": {"a": [["b"]]}}, [])), "list of pairs"),
    (packed(body({**FACTS, "programs": [{}]}, [])), "not described"),
    (packed(body({**FACTS, "programs": [{**ONE["programs"][0], "fields": [[0, 3]]}]}, [])), "not described"),
    (packed(body(PLAIN, [["look", 0]])), "not what notes are"), (packed(body(ONE, [], bytes(40))), "cut off"),
    (packed(body(ONE, [], pack("<QQQIIIIIIII", 0, 0, 0, 0, 1, 56, 0, 0, 0, 0, 0))), "no program"),
    (packed(body(ONE, [], pack("<QQQIIIIIIII", 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0))), "no end"),
    (packed(body(ONE, [], pack("<QQQIIIIIIII", 0, 0, 0, 0, 0, 56, 0, 0, 0, 99, 0))), "shorter"),
    (packed(body(ONE, [], pack("<QQQIIIIIIII", 0, 0, 0, 9999, 0, 56, 0, 0, 0, 0, 0))), "shorter"),
    (packed(body(ONE, [], pack("<QQQIIIIIIII", 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0) + bytes(8))), "entry is cut off"),
    (packed(body(ONE, [], pack("<QQQIIIIIIIIIIQ", 0, 0, 0, 0, 0, 72, 0, 0, 0, 0, 0, 5, 9, 0))), "longer than the run"),
])
def test_what_is_damaged_is_named(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        Recording.parse(data)


def test_one_that_would_expand_for_ever_is_not_expanded() -> None:
    bomb = zlib.compress(bytes(1 << 28), 9)
    data = pack("<8sHHIII", MAGIC, 1, 0, len(bomb), 1000, zlib.crc32(bomb)) + bomb
    with pytest.raises(FormatError, match="does not expand"):
        Recording.parse(data)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        Recording.parse(data)
    with pytest.raises(FormatError):
        Recording.parse(packed(data))


@given(st.data())
def test_changed_files_are_read_or_refused(data: st.DataObject) -> None:
    """With a right checksum: what is inside is not trusted either."""
    whole = data.draw(st.sampled_from(KEPT))
    inside = bytearray(zlib.decompress(whole[24:]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(inside) - 1))
        inside[at:at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=8))
    try:
        recording = Recording.parse(packed(bytes(inside)))
    except FormatError:
        return
    assert all(run.program < len(recording.programs) for run in recording.runs) and recording.lost >= 0



"""The file of a recording: a head with a checksum, then facts, runs and the notes of user space, compressed.

    head    eight bytes of magic   u16 version   u16 0   u32 bytes that follow   u32 bytes when expanded   u32 CRC-32
    body    zlib: u32 bytes of facts, the facts as JSON; u32 bytes of notes, the notes as JSON; the runs' records

Whoever wrote it, reading is bounded: nothing is expanded beyond what the head says and `MOST_BYTES` allows, every
number is checked against what is there, and what is wrong raises FormatError. No pickled object is in it.
"""
from __future__ import annotations

import zlib
from struct import Struct, error as StructError, unpack_from

from bpfwright._typing import Any, Iterable, Iterator, Mapping, NamedTuple
from bpfwright.errors import FormatError

__all__ = ["MOST_BYTES", "Entry", "Note", "Recorded", "Recording", "Run"]

MAGIC = b"\x93bpfrec\n"
VERSION = 1
_HEAD = Struct("<8sHHIII")
MOST_BYTES = 1 << 28
_RUN = Struct("<QQQIIIIIIII")
_ENTRY = Struct("<IIQ")
OVERFLOW, CUT = 1, 2
_MOST_CPUS, _MOST_NAME = 256, 4096


class Entry(NamedTuple):
    """What one helper, kernel function or load found: `what` as recording/layout.py has it, its result, its bytes."""

    what: int
    result: int
    data: bytes


class Run(NamedTuple):
    """One run of a program. `number` orders the beginnings of all runs, `ended` says how many had begun when it was
    over; `context` are the values of the fields that the program reads, `linear` of the `length` bytes of the packet
    are accessed directly, and `packet` has those that were kept."""

    number: int
    time_ns: int
    ended: int
    cpu: int
    program: int
    flags: int
    length: int
    linear: int
    packet: bytes
    context: tuple[int, ...]
    entries: tuple[Entry, ...]

    @property
    def overflowed(self) -> bool:
        """Whether there was no room for all that it found."""
        return bool(self.flags & OVERFLOW)


class Note(NamedTuple):
    """Something that user space did, or was told, after `before` runs had begun and before more than `after` had."""

    what: str
    before: int
    after: int
    data: Any


class Recorded(NamedTuple):
    """A program of a recording. `fields` are (offset, bytes) in its context; `loads` the instructions, by function,
    whose values were kept; `code` the functions as they ran, `source` digests of them as they were compiled."""

    name: str
    kind: int
    fields: tuple[tuple[int, int], ...]
    loads: Mapping[str, tuple[int, ...]]
    functions: tuple[str, ...]
    code: Mapping[str, bytes]
    source: Mapping[str, str]


class Recording:
    """A recording in memory: `facts` about the machine, `programs`, `runs` in the order in which they began, `notes`.

        recording = Recording.open("run.rec")
        print(len(recording.runs), recording.lost)
    """

    def __init__(self, facts: Mapping[str, Any], programs: Iterable[Recorded], runs: Iterable[Run],
                 notes: Iterable[Note]) -> None:
        self.facts = dict(facts)
        self.programs = tuple(programs)
        self.runs = tuple(sorted(runs))
        self.notes = tuple(notes)

    @classmethod
    def open(cls, path: str) -> Recording:
        """Read a file. FormatError for what is none, or is damaged."""
        with open(path, "rb") as file:
            data = file.read(MOST_BYTES + _HEAD.size + 1)
        return cls.parse(data)

    @classmethod
    def parse(cls, data: bytes) -> Recording:
        """The same from bytes."""
        facts, notes, records = _unpacked(data)
        programs = tuple(_program(each) for each in _list(facts.pop("programs", None), "programs"))
        _check_facts(facts)
        return cls(facts, programs, _runs(records, programs), [_note(each) for each in notes])

    @property
    def lost(self) -> int:
        """Runs that are missing: they found no room, or another run of their program was under way on their CPU."""
        return max(0, int(self.facts["runs"]) - len(self.runs))

    def runs_of(self, program: str) -> list[Run]:
        """The runs of one program, in order."""
        numbers = {index for index, each in enumerate(self.programs) if each.name == program}
        return [run for run in self.runs if run.program in numbers]

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        import json
        facts = {**self.facts, "programs": [_written(program) for program in self.programs]}
        parts = []
        for part in (facts, [[note.what, note.before, note.after, note.data] for note in self.notes]):
            text = json.dumps(part, separators=(",", ":")).encode()
            parts += [len(text).to_bytes(4, "little"), text]
        body = b"".join([*parts, *map(_record, self.runs)])
        if len(body) > MOST_BYTES:
            raise FormatError(f"a recording of {len(body):,} bytes", why=f"{MOST_BYTES:,} are the most",
                              cure="Record for a shorter time.")
        packed = zlib.compress(body, 9)
        return _HEAD.pack(MAGIC, VERSION, 0, len(packed), len(body), zlib.crc32(packed)) + packed

    def write(self, path: str) -> None:
        """Write the file."""
        data = self.to_bytes()
        with open(path, "wb") as file:
            file.write(data)

    def __repr__(self) -> str:
        names = ", ".join(program.name for program in self.programs)
        return f"<Recording of {names}: {len(self.runs)} runs, {self.lost} lost>"


# writing


def _written(program: Recorded) -> dict[str, Any]:
    return {"name": program.name, "kind": program.kind, "fields": program.fields, "loads": dict(program.loads),
            "functions": program.functions, "code": {name: code.hex() for name, code in program.code.items()},
            "source": dict(program.source)}


def _filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


def _record(run: Run) -> bytes:
    parts = [b"".join(value.to_bytes(8, "little") for value in run.context), _filled(run.packet)]
    parts += [_ENTRY.pack(e.what, len(e.data), e.result) + _filled(e.data) for e in run.entries]
    body = b"".join(parts)
    return _RUN.pack(run.number, run.time_ns, run.ended, run.cpu, run.program, _RUN.size + len(body), run.flags,
                     run.length, run.linear, len(run.packet), 0) + body


# reading


def _unpacked(data: bytes) -> tuple[dict[str, Any], list[Any], memoryview]:
    if len(data) < _HEAD.size or data[:8] != MAGIC:
        raise FormatError("this is no recording", why="it does not begin as one",
                          cure="Recordings are written by `bpfwright run --record FILE`.")
    _, version, _, packed, expanded, check = _HEAD.unpack_from(data)
    if version != VERSION:
        raise FormatError(f"a recording of version {version}", why=f"this bpfwright reads version {VERSION}")
    body = data[_HEAD.size:]
    if len(body) != packed or zlib.crc32(body) != check:
        raise FormatError("the recording is damaged", why="its checksum or its length is not what its head says")
    if expanded > MOST_BYTES:
        raise FormatError(f"a recording of {expanded:,} bytes", why=f"{MOST_BYTES:,} are the most that is read")
    expander = zlib.decompressobj()
    try:
        raw = expander.decompress(body, expanded + 1)
    except zlib.error as error:
        raise FormatError("the recording is damaged", why=str(error)) from None
    if len(raw) != expanded or not expander.eof or expander.unused_data:
        raise FormatError("the recording is damaged", why="it does not expand to what its head says")
    facts, at = _json(raw, 0)
    notes, at = _json(raw, at)
    if not isinstance(facts, dict):
        raise FormatError("the recording is damaged", why="its facts are no table")
    return facts, _list(notes, "notes"), memoryview(raw)[at:]


def _json(raw: bytes, at: int) -> tuple[Any, int]:
    import json
    size = int.from_bytes(raw[at:at + 4], "little")
    if at + 4 + size > len(raw):
        raise FormatError("the recording is damaged", why="a part of it is cut off", offset=at)
    try:
        return json.loads(raw[at + 4:at + 4 + size]), at + 4 + size
    except (ValueError, RecursionError):
        raise FormatError("the recording is damaged", why="a part of it is no JSON", offset=at) from None


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise FormatError("the recording is damaged", why=f"its {what} are no list")
    return value


def _is_number(value: Any, most: int = 1 << 64) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < most


def _check_facts(facts: dict[str, Any]) -> None:
    cpus = facts.get("cpus")
    if not _is_number(cpus, _MOST_CPUS + 1) or not cpus or not _is_number(facts.get("runs")):
        raise FormatError("the recording is damaged", why="it does not say how many CPUs and runs there were")
    texts = ("features", "words")
    if not all(isinstance(facts.get(name, []), list) and all(isinstance(each, str) for each in facts.get(name, []))
               for name in texts):
        raise FormatError("the recording is damaged", why="its facts are not what facts are")
    for name in ("formats", "events", "prototypes"):
        if not isinstance(facts.get(name, {}), dict):
            raise FormatError("the recording is damaged", why=f"its {name} are no table")
    for name, text in facts.get("formats", {}).items():
        if not isinstance(text, str):
            raise FormatError("the recording is damaged", why=f"the format of {name[:99]} is no text")
    for name, pairs in (*facts.get("events", {}).items(), *facts.get("prototypes", {}).items()):
        if pairs is not None and not (isinstance(pairs, list) and all(_is_pair(pair, str) for pair in pairs)):
            raise FormatError("the recording is damaged", why=f"what it says of {name[:99]} is no list of pairs")


def _is_pair(value: Any, of: type) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(each, of) for each in value)


def _program(value: Any) -> Recorded:
    wrong = FormatError("the recording is damaged", why="a program in it is not described as programs are")
    if not isinstance(value, dict):
        raise wrong
    try:
        name, kind, functions = value["name"], value["kind"], value["functions"]
        fields = tuple((offset, size) for offset, size in value["fields"])
        loads = {str(key): tuple(places) for key, places in value["loads"].items()}
        code = {str(key): bytes.fromhex(text) for key, text in value["code"].items()}
        source = {str(key): str(text) for key, text in value["source"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise wrong from None
    if not isinstance(name, str) or len(name) > _MOST_NAME or not _is_number(kind, 1 << 16) \
            or not isinstance(functions, list) or not all(isinstance(each, str) for each in functions) \
            or not all(_is_number(offset, 4096) and size in (1, 2, 4, 8) for offset, size in fields) \
            or not all(_is_number(place, 1 << 20) for places in loads.values() for place in places):
        raise wrong
    return Recorded(name, kind, fields, loads, tuple(functions), code, source)


def _note(value: Any) -> Note:
    if not isinstance(value, list) or len(value) != 4 or not isinstance(value[0], str) \
            or not _is_number(value[1]) or not _is_number(value[2]):
        raise FormatError("the recording is damaged", why="a note in it is not what notes are")
    return Note(*value)


def _runs(records: memoryview, programs: tuple[Recorded, ...]) -> Iterator[Run]:
    at = 0
    while at < len(records):
        try:
            (*_, program, size, _, _, _, _, _) = _RUN.unpack_from(records, at)
        except StructError:
            raise FormatError("the recording is damaged", why="a run is cut off") from None
        if program >= len(programs) or size < _RUN.size or at + size > len(records) or size % 8:
            raise FormatError("the recording is damaged", why="a run has no program, or no end")
        yield read_run(records[at:at + size], len(programs[program].fields))
        at += size


def read_run(record: memoryview | bytes, fields: int) -> Run:
    """One record as a program wrote it."""
    number, time_ns, ended, cpu, program, size, flags, length, linear, kept, _ = _RUN.unpack_from(record)
    at = _RUN.size + 8 * fields
    packet_end = at + kept + 7 & ~7
    if packet_end > len(record) or size > len(record) or cpu >= _MOST_CPUS:
        raise FormatError("the recording is damaged", why="a run is shorter than what is in it")
    context = unpack_from(f"<{fields}Q", record, _RUN.size)
    packet = bytes(record[at:at + kept])
    entries = []
    at = packet_end
    while at < size:
        if at + _ENTRY.size > size:
            raise FormatError("the recording is damaged", why="a run's entry is cut off")
        what, count, result = _ENTRY.unpack_from(record, at)
        at += _ENTRY.size
        if at + (count + 7 & ~7) > size:
            raise FormatError("the recording is damaged", why="a run's entry is longer than the run")
        entries.append(Entry(what, result, bytes(record[at:at + count])))
        at += count + 7 & ~7
    return Run(number, time_ns, ended, cpu, program, flags, length, linear, packet, context, tuple(entries))

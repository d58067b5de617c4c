"""Replays: the program finds what it found, user space is told what it was told, and anything else is an error."""
from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright import L, Recording, Replay, Struct, Userspace, attach, char, load, u32, u64
from bpfwright.errors import BpfwrightError, NotSupported, ReplayError, SessionError
from bpfwright.formats.recording import Entry, Note, Run
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, RingBuf
from bpfwright.recording.instrument import instrument
from bpfwright.recording.recorder import described
from bpfwright.tracepoints.syscalls import sys_enter_openat

pytestmark = pytest.mark.userspace
TOP = Path(__file__).parents[2]
KEPT = TOP / "tests" / "data" / "recordings"
CLOCK, PID, TEXT, ROOM = 5, 14, 114, 131


class Seen(Struct):
    pid: u32
    at: u64
    path: char[L[32]]


seen = RingBuf[Seen](size_bytes=4096)
counts = Hash[u32, u64](max_entries=64)


@tracepoint.program
def opening(ctx: sys_enter_openat) -> None:
    path = ctx.filename.read(32)
    if path is not None:
        counts.increment(current.pid)
        seen.emit(Seen(current.pid, now_ns(), path))


@tracepoint.program
def changed(ctx: sys_enter_openat) -> None:
    """Asks the clock first, and for the process once more."""
    at = now_ns()
    path = ctx.filename.read(32)
    if path is not None:
        seen.emit(Seen(current.tid + 0 * current.pid, at, path))


def described_here(*programs: Any) -> list[Any]:
    """What a recording would say of programs."""
    with Userspace(memory_bytes=1 << 22) as machine, load(*programs, machine=machine) as session:
        spec = session.loaded.spec
    functions = {function.name: function for function in spec.functions}
    return [described(plan, functions, functions) for plan in instrument(spec, 2, 0, list(spec.programs))[1]]


DESCRIBED: list[Any] = []


def recording(*runs: Run, notes: tuple[Note, ...] = ()) -> Recording:
    if not DESCRIBED:
        DESCRIBED.extend(described_here(opening))
    with Userspace(memory_bytes=1 << 22) as machine:
        features = sorted(machine.target_features)
    return Recording({"cpus": 2, "runs": len(runs), "features": features}, DESCRIBED, runs,
                     [Note("attach", 0, 0, ["opening", "somewhere"]), *notes])


def found(pid: int, at: int, path: bytes) -> tuple[Entry, ...]:
    """What `opening` asks, in its order."""
    order = {TEXT: Entry(TEXT, len(path), path), PID: Entry(PID, pid << 32 | pid, b""), CLOCK: Entry(CLOCK, at, b""),
             ROOM: Entry(ROOM, 0xFFFF888000000000, b"")}
    return tuple(order[what] for what in (TEXT, PID, ROOM, PID, CLOCK))


def a_run(number: int, pid: int = 7, path: bytes = b"/etc/passwd\0", **other: Any) -> Run:
    run = Run(number, 1000 * number, number + 1, number % 2, 0, 0, 0, 0, b"", (0x7FFF0000,),
              found(pid, 1000 * number + 5, path))
    return run._replace(**other)


def replayed(kept: Recording, count: int = 0) -> list[Seen]:
    """Let everything run, then take so many records."""
    kept = Recording(kept.facts, kept.programs, kept.runs, [*kept.notes, Note("records", 9, 9, ["seen", count])])
    with Replay(kept, memory_bytes=1 << 22) as machine, attach(opening, machine=machine) as session:
        assert session.links[0].description == "somewhere"
        machine.run_all()
        assert machine.replayed == len(kept.runs)
        return [*session.events(seen)]


def shown(events: list[Seen]) -> list[tuple[int, int, str]]:
    return [(event.pid, event.at, event.path) for event in events]


def test_the_program_finds_what_it_found() -> None:
    events = replayed(recording(a_run(0), a_run(1, 8, b"/tmp/x\0")), 2)
    assert shown(events) == [(7, 5, "/etc/passwd"), (8, 1005, "/tmp/x")]


def test_what_could_not_be_read_could_not() -> None:
    unread = a_run(0, entries=(Entry(TEXT, (1 << 64) - 14, bytes(32)),))
    assert replayed(recording(unread)) == []


def test_room_that_was_not_there_is_not_there() -> None:
    entries = found(7, 5, b"/\0")
    full = a_run(0, entries=tuple(e if e.what != ROOM else e._replace(result=0) for e in entries[:3]))
    with Replay(recording(full), memory_bytes=1 << 22) as machine, attach(opening, machine=machine):
        machine.run_all()
        assert seen.lost == 1


@pytest.mark.parametrize(("entries", "said"), [
    ((), r"asks bpf_probe_read_user_str\(\) at .*test_replay.py:\d+, where it had ended"),
    ((Entry(CLOCK, 1, b""),), r"asks bpf_probe_read_user_str\(\).*where it had bpf_ktime_get_ns\(\)"),
    ((*found(7, 5, b"/\0"), Entry(1 << 16 | 8, 5, b"")), "it ended, where it had a load of 8 bytes of the kernel's"),
    ((Entry(TEXT, 40, b"x" * 40),), "40 bytes were found, where there is room for 32"),
])
def test_another_way_is_an_error(entries: tuple[Entry, ...], said: str) -> None:
    with pytest.raises(ReplayError, match=f"(?s)run.*goes another way than it did.*{said}"):
        replayed(recording(a_run(0, entries=entries)))


def test_a_run_that_had_no_room_says_so() -> None:
    with pytest.raises(ReplayError, match="found more than a record has room for"):
        replayed(recording(a_run(0, entries=found(7, 5, b"/\0")[:3], flags=1)))


def test_another_program_is_refused_and_runs_when_it_is_asked_to() -> None:
    kept = recording(a_run(0), a_run(1, 9))
    other = Recording(kept.facts, [described_here(changed)[0]._replace(source=DESCRIBED[0].source)], kept.runs,
                      [Note("attach", 0, 0, ["changed", "somewhere"])])
    with Replay(other, memory_bytes=1 << 22) as machine:
        with pytest.raises(ReplayError, match="changed is not the program that was recorded"):
            load(changed, machine=machine)
    with Replay(kept, memory_bytes=1 << 22) as machine:
        with pytest.raises(ReplayError, match="no run of changed is in this recording"):
            load(changed, machine=machine)
    with Replay(other, strict=False, memory_bytes=1 << 22) as machine, attach(changed, machine=machine) as session:
        assert [event.path for event in session.events(seen)] == []  # the clock came last, and is asked first
    fits = Recording(other.facts, other.programs, [run._replace(entries=(run.entries[4], *run.entries[:4]))
                                                   for run in other.runs], other.notes)
    with Replay(fits, strict=False, memory_bytes=1 << 22) as machine, attach(changed, machine=machine) as session:
        assert shown([*session.events(seen)]) == [(7, 5, "/etc/passwd"), (9, 1005, "/etc/passwd")]


# what user space asks

KEY, ONE, TWO = "07000000", "0100000000000000", "0200000000000000"


def asked(*notes: Note, runs: int = 3) -> Iterator[Any]:
    with Replay(recording(*(a_run(n) for n in range(runs)), notes=notes), memory_bytes=1 << 22) as machine, \
            attach(opening, machine=machine) as session:
        yield machine, session


def test_programs_run_until_user_space_sees_what_it_saw() -> None:
    """Between the first and the third run it saw one; which runs were over then, its answer says."""
    notes = (Note("lookup", 0, 0, ["counts", KEY, None]), Note("lookup", 1, 3, ["counts", KEY, ONE]),
             Note("lookup", 1, 3, ["counts", KEY, TWO]))
    for machine, _ in asked(*notes):
        with pytest.raises(KeyError):
            print(counts[7])
        assert counts[7] == 1 and counts[7] == 2
        assert machine.replayed == 2 and machine.ended


def test_an_answer_that_never_comes_out_is_an_error() -> None:
    for _ in asked(Note("lookup", 1, 2, ["counts", KEY, "6300000000000000"])):
        with pytest.raises(ReplayError, match="gives something else than it did"):
            print(counts[7])


def test_another_question_is_an_error() -> None:
    for _ in asked(Note("lookup", 1, 2, ["counts", KEY, ONE])):
        with pytest.raises(ReplayError, match="user space does lookup counts 08000000, where it did lookup counts"):
            print(counts[8])
    for _ in asked():
        with pytest.raises(ReplayError, match="where it did nothing more"):
            print(counts[7])


def test_entries_come_in_the_order_in_which_they_came() -> None:
    runs = [a_run(n, pid) for n, pid in enumerate((9, 7, 8))]
    pairs = [[f"{pid:02x}000000", ONE] for pid in (8, 9, 7)]
    with Replay(recording(*runs, notes=(Note("items", 3, 3, ["counts", pairs]),)), memory_bytes=1 << 22) as machine, \
            attach(opening, machine=machine):
        assert [*counts.items()] == [(8, 1), (9, 1), (7, 1)]


def test_rings_are_taken_from_as_they_were() -> None:
    notes = (Note("records", 2, 2, ["seen", 2]), Note("lookup", 2, 2, ["counts", KEY, TWO]),
             Note("records", 3, 3, ["seen", 1]))
    for machine, session in asked(*notes):
        events = session.events(seen)
        assert len([*events]) == 2 and counts[7] == 2
        assert len([*events]) == 1 and machine.ended


def test_a_recording_without_a_ring_record_is_an_error() -> None:
    for _, session in asked(Note("records", 3, 3, ["seen", 4])):
        with pytest.raises(ReplayError, match="took 4 records of seen, and there are 3"):
            list(session.events(seen))


def test_links_keep_their_program() -> None:
    for _, session in asked():
        with pytest.raises(BpfwrightError):
            session.links[0].pin("/x")


def test_a_machine_that_is_closed_loads_nothing() -> None:
    machine = Replay(recording(), memory_bytes=1 << 22)
    machine.close()
    with pytest.raises(SessionError):
        load(opening, machine=machine)


# what is kept, changed

def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"replayed_{name}", TOP / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TCP_LIFE = example("tcp_life")
WHOLE = Recording.open(str(KEPT / "tcp_life.rec"))


@settings(max_examples=settings().max_examples // 10 or 1)
@given(st.data())
def test_whatever_a_recording_says_the_replay_ends(data: st.DataObject) -> None:
    """Entries, contexts and notes that nobody recorded: an error of ours, or other events; never a crash."""
    runs = list(WHOLE.runs)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(runs) - 1))
        run = runs[place]
        entries = list(run.entries)
        if data.draw(st.booleans()) and entries:
            at = data.draw(st.integers(0, len(entries) - 1))
            entries[at] = Entry(data.draw(st.one_of(st.just(entries[at].what), st.integers(0, 1 << 18))),
                                data.draw(st.integers(0, (1 << 64) - 1)), data.draw(st.binary(max_size=40)))
        context = tuple(data.draw(st.one_of(st.just(value), st.integers(0, (1 << 64) - 1))) for value in run.context)
        runs[place] = run._replace(entries=tuple(entries), context=context, cpu=data.draw(st.integers(0, 255)))
    notes = [*WHOLE.notes]
    if data.draw(st.booleans()) and notes:
        place = data.draw(st.integers(0, len(notes) - 1))
        notes[place] = notes[place]._replace(data=data.draw(st.recursive(
            st.none() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=5)))
    kept = Recording(WHOLE.facts, WHOLE.programs, runs, notes)
    strict = data.draw(st.booleans())
    try:
        with Replay(kept, strict=strict, memory_bytes=1 << 23) as machine:
            with attach(TCP_LIFE.changed, machine=machine) as session:
                for event in session.events(TCP_LIFE.lives):
                    assert 0 <= event.sport < 1 << 16
                machine.run_all()
    except BpfwrightError as error:
        assert not isinstance(error, NotSupported)

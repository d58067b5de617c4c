"""Coverage of kernel programs: what it claims did run, in each engine, in reports, and in coverage.py's own."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from struct import pack
from types import FrameType
from typing import Any

import pytest
from coverage.parser import PythonParser

from bench.workloads import PACKETS, WORK
from bpfwright import Struct, Userspace, load, shared, u32, u64
from bpfwright.cli.sources import load_module, programs_of
from bpfwright.errors import BpfwrightError, CompileError, Fault
from bpfwright.headers import TCP, Ethernet, IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash, ProgArray
from bpfwright.objfile import read
from bpfwright.userspace.coverage import FileReport
from bpfwright.userspace.statements import places_of
from tests.lang.test_fuzz import Writer
from tests.lang.threeway import _ENTRIES, MASK, Answer, _resolved, define, parameter_types, wrapped

TOP = Path(__file__).parents[2]
ENGINES = ("interpreter", "jit")
HERE = __file__
pytestmark = pytest.mark.userspace


class Blocked(Struct):
    packets: u64


blocked = Hash[u32, Blocked](max_entries=16)


@xdp.program
def firewall(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    entry = blocked.get(ip.ttl)
    if entry is None:
        return xdp.PASS
    entry.packets += 1
    return xdp.DROP


START = firewall.function.__code__.co_firstlineno
FIRST = START + 2
PACKET = Ethernet() / IPv4(ttl=64) / TCP(dport=80)


def after(engine: str, *packets: Any, entries: dict[int, int] | None = None) -> FileReport:
    """The report of this file once packets ran, lines counted from the program's first statement."""
    with Userspace(engine=engine, counts=True) as machine:
        with load(firewall, machine=machine) as program:
            for key, count in (entries or {}).items():
                blocked[key] = Blocked(count)
            for packet in packets:
                program.test(packet)
        return machine.coverage().files[HERE]


def lines(found: set[int]) -> list[int]:
    return sorted(line - FIRST for line in found)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_ran_grows_with_the_packets(engine: str) -> None:
    assert lines(after(engine, PACKET).ran) == [0, 1, 3, 4, 5]
    assert lines(after(engine, Ethernet() / b"123456").ran) == [0, 1, 2]
    assert lines(after(engine, Ethernet(), PACKET).ran) == [0, 1, 2, 3, 4, 5]
    assert lines(after(engine, PACKET, entries={64: 1}).ran) == [0, 1, 3, 4, 6, 7]
    every = after(engine, Ethernet(), PACKET, IPV4_ONLY, entries={64: 1})
    assert lines(every.ran) == list(range(8)) and not every.missed and not every.vanished


IPV4_ONLY = Ethernet() / IPv4(ttl=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_branches_are_those_of_statements(engine: str) -> None:
    found = after(engine, PACKET)
    assert {line - FIRST: ways for line, ways in found.branches.items()} == {1: [0, 1], 4: [1, 0]}
    found = after(engine, Ethernet())
    assert {line - FIRST: ways for line, ways in found.branches.items()} == {1: [1, 0], 4: [None, None]}


@pytest.mark.parametrize("engine", ENGINES)
def test_arcs_are_those_of_coverage(engine: str) -> None:
    parser = PythonParser(filename=HERE)
    parser.parse_source()
    own = {arc for arc in parser.arcs() if any(FIRST <= line <= FIRST + 7 for line in arc)}
    found = after(engine, Ethernet(), PACKET, IPV4_ONLY, entries={64: 1}).arcs
    assert {arc for arc in found if arc[0] > 0} == own and (-START, FIRST) in found


@xdp.program
def no_telnet(ctx: xdp.Context) -> xdp.Action:
    tcp = ctx.find(TCP)
    if tcp is not None and tcp.dport == 23:
        return xdp.DROP
    return xdp.PASS


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("port", "ran"), [(23, [0, 1, 2]), (22, [0, 1, 3]), (0, [0, 1, 3])])
def test_returned_constants_tell_which_return_it_was(engine: str, port: int, ran: list[int]) -> None:
    first = no_telnet.function.__code__.co_firstlineno + 2
    with Userspace(engine=engine, counts=True) as machine:
        with load(no_telnet, machine=machine) as program:
            program.test(Ethernet() / IPv4() / TCP(dport=port) if port else Ethernet())
        assert sorted(line - first for line in machine.coverage().files[HERE].ran) == ran


def test_nothing_runs_by_itself() -> None:
    found = after("interpreter")
    assert not found.ran and {0, 3, 6} <= {line - FIRST for line in found.missed}
    assert not found.arcs and not found.hits.keys() - found.statements


def test_what_a_closed_machine_still_held_is_in_its_report() -> None:
    with Userspace() as other, load(firewall, machine=other) as session:
        spec = read(session.compiled.elf)
    machine = Userspace(counts=True)
    machine.load(spec).programs["firewall"].test_run(bytes(PACKET))
    machine.close()
    assert FIRST in machine.coverage().files[HERE].ran


def test_a_machine_that_does_not_count_reports_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfwright.userspace.machine.measuring", lambda: None)
    with Userspace() as machine, load(firewall, machine=machine) as program:
        program.test(PACKET)
        assert machine.coverage().files == {}


def test_the_table_and_the_tracefile() -> None:
    with Userspace(counts=True) as machine, load(firewall, machine=machine) as program:
        program.test(PACKET)
        program.test(PACKET)
        report = machine.coverage()
    table = str(report).splitlines()
    assert table[0].split("  ")[0] == "file" and table[1].startswith(HERE)
    assert f"{FIRST + 6}-{FIRST + 7}" in table[1] and table[1].endswith("2 of 4")
    records = report.lcov().splitlines()
    assert records[:2] == ["TN:", f"SF:{HERE}"] and records[-1] == "end_of_record"
    assert f"DA:{FIRST},2" in records and f"DA:{FIRST + 6},0" in records and f"DA:{FIRST + 5},1" in records
    assert f"BRDA:{FIRST + 1},0,0,0" in records and f"BRDA:{FIRST + 1},0,1,1" in records
    assert "BRF:4" in records and "BRH:2" in records and "LF:7" in records and "LH:5" in records


@pytest.mark.parametrize("engine", ENGINES)
def test_c_sources_have_lines_and_jumps_without_being_read(engine: str) -> None:
    with Userspace() as machine, load(firewall, machine=machine) as session:
        spec = read(session.compiled.elf)
    functions = tuple(function._replace(lines=tuple(line._replace(file="/nowhere/prog.c") for line in function.lines))
                      for function in spec.functions)
    with Userspace(engine=engine, counts=True) as machine:
        with machine.load(spec._replace(functions=functions)) as loaded:
            loaded.programs["firewall"].test_run(bytes(PACKET))
        found = machine.coverage().files["/nowhere/prog.c"]
        tracefile = machine.coverage().lcov()
    assert not found.statements and not found.proved
    assert {0, 3, 4} <= {line - FIRST for line in found.ran} and {6, 7} <= {line - FIRST for line in found.missed}
    assert found.jumps[FIRST + 4] == [(1, 0)] and found.branches[FIRST + 4] == [1, 0]
    assert f"DA:{FIRST + 6},0" in tracefile and f"BRDA:{FIRST + 4},0,0,1" in tracefile


# against Python itself


def traced(function: Callable[..., int], calls: list[tuple[int, ...]],
           ) -> tuple[set[int], set[tuple[int, int]], list[int]]:
    """Python's own lines, arcs and results."""
    file = function.__code__.co_filename
    ran: set[int] = set()
    arcs: set[tuple[int, int]] = set()
    last: dict[FrameType, int] = {}

    def local(frame: FrameType, event: str, argument: object) -> Any:
        if event == "line":
            ran.add(frame.f_lineno)
            arcs.add((last[frame], frame.f_lineno))
            last[frame] = frame.f_lineno
        elif event == "return":
            arcs.add((last[frame], -frame.f_code.co_firstlineno))
        return local

    def entered(frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename != file:
            return None
        last[frame] = -frame.f_code.co_firstlineno
        return local

    before = sys.gettrace()
    sys.settrace(entered)
    try:
        results = [function(*each) for each in calls]
    finally:
        sys.settrace(before)
    return ran, arcs, results


def operands(random: Random, types: list[Any]) -> tuple[int, ...]:
    return tuple(min(max(random.choice([t.low, t.high, 0, 1, 3, 7, random.randint(-100, 100),
                                        random.randint(t.low, t.high)]), t.low), t.high) for t in types)


@pytest.mark.parametrize("block", range(4))
def test_what_is_claimed_ran_in_python_too(block: int) -> None:
    """Random programs of arithmetic, the hardest case: the compiler moves, merges and removes most of it."""
    claimed = tried = 0
    for seed in range(40 * block, 40 * block + 40):
        random, drawn = Random(seed), Random(-seed)
        text = Writer(random).function()
        if seed % 2:
            text = text.replace("def f(", "@subprogram\ndef f(")
        if seed % 4 == 3:  # as packet programs do: which constant it was tells where a run ended
            text = "\n".join(re.sub("return .*", f"return {drawn.randint(0, 3)}", line) for line in text.splitlines())
        function: Any = define(text)
        types, result = parameter_types(function), _resolved(function, "return")
        calls = [operands(random, types) for _ in range(random.choice([1, 3, 10]))]
        ran, arcs, results = traced(function, calls)
        answer = shared(Answer(0, 0))
        try:
            with Userspace(engine="jit" if seed % 8 == 0 else "interpreter", counts=True) as machine:
                with load(_ENTRIES[len(types)](function, answer), machine=machine) as program:
                    for each, expected in zip(calls, results, strict=True):
                        program.test(each)
                        assert int(answer.value) & MASK == wrapped(expected, result)
                files = machine.coverage().files
        except CompileError:  # a constant that fits in Python only
            continue
        found = files.get(function.__code__.co_filename)
        if found is None:
            continue
        choices = {(line, way) for line, ways in found.choices.items() for way in ways}
        assert found.ran <= ran, f"seed {seed}: {sorted(found.ran - ran)} did not run\n{text}"
        assert found.arcs & choices <= arcs, f"seed {seed}: {sorted((found.arcs & choices) - arcs)} not taken\n{text}"
        claimed += len(found.ran)
        tried += 1
    assert tried >= 25 and claimed >= 100


SOURCES = sorted([*(TOP / "examples").glob("*.py"), *(TOP / "bench" / "programs").glob("*.py"),
                  *(TOP / "tests" / "formats").glob("*.py"), *(TOP / "src" / "bpfwright" / "userspace").glob("*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_statements_follow_each_other_as_coverage_has_it(path: Path) -> None:
    parser = PythonParser(filename=str(path))
    parser.parse_source()
    theirs = parser.arcs()
    places = places_of(str(path))
    assert places is not None
    for flow in places.flows:
        text = path.read_text().splitlines()[-flow.gate - 1:max([-flow.gate, *flow.statements]) + 6]
        if any(line.lstrip().startswith(("try:", "with ")) or re.search(r"\bdef .*: *\.\.\.", line) for line in text):
            continue  # the dialect has no `try`; coverage.py leaves a `with` by its head; a body beside its head
        mine = {(one, other) for one, after in flow.following.items() for other in after if one > 0}
        assert mine == {arc for arc in theirs if arc[0] > 0 and arc[0] != arc[1]
                        and (arc[0] in flow.statements or arc[1] in flow.statements)}, flow.name


# against an independent counter


def fed() -> Iterator[tuple[Path, str]]:
    for path in [*(TOP / "bench" / "programs").glob("*.py"), *(TOP / "examples").glob("*.py")]:
        for program in programs_of(vars(load_module(str(path)))):
            if program.name != "longest":  # a million rounds are for the benchmark
                yield path, program.name


def inputs(program: Any) -> list[dict[str, bytes]]:
    if program.hook.name in ("xdp", "tc", "socket filter") or program.hook.type in (3, 6, 8):
        return [{"data": packet} for packet in PACKETS.values()]
    return [{"context": pack("<32Q", *range(n, n + 32))} for n in (0, 5, 1 << 40)]


def counted(path: Path, name: str, engine: str, *, trace: bool) -> dict[tuple[str, int], int] | None:
    """How often each line's first instruction ran, by the counters or by a trace; None for what cannot be fed here."""
    program = next(each for each in programs_of(vars(load_module(str(path)))) if each.name == name)
    seen: Counter[int] = Counter()
    with Userspace(engine=engine, counts=not trace) as machine:
        try:
            with load(program, machine=machine) as session:
                loaded: Any = session.program(program)
                for map_name, entries in WORK[name].fill.items() if name in WORK else ():
                    handle: Any = session.loaded.maps[map_name]
                    for key, value in entries:
                        handle.update(key, value.ljust(handle.value_size, b"\0"))
                if trace:
                    loaded.interpreter.trace = lambda slot, registers: seen.update((slot,))
                for each in inputs(program):
                    try:
                        loaded.test_run(**each)
                    except Fault as fault:
                        if fault.kind == "call":  # a helper that the machine does not have
                            return None
                executed = [seen[slot] for slot in range(len(loaded.code.slots))] if trace else loaded.counts.executed()
                return {(line.file, line.index): executed[line.index] for line in loaded.code.lines}
        except (BpfwrightError, AttributeError, TypeError):
            return None  # not for this machine: needs a kernel's types, or a hook that is fed otherwise


@pytest.mark.parametrize(("path", "name"), list(fed()), ids=lambda each: getattr(each, "stem", each))
def test_counters_agree_with_a_trace(path: Path, name: str) -> None:
    expected = counted(path, name, "interpreter", trace=True)
    for engine in ENGINES:
        assert counted(path, name, engine, trace=False) == expected


def test_most_programs_could_be_fed() -> None:
    done = [name for path, name in fed() if counted(path, name, "interpreter", trace=True) is not None]
    assert len(done) >= 12, done


# where a run ends early

stages = ProgArray[xdp.Context](max_entries=4)


@xdp.program
def entry(ctx: xdp.Context) -> xdp.Action:
    if ctx.length > 100:
        blocked[1] = Blocked(1)
    stages.tail_call(ctx, 1)
    blocked[2] = Blocked(2)
    return xdp.ABORTED


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("there", [True, False])
def test_behind_a_tail_call_nothing_is_taken_for_granted(engine: str, there: bool) -> None:
    with Userspace(engine=engine, counts=True) as machine:
        with load(entry, firewall, machine=machine) as session:
            if there:
                stages[1] = firewall
            result = session.test_of(entry, PACKET)
            assert result.action == (xdp.PASS if there else xdp.ABORTED)
        found = machine.coverage().files[HERE]
    first = entry.function.__code__.co_firstlineno + 2
    assert {line - first for line in found.ran if first <= line < first + 5} == ({0, 2} if there else {0, 2, 3, 4})


SPIN = """
def entry(ctx):
    n: u32 = 0
    counts[1] = n
    while True:
        n += 1
        counts[2] = n
        if n == 0:
            break
    counts[3] = n
    return xdp.PASS
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_was_stopped_proves_nothing_behind(engine: str, tmp_path: Path) -> None:
    file = tmp_path / "spinning.py"
    file.write_text("from bpfwright import u32\nfrom bpfwright.hooks import xdp\nfrom bpfwright.maps import Hash\n"
                    "counts = Hash[u32, u32](max_entries=4)\n@xdp.program"
                    + SPIN.replace("(ctx)", "(ctx: xdp.Context) -> xdp.Action"))
    program = load_module(str(file)).entry
    with Userspace(engine=engine, counts=True, budget=1000) as machine:
        with load(program, machine=machine) as session, pytest.raises(Fault):
            session.test(PACKET)
        found = machine.coverage().files[str(file)]
    text = file.read_text().splitlines()
    ran = {text[line - 1].strip() for line in found.ran}
    assert {"counts[1] = n", "counts[2] = n"} <= ran and not {"counts[3] = n", "break", "return xdp.PASS"} & ran


# coverage.py and pytest-cov

PROJECT = {
    "guard.py": '''
from bpfwright import u32
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash, ProgArray

seen = Hash[u32, u32](max_entries=8)


def is_near(ttl: int) -> bool:
    return ttl > 200


@xdp.program
def guard(ctx: xdp.Context) -> xdp.Action:
    """Lets near ones pass."""
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    seen[ip.ttl] = 1
    if is_near(ip.ttl):
        return xdp.PASS
    if ip.protocol == 6:
        seen[0] = 2
        return xdp.TX
    return xdp.DROP


def unused() -> int:
    return 3
''',
    "test_guard.py": '''
from bpfwright import Userspace, load
from bpfwright.headers import TCP, Ethernet, IPv4
from bpfwright.hooks import xdp
from guard import guard


def test_drops() -> None:
    with load(guard, machine=Userspace()) as program:
        assert program.test(Ethernet() / IPv4(ttl=9)).action == xdp.DROP


def test_other() -> None:
    with load(guard, machine=Userspace()) as program:
        assert program.test(Ethernet() / b"1234567890").action == xdp.PASS
''',
}


def covered(folder: Path, *options: str) -> dict[str, Any]:
    """The JSON report on guard.py of a pytest run."""
    for name, text in PROJECT.items():
        (folder / name).write_text(text)
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov=guard",
                           "--cov-report=json", "--cov-report=lcov", "-W", "error", *options], cwd=folder,
                          capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TOP / "src")})
    assert done.returncode == 0, done.stdout + done.stderr
    report: dict[str, Any] = json.loads((folder / "coverage.json").read_text())
    assert list(report["files"]) == ["guard.py"]
    return dict(report["files"]["guard.py"])


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(PROJECT["guard.py"].splitlines(), 1) if text in line)


def test_pytest_cov_shows_kernel_programs(tmp_path: Path) -> None:
    found = covered(tmp_path)
    missed = {line_of("seen[0] = 2"), line_of("return xdp.TX"), line_of("return 3")}
    unknown = {line_of("if is_near") + 1}
    assert missed | unknown == set(found["missing_lines"])
    assert {line_of("ip = ctx"), line_of("if ip is"), line_of("if ip is") + 1, line_of("seen[ip.ttl]"),
            line_of("return ttl > 200"), line_of("return xdp.DROP")} <= set(found["executed_lines"])
    lcov = (tmp_path / "coverage.lcov").read_text()
    assert f"DA:{line_of('return xdp.TX')},0" in lcov and f"DA:{line_of('seen[ip.ttl]')},1" in lcov


def test_pytest_cov_shows_their_branches(tmp_path: Path) -> None:
    found = covered(tmp_path, "--cov-branch")
    of_guard = [pair for pair in found["missing_branches"] if pair[0] >= line_of("ip = ctx")]
    assert of_guard == [[line_of("if is_near"), line_of("if is_near") + 1],
                        [line_of("if ip.protocol"), line_of("seen[0] = 2")]]
    assert [line_of("if ip is"), line_of("if ip is") + 1] in found["executed_branches"]
    assert [line_of("if ip is"), line_of("seen[ip.ttl]")] in found["executed_branches"]


def test_omitted_files_stay_out(tmp_path: Path) -> None:
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "rc").write_text("[run]\nomit = guard.py\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cov=.", "--cov-config=rc",
                           "--cov-report=json", "-W", "error"], cwd=tmp_path, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(TOP / "src")})
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(json.loads((tmp_path / "coverage.json").read_text())["files"]) == ["test_guard.py"]

"""Random bytes as bytecode, objects, captures and BTF: a clear error of ours or a result; never a crash, hang or leak.

Cases are drawn by number, so that a failing one is drawn again by its number alone. How many there are follows the
profile: some thousand on a desk and in CI, some million in `./dev full`.
"""
from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest
from hypothesis import settings

from bench import random_code
from bpfwright import Userspace, _llvm, objfile
from bpfwright.errors import BpfwrightError, Fault
from bpfwright.formats.btf import Btf
from bpfwright.formats.isa import OPCODES, Instruction, disassemble, encode
from bpfwright.formats.isa.opcodes import ATOMICS
from bpfwright.formats.pcap import read_capture, write_capture
from bpfwright.lang.compile import compile_programs
from bpfwright.session import target_of
from bpfwright.spec.objects import Function, ObjectSpec, ProgramSpec
from bpfwright.userspace.captures import drive
from bpfwright.userspace.verifier import Profile, verify
from tests.conformance.vectors import vectors
from tests.userspace.elsewhere_programs import counted

pytestmark = [pytest.mark.userspace, pytest.mark.timeout(0)]      # each case is watched by itself
CASES = 20 * settings().max_examples        # a desk draws 1,000 of each, CI 4,000, `full` 400,000
HANGS_AFTER_S = 20.0
CODES = tuple(vector.insns for vector in vectors())
PLACES = tuple(sorted(OPCODES))
NUMBERS = (0, 1, -1, 7, 8, 31, 32, 64, 512, -512, 1 << 20, (1 << 31) - 1, -(1 << 31))


def _never(number: int, frame: object) -> None:
    raise AssertionError(f"one case took longer than {HANGS_AFTER_S} s")


@contextmanager
def watched(what: str, number: int) -> Iterator[None]:
    """Name the case that goes wrong; errors of ours are what is wanted."""
    signal.setitimer(signal.ITIMER_REAL, HANGS_AFTER_S)
    try:
        yield
    except (BpfwrightError, Fault):
        pass
    except BaseException as problem:
        problem.add_note(f"{what}, case {number}")
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Descriptors, threads and mappings are as many as before, and no case may hang."""
    _llvm.start()       # the worker stays
    with Userspace(engine="jit", memory_bytes=1 << 20) as machine:
        machine.load_code(CODES[0]).call(0)
    before = held()
    old = signal.signal(signal.SIGALRM, _never)
    try:
        yield
    finally:
        signal.signal(signal.SIGALRM, old)
    after = held()
    assert after[:2] == before[:2], (before, after)
    assert after[2] <= before[2] + 40, (before, after)      # Python's own arenas come and go; a leak would be hundreds


def held() -> tuple[int, int, int]:
    """Open descriptors, threads, mappings."""
    with open("/proc/self/maps") as maps:
        return len(os.listdir("/proc/self/fd")), threading.active_count(), len(maps.readlines())


def changed(rng: Random, data: bytes) -> bytes:
    """Some bytes of it otherwise: bits, words with edges in them, pieces cut, doubled or moved."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 8, 30))):
        if not made:
            return bytes(rng.randrange(256) for _ in range(rng.randrange(64)))
        at = rng.randrange(len(made))
        way = rng.randrange(7)
        if way == 0:
            made[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            made[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif way == 2:
            word = rng.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data), rng.getrandbits(32)))
            at &= ~3
            made[at:at + 4] = word.to_bytes(4, "little")
        elif way == 3:
            del made[at:at + rng.choice((1, 4, 8, 64))]
        elif way == 4:
            made[at:at] = made[at:at + rng.choice((1, 8, 24))]
        elif way == 5 and len(made) > 8:
            del made[rng.randrange(len(made)):]
        else:
            other = rng.randrange(len(made))
            size = rng.choice((4, 8, 16))
            made[at:at + size], made[other:other + size] = made[other:other + size], made[at:at + size]
    return bytes(made)


def random_code_of(rng: Random) -> bytes:
    """Instructions of the table, their fields likely ones; not a valid program but by chance."""
    made = []
    for _ in range(rng.randint(1, 24)):
        row = OPCODES[rng.choice(PLACES)]
        offset, imm, high = rng.choice((0, 0, 1, 2, -1, -8, 8, rng.randint(-64, 64))), rng.choice(NUMBERS), 0
        if row.op == "atomic":
            imm = rng.choice(tuple(ATOMICS))
        elif row.op in ("to_le", "to_be", "bswap"):
            imm = rng.choice((16, 32, 64))
        elif row.op == "call":
            imm = rng.choice((1, 2, 3, 5, 7, 12, 14, 26, 28, 113, 130, 131, 132, 181, 203, rng.randint(0, 211)))
        elif row.op == "ldimm64":
            high = rng.choice((0, 0, -1, 1))
        made.append(Instruction(row.code, rng.randrange(11), rng.choice((0, 1, 2, rng.randrange(11))), offset, imm,
                                high))
    return encode([*made, Instruction(0xB7), Instruction(0x95)])


def test_bytecode() -> None:
    """Random and mutated programs: disassembled, judged, interpreted, and every fiftieth run as native code."""
    machines = {engine: Userspace(engine=engine, memory_bytes=1 << 20, budget=5_000, checks="always")
                for engine in ("interpreter", "jit")}
    profile = Profile(limit=2_000)
    ended = 0
    try:
        for number in range(CASES):
            rng = Random(number)
            way = rng.randrange(3)
            code = (random_code_of(rng) if way == 0 else changed(rng, rng.choice(CODES)) if way == 1
                    else rng.randbytes(8 * rng.randint(1, 30)))
            with watched("bytecode", number):
                list(disassemble(code))
            spec = ObjectSpec((ProgramSpec("main", "main", "xdp", 6),), (Function("main", code),), ())
            with watched("bytecode judged", number):
                verify(spec, "main", profile=profile)
            results = []
            for engine in ("interpreter", "jit")[:2 if number % 50 == 0 else 1]:
                with watched(f"bytecode by {engine}", number), machines[engine].load(spec) as loaded:
                    results.append(loaded.programs["main"].test_run(bytes(64)).value)
            ended += bool(results)
    finally:
        for machine in machines.values():
            machine.close()
    assert ended > CASES // 100     # not only refusals


def each_changed(what: str, originals: list[bytes], use: Callable[[bytes], object]) -> int:
    """Use each changed form; how many were taken."""
    taken = 0
    for number in range(CASES):
        rng = Random(f"{what} {number}")
        data = rng.randbytes(rng.randrange(400)) if rng.random() < 0.05 else changed(rng, rng.choice(originals))
        with watched(what, number):
            use(data)
            taken += 1
    return taken


@pytest.fixture(scope="module")
def compiled() -> bytes:
    with Userspace(memory_bytes=1 << 20) as machine:
        return compile_programs([counted], target_of(machine)).elf


def test_objects(compiled: bytes) -> None:
    """Object files: read, loaded, run once."""
    with Userspace(engine="interpreter", memory_bytes=1 << 22, budget=5_000) as machine:
        def use(data: bytes) -> None:
            spec = objfile.read(data)
            if sum(each.max_entries * (each.value_size + each.key_size + 64) for each in spec.maps) > 1 << 20:
                return      # a map as large as it says is no mistake
            with machine.load(spec) as loaded:
                for program in loaded.programs.values():
                    program.test_run(bytes(64))

        assert each_changed("object", [compiled], use) > CASES // 50


def test_captures(compiled: bytes) -> None:
    """Captures: read as Python does, and driven through a program as whole files."""
    packets = [(at, bytes((at * step) & 0xFF for step in range(14 + 9 * at))) for at in range(1, 9)]
    originals = [write_capture(packets), write_capture(packets[:1])]
    with Userspace(engine="interpreter", memory_bytes=1 << 22, budget=5_000) as machine:
        with machine.load(objfile.read(compiled)) as loaded:
            program = loaded.programs["counted"]

            def use(data: bytes) -> None:
                assert len(drive(program, data).actions) == sum(1 for _ in read_capture(data))

            assert each_changed("capture", originals, use) > CASES // 50


def test_btf() -> None:
    """Type information: every type's every part."""
    def use(data: bytes) -> None:
        types = Btf(data)
        for type_id in types.ids():
            types.name(type_id)
            for look in (types.size, types.members, types.enumerators, types.parameters, types.variables, types.array,
                         types.resolve, types.alignment, types.int_encoding):
                try:
                    look(type_id)
                except BpfwrightError:
                    continue
        list(types.find_all("u64"))

    assert each_changed("BTF", [random_code.BTF], use) > CASES // 50

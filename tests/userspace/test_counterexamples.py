"""Counterexamples: seeded bugs are shown with an input that faults again, sound programs never."""
from __future__ import annotations

import subprocess
from random import Random

import pytest

from bench import population, seeded
from bpfwright import objfile
from bpfwright.errors import BpfwrightError, Fault
from bpfwright.formats.btf import Btf
from bpfwright.spec.objects import ObjectSpec
from bpfwright.userspace import Userspace
from bpfwright.userspace.counterexamples import Input, Runner, search
from bpfwright.userspace.counterexamples.expressions import Expression, evaluate, invert
from bpfwright.userspace.counterexamples.inputs import seed_for
from bpfwright.userspace.counterexamples.showing import as_test, described
from bpfwright.userspace.verifier import Profile, Verdict, verify
from vmtest.verifier_logs import CLANG, SOURCES

# Mistakes whose harm a run shows, with the fault that it is; of the others the source says why there is none.
SHOWN = {"null_map_value": "read", "packet_variable_offset": "read", "map_value_past_end": "read",
         "map_value_out_of_bounds": "read", "missing_unlock": "held", "call_under_lock": "call",
         "uninitialized_register": "unset", "clobbered_register": "unset"}
TYPED = {"null_ring_record": "write", "missing_release": "held", "use_after_release": "write"}


def compiled(name: str) -> ObjectSpec:
    elf = subprocess.run([*CLANG, "-c", f"{name}.c", "-o", "-"], cwd=SOURCES, capture_output=True, check=True).stdout
    return objfile.read(elf, name)


@pytest.mark.parametrize("name", SHOWN)
def test_mistakes_in_c(name: str) -> None:
    show(name, SHOWN[name], None)


@pytest.mark.kernel  # they ask for its types
@pytest.mark.parametrize("name", TYPED)
def test_mistakes_on_kernel_events(name: str) -> None:
    show(name, TYPED[name], Btf.open("/sys/kernel/btf/vmlinux"))


def show(name: str, kind: str, types: Btf | None) -> None:
    spec = compiled(name)
    program = spec.programs[0].name
    verdict = verify(spec, program, kernel_btf=types)
    assert not verdict.accepted
    found = search(spec, program, verdict, seconds=5, kernel_btf=types).found
    assert found is not None and found.fault.kind == kind, found
    assert found.there
    with Runner(spec, program, types) as runner:  # a machine of its own, on the program as it is
        again = runner.run(found.given)
    assert again.fault is not None and again.sure
    assert (again.fault.kind, again.fault.instruction) == (found.fault.kind, found.fault.instruction)


@pytest.mark.parametrize("name", ["helper_not_allowed", "wrong_return_value", "packet_out_of_bounds"])
def test_what_no_run_shows(name: str) -> None:
    """The last reads byte 13 unchecked, and every packet has 14."""
    spec = compiled(name)
    program = spec.programs[0].name
    try:
        done = search(spec, program, verify(spec, program), seconds=1)
    except BpfwrightError:
        return  # no machine runs it at all
    assert done.found is None and done.runs > 0


def test_sound_programs_have_none() -> None:
    random = Random(7)
    sound = 0
    for kind, feature in population.strata():
        if feature not in ("packets", "maps", "ranges", "references", "loops") or sound == 24:
            continue
        spec = population.generate(random, kind, feature)
        try:
            if not verify(spec, "main", profile=Profile(limit=20_000)).accepted:
                continue
            aim = Verdict(False, "memory bounds", "", random.randrange(len(spec.functions[0].insns) // 8))
            done = search(spec, "main", aim, seconds=0.5)
        except BpfwrightError:
            continue
        assert done.found is None, (kind, feature, done.found)
        sound += 1
    assert sound >= 12


def test_seeded_bugs_of_random_programs() -> None:
    """Of the null checks that are taken out of programs that look something up, most are shown; all are confirmed."""
    random, profile = Random(3), Profile(limit=20_000)
    shown = asked = 0
    while asked < 12:
        spec = population.generate(random, random.choice(("xdp", "sched_cls", "tracepoint")), "maps")
        if not verify(spec, "main", profile=profile).accepted:
            continue
        source = seeded.Source("", "random", "", spec, lambda changed: (False, ""))
        for mutant in seeded.mutants(source):
            if mutant.change.endswith("the jump is never made") and asked < 12:
                verdict = verify(mutant.spec, "main", profile=profile)
                if verdict.accepted or verdict.reason != "null check":
                    continue
                asked += 1
                found = search(mutant.spec, "main", verdict, seconds=2).found
                shown += found is not None
                break
    assert shown >= 8, shown


def test_a_small_packet_faults_in_an_ordinary_machine_too() -> None:
    spec = compiled("packet_variable_offset")
    program = spec.programs[0].name
    found = search(spec, program, verify(spec, program), seconds=3).found
    assert found is not None and len(found.given.data) < 24
    with Userspace(engine="interpreter") as machine, machine.load(spec) as loaded, pytest.raises(Fault):
        loaded.programs[program].test_run(found.given.data)


def test_an_input_in_words_and_as_a_test() -> None:
    given = Input(b"\1" * 14, bytes(24), entries=(("flows", b"\0\0", b"\5"),), full=(("ring", 0),), socket=True)
    lines = described(given, 6)
    assert "packet of 14 bytes: 01 01" in lines[0]
    assert "map flows: [00 00] = 05" in lines and "map ring: full" in lines and "look-ups of sockets find one" in lines
    text = as_test(given, "x.py", "main")
    compile(text, "x", "exec")
    assert "full=(('ring', 0),)" in text and "def test_main_does_not_fault() -> None:" in text


def test_the_first_random_number_is_chosen() -> None:
    from bpfwright.spec.page import RANDOM
    from bpfwright.userspace.stores import helper_body
    random = helper_body(7)
    assert random is not None
    with Userspace() as machine:
        for wanted in (0, 1, 7, 0xFFFFFFFF, 0x12345678):
            machine.arena.bind()
            machine.set_word(RANDOM, seed_for(wanted))
            assert random() == wanted


def test_expressions_are_turned_around() -> None:
    """What a program does between a load and a comparison: bytes joined, swapped, masked, shifted, summed."""
    random = Random(1)
    parts = tuple(Expression("var", ("data", at), None, 8) for at in range(4))
    values = {("data", at): random.randrange(256) for at in range(4)}
    word = Expression("join", parts, None, 32)
    made = [word, Expression("swap", word, None, 32), Expression("add", word, 17, 64), Expression("xor", word, 99, 32),
            Expression("and", Expression("rsh", word, 4, 32), 0xFF, 32), Expression("lsh", word, 3, 64),
            Expression("or", Expression("lsh", parts[0], 8, 32), parts[1], 32), Expression("mul", word, 7, 64),
            Expression("byte", word, 2, 8), Expression("sub", 1000, parts[0], 64), Expression("sign", parts[3], 8, 64)]
    for term in made:
        for _ in range(20):
            target = evaluate(term, {name: random.randrange(256) for name in values})
            found = invert(term, target, values)
            assert found is not None, term.op
            assert evaluate(term, {**values, **found}) == target, term.op

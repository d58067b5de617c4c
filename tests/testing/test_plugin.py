"""The pytest plugin, in pytest runs of its own: fixtures, machines, seeds, and what a failing program shows."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
pytestmark = pytest.mark.userspace

GUARD = '''
from bpfwright import Config, L, Struct, array, u32, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import random_u32
from bpfwright.hooks import xdp
from bpfwright.maps import Array, Hash

drawn = Array[u32](max_entries=1)
seen = Hash[u32, u32](max_entries=4)

@xdp.program
def guard(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    drawn[0] = random_u32()
    seen[1] = ip.ttl
    return xdp.DROP

@xdp.program
def spinning(ctx: xdp.Context) -> xdp.Action:
    n: u32 = 0
    while True:
        n += 1
        seen[n & 3] = n

@xdp.program
def wrong(ctx: xdp.Context) -> xdp.Action:
    return ctx.nothing
'''


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder with what an installation would say about plugins."""
    told = tmp_path / "site" / "bpfwright_plugin-0.dist-info"
    told.mkdir(parents=True)
    declared = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"]
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: bpfwright-plugin\nVersion: 0\n")
    (told / "entry_points.txt").write_text("[pytest11]\n" + "".join(f"{k} = {v}\n" for k, v in declared.items()))
    (tmp_path / "guard.py").write_text(GUARD)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    return tmp_path


def run(folder: Path, text: str, *options: str) -> str:
    """What pytest says about a file of tests."""
    (folder / "test_it.py").write_text(text)
    path = f"{TOP / 'src'}{os.pathsep}{folder / 'site'}"
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *options],
                          cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path})
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


USES = '''
from bpfwright.headers import Ethernet, IPv4
from bpfwright.hooks import xdp
from guard import drawn, guard, seen, spinning, wrong

PACKET = Ethernet() / IPv4(ttl=5)
'''


def test_fixtures_load_and_unload(installed: Path) -> None:
    said = run(installed, USES + '''
kept = []

def test_one(bpf, userspace):
    program = bpf(guard)
    kept.append(userspace)
    assert bpf.machine is userspace and program.test(PACKET).action == xdp.DROP
    assert dict(seen.items()) == {1: 5}

def test_two(bpf, userspace):
    assert kept[0] is not userspace and not kept[0].things()
    session = bpf(guard, spinning)
    assert session.test_of(guard, Ethernet()).action == xdp.PASS

def test_three(bpf):
    one, two = bpf(guard), bpf(guard)
    assert one[seen] is not two[seen]
''')
    assert "3 passed" in said


MACHINES = USES + '''
import pytest

def test_everywhere(bpf, machine):
    assert bpf.machine is machine
    assert bpf(guard).test(PACKET).action == xdp.DROP

@pytest.mark.bpf_machine("user")
def test_here(machine):
    assert type(machine).__name__ == "Userspace"

def test_plain():
    pass
'''


@pytest.mark.kernel
@pytest.mark.parametrize(("options", "kernel", "passed", "deselected"), [
    ((), True, 4, 1), (("--bpf-machine=both",), True, 4, 1), (("--bpf-machine=kernel",), True, 2, 3),
    (("--bpf-machine=user",), False, 3, 2),
])
def test_machines_are_chosen(installed: Path, options: tuple[str, ...], kernel: bool, passed: int,
                             deselected: int) -> None:
    said = run(installed, MACHINES, "-v", *options)
    assert f"{passed} passed, {deselected} deselected" in said
    assert ("test_everywhere[kernel] PASSED" in said) == kernel


def test_somebody_elses_fixture_of_that_name_is_left_alone(installed: Path) -> None:
    said = run(installed, '''
import pytest

@pytest.fixture(params=[1, 2])
def machine(request):
    return request.param

def test_it(machine):
    assert machine in (1, 2)
''', "--bpf-machine=kernel")
    assert "2 passed" in said and "deselected" not in said


SEEDED = USES + '''
def test_draws(bpf):
    bpf(guard).test(PACKET)
    print("drew", drawn[0])
    assert False
'''


def test_a_failing_run_is_repeated_by_its_seed(installed: Path) -> None:
    first = run(installed, SEEDED, "--bpf-seed=random")
    found = re.search(r"the same run: pytest --bpf-seed=(\d+) 'test_it.py::test_draws'", first)
    assert found is not None, first
    again = run(installed, SEEDED, f"--bpf-seed={found[1]}")
    other = run(installed, SEEDED, f"--bpf-seed={int(found[1]) + 1}")
    drew = [re.search(r"^drew (\d+)$", said, re.MULTILINE) for said in (first, again, other)]
    numbers = [each[1] for each in drew if each is not None]
    assert numbers[0] == numbers[1] != numbers[2]


def test_a_fault_is_shown_on_its_line(installed: Path) -> None:
    said = run(installed, USES + '''
from bpfwright import Userspace, load

def test_ends():
    with Userspace(budget=1000) as machine, load(spinning, machine=machine) as program:
        program.test(PACKET)
''')
    section = said.partition("kernel program")[2]
    assert ">           seen[n & 3] = n" in section or ">           n += 1" in section, said
    assert "E   instruction" in section and "does not come to an end" in section
    assert re.search(r"^guard\.py:\d+$", section, re.MULTILINE)


def test_what_does_not_compile_is_shown_on_its_line(installed: Path) -> None:
    said = run(installed, USES + "\ndef test_compiles(bpf):\n    bpf(wrong)\n")
    section = said.partition("kernel program")[2]
    assert ">       return ctx.nothing" in section and re.search(r"^E   .*nothing", section, re.MULTILINE)


def test_what_the_verifier_refused_is_shown_on_its_line(installed: Path) -> None:
    said = run(installed, USES + f'''
from bpfwright.errors import VerifierError

def test_loads():
    raise VerifierError("rejected", 22, program="guard", file={str(installed / "guard.py")!r}, line=17,
                        reason="R1 invalid mem access", state=("ip is a packet pointer",), cure="check it first")
''')
    section = said.partition("kernel program")[2]
    assert ">       seen[1] = ip.ttl" in section and "E   R1 invalid mem access" in section
    assert "E   it knew: ip is a packet pointer" in section and "E   check it first" in section


def test_it_costs_nothing_when_it_is_not_used(installed: Path) -> None:
    said = run(installed, '''
import sys

def test_nothing_is_imported():
    ours = {name for name in sys.modules if name.partition(".")[0] == "bpfwright"}
    assert ours == {"bpfwright", "bpfwright._late", "bpfwright._typing", "bpfwright._version", "bpfwright.testing",
                    "bpfwright.testing.plugin", "bpfwright.testing.privilege"} & ours, sorted(ours)
    assert "bpfwright.testing.plugin" in ours

def test_errors_of_others_are_shown_as_ever():
    assert 0
''')
    assert "1 failed, 1 passed" in said and "kernel program" not in said and "the same run" not in said


def test_a_seed_is_a_number(installed: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "pytest", "--bpf-seed=x"], cwd=installed, capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": f"{TOP / 'src'}{os.pathsep}{installed / 'site'}"})
    assert done.returncode == 4 and "--bpf-seed is a number or `random`, not 'x'" in done.stderr

"""Verdicts for kernels that do not run here, beside what those kernels said: logs recorded in the lab.

Most are of the mistakes in C under vmtest/rejects, since our own compiler refuses to compile most of those in Python.
"""
from __future__ import annotations

import json
import lzma
import subprocess
from pathlib import Path

import pytest

from bench import other_kernels
from bpfwright import objfile
from bpfwright.formats.btf import Btf
from bpfwright.kernel.verifier_log import parse
from bpfwright.spec.objects import ObjectSpec
from bpfwright.userspace.verifier import Profile, verify
from bpfwright.userspace.verifier.reasons import classify
from vmtest.python_rejections import build
from vmtest.verifier_logs import CLANG, SOURCES
from vmtest.verifier_logs import RECORDS as SAID_OF_C

pytestmark = pytest.mark.kernel     # building looks at the kernel's types
RECORDS = Path(__file__).parents[2] / "data" / "rejections"
PROFILES = {"5.10": "linux_5_10", "6.1": "linux_6_1", "6.12": "linux_6_12", "7": "linux_7_3"}
ALL_PROFILES = {**PROFILES, "6.18": "linux_6_18"}
# What no instruction is to blame for: one of the two names none, or the one where its patience ended.
WITHOUT_PLACE = {"combined_stack", "falls_through", "unbounded_loop", "unreachable_code"}
# 5.10 looks at the types of global functions before it looks at what they do.
OTHER_ORDER = {("5.10", "global_function_null")}
# Programs about the kernel's own types, which are not recorded.
TYPED = {"released_twice", "released_not_acquired", "kfunc_in_socket_filter", "kfunc_with_other_struct"}


@pytest.fixture(scope="module")
def objects() -> dict[str, bytes]:
    return build()


@pytest.fixture(scope="module")
def mistakes() -> dict[str, ObjectSpec]:
    found = {}
    for source in sorted(SOURCES.glob("*.c")):
        done = subprocess.run([*CLANG, "-c", source.name, "-o", "-"], cwd=SOURCES, capture_output=True, check=True)
        found[source.stem] = objfile.read(done.stdout, source.name)
    return found


@pytest.mark.parametrize("kernel", ALL_PROFILES)
def test_mistakes_in_c(kernel: str, mistakes: dict[str, ObjectSpec]) -> None:
    """Every program that a kernel refused is refused, at the same instruction; and where its sentence tells a class
    (those of 7.3 do not), for a reason of that class."""
    profile = Profile(ALL_PROFILES[kernel], limit=20_000)
    vmlinux = Btf.open("/sys/kernel/btf/vmlinux")
    logs = sorted((SAID_OF_C / kernel).glob("*.log"))
    assert len(logs) >= 40
    for log in logs:
        said = parse(log.read_text())
        spec = mistakes[log.stem]
        verdict = verify(spec, spec.programs[0].name, profile=profile, kernel_btf=vmlinux)
        assert not verdict.accepted, (log.stem, said.reason)
        if (kernel, log.stem) in OTHER_ORDER:
            continue
        if log.stem not in WITHOUT_PLACE:
            assert verdict.instruction == said.instruction, (log.stem, said.reason, verdict.message)
        if kernel != "7" and classify(said.reason):
            assert verdict.reason == classify(said.reason), (log.stem, said.reason, verdict.message)


@pytest.mark.parametrize("kernel", PROFILES)
def test_mistakes_in_python(kernel: str, objects: dict[str, bytes]) -> None:
    """Those that our own compiler leaves to the verifier."""
    profile = Profile(PROFILES[kernel], limit=100_000)
    logs = {log.stem: parse(log.read_text()).reason for log in sorted((RECORDS / kernel).glob("*.log"))}
    left = sorted(set(logs) & set(objects) - TYPED)
    assert left, "our compiler refuses all of them: this test says nothing any more"
    for name in left:
        spec = objfile.read(objects[name])
        verdict = verify(spec, spec.programs[0].name, profile=profile)
        assert not verdict.accepted, (kernel, name, logs[name])
        if "number of funcs" not in logs[name]:       # 5.10 knows no callbacks at all
            assert verdict.reason == classify(logs[name]), (kernel, name, logs[name], verdict.message)


@pytest.mark.parametrize("path", sorted((RECORDS.parent / "verdicts").glob("*.json.xz")), ids=lambda path: path.name)
def test_random_programs(path: Path) -> None:
    """A few of each stratum, as that kernel judged them: bench/other_kernels.py --record."""
    profile = Profile(PROFILES[path.name.removesuffix(".json.xz")], cpus=2, limit=100_000)
    accepted = refused = right_accepts = right_refusals = same = 0
    wrong = []
    for said, spec in map(other_kernels.from_json, json.loads(lzma.decompress(path.read_bytes()))):
        verdict = verify(spec, "main", profile=profile)
        accepted, refused = accepted + said.accepted, refused + (not said.accepted)
        right_accepts += said.accepted and verdict.accepted
        right_refusals += not said.accepted and not verdict.accepted
        same += not said.accepted and not verdict.accepted and verdict.reason == classify(said.sentence)
        if verdict.accepted != said.accepted:
            wrong.append((said, verdict.message))
    assert accepted > 80 and refused > 80
    assert right_accepts >= 0.95 * accepted, wrong
    assert right_refusals >= 0.99 * refused, wrong
    assert same >= 0.85 * right_refusals, wrong


def test_every_kernel_of_the_lab_is_recorded() -> None:
    assert {path.name.removesuffix(".json.xz") for path in (RECORDS.parent / "verdicts").iterdir()} == set(PROFILES)


@pytest.mark.parametrize("name", [*PROFILES.values(), "linux_6_18"])
def test_profiles_are_tables(name: str) -> None:
    profile = Profile(name)
    assert profile.allows(1, 6, 0)
    assert profile.context(6, 0) is not None
    assert not profile.allows(9, 6, 0)

"""Verdicts for kernels that do not run here, beside what those kernels said: logs recorded in the lab."""
from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from bench import other_kernels
from bpfwright import objfile
from bpfwright.kernel.verifier_log import parse
from bpfwright.userspace.verifier import Profile, verify
from bpfwright.userspace.verifier.reasons import classify
from vmtest.python_rejections import build

pytestmark = pytest.mark.kernel     # building looks at the kernel's types
RECORDS = Path(__file__).parents[2] / "data" / "rejections"
PROFILES = {"5.10": "linux_5_10", "6.1": "linux_6_1", "6.12": "linux_6_12", "7": "linux_7_3"}
# Programs about the kernel's own types, which are not recorded.
TYPED = {"released_twice", "released_not_acquired", "kfunc_in_socket_filter", "kfunc_with_other_struct"}


@pytest.fixture(scope="module")
def objects() -> dict[str, bytes]:
    return build()


@pytest.mark.parametrize("kernel", PROFILES)
def test_rejections(kernel: str, objects: dict[str, bytes]) -> None:
    profile = Profile(PROFILES[kernel], limit=100_000)
    compared = 0
    for log in sorted((RECORDS / kernel).glob("*.log")):
        data = objects.get(log.stem)
        if data is None or log.stem in TYPED:
            continue        # our own compiler refuses it by now
        said = parse(log.read_text()).reason
        spec = objfile.read(data)
        verdict = verify(spec, spec.programs[0].name, profile=profile)
        assert not verdict.accepted, (kernel, log.stem, said)
        if "number of funcs" not in said:       # 5.10 knows no callbacks at all
            assert verdict.reason == classify(said), (kernel, log.stem, said, verdict.message)
        compared += 1
    assert compared


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

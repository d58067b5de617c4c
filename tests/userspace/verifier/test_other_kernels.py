"""Verdicts for kernels that do not run here, beside what those kernels said: logs recorded in the lab."""
from __future__ import annotations

from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", [*PROFILES.values(), "linux_6_18"])
def test_profiles_are_tables(name: str) -> None:
    profile = Profile(name)
    assert profile.allows(1, 6, 0)
    assert profile.context(6, 0) is not None
    assert not profile.allows(9, 6, 0)

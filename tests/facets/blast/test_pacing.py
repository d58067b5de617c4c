"""When frames are due, on a clock that the test turns; percentiles against the values themselves."""
from __future__ import annotations

import random

import pytest

from bpfwright.errors import UsageError
from bpfwright.facets.blast import Latency, Options, Report
from bpfwright.facets.blast.arrivals import BUCKETS, bucket_edges
from bpfwright.facets.blast.pacing import AtOnce, AtTimes, Evenly, Pace


def turned(pace: Pace, until_s: float, cost_s: float = 1e-6) -> list[tuple[float, int]]:
    """(when, how many) of each bundle until a time."""
    now, sent, found = 0.0, 0, []
    while now < until_s:
        due = pace.due(now, sent)
        if due > 0:
            found.append((now, due))
            sent += due
            now += cost_s
        else:
            wait = pace.wait_s(now, sent)
            assert wait >= 0
            now += wait + 1e-9
    return found


@pytest.mark.parametrize("rate", [3.0, 999.0, 50_000.0, 2_000_000.0])
def test_an_even_rate(rate: float) -> None:
    bundles = turned(Evenly(rate), 2.0)
    assert abs(sum(count for _, count in bundles) - 2 * rate) <= max(2, rate / 500)
    assert max(count for _, count in bundles) <= max(1, rate / 500)


def test_what_is_late_is_made_up_for() -> None:
    pace = Evenly(10_000)
    assert pace.due(1.0, 0) == 10_001 and pace.due(1.0, 10_001) == 0
    assert AtOnce().due(0, 0) > 1000


def test_times_of_a_capture() -> None:
    times = [0, 5_000_000, 5_000_000, 30_000_000]
    bundles = turned(AtTimes(times, 1.0), 0.035)
    assert [count for _, count in bundles] == [1, 2, 1]
    for (when, _), wanted in zip(bundles, (0.0, 0.005, 0.03), strict=True):
        assert when == pytest.approx(wanted, abs=1e-4)
    assert [count for _, count in turned(AtTimes(times, 10.0), 0.0035)] == [1, 2, 1]
    assert sum(count for _, count in turned(AtTimes(times, 1.0), 0.4)) == 40  # rounds of 40 ms
    assert sum(count for _, count in turned(AtTimes([0], 1.0), 0.0999)) == 100


@pytest.mark.parametrize(("changed", "said"), [
    ({"rate": -1.0}, "a rate of -1"), ({"frames": 0}, "0 frames"), ({"duration_s": 0.0}, "seconds"),
    ({"batch": 257}, "batches of 257"), ({"speed": 0.0}, "0 times as fast"), ({"cpus": (1, 1)}, "named twice"),
    ({"rate": 5.0, "own_times": True}, "one of them"), ({"own_times": True, "cpus": (0, 1)}, "one CPU"),
    ({"interface": ""}, "no name"), ({"mode": "fast"}, "not auto"), ({"rate": float("nan")}, "a rate of nan"),
])
def test_options_that_mean_nothing(changed: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Options("left")._replace(**changed).check()  # type: ignore[arg-type]


def bucket_of(value: int) -> int:
    return next(bucket for bucket in range(BUCKETS) if bucket_edges(bucket)[1] >= value)


def test_buckets_are_without_gaps() -> None:
    assert bucket_edges(0) == (0, 0)
    for bucket in range(1, BUCKETS):
        low, high = bucket_edges(bucket)
        assert low == bucket_edges(bucket - 1)[1] + 1 and low <= high <= low + max(0, low // 32)
    assert bucket_edges(BUCKETS - 1)[1] == (1 << 40) - 1


def test_percentiles_are_near_the_values() -> None:
    chance = random.Random(9)
    values = sorted(int(chance.lognormvariate(9, 1)) for _ in range(3000))
    counts: dict[int, int] = {}
    for value in values:
        bucket = bucket_of(value)
        counts[bucket] = counts.get(bucket, 0) + 1
    latency = Latency(len(values), sum(values) / len(values), values[0], values[-1], counts)
    for share in (1, 50, 90, 99, 99.9):
        exact = values[min(len(values) - 1, max(0, round(share / 100 * len(values)) - 1))]
        assert exact <= latency.percentile(share) <= exact * 1.04 + 1
    assert latency.percentile(100) == values[-1] and sum(latency.powers().values()) == len(values)
    for edge, frames in latency.powers().items():
        assert frames == sum(edge // 2 <= value < edge for value in values)
    with pytest.raises(UsageError):
        latency.percentile(101)


def test_a_report_as_json() -> None:
    latency = Latency(3, 1000.0, 900, 1100, {bucket_of(1000): 3})
    made = Report(10, 600, 8, 2, 0, 2.0, 100.0, received=7, lost=1, latency=latency).to_dict()
    assert made["rate"] == 4.0 and made["latency"]["p50_ns"] >= 1000 and made["latency"]["below_ns"] == {"1024": 3}

"""Sampling by a software clock sees a process that burns a CPU."""
from __future__ import annotations

import time

HOOK = "perf event (sampling)"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("perf_event")
int sampled(void *ctx)
{
    if (mine())
        count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.sample(case.program, hz=100):
            end = time.process_time() + 0.5
            while time.process_time() < end:
                pass
        samples = case.seen[0]
        # 50 are due; an emulated clock comes late, and never twice as often.
        assert 5 <= samples <= 100, samples
        end = time.process_time() + 0.2
        while time.process_time() < end:
            pass
        assert case.seen[0] == samples, "still attached after close"

"""Watchpoints on what a function's argument points to: from its first call on, in all threads, to the end."""
from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright.errors import CompileError
from bpfwright.kernel import Kernel
from tests.facets.trace.probes import programs
from tests.facets.trace.probes.tracing import traced, until

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(
    not os.path.exists("/sys/bus/event_source/devices/breakpoint/type"),
    reason="this kernel refuses it: it does not watch addresses")]
SOURCE = r"""
#include <pthread.h>
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>
/* What the first instruction writes is written before the process stops: it is a nop here. */
__attribute__((noinline)) void touched(int _, int *i) { __asm__ volatile("nop" ::: "memory"); (*i)++; }
int *shared;
static pthread_barrier_t met, over;
static void *other(void *_) {
    pthread_barrier_wait(&met);
    for (int n = 0; n < 10; n++) (*(volatile int *)shared)++;
    pthread_barrier_wait(&over);
    return _;
}
int main(int argc, char **argv) {
    int rounds = atoi(argv[1]), places = atoi(argv[2]), sleep_us = atoi(argv[3]);
    pthread_t thread;
    shared = aligned_alloc(64, 64);
    pthread_barrier_init(&met, 0, 2);
    pthread_barrier_init(&over, 0, 2);
    pthread_create(&thread, 0, other, 0);
    touched(0, shared);
    for (int n = 0; n < rounds; n++) {
        for (int at = 0; at < places; at++) touched(0, shared + 2 * at);
        if (sleep_us) usleep(sleep_us);
    }
    pthread_barrier_wait(&met);
    pthread_barrier_wait(&over);
    return 0;
}
"""


@pytest.fixture(scope="module")
def touching(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return programs.built(SOURCE, tmp_path_factory.mktemp("watched") / "touching")


@pytest.fixture
def running(touching: Path) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([touching, "1000000", "1", "500"]) as process:
        try:
            yield process
        finally:
            process.kill()


def test_every_write_counts_from_the_first_call_on(machine: Kernel, touching: Path) -> None:
    said = traced(machine, 'watchpoint:touched+arg1:4:w { @ = count(); @t[tid == pid, probe] = count(); }',
                  command=f"{touching} 30 1 0", seconds=60)
    assert said.lines == ["@: 41", "@t[false, watchpoint:touched+arg1:4:w]: 10",
                          "@t[true, watchpoint:touched+arg1:4:w]: 31"], said.errors


def test_without_waiting_the_first_ones_may_be_missed(machine: Kernel, touching: Path) -> None:
    said = traced(machine, "asyncwatchpoint:touched+arg1:4:w { @ = count(); }", command=f"{touching} 200 1 1000",
                  seconds=60)
    (line,) = said.lines
    assert 10 < int(line.split(": ")[1]) <= 211


def test_a_process_that_runs_goes_on_afterwards(machine: Kernel, running: subprocess.Popen[bytes]) -> None:
    said = traced(machine, 'w:touched+arg1:4:w { printf("%d\\n", pid); exit(); }', pid=running.pid, seconds=60)
    assert said.lines[0] == str(running.pid)

    def state() -> str:
        return Path(f"/proc/{running.pid}/stat").read_text().rpartition(")")[2].split()[0]

    until(lambda: state() in "RS")


def test_what_ends_is_watched_again_at_the_next_call(machine: Kernel, running: subprocess.Popen[bytes]) -> None:
    script = "u:{0}:touched {{ @a = arg1; }} w:touched+arg1:4:w {{ @n++; unwatch(@a); if (@n >= 50) {{ exit(); }} }} " \
             "end {{ clear(@a); }}"
    said = traced(machine, script.format(f"/proc/{running.pid}/exe"), pid=running.pid, seconds=60)
    assert int(said.out.split("@n: ")[1]) >= 50, said.errors  # a few are seen before a watch ends


@pytest.mark.skipif(platform.machine() != "x86_64", reason="four registers are those of x86-64")
def test_more_places_than_the_processor_watches_are_said(machine: Kernel, touching: Path) -> None:
    said = traced(machine, "watchpoint:touched+arg1:4:w { @ = count(); }", command=f"{touching} 20 6 0", seconds=60)
    assert said.lines == [f"@: {1 + 4 * 20 + 10}"]
    assert said.errors.count("is not watched: the processor has no breakpoint left") == 1


@pytest.mark.parametrize(("script", "what"), [
    ("watchpoint:touched+arg1:4:w { }", "which process is meant is not said"),
    ("watchpoint:touhced+arg1:4:w { }", "Did you mean `touched`"),
    ("watchpoint:touched+arg9:4:w { }", "only the first"),
    ("watchpoint:touched+arg1:4:rx { }", "processors do not watch for"),
])
def test_what_cannot_be_watched(machine: Kernel, touching: Path, script: str, what: str) -> None:
    command = "" if "which process" in what else f"{touching} 1 1 0"
    with pytest.raises(CompileError, match=what):
        traced(machine, script, command=command, work=lambda: None)

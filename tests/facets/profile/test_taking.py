"""Profiles of programs whose call chains are known."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpfwright.errors import TargetError, UsageError
from bpfwright.facets.profile import Options, Profile, Profiler, profile

from . import workloads as w

pytestmark = pytest.mark.kernel


def share(taken: Profile, *names: str) -> float:
    """How much of the time has these functions in a row in its stack."""
    found = 0
    for stack, weight in taken.stacks.items():
        shown = [frame.name for frame in stack]
        found += weight * any(shown[at:at + len(names)] == list(names) for at in range(len(shown)))
    return found / max(taken.total, 1)


def test_a_chain_by_frame_pointers(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN, "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer")
    taken = profile(options=Options(hz=499, unwind="frames"), command=(path, "600"))
    assert taken.quality.samples > 50 and taken.quality.lost == 0
    assert share(taken, *w.CHAIN) > 0.9
    assert {stack[0].name for stack in taken.stacks} <= {"chain", "python", "python3", "pytest"}


def test_kernel_stacks_of_system_calls(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "reading", w.SYSCALLS)
    taken = profile(options=Options(hz=499), command=(path, "600000"))
    kernel = sum(n for stack, n in taken.stacks.items() if any("read" in f.name and f.kind == "kernel" for f in stack))
    assert kernel > 0.7 * taken.total
    only = profile(options=Options(hz=499, kernel=False), command=(path, "50000"))
    assert not any(frame.kind == "kernel" for stack in only.stacks for frame in stack)


def test_waiting_is_as_long_as_it_was(tmp_path: Path) -> None:
    command = ("sh", "-c", "for i in 1 2 3 4 5; do sleep 0.2; done")
    begin = time.monotonic_ns()
    taken = profile(options=Options(off_cpu=True, least_us=1000), command=command)
    most = time.monotonic_ns() - begin
    slept = sum(n for stack, n in taken.stacks.items() if any("nanosleep" in frame.name for frame in stack))
    waited = sum(n for stack, n in taken.stacks.items() if any("do_wait" in frame.name for frame in stack))
    # On a busy machine a sleep is longer, and who waits for it may begin late.
    assert taken.unit == "ns" and 0.99e9 <= slept < most and 0.6e9 <= waited < most
    assert all(stack[-1].name in ("__schedule", "schedule") for stack in taken.stacks)
    sleeping = profile(options=Options(off_cpu=True, least_us=100_000, states=("uninterruptible",)), command=command)
    assert not any("nanosleep" in frame.name for stack in sleeping.stacks for frame in stack)


def test_an_ended_process_keeps_its_names(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN, "-fno-omit-frame-pointer", "-mno-omit-leaf-frame-pointer")
    with Profiler(Options(hz=499, comm="chain", unwind="frames")) as profiler:
        child = subprocess.Popen([path, "1000"])
        while child.poll() is None:
            profiler.wait(0.05)
        taken = profiler.finish()
    assert share(taken, *w.CHAIN) > 0.9


def test_what_a_command_starts_is_in_it_and_its_code_is_handed_on(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN)
    with Profiler(Options(hz=499, command=("sh", "-c", f"{path} 300; exit 7"))) as profiler:
        profiler.wait()
        taken = profiler.finish()
        assert profiler.exit_code == 7
    assert share(taken, "spin") > 0.8


@pytest.mark.parametrize(("options", "error"), [
    (Options(hz=0), UsageError), (Options(kernel=False, user=False), UsageError), (Options(pid=2**22), TargetError),
    (Options(unwind="magic"), UsageError), (Options(cgroup="no/such/group"), TargetError),
    (Options(states=("asleep",), off_cpu=True), UsageError), (Options(least_us=5), UsageError),
])
def test_what_cannot_be_profiled(options: Options, error: type[Exception]) -> None:
    with pytest.raises(error):
        profile(0.1, options=options)


def started(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", "bpfwright", "profile", *words], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def test_ctrl_c_prints_what_was_gathered(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN)
    run = started("-f", "folded")
    assert run.stderr is not None and run.stderr.readline().startswith("profiling; Ctrl-C")
    subprocess.run([path, "500"], check=True)  # an idle machine has no samples
    run.send_signal(signal.SIGINT)
    out, said = run.communicate(timeout=120)
    assert run.returncode == 0 and "samples" in said.splitlines()[0]
    assert any(line.startswith("chain;") for line in out.splitlines())


def test_the_command(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN)
    for name in ("before", "after"):
        run = started("-f", "json", "-o", str(tmp_path / name), "--", path, "200")
        _, said = run.communicate(timeout=120)
        assert run.returncode == 0 and "lost" in said
    run = started("--diff", str(tmp_path / "before"), str(tmp_path / "after"))
    out, _ = run.communicate(timeout=120)
    assert run.returncode == 0 and "spin" in out
    run = started("-d", "1", "-p", str(2 ** 22))
    assert "there is no process" in run.communicate(timeout=120)[1] and run.returncode == 1
    run = started("--", str(tmp_path / "none"))
    assert "No such file" in run.communicate(timeout=120)[1] and run.returncode == 127


def test_one_thread_one_cpu_one_cgroup(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN)
    child = subprocess.Popen([path, "100000"])
    try:
        os.sched_setaffinity(child.pid, {0})
        for options, wanted in ((Options(tid=child.pid), True), (Options(pid=child.pid, cpu=0), True),
                                (Options(pid=child.pid, tid=1), False), (Options(comm="chain"), True),
                                (Options(cgroup="/", pid=child.pid), True), (Options(comm="chains"), False)):
            fast = options._replace(hz=499)
            taken = w.sampled(fast) if wanted else profile(0.25, options=fast)
            assert taken.total >= 50 if wanted else not taken.total, options
            assert not wanted or {stack[0].name for stack in taken.stacks} == {"chain"}
    finally:
        child.kill()
        child.wait()


def test_full_counters_are_emptied_while_it_runs(tmp_path: Path) -> None:
    path = w.compile_c(tmp_path, "chain", w.C_CHAIN)
    with Profiler(Options(hz=499, command=(path, "500"))) as profiler:
        while profiler.exit_code is None:
            profiler.wait(0.1)
            profiler.gather()
        taken = profiler.finish()
    assert taken.total == taken.quality.samples > 50 and share(taken, *w.CHAIN) > 0.8

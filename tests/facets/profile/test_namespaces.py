"""Profiles inside of a PID namespace: processes are those that its user sees, by the numbers that he sees."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from . import workloads as w

pytestmark = pytest.mark.kernel

INSIDE = """
import json, os, subprocess, sys
from bpfwright.facets.profile import Options, Profiler, profile

def shown(taken, *names):
    found = 0
    for stack, weight in taken.stacks.items():
        at = [frame.name for frame in stack]
        found += weight * any(at[i:i + len(names)] == list(names) for i in range(len(at)))
    return found / max(taken.total, 1)

from tests.facets.profile.workloads import sampled
chain, script = sys.argv[1:3]
CHAIN = ["main", "first", "second", "third", "spin"]
fast = Options(hz=499)
child = subprocess.Popen([chain, "100000"])
python = subprocess.Popen([sys.executable, script, "100000"])
deeper = subprocess.Popen(["unshare", "-pf", "--kill-child", chain, "100000"])
said = {"numbers": [child.pid, python.pid]}
try:
    taken = sampled(fast._replace(pid=child.pid))
    said["pid"] = [taken.total, shown(taken, *CHAIN)]
    said["tid"] = sampled(fast._replace(tid=child.pid)).total
    taken = sampled(fast._replace(pid=python.pid))
    said["python"] = [taken.total, shown(taken, "Work.method", "leaf")]
    whole = sampled(fast, 400)
    said["whole"] = sorted({stack[0].name for stack in whole.stacks})
    said["deeper"] = shown(whole, *CHAIN)
    said["waiting"] = profile(0.4, pid=python.pid, options=Options(off_cpu=True, states=("running",))).unit
finally:
    for one in (child, python, deeper):
        one.kill()
        one.wait()
command = profile(options=fast._replace(command=("sh", "-c", f"{chain} 300; {chain} 300")))
said["command"] = [command.total, shown(command, *CHAIN)]
print(json.dumps(said))
"""


def test_numbers_are_the_users_own(tmp_path: Path) -> None:
    chain = w.compile_c(tmp_path, "chain", w.C_CHAIN, "-fomit-frame-pointer")
    apart = w.compile_c(tmp_path, "outside", w.C_CHAIN)
    _, script = w.python_script(tmp_path)
    outside = subprocess.Popen([apart, "1000000"])
    try:
        done = subprocess.run(["unshare", "-pf", "--kill-child", "--mount-proc", sys.executable, "-c", INSIDE, chain,
                               script], capture_output=True, text=True, timeout=180, check=False,
                              cwd=Path(__file__).parents[3])
    finally:
        outside.kill()
        outside.wait()
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert max(said["numbers"]) < 50  # there, not here
    assert said["pid"][0] > 20 and said["pid"][1] > 0.9, said
    assert said["tid"] > 10
    assert said["python"][0] > 20 and said["python"][1] > 0.8, said
    assert "chain" in said["whole"] and "outside" not in said["whole"], said
    assert said["deeper"] > 0.3 and said["waiting"] == "ns"
    assert said["command"][0] > 20 and said["command"][1] > 0.9, said


def test_a_proc_of_another_namespace_is_refused() -> None:
    code = "from bpfwright.facets.profile import profile; profile(0.1)"
    done = subprocess.run(["unshare", "-pf", sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 1 and "/proc shows the processes of another PID namespace" in done.stderr

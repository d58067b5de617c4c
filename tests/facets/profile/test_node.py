"""A real runtime that compiles while it runs: Node.js, whose functions are named by the map that it writes."""
from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bpfwright.facets.profile import Options

from . import workloads as w

pytestmark = pytest.mark.kernel

SCRIPT = """
function innermost(n) { let x = 0; for (let i = 0; i < n; i++) x = (x * 31 + i) | 0; return x; }
function middle(n) { return innermost(n) + 1; }
function outermost(times) { let sum = 0; for (let i = 0; i < times; i++) sum += middle(100000); return sum; }
for (let i = 0; i < 100; i++) outermost(3);
console.log("warm");
while (true) outermost(1000);
"""


def test_functions_of_javascript(tmp_path: Path) -> None:
    script = tmp_path / "script.js"
    script.write_text(SCRIPT)
    child = subprocess.Popen(["node", "--perf-basic-prof", "--interpreted-frames-native-stack",
                              "--no-turbo-inlining", str(script)], stdout=subprocess.PIPE,
                             cwd=tmp_path)  # it writes a log there
    try:
        assert child.stdout is not None and child.stdout.readline() == b"warm\n"
        taken = w.sampled(Options(hz=499, pid=child.pid))
    finally:
        child.kill()
        child.communicate()
        Path(f"/tmp/perf-{child.pid}.map").unlink(missing_ok=True)
    # The map's names are of V8: JS:, how it is compiled (~ ^ * or nothing), the function, where it is.
    made = re.compile(rf"JS:[~^+*]?(\w+) {re.escape(str(script))}:\d+:\d+")
    whole = named = 0
    for stack, weight in taken.stacks.items():
        functions = [match[1] for frame in stack if frame.kind == "jit" and (match := made.fullmatch(frame.name))]
        names = [frame.name for frame in stack]
        named += weight * (functions[-3:] == ["outermost", "middle", "innermost"])
        whole += weight * ("Builtins_JSEntryTrampoline" in names and any(n.startswith("node::Start(") for n in names))
    assert taken.total >= 50 and named > 0.8 * taken.total and whole > 0.8 * taken.total, (
        [frame.name for frame in next(iter(taken))[0][-8:]])

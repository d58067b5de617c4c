"""Records the demo's tracing programs at their work, for those who start it without privilege.

    sudo .venv/bin/python scripts/record_demo.py

It runs on a kernel of the VM lab, where nothing else is going on but a process that writes a log. What is kept are the
seconds in which the demo's clients were at work: there they take long to start. The firewall's runs are left out, since
it sees generated traffic. Paths are replaced as in record_examples.py.
"""
from __future__ import annotations

import argparse
import base64
import contextlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path

TOP = Path(__file__).parent.parent
sys.path[:0] = [str(TOP / "src"), str(TOP)]

from bpfwright.formats.recording import Recording  # noqa: E402  # after the path is set

SECONDS, KEPT_S = 16, 8
_WRITER = """
import os, time
while True:
    file = os.open("/dev/shm/log", os.O_WRONLY | os.O_CREAT)
    for _ in range(4):
        os.write(file, b"x" * 4000)
        time.sleep(0.05)
    os.close(file)
"""


def in_guest() -> None:
    from bpfwright.cli import demo
    from bpfwright.recording import Recorder
    from bpfwright.session import using
    writer = subprocess.Popen([sys.executable, "-I", "-S", "-c", _WRITER])
    with Recorder() as machine, using(machine), contextlib.redirect_stdout(io.StringIO()):
        demo.run(argparse.Namespace(seconds=SECONDS))
        data = machine.finish().to_bytes()
    writer.kill()
    writer.wait()
    text = base64.b64encode(data).decode()
    for at in range(0, len(text), 1000):  # a console loses what is too long
        print("rec", text[at:at + 1000], flush=True)
    print("end", len(data), flush=True)
    time.sleep(1)


def main() -> None:
    from scripts.record_examples import anonymous
    from vmtest import boot, kernels
    said: list[str] = []
    outcome = boot.run(kernels.get("6.12"), [sys.executable, __file__, "--in-guest"], folder=str(TOP),
                       environment={**os.environ, "PYTHONPATH": str(TOP / "src"), "XDG_CACHE_HOME": "/run/cache"},
                       timeout_s=300, on_line=said.append)
    data = base64.b64decode("".join(line[4:] for line in said if line.startswith("rec ")))
    if outcome.status != 0 or said[-1:] != [f"end {len(data)}"]:
        raise SystemExit(f"the guest failed: {outcome.console}\n{outcome.stderr}")
    live = Recording.parse(data)
    made = anonymous(live)
    numbers = [number for number, program in enumerate(made.programs) if program.name != "firewall"]
    started = next(run.time_ns for run in made.runs if made.programs[run.program].name == "connected")
    runs = [run._replace(program=numbers.index(run.program)) for run in made.runs
            if run.program in numbers and started <= run.time_ns < started + KEPT_S * 10**9]
    if len(live.runs) != live.facts["runs"]:
        raise SystemExit(f"{live.lost} runs were lost: try again")
    facts = {**made.facts, "runs": len(runs), "kernel": f"Linux {live.facts['kernel'].split('-')[0]}"}
    kept = Recording(facts, [made.programs[number] for number in numbers], runs, [])
    target = TOP / "src" / "bpfwright" / "cli" / "demo" / "live.rec"
    kept.write(str(target))
    print(f"{len(runs):,} runs, {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    if sys.argv[1:] == ["--in-guest"]:
        in_guest()
    else:
        main()

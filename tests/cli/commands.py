"""Runs the command as a process of its own."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP / "src")}
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def line(*words: str, privileged: bool = True) -> list[str]:
    """What to start; without privilege it is root's process still, and may do nothing that root may."""
    return [*(() if privileged else WITHOUT_CAPABILITIES), sys.executable, "-m", "bpfwright.cli", *words]


def command(*words: str, privileged: bool = True) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    done = subprocess.run(line(*words, privileged=privileged), capture_output=True, text=True, env=ENVIRONMENT,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def start(*words: str) -> subprocess.Popen[str]:
    """One that goes on until it is told to stop."""
    return subprocess.Popen(line(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)

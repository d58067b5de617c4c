"""Runs the command as a process of its own."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(TOP / "src")}
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")

NOBODY = 65534
_BINARY = os.path.realpath(sys.executable)
_OPEN_TO_ALL = all(os.stat(folder).st_mode & 1 for folder in (_BINARY, *map(str, Path(_BINARY).parents)))
AS_NOBODY = ("setpriv", *((f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups") if _OPEN_TO_ALL else ()),
             "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")
"""What makes a command nobody's; where nobody may not start this Python (it is in somebody's home), root's without any
capability."""


def line(*words: str, privileged: bool = True) -> list[str]:
    """What to start; without privilege it is root's process still, and may do nothing that root may."""
    return [*(() if privileged else WITHOUT_CAPABILITIES), sys.executable, "-m", "bpfwright.cli", *words]


def command(*words: str, privileged: bool = True) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one command line."""
    done = subprocess.run(line(*words, privileged=privileged), capture_output=True, text=True, env=ENVIRONMENT,
                          timeout=60)
    return done.returncode, done.stdout, done.stderr


def as_nobody(*words: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without any privilege in a folder of its own, which holds its cache."""
    home.mkdir(exist_ok=True)
    if _OPEN_TO_ALL:
        os.chown(home, NOBODY, NOBODY)
        for folder in (home.parent, *home.parents[1:3]):
            if folder.stat().st_uid == os.geteuid():
                folder.chmod(folder.stat().st_mode | 0o55)
    return subprocess.run([*AS_NOBODY, sys.executable, "-m", "bpfwright.cli", *words], capture_output=True, text=True,
                          env={**ENVIRONMENT, "XDG_CACHE_HOME": str(home)}, cwd=home, timeout=60)


def start(*words: str) -> subprocess.Popen[str]:
    """One that goes on until it is told to stop."""
    return subprocess.Popen(line(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)

"""What building the package adds: the ready tools' objects, so that their first start needs no LLVM."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

OUTPUT = "src/bpfwright/ahead.bin"


class AheadHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs scripts/compile_ahead.py where the package can run: on Linux. Elsewhere the wheel comes without."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or not sys.platform.startswith("linux"):
            return
        root = Path(self.root)
        subprocess.run([sys.executable, "scripts/compile_ahead.py", OUTPUT], cwd=root, check=True,
                       env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", *filter(None, sys.path)])})
        build_data["artifacts"].append(OUTPUT)

"""`python -m bpfwright.cli`, where the command is not on PATH."""
from __future__ import annotations

from bpfwright.cli import main

main()

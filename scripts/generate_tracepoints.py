"""Writes src/bpfwright/tracepoints/syscalls.pyi from the running kernel's tracefs.

    sudo python scripts/generate_tracepoints.py
"""
from __future__ import annotations

from pathlib import Path

from bpfwright.tracepoints.writing import write_events

TARGET = Path(__file__).resolve().parent.parent / "src" / "bpfwright" / "tracepoints" / "syscalls.pyi"
HEAD = '''"""The events of system calls, whose shape is stable.

Written by scripts/generate_tracepoints.py; syscalls.py finds the classes in this very file.
"""
'''


def main() -> None:
    source = write_events(["syscalls:sys_*"])
    TARGET.write_text(HEAD + source[source.index("from bpfwright"):].replace("\n\n\n", "\n\n"))
    print(f"{TARGET}: {source.count('class ')} events, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

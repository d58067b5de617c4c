#!/usr/bin/env python3
"""Write the table hook x kernel into README.md from the results that `./dev vmtest --record` kept; --check compares."""
from __future__ import annotations

import json
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP))

from vmtest.report import RECORDS, table  # noqa: E402

START, END = "<!-- vm table: written by scripts/generate_vm_table.py -->", "<!-- end of vm table -->"


def main() -> int:
    order = sorted(RECORDS.glob("*.json"), key=lambda path: [int(part) for part in path.stem.split(".")])
    records = {path.stem: json.loads(path.read_text()) for path in order}
    readme = TOP / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    if not rest:
        print(f"README.md has no line {START}", file=sys.stderr)
        return 1
    fresh = f"{before}{START}\n\n{table(records)}\n\n{END}{after}"
    if "--check" in sys.argv[1:]:
        if fresh != text:
            print("README.md: the table of hooks is not what vmtest/results says: run scripts/generate_vm_table.py",
                  file=sys.stderr)
        return int(fresh != text)
    readme.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())

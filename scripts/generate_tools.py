#!/usr/bin/env python3
"""Write the tools' index and reference page out of their docstrings; --check compares instead."""
from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
ROOM = TOP / "src/bpfwright/facets/tools"
INDEX, PAGE = ROOM / "_index.py", TOP / "docs/reference/tools.md"


def documented() -> dict[str, str]:
    """Docstring by tool."""
    found = {}
    for path in sorted(ROOM.glob("[a-z]*.py")):
        text = ast.get_docstring(ast.parse(path.read_text()))
        if not text or "\nexamples:\n" not in text:
            sys.exit(f"{path}: a tool's docstring is its help, and ends with `examples:`")
        found[path.stem] = text
    return found


def index(tools: dict[str, str]) -> str:
    lines = ['"""Every tool with its line; written by scripts/generate_tools.py, so that a listing imports none."""',
             "from __future__ import annotations", "", '__all__ = ["TOOLS"]', "", "TOOLS = {"]
    return "\n".join([*lines, *(f"    {json.dumps(name)}: {json.dumps(text.splitlines()[0].rstrip('.'))},"
                                for name, text in tools.items()), "}", ""])


def page(tools: dict[str, str]) -> str:
    parts = ["# Tools", "", "`bpfwright tool NAME`; [the guide](../guide/tools.md) says what all of them have in "
             "common. This page is written from their own help.", ""]
    for name, text in tools.items():
        body, _, examples = text.partition("\nexamples:\n")
        parts += [f"## {name}", "", body.strip(), "", "```text", examples.rstrip(), "```", ""]
    return "\n".join(parts)


def main() -> None:
    tools = documented()
    for path, text in ((INDEX, index(tools)), (PAGE, page(tools))):
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                sys.exit(f"{path} is not fresh: run {Path(__file__).name}")
        else:
            path.write_text(text)


if __name__ == "__main__":
    main()

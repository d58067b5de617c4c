"""The events of system calls, entry and exit: `from bpfwright.tracepoints.syscalls import sys_exit_openat`.

What there is stands in syscalls.pyi; a class is made when it is first asked for.
"""
from __future__ import annotations

import os

_PATH = os.path.join(os.path.dirname(__file__), "syscalls.pyi")
_text = ""


def __getattr__(name: str) -> object:
    global _text
    if not name.startswith("sys_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if not _text:
        with open(_PATH, encoding="utf-8") as file:
            _text = file.read()
    start = _text.find(f"\nclass {name}(")
    if start < 0:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}: no such system call is shipped, and "
                             f"`bpfwright types -t 'syscalls:*'` writes those of the running kernel")
    source = _text[start:_text.find("\n\n", start + 1) if "\n\n" in _text[start + 1:] else len(_text)]
    space = globals()
    if "Fields" not in space:
        exec(_text[:_text.index("\nclass ")], space)
    exec(f"from __future__ import annotations\n{source}", space)
    found: object = space[name]
    return found


def __dir__() -> list[str]:
    import re
    with open(_PATH, encoding="utf-8") as file:
        return re.findall(r"^class (\w+)", file.read(), re.MULTILINE)

"""Writes _abi/syscalls.py: system call numbers by architecture, out of the C library's kernel headers.

    python scripts/generate_syscalls.py            # needs gcc and linux-libc-dev
"""
from __future__ import annotations

import re
import subprocess
import textwrap
from pathlib import Path

TARGET = Path(__file__).parent.parent / "src/bpfwright/_abi/syscalls.py"
SOURCES = {"x86_64": ("asm/unistd_64.h", ""), "aarch64": ("asm-generic/unistd.h", "")}


def numbers(header: str) -> dict[str, int]:
    """Every __NR_ constant of a header, evaluated by the preprocessor."""
    source = f"#include <{header}>\n"
    macros = subprocess.run(["gcc", "-E", "-dM", "-"], input=source, capture_output=True, text=True, check=True).stdout
    names = re.findall(r"#define __NR_(\w+) ", macros)
    probe = source + "".join(f"@{name} __NR_{name}\n" for name in names)
    text = subprocess.run(["gcc", "-E", "-P", "-"], input=probe, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"@(\w+) (\d+)", text)
    return {name: int(number) for name, number in found
            if not name.startswith("syscalls") and "arch_specific" not in name}


def main() -> None:
    lines = ['"""System call numbers by architecture. Written by scripts/generate_syscalls.py from the '
             'kernel\'s headers."""', "from __future__ import annotations", "", '__all__ = ["NUMBERS"]', "",
             "NUMBERS: dict[str, dict[str, int]] = {"]
    for machine, (header, _) in SOURCES.items():
        table = numbers(header)
        body = ", ".join(f'"{name}": {number}' for name, number in sorted(table.items(), key=lambda item: item[1]))
        lines.append(f'    "{machine}": {{')
        lines += textwrap.wrap(body, 110, initial_indent="        ", subsequent_indent="        ")
        lines[-1] += ","
        lines.append("    },")
    TARGET.write_text("\n".join([*lines, "}", ""]))


if __name__ == "__main__":
    main()

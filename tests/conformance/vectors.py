"""Reads the public conformance vectors of the folder that BPF_CONFORMANCE names (by default shared/conformance)."""
from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from bpfwright import Userspace
from bpfwright.errors import BpfwrightError
from tests.conformance.assembler import assemble

FOLDER = Path(os.environ.get("BPF_CONFORMANCE") or Path(__file__).resolve().parents[3] / "shared" / "conformance")


class Vector(NamedTuple):
    """A program, the memory that r1 points to, and r0 (None: it must fail)."""

    name: str
    insns: bytes
    memory: bytes
    result: int | None

    def run(self, machine: Userspace) -> int | None:
        """r0, or None when the program failed. Its only helper gives back its first argument."""
        address = machine.arena.allocate(max(len(self.memory), 1))
        try:
            program = machine.load_code(self.insns, helpers={5: lambda *words: words[0]})
        except BpfwrightError:
            machine.arena.release(address)
            return None
        try:
            machine.arena.memory[address:address + len(self.memory)] = self.memory
            return program.call(address, len(self.memory))
        except BpfwrightError:
            return None
        finally:
            program.close()
            machine.arena.release(address)


def vectors() -> list[Vector]:
    """All of them; an empty list where there is no such folder."""
    return [_read(path) for path in sorted(FOLDER.glob("*.data"))]


def _read(path: Path) -> Vector:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith("--"):
            current = sections.setdefault(line[2:].strip(), [])
        else:
            current.append(line)
    plain = {name: "\n".join(line.split("#")[0] for line in lines) for name, lines in sections.items()}
    if "raw" in plain:
        insns = b"".join(int(word, 0).to_bytes(8, "little") for word in plain["raw"].split())
    else:
        insns = assemble("\n".join(sections["asm"]))
    memory = bytes.fromhex("".join(plain.get("mem", "").split()))
    result = None if "error" in plain else int(plain["result"].split()[0], 0) & (1 << 64) - 1
    return Vector(path.stem, insns, memory, result)

"""One program on every machine: assembled by hand, so that any helper can be called."""
from __future__ import annotations

import re
from typing import Any, NamedTuple

from bpfwright import Kernel, Userspace
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec, Relocation
from tests.conformance.assembler import assemble

__all__ = ["OUT", "Seen", "XDP", "TC", "FILTER", "CGROUP", "asm", "everywhere", "program"]

FILTER, TC, XDP, CGROUP, RAW = 1, 3, 6, 8, 17
OUT = MapSpec("out", 2, 4, 64, 1)
"""Where a program leaves the 64 bytes at r10-64; the first eight are what the helper gave."""
_HEAD = "\n".join(["mov %r6, %r1", *(f"stdw [%r10-{at}], 0" for at in range(72, 0, -8))])
_TAIL = """
stxdw [%r10-64], %r0
mov %r7, %r0
stw [%r10-72], 0
MAP %r1, out
mov %r2, %r10
add %r2, -72
mov %r3, %r10
add %r3, -64
mov %r4, 0
call 2
mov %r0, %r7
exit
"""


class Seen(NamedTuple):
    """What a run gave on one machine."""

    value: int
    data: bytes
    context: bytes
    out: bytes


def asm(text: str) -> tuple[bytes, tuple[Relocation, ...]]:
    """Bytecode; `MAP %r1, name` loads a map, `DATA %r1, name` the address of its values."""
    relocations, lines, at = [], [], 0
    for raw in text.splitlines():
        line = raw.strip()
        if not line:
            continue
        if line.startswith(("MAP ", "DATA ")):
            kind, _, rest = line.partition(" ")
            register, _, name = rest.partition(", ")
            relocations.append(Relocation(at, kind.lower(), name))
            line = f"lddw {register}, 0"
        at += 0 if re.fullmatch(r"\w+:", line) else 2 if line.startswith("lddw") else 1
        lines.append(line)
    return assemble("\n".join(lines)), tuple(relocations)


def program(kind: int, body: str, *, value: str = "%r7", maps: tuple[MapSpec, ...] = (), attach_type: int = 0,
            ) -> ObjectSpec:
    """The body (context in r6; r10-64 to r10 is zero; it leaves a helper's result in r0) and the copying to `out`."""
    code, relocations = asm(_HEAD + "\n" + body + _TAIL.replace("mov %r0, %r7", f"mov %r0, {value}"))
    main = Function("main", code, relocations)
    return ObjectSpec((ProgramSpec("main", "main", "test", kind, attach_type),), (main,), (OUT, *maps))


def run(machine: Any, spec: ObjectSpec, data: bytes, context: bytes, before: Any = None) -> Seen:
    """Load and run it once."""
    loaded = machine.load(spec)
    try:
        if before is not None:
            before(loaded)
        found = loaded.programs["main"].test_run(data, context=context)
        return Seen(found.value, found.data, found.context, loaded.maps["out"].lookup(bytes(4)))
    finally:
        loaded.close()


def everywhere(spec: ObjectSpec, data: bytes = b"", context: bytes = b"", *, before: Any = None, kernel: bool = True,
               ) -> dict[str, Seen]:
    """What each machine gave."""
    found = {}
    for engine in ("interpreter", "jit"):
        with Userspace(engine=engine, memory_bytes=1 << 22) as machine:
            found[engine] = run(machine, spec, data, context, before)
    if kernel:
        with Kernel() as machine:
            found["kernel"] = run(machine, spec, data, context, before)
    return found

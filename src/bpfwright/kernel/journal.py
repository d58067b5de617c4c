"""What a load did, step by step, for people who look: the maps, what programs refer to, the verifier's own words."""
from __future__ import annotations

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import KernelError
from bpfwright.spec.linking import Linked, reachable
from bpfwright.spec.objects import Function, MapSpec, ProgramSpec

if TYPE_CHECKING:
    from bpfwright.kernel.sys import ProgramLoad

__all__ = ["Journal"]

_FIRST_LOG, _LAST_LOG = 1 << 20, (1 << 24) - 1  # old kernels take no larger log
_NAMES = {value: name.removeprefix("BPF_MAP_TYPE_").lower() for name, value in vars(B).items()
          if name.startswith("BPF_MAP_TYPE_") and isinstance(value, int)}


class Journal:
    """Hand it to `Kernel.load`: `lines` say what was done, in order; if `verifier` is set (loading takes much longer
    then), `logs` hold the verifier's log of each program, also of the one that it refused."""

    def __init__(self, *, verifier: bool = False) -> None:
        self.verifier = verifier
        self.lines: list[str] = []
        self.logs: dict[str, str] = {}

    def types(self, size: int, accepted: bool) -> None:
        """The object's BTF."""
        self.lines.append(f"types: {size} bytes of BTF" + ("" if accepted else ", which this kernel does not take"))

    def map(self, spec: MapSpec, fd: int) -> None:
        """A map that was made, or adopted."""
        words = [_NAMES.get(spec.type, f"type {spec.type}")]
        if spec.key_size or spec.value_size:
            words.append(f"{spec.key_size} bytes to {spec.value_size}")
        unit = "byte" if spec.type in (B.BPF_MAP_TYPE_RINGBUF, B.BPF_MAP_TYPE_USER_RINGBUF) else "entry"
        words.append(_so_many(spec.max_entries, unit))
        if spec.contents is not None:
            words.append(f"filled with {_so_many(len(spec.contents), 'byte')}")
        if spec.frozen:
            words.append("frozen")
        self.lines.append(f"map {spec.name}: {', '.join(words)}, descriptor {fd}")

    def linked(self, spec: ProgramSpec, linked: Linked, functions: dict[str, Function]) -> None:
        """A program as it is handed to the kernel."""
        parts = reachable(spec.function, functions)
        self.lines.append(f"program {spec.name} ({spec.section}): {_so_many(len(linked.insns) // 8, 'instruction')}"
                          + (f" of {len(parts)} functions" if len(parts) > 1 else ""))
        found: dict[tuple[str, str], int] = {}
        for part in parts:
            for relocation in functions[part].relocations:
                key = relocation.kind, relocation.name
                found[key] = found.get(key, 0) + 1
            if functions[part].core_relocations:
                key = "core", part
                found[key] = len(functions[part].core_relocations)
        for (kind, name), times in found.items():
            self.lines.append(f"  {_REFERENCES.get(kind, kind)} {name}" + (f", {times} times" if times > 1 else ""))

    def loaded(self, spec: ProgramSpec, fd: int) -> None:
        """A program that the kernel has taken."""
        from bpfwright.kernel.listing import program_info
        info = program_info(fd)
        verified = f", {info.verified_instructions} verified" if info.verified_instructions else ""
        self.lines.append(f"  loaded as {info.id}: {info.translated_bytes // 8} instructions{verified}, "
                          f"{info.compiled_bytes} bytes of machine code")

    def verified(self, spec: ProgramSpec, attributes: ProgramLoad) -> int:
        """The descriptor of a program that was loaded with a log; -1 where the kernel refused it, whatever of."""
        size = _FIRST_LOG
        while True:
            log = bytearray(size)
            fd = -1
            try:
                fd = attributes.send(2, log)  # of good programs, level 1 has the last line only
            except KernelError:
                pass
            self.logs[spec.name] = log.partition(b"\0")[0].decode("utf-8", "replace")
            if fd >= 0 or size == _LAST_LOG or len(self.logs[spec.name]) < size - 1:
                return fd
            size = min(size * 4, _LAST_LOG)


def _so_many(number: int, unit: str) -> str:
    plural = f"{unit[:-1]}ies" if unit.endswith("y") else f"{unit}s"
    return f"{number} {unit if number == 1 else plural}"


_REFERENCES = {"map": "refers to map", "data": "reads and writes data of", "call": "calls", "func": "hands on",
               "kfunc": "calls the kernel's", "extern": "refers to the kernel's", "core": "CO-RE relocations in"}

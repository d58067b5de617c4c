"""Objects compiled ahead: what a built package brings along, so that the first start of a ready tool needs no LLVM.

`scripts/compile_ahead.py` writes the file where the package is built. Its objects are those of this very source: the
file says which compiler made it, a program's key holds its whole text, and each object says which features it was
asked about and where the kernel's arguments were taken to be. What differs in anything is compiled as ever.
"""
from __future__ import annotations

import marshal
import os
import zlib

from bpfwright import _cache
from bpfwright._host import processor
from bpfwright._typing import Any, NamedTuple
from bpfwright.errors import UsageError
from bpfwright.lang.compile import ROOMS, key_anywhere
from bpfwright.lang.scope import Scope
from bpfwright.lang.source import here, portable
from bpfwright.lang.target import Target
from bpfwright.spec.freezing import freeze, thaw
from bpfwright.spec.program import Program

__all__ = ["PATH", "Asked", "Variant", "find", "hoped_for", "pack", "stamp", "used_facts"]

_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATH = os.path.join(_HOME, "ahead.bin")
_MAGIC = b"bpfwright ahead 1\n"
_MARSHAL = 4
_DAMAGE = (OSError, EOFError, ValueError, TypeError, AttributeError, zlib.error)  # counts as no file


class Variant(NamedTuple):
    """One object of a set of programs: what it takes for granted, and what compile_programs() made."""

    asked: tuple[tuple[str, bool], ...]
    facts: str
    frozen: bytes


class Asked(frozenset[str]):
    """A target's features, which remember what the compiler asked for."""

    def answers(self) -> dict[str, bool]:
        """What was asked, and what was said."""
        found: dict[str, bool] = self.__dict__.setdefault("asked", {})
        return found

    def __contains__(self, feature: object) -> bool:
        answer = self.answers()[str(feature)] = super().__contains__(feature)
        return answer


def hoped_for(programs: list[Program[Any, Any, Any]]) -> bool:
    """Whether these are the package's own programs and it brings objects: LLVM need not start just in case."""
    return _own(programs) and os.path.exists(PATH)


def _own(programs: list[Program[Any, Any, Any]]) -> bool:
    """Whether all stand in files of this package: not in the user's, nor in a text made of the user's words."""
    return all(portable(file) != file for file in (program.function.__code__.co_filename for program in programs))


def find(programs: list[Program[Any, Any, Any]], target: Target, path: str = "") -> bytes | None:
    """What was compiled ahead for these programs, by this compiler and for such a kernel; None when nothing was."""
    if not _own(programs):
        return None
    try:
        with open(path or PATH, "rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC or file.read(32) != stamp():
                return None
            index = marshal.loads(file.read(int.from_bytes(file.read(4), "little")))
            facts = used_facts(programs)
            base = file.tell()
            for asked, wanted, offset, size in index.get(key_anywhere(programs, target), ()):
                if wanted == facts and all(target.has(feature) == answer for feature, answer in asked):
                    file.seek(base + offset)
                    return _moved_here(zlib.decompress(file.read(size)))
    except (*_DAMAGE, UsageError):  # the compiler says what is wrong with a program
        return None
    return None


def used_facts(programs: list[Program[Any, Any, Any]]) -> str:
    """What these programs' code takes from what is known of this kernel."""
    parts = []
    for program in programs:
        scope = Scope(program.function)
        annotations = [scope.annotation(name) for name in program.parameter_names]
        parts.append(program.hook.used_facts(program, program.hook.parameters(program, annotations)))
    return repr(parts)


def stamp() -> bytes:
    """A digest of the compiler's own source, the version and the kernel's types with it, and of the processor.

    Checksums of files go into it, not their texts: megabytes of SHA-256 take 20 ms, and these files change by accident
    or by an editor, not to deceive: who can write them needs no object to run code.
    """
    digest = _cache.hasher()
    digest.update(processor().encode())  # registers, and numbers of system calls
    for room in (*ROOMS, "vmlinux"):
        folder = os.path.join(_HOME, room)
        for name in sorted(os.listdir(folder)):
            if name.endswith((".py", ".pyi")):
                with open(os.path.join(folder, name), "rb") as file:
                    text = file.read()
                digest.update(f"{room}/{name} {len(text)} {zlib.crc32(text)} {zlib.adler32(text)}\n".encode())
    found: bytes = digest.digest()
    return found


def pack(variants: dict[str, list[Variant]]) -> bytes:
    """The file: a head, an index by key, and each object once."""
    places: dict[bytes, tuple[int, int]] = {}
    body = bytearray()
    index: dict[str, list[tuple[Any, ...]]] = {}
    for key, some in sorted(variants.items()):
        for asked, facts, frozen in some:
            if frozen not in places:
                packed = zlib.compress(frozen, 9)
                places[frozen] = len(body), len(packed)
                body += packed
            index.setdefault(key, []).append((asked, facts, *places[frozen]))
    head = marshal.dumps(index, _MARSHAL)
    return _MAGIC + stamp() + len(head).to_bytes(4, "little") + head + bytes(body)


def _moved_here(frozen: bytes) -> bytes:
    """With the names of source files as they are in this installation, for the messages of refused programs."""
    facts, elf, parts = marshal.loads(frozen)
    read = thaw(parts)
    functions = tuple(each._replace(lines=tuple(line._replace(file=here(line.file)) for line in each.lines))
                      for each in read.functions)
    return marshal.dumps((facts, elf, freeze(read._replace(functions=functions))), _MARSHAL)

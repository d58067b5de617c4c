"""Addresses to what the language prints for them, in the kernel and in processes, with memory."""
from __future__ import annotations

import os

from bpfwright import _host
from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.errors import BpfwrightError
from bpfwright.symbols import KernelSymbols, ProcessSymbols

if TYPE_CHECKING:
    from bpfwright.formats.dwarf.lines import SourceLine
    from bpfwright.symbols.kernel_lines import KernelLines

__all__ = ["Symbolizer", "Who"]

_ANSWERS = 1 << 18
_PROCESSES = 512
_LOOK_AGAIN_NS = 1_000_000_000

Who = int | tuple[int, int] | None
"""Whose addresses: the kernel's, a process's by its number, or by its number and life where those are told apart."""
_Place = tuple[str, int, str]
"""A name or nothing, how far in, the module."""


class Symbolizer:
    """`cache` is the setting cache_user_symbols: PER_PID keeps each process's symbols, PER_PROGRAM those of the first
    process of each program, NONE reads them anew each time. With `lines` frames have their file and line where debug
    information says them, and functions that were inlined are frames of their own. `lives` gives the symbols of a
    process by its number and life; `problems` says what could not be read, and why."""

    def __init__(self, cache: str = "PER_PID", demangled: bool = True, lines: bool = False) -> None:
        self.cache = cache
        self.lines = lines
        self.demangled = demangled
        self.problems: dict[str, str] = {}
        self._kernel: KernelSymbols | None = None
        self._kernel_read_ns = 0
        self._processes: dict[object, ProcessSymbols | None] = {}
        self._answers: dict[tuple[object, int], _Place] = {}
        self._sources: dict[tuple[object, int], list[SourceLine]] = {}
        self._kernel_lines: KernelLines | None = None
        self._programs: dict[int, tuple[int, int]] = {}
        self.lives: Callable[[int, int], ProcessSymbols | None] = lambda pid, life: None

    def kernel(self, address: int) -> bytes:
        """The function's name, or the address."""
        return self._text(self._places([address], None)[0], address, False, False)

    def user(self, address: int, pid: int) -> bytes:
        """The same in a process."""
        return self._text(self._places([address], pid)[0], address, False, False)

    def frames(self, addresses: list[int], pid: Who, perf: bool) -> list[bytes]:
        """`name+offset` of each frame, of the kernel's without a process; with the module for `perf`."""
        module = perf and pid is not None
        return [self._text(place, address, True, module)
                for place, address in zip(self._places(addresses, pid), addresses, strict=True)]

    def described(self, addresses: list[int], pid: Who, perf: bool) -> list[tuple[int, bytes]]:
        """The frames of a stack, innermost first, with their addresses.

        With `lines` it is `name+offset@file:line`, after `[inlined] name@file:line` of each function that is inlined
        there, the innermost first; without file and line for `perf`.
        """
        frames = list(zip(addresses, self.frames(addresses, pid, perf), strict=True))
        if not self.lines:
            return frames
        found: list[tuple[int, bytes]] = []
        for place, (address, text) in enumerate(frames):
            # What calls stands before the address that it returns to, which may be another line's.
            lines = self._lines_at(address - (place > 0), pid)
            found += [(address, b"[inlined] %b%b" % (_bytes(line.function), b"" if perf else _where(line)))
                      for line in lines[:-1]]
            found.append((address, text if perf or not lines else text + _where(lines[-1])))
        return found

    def _lines_at(self, address: int, pid: Who) -> list[SourceLine]:
        """The source lines of an address, the innermost function first; none where nothing says them."""
        key = (self._key(pid), address)
        known = self._sources.get(key)
        if known is None:
            if len(self._sources) > _ANSWERS:
                self._sources.clear()
            known = self._sources[key] = self._look_up_lines(address, pid)
        return known

    def _look_up_lines(self, address: int, pid: Who) -> list[SourceLine]:
        try:
            if pid is not None:
                process = self._process(pid)
                return [] if process is None else process.lines(address)
            if self._kernel is None:
                self._read_kernel()
            assert self._kernel is not None
            if self._kernel_lines is None:
                from bpfwright.symbols.kernel_lines import KernelLines
                self._kernel_lines = KernelLines(self._kernel)
            return self._kernel_lines.at(address)
        except (BpfwrightError, OSError) as error:
            self.problems["debug information"] = str(error)
            return []

    def _text(self, place: _Place, address: int, offset: bool, module: bool) -> bytes:
        name, inside, where = place
        text = (f"{name}+{inside}" if offset else name) if name else f"{address:#x}"
        return (f"{text} ({where})" if module else text).encode("utf-8", "surrogateescape")

    def remember(self, pid: int) -> None:
        """Look at a process while it is there."""
        self._process(pid)

    def build_ids(self, addresses: list[int], pid: Who) -> list[bytes]:
        """`BUILDID 0xOFFSET` of each frame in its file, or the address."""
        from bpfwright.formats.elf.program import FileBytes, Program
        process = self._process(pid)
        known: dict[str, bytes | None] = {}
        lines = []
        for address in addresses:
            mapping = next((m for m in process.mappings if m.start <= address < m.end), None) if process else None
            number = None
            if mapping is not None and mapping.of_file:
                if mapping.path not in known:
                    try:
                        with FileBytes(mapping.path) as file:
                            known[mapping.path] = Program(file).build_id
                    except (OSError, BpfwrightError):
                        known[mapping.path] = None
                number = known[mapping.path]
            lines.append(b"%b 0x%x" % (number.hex().encode(), address - mapping.start + mapping.offset)
                         if number and mapping is not None else b"0x%x" % address)
        return lines

    # looking up

    def _places(self, addresses: list[int], pid: Who) -> list[_Place]:
        if self.cache == "NONE" and pid is not None:
            return self._resolve(addresses, pid)
        key = self._key(pid)
        answers = self._answers
        missing = [address for address in dict.fromkeys(addresses) if (key, address) not in answers]
        if missing:
            if len(answers) > _ANSWERS:
                answers.clear()
                missing = list(dict.fromkeys(addresses))
            for address, place in zip(missing, self._resolve(missing, pid), strict=True):
                answers[key, address] = place
        return [answers[key, address] for address in addresses]

    def _key(self, pid: Who) -> object:
        if not isinstance(pid, int) or self.cache != "PER_PROGRAM":
            return pid
        try:
            stat = os.stat(f"/proc/{pid}/exe")
        except OSError:
            return self._programs.get(pid, pid)
        self._programs[pid] = program = (stat.st_dev, stat.st_ino)
        return program

    def _resolve(self, addresses: list[int], pid: Who) -> list[_Place]:
        unknown: list[_Place] = [("", address, "[unknown]") for address in addresses]
        if pid is None:
            found = self._resolve_kernel(addresses)
        else:
            process = self._process(pid)
            found = None if process is None else process.resolve(addresses, demangled=self.demangled)
        return unknown if found is None else [(symbol.name, symbol.offset, symbol.module) for symbol in found]

    def _resolve_kernel(self, addresses: list[int]) -> Any:
        try:
            if self._kernel is None:
                self._read_kernel()
            assert self._kernel is not None
            found = self._kernel.resolve(addresses)
            # Modules and programs come while a script runs; looking for them each time would cost 100 ms a symbol.
            if "" in found.names and _host.now_ns() - self._kernel_read_ns > _LOOK_AGAIN_NS:
                self._read_kernel()
                found = self._kernel.resolve(addresses)
            return found
        except BpfwrightError as error:
            self.problems["kernel"] = str(error)
            return None

    def _read_kernel(self) -> None:
        self._kernel = KernelSymbols()
        self._kernel_read_ns = _host.now_ns()

    def _process(self, pid: Who) -> ProcessSymbols | None:
        if pid is None or isinstance(pid, tuple):
            return None if pid is None else self.lives(*pid)
        key = self._key(pid)
        if key not in self._processes or self.cache == "NONE":
            if len(self._processes) >= _PROCESSES:
                self._processes.pop(next(iter(self._processes)))
            try:
                self._processes[key] = ProcessSymbols(pid)
            except BpfwrightError as error:
                self.problems[f"process {pid}"] = str(error)
                self._processes[key] = None
        return self._processes[key]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _where(line: SourceLine) -> bytes:
    return b"@%b:%d" % (_bytes(line.file), line.line) if line.file and line.line else b""

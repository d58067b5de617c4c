"""Addresses by name, and stacks as lines: of the kernel, and of processes that may be over."""
from __future__ import annotations

import os

from itertools import chain

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterable, Iterator
from bpfwright.facets.tools._tool import Column, Option

if TYPE_CHECKING:
    from bpfwright.symbols import FileCache, KernelSymbols, ProcessSymbols

__all__ = ["NONE", "STACK_COLUMNS", "STACK_OPTIONS", "Stacked", "Symbols", "addresses", "folded_or_block",
           "stack_cells", "stacked", "user_name"]


_MOST_PASSES = 4  # over the kernel's list, before it is kept
_MANY = 5000
_TRACING = ("bpf_prog_", "bpf_trace_run", "__traceiter_", "__bpf_trace_", "bpf_trampoline_", "trace_call_bpf",
            "perf_trace_", "kprobe_", "ftrace_", "0x")


class Symbols:
    """Names of addresses; a process is looked at when it is first asked for, and remembered when it has ended."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._passes = 0
        self._kernel: KernelSymbols | None = None
        self._processes: dict[int, ProcessSymbols | None] = {}
        self._files: FileCache | None = None

    def learn(self, addresses: Iterable[int]) -> None:
        """Look for the kernel's functions of many addresses at once, which takes no longer than for one.

        What asks again and again gets a table of all functions, which takes tens of megabytes.
        """
        new = set(addresses) - self._names.keys()
        if not new:
            return
        if self._kernel is None and self._passes < _MOST_PASSES and len(new) < _MANY:
            from bpfwright.symbols import find_in_kernel
            self._passes += 1
            found = find_in_kernel(new)
            self._names.update({address: symbol.name for address, symbol in found.items()})
            return
        if self._kernel is None:
            from bpfwright.symbols import KernelSymbols
            self._kernel = KernelSymbols()
        self._names.update({address: self._kernel.find(address).name for address in new})

    def kernel(self, address: int) -> str:
        """A kernel function's name."""
        self.learn((address,))
        return self._names[address] or f"{address:#x}"

    def kernel_stack(self, addresses: list[int]) -> list[str]:
        """A kernel stack's functions, innermost first, without those that brought the program there."""
        self.learn(addresses)
        names = [self.kernel(address) for address in addresses]
        first = next((at for at, name in enumerate(names) if not name.startswith(_TRACING)), 0)
        return names[first:]

    def user(self, pid: int, address: int) -> str:
        """A function's name in a process."""
        process = self._process(pid)
        found = process.find(address) if process is not None else None
        return found.name if found is not None and found.name else f"{address:#x}"

    def watch(self, pid: int) -> None:
        """Look at a process while it lives."""
        self._process(pid)

    def _process(self, pid: int) -> Any:
        if pid not in self._processes:
            from bpfwright.errors import BpfwrightError
            from bpfwright.symbols import FileCache, ProcessSymbols
            self._files = self._files or FileCache()
            try:
                self._processes[pid] = ProcessSymbols(pid, files=self._files)
            except (BpfwrightError, OSError):
                self._processes[pid] = None
        return self._processes[pid]


def user_name(pid: int, address: int) -> str:
    """A function's name in a process that is not asked for again."""
    return Symbols().user(pid, address) if os.path.exists(f"/proc/{pid}") else f"{address:#x}"


NONE = 0xFFFF_FFFF
"""The number of a stack that could not be had, or was not asked for."""


class Stacked:
    """An entry of a map with its stacks by name, innermost first; `;` between frames."""

    def __init__(self, entry: Any, kernel: list[str], user: list[str]) -> None:
        self._entry = entry
        self.kernel = ";".join(kernel)
        self.user = ";".join(user)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._entry, name)


def stacked(running: Any, counts: Any, stacks: Any) -> Iterator[Stacked]:
    """Entries whose key has the numbers of stacks: `kernel`, `user`, of process `pid`."""
    symbols, kept, entries = Symbols(), running.session[stacks], list(running.drained(counts))
    kernels = [[] if entry.key.kernel == NONE else addresses(kept, entry.key.kernel) for entry in entries]
    symbols.learn(chain.from_iterable(kernels))
    for entry, kernel in zip(entries, kernels, strict=True):
        key = entry.key
        user = [] if key.user == NONE else [symbols.user(key.pid, address) for address in addresses(kept, key.user)]
        yield Stacked(entry, symbols.kernel_stack(kernel), user)


STACK_OPTIONS = (Option("-K, --kernel-stack", "the kernel's stack"), Option("-U, --user-stack", "the program's stack"))
STACK_COLUMNS = (Column("KERNEL", "", "@kernel", "kernel_stack"), Column("USER", "", "@user", "user_stack"))


def stack_cells(stacks: Any) -> dict[str, Callable[[Any, Any], str]]:
    """Columns `@kernel` and `@user` of rows whose records have the process and its stacks as `where`."""
    symbols = Symbols()

    def kernel(running: Any, record: Any) -> str:
        return ";".join(symbols.kernel_stack(addresses(running.session[stacks], record.where.kernel)))

    def user(running: Any, record: Any) -> str:
        found = addresses(running.session[stacks], record.where.user)
        return ";".join(symbols.user(record.where.pid, address) for address in found)

    return {"@kernel": kernel, "@user": user}


def addresses(stacks: Any, number: int) -> list[int]:
    """A stack's addresses, innermost first."""
    try:
        found: list[int] = stacks[number]
    except KeyError:
        return []
    return found


def folded_or_block(unit: str) -> Callable[[dict[str, Any], Any], list[str]]:
    """How a row is written: its stacks frame by frame and what was counted; with --folded a line for flame graphs."""
    def write(row: dict[str, Any], options: Any) -> list[str]:
        names = [str(row[name]) for name in row if name not in (unit, "kernel", "user", "pid")]
        kernel = [frame for frame in (row.get("kernel") or "").split(";") if frame]
        user = [frame for frame in (row.get("user") or "").split(";") if frame]
        if getattr(options, "folded", False):
            middle = ["-"] if kernel and user else []
            return [";".join([*names, *reversed(user), *middle, *reversed(kernel)]) + f" {row[unit]}"]
        lines = [f"    {frame}" for frame in [*kernel, *(["--"] if kernel and user else []), *user]]
        who = " < ".join(names) + (f" ({row['pid']})" if row.get("pid") else "")
        return [*lines, *([f"    -                {who}"] if who else []), f"        {row[unit]}", ""]
    return write

"""Names for 100,000 addresses of a process and of the kernel: ours, and libbcc called as bcc's Python does.

    sudo .venv/bin/python bench/symbols.py [--quick]

The addresses are drawn from the code of this process's libraries, and the kernel's functions, by a fixed seed. "First"
is from nothing: mappings, files and tables are read; what libbcc reads, it reads at its first look-ups. bpftrace has no
way to be asked for names of given addresses, so it is not here. libbcc (Debian: libbpfcc) is left out where it is
missing.
"""
from __future__ import annotations

import argparse
import ctypes
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import llvmlite.binding  # a large library to look into, as programs have them

from bench import measuring
from bpfwright.symbols import ElfSymbols, FileCache, KernelSymbols, ProcessSymbols, demangle

COUNT = 100_000
BAR_MS = 1000.0  # "well under a second"

Addresses = NDArray[np.uint64]
Row = tuple[str, float, float | str]


class BccSymbol(ctypes.Structure):
    """bcc_syms.h: struct bcc_symbol."""

    _fields_ = [("name", ctypes.c_char_p), ("demangled", ctypes.c_char_p), ("module", ctypes.c_char_p),
                ("offset", ctypes.c_uint64)]


def libbcc() -> ctypes.CDLL | None:
    for name in ("libbcc.so.0", "libbcc.so"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.bcc_symcache_new.restype = ctypes.c_void_p
        library.bcc_symcache_new.argtypes = [ctypes.c_int, ctypes.c_void_p]
        library.bcc_symcache_resolve.argtypes = [ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(BccSymbol)]
        library.bcc_symbol_free_demangle_name.argtypes = [ctypes.POINTER(BccSymbol)]
        library.bcc_free_symcache.argtypes = [ctypes.c_void_p, ctypes.c_int]
        return library
    return None


class Bcc:
    """libbcc's names, as bcc's Python asks for them: one call an address."""

    def __init__(self, library: ctypes.CDLL, pid: int) -> None:
        self.library, self.pid = library, pid
        self.cache = library.bcc_symcache_new(pid, None)

    def names(self, addresses: list[int]) -> list[bytes]:
        symbol, found = BccSymbol(), []
        for address in addresses:
            if self.library.bcc_symcache_resolve(self.cache, address, symbol) < 0:
                found.append(b"")
            elif self.pid < 0:
                found.append(symbol.name)
            else:
                found.append(symbol.demangled)
                self.library.bcc_symbol_free_demangle_name(symbol)
        return found

    def begins(self, addresses: list[int]) -> list[tuple[str, int]]:
        """Names, and the begins of what has them."""
        symbol, found = BccSymbol(), []
        for address in addresses:
            if self.library.bcc_symcache_resolve(self.cache, address, symbol) < 0:
                found.append(("", 0))
            else:
                found.append((symbol.demangled.decode(), address - symbol.offset))
                self.library.bcc_symbol_free_demangle_name(symbol)
        return found

    def close(self) -> None:
        self.library.bcc_free_symcache(self.cache, self.pid)


def drawn_of_process(chance: np.random.Generator) -> Addresses:
    """Addresses in the code that this process has mapped, as many from each file; some of it has no names."""
    code = [m for m in ProcessSymbols(os.getpid()).mappings if m.executable and m.of_file]
    parts = [chance.integers(m.start, m.end, COUNT, dtype=np.uint64) for m in code]
    return chance.choice(np.concatenate(parts), COUNT)


def drawn_of_kernel(chance: np.random.Generator) -> Addresses:
    with open("/proc/kallsyms") as file:
        known = [int(line[:16], 16) for line in file if line[17] in "tT"]
    return chance.choice(np.array(known, dtype=np.uint64), COUNT) + np.uint64(1)


def agreement(symbols: ProcessSymbols, bcc: Bcc, addresses: Addresses) -> Counter[str]:
    """How often both say the same, and how they differ."""
    counted: Counter[str] = Counter()
    theirs = bcc.begins(addresses.tolist())
    for address, mine, (name, begin) in zip(addresses.tolist(), symbols.resolve(addresses), theirs, strict=True):
        if mine.name == name:
            counted["the same" if name else "neither has one"] += 1
        elif not name or not mine.name:
            counted["only we have one" if mine.name else "only libbcc has one"] += 1
        else:
            counted["another of the same begin" if address - mine.offset == begin else "of another begin"] += 1
    return counted


def took_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    rounds = 3 if parser.parse_args().quick else 7
    chance = np.random.default_rng(1)
    library = libbcc()
    llvmlite.binding.llvm_version_info  # noqa: B018  # it is loaded
    ours: dict[str, list[float]] = {}
    theirs: dict[str, list[float]] = {}
    user = drawn_of_process(chance)
    hidden = os.geteuid() != 0
    kernel = np.zeros(0, np.uint64) if hidden else drawn_of_kernel(chance)
    copy = b"" if hidden else Path("/proc/kallsyms").read_bytes()
    path = Path("/proc/self/fd") / str(os.memfd_create("kallsyms"))
    path.write_bytes(copy)
    libc = next(m.path for m in ProcessSymbols(os.getpid()).mappings if "libc.so" in m.path)
    largest = ElfSymbols(llvmlite.binding.ffi.lib._name, roots=())
    mangled = [name for row in range(len(largest)) if (name := largest.name(row)).startswith("_Z")]
    known: list[ProcessSymbols] = []
    kernels: list[KernelSymbols] = []
    bccs: list[Bcc] = []
    agree: Counter[str] = Counter()

    def measure(name: str, work: Callable[[], object], other: Callable[[], object] | None = None) -> None:
        ours.setdefault(name, []).append(took_ms(work))
        if other is not None and library is not None:
            theirs.setdefault(name, []).append(took_ms(other))

    def first() -> None:
        known.append(ProcessSymbols(os.getpid(), files=FileCache()))
        known[-1].resolve(user).columns()

    def bcc_first(pid: int, addresses: Addresses) -> None:
        assert library is not None
        bccs.append(Bcc(library, pid))
        bccs[-1].names(addresses.tolist())

    def kernel_first() -> None:
        kernels.append(KernelSymbols())
        kernels[-1].resolve(kernel).columns()

    for _ in range(rounds):
        demangle.cache_clear()
        measure(f"{COUNT:,} addresses of this process, first", first, lambda: bcc_first(os.getpid(), user))
        measure(f"{COUNT:,} addresses of this process, again", lambda: known[-1].resolve(user).columns(),
                lambda: bccs[-1].names(user.tolist()))
        if library is not None and not agree:
            agree.update(agreement(known[-1], bccs[-1], user))
        if not hidden:
            measure(f"{COUNT:,} addresses of the kernel, first", kernel_first, lambda: bcc_first(-1, kernel))
            measure(f"{COUNT:,} addresses of the kernel, again", lambda: kernels[-1].resolve(kernel).columns(),
                    lambda: bccs[-1].names(kernel.tolist()))
            measure(f"parse /proc/kallsyms, {copy.count(10):,} lines, without the kernel's writing of it",
                    lambda: KernelSymbols(path))
        measure("libc's .dynsym and stubs", lambda: ElfSymbols(libc, roots=()))
        demangle.cache_clear()
        measure(f"demangle {len(mangled):,} C++ names", lambda: [demangle(name) for name in mangled])
        for bcc in bccs:
            bcc.close()
        bccs.clear()
        known.clear()
        kernels.clear()
    medians = {name: statistics.median(times) for name, times in ours.items()}
    print(measuring.table(("what, ms", "here", "best", "libbcc by ctypes" if library else "libbcc (not there)"),
                          [(name, medians[name], min(ours[name]),
                            statistics.median(theirs[name]) if name in theirs else "") for name in medians]))
    if agree:
        print("\nNames of this process's addresses, beside libbcc's: "
              + ", ".join(f"{what} {count / COUNT:.2%}" for what, count in agree.most_common()) + ".")
    if hidden:
        print("\nWithout root the kernel's addresses are hidden: its rows are missing.")
    worst = max(value for name, value in medians.items() if name.startswith(f"{COUNT:,}"))
    print(f"\n{COUNT:,} addresses in less than {BAR_MS:.0f} ms, from nothing: "
          f"{measuring.verdict(worst < BAR_MS)} ({worst:.0f} ms)")
    return worst >= BAR_MS


if __name__ == "__main__":
    sys.exit(main())

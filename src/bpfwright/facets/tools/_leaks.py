"""Allocations that live, summed by stack; and where a C library allocates."""
from __future__ import annotations

from bpfwright._host import now_ns as host_now_ns
from bpfwright._typing import Any, Iterator
from bpfwright.facets.tools._captures import kernel_stack, stacks, user_stack
from bpfwright.facets.tools._stacks import NONE, Symbols, addresses
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.maps import Hash, LruHash
from bpfwright.spec.program import Context
from bpfwright.types import Config, Struct, u32, u64

__all__ = ["Choice", "entries", "given", "hooks_of_libc", "lines", "live", "remember", "taken"]


class Allocation(Struct):
    """What was given, when, to whom, from where."""

    size: u64
    at: u64
    pid: u32
    kernel: u32
    user: u32


class Choice(Config):
    """Sizes that count."""

    min_size: u64 = 0
    max_size: u64 = (1 << 64) - 1


choice = Choice()
sizes = LruHash[u32, u64](max_entries=10_240)
live = Hash[u64, Allocation](max_entries=1_000_000, preallocate=False)


def fits(size: u64) -> bool:
    """Whether an allocation of the current thread counts."""
    return wanted() and choice.min_size <= size <= choice.max_size


def remember(size: u64) -> None:
    """Until the library says where it is."""
    if fits(size):
        sizes[current.tid] = size


def given(ctx: Context, address: u64) -> None:
    """The library says where what was asked for is."""
    size = sizes.pop(current.tid, None)
    if size is not None and address != 0:
        live[address] = Allocation(size, now_ns(), pid(), NONE, user_stack(ctx))


def taken(ctx: Context, address: u64, size: u64) -> None:
    """The kernel took memory for itself."""
    if fits(size):
        live[address] = Allocation(size, now_ns(), 0, kernel_stack(ctx), NONE)


class Leak:
    """What one stack holds."""

    def __init__(self, size: int, count: int, age_ms: int, kernel: str, user: str) -> None:
        self.bytes, self.count, self.age_ms, self.kernel, self.user = size, count, age_ms, kernel, user


def entries(running: Any) -> Iterator[Leak]:
    """Live allocations older than asked, by stack, or each by itself."""
    oldest = host_now_ns() - running.options.older * 1_000_000
    sums: dict[tuple[int, ...], list[int]] = {}
    for address, each in running.session[live].items():
        if each.at > oldest:
            continue
        key = (each.pid, each.kernel, each.user, *([address] if running.options.show_allocs else []))
        known = sums.setdefault(key, [0, 0, each.at])
        known[:] = known[0] + each.size, known[1] + 1, min(known[2], each.at)
    kept, symbols = running.session[stacks], Symbols()
    largest = sorted(sums.items(), key=lambda item: item[1][0], reverse=True)[:1000]
    kernels = {key[1]: addresses(kept, key[1]) for key, _ in largest if key[1] != NONE}
    symbols.learn(address for stack in kernels.values() for address in stack)
    for (process, kernel, user, *_), (size, count, at) in largest:
        yield Leak(size, count, (host_now_ns() - at) // 1_000_000,
                   "" if kernel == NONE else ";".join(symbols.kernel_stack(kernels[kernel])),
                   "" if user == NONE else ";".join(symbols.user(process, each) for each in addresses(kept, user)))


def hooks_of_libc(options: Any, asked: tuple[Any, Any, Any], got: Any, freed: Any) -> tuple[Any, ...]:
    """Programs at malloc, calloc, realloc and free of the library that a process has."""
    from bpfwright.facets.tools._probes import library_path
    from bpfwright.hooks.uprobe import Symbol
    path = library_path(options.obj, options.pid)
    names = ("malloc", "calloc", "realloc")
    return (*(program.on(Symbol(path, name, pid=options.pid)) for program, name in zip(asked, names)),
            *(got.on(Symbol(path, name, pid=options.pid)) for name in names),
            freed.on(Symbol(path, "free", pid=options.pid)))


def lines(row: dict[str, Any], options: Any) -> list[str]:
    """A row as memleak writes it."""
    age = f", {row['age_ms']} ms old" if options.show_allocs else ""
    frames = [frame for stack in (row["kernel"], row["user"]) for frame in stack.split(";") if frame]
    return [f"        {row['bytes']} bytes in {row['allocations']} allocations{age} from stack",
            *(f"                {frame}" for frame in frames)]

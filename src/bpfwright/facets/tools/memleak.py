"""Memory that was allocated and not freed, by stack: of a process (malloc and its kin), or of the kernel.

examples:
  bpfwright tool memleak -p 181          of process 181, each five seconds
  bpfwright tool memleak -p 181 10 3     each ten seconds, three times
  bpfwright tool memleak -p 181 -a       with each allocation's age
  bpfwright tool memleak                 of the kernel (kmalloc, caches)
  bpfwright tool memleak --older 5000    what was not freed for five seconds
"""
from bpfwright.types import u64
from bpfwright.facets.tools._leaks import Choice, entries, given, hooks_of_libc, lines, live, remember, taken
from bpfwright.facets.tools._tool import Column, Option, Options, Table
from bpfwright.hooks import raw_tracepoint, uprobe


@uprobe.program("libc.so.6:malloc")
def asked(ctx: uprobe.Context, size: u64) -> None:
    remember(size)


@uprobe.program("libc.so.6:calloc")
def asked_many(ctx: uprobe.Context, count: u64, size: u64) -> None:
    remember(count * size)


@uprobe.program("libc.so.6:realloc")
def asked_again(ctx: uprobe.Context, old: u64, size: u64) -> None:
    live.pop(old, None)
    remember(size)


@uprobe.exit("libc.so.6:malloc")
def got(ctx: uprobe.Context, address: u64) -> None:
    given(ctx, address)


@uprobe.program("libc.so.6:free")
def freed(ctx: uprobe.Context, address: u64) -> None:
    live.pop(address, None)


@raw_tracepoint.program("kmalloc", btf=False)  # older verifiers refuse its `const void *`
def kmalloc(ctx: raw_tracepoint.Context, call_site: u64, address: u64, req: u64, size: u64) -> None:
    taken(ctx, address, size)


@raw_tracepoint.program("kfree", btf=False)
def kfree(ctx: raw_tracepoint.Context, call_site: u64, address: u64) -> None:
    live.pop(address, None)


def programs(options: Options) -> object:
    if options.pid is None:
        return (kmalloc, kfree)
    return hooks_of_libc(options, (asked, asked_many, asked_again), got, freed)


TOOL = Table(live, programs, (
    Column("BYTES", ">10"), Column("ALLOCATIONS", ">8", "count"), Column("AGE(ms)", ">8d", "age_ms", "show_allocs"),
    Column("KERNEL"), Column("USER")),
    entries=entries, sort="bytes", top=10, each=5.0, fresh=False,
    block=lines, config=lambda o: Choice(min_size=o.min_size, max_size=o.max_size or (1 << 64) - 1),
    options=(Option("-a, --show-allocs", "each allocation by itself"), Option("--older", "milliseconds at least", 500),
             Option("-z, --min-size", "bytes at least", 0), Option("-Z, --max-size", "bytes at most", 0),
             Option("-O, --obj", "the library that allocates", "c")))

"""How long operations on ext4 take: a histogram for each of read, write, open and fsync.

They are timed at their system calls.

examples:
  bpfwright tool ext4dist               until Ctrl-C
  bpfwright tool ext4dist 1 10          each second, ten times
  bpfwright tool ext4dist -m 5          in milliseconds, each five seconds
  bpfwright tool ext4dist -p 181        of process 181
"""
from bpfwright.types import Config, Struct, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, call, native, operation
from bpfwright.facets.tools._ext4 import NAMES, file_behind, is_ext4
from bpfwright.facets.tools._tool import MSECS, STAMP, Column, Histogram, bucket
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash, LruHash


class Slot(Struct):
    what: u32
    slot: u32


class Choice(Config):
    milliseconds: bool = False


choice = Choice()
begun = LruHash[u32, u64](max_entries=10_240)
counts = Hash[Slot, u64](max_entries=1024)


@raw_tracepoint.program("sys_enter")
def enter(ctx: raw_tracepoint.Context, regs: ptr[Registers], id: i64) -> None:
    if operation(u32(id)) != 0 and wanted():
        begun[current.tid] = now_ns()


@raw_tracepoint.program("sys_exit")
def leave(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    what = operation(call(regs))
    if what == 0 or not native():
        return
    start = begun.pop(current.tid, None)
    if start is not None and ret >= 0 and is_ext4(file_behind(regs, what, ret)):
        took = now_ns() - start
        counts.increment(Slot(what, bucket(took // 1_000_000 if choice.milliseconds else took // 1000)))


TOOL = Histogram(counts, (enter, leave), unit=lambda o: "msecs" if o.milliseconds else "usecs",
                 columns=(Column("operation", of=lambda key: NAMES[key.what]),), options=(STAMP, MSECS), config=Choice)

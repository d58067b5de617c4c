"""Capabilities that the kernel asks for: who needed which.

RESULT is 0 when it was granted. AUDIT is 1 when a refusal would be logged, where the kernel tells.

examples:
  bpfwright tool capable              checks that are audited, and those of which that is not known
  bpfwright tool capable -v           all checks
  bpfwright tool capable -p 181       of process 181
  bpfwright tool capable -KU          with the stacks that led there
  bpfwright tool capable --unique     each capability of a process once
  bpfwright tool capable -x           refused ones only
"""
from bpfwright.types import Config, Struct, i32, u32, u64
from bpfwright.facets.tools._captures import StackChoice, Where, stacks, where_asked
from bpfwright.facets.tools._names import capability_name
from bpfwright.facets.tools._stacks import STACK_COLUMNS, STACK_OPTIONS, stack_cells
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import current
from bpfwright.hooks import fentry, raw_tracepoint
from bpfwright.maps import LruHash, RingBuf
from bpfwright.spec.program import Context


class Checked(Struct):
    uid: u32
    cap: i32
    result: i32
    audit: i32
    where: Where


class Choice(Config):
    verbose: bool = False
    failed: bool = False
    unique: bool = False


choice = Choice()
checks = RingBuf[Checked](size_bytes=1 << 22)
known = LruHash[u64, u32](max_entries=10_240)


def send(ctx: Context, cap: i32, result: i32, audit: i32) -> None:
    if (choice.failed and result == 0) or (audit == 0 and not choice.verbose) or not wanted():
        return
    key = u64(current.pid) << 32 | u64(u32(cap))
    if choice.unique:
        if key in known:
            return
        known[key] = 1
    checks.emit(Checked(current.uid, cap, result, audit, where_asked(ctx)))


@raw_tracepoint.program("cap_capable")
def told(ctx: raw_tracepoint.Context, cred: u64, target: u64, capable: u64, cap: i32, ret: i32) -> None:
    send(ctx, cap, ret, -1)


@fentry.exit("cap_capable")
def returned(ctx: fentry.Context, cred: u64, target_ns: u64, cap: i32, opts: u32, ret: i32) -> None:
    send(ctx, cap, ret, 0 if opts & 2 else 1)


TOOL = Rows(checks, [(returned,), (told,)], (
    Column("TIME", "<8", "@clock"), Column("UID", "<6"), Column("PID", "<7d", lambda e: e.where.pid),
    Column("COMM", "<16", lambda e: e.where.comm), Column("CAP", "<4"),
    Column("NAME", "<20", lambda e: capability_name(e.cap)),
    Column("AUDIT", "<5d", lambda e: e.audit if e.audit >= 0 else None), Column("RESULT"), *STACK_COLUMNS),
    options=(Option("-v, --verbose", "checks that are not audited, too"), Option("-x, --failed", "refused ones only"),
             Option("--unique", "each capability of a process once"), *STACK_OPTIONS),
    cells=stack_cells(stacks), config=(Choice, StackChoice))

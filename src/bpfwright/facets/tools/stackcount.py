"""Call stacks that lead to functions and events: how often each.

Patterns are those of funccount: `vfs_*`, `c:malloc`, `/path/to/program:function`, `t:sched:sched_switch`.

examples:
  bpfwright tool stackcount t:block:block_rq_issue   who causes block I/O
  bpfwright tool stackcount -p 181 c:malloc          where process 181 allocates
  bpfwright tool stackcount -P c:open                by process
  bpfwright tool stackcount --folded -d 5 t:sched:sched_switch
"""
from bpfwright.types import Config, u64
from bpfwright.facets.tools._captures import Where, stacks, where
from bpfwright.facets.tools._probes import bound, expand
from bpfwright.facets.tools._stacks import folded_or_block, stacked
from bpfwright.facets.tools._tool import EACH, REQUIRED, Column, Option, Options, Table
from bpfwright.facets.tools._who import wanted
from bpfwright.hooks import kprobe, tracepoint, uprobe
from bpfwright.maps import Hash


class Choice(Config):
    kernel_only: bool = False
    user_only: bool = False


choice = Choice()
counts = Hash[Where, u64](max_entries=65_536)


@kprobe.program("vfs_read")
def kernel(ctx: kprobe.Context) -> None:
    if wanted():
        counts.increment(where(ctx, not choice.user_only, not choice.kernel_only))


@uprobe.program("libc.so.6:malloc")
def function(ctx: uprobe.Context) -> None:
    if wanted():
        counts.increment(where(ctx, False, True))


@tracepoint.program("sched:sched_switch")
def event(ctx: tracepoint.Context) -> None:
    if wanted():
        counts.increment(where(ctx, not choice.user_only, not choice.kernel_only))


def programs(options: Options) -> object:
    points = expand(options.pattern, pid=options.pid, regexp=options.regexp)
    return bound(points, kernel, function, event, pid=options.pid)


TOOL = Table(counts, programs, (
    Column("COMM", "<16"), Column("PID", "<7", when="perpid"), Column("COUNT", ">8", "value"), Column("KERNEL"),
    Column("USER")),
    entries=lambda running: stacked(running, counts, stacks), sort="+value", block=folded_or_block("count"),
    options=(Option("pattern", "where", REQUIRED), Option("-r, --regexp", "the pattern is a regular expression"), EACH,
             Option("-P, --perpid", "show the process"), Option("-K, --kernel-only", "kernel stacks only"),
             Option("-U, --user-only", "user stacks only"),
             Option("--folded", "a line a stack, for flame graphs")), config=Choice, positional=False)

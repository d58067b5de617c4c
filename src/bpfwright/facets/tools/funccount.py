"""How often functions of the kernel, of programs and libraries, and tracepoints happen.

Patterns are as the shell's: `vfs_*`, `c:mem*`, `/usr/bin/python3:Py*`, `t:sched:*`.

examples:
  bpfwright tool funccount 'vfs_*'             kernel functions, until Ctrl-C
  bpfwright tool funccount -i 1 't:sched:*'    tracepoints, each second
  bpfwright tool funccount c:malloc            a library's function, in all processes
  bpfwright tool funccount -p 181 c:malloc     in one process
  bpfwright tool funccount -r 'c:^(m|c)alloc$'    a regular expression
  bpfwright tool funccount -d 5 't:block:*'    for five seconds
"""
from bpfwright.types import u64
from bpfwright.facets.tools._probes import bound, expand
from bpfwright.facets.tools._tool import EACH, REQUIRED, Column, Option, Options, Table
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import cookie
from bpfwright.hooks import kprobe, tracepoint, uprobe
from bpfwright.maps import Hash

counts = Hash[u64, u64](max_entries=4096)


@kprobe.program("vfs_read")
def kernel(ctx: kprobe.Context) -> None:
    if wanted():
        counts.increment(cookie(ctx))


@uprobe.program("libc.so.6:malloc")
def user(ctx: uprobe.Context) -> None:
    if wanted():
        counts.increment(cookie(ctx))


@tracepoint.program("sched:sched_switch")
def event(ctx: tracepoint.Context) -> None:
    if wanted():
        counts.increment(cookie(ctx))


def programs(options: Options) -> object:
    options.points = expand(options.pattern, pid=options.pid, regexp=options.regexp)
    return bound(options.points, kernel, user, event, pid=options.pid)


TOOL = Table(
    counts, programs, (Column("FUNC", "<36", lambda e: e.label), Column("COUNT", ">8d", lambda e: e.value)),
    entries=lambda running: running.labelled(counts), sort="+value",
    options=(Option("pattern", "what to count", REQUIRED),
             Option("-r, --regexp", "the pattern is a regular expression"),
             EACH,
             Option("-T, --timestamp", "show the time of day")),
    positional=False)

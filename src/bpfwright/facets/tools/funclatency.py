"""How long functions take: a histogram. Functions of the kernel, of programs and libraries.

examples:
  bpfwright tool funclatency c:read             read() of the C library, in nanoseconds
  bpfwright tool funclatency -u vfs_read        a kernel function, in microseconds
  bpfwright tool funclatency -m -i 5 c:fsync    in milliseconds, each five seconds
  bpfwright tool funclatency -F 'c:*alloc'      a histogram for each function
  bpfwright tool funclatency -p 181 c:read      in process 181
"""
from bpfwright.facets.tools._latency import Choice, begin, counts, end
from bpfwright.facets.tools._probes import bound, expand
from bpfwright.facets.tools._tool import EACH, MSECS, REQUIRED, STAMP, Column, Histogram, Option, Options
from bpfwright.helpers import cookie
from bpfwright.hooks import kprobe, uprobe


@kprobe.program("vfs_read")
def kernel_begins(ctx: kprobe.Context) -> None:
    begin(cookie(ctx))


@kprobe.exit("vfs_read")
def kernel_ends(ctx: kprobe.Context) -> None:
    end(cookie(ctx))


@uprobe.program("libc.so.6:read")
def user_begins(ctx: uprobe.Context) -> None:
    begin(cookie(ctx))


@uprobe.exit("libc.so.6:read")
def user_ends(ctx: uprobe.Context) -> None:
    end(cookie(ctx))


def programs(options: Options) -> object:
    points = expand(options.pattern, pid=options.pid, regexp=options.regexp, events=False)
    POINTS[:] = points
    return (*bound(points, kernel_begins, user_begins, None, pid=options.pid),
            *bound(points, kernel_ends, user_ends, None, pid=options.pid))


POINTS: list[object] = []
TOOL = Histogram(
    counts, programs, unit=lambda o: "msecs" if o.milliseconds else "usecs" if o.microseconds else "nsecs",
    columns=(Column("Function", of=lambda key: POINTS[key.function - 1].label(), when="function"),),
    options=(Option("pattern", "which", REQUIRED), Option("-r, --regexp", "the pattern is a regular expression"),
             EACH, STAMP, MSECS,
             Option("-u, --microseconds", "in microseconds"), Option("-F, --function", "by function")),
    config=lambda o: Choice(divisor=1_000_000 if o.milliseconds else 1000 if o.microseconds else 1,
                            function=o.function), positional=False)

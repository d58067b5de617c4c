"""What functions are called with and what they return: how often each value, or a histogram.

A probe is `p:LIBRARY:FUNCTION(TYPE NAME, ...):TYPE:EXPRESSION:FILTER`, `r:...` for the return ($retval), or
`t:GROUP:EVENT():TYPE:EXPRESSION` with `args->FIELD`; an empty library is the kernel. Expressions are of numbers, with
Python's operators (&& and || too); `char*` shows text.

examples:
  bpfwright tool argdist -H 'p:c:malloc(size_t size):u64:size'            sizes, as a histogram
  bpfwright tool argdist -C 'p:c:open(char *path):char*:path'            which files, how often
  bpfwright tool argdist -C 'r:c:read():int:$retval:$retval < 0'         failed reads
  bpfwright tool argdist -C 't:sched:sched_switch():u32:args->next_pid'  an event's field
  bpfwright tool argdist -H 'p:c:malloc(size_t n):u64:n' -H 'p:c:calloc(size_t n, size_t m):u64:n * m'
  bpfwright tool argdist -i 1 -d 5 -H 'p:c:write(int fd, void *b, size_t n):u64:n:fd == 1'
"""
from bpfwright.facets.tools._expressions import counts, found, probe_of, programs, settings
from bpfwright.facets.tools._tool import EACH, Column, Either, Histogram, Option, Table

OPTIONS = (Option("-C, --frequency", "how often each value, of this probe; as often as you like", (), many=True),
           Option("-H, --histogram", "a histogram of values, of this probe; as often as you like", (), many=True),
           EACH, Option("-T, --maxrows", "rows at most", 20))
PROBE = Column("PROBE", "", "@probe", "several")
TOOL = Either("histogram", Histogram(
    counts, programs, unit="value", options=OPTIONS, columns=(PROBE,), cells={"@probe": probe_of}, config=settings,
    positional=False), Table(
    counts, programs, (Column("COUNT", "<10", "value"), Column("EVENT", "", lambda e: e.key.value), PROBE),
    entries=found, sort="value", options=OPTIONS, cells={"@probe": probe_of}, config=settings, positional=False))

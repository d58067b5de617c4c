"""Static tracepoints (USDT) of programs and libraries: a row each time one is passed, with its arguments.

A tracepoint is FILE:NAME or FILE:PROVIDER:NAME, with `*` for anything; a library may have its short name. Where the
program asks whether somebody listens, it is told so. ARGS shows `?` for what programs in the kernel cannot read.

examples:
  bpfwright tool usdt /usr/lib/postgresql/15/bin/postgres:query__start -s 0   each query's text
  bpfwright tool usdt 'stdc++:libstdcxx:*'                                    exceptions of C++, and who throws them
  bpfwright tool usdt -c -p 181 'postgres:lock*'                              how often each, in process 181
"""
from bpfwright.facets.tools._static import arguments, passed, programs
from bpfwright.facets.tools._tool import REQUIRED, STAMP, Column, Option, Rows

TOOL = Rows(passed, programs, (
    Column("TIME", "<8", "@clock", "timestamp"), Column("PID", "<7"), Column("TID", "<7"), Column("COMM", "<16"),
    Column("PROVIDER", "<12", "@provider"), Column("NAME", "<24", "@name"), Column("ARGS", "", "@arguments")),
    options=(Option("probe", "FILE:NAME or FILE:PROVIDER:NAME", REQUIRED), STAMP,
             Option("-s, --string", "the argument with this number is text", -1),
             Option("-c, --count", "how many of each, at the end")),
    tally=("provider", "name"), cells={
        "@provider": lambda running, record: running.options.places[record.place].provider,
        "@name": lambda running, record: running.options.places[record.place].name, "@arguments": arguments})

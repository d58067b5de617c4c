"""Commands that are typed into bash, in all shells of the machine.

examples:
  bpfwright tool bashreadline                     every command
  bpfwright tool bashreadline -s /usr/lib/x86_64-linux-gnu/libreadline.so.8    where bash links to the library
"""
from bpfwright.types import L, Struct, char, u32, u64
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import user_text
from bpfwright.hooks import uprobe
from bpfwright.maps import RingBuf


class Typed(Struct):
    pid: u32
    command: char[L[256]]


commands = RingBuf[Typed](size_bytes=1 << 18)


@uprobe.exit("/bin/bash:readline")
def typed(ctx: uprobe.Context, text: u64) -> None:
    if text != 0 and wanted():
        commands.emit(Typed(pid(), user_text(text, 256)))


TOOL = Rows(commands, lambda o: (typed.on(uprobe.Symbol(o.shared, "readline")),), (
    Column("TIME", "<9", "@clock"), Column("PID", "<7"), Column("COMMAND")),
    options=(Option("-s, --shared", "the file that has readline", "/bin/bash"),))

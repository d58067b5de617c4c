"""One tracer, as a user writes it: every file that is opened. bench/startup.py times it; with a number it ends then."""
import sys

from bpfwright import L, Struct, attach, char
from bpfwright.hooks import tracepoint
from bpfwright.maps import RingBuf
from bpfwright.tracepoints.syscalls import sys_enter_openat


class Open(Struct):
    path: char[L[64]]


opens = RingBuf[Open](size_bytes=1 << 18)


@tracepoint.program
def opened(ctx: sys_enter_openat) -> None:
    path = ctx.filename.read(64)
    if path is not None:
        opens.emit(Open(path))


if __name__ == "__main__":
    with attach(opened) as session:
        events = session.events(opens)
        print("attached", flush=True)
        for event in events if len(sys.argv) < 2 else events.within(float(sys.argv[1])):
            print(event.path)

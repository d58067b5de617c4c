"""How long system calls take, all of them together: `sudo python syscall_latency.py [SECONDS]`."""
import sys
import time

from bpfwright import attach, u32, u64
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, PerCpuArray

entered = Hash[u32, u64](max_entries=65_536)
histogram = PerCpuArray[u64](max_entries=64)


@tracepoint.program("syscalls:sys_enter_*")  # one program for some 360 events
def enters(ctx: tracepoint.Context) -> None:
    entered[current.tid] = now_ns()


@tracepoint.program("syscalls:sys_exit_*")
def leaves(ctx: tracepoint.Context) -> None:
    start = entered.pop(current.tid, None)
    if start is not None:
        histogram.increment(min((now_ns() - start).bit_length(), 63))  # by powers of two


if __name__ == "__main__":
    with attach(enters, leaves):
        time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
        counts = [histogram[power].total() for power in range(64)]
    for power, count in enumerate(counts):
        if count:
            print(f"< {2 ** power / 1000:14,.3f} us {count:10,} {'#' * (count * 40 // max(counts))}")

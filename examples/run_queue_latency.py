"""How long threads that could run had to wait for a CPU: `sudo python run_queue_latency.py [SECONDS]`."""
import sys
import time

from bpfwright import attach, i32, u64
from bpfwright.helpers import now_ns
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, PerCpuArray


class sched_wakeup(tracepoint.Fields, event="sched:sched_wakeup"):
    pid: i32


class sched_switch(tracepoint.Fields, event="sched:sched_switch"):
    next_pid: i32


ready = Hash[i32, u64](max_entries=65_536)
histogram = PerCpuArray[u64](max_entries=64)


@tracepoint.program
def woken(ctx: sched_wakeup) -> None:
    ready[ctx.pid] = now_ns()


@tracepoint.program
def runs(ctx: sched_switch) -> None:
    start = ready.pop(ctx.next_pid, None)
    if start is not None:
        histogram.increment(min((now_ns() - start).bit_length(), 63))  # by powers of two


if __name__ == "__main__":
    with attach(woken, runs):
        time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
        for power in range(64):
            if count := histogram[power].total():
                print(f"< {2 ** power / 1000:14,.3f} us {count:10,}")

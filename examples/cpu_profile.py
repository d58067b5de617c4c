"""Where the CPUs spend their time, by stack: `sudo python cpu_profile.py [SECONDS [PID]]`. Feed it to a flame graph."""
import bisect
import sys
import time

from bpfwright import L, Struct, attach, char, u32, u64
from bpfwright.helpers import current
from bpfwright.hooks import perf_event
from bpfwright.maps import Hash, StackTrace


class Where(Struct):
    kernel: u32
    comm: char[L[16]]


NONE = 0xFFFF_FFFF
stacks = StackTrace(max_entries=16_384)
samples = Hash[Where, u64](max_entries=16_384)


@perf_event.program
def sample(ctx: perf_event.Context) -> None:
    kernel = stacks.capture(ctx)  # None when the CPU was in user space
    samples.increment(Where(NONE if kernel is None else kernel, current.comm))


if __name__ == "__main__":
    with open("/proc/kallsyms") as file:
        symbols = sorted((int(address, 16), name) for address, _, name, *_ in map(str.split, file))
    pid = int(sys.argv[2]) if len(sys.argv) > 2 else None
    with attach(sample, perf_event.Sampling(hz=99, pid=pid)):
        time.sleep(float(sys.argv[1]) if len(sys.argv) > 1 else 10)
        for where, count in sorted(samples.items(), key=lambda item: item[1]):
            addresses = [] if where.kernel == NONE else stacks[where.kernel]
            names = [symbols[bisect.bisect(symbols, (address, "~")) - 1][1] for address in addresses]
            print(";".join([where.comm, *reversed(names)]), count)

"""What the tests profile: programs with known call chains, written and compiled here."""
from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

from bpfwright.facets.profile import Options, Profile, Profiler

CHAIN = ["main", "first", "second", "third", "spin"]
C_CHAIN = """
#include <stdint.h>
#include <stdlib.h>
#define APART __attribute__((noinline))
volatile uint64_t sink;
APART uint64_t spin(uint64_t n) {
    uint64_t x = n;
    for (uint64_t i = 0; i < 1000000; i++) { x = x * 31 + i; __asm__ volatile("" : "+r"(x)); }
    return x;
}
APART uint64_t third(uint64_t n) { volatile char room[300]; room[n % 300] = 1; return spin(n) + room[0]; }
APART uint64_t second(uint64_t n) { uint64_t a[4] = {n, n + 1, n + 2, n + 3}; return third(a[n % 4]) + 1; }
APART uint64_t first(uint64_t n) { return second(n + 1) * 3; }
int main(int argc, char **argv) {
    for (uint64_t n = 0; n < strtoull(argv[1], 0, 10); n++) sink += first(n);
    return 0;
}
"""
SYSCALLS = """
#include <unistd.h>
#include <fcntl.h>
#include <stdlib.h>
int main(int argc, char **argv) {
    int in = open("/dev/zero", O_RDONLY);
    static char room[65536];
    for (long n = atol(argv[1]); n > 0; n--) if (read(in, room, sizeof room) < 0) return 1;
    return 0;
}
"""
PYTHON = """
import sys
def leaf(n):
    total = 0
    for i in range(n):
        total += i * i
    return total
class Work:
    def method(self, n):
        return leaf(n)
def outer(times):
    work = Work()
    return sum(work.method(20000) for _ in range(times))
outer(int(sys.argv[1]))
"""


def compile_c(folder: Path, name: str, text: str, *flags: str) -> str:
    """A program of C; its path."""
    source, path = folder / f"{name}.c", folder / name
    source.write_text(text)
    subprocess.run(["clang-14", "-O1", *flags, str(source), "-o", str(path)], check=True)
    return str(path)


def sampled(options: Options, samples: int = 50, most_s: float = 30) -> Profile:
    """A profile of so many samples, however long that takes on a machine that is busy."""
    end = time.monotonic() + most_s
    with Profiler(options) as profiler:
        while profiler.samples < samples and time.monotonic() < end:
            profiler.wait(0.1)
        return profiler.finish()


def python_script(folder: Path, text: str = PYTHON) -> tuple[str, str]:
    """(interpreter, script)."""
    path = folder / "script.py"
    path.write_text(textwrap.dedent(text))
    return sys.executable, str(path)
SIGNALS = """
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>
#define APART __attribute__((noinline))
volatile uint64_t sink; volatile int over;
APART void burn(uint64_t n) { for (uint64_t i = 0; i < n; i++) sink = sink * 31 + i; }
struct itimerval soon = {{0, 0}, {0, 5000}};
APART void handler(int number) { burn(30000000); over++; setitimer(ITIMER_REAL, &soon, 0); }
APART void interrupted(void) { while (over < 10) sink++; }
APART void around(void) { interrupted(); sink++; }
int main(void) {
    signal(SIGALRM, handler);
    setitimer(ITIMER_REAL, &soon, 0);
    around();
    return 0;
}
"""
ALIGNED = """
#include <stdint.h>
#include <stdlib.h>
#define APART __attribute__((noinline))
volatile uint64_t sink;
APART uint64_t spin(volatile uint64_t *x) { for (uint64_t i = 0; i < 1000000; i++) *x = *x * 31 + i; return *x; }
APART uint64_t aligned(uint64_t n) {
    volatile uint64_t room[8] __attribute__((aligned(64)));
    room[n % 8] = n;
    return spin(room) + room[0];
}
APART uint64_t second(uint64_t n) { return aligned(n) + 1; }
int main(int argc, char **argv) {
    for (uint64_t n = 0; n < strtoull(argv[1], 0, 10); n++) sink += second(n);
    return 0;
}
"""
LATE = """
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
volatile uint64_t sink;
__attribute__((noinline)) void before(double seconds) {
    for (clock_t end = clock() + seconds * CLOCKS_PER_SEC; clock() < end;) sink++;
}
int main(int argc, char **argv) {
    before(0.3);
    uint64_t (*late)(uint64_t) = dlsym(dlopen(argv[1], RTLD_NOW), "late_outer");
    for (int n = 0; n < 1500; n++) sink += late(n);
    return 0;
}
"""
LATE_LIBRARY = """
#include <stdint.h>
#define APART __attribute__((noinline))
APART uint64_t late_inner(uint64_t n) { uint64_t x = n; for (int i = 0; i < 1000000; i++) x = x * 31 + i; return x; }
APART uint64_t late_middle(uint64_t n) { volatile char room[200]; room[n % 200] = 1; return late_inner(n) + room[3]; }
uint64_t late_outer(uint64_t n) { return late_middle(n) * 3; }
"""
# A runtime in miniature: machine code in anonymous memory that keeps frame pointers, and the file that names it.
JIT = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((noinline)) uint64_t spin(uint64_t n) {
    volatile uint64_t x = n;
    for (uint64_t i = 0; i < 1000000; i++) x = x * 31 + i;
    return x;
}
int main(int argc, char **argv) {
    /* push %rbp; mov %rsp,%rbp; call *%rsi; pop %rbp; ret */
    static const unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0xff, 0xd6, 0x5d, 0xc3};
    unsigned char *made = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(made + 256, code, sizeof code);
    char name[64];
    snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
    FILE *map = fopen(name, "w");
    fprintf(map, "%lx %lx jitted function;with semicolon\\n", (unsigned long)made + 256, sizeof code);
    fclose(map);
    volatile uint64_t sink = 0;
    uint64_t (*call)(uint64_t, void *) = (void *)(made + 256);
    for (uint64_t n = 0; n < strtoull(argv[1], 0, 10); n++) sink += call(n, spin);
    unlink(name);
    return 0;
}
"""

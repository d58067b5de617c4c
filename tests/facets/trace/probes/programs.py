"""Programs that the tests trace, compiled from C where they stand: with static tracepoints, DWARF and symbols."""
from __future__ import annotations

import subprocess
from pathlib import Path

__all__ = ["NOTES", "TYPED", "built"]

NOTES = r"""
#include <unistd.h>
/* The notes that <sys/sdt.h> writes, by hand: the package with that header is not needed. */
#define NOTE(provider, name, semaphore, arguments, ...) \
    __asm__ volatile("990: nop\n" \
        ".pushsection .note.stapsdt,\"?\",\"note\"\n .balign 4\n .4byte 992f-991f, 994f-993f, 3\n" \
        "991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n .8byte _.stapsdt.base\n .8byte " semaphore "\n" \
        ".asciz \"" provider "\"\n .asciz \"" name "\"\n .asciz \"" arguments "\"\n994: .balign 4\n .popsection\n" \
        ".ifndef _.stapsdt.base\n .pushsection .stapsdt.base,\"aG\",\"progbits\",.stapsdt.base,comdat\n" \
        ".weak _.stapsdt.base\n .hidden _.stapsdt.base\n _.stapsdt.base: .space 1\n .size _.stapsdt.base, 1\n" \
        ".popsection\n .endif\n" :: __VA_ARGS__)

unsigned short app_gated_semaphore __attribute__((section(".probes"), visibility("hidden"), used));
long global = 4711;
static long table[4] = {10, 20, 30, 40};

__attribute__((noinline)) void plain(long number, int small) {
    long at = 2;
    NOTE("app", "registers", "0", "8@%0 -4@%1 8@$5 -8@$-6", "a"(number), "d"(small));
    NOTE("app", "memory", "0", "8@(%0) 8@8(%0) 8@(%0,%1,8) 8@-8(%0,%1,8)", "a"(table), "d"(at));
    NOTE("app", "symbol", "0", "8@global(%%rip)", "r"(0));
    NOTE("app", "text", "0", "8@%0", "a"("hello"));
    NOTE("other", "text", "0", "8@%0", "a"("from other"));
}
__attribute__((noinline)) void again(long number) {
    NOTE("app", "registers", "0", "8@%0 -1@%b1", "c"(number), "b"(-3));
}
int main(int argc, char **argv) {
    /* What no one has read yet is not in memory, and a uprobe cannot fetch it. */
    __asm__ volatile("" :: "r"(*(volatile const char *)"hello"), "r"(*(volatile const char *)"from other"));
    for (int round = 0; argc < 2 ? round < 1 : 1; round++) {
        plain(1000 + round, -7);
        again(2000);
        if (app_gated_semaphore) {
            NOTE("app", "gated", "app_gated_semaphore", "2@%w0", "a"(app_gated_semaphore));
        }
        if (argc > 1) usleep(20000);
    }
    return 0;
}
"""
TYPED = r"""
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <unistd.h>
struct point { int x, y; unsigned low : 3, high : 5; };
struct big { long a, b, c; char name[16]; };
enum color { RED, GREEN = 5 };
int counter = 41;
__attribute__((noinline)) int work(int n, const char *name, struct point *p, enum color c, struct point byvalue,
                                   struct big big, double d, long seventh, char eighth, int ninth) {
    __asm__ volatile("" ::: "memory");
    return n + p->x + (int)d + byvalue.y + (int)big.c + (int)seventh + eighth + ninth + (c == RED) + (*name == 0);
}
__attribute__((noinline)) struct big made(short first, unsigned char second) {
    struct big one = {first, second, 0, ""};
    __asm__ volatile("" ::: "memory");
    return one;
}
__attribute__((noinline)) unsigned char tiny(void) { __asm__ volatile("" ::: "memory"); return 200; }
static void *thread(void *_) { for (int i = 0; i < 3; i++) tiny(); return _; }
int main(int argc, char **argv) {
    struct point p = {3, -4, 5, 17};
    struct big b = {1, 2, 3, "bigname"};
    int rounds = argc > 1 ? atoi(argv[1]) : 1;
    if (argc > 3) getchar();  /* wait to be let go */
    for (int i = 0; i < rounds; i++) {
        counter++;
        work(-i, "hello", &p, GREEN, p, b, 2.5, 77, 'x', 99);
        made(-2, 250);
        tiny();
        if (argc > 2) usleep(atoi(argv[2]));
    }
    if (argc > 3) { pthread_t t; pthread_create(&t, 0, thread, 0); pthread_join(t, 0); execv(argv[3], argv + 3); }
    return 0;
}
"""


def built(source: str, path: Path, *flags: str, compiler: str = "clang-14", suffix: str = ".c") -> Path:
    """The program that a source compiles to."""
    text = path.with_suffix(suffix)
    text.write_text(source)
    subprocess.run([compiler, "-g", "-O1", "-o", str(path), str(text), "-pthread", *flags], check=True)
    return path


SPOKEN = r"""
#include <string>
namespace shop {
struct Order { long total; std::string name; };
class Till {
public:
    int base = 10;
    __attribute__((noinline)) int take(int amount) { __asm__ volatile("" ::: "memory"); return base + amount; }
    __attribute__((noinline)) int take(long amount, char mark) const { __asm__ volatile("" ::: "memory");
                                                                       return base - amount + mark; }
    __attribute__((noinline)) long whole(Order order, const Order &other) { return order.total + other.total; }
    __attribute__((noinline)) Order make(long total) { return {total, "a name that is longer than any buffer"}; }
};
template <typename T> __attribute__((noinline)) T twice(T x) { __asm__ volatile("" ::: "memory"); return x + x; }
}
int main() {
    shop::Till till;
    shop::Order order{7, "seven"};
    int sum = till.take(1) + till.take(2L, 'c') + till.whole(order, order) + till.make(5).total;
    return sum + shop::twice<int>(4) + shop::twice<long>(5L) == 0;
}
"""

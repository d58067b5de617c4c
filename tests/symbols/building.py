"""What the tests of symbols share: programs made by the C compiler, run until they are told to go."""
from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PROGRAM", "compiled", "nm", "running", "strip", "with_minidebuginfo"]

PROGRAM = r"""
#include <stdio.h>
#include <unistd.h>

__asm__(".text\n.globl bare\nbare:\n nop\n nop\n nop\n.globl behind\nbehind:\n nop\n nop\n ret\n");
extern char bare[], behind[];
int data = 7;

static __attribute__((noinline)) int hidden(int x) {
    return x * 3 + data;
}

static inline __attribute__((always_inline)) int inner(int x) {
    return x * 5 + getpid();
}

static inline __attribute__((always_inline)) int middle(int x) {
    return inner(x + 1) ^ 7;
}

__attribute__((noinline)) int shown(int x) {
    return hidden(x) + middle(x);
}
int __shown(int) __attribute__((alias("shown")));
int weak_shown(int) __attribute__((weak, alias("shown")));
static int local_shown(int) __attribute__((alias("shown"), used));

int main(int count, char **words) {
    printf("%p %p %p %p %p\n", (void *)shown, (void *)hidden, (void *)bare, (void *)main, (void *)&data);
    fflush(stdout);
    getchar();
    return shown(count) & 0;
}
"""


def compiled(folder: Path, name: str, *options: str, source: str = PROGRAM, language: str = "c") -> Path:
    """A program of that source."""
    file = folder / f"{name}.{language}"
    file.write_text(source)
    made = folder / name
    subprocess.run(["cc" if language == "c" else "c++", "-Wl,--build-id", "-O2", *options, str(file), "-o", str(made)],
                   check=True, capture_output=True)
    return made


def strip(path: Path, *options: str) -> None:
    subprocess.run(["strip", *(options or ("-s",)), str(path)], check=True)


def with_minidebuginfo(path: Path) -> None:
    """Strip it as Fedora does: what .dynsym lacks of functions goes packed into .gnu_debugdata."""
    exported = set(nm(path, "-D"))
    wanted = path.with_suffix(".keep")
    wanted.write_text("\n".join(name for name, kind in nm(path).items() if kind[1] in "tT" and name not in exported))
    debug, mini = path.with_suffix(".dbg"), path.with_suffix(".mini")
    for command in (["objcopy", "--only-keep-debug", path, debug],
                    ["objcopy", "-S", "--remove-section", ".comment", f"--keep-symbols={wanted}", debug, mini],
                    ["xz", "-f", mini], ["strip", "-s", path],
                    ["objcopy", "--add-section", f".gnu_debugdata={mini}.xz", path]):
        subprocess.run([str(word) for word in command], check=True, capture_output=True)


def nm(path: Path, *options: str) -> dict[str, tuple[int, str]]:
    """Address and kind of what binutils sees."""
    said = subprocess.run(["nm", "--defined-only", *options, str(path)], check=True, capture_output=True, text=True)
    return {words[2]: (int(words[0], 16), words[1]) for words in map(str.split, said.stdout.splitlines())}


@contextlib.contextmanager
def running(*command: str | Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """The process and the addresses that it says first; it ends when the block does, if not before."""
    words = [str(word) for word in command]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None and process.stdout is not None
    with process.stdin, process.stdout:
        try:
            yield process, [int(word, 16) for word in process.stdout.readline().split()]
        finally:
            process.kill()
            process.wait()



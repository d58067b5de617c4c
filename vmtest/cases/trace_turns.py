"""bpftrace's language: probes of one place run in the script's order, however the kernel lists them."""
from __future__ import annotations

import os

HOOK = "several probes of one place in a script of bpftrace's language"
SINCE = "5.10"
_PLACES = ("kprobe:__x64_sys_getpgid", "kprobe:__x64_sys_getpg*d", "kretprobe:__x64_sys_getpgid",
           "kretprobe:__x64_sys_getpg*d", "fentry:do_getpgid", "fexit:do_getpgid",
           "tracepoint:syscalls:sys_enter_getpgid")


def build() -> dict[str, bytes]:
    return {"note": b"compiled in the guest"}


def check(files: dict[str, bytes]) -> None:
    from vmtest.traced import scripts
    with scripts() as here:
        for place in _PLACES:
            script = " ".join(f'{place} / pid == {os.getpid()} / {{ printf("{turn}"); }}' for turn in range(3))
            said = here.run(script, lambda: os.getpgid(1))
            assert said.lines == ["012"], (place, said)

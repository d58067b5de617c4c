"""bpftrace's language where a function cannot be probed: which, why, and what sees the same."""
from __future__ import annotations

import os

HOOK = "refusals of kernel probes in bpftrace's language"
SINCE = "5.10"
REFUSED = (
    ("kprobe:tcp_conect { }", ("no function `tcp_conect`", "`tcp_connect`")),
    ("kprobe:tcp_* { }", ("more than 20",)),
    ("kprobe:no_such_things_* { }", ("matches nothing",)),
)


def build() -> dict[str, bytes]:
    return {"note": b"compiled in the guest"}


def check(files: dict[str, bytes]) -> None:
    from bpfwright.errors import BpfwrightError
    from vmtest.traced import scripts
    with scripts() as here:
        for script, words in REFUSED:
            try:
                here.run("config = { max_probes = 20 } " + script)
            except BpfwrightError as refused:
                said = " ".join(str(refused).split())
                assert all(word in said for word in words), (script, said)
            else:
                raise AssertionError(script)
        said_warned = here.run("config = { missing_probes = warn } "
                               "kprobe:tcp_conect, kprobe:do_getpgid { @ = count(); }", lambda: os.getpgid(0))
        assert said_warned.code == 0 and said_warned.lines[0].startswith("@: "), said_warned

"""A tcx link carries a classifier."""
from __future__ import annotations

import socket

HOOK = "tcx link"
SINCE = "6.12"
BPF_TCX_INGRESS = 46


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    from vmtest.cases.tc import SOURCE
    return compile_c(SOURCE)


def check(files: dict[str, bytes]) -> None:
    from vmtest.cases.tc import send_to_self
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.link(case.program, BPF_TCX_INGRESS, target=socket.if_nametoindex("lo")):
            send_to_self(b"x" * 100)
            assert (case.seen[0], case.seen[2]) == (1, 142)
        send_to_self(b"x")
        assert case.seen[0] == 1, "still attached after close"

"""A cgroup's egress hook drops what its processes send, and nobody else's packets."""
from __future__ import annotations

import socket

HOOK = "cgroup skb"
SINCE = "5.10"
BPF_CGROUP_INET_EGRESS = 1


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("cgroup_skb/egress")
int quiet(struct __sk_buff *skb)
{
    count();
    return 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.cases.tc import send_to_self
    from vmtest.running import inside_cgroup, loaded
    with loaded(files) as case:
        with inside_cgroup() as path, case.kernel.cgroup(case.program, path, BPF_CGROUP_INET_EGRESS):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                try:
                    sender.sendto(b"x", ("127.0.0.1", 9))
                except PermissionError:
                    pass
                else:
                    raise AssertionError("the packet went out")
            assert case.seen[0] == 1
        send_to_self(b"free")
        assert case.seen[0] == 1

"""A socket filter lets through what begins with `y`."""
from __future__ import annotations

import socket

HOOK = "socket filter"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("socket")
int only_y(struct __sk_buff *skb)
{
    char first = 0;
    count();
    if (bpf_skb_load_bytes(skb, 8, &first, 1))  /* behind the UDP header */
        return 0;
    return first == 'y' ? skb->len : 0;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    with loaded(files) as case, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        with (case.kernel.socket_filter(case.program, receiver.fileno()),
              socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender):
            for text in (b"no", b"yes", b"nor"):
                sender.sendto(text, receiver.getsockname())
            assert receiver.recv(100) == b"yes"
            assert case.seen[0] == 3
            receiver.setblocking(False)
            try:
                raise AssertionError(f"not filtered: {receiver.recv(100)!r}")
            except BlockingIOError:
                pass

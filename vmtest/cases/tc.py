"""A classifier counts packets on ingress, by tcx where the kernel has it and by clsact otherwise."""
from __future__ import annotations

import socket

HOOK = "tc (tcx or clsact)"
SINCE = "5.10"
SOURCE = """
#include <linux/pkt_cls.h>

SEC("tc")
int ingress(struct __sk_buff *skb)
{
    put(2, skb->len);
    count();
    return TC_ACT_OK;
}
"""


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c(SOURCE)


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import loaded
    with loaded(files) as case:
        with case.kernel.classifier(case.program, "lo", ingress=True) as link:
            assert "lo" in link.description
            send_to_self(b"x" * 100)
            # What the program sees of a datagram: Ethernet 14, IPv4 20, UDP 8.
            assert (case.seen[0], case.seen[2]) == (1, 142)
        send_to_self(b"x")
        assert case.seen[0] == 1, "still attached after close"


def send_to_self(data: bytes) -> None:
    """One datagram over loopback, received."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(data, receiver.getsockname())
        assert receiver.recv(2000) == data

"""XDP at the driver hook of a veth drops what it is told to drop."""
from __future__ import annotations

import socket

HOOK = "XDP native (veth)"
SINCE = "5.10"
ETH_P = 0x88B5  # for experiments: no other traffic has it


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
#include <linux/if_ether.h>

SEC("xdp")
int firewall(struct xdp_md *ctx)
{
    struct ethhdr *frame = (void *)(long)ctx->data;
    unsigned char *kind = (void *)(frame + 1);
    if ((void *)(kind + 1) > (void *)(long)ctx->data_end || frame->h_proto != __builtin_bswap16(0x88b5))
        return XDP_PASS;
    count();
    return *kind == 'd' ? XDP_DROP : XDP_PASS;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import interface_pair, loaded, until
    with loaded(files) as case, interface_pair() as (left, right):
        with case.kernel.xdp(case.program, right, "native") as link:
            assert "native" in link.description
            with packets(left) as sender, packets(right) as receiver:
                for kind in (b"d", b"p", b"d"):
                    sender.send(b"\xff" * 12 + ETH_P.to_bytes(2, "big") + kind * 50)
                assert until(lambda: case.seen[0] == 3)
                assert receiver.recv(100)[14:15] == b"p"
                receiver.setblocking(False)
                try:
                    raise AssertionError(f"not dropped: {receiver.recv(100)!r}")
                except BlockingIOError:
                    pass


def packets(interface: str) -> socket.socket:
    """A packet socket for frames of our own type."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P))
    opened.bind((interface, ETH_P))
    opened.settimeout(5)
    return opened

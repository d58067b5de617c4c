"""A cgroup's connect hook sends a connection elsewhere."""
from __future__ import annotations

import socket

HOOK = "cgroup connect4"
SINCE = "5.10"
BPF_CGROUP_INET4_CONNECT = 10


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    return compile_c("""
SEC("cgroup/connect4")
int redirect(struct bpf_sock_addr *ctx)
{
    __u64 *port = cell(2);
    if (ctx->user_ip4 == __builtin_bswap32(0xc0000201) && port) {  /* 192.0.2.1, which nobody has */
        ctx->user_ip4 = __builtin_bswap32(0x7f000001);
        ctx->user_port = __builtin_bswap16(*port);
        count();
    }
    return 1;
}
""")


def check(files: dict[str, bytes]) -> None:
    from vmtest.running import inside_cgroup, loaded
    with loaded(files) as case, socket.create_server(("127.0.0.1", 0)) as server:
        case.seen[2] = server.getsockname()[1]
        with inside_cgroup() as path, case.kernel.cgroup(case.program, path, BPF_CGROUP_INET4_CONNECT):
            with socket.create_connection(("192.0.2.1", 80), timeout=5) as client:
                assert client.getpeername() == server.getsockname()
            assert case.seen[0] == 1

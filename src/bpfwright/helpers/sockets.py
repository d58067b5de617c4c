"""The kernel's sockets, asked from where packets are: SYN cookies of those that listen."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.helpers.basic import inside_only
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import U64, ContextOf, Meaning, Reference

__all__ = ["listener_cookie"]

_RELEASE, _LOOKUP, _COOKIE = 86, 99, 110
_THIS_NAMESPACE = (1 << 64) - 1  # BPF_F_CURRENT_NETNS
_LONGEST = 80
_RECORDS = ("ends", "ip", "tcp")


def listener_cookie(ctx: object, ends: object, ip: object, tcp: object, ends_size: int, ip_size: int, tcp_size: int,
                    ) -> int:
    """The SYN cookie with which the socket that listens there would answer a SYN; 0 when none does, or sends none.

    `ends` is a struct bpf_sock_tuple of `ends_size` bytes (12, or 36 for IPv6), `ip` and `tcp` are the SYN's headers as
    they came, of `ip_size` and `tcp_size` bytes: records in memory, that of `tcp` 80 bytes; `ends_size` and `ip_size`
    are constants. The low 32 bits are the sequence number of the answer. The kernel takes the acknowledgement that
    comes for it as it takes those for cookies of its own: with net.ipv4.tcp_syncookies at 2 there is a cookie for each
    SYN, at 1 while the listener's queue is full. Since Linux 5.4, in XDP and tc programs.
    """
    raise inside_only("listener_cookie")


def _check(site: Any) -> Meaning:
    site.bind("ctx", *_RECORDS, "ends_size", "ip_size", "tcp_size")
    if not isinstance(site.meaning("ctx"), ContextOf):
        site.refuse("the first argument is the program's context", "Write listener_cookie(ctx, ...).")
    for name in _RECORDS:
        if not isinstance(site.meaning(name), Reference):
            site.refuse(f"{name} is a record in memory", "Give a field of a map's entry.")
    for name in ("ends_size", "ip_size", "tcp_size"):
        site.integer(name)
    if site.meaning("tcp").ctype.size < _LONGEST:
        site.refuse(f"the record of a TCP header has {_LONGEST} bytes here", "Leave room behind the longest, of 60.")
    return U64


def _lower(b: Any, site: Any) -> Value:
    ends, ip, tcp = (site.value(name).only for name in _RECORDS)
    # From 20 to 80 bytes in steps of 4, without a comparison that LLVM could make of another copy of it.
    size = b.op("sub", "i64", b.op("held", "i64", b.numeric(site.value("tcp_size"))[0]), b.number(20))
    size = b.op("add", "i64", b.op("and", "i64", size, b.number(60)), b.number(20))
    answer = b.slot(8, 8, "cookie")
    b.store(answer, b.number(0))
    socket = b.slot(8, 8, "listener")
    b.store(socket, b.helper_pointer(_LOOKUP, b.context(), ends, b.number(site.constant("ends_size")),
                                     b.number(_THIS_NAMESPACE), b.number(0)))
    found = b.load("ptr", socket)
    with b.unless(b.is_null(found)):
        cookie = b.helper(_COOKIE, found, ip, b.number(site.constant("ip_size")), tcp, size)
        b.store(answer, b.op("select", "i64", b.op("slt", "i1", cookie, b.number(0)), b.number(0), cookie))
        b.helper(_RELEASE, found)
    return Value(U64, b.load("i64", answer))


listener_cookie.__operation__ = Operation(_check, _lower)  # type: ignore[attr-defined]

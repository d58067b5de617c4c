"""What a section's name says about the program in it: the table of ELF section names that C authors use."""
from __future__ import annotations

from bpfwright._abi import bpf as B
from bpfwright._typing import NamedTuple

__all__ = ["ROWS", "SectionRow", "section_row"]


class SectionRow(NamedTuple):
    """Program type, expected attach type and load flags that a section name stands for, and what follows the prefix."""

    type: int
    attach_type: int = 0
    flags: int = 0
    attach_to: str = ""


_SLEEP, _FRAGS = B.BPF_F_SLEEPABLE, B.BPF_F_XDP_HAS_FRAGS
_TRACING, _LSM, _KPROBE = B.BPF_PROG_TYPE_TRACING, B.BPF_PROG_TYPE_LSM, B.BPF_PROG_TYPE_KPROBE
_CLS, _XDP, _ADDR = B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_PROG_TYPE_XDP, B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR
_SKB, _SOCK, _OPT = B.BPF_PROG_TYPE_CGROUP_SKB, B.BPF_PROG_TYPE_CGROUP_SOCK, B.BPF_PROG_TYPE_CGROUP_SOCKOPT

# Name -> row. A name that ends in `+` may stand alone or be followed by `/TARGET`.
ROWS: dict[str, SectionRow] = {
    "socket": SectionRow(B.BPF_PROG_TYPE_SOCKET_FILTER),
    "sk_reuseport/migrate": SectionRow(B.BPF_PROG_TYPE_SK_REUSEPORT, B.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE),
    "sk_reuseport": SectionRow(B.BPF_PROG_TYPE_SK_REUSEPORT, B.BPF_SK_REUSEPORT_SELECT),
    "kprobe+": SectionRow(_KPROBE),
    "kretprobe+": SectionRow(_KPROBE),
    "ksyscall+": SectionRow(_KPROBE),
    "kretsyscall+": SectionRow(_KPROBE),
    "uprobe+": SectionRow(_KPROBE),
    "uprobe.s+": SectionRow(_KPROBE, 0, _SLEEP),
    "uretprobe+": SectionRow(_KPROBE),
    "uretprobe.s+": SectionRow(_KPROBE, 0, _SLEEP),
    "usdt+": SectionRow(_KPROBE),
    "usdt.s+": SectionRow(_KPROBE, 0, _SLEEP),
    "kprobe.multi+": SectionRow(_KPROBE, B.BPF_TRACE_KPROBE_MULTI),
    "kretprobe.multi+": SectionRow(_KPROBE, B.BPF_TRACE_KPROBE_MULTI),
    "kprobe.session+": SectionRow(_KPROBE, B.BPF_TRACE_KPROBE_SESSION),
    "uprobe.multi+": SectionRow(_KPROBE, B.BPF_TRACE_UPROBE_MULTI),
    "uretprobe.multi+": SectionRow(_KPROBE, B.BPF_TRACE_UPROBE_MULTI),
    "uprobe.multi.s+": SectionRow(_KPROBE, B.BPF_TRACE_UPROBE_MULTI, _SLEEP),
    "uretprobe.multi.s+": SectionRow(_KPROBE, B.BPF_TRACE_UPROBE_MULTI, _SLEEP),
    "uprobe.session+": SectionRow(_KPROBE, B.BPF_TRACE_UPROBE_SESSION),
    "uprobe.session.s+": SectionRow(_KPROBE, B.BPF_TRACE_UPROBE_SESSION, _SLEEP),
    "tc": SectionRow(_CLS),
    "classifier": SectionRow(_CLS),
    "action": SectionRow(B.BPF_PROG_TYPE_SCHED_ACT),
    "tc/ingress": SectionRow(_CLS, B.BPF_TCX_INGRESS),
    "tc/egress": SectionRow(_CLS, B.BPF_TCX_EGRESS),
    "tcx/ingress": SectionRow(_CLS, B.BPF_TCX_INGRESS),
    "tcx/egress": SectionRow(_CLS, B.BPF_TCX_EGRESS),
    "netkit/primary": SectionRow(_CLS, B.BPF_NETKIT_PRIMARY),
    "netkit/peer": SectionRow(_CLS, B.BPF_NETKIT_PEER),
    "tracepoint+": SectionRow(B.BPF_PROG_TYPE_TRACEPOINT),
    "tp+": SectionRow(B.BPF_PROG_TYPE_TRACEPOINT),
    "raw_tracepoint+": SectionRow(B.BPF_PROG_TYPE_RAW_TRACEPOINT),
    "raw_tp+": SectionRow(B.BPF_PROG_TYPE_RAW_TRACEPOINT),
    "raw_tracepoint.w+": SectionRow(B.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE),
    "raw_tp.w+": SectionRow(B.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE),
    "tp_btf+": SectionRow(_TRACING, B.BPF_TRACE_RAW_TP),
    "fentry+": SectionRow(_TRACING, B.BPF_TRACE_FENTRY),
    "fmod_ret+": SectionRow(_TRACING, B.BPF_MODIFY_RETURN),
    "fexit+": SectionRow(_TRACING, B.BPF_TRACE_FEXIT),
    "fsession+": SectionRow(_TRACING, B.BPF_TRACE_FSESSION),
    "fsession.s+": SectionRow(_TRACING, B.BPF_TRACE_FSESSION, _SLEEP),
    "fentry.s+": SectionRow(_TRACING, B.BPF_TRACE_FENTRY, _SLEEP),
    "fmod_ret.s+": SectionRow(_TRACING, B.BPF_MODIFY_RETURN, _SLEEP),
    "fexit.s+": SectionRow(_TRACING, B.BPF_TRACE_FEXIT, _SLEEP),
    "freplace+": SectionRow(B.BPF_PROG_TYPE_EXT),
    "lsm+": SectionRow(_LSM, B.BPF_LSM_MAC),
    "lsm.s+": SectionRow(_LSM, B.BPF_LSM_MAC, _SLEEP),
    "lsm_cgroup+": SectionRow(_LSM, B.BPF_LSM_CGROUP),
    "iter+": SectionRow(_TRACING, B.BPF_TRACE_ITER),
    "iter.s+": SectionRow(_TRACING, B.BPF_TRACE_ITER, _SLEEP),
    "syscall": SectionRow(B.BPF_PROG_TYPE_SYSCALL, 0, _SLEEP),
    "xdp.frags/devmap": SectionRow(_XDP, B.BPF_XDP_DEVMAP, _FRAGS),
    "xdp/devmap": SectionRow(_XDP, B.BPF_XDP_DEVMAP),
    "xdp.frags/cpumap": SectionRow(_XDP, B.BPF_XDP_CPUMAP, _FRAGS),
    "xdp/cpumap": SectionRow(_XDP, B.BPF_XDP_CPUMAP),
    "xdp.frags": SectionRow(_XDP, B.BPF_XDP, _FRAGS),
    "xdp+": SectionRow(_XDP, B.BPF_XDP),
    "perf_event": SectionRow(B.BPF_PROG_TYPE_PERF_EVENT),
    "lwt_in": SectionRow(B.BPF_PROG_TYPE_LWT_IN),
    "lwt_out": SectionRow(B.BPF_PROG_TYPE_LWT_OUT),
    "lwt_xmit": SectionRow(B.BPF_PROG_TYPE_LWT_XMIT),
    "lwt_seg6local": SectionRow(B.BPF_PROG_TYPE_LWT_SEG6LOCAL),
    "sockops": SectionRow(B.BPF_PROG_TYPE_SOCK_OPS, B.BPF_CGROUP_SOCK_OPS),
    "sk_skb/stream_parser": SectionRow(B.BPF_PROG_TYPE_SK_SKB, B.BPF_SK_SKB_STREAM_PARSER),
    "sk_skb/stream_verdict": SectionRow(B.BPF_PROG_TYPE_SK_SKB, B.BPF_SK_SKB_STREAM_VERDICT),
    "sk_skb/verdict": SectionRow(B.BPF_PROG_TYPE_SK_SKB, B.BPF_SK_SKB_VERDICT),
    "sk_skb": SectionRow(B.BPF_PROG_TYPE_SK_SKB),
    "sk_msg": SectionRow(B.BPF_PROG_TYPE_SK_MSG, B.BPF_SK_MSG_VERDICT),
    "lirc_mode2": SectionRow(B.BPF_PROG_TYPE_LIRC_MODE2, B.BPF_LIRC_MODE2),
    "flow_dissector": SectionRow(B.BPF_PROG_TYPE_FLOW_DISSECTOR, B.BPF_FLOW_DISSECTOR),
    "cgroup_skb/ingress": SectionRow(_SKB, B.BPF_CGROUP_INET_INGRESS),
    "cgroup_skb/egress": SectionRow(_SKB, B.BPF_CGROUP_INET_EGRESS),
    "cgroup/skb": SectionRow(_SKB),
    "cgroup/sock_create": SectionRow(_SOCK, B.BPF_CGROUP_INET_SOCK_CREATE),
    "cgroup/sock_release": SectionRow(_SOCK, B.BPF_CGROUP_INET_SOCK_RELEASE),
    "cgroup/sock": SectionRow(_SOCK, B.BPF_CGROUP_INET_SOCK_CREATE),
    "cgroup/post_bind4": SectionRow(_SOCK, B.BPF_CGROUP_INET4_POST_BIND),
    "cgroup/post_bind6": SectionRow(_SOCK, B.BPF_CGROUP_INET6_POST_BIND),
    "cgroup/bind4": SectionRow(_ADDR, B.BPF_CGROUP_INET4_BIND),
    "cgroup/bind6": SectionRow(_ADDR, B.BPF_CGROUP_INET6_BIND),
    "cgroup/connect4": SectionRow(_ADDR, B.BPF_CGROUP_INET4_CONNECT),
    "cgroup/connect6": SectionRow(_ADDR, B.BPF_CGROUP_INET6_CONNECT),
    "cgroup/connect_unix": SectionRow(_ADDR, B.BPF_CGROUP_UNIX_CONNECT),
    "cgroup/sendmsg4": SectionRow(_ADDR, B.BPF_CGROUP_UDP4_SENDMSG),
    "cgroup/sendmsg6": SectionRow(_ADDR, B.BPF_CGROUP_UDP6_SENDMSG),
    "cgroup/sendmsg_unix": SectionRow(_ADDR, B.BPF_CGROUP_UNIX_SENDMSG),
    "cgroup/recvmsg4": SectionRow(_ADDR, B.BPF_CGROUP_UDP4_RECVMSG),
    "cgroup/recvmsg6": SectionRow(_ADDR, B.BPF_CGROUP_UDP6_RECVMSG),
    "cgroup/recvmsg_unix": SectionRow(_ADDR, B.BPF_CGROUP_UNIX_RECVMSG),
    "cgroup/getpeername4": SectionRow(_ADDR, B.BPF_CGROUP_INET4_GETPEERNAME),
    "cgroup/getpeername6": SectionRow(_ADDR, B.BPF_CGROUP_INET6_GETPEERNAME),
    "cgroup/getpeername_unix": SectionRow(_ADDR, B.BPF_CGROUP_UNIX_GETPEERNAME),
    "cgroup/getsockname4": SectionRow(_ADDR, B.BPF_CGROUP_INET4_GETSOCKNAME),
    "cgroup/getsockname6": SectionRow(_ADDR, B.BPF_CGROUP_INET6_GETSOCKNAME),
    "cgroup/getsockname_unix": SectionRow(_ADDR, B.BPF_CGROUP_UNIX_GETSOCKNAME),
    "cgroup/sysctl": SectionRow(B.BPF_PROG_TYPE_CGROUP_SYSCTL, B.BPF_CGROUP_SYSCTL),
    "cgroup/getsockopt": SectionRow(_OPT, B.BPF_CGROUP_GETSOCKOPT),
    "cgroup/setsockopt": SectionRow(_OPT, B.BPF_CGROUP_SETSOCKOPT),
    "cgroup/dev": SectionRow(B.BPF_PROG_TYPE_CGROUP_DEVICE, B.BPF_CGROUP_DEVICE),
    "struct_ops+": SectionRow(B.BPF_PROG_TYPE_STRUCT_OPS),
    "struct_ops.s+": SectionRow(B.BPF_PROG_TYPE_STRUCT_OPS, 0, _SLEEP),
    "sk_lookup": SectionRow(B.BPF_PROG_TYPE_SK_LOOKUP, B.BPF_SK_LOOKUP),
    "netfilter": SectionRow(B.BPF_PROG_TYPE_NETFILTER, B.BPF_NETFILTER),
}

# Objects older than libbpf 1.0 append what they like to these.
_LOOSE = ("socket", "classifier", "action", "xdp", "perf_event", "sockops", "sk_skb", "sk_msg", "lwt_in", "lwt_out",
          "lwt_xmit", "cgroup/skb", "cgroup/sock", "cgroup/dev")
_UNKNOWN = SectionRow(B.BPF_PROG_TYPE_UNSPEC)


def section_row(section: str) -> SectionRow:
    """The row of a section name; type 0 when it says nothing.

        >>> section_row("tracepoint/sched/sched_switch").attach_to
        'sched/sched_switch'
    """
    name = section.removeprefix("?")
    row = ROWS.get(name) or ROWS.get(name + "+")
    if row:
        return row
    prefix, slash, target = name.partition("/")
    row = ROWS.get(prefix + "+") if slash else None
    if row:
        return row._replace(attach_to=target)
    loose = next((known for known in _LOOSE if name.startswith(known)), None)
    if loose is None:
        return _UNKNOWN
    return (ROWS.get(loose) or ROWS[loose + "+"])._replace(attach_to=name[len(loose):].lstrip("/"))

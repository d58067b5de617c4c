"""Kinds of values and of stack bytes, and the names that the kernel's log gives them."""
from __future__ import annotations

NOT_INIT, SCALAR, CTX, MAP_PTR, MAP_VALUE, MAP_KEY, STACK, PACKET_META, PACKET, PACKET_END = range(10)
FLOW_KEYS, SOCKET, SOCK_COMMON, TCP_SOCK, TP_BUFFER, XDP_SOCK, BTF, MEM, BUF, FUNC, DYNPTR, ARENA = range(10, 22)

BASE = 0xFF
MAYBE_NULL, RDONLY, RINGBUF, USER, PERCPU, UNTRUSTED, TRUSTED, RCU, ALLOC, NON_OWN, ARENA_OBJ = (
    1 << bit for bit in range(8, 19))

NAMES = {NOT_INIT: "?", SCALAR: "scalar", CTX: "ctx", MAP_PTR: "map_ptr", MAP_VALUE: "map_value", MAP_KEY: "map_key",
         STACK: "fp", PACKET_META: "pkt_meta", PACKET: "pkt", PACKET_END: "pkt_end", FLOW_KEYS: "flow_keys",
         SOCKET: "sock", SOCK_COMMON: "sock_common", TCP_SOCK: "tcp_sock", TP_BUFFER: "tp_buffer",
         XDP_SOCK: "xdp_sock", BTF: "ptr_", MEM: "mem", BUF: "buf", FUNC: "func", DYNPTR: "dynptr_ptr",
         ARENA: "arena"}
_PREFIXES = ((RDONLY, "rdonly_"), (RINGBUF, "ringbuf_"), (USER, "user_"), (PERCPU, "percpu_"),
             (UNTRUSTED, "untrusted_"), (TRUSTED, "trusted_"), (RCU, "rcu_"), (ALLOC, "alloc_"))

# Bytes of the stack.
S_INVALID, S_SPILL, S_MISC, S_ZERO, S_DYNPTR, S_ITER, S_IRQ = range(7)
MARKS = "?rm0dif"

# An id with this bit is that of a linked register plus the constant in `off`.
ADD_CONST = 1 << 31
AT_END, BEYOND_END = -1, -2
MAX_VAR_OFF = 1 << 29
MAX_PACKET_OFF = 0xFFFF


def name(kind: int) -> str:
    """As the log prints it: `map_value_or_null`, `trusted_ptr_`."""
    prefix = "".join(text for flag, text in _PREFIXES if kind & flag)
    return prefix + NAMES[kind & BASE] + ("or_null" if kind & BASE == BTF and kind & MAYBE_NULL
                                          else "_or_null" if kind & MAYBE_NULL else "")

"""What the verifier knew of a register, in words: `pkt(off=14,r=0)` becomes a sentence's end."""
from __future__ import annotations

import re

__all__ = ["describe"]

_WORDS = (
    ("map_value_or_null", "a map's value, or None"), ("map_value", "a map's value"), ("map_ptr", "a map"),
    ("ctx", "the context"), ("pkt_end", "the packet's end"), ("pkt_meta", "the packet's metadata"),
    ("pkt", "a pointer into the packet"), ("fp", "a pointer to the stack"),
    ("sock_or_null", "a socket, or None"), ("sock", "a socket"), ("tcp_sock", "a TCP socket"),
    ("ringbuf_mem_or_null", "a reserved record, or None"), ("ringbuf_mem", "a reserved record"),
    ("mem_or_null", "memory, or None"), ("mem", "memory"), ("rdonly_mem", "read-only memory"),
    ("trusted_ptr_or_null", "a kernel pointer, or None"), ("trusted_ptr", "a kernel pointer that is held"),
    ("rcu_ptr_or_null", "a kernel pointer under RCU, or None"), ("rcu_ptr", "a kernel pointer under RCU"),
    ("untrusted_ptr", "a kernel pointer that may be stale"), ("ptr_or_null", "a kernel pointer, or None"),
    ("ptr", "a kernel pointer"), ("func", "a function"), ("percpu", "per-CPU memory"), ("arena", "arena memory"),
    ("scalar", "a number"), ("inv", "a number"),
)
_NUMBER = re.compile(r"^(?:P)?(-?\d+|0x[0-9a-f]+)$")


def describe(state: str) -> str:
    """The state in words, with the numbers that matter; what is not understood stays as the kernel wrote it.

        >>> describe("pkt(id=0,off=14,r=0)")
        'a pointer into the packet, 14 bytes in, with 0 bytes of it checked'
    """
    plain = state.rstrip(",")
    if _NUMBER.match(plain) or _NUMBER.match(plain.removeprefix("inv")):
        return f"the number {plain.removeprefix('inv').removeprefix('P')}"
    name, _, inside = plain.partition("(")
    words = next((text for key, text in _WORDS if name == key or re.fullmatch(key + r"[-_\w]*[+-]?\d*", name)), None)
    if words is None:
        return plain
    facts = dict(re.findall(r"(\w+)=(-?\w+)", inside))
    if words == "a number":
        return _number(facts)
    parts = [words]
    if name.startswith("fp"):
        offset = name[2:] or "0"
        return f"a pointer to the stack at {offset}"
    if facts.get("off", "0") != "0" or name == "pkt":
        parts.append(f"{facts.get('off', '0')} bytes in")
    if name == "pkt":
        parts.append(f"with {facts.get('r', '0')} bytes of it checked")
    if "vs" in facts:
        parts.append(f"of {facts['vs']} bytes")
    if "umax" in facts or "umax_value" in facts:
        parts.append(f"plus a number up to {facts.get('umax') or facts['umax_value']}")
    return ", ".join(parts)


def _number(facts: dict[str, str]) -> str:
    low = facts.get("smin") or facts.get("smin_value") or facts.get("umin") or facts.get("umin_value")
    high = facts.get("smax") or facts.get("smax_value") or facts.get("umax") or facts.get("umax_value")
    if low is None and high is None:
        return "a number of any value"
    return f"a number from {low if low is not None else 0 if 'umax' in facts else '?'} to {high or 'any'}"

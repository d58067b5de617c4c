"""What the verifier knew of a register, in words: `pkt(off=14,r=0)` becomes a sentence's end."""
from __future__ import annotations

import re

__all__ = ["describe"]

_WORDS = (
    ("map_value_or_null", "a map's value, or None"), ("map_value", "a map's value"), ("map_ptr", "a map"),
    ("ctx", "the context"), ("pkt_end", "the packet's end"), ("pkt_meta", "the packet's metadata"),
    ("pkt", "a pointer into the packet"), ("fp", "a pointer to the stack"),
    ("sock_or_null", "a socket, or None"), ("sock", "a socket"), ("tcp_sock", "a TCP socket"),
    ("alloc_mem_or_null", "a reserved record, or None"), ("alloc_mem", "a reserved record"),
    ("ringbuf_mem_or_null", "a reserved record, or None"), ("ringbuf_mem", "a reserved record"),
    ("mem_or_null", "memory, or None"), ("mem", "memory"), ("rdonly_mem", "read-only memory"),
    ("trusted_ptr_or_null", "a kernel pointer, or None"), ("trusted_ptr", "a kernel pointer that is held"),
    ("rcu_ptr_or_null", "a kernel pointer under RCU, or None"), ("rcu_ptr", "a kernel pointer under RCU"),
    ("untrusted_ptr", "a kernel pointer that may be stale"), ("ptr_or_null", "a kernel pointer, or None"),
    ("ptr", "a kernel pointer"), ("func", "a function"), ("percpu", "per-CPU memory"), ("arena", "arena memory"),
    ("scalar", "a number"), ("inv", "a number"),
)
# Bounds that are equal are chained: `smax=umax=255`.
_FACTS = re.compile(r"\b((?:[a-z_][\w]*=)*[a-z_]\w*)=(-?(?:0x[0-9a-f]+|\d+)|\([^()]*\))")
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
    facts = {name: value for names, value in _FACTS.findall(inside) for name in names.split("=")}
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
    most = _plain(facts, "umax")
    if most is not None:
        parts.append(f"plus a number up to {most}")
    return ", ".join(parts)


def _number(facts: dict[str, str]) -> str:
    low = _signed(facts, "smin")
    high = _signed(facts, "smax")
    if low is None:
        low = _plain(facts, "umin")
    if high is None or (low is not None and low >= 0):
        high = _plain(facts, "umax") if _plain(facts, "umax") is not None else high
    if low is None and high is not None and _plain(facts, "umax") is not None:
        low = 0
    if low is None and high is None:
        return "a number of any value"
    if high is None:
        return f"a number from {low}"
    return f"a number from {low} to {high}" if low is not None else f"a number up to {high}"


def _plain(facts: dict[str, str], name: str) -> int | None:
    text = facts.get(name) or facts.get(f"{name}_value")
    return int(text, 0) if text else None


def _signed(facts: dict[str, str], name: str) -> int | None:
    """The kernel writes negative bounds in hexadecimal as if they were not signed."""
    value = _plain(facts, name)
    return value - (1 << 64) if value is not None and value >> 63 == 1 else value

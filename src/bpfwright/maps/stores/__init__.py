"""How the userspace machine keeps each map type: byte layout and operations in the dialect, one file each.

A store is a module with `KINDS` (numbers of bpf_map_type), `room(key_size, value_size, max_entries, cpus, flags)`
giving the bytes that it needs behind the header, and functions over addresses:

    create(m)                          the header is filled in: lay out what is behind it
    lookup(m, key) -> address or 0     of the value that a program sees
    update(m, key, value, flags) -> 0 or a negative errno
    delete(m, key) -> 0 or a negative errno
    next_key(m, key, out) -> 0 or -2   the key after `key` (0: the first) is copied to `out`

They are compiled natively for the JIT and run as Python by the interpreter, on the same bytes.
"""
from __future__ import annotations

__all__ = ["FILES", "HELPERS"]

FILES: dict[int, str] = {1: "hash", 2: "array", 27: "ringbuf"}
"""The file of each bpf_map_type; a test holds it against the files' own `KINDS`."""

HELPERS: dict[int, str] = {130: "ringbuf:output", 131: "ringbuf:reserve", 132: "ringbuf:submit", 133: "ringbuf:discard",
                           134: "ringbuf:query"}
"""`file:function` by the number of a helper that is an operation of one store."""

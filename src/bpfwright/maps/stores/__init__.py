"""How the userspace machine keeps each map type: byte layout and operations in the dialect, one file each.

A store is a module with `KINDS` (numbers of bpf_map_type), `room(key_size, value_size, max_entries, cpus, flags)`
giving the bytes that it needs behind the header, and functions over addresses, as far as its type has them:

    create(m)                          the header is filled in: lay out what is behind it
    lookup(m, key) -> address or 0     of the value that a program sees
    lookup_on(m, key, cpu)             of the value of another CPU
    update(m, key, value, flags) -> 0 or a negative errno
    delete(m, key) -> 0 or a negative errno
    next_key(m, key, out) -> 0 or -2   the key after `key` (0: the first) is copied to `out`
    push, pop, peek                    of maps without keys
    each(m, cursor) -> cursor or 0     the entry after a cursor (0: the first), while others come and go
    key_of, value_of(m, cursor)        what a walk hands to its callback
    holding(m, address)                the cursor of the entry in use that holds an address, or 0
    look(m, key), read(m, key, out)    what user space sees, where that is not what programs do

A module that says `PRIVATE` grants programs what is theirs of it by itself. They are compiled natively for the JIT and
run as Python by the interpreter, on the same bytes.
"""
from __future__ import annotations

__all__ = ["FILES", "HELPERS"]

FILES: dict[int, str] = {
    1: "hash", 2: "array", 3: "handles", 4: "perf_event_array", 5: "percpu_hash", 6: "percpu_array", 7: "stack_trace",
    8: "handles", 9: "lru_hash", 10: "lru_percpu_hash", 11: "lpm_trie", 12: "array_of_maps", 13: "hash_of_maps",
    14: "devices", 16: "devices", 17: "devices", 22: "queue", 23: "stack", 24: "storage", 25: "device_hash",
    27: "ringbuf", 28: "storage", 29: "storage", 30: "bloom", 32: "storage",
}
"""The file of each bpf_map_type; a test holds it against the files' own `KINDS`."""

HELPERS: dict[int, str] = {
    25: "perf_event_array:output", 33: "handles:skb_under_cgroup", 37: "handles:task_under_cgroup",
    51: "device_hash:redirect", 107: "storage:get", 108: "storage:drop", 130: "ringbuf:output",
    131: "ringbuf:reserve", 132: "ringbuf:submit", 133: "ringbuf:discard", 134: "ringbuf:query", 145: "storage:get",
    146: "storage:drop", 156: "storage:get", 157: "storage:drop", 198: "ringbuf:reserve_dynptr",
    199: "ringbuf:submit_dynptr", 200: "ringbuf:discard_dynptr", 210: "storage:get", 211: "storage:drop",
}
"""`file:function` by the number of a helper that is an operation of one store."""

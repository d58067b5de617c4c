"""Spin locks in map values: `with bucket.lock:`."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.spec.dialect import Operation, Scope, Value
from bpfwright.spec.meaning import NOTHING, Meaning
from bpfwright.spec.program import refused_field

__all__ = ["OPERATIONS"]

_LOCK, _UNLOCK = 93, 94
_TRIES = 64


def _check(site: Any) -> Meaning:
    if site.receiver.space not in ("map", "map lru"):
        site.refuse("a lock must lie in a map's value", "Take the entry from the map: entry = m.get(key).")
    if site.receiver.space == "map lru" and site.target().cpu in ("v1", "v2"):
        site.refuse("a lock in an LRU map needs an atomic exchange, which kernels before Linux 5.12 lack",
                    "Use a Hash, or compile for newer kernels: --target here.")
    refused = refused_field(site.program, "bpf_spin_lock", site.target()) if site.receiver.space == "map" else None
    if refused is not None:
        site.refuse(*refused)
    return NOTHING


def _enter(b: Any, site: Any) -> Value:
    """bpf_spin_lock where the kernel allows it; LRU maps may hold none, so there it is a word that we exchange."""
    place = site.receiver_value().only
    if site.receiver.space == "map lru":
        _exchange(b, site, place)
    else:
        b.helper(_LOCK, place)
    return Value(NOTHING)


def _exchange(b: Any, site: Any, place: int) -> None:
    """Try until the word was 0; a program that never gets it ends with its hook's default."""
    head, again, got = b.block(), b.block(), b.block()
    endless = site.target().has("may_goto")
    tries = b.slot(8, 8, "tries")
    b.store(tries, b.number(0))
    b.goto(head)
    b.at = head
    old = b.op("cmpxchg", "i32", place, b.number(0, "i32"), b.number(1, "i32"))
    b.branch(b.op("eq", "i1", old, b.number(0, "i32")), got, again)
    b.at = again
    on = b.block()
    if endless:
        over = b.op("may_goto", "i1")
    else:
        count = b.op("add", "i64", b.load("i64", tries), b.number(1))
        b.store(tries, count)
        over = b.op("ule", "i1", b.number(_TRIES), count)
    failed = b.block()
    b.branch(over, failed, on)
    b.at = failed
    b.leave_program()
    b.at = on
    b.goto(head)
    b.at = got


def _leave(b: Any, site: Any, value: Value) -> None:
    place = site.receiver_value().only
    if site.receiver.space == "map lru":
        b.op("atomic", "i32", "fetch_xchg", place, b.number(0, "i32"))
    else:
        b.helper(_UNLOCK, place)


OPERATIONS: dict[str, Operation] = {"__enter__": Scope(_check, _enter, _leave, lock="spin", holds="a lock")}
"""bpf_spin_lock and bpf_spin_unlock. Since Linux 5.1; nothing may be called while one is held."""

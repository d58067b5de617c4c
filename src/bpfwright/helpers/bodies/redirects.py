"""Where packets go next: the target is noted in the machine's page, and the action says that it counts
(net/core/filter.c)."""
from __future__ import annotations

from bpfwright.spec.memory import load32, store32, store64
from bpfwright.spec.page import PROGRAM, REDIRECT, REDIRECT_FLAGS, REDIRECT_MAP
from bpfwright.types import i64, u64

__all__ = ["redirect", "redirect_neigh", "redirect_peer"]

_XDP = 6
_ABORTED, _XDP_REDIRECT, _SHOT, _TC_REDIRECT = 0, 4, 2, 7
_INGRESS = 1


def _note(way: u64, target: u64, flags: u64) -> None:
    store32(REDIRECT, way)
    store32(REDIRECT + 4, target)
    store64(REDIRECT_FLAGS, flags)
    store64(REDIRECT_MAP, 0)


def redirect(ifindex: u64, flags: u64) -> i64:
    if load32(PROGRAM) == _XDP:
        if flags != 0:
            return _ABORTED
        _note(23, ifindex, flags)
        return _XDP_REDIRECT
    if flags > _INGRESS:
        return _SHOT
    _note(23, ifindex, flags)
    return _TC_REDIRECT


def redirect_peer(ifindex: u64, flags: u64) -> i64:
    if flags != 0:
        return _SHOT
    _note(155, ifindex, flags)
    return _TC_REDIRECT


def redirect_neigh(ifindex: u64, neighbour: u64, size: u64, flags: u64) -> i64:
    if flags != 0 or (size & 0xFFFFFFFF != 0 and size & 0xFFFFFFFF < 20):
        return _SHOT
    _note(152, ifindex, flags)
    return _TC_REDIRECT

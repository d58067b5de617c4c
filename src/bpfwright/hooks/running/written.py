"""Contexts that programs read and change, as they stand: addresses and sockets of cgroup programs, look-ups."""
from __future__ import annotations

from bpfwright.hooks.running._stage import Memory

__all__ = ["TYPES", "Stage"]

_SIZES = {9: 80, 13: 224, 15: 12, 18: 72, 23: 8, 25: 40, 30: 72, 31: 0}
"""Bytes of struct bpf_sock, bpf_sock_ops, bpf_cgroup_dev_ctx, bpf_sock_addr, bpf_sysctl, bpf_sockopt, bpf_sk_lookup."""
TYPES = tuple(_SIZES)


class Stage:
    """The context as it was given; what is missing of it is zero."""

    __slots__ = ("_arena", "_given", "context")

    def __init__(self, arena: Memory, data: bytes, context: bytes, kind: int) -> None:
        self._arena = arena
        self._given = (context or data).ljust(max(_SIZES[kind], 8), b"\0")
        self.context = arena.allocate(len(self._given))

    def enter(self) -> None:
        self._arena.memory[self.context:self.context + len(self._given)] = self._given

    def leave(self) -> tuple[bytes, bytes]:
        return b"", bytes(self._arena.memory[self.context:self.context + len(self._given)])

    def close(self) -> None:
        self._arena.release(self.context)

"""What a program is compiled for: the instruction set, and what the kernel that runs it can do."""
from __future__ import annotations

from bpfwright._typing import Collection, NamedTuple

__all__ = ["OLDEST", "Target"]


class Target(NamedTuple):
    """`cpu` is LLVM's name (v1 to v4); `features` what the kernel has, by the names of kernel.features.

    Names that the compiler asks for: may_goto, iter_num, bpf_loop, atomics (fetch and exchange), ringbuf,
    coarse_clock; any_loop, where no verifier walks them.
    """

    cpu: str = "v3"
    features: Collection[str] = frozenset()
    opt: int = 2

    def has(self, feature: str) -> bool:
        return feature in self.features


OLDEST = Target("v2", frozenset({"ringbuf"}))
"""Linux 5.10: what `build` writes for unless told otherwise."""

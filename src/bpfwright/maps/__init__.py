"""Map types, one file each. A declared map is one object with one type on both sides."""
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.maps.array import Array as Array
    from bpfwright.maps.hash import Hash as Hash, LruHash as LruHash
    from bpfwright.maps.lpm import LpmTrie as LpmTrie
    from bpfwright.maps.percpu import (PerCpu as PerCpu, PerCpuArray as PerCpuArray, PerCpuHash as PerCpuHash,
                                       PerCpuLruHash as PerCpuLruHash)
    from bpfwright.maps.ringbuf import RingBuf as RingBuf

_FILES = {"Array": "array", "Hash": "hash", "LruHash": "hash", "LpmTrie": "lpm", "PerCpu": "percpu",
          "PerCpuArray": "percpu", "PerCpuHash": "percpu", "PerCpuLruHash": "percpu", "RingBuf": "ringbuf"}
__all__ = list(_FILES)


def __getattr__(name: str) -> object:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value

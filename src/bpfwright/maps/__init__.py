"""Map types, one file each. A declared map is one object with one type on both sides."""
from __future__ import annotations

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING


if TYPE_CHECKING:
    from bpfwright.maps.array import Array as Array
    from bpfwright.maps.devices import CpuMap as CpuMap, DevMap as DevMap, DevMapHash as DevMapHash
    from bpfwright.maps.hash import Hash as Hash, LruHash as LruHash
    from bpfwright.maps.lpm import LpmTrie as LpmTrie
    from bpfwright.maps.of_maps import ArrayOfMaps as ArrayOfMaps, HashOfMaps as HashOfMaps
    from bpfwright.maps.percpu import (PerCpu as PerCpu,
        PerCpuArray as PerCpuArray,
        PerCpuHash as PerCpuHash,
        PerCpuLruHash as PerCpuLruHash)
    from bpfwright.maps.perf import PerfEventArray as PerfEventArray
    from bpfwright.maps.programs import ProgArray as ProgArray
    from bpfwright.maps.queue import Bloom as Bloom, Queue as Queue, Stack as Stack
    from bpfwright.maps.ringbuf import RingBuf as RingBuf
    from bpfwright.maps.stacktrace import StackTrace as StackTrace
    from bpfwright.maps.storage import SkStorage as SkStorage, TaskStorage as TaskStorage
    from bpfwright.maps.timer import Timer as Timer

__all__ = [
    "Array", "ArrayOfMaps", "Bloom", "CpuMap", "DevMap", "DevMapHash", "Hash", "HashOfMaps", "LpmTrie",
    "LruHash", "PerCpu", "PerCpuArray", "PerCpuHash", "PerCpuLruHash", "PerfEventArray", "ProgArray", "Queue",
    "RingBuf", "SkStorage", "Stack", "StackTrace", "TaskStorage", "Timer",
]

_FILES = {
    "Array": "array", "ArrayOfMaps": "of_maps", "Bloom": "queue", "CpuMap": "devices", "DevMap": "devices",
    "DevMapHash": "devices", "Hash": "hash", "HashOfMaps": "of_maps", "LpmTrie": "lpm", "LruHash": "hash",
    "PerCpu": "percpu", "PerCpuArray": "percpu", "PerCpuHash": "percpu", "PerCpuLruHash": "percpu",
    "PerfEventArray": "perf", "ProgArray": "programs", "Queue": "queue", "RingBuf": "ringbuf", "SkStorage":
    "storage", "Stack": "queue", "StackTrace": "stacktrace", "TaskStorage": "storage", "Timer": "timer",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__)

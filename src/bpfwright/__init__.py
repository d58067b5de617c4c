"""eBPF for Python, whole."""
from __future__ import annotations

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING



if TYPE_CHECKING:
    from bpfwright._version import __version__ as __version__
    from bpfwright.helpers import exists as exists, log as log, subprogram as subprogram
    from bpfwright.facets.trace.tracing import trace as trace
    from bpfwright.kernel import Kernel as Kernel
    from bpfwright.recording import Recorder as Recorder, Recording as Recording, Replay as Replay
    from bpfwright.session import attach as attach, load as load, run as run
    from bpfwright.userspace import Userspace as Userspace
    from bpfwright.types import (
        Atomic as Atomic, Config as Config, CUnion as CUnion, L as L, SpinLock as SpinLock, Struct as Struct,
        array as array, be16 as be16, be32 as be32, be64 as be64, bits as bits, char as char, i8 as i8, i16 as i16,
        i32 as i32, i64 as i64, ptr as ptr, shared as shared, u8 as u8, u16 as u16, u32 as u32, u64 as u64,
    )

_FILES = {
    "exists": "helpers", "log": "helpers", "subprogram": "helpers", "Kernel": "kernel", "Userspace": "userspace",
    "Recorder": "recording", "Recording": "recording", "Replay": "recording", "attach": "session", "load": "session",
    "run": "session", "trace": "facets.trace.tracing",
    **dict.fromkeys(("Atomic", "CUnion", "Config", "L", "SpinLock", "Struct", "array", "be16", "be32", "be64", "bits",
                     "char", "i16", "i32", "i64", "i8", "ptr", "shared", "u16", "u32", "u64", "u8"), "types"),
}
__all__ = list(_FILES)

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, {**_FILES, "__version__": "_version"}, [*__all__, "__version__"])

"""Programs of the kernel: test runs, statistics, pinning."""
from __future__ import annotations

import errno
import os
from struct import unpack_from

from bpfwright._abi import bpf as B
from bpfwright._typing import Self
from bpfwright.errors import KernelError, NotSupported, UsageError
from bpfwright.kernel import sys
from bpfwright.kernel.sys import RunResult
from bpfwright.spec.objects import ProgramSpec

__all__ = ["KernelProgram", "RunResult"]

# Room that a program may add in front of and behind a packet.
_HEADROOM = 512
# Context sizes that test runs accept: xdp_md 24, __sk_buff 192; others take what they are given.
_CONTEXT_OUT = frozenset({B.BPF_PROG_TYPE_XDP, B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_PROG_TYPE_SCHED_ACT,
                          B.BPF_PROG_TYPE_SOCKET_FILTER, B.BPF_PROG_TYPE_CGROUP_SKB, B.BPF_PROG_TYPE_SYSCALL,
                          B.BPF_PROG_TYPE_LWT_IN, B.BPF_PROG_TYPE_LWT_OUT, B.BPF_PROG_TYPE_LWT_XMIT})
_NO_DATA = frozenset({B.BPF_PROG_TYPE_RAW_TRACEPOINT, B.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
                      B.BPF_PROG_TYPE_TRACING, B.BPF_PROG_TYPE_SYSCALL, B.BPF_PROG_TYPE_SK_LOOKUP})
_INFO_SIZE = 224


class KernelProgram:
    """A loaded program and the descriptor that holds it."""

    __slots__ = ("_id", "fd", "spec")

    def __init__(self, fd: int, spec: ProgramSpec) -> None:
        self.fd = fd
        self.spec = spec
        self._id = 0

    @classmethod
    def pinned(cls, path: str) -> KernelProgram:
        """Adopt a pinned program."""
        fd = sys.obj_get(path)
        try:
            info = sys.obj_info(fd, _INFO_SIZE)
        except KernelError:
            sys.close_quietly(fd)
            raise
        name = info[64:80].partition(b"\0")[0].decode("ascii", "replace") or os.path.basename(path)
        return cls(fd, ProgramSpec(name, name, "", unpack_from("=I", info)[0]))

    @property
    def id(self) -> int:
        """The kernel's number of the program."""
        if not self._id:
            self._id = unpack_from("=I", sys.obj_info(self.fd, _INFO_SIZE), 4)[0]
        return self._id

    def test_run(self, data: bytes = b"", *, context: bytes = b"", repeat: int = 1, flags: int = 0, cpu: int = 0,
                 batch: int = 0) -> RunResult:
        """Run it in the kernel on a packet or a context, `repeat` times; see spec.machine.LoadedProgram.

        `batch`: with BPF_F_TEST_XDP_LIVE_FRAMES, frames that are handed on together (since 5.18).
        """
        kind = self.spec.type
        live = bool(flags & B.BPF_F_TEST_XDP_LIVE_FRAMES)
        out = 0 if kind in _NO_DATA or live else len(data) + _HEADROOM
        context_out = max(len(context), 192 if data else 0) if kind in _CONTEXT_OUT and context and not live else 0
        if kind in (B.BPF_PROG_TYPE_RAW_TRACEPOINT, B.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, B.BPF_PROG_TYPE_SYSCALL):
            repeat = 0      # they run once, and refuse to be asked for more
        if kind == B.BPF_PROG_TYPE_SYSCALL:
            context_out = 0     # it is written in place
        try:
            return sys.prog_test_run(self.fd, data, context, repeat=repeat, flags=flags, cpu=cpu, out_size=out,
                                     context_out_size=min(context_out, 4096), batch=batch)
        except KernelError as error:
            if error.errno in (errno.EOPNOTSUPP, 524):
                raise NotSupported(f"programs of {self.spec.section or 'this type'} have no test run") from None
            if error.errno == errno.EINVAL:
                raise UsageError(f"test run of {self.spec.name!r} refused its input",
                                 why=f"{len(data)} bytes of packet, {len(context)} of context",
                                 cure="A packet needs at least its 14 bytes of Ethernet header; XDP takes a context "
                                     "since Linux 5.14.") from None
            raise

    def statistics(self) -> tuple[int, int, int]:
        """(runs, ns in all, recursion misses); see spec.machine.LoadedProgram."""
        info = sys.obj_info(self.fd, _INFO_SIZE)
        ns, runs, misses = unpack_from("=QQQ", info.ljust(_INFO_SIZE, b"\0"), 192)
        return runs, ns, misses

    def pin(self, path: str) -> None:
        """Give it a name in bpffs; it outlives the process."""
        from bpfwright.kernel.mounts import pin
        pin(self.fd, path)

    def close(self) -> None:
        """Give the descriptor back; the program lives on while links or pins hold it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<program {self.spec.name!r} fd {self.fd}>"

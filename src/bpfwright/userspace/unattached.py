"""The part of the Machine protocol that needs a kernel: here it says what to do instead."""
from __future__ import annotations

from bpfwright._typing import NoReturn
from bpfwright.errors import NotSupported
from bpfwright.spec.machine import Link, LoadedProgram

__all__ = ["Unattached"]


def _refuse(what: str) -> NoReturn:
    raise NotSupported(f"the userspace machine has no kernel: {what}",
                       cure="Load the program and test it, or feed it a recording.")


class Unattached:
    """Attaching and asking about events, each refused. See spec.machine.Machine for what they do elsewhere."""

    def link(self, program: LoadedProgram, attach_type: int, *, target: int = 0, flags: int = 0,
             btf_id: int = 0, iterator_info: bytes = b"", cookie: int = 0, extra: bytes = b"") -> Link:
        """Refused."""
        _refuse("nothing can be attached")

    def raw_tracepoint(self, program: LoadedProgram, name: str, cookie: int = 0) -> Link:
        """Refused."""
        _refuse(f"no raw tracepoint {name}")

    def tracepoint(self, program: LoadedProgram, category: str, name: str, cookie: int = 0) -> Link:
        """Refused."""
        _refuse(f"no tracepoint {category}:{name}")

    def kprobe(self, program: LoadedProgram, function: str, *, offset: int = 0, ret: bool = False,
               cookie: int = 0) -> Link:
        """Refused."""
        _refuse(f"no function {function}")

    def uprobe(self, program: LoadedProgram, path: str, offset: int, *, ret: bool = False, pid: int = -1,
               semaphore: int = 0, cookie: int = 0) -> Link:
        """Refused."""
        _refuse(f"no probe in {path}")

    def sample(self, program: LoadedProgram, *, hz: int, pid: int = -1) -> Link:
        """Refused."""
        _refuse("nothing to sample")

    def xdp(self, program: LoadedProgram, interface: str, mode: str) -> Link:
        """Refused."""
        _refuse(f"no interface {interface}")

    def classifier(self, program: LoadedProgram, interface: str, *, ingress: bool) -> Link:
        """Refused."""
        _refuse(f"no interface {interface}")

    def cgroup(self, program: LoadedProgram, path: str, attach_type: int) -> Link:
        """Refused."""
        _refuse(f"no cgroup {path}")

    def socket_filter(self, program: LoadedProgram, socket_fd: int) -> Link:
        """Refused."""
        _refuse("no sockets")

    def events(self, category: str) -> list[tuple[str, str]]:
        """None."""
        return []

    def event_id(self, category: str, name: str) -> int:
        """Refused."""
        _refuse(f"no tracepoint {category}:{name}")

    def prototype(self, kind: str, name: str) -> list[tuple[str, str]] | None:
        """Unknown."""
        return None

    def event_format(self, category: str, name: str) -> str:
        """Refused; hooks fall back on what they know of system calls."""
        _refuse(f"no tracepoint {category}:{name}")

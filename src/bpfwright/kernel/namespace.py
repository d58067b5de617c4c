"""Network namespaces that live as long as their descriptor: no name, nothing left behind."""
from __future__ import annotations

import os
from contextlib import contextmanager

from bpfwright._typing import Iterator, Self
from bpfwright.errors import KernelError, TargetError
from bpfwright.kernel import sys

__all__ = ["NetworkNamespace"]

_CLONE_NEWNET = 0x40000000
_OWN = "/proc/thread-self/ns/net"


class NetworkNamespace:
    """A network namespace. It ends when nothing is in it and this is closed.

        with NetworkNamespace.create() as space, space.entered():
            ...             # sockets and processes made here live there
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def create(cls) -> NetworkNamespace:
        """A new, empty one; the calling thread stays where it is."""
        home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sys.unshare(_CLONE_NEWNET)
            try:
                return cls(os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC))
            finally:
                sys.setns(home, _CLONE_NEWNET)
        except KernelError as error:
            from bpfwright.kernel.explain import privilege_error
            raise privilege_error("making a network namespace", error) from None
        finally:
            os.close(home)

    @classmethod
    def open(cls, path: str) -> NetworkNamespace:
        """An existing one: `/run/netns/NAME` or `/proc/PID/ns/net`."""
        try:
            return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise TargetError(f"there is no network namespace at {path}", why=os.strerror(error.errno or 0)) from None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and what it starts, is in the namespace until the block ends. Keeps /sys, and so bpffs."""
        home = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            sys.setns(self.fd, _CLONE_NEWNET)
            try:
                yield
            finally:
                sys.setns(home, _CLONE_NEWNET)
        finally:
            os.close(home)

    def close(self) -> None:
        """Give the descriptor back."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

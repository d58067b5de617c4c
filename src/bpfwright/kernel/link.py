"""Attachments: what holds a program at its hook, and lets go when closed.

A BPF link, a perf event and an attached socket end with their descriptors, so a killed process leaves nothing. Three
fallbacks for old kernels outlive it: XDP by netlink, clsact filters (named `bpfwright:PROGRAM`, listed by `tc filter
show`) and cgroup attachments without a link; their links say so in `description`.
"""
from __future__ import annotations

import errno
import os

from bpfwright._typing import Callable, Self
from bpfwright.errors import KernelError, NotSupported
from bpfwright.kernel import sys
from bpfwright.spec.machine import LoadedProgram

__all__ = ["BpfLink", "EventLink", "UndoLink", "open_link"]

_NO_UPDATE = (errno.EINVAL, errno.EOPNOTSUPP, 524)


class _Attachment:
    """What all attachments share."""

    description = ""

    def close(self) -> None:
        """Detach."""
        raise NotImplementedError

    def update(self, program: LoadedProgram) -> None:
        """Replace the program in place."""
        raise NotSupported(f"the program at {self.description} cannot be replaced in place",
                           why="this kind of attachment is made anew", cure="Attach the new program, then close this.")

    def pin(self, path: str) -> None:
        """Let it outlive the process under a name in bpffs."""
        raise NotSupported(f"the attachment to {self.description} cannot be pinned", why="it is not a BPF link")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<link to {self.description}>"


class BpfLink(_Attachment):
    """A BPF link; `held` are descriptors that belong to it (a perf event, a cgroup)."""

    def __init__(self, fd: int, description: str, *held: int) -> None:
        self.fd = fd
        self.description = description
        self._held = held

    def update(self, program: LoadedProgram) -> None:
        """Replace the program in place: no event is missed and none seen twice. NotSupported for tracing links."""
        try:
            sys.link_update(self.fd, program.fd)
        except KernelError as error:
            if error.errno in _NO_UPDATE:
                super().update(program)
            raise

    def pin(self, path: str) -> None:
        """Let it outlive the process under a name in bpffs; `open_link` adopts it."""
        from bpfwright.kernel.mounts import pin
        pin(self.fd, path)

    def detach(self) -> None:
        """Take the program from its hook, though others hold the link too (a pin, another process)."""
        sys.link_detach(self.fd)

    def close(self) -> None:
        """Detach, unless it is pinned."""
        fd, self.fd = self.fd, -1
        held, self._held = self._held, ()
        for descriptor in (fd, *held):
            if descriptor >= 0:
                os.close(descriptor)


class EventLink(_Attachment):
    """Perf events that run a program: by links of their own where the kernel has them (5.15), by ioctl otherwise."""

    def __init__(self, description: str, descriptors: list[int]) -> None:
        self.description = description
        self._descriptors = descriptors

    def close(self) -> None:
        """Close the events; the kernel waits for runs that are under way."""
        descriptors, self._descriptors = self._descriptors, []
        for fd in reversed(descriptors):
            os.close(fd)


class UndoLink(_Attachment):
    """An attachment that is no descriptor: `undo` detaches, `replace` puts another program there."""

    def __init__(self, description: str, undo: Callable[[], None],
                 replace: Callable[[LoadedProgram], None] | None = None) -> None:
        self.description = description
        self._undo: Callable[[], None] | None = undo
        self._replace = replace

    def update(self, program: LoadedProgram) -> None:
        """Replace the program in place."""
        if self._replace is None:
            super().update(program)
        else:
            self._replace(program)

    def close(self) -> None:
        """Detach; a target that has vanished meanwhile is no error."""
        undo, self._undo = self._undo, None
        if undo:
            try:
                undo()
            except KernelError as error:
                if error.errno not in (errno.ENODEV, errno.ENOENT, errno.ENXIO, errno.EBADF, errno.EINVAL):
                    raise


def open_link(path: str) -> BpfLink:
    """Adopt a pinned link."""
    return BpfLink(sys.obj_get(path), path)

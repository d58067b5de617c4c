"""SSH: the line that each side begins with."""
from __future__ import annotations

from bpfwright._typing import Callable
from bpfwright.facets.intrusion.signatures.protocols.message import Message, Values

__all__ = ["Ssh"]

_MOST_LINE = 512
_MAKERS: dict[str, Callable[[tuple[bytes, bytes]], Values]] = {
    "ssh.proto": lambda banner: banner[:1], "ssh.software": lambda banner: banner[1:]}


class Ssh:
    """One side of a connection."""

    def __init__(self, *, to_server: bool) -> None:
        self._to_server = to_server
        self._held = b""
        self._done = False

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return 0 if self._done else len(self._held)

    def skip(self, count: int) -> None:
        """Bytes were not seen."""
        self._done = True

    def take(self, data: bytes) -> list[Message]:
        """What was said with these bytes."""
        if self._done:
            return []
        self._held += data
        end = self._held.find(b"\n")
        if end < 0:
            self._done = len(self._held) > _MOST_LINE
            return []
        self._done = True
        line = self._held[:end].rstrip(b"\r")
        if not line.startswith(b"SSH-"):
            return []
        proto, _, software = line[4:].partition(b"-")
        software = software.split(b" ")[0]
        return [Message("ssh", to_server=self._to_server, source=(proto, software), makers=_MAKERS)]

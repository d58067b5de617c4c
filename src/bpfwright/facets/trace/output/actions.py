"""What user space does about a message besides printing: files, commands, captures of packets."""
from __future__ import annotations

from bpfwright import _host
from bpfwright._typing import Self

__all__ = ["Captures", "file_text", "helper_problem", "shell_text"]

_RAW_IP = 101  # LINKTYPE_RAW of pcap


def file_text(path: bytes, most: int) -> bytes:
    """The first `most` bytes of a file. Raises OSError."""
    with open(path, "rb", buffering=0) as file:
        parts, left = [], most
        while left > 0 and (part := file.read(left)):
            parts.append(part)
            left -= len(part)
    return b"".join(parts)


def shell_text(command: bytes) -> bytes:
    """What a command prints; its errors go where ours go."""
    return _host.shell_output(command)


class Captures:
    """Capture files by name, each begun with its first packet. Packets are IP packets without a link header."""

    def __init__(self) -> None:
        self._files: dict[str, object] = {}

    def write(self, path: str, wall_ns: int, data: bytes, whole: int) -> None:
        """Add a packet. Raises OSError."""
        from bpfwright.formats.pcap.writer import capture_header, capture_record
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = open(path, "wb", buffering=0)  # noqa: SIM115
            file.write(capture_header(_RAW_IP))
        file.write(capture_record(wall_ns, data, whole))  # type: ignore[attr-defined]

    def close(self) -> None:
        """Close all files."""
        while self._files:
            self._files.popitem()[1].close()  # type: ignore[attr-defined]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def helper_problem(helper: str, result: int) -> str:
    """What a failed helper means."""
    import errno
    import os
    short = helper.removeprefix("bpf_")
    if short == "map_update_elem" and result == -errno.E2BIG:
        return ("the map is full and takes no new entry; raise the setting max_map_keys, or declare the map with more "
                "room: `let @name = hash(100000)`")
    if short == "map_delete_elem" and result == -errno.ENOENT:
        return "the entry cannot be deleted because it is not there"
    if short == "map_lookup_elem":
        return "the entry cannot be read because it is not there"
    return os.strerror(-result)

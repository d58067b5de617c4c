"""What a configuration brings with it: the files that it names, each read once and kept, so that a generation can be
made of them again; and protocols of its own."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, Mapping

__all__ = ["Sources"]


class Sources:
    """Files by their paths. `kept`: what was read when the generation was made; then nothing else is looked at.
    `own_fields`: fields of protocols of one's own, by name, as protocols.OwnField."""

    def __init__(self, kept: Mapping[str, bytes] | None = None) -> None:
        self.files: dict[str, bytes] = dict(kept or {})
        self._kept = kept is not None
        self.own_fields: Mapping[str, Any] = {}

    def read(self, path: str) -> bytes:
        """What a file holds; OSError where it cannot be read."""
        found = self.files.get(path)
        if found is None:
            if self._kept:
                raise FileNotFoundError(2, "it was not read when this generation was made", path)
            with open(path, "rb") as file:
                found = self.files[path] = file.read()
        return found

    def noted(self, name: str, find: Callable[[], str]) -> str:
        """What was found out about this machine when the generation was made: a number of a process, say. `name` is
        anything that is no path."""
        known = self.files.get(name)
        if known is None:
            known = self.files[name] = find().encode()
        return known.decode()

"""Notes of what user space does with maps and rings while programs run: the same calls, live and when replayed."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, Iterator, Protocol

__all__ = ["MapCalls", "NotedReader", "Notary", "hexed"]


class Notary(Protocol):
    """Live, it does what is asked for and notes the result; in a replay it lets programs run until that comes out."""

    def act(self, what: str, asked: list[Any], do: Callable[[], Any], show: Callable[[Any], Any]) -> Any:
        """`do()`, whose result `show` turns into what a note holds. `asked` says what it is about."""

    def order(self, name: str, what: str, found: list[Any]) -> list[Any]:
        """Entries of a map in the order in which user space is given them."""


def hexed(value: Any) -> Any:
    """Bytes as text; None stays."""
    return None if value is None else bytes(value).hex()


def _nothing(_: object) -> None:
    return None


class MapCalls:
    """The calls of a map's handle that are noted. `inner` is the handle itself."""

    def __init__(self, notary: Notary, inner: Any) -> None:
        self._notary = notary
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _act(self, what: str, asked: list[Any], do: Callable[[], Any], show: Callable[[Any], Any] = hexed) -> Any:
        return self._notary.act(what, [self._inner.spec.name, *asked], do, show)

    def lookup(self, key: bytes, flags: int = 0) -> bytes | None:
        """See spec.machine.LoadedMap."""
        found: bytes | None = self._act("lookup", [hexed(key)], lambda: self._inner.lookup(key, flags))
        return found

    def contains(self, value: bytes) -> bool:
        """A bloom filter's answer."""
        return bool(self._act("contains", [hexed(value)], lambda: self._inner.contains(value), bool))

    def update(self, key: bytes, value: bytes, flags: int = 0) -> None:
        """See spec.machine.LoadedMap."""
        self._act("update", [hexed(key), hexed(value)], lambda: self._inner.update(key, value, flags), _nothing)

    def delete(self, key: bytes) -> bool:
        """See spec.machine.LoadedMap."""
        return bool(self._act("delete", [hexed(key)], lambda: self._inner.delete(key), _nothing))

    def pop(self, key: bytes) -> bytes | None:
        """See spec.machine.LoadedMap."""
        found: bytes | None = self._act("pop", [hexed(key)], lambda: self._inner.pop(key), _nothing)
        return found

    def next_key(self, key: bytes | None) -> bytes | None:
        """See spec.machine.LoadedMap."""
        found: bytes | None = self._act("next_key", [hexed(key)], lambda: self._inner.next_key(key), _nothing)
        return found

    def keys(self) -> Iterator[bytes]:
        """All keys."""
        return iter(self._walk("keys", lambda: list(self._inner.keys()), lambda key: key.hex()))

    def items(self, batch: int = 1024) -> Iterator[tuple[bytes, bytes]]:
        """All entries."""
        return iter(self._walk("items", lambda: list(self._inner.items()), lambda pair: [pair[0].hex(), pair[1].hex()]))

    def _walk(self, what: str, do: Callable[[], list[Any]], show: Callable[[Any], Any]) -> list[Any]:
        """A walk's result is the same whatever its order; the order is user space's to see, and comes with the note."""
        name = self._inner.spec.name
        return self._notary.order(name, what, self._act(what, [], do, lambda found: [show(each) for each in found]))

    def update_batch(self, keys: Any, values: Any, count: int, flags: int = 0) -> int:
        """Many entries."""
        return int(self._act("update_batch", [count],
                             lambda: self._inner.update_batch(keys, values, count, flags), _nothing))

    def delete_batch(self, keys: Any) -> int:
        """Many keys."""
        return int(self._act("delete_batch", [len(memoryview(keys).tobytes())],
                             lambda: self._inner.delete_batch(keys), _nothing))


class NotedReader:
    """The reader of a ring, see events.Reader; how many records user space took at a time is noted."""

    def __init__(self, reader: Any, taken: Callable[[str, int, bool], None]) -> None:
        self._reader = reader
        self._taken = taken

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def records(self) -> Iterator[bytes]:
        """Records one by one."""
        first = True
        for record in self._reader.records():
            self._taken("records", 1, first)
            first = False
            yield record

    def rows(self) -> Any:
        """All that are there."""
        rows = self._reader.rows()
        self._taken("rows", rows.count, True)
        return rows

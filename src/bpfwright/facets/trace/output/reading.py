"""The ring of messages to their handlers: a loop in plain Python that does little for each record."""
from __future__ import annotations

from bpfwright._native import memory_at
from bpfwright._typing import TYPE_CHECKING, Self
from bpfwright.events.ring import BUSY, DISCARD, ORDERED, Ring, fence

if TYPE_CHECKING:
    from bpfwright.facets.trace.output.printer import Printer

__all__ = ["MessageReader"]

_FLAGS = BUSY | DISCARD
_STEP = 256
"""Records between two words to the kernel that their room is free."""


class MessageReader:
    """The consumer of a script's ring; there is one for each ring.

        while not printer.exiting:
            if not reader.drain():
                poll([reader.fd], timeout)

    `taken` counts the records that were handled, `discarded` those that programs gave up.
    """

    def __init__(self, ring: Ring, printer: Printer) -> None:
        self.ring = ring
        self.fd = ring.fd
        self.printer = printer
        self.taken = 0
        self.discarded = 0
        self._mask = ring.size_bytes - 1
        self._consumer = memory_at(ring.consumer_address, 8).cast("Q")
        self._producer = memory_at(ring.producer_address, 8).cast("Q")
        self._data = memory_at(ring.data_address, 2 * ring.size_bytes)
        self._words = self._data.cast("I")
        self._closed = False

    def drain(self, most: int = 8192) -> int:
        """Handle what is there, in order, at most so many records; write what they print. Gives how many there were.

        Zero means that waiting for the ring's descriptor makes sense. After a message that ends the script the rest
        stays in the ring. Raises BrokenPipeError when nobody reads the output any more.
        """
        if self._closed or self.printer.exiting:
            return 0
        found = self._handle(most)
        if found:
            self.printer.batch_done()
        return found

    def _handle(self, most: int) -> int:
        printer, handlers, add = self.printer, self.printer.handlers, self.printer.pending.append
        consumer, producer, words, data, mask = self._consumer, self._producer, self._words, self._data, self._mask
        barrier = not ORDERED
        at, end, left = consumer[0], producer[0], most
        try:
            while left > 0:
                if at >= end:
                    consumer[0] = at
                    end = producer[0]
                    if at >= end:
                        break
                if barrier:
                    fence()
                place = at & mask
                length = words[place >> 2]
                if length & _FLAGS:
                    if length & BUSY:
                        break
                    self.discarded += 1
                    at += (length & ~_FLAGS) + 15 & ~7
                    continue
                if barrier:
                    fence()
                place += 8
                record = data[place:place + length].tobytes()
                index = words[place >> 2]
                at += length + 15 & ~7
                left -= 1
                if not left % _STEP:
                    if barrier:
                        fence()
                    consumer[0] = at
                made = handlers[index](record)
                if made:
                    add(made)
                    if printer.at_once:
                        printer.flush()
                elif printer.exiting:
                    break
        finally:
            if barrier:
                fence()
            consumer[0] = at
            self.taken += most - left
        return most - left

    def holds(self, wanted: frozenset[int]) -> bool:
        """Whether a record of one of these messages waits; nothing is taken."""
        if self._closed or not wanted:
            return False
        at, end = self._consumer[0], self._producer[0]
        while at < end:
            fence()
            place = at & self._mask
            length = self._words[place >> 2]
            if length & BUSY:
                break
            if not length & DISCARD and self._words[(place + 8) >> 2] in wanted:
                return True
            at += (length & ~_FLAGS) + 15 & ~7
        return False

    def skip(self) -> int:
        """Give away what is there unread, after an exit; gives how many records that were."""
        if self._closed:
            return 0
        at, end, count = self._consumer[0], self._producer[0], 0
        while at < end:
            fence()
            length = self._words[(at & self._mask) >> 2]
            if length & BUSY:
                break
            at += (length & ~_FLAGS) + 15 & ~7
            count += 1
        self._consumer[0] = at
        return count

    def close(self) -> None:
        """Unmap the ring."""
        if not self._closed:
            self._closed = True
            for view in (self._words, self._data, self._consumer, self._producer):
                view.release()
            self.ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

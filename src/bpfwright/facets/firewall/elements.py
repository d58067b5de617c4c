"""Elements of rules and sets, read: networks in columns, ranges of numbers, endpoints; inline or out of files."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Iterator, NamedTuple, Sequence
from bpfwright.datapath.parsed import V4_MAPPED
from bpfwright.errors import ConfigurationError, UsageError
from bpfwright.facets.firewall.words import SERVICES, number_of

if TYPE_CHECKING:
    import numpy

__all__ = ["Endpoint", "Networks", "Ranges", "endpoint", "file_lines", "joined", "labelled", "networks", "one_network",
           "ranges_of", "span"]

Range = tuple[int, int]
Ranges = tuple[Range, ...]
Endpoint = tuple[int, int, int]
"""An address's two halves as in `Parsed`, and a port."""
_LOW = (1 << 64) - 1


class Networks(NamedTuple):
    """Prefixes in columns, as `Parsed` has addresses: IPv4 is ::ffff:0:0/96. Sorted, each once."""

    high: numpy.ndarray
    low: numpy.ndarray
    length: numpy.ndarray

    def __len__(self) -> int:  # of the columns, not of the tuple
        return len(self.high)


def one_network(text: str) -> tuple[int, int, int]:
    """A network or address; UsageError."""
    from socket import AF_INET, AF_INET6, inet_pton
    address, slash, digits = text.partition("/")
    six = ":" in address
    try:
        packed = inet_pton(AF_INET6 if six else AF_INET, address)
    except OSError:
        raise UsageError(f"{text!r} is no address or network", cure="Write 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32.",
                         ) from None
    width = 128 if six else 32
    if slash and not (digits.isascii() and digits.isdigit() and len(digits) < 4 and int(digits) <= width):
        raise UsageError(f"{text!r} has no length that fits", cure=f"It is from 0 to {width}.")
    length = int(digits) if slash else width
    value = int.from_bytes(packed, "big")
    if value & (1 << width - length) - 1:
        kept = value >> width - length << width - length
        raise UsageError(f"{text!r} has bits behind its length", cure=f"Write {_shown(kept, six)}/{length}.")
    if six:
        return value >> 64, value & _LOW, length
    return 0, V4_MAPPED | value, length + 96


def _shown(value: int, six: bool) -> str:
    from socket import AF_INET, AF_INET6, inet_ntop
    return inet_ntop(AF_INET6 if six else AF_INET, value.to_bytes(16 if six else 4, "big"))


def networks(found: Sequence[tuple[int, int, int]]) -> Networks:
    """Columns of networks."""
    import numpy as np
    high, low, length = zip(*found, strict=True) if found else ((), (), ())
    return joined([Networks(np.array(high, np.uint64), np.array(low, np.uint64), np.array(length, np.uint8))])


def joined(parts: Sequence[Networks]) -> Networks:
    """All of several, sorted, each once."""
    import numpy as np
    high, low, length = (np.concatenate(columns) if columns else np.zeros(0, np.uint64) for columns in zip(*parts))
    order = np.lexsort((length, low, high))
    high, low, length = high[order], low[order], length[order].astype(np.uint8)
    new = np.ones(len(high), bool)
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (length[1:] != length[:-1])
    return Networks(high[new], low[new], length[new])


def span(text: str, words: dict[str, int], high: int, what: str) -> Range:
    """One number, word, or `first-last`; UsageError."""
    if text in words:
        return (words[text],) * 2
    first, dash, last = text.partition("-")
    if not dash:
        found = number_of(text, words, high, what)
        return found, found
    begin, end = number_of(first, words, high, what), number_of(last, words, high, what)
    if begin > end:
        raise UsageError(f"{text!r} ends before it begins", cure=f"Write {last}-{first}.")
    return begin, end


def ranges_of(found: Sequence[Range]) -> Ranges:
    """Sorted, neighbours joined; UsageError for two that overlap."""
    ordered = sorted(found)
    result: list[Range] = []
    for first, last in ordered:
        if result and first <= result[-1][1]:
            raise UsageError(f"{_written(first, last)} overlaps {_written(*result[-1])}",
                             cure=f"Write {_written(result[-1][0], max(last, result[-1][1]))} once.")
        if result and first == result[-1][1] + 1:
            result[-1] = result[-1][0], last
        else:
            result.append((first, last))
    return tuple(result)


def _written(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"


def endpoint(text: str) -> Endpoint:
    """`192.0.2.1:80` or `[2001:db8::1]:80`; UsageError."""
    address, colon, port = text.rpartition(":")
    bracketed = address.startswith("[") and address.endswith("]")
    if not colon or (":" in address) != bracketed:
        raise UsageError(f"{text!r} is no address with a port", cure="Write 192.0.2.1:80 or [2001:db8::1]:80.")
    high, low, length = one_network(address[1:-1] if bracketed else address)
    if length != 128:
        raise UsageError(f"{text!r} is a network, not an address", cure="Use a set of prefixes, and ports.")
    return high, low, number_of(port, SERVICES, 65535, "port")


def file_lines(content: bytes) -> Iterator[tuple[int, str]]:
    """The lines of a file that hold something, numbered; `#` begins a comment."""
    for number, each in enumerate(content.decode(errors="surrogateescape").split("\n"), 1):
        word = each.partition("#")[0].strip()
        if word:
            yield number, word


def labelled(content: bytes, path: str) -> dict[str, Networks]:
    """Networks by label out of lines `network label`, as tables of countries and of AS numbers are written (also with
    a comma or a tab between them)."""
    found: dict[str, list[tuple[int, int, int]]] = {}
    for number, text in file_lines(content):
        words = text.replace(",", " ").split()
        if len(words) != 2:
            raise ConfigurationError("a line is a network and a label", file=path, line=number,
                                     cure="Write it as `192.0.2.0/24 DE`.")
        try:
            found.setdefault(words[1], []).append(one_network(words[0]))
        except UsageError as error:
            raise ConfigurationError(error.what, file=path, line=number, cure=error.cure) from None
    return {label: networks(each) for label, each in found.items()}

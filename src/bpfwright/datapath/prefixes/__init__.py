"""Prefix tables of our own: the longest prefix of an address in one or two cache lines, written by NumPy.

IPv4's space is cut into equal cells, as many as a table has prefixes in fours, and a cell is one line of 64 bytes that
holds the places where the answer changes: most look-ups read nothing else. Cells that are crowded lead on to trees of
such lines. IPv6 has the same for the upper halves of addresses, and trees for lower halves where prefixes are longer.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Self
from bpfwright.datapath.prefixes.finding import finder_of_four, finder_of_six
from bpfwright.errors import UsageError
from bpfwright.maps import Array
from bpfwright.types import L, Struct, array, u32, u64

if TYPE_CHECKING:
    import numpy

    from bpfwright.datapath.prefixes.content import Half, Key

__all__ = ["Content", "PrefixTable"]

_LEAST_BITS, _MOST_BITS = 8, 20
_MOST_SIX = 18
_MAPPED = 0xFFFF << 32


class Line(Struct):
    """For IPv4: a head, and 15 places with their answers; lines.Narrow says how."""

    words: array[u32, L[16]]


class WideLine(Struct):
    """For IPv6: places but the first, less one, and answers of which the first is the head; lines.Wide says how."""

    before: array[u64, L[5]]
    labels: array[u32, L[6]]


class PrefixTable:
    """A table of up to `four` IPv4 and `six` IPv6 prefixes with answers from 1 to `highest`.

    `hosts`: how many of the IPv6 prefixes may be longer than 64 bits (all, unless said). The maps take 45 bytes for
    an IPv4 prefix, 70 for one of IPv6 and 64 more for each that is longer than 64 bits, at least 40 KiB altogether.

        blocked = PrefixTable(four=1_000_000)
        ... in a program: blocked.find(packet.source_high, packet.source_low) != 0
        with Content(blocked, session.__getitem__) as content: content.write_networks({"192.0.2.0/24": 1})
    """

    def __init__(self, *, four: int = 0, six: int = 0, hosts: int | None = None, highest: int = 1) -> None:
        if four < 0 or six < 0 or not four + six:
            raise UsageError("a prefix table has room for one prefix at least")
        if not 0 < highest < 1 << _MOST_BITS - 1:
            raise UsageError(f"{highest} is no largest answer of a prefix table", cure="It is from 1 to 524286.")
        self.four, self.six, self.highest = four, six, highest
        self.hosts = six if hosts is None else hosts
        self.maps: dict[str, Any] = {}
        self.find4: Callable[..., Any] = _nowhere
        self.find6: Callable[..., Any] = _nowhere_at_all
        if four:
            self.bits4 = max(_bits(four, 4, _LEAST_BITS, _MOST_BITS), (highest + 2).bit_length() + 1)
            made = self._made(Line, 1 << self.bits4, four * 3 // 10 + four // 8 + 1024,
                              min(four, (1 << self.bits4 - 1) - 2))
            self.maps |= {"cells4": made[0], "lines4": made[1], "wide4": made[2]}
            self.find4 = finder_of_four(*made, self.bits4)
        if six:
            self.bits6 = _bits(six, 4, _LEAST_BITS, _MOST_SIX)
            lines = six * 4 // 5 + six // 8 + self.hosts + 1024
            made = self._made(WideLine, (1 << self.bits6) + 2, lines, six)
            self.maps |= {"cells6": made[0], "lines6": made[1], "wide6": made[2]}
            self.find6 = finder_of_six(*made, self.bits6)
        self.find = _either(self.find4, self.find6)

    @staticmethod
    def _made(line: type[Any], cells: int, lines: int, wide: int) -> tuple[Any, Any, Any]:
        shape: Any = Array[line]  # type: ignore[valid-type]
        return (shape(max_entries=cells, mapped=True), shape(max_entries=lines, mapped=True),
                Array[u64](max_entries=wide, mapped=True))

    @property
    def size_bytes(self) -> int:
        """What the maps take in memory."""
        return sum(each.max_entries * (8 if name.startswith("wide") else 64) for name, each in self.maps.items())


def _bits(entries: int, each: int, least: int, most: int) -> int:
    """Of the number of a cell, when a cell has so many entries on the average."""
    return min(max((entries // each - 1).bit_length(), least), most)


def _nowhere(address: Any) -> int:
    return 0


def _nowhere_at_all(high: Any, low: Any) -> int:
    return 0


def _either(find4: Any, find6: Any) -> Any:
    """A look-up of the two numbers of an address as `Parsed` has them."""
    def find(high: Any, low: Any) -> Any:
        if high == 0 and low >> 32 == 0xFFFF:
            return find4(u32(low))
        return find6(high, low)

    return find


class Content:
    """What a table holds, for the process that writes it: `maps(declared)` gives the map of a session or generation."""

    def __init__(self, table: PrefixTable, maps: Callable[[Any], Any]) -> None:
        from bpfwright.datapath.prefixes.content import Half
        self.table = table
        self._halves: dict[bool, Half] = {}
        try:
            for six, capacity, suffix in ((False, table.four, "4"), (True, table.six, "6")):
                if capacity:
                    cells, lines, wide = (maps(table.maps[name + suffix]) for name in ("cells", "lines", "wide"))
                    self._halves[six] = Half(table.bits6 if six else table.bits4, capacity, six=six, cells=cells,
                                             lines=lines, wide=wide)
        except BaseException:
            self.close()
            raise

    def columns(self) -> dict[str, numpy.ndarray]:
        """What `write` left, by names, for another process to go on with: to be kept as it is."""
        return {f"{name}{_FAMILY[six]}": column for six, half in self._halves.items()
                for name, column in half.columns().items()}

    def state(self) -> dict[str, Any]:
        """What changes have made of it since, as JSON can hold it. It is of one moment with what the maps hold."""
        return {_FAMILY[six]: half.state() for six, half in self._halves.items()}

    def go_on(self, column: Callable[[str], numpy.ndarray], state: dict[str, Any], tidied: Callable[[], None]) -> None:
        """Go on where another process was, whose changes since `state` may be in the maps in part: the same changes in
        the same order complete them. `tidied` is called where that begins anew: it holds from that moment's state."""
        for six, half in self._halves.items():
            half.go_on(_of_family(column, _FAMILY[six]), state[_FAMILY[six]])
            half.tidied = tidied

    def close(self) -> None:
        """Let the maps' memory go; what they hold stays."""
        for half in self._halves.values():
            half.close()
        self._halves.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def write(self, high: numpy.ndarray, low: numpy.ndarray, length: numpy.ndarray, answer: numpy.ndarray) -> None:
        """Write columns into maps that no program reads yet. IPv4 stands as in `Parsed`, ::ffff:a.b.c.d, with lengths
        from 96 to 128; every address has zeros behind its length, and no prefix stands there twice."""
        import numpy as np

        from bpfwright.datapath.prefixes.spans import Entries
        if len(answer) and not 0 < int(answer.min()) <= int(answer.max()) <= self.table.highest:
            raise UsageError("an answer is outside of what this table holds", cure=f"It is 1 to {self.table.highest}.")
        narrow = (high == 0) & (low >> np.uint64(32) == 0xFFFF) & (length >= 96)
        columns = {False: Entries(low[narrow] << np.uint64(32), high[narrow], length[narrow] - 96, answer[narrow]),
                   True: Entries(high[~narrow], low[~narrow], length[~narrow], answer[~narrow])}
        for six, entries in columns.items():
            if six in self._halves:
                self._halves[six].write(entries)
            elif len(entries.high):
                raise UsageError(f"this table has no room for IPv{6 if six else 4}", cure="Declare it with some.")

    def write_networks(self, networks: dict[str, int]) -> None:
        """The same from text: networks or addresses, with answers."""
        import numpy as np
        keys = [_number(network) for network in networks]
        high, low, length = zip(*keys) if keys else ((), (), ())
        self.write(np.array(high, np.uint64), np.array(low, np.uint64), np.array(length, np.uint8),
                   np.array(list(networks.values()), np.uint32))

    def put(self, network: str, answer: int = 1) -> None:
        """Add a network or change its answer, under traffic."""
        if not 0 < answer <= self.table.highest:
            raise UsageError(f"{answer} is outside of what this table holds", cure=f"It is 1 to {self.table.highest}.")
        half, key = self._where(network)
        half.put(key, answer)

    def remove(self, network: str) -> bool:
        """Take a network out, under traffic; false when it was not there."""
        half, key = self._where(network)
        return half.remove(key)

    def get(self, network: str) -> int | None:
        """A network's own answer; None when it is not there."""
        half, key = self._where(network)
        return half.get(key)

    def networks(self) -> dict[str, int]:
        """All of them, as text."""
        return {_text(six, key): answer for six, half in self._halves.items() for key, answer in half.items()}

    def tidy(self) -> None:
        """After many changes: make look-ups as short as after `write`. Takes some milliseconds."""
        for half in self._halves.values():
            half.tidy()

    def __len__(self) -> int:
        return sum(len(half) for half in self._halves.values())

    def _where(self, network: str) -> tuple[Half, Key]:
        high, low, length = _number(network)
        six = not (high == 0 and low >> 32 == 0xFFFF and length >= 96)
        if six not in self._halves:
            raise UsageError(f"this table has no room for IPv{6 if six else 4}", cure="Declare it with some.")
        return self._halves[six], (high, low, length) if six else (low << 32 & (1 << 64) - 1, 0, length - 96)


_FAMILY = {False: "4", True: "6"}


def _of_family(column: Callable[[str], numpy.ndarray], family: str) -> Callable[[str], numpy.ndarray]:
    return lambda name: column(name + family)


def _number(network: str) -> tuple[int, int, int]:
    import ipaddress
    try:
        found = ipaddress.ip_network(network)
    except ValueError as error:
        raise UsageError(f"{network!r} is no network: {error}", cure="Write it as 192.0.2.0/24 or 2001:db8::/32.",
                         ) from None
    number = int(found.network_address)
    if found.version == 4:
        return 0, _MAPPED | number, found.prefixlen + 96
    return number >> 64, number & (1 << 64) - 1, found.prefixlen


def _text(six: bool, key: Key) -> str:
    import ipaddress
    high, low, length = key
    if six:
        return f"{ipaddress.IPv6Address(high << 64 | low)}/{length}"
    return f"{ipaddress.IPv4Address(high >> 32)}/{length}"

"""The kernel's list of its symbols, /proc/kallsyms: opened, and looked through once for the names of some addresses."""
from __future__ import annotations

from bisect import bisect_left, bisect_right
from errno import EPERM
from operator import itemgetter
from os import PathLike, fspath

from bpfwright._typing import TYPE_CHECKING, Iterable, Iterator
from bpfwright.errors import FormatError, NotSupported, PrivilegeError
from bpfwright.symbols.symbol import Symbol

if TYPE_CHECKING:
    from io import BufferedReader

__all__ = ["KALLSYMS", "PART_SIZE", "find_in_kernel", "hidden", "not_a_list", "opened"]

KALLSYMS = "/proc/kallsyms"
PART_SIZE = 1 << 20
_DIGITS = 16
_PAGE = 4096
_NOTHING = b"0" * _DIGITS
_BEHIND = b"g"  # every line begins with a digit
_address = itemgetter(slice(_DIGITS))


def opened(path: str | PathLike[str]) -> BufferedReader:
    """The list, to be read. Raises NotSupported where there is none, PrivilegeError where it may not be read."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise NotSupported(f"there is no {fspath(path)}", why="this kernel is built without CONFIG_KALLSYMS, or "
                           "/proc is not mounted") from None
    except PermissionError as error:
        raise PrivilegeError(f"{fspath(path)} cannot be read", error.errno or EPERM, why=error.strerror or "",
                             cure="Run it as root.") from error


def hidden(path: str | PathLike[str]) -> PrivilegeError:
    """That the kernel shows zeros only."""
    return PrivilegeError("the kernel hides the addresses of its symbols", EPERM,
                          why=f"all of {fspath(path)} are zero: sysctl kernel.kptr_restrict, or no CAP_SYSLOG",
                          cure="Run it as root, or as root: sysctl kernel.kptr_restrict=1")


def not_a_list(path: str | PathLike[str], offset: int) -> FormatError:
    """That this is something else."""
    return FormatError(f"{fspath(path)} is not a list of kernel symbols", offset=offset)


def find_in_kernel(addresses: Iterable[int], path: str | PathLike[str] = KALLSYMS) -> dict[int, Symbol]:
    """What each of some addresses is in, as `KernelSymbols.find` says it, at the cost of one pass over the list.

    Nothing is held and NumPy is not loaded: this is for who asks once, about some hundreds of addresses; KernelSymbols
    for who asks again. Only lines that matter are looked at: a list with other lines in it may go unnoticed. Raises
    what KernelSymbols raises.
    """
    around = {address: _Around() for address in sorted(set(addresses))}
    highest = b""
    with opened(path) as file:
        for offset, lines in _parts(file) if around else ():
            if len(min(lines, key=len)) < _DIGITS + 4:
                raise not_a_list(path, offset)
            lines.sort(key=_address)  # each address's first line stays its first
            highest = max(highest, _address(lines[-1]))
            for address, known in around.items():
                known.look(b"%016x" % address, lines)
    if highest == _NOTHING:
        raise hidden(path)
    try:
        return {address: known.symbol(address) for address, known in around.items()}
    except ValueError:
        raise not_a_list(path, 0) from None


def _parts(file: BufferedReader) -> Iterator[tuple[int, list[bytes]]]:
    """The lines by the part, and how far the file was read before."""
    rest, offset = b"", 0
    while part := file.read(PART_SIZE):
        lines = (rest + part).split(b"\n")
        rest = lines.pop()
        if lines:
            yield offset, lines
        offset += len(part)
    if rest:
        yield offset, [rest]


class _Around:
    """The lines of the last symbol that begins at or before an address, and the first of the next one."""

    __slots__ = ("before", "behind")

    def __init__(self) -> None:
        self.before: list[bytes] = []
        self.behind = b""

    def look(self, digits: bytes, lines: list[bytes]) -> None:
        """Find them in a part of the list, in the order of addresses."""
        end = first = bisect_right(lines, digits, key=_address)
        while end and _is_number(lines[end - 1]):
            end -= 1
        if end and _address(lines[end - 1]) >= (_address(self.before[0]) if self.before else b""):
            begin = bisect_left(lines, _address(lines[end - 1]), key=_address)
            same = [line for line in lines[begin:end] if not _is_number(line)]
            again = self.before and _address(same[0]) == _address(self.before[0])
            self.before = self.before + same if again else same
        while first < len(lines) and _is_number(lines[first]):
            first += 1
        if first < len(lines) and _address(lines[first]) < (_address(self.behind) if self.behind else _BEHIND):
            self.behind = lines[first]

    def symbol(self, address: int) -> Symbol:
        """What that comes to. A module's last symbol ends with its page; the next one's begin ends all others."""
        if self.before:
            name, module = _parsed(self.before[0])
            start = int(_address(self.before[0]), 16)
            following = self.behind and _parsed(self.behind)[1]
            alone = not self.behind or any(_parsed(line)[1] != following for line in self.before)
            if not alone or address < (start // _PAGE + 1) * _PAGE % (1 << 64):
                return Symbol(name, address - start, module)
        return Symbol("", address, "[unknown]")


def _is_number(line: bytes) -> bool:
    """Absolute symbols are numbers, such as offsets in per-CPU areas, not places."""
    return line[_DIGITS + 1:_DIGITS + 2] in (b"a", b"A") or _address(line) == _NOTHING


def _parsed(line: bytes) -> tuple[str, str]:
    """Name and module."""
    if len(line) < _DIGITS + 4 or line[_DIGITS:_DIGITS + 1] != b" " or line[_DIGITS + 2:_DIGITS + 3] != b" ":
        raise ValueError(line)
    name, _, module = line[_DIGITS + 3:].decode("utf-8", "replace").partition("\t")
    return name, module.strip("[]")

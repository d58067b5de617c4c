"""What numbers of a record mean in the world outside: users, errors, probes, times, addresses, stacks, cgroups."""
from __future__ import annotations

import sys
from struct import Struct as Packed

from bpfwright import _host
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Mapping, Protocol
from bpfwright.facets.trace.types import Stack

if TYPE_CHECKING:
    from bpfwright.facets.trace.output.symbolizing import Symbolizer, Who
    from bpfwright.facets.trace.unwinding import Unwinder

__all__ = ["World", "clock_text"]

_WORD = Packed("=Q").unpack_from
_WORDS = Packed("=QQ").unpack_from
_NO_STACK = 1 << 31
_SECOND = 1_000_000_000
_ANSWERS = 65_536
"""How many answers of one kind are kept."""


class _Stacks(Protocol):
    def lookup(self, key: bytes, flags: int = 0) -> bytes | None: ...


class World:
    """Answers for the tokens and stacks of one plan.

    `texts` and `probes` are the plan's, `settings` its configuration with the defaults filled in, `stacks` the handle
    of the stack map (also later: `world.stacks = handle`). Every `reader(kind)` takes bytes and where the token stands.
    `lost_stacks` counts stacks that were no longer in the map.
    """

    def __init__(self, texts: tuple[str, ...] = (), probes: tuple[tuple[str, str], ...] = (),
                 settings: Mapping[str, int | str | bool] | None = None, stacks: _Stacks | None = None) -> None:
        self.texts = texts
        self.probes = probes
        self.settings = dict(settings or {})
        self.stacks = stacks
        self.unwinder: Unwinder | None = None
        self.lost_stacks = 0
        self.boot_to_wall_ns = _host.boot_to_wall_ns()
        trailer = self.settings.get("str_trunc_trailer", "..")
        self.trailer = trailer.encode("utf-8", "surrogateescape") if isinstance(trailer, str) else b""
        self._symbolizer: Symbolizer | None = None
        self._known: dict[tuple[Any, ...], bytes] = {}
        self._clock: dict[tuple[str, int], bytes] = {}
        self._cgroups: Any = None

    @property
    def symbols(self) -> Symbolizer:
        """Names for addresses; made when the first one is asked for."""
        if self._symbolizer is None:
            from bpfwright.facets.trace.output.symbolizing import Symbolizer
            cache = str(self.settings.get("cache_user_symbols", "PER_PID"))
            self._symbolizer = Symbolizer(cache, bool(self.settings.get("cpp_demangle", True)),
                                          bool(self.settings.get("show_debug_info", False)))
            if self.unwinder is not None:
                self._symbolizer.lives = self.unwinder.symbols
        return self._symbolizer

    def remember(self, pid: int) -> None:
        """Look at a process now, so that its addresses keep their names when it has ended."""
        self.symbols.remember(pid)

    def reader(self, kind: str) -> Callable[[bytes, int], bytes]:
        """What reads a token of this kind, a key of TOKENS."""
        if kind in _ONE_WORD:
            answer = _ONE_WORD[kind]
            return lambda data, at: self._once(kind, answer, _WORD(data, at)[0])
        found: Callable[[bytes, int], bytes] = getattr(self, f"_{kind}")
        return found

    def _once(self, kind: str, answer: Callable[[World, int], bytes], number: int) -> bytes:
        known = self._known.get((kind, number))
        if known is None:
            if len(self._known) >= _ANSWERS:
                self._known.clear()
            known = self._known[kind, number] = answer(self, number)
        return known

    # tokens of more than one word

    def _ksym(self, data: bytes, at: int) -> bytes:
        return self.symbols.kernel(_WORD(data, at)[0])

    def _usym(self, data: bytes, at: int) -> bytes:
        address, pid = _WORDS(data, at)
        return self.symbols.user(address, pid & 0xFFFF_FFFF)

    def _strftime(self, data: bytes, at: int) -> bytes:
        boot_ns, index = _WORDS(data, at)
        return self.strftime(boot_ns, self.texts[index])

    def strftime(self, boot_ns: int, format: str) -> bytes:
        """A time since boot in this machine's time zone."""
        return self.clock(boot_ns + self.boot_to_wall_ns, format)

    def clock(self, wall_ns: int, format: str) -> bytes:
        """`clock_text`, remembered for the seconds asked for lately: scripts print the time of every event."""
        if "%f" in format:
            return clock_text(wall_ns, format)
        key = format, wall_ns // _SECOND
        known = self._clock.get(key)
        if known is None:
            if len(self._clock) > 100:
                self._clock.clear()
            known = self._clock[key] = clock_text(wall_ns, format)
        return known

    def _ctime(self, data: bytes, at: int) -> bytes:
        return self.strftime(_WORD(data, at)[0], "%a %b %e %H:%M:%S %Y")

    def _cgroup_path(self, data: bytes, at: int) -> bytes:
        number, index = _WORDS(data, at)
        if self._cgroups is None:
            from bpfwright.facets.trace.output.cgroups import Cgroups
            self._cgroups = Cgroups()
        found: bytes = self._cgroups.path(number, self.texts[index])
        return found

    def _inet(self, data: bytes, at: int) -> bytes:
        family = int.from_bytes(data[at:at + 4], sys.byteorder)
        size = {2: 4, 10: 16}.get(family)
        if size is None:
            return b""
        from _socket import AF_INET, AF_INET6, inet_ntop  # socket itself would cost 5 ms
        return inet_ntop(AF_INET if size == 4 else AF_INET6, data[at + 4:at + 4 + size]).encode()

    def _mac(self, data: bytes, at: int) -> bytes:
        return data[at:at + 6].hex(":").upper().encode()

    # stacks

    def addresses(self, type: Stack, number: int) -> list[int]:
        """The frames of a stack, innermost first; none when there is no such stack."""
        if number & _NO_STACK or self.stacks is None:
            return []
        found = self.stacks.lookup(number.to_bytes(4, sys.byteorder))
        if found is None:
            self.lost_stacks += 1
            return []
        frames = list(memoryview(found).cast("Q"))
        depth = frames.index(0) if 0 in frames else len(frames)
        return frames[:min(depth, type.frames)]

    def stack(self, type: Stack, number: int, pid: int, indent: int) -> bytes:
        """A stack as text: a line for each frame, a line's end before the first; nothing when there is none."""
        if type.space == "tables":
            return self._unwound(type, number | pid << 32, indent)
        frames = self.addresses(type, number)
        return self._lines(type, frames, pid if type.space == "user" else None, indent, ()) if frames else b""

    def _unwound(self, type: Stack, name: int, indent: int) -> bytes:
        """A stack that was unwound by tables, in the same form, with a last line that says why it ends where it does
        if that is not its end."""
        found = self.unwinder.stack(name) if name > 1 and self.unwinder is not None else None
        if found is None:
            return b""
        return self._lines(type, found.addresses, (found.pid, found.life), indent, found.marks)

    def _lines(self, type: Stack, frames: list[int], who: Who, indent: int, marks: tuple[str, ...]) -> bytes:
        if type.mode == "raw":
            lines = [b"%x" % address for address in frames]
        elif type.mode == "build_id":
            lines = [b" " * indent + line for line in self.symbols.build_ids(frames, who)]
        else:
            perf = type.mode == "perf"
            lines = [b"\t%x %b" % (address, name) if perf else b" " * indent + name
                     for address, name in self.symbols.described(frames, who, perf)]
        if type.mode != "raw":  # which is numbers only
            lines += [(b"\t" if type.mode == "perf" else b" " * indent) + mark.encode() for mark in marks]
        return b"\n" + b"".join([line + b"\n" for line in lines])


def clock_text(wall_ns: int, format: str) -> bytes:
    """strftime with `%f` for the microseconds."""
    import time
    seconds, rest = divmod(wall_ns, _SECOND)
    if "%f" in format:
        parts = format.split("%%")
        format = "%%".join([part.replace("%f", f"{rest // 1000:06}") for part in parts])
    try:
        return time.strftime(format, time.localtime(seconds)).encode("utf-8", "surrogateescape")
    except (OverflowError, ValueError):
        return b"(?)"


def _username(world: World, uid: int) -> bytes:
    import pwd
    try:
        return pwd.getpwuid(uid & 0xFFFF_FFFF).pw_name.encode("utf-8", "surrogateescape")
    except KeyError:
        return b"%d" % (uid & 0xFFFF_FFFF)


def _strerror(world: World, number: int) -> bytes:
    import os
    low = number & 0xFFFF_FFFF
    return os.strerror(low - (1 << 32) if low >> 31 else low).encode()


def _signal_name(world: World, number: int) -> bytes:
    import _signal  # type: ignore[import-not-found]  # signal itself makes enums
    aliases = ("SIGCLD", "SIGPOLL", "SIGIOT", "SIGRTMIN", "SIGRTMAX")
    for name in dir(_signal):
        if name.startswith("SIG") and name[3] != "_" and name not in aliases and getattr(_signal, name) == number:
            return name.encode()
    return b"%d" % number


def _syscall_name(world: World, number: int) -> bytes:
    from bpfwright._abi.syscalls import NUMBERS
    table = NUMBERS.get(_host.processor(), {})
    return next((name.encode() for name, value in table.items() if value == number), b"%d" % number)


def _of_probe(place: int) -> Callable[[World, int], bytes]:
    return lambda world, index: world.probes[index][place].encode("utf-8", "surrogateescape")


_ONE_WORD: dict[str, Callable[[World, int], bytes]] = {
    "username": _username, "strerror": _strerror, "signal_name": _signal_name, "syscall_name": _syscall_name,
    "probe": _of_probe(0), "func": _of_probe(1)}

"""Makes an input small, as long as it does what it did."""
from __future__ import annotations

from bpfwright._typing import Callable
from bpfwright.userspace.counterexamples.inputs import Input

__all__ = ["shrunk"]

_SHORTEST = 14


def shrunk(given: Input, holds: Callable[[Input], bool], over: Callable[[], bool]) -> Input:
    """The smallest input that was found in time: less of everything, shorter, and zeros where anything will do."""
    now = given

    def better(tried: Input) -> bool:
        nonlocal now
        if tried != now and not over() and holds(tried):
            now = tried
            return True
        return False

    better(Input(now.data, bytes(len(now.context)), now.entries, now.full, now.cpu, now.lonely, now.socket))
    for entry in given.entries:
        better(now.without_entry(*entry[:2]))
    for name, _ in given.full:
        better(now.with_room(name, None))
    better(now._replace(socket=False))
    better(now._replace(lonely=False))
    better(now._replace(cpu=0))
    for each in given.words:
        better(now._replace(words=tuple(other for other in now.words if other != each)))
    better(now._replace(random=None))
    better(now._replace(memory=b""))
    better(now._replace(task=()))
    for byte in now.task:
        better(now._replace(task=tuple(other for other in now.task if other != byte)))
    better(now._replace(memory=now.memory.rstrip(b"\0")))
    step = len(now.data)
    while step and len(now.data) > _SHORTEST:
        if not better(now._replace(data=now.data[:max(_SHORTEST, len(now.data) - step)])):
            step //= 2
    _blank(now.data, lambda data: better(now._replace(data=data)))
    _blank(now.context, lambda data: better(now._replace(context=data)))
    for name, key, value in now.entries:
        _blank(value, lambda data, name=name, key=key: better(  # type: ignore[misc]
            now.with_entry(name, key, data)))
    return now


def _blank(data: bytes, better: Callable[[bytes], bool]) -> None:
    """Zeros in place of blocks that do not matter, the large ones first."""
    current = data
    size = 1 << max(len(data).bit_length() - 1, 0)
    while size and current:
        for at in range(0, len(current), size):
            if any(current[at:at + size]):
                tried = current[:at] + bytes(len(current[at:at + size])) + current[at + size:]
                if better(tried):
                    current = tried
        size //= 2

"""What a call instruction runs: a helper's body, an operation of a map's store, or what only an engine can do."""
from __future__ import annotations

from bpfwright._abi.helpers import HELPER_NAMES
from bpfwright._typing import Any, Callable
from bpfwright.errors import NotSupported
from bpfwright.maps.stores._header import KIND
from bpfwright.spec.memory import load32
from bpfwright.userspace.stores import helper_body, store_of

__all__ = ["STORE_CALLS", "body_of"]

Body = Callable[[Any, list[int]], int | None]

STORE_CALLS = {1: ("lookup", 2), 2: ("update", 4), 3: ("delete", 2), 87: ("push", 3), 88: ("pop", 2), 89: ("peek", 2)}
"""Helper number: the store's operation and how many words it takes, the map first."""
_WORD = (1 << 64) - 1


def body_of(number: int) -> Body:
    """What helper `number` does, for the interpreter. Raises NotSupported."""
    if number in STORE_CALLS:
        return _of_store(*STORE_CALLS[number])
    function = helper_body(number)
    if function is None:
        raise NotSupported(f"the userspace machine does not have bpf_{HELPER_NAMES.get(number, number)}() yet")
    count = function.__code__.co_argcount
    end = 1 + count
    return lambda interpreter, r: function(*r[1:end])


def _of_store(operation: str, count: int) -> Body:
    end = 1 + count

    def call(interpreter: Any, r: list[int]) -> int:
        found: int = getattr(store_of(load32(r[1] + KIND)), operation)(*r[1:end])
        return found

    return call

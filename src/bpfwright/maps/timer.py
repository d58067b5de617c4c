"""Timer: a field of a map's value that calls a function later."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import NOTHING, Meaning, Reference, meaning_of
from bpfwright.spec.program import refused_field
from bpfwright.types.ctype import CType, Opaque

if TYPE_CHECKING:
    from bpfwright.maps.hash import Hash

__all__ = ["OPERATIONS", "Timer"]

K = TypeVar("K")
V = TypeVar("V")
_INIT, _SET_CALLBACK, _START, _CANCEL = 169, 170, 171, 172
_CLOCK_MONOTONIC = 1


class Timer(Generic[K, V]):
    """A field of a map value; fires callback(key, value) once. Since Linux 5.15.

    >>> class Lease(Struct):
    ...     timer: Timer[u32, Lease] = Timer()
    >>> lease.timer.start(leases, expire, after_ns=5_000_000_000)      # in a program
    """

    @staticmethod
    def __ctype__(*arguments: object) -> CType:
        return Opaque("bpf_timer", 16, 8, arguments)

    if TYPE_CHECKING:
        def start(self, owner: Hash[K, V], callback: Callable[[K, V], None], *, after_ns: int) -> None:
            """Call `callback` after `after_ns`; starting again moves the time."""
        def again(self, *, after_ns: int) -> None:
            """Call after `after_ns` what start() named: in the callback itself, too. Nothing where it never started."""
        def cancel(self) -> None:
            """Let it not fire."""


def _allowed(site: Any) -> None:
    refused = refused_field(site.program, "bpf_timer", site.target())
    if refused is not None:
        site.refuse(*refused)


def _check_start(site: Any) -> Meaning:
    site.bind("owner", "callback", "after_ns")
    site.integer("after_ns")
    map_ = site.constant("owner")
    if not hasattr(map_, "key") or map_.value is None:
        site.refuse("the owner is the map that holds this entry", "Write timer.start(leases, expire, after_ns=...).")
    if not isinstance(site.receiver, Reference) or site.receiver.space != "map":
        site.refuse("a timer must lie in a map's value")
    _allowed(site)
    site.callback("callback", [meaning_of(map_.key, "stack"), meaning_of(map_.value, "map")],
                  first="ptr", pointers=[map_.key, map_.value])
    return NOTHING


def _lower_start(b: Any, site: Any) -> Value:
    timer = site.receiver_value().only
    b.helper(_INIT, timer, b.map(site.constant("owner")), b.number(_CLOCK_MONOTONIC))
    b.helper(_SET_CALLBACK, timer, site.function("callback"))
    b.helper(_START, timer, b.numeric(site.value("after_ns"))[0], b.number(0))
    return Value(NOTHING)


def _check_again(site: Any) -> Meaning:
    site.bind("after_ns")
    site.integer("after_ns")
    if not isinstance(site.receiver, Reference) or site.receiver.space != "map":
        site.refuse("a timer must lie in a map's value")
    _allowed(site)
    return NOTHING


def _lower_again(b: Any, site: Any) -> Value:
    b.helper(_START, site.receiver_value().only, b.numeric(site.value("after_ns"))[0], b.number(0))
    return Value(NOTHING)


def _check_cancel(site: Any) -> Meaning:
    site.bind()
    _allowed(site)
    return NOTHING


def _lower_cancel(b: Any, site: Any) -> Value:
    b.helper(_CANCEL, site.receiver_value().only)
    return Value(NOTHING)


OPERATIONS: dict[str, Operation] = {
    "start": Operation(_check_start, _lower_start), "again": Operation(_check_again, _lower_again),
    "cancel": Operation(_check_cancel, _lower_cancel),
}

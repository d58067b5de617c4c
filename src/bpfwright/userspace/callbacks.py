"""Helpers that call back into the program: loops, walks over maps, timers. They run where only an engine can."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.maps.stores._header import KIND
from bpfwright.spec import memory as dialect
from bpfwright.spec.page import CLOCK
from bpfwright.userspace.map import UserMap
from bpfwright.userspace.stores import store_of

if TYPE_CHECKING:
    from bpfwright.userspace.interpreter import Interpreter

__all__ = ["for_each_map_elem", "loop", "timer_cancel", "timer_init", "timer_set_callback", "timer_start"]

_E2BIG, _EBUSY, _EINVAL, _EDEADLK = -7, -16, -22, -35
_MOST_ROUNDS = 1 << 23
_CLOCKS = (0, 1, 7)
_ABSOLUTE, _PINNED = 1, 2


def loop(interpreter: Interpreter, r: list[int]) -> int:
    """bpf_loop: call a function with 0, 1, 2 ... until it gives something else than 0; how often it was called."""
    rounds, callback, context, flags = r[1] & 0xFFFFFFFF, r[2], r[3], r[4]
    if flags:
        return _EINVAL
    if rounds > _MOST_ROUNDS:
        return _E2BIG
    for index in range(rounds):
        if interpreter.call(callback, index, context):
            return index + 1
    return rounds


def for_each_map_elem(interpreter: Interpreter, r: list[int]) -> int:
    """Call a function with each entry until it gives something else than 0; how often it was called."""
    address, callback, context, flags = r[1:5]
    store = store_of(dialect.load32(address + KIND))
    if flags or not hasattr(store, "each"):
        return _EINVAL
    count, cursor = 0, store.each(address, 0)
    while cursor:
        count += 1
        if interpreter.call(callback, address, store.key_of(address, cursor), store.value_of(address, cursor), context):
            break
        cursor = store.each(address, cursor)
    return count


def _map_at(machine: Any, address: int) -> UserMap | None:
    return next((t for t in machine.things() if isinstance(t, UserMap) and t.address == address), None)


def timer_init(interpreter: Interpreter, r: list[int]) -> int:
    """Make a timer of 16 bytes in a map's value."""
    machine = interpreter.host.machine
    address, flags = r[1], r[3]
    map_ = _map_at(machine, r[2])
    if flags not in _CLOCKS or map_ is None:
        return _EINVAL
    if machine.timer_at(address) is not None:
        return _EBUSY
    store = store_of(map_.spec.type)
    cursor = store.holding(map_.address, address)
    if not cursor:
        return _EINVAL
    map_.blanks.add(address - store.value_of(map_.address, cursor))
    machine.new_timer(address, map_)
    return 0


def timer_set_callback(interpreter: Interpreter, r: list[int]) -> int:
    """Say what it calls."""
    timer = interpreter.host.machine.timer_at(r[1])
    if timer is None:
        return _EINVAL
    timer.program, timer.callback = interpreter.host, r[2]
    return 0


def timer_start(interpreter: Interpreter, r: list[int]) -> int:
    """Let it fire so many nanoseconds from now, or at that time."""
    machine = interpreter.host.machine
    timer, when, flags = machine.timer_at(r[1]), r[2], r[3]
    if timer is None or timer.program is None or flags > _ABSOLUTE | _PINNED:
        return _EINVAL
    machine.schedule(timer, when if flags & _ABSOLUTE else dialect.load64(CLOCK) + when)
    return 0


def timer_cancel(interpreter: Interpreter, r: list[int]) -> int:
    """Let it not fire: 1 when it would have."""
    machine = interpreter.host.machine
    timer = machine.timer_at(r[1])
    if timer is None:
        return _EINVAL
    if machine.firing is timer:
        return _EDEADLK
    waiting = timer.due is not None
    timer.due = None
    return int(waiting)

"""What a call instruction runs: a helper's body, an operation of a map's store, or what only an engine can do."""
from __future__ import annotations

from importlib import import_module

from bpfwright._abi.helpers import HELPER_NAMES
from bpfwright._typing import Any, Callable
from bpfwright.errors import NotSupported
from bpfwright.maps.stores._header import KIND
from bpfwright.spec.memory import load32
from bpfwright.userspace.stores import helper_body, store_of

__all__ = ["PYTHON", "STORE_CALLS", "body_of"]

Body = Callable[[Any, list[int]], int | None]

STORE_CALLS = {1: ("lookup", 2), 2: ("update", 4), 3: ("delete", 2), 87: ("push", 3), 88: ("pop", 2), 89: ("peek", 2),
               195: ("lookup_on", 3)}
"""Helper number: the store's operation and how many words it takes, the map first."""
PYTHON: dict[int, str] = {
    6: "texts:trace_printk", 13: "records:clone_redirect", 27: "records:get_stackid", 49: "records:set_option",
    57: "records:get_option", 58: "records:override_return", 64: "records:bind", 67: "records:get_stack",
    69: "routing:fib_lookup", 105: "texts:strtol", 106: "texts:strtoul", 109: "records:send_signal",
    117: "records:send_signal_thread", 126: "texts:seq_printf", 127: "texts:seq_write", 141: "records:get_task_stack",
    163: "routing:check_mtu", 164: "callbacks:for_each_map_elem", 165: "texts:snprintf", 169: "callbacks:timer_init",
    170: "callbacks:timer_set_callback", 171: "callbacks:timer_start", 172: "callbacks:timer_cancel",
    177: "texts:trace_vprintk", 181: "callbacks:loop",
}
"""`file:function` in this package, by the number of a helper that needs the machine or the engine: they take the
interpreter and its registers. Native code calls back for them."""


def body_of(number: int) -> Body:
    """What helper `number` does, for the interpreter. Raises NotSupported."""
    if number in STORE_CALLS:
        return _of_store(*STORE_CALLS[number])
    if number in PYTHON:
        file, _, name = PYTHON[number].partition(":")
        found: Body = getattr(import_module(f"bpfwright.userspace.{file}"), name)
        return found
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

"""Finds the store of a map type, and its operations natively compiled or as Python."""
from __future__ import annotations

from importlib import import_module

from bpfwright._typing import Any, Callable
from bpfwright.errors import NotSupported
from bpfwright.helpers.bodies import BODIES, KERNEL_FUNCTIONS
from bpfwright.maps.stores import FILES, HELPERS

__all__ = ["OPERATIONS", "functions", "helper_body", "kernel_function_body", "native_name", "native_object",
           "store_of"]

OPERATIONS = ("create", "lookup", "lookup_on", "update", "delete", "next_key", "push", "pop", "peek", "each", "holding",
              "key_of", "value_of", "look", "read")


def store_of(kind: int) -> Any:
    """The module of a bpf_map_type; NotSupported when there is none."""
    name = FILES.get(kind)
    if name is None:
        raise NotSupported(f"the userspace machine has no maps of type {kind} (bpf_map_type)")
    return import_module(f"bpfwright.maps.stores.{name}")


def _named(room: str, place: str) -> Callable[..., Any]:
    file, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(import_module(f"bpfwright.{room}.{file}"), name)
    return found


def helper_body(number: int) -> Callable[..., Any] | None:
    """What helper `number` does, in the dialect; None when nothing here does."""
    if number in HELPERS:
        return _named("maps.stores", HELPERS[number])
    return _named("helpers.bodies", BODIES[number]) if number in BODIES else None


def kernel_function_body(name: str) -> Callable[..., Any]:
    """What a kernel function does, in the dialect."""
    return _named("helpers.bodies", KERNEL_FUNCTIONS[name])


def functions() -> dict[str, Callable[..., Any]]:
    """Every operation of every store and every helper's body, by its name in native code."""
    found: dict[str, Callable[..., Any]] = {}
    for file in sorted(set(FILES.values())):
        module = import_module(f"bpfwright.maps.stores.{file}")
        for operation in OPERATIONS:
            if hasattr(module, operation):
                found[f"{file}_{operation}"] = getattr(module, operation)
    for number in (*BODIES, *HELPERS):
        function = helper_body(number)
        assert function is not None
        found[f"helper_{number}"] = function
    from bpfwright.maps.stores._guards import GUARDS
    from bpfwright.userspace import kernel_functions
    from bpfwright.helpers.bodies.packets import packet_load
    from bpfwright.hooks.running import traffic
    found |= {name: getattr(traffic, name) for name in traffic.__all__ if name.islower()}
    return found | kernel_functions.functions() | {"packet_load": packet_load} | {
        guard.__name__: guard for guard in GUARDS}


def native_name(function: Callable[..., Any]) -> str:
    """What a function is called in its file's object: unlike those that it calls there."""
    return f"native_{function.__name__}"


_objects: dict[str, bytes] = {}


def native_object(file: str) -> bytes:
    """The native object of one file's functions (a module's name), each as native_name() says: compiled once a version,
    then out of the cache."""
    found = _objects.get(file)
    if found is None:
        from bpfwright.lang.native import library
        own = {native_name(function): function for function in functions().values() if function.__module__ == file}
        found = _objects[file] = library(own)
    return found

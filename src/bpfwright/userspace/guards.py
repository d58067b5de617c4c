"""Which guards a call passes in a program that no verifier saw, by the table of helpers."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.errors import Fault
from bpfwright.helpers.bodies import BODIES
from bpfwright.maps.stores import _guards

__all__ = ["Guard", "guarded", "guards_of"]

_SEES_CONTEXT = ("packets:", "checksums:", "xdp:", "dynptrs:", "reading:function")
_ALSO = frozenset((13, 25, 163))  # calls answered elsewhere that read their context
_PLAIN = {"m": "map", "k": "key", "v": "value", "V": "room", "rec": "record", "dyn": "dynptr"}
_KERNEL = {
    "bpf_iter_num_new": "w8", "bpf_iter_num_next": "w8", "bpf_iter_num_destroy": "w8",
    "bpf_dynptr_from_skb": "c a w16", "bpf_dynptr_from_xdp": "c a w16", "bpf_dynptr_slice": "dyn",
    "bpf_dynptr_slice_rdwr": "dyn", "bpf_dynptr_size": "dyn", "bpf_dynptr_adjust": "dyn", "bpf_dynptr_clone": "dyn w16",
    "bpf_dynptr_is_null": "dyn", "bpf_dynptr_is_rdonly": "dyn", "bpf_cpumask_release": "mask",
    "bpf_cpumask_set_cpu": "a mask", "bpf_cpumask_clear_cpu": "a mask", "bpf_cpumask_test_cpu": "a r32",
    "bpf_cpumask_clear": "mask", "bpf_cpumask_setall": "mask", "bpf_cpumask_weight": "r32", "bpf_cpumask_first": "r32",
    "bpf_cpumask_empty": "r32", "bpf_cpumask_full": "r32",
}


class Guard(NamedTuple):
    """One guard: the name of its function, the registers that it takes, a size in place of the second, and whether
    null passes. `kind` is the fault's."""

    name: str
    registers: tuple[int, ...]
    size: int = 0
    null: bool = False
    kind: str = "call"


_known: dict[int, tuple[Guard, ...]] = {}


def guards_of(number: int) -> tuple[Guard, ...]:
    """The guards of a helper, or of kernel function -number."""
    found = _known.get(number)
    if found is None:
        found = _known[number] = tuple(_plan(number))
    return found


def _arguments(number: int) -> tuple[list[str], bool]:
    """An argument's words, and whether the context counts."""
    if number < 0:
        from bpfwright.userspace.kernel_functions import NAMES
        return _KERNEL.get(NAMES.get(-number, ""), "").split(), True
    from bpfwright.userspace.verifier.helpers import PROTOTYPES
    row = PROTOTYPES.get(number)
    place = BODIES.get(number, "")
    return list(row.arguments) if row is not None else [], place.startswith(_SEES_CONTEXT) or number in _ALSO


def _plan(number: int) -> list[Guard]:
    arguments, sees = _arguments(number)
    found = []
    map_at = 0
    for register, text in enumerate(arguments, 1):
        null = text.endswith("?")
        what = text.rstrip("?")
        if what == "m":
            map_at = register
            found.append(Guard("guard_map", (register,)))
        elif what in ("k", "v", "V"):
            found.append(Guard(f"guard_{_PLAIN[what]}", (map_at, register), 0, null,
                               "write" if what == "V" else "read"))
        elif what in ("r", "w", "W"):
            # Null may stand there with a size of 0, which these guards let pass.
            found.append(Guard("guard_read" if what == "r" else "guard_write", (register, register + 1), 0, False,
                               "read" if what == "r" else "write"))
        elif what[:1] in "frlw" and what[1:].isdigit():
            write = what[0] in "lw"
            found.append(Guard("guard_write" if write else "guard_read", (register,), int(what[1:]), null,
                               "write" if write else "read"))
        elif what == "c" and sees:
            found.append(Guard("guard_context", (register,)))
        elif what in ("rec", "dyn", "mask"):
            found.append(Guard(f"guard_{what}".replace("_rec", "_record").replace("_dyn", "_dynptr"), (register,)))
        elif what in ("dyn0", "timer", "kptr"):
            found.append(Guard("guard_write", (register,), 8 if what == "kptr" else 16, null, "write"))
    return found


def guarded(number: int, body: Callable[[Any, list[int]], int | None], slot: int) -> Callable[..., int | None]:
    """The same call, which faults unless its arguments pass."""
    plan = [(getattr(_guards, guard.name), guard) for guard in guards_of(number)]
    if not plan:
        return body

    def call(interpreter: Any, r: list[int]) -> int | None:
        for check, guard in plan:
            first = r[guard.registers[-1] if guard.name in _OF_MAPS else guard.registers[0]]
            if guard.null and not first:
                continue
            words = [r[register] for register in guard.registers] + [guard.size] * (guard.size > 0)
            if not check(*words):
                raise Fault(guard.kind, slot, first)
        return body(interpreter, r)

    return call


_OF_MAPS = frozenset(("guard_key", "guard_value", "guard_room"))

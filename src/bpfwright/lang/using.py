"""Uses of declared operations: what the verifier would refuse where they stand, said here with the line."""
from __future__ import annotations


from bpfwright._typing import Any
from bpfwright.lang import flow as f
from bpfwright.lang.fitting import Fitting
from bpfwright.lang.site import CallSite
from bpfwright.lang.source import Source
from bpfwright.spec.dialect import Operation
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import BOOLEAN, Constant, Meaning, Nothing, OneOf, Optional, Reference, TupleOf
from bpfwright.spec.program import refused_field
from bpfwright.types.ctype import Opaque, RecordType

__all__ = ["FRAMES", "Using", "in_packet"]

FRAMES = 8
"""Functions that may be on the stack at once, the program among them (MAX_CALL_FRAMES of kernel/bpf/verifier.c)."""


class Using(Fitting):
    """The part of the checker that knows what a point of the program rules out: locks, moved packets, frames."""

    job: Any
    source: Source
    flow: f.Flow | None
    kernel_locks: int
    moved: set[str]
    moves: int
    held: list[tuple[str, str]]
    acquired: dict[str, str]
    leaves: bool
    frames: int
    depth: int
    callbacks: int

    def perform(self, site: CallSite, operation: Operation) -> Meaning:
        """What an operation gives, where it may be used at all."""
        self.calls_out(site.node, operation.calls)
        self.map_fits(site)
        meaning = operation.check(site)
        if operation.leaves:
            self.leave_program(site.node)
        moves = operation.moves_packet
        if moves(site) if callable(moves) else moves:
            self.move_packet()
        return meaning

    # locks

    def calls_out(self, node: Any, calls: bool = True) -> None:
        """Refuse what calls into the kernel while it forbids all calls."""
        if calls and self.kernel_locks:
            self.refuse(node, "nothing may be called while a spin lock is held", "Call it before the `with`.")

    def map_fits(self, site: CallSite) -> None:
        """Note a map whose values hold what this type of program may not use, even where it is left alone.

        It is refused when the whole program was looked at: where the lock or timer is used is a better place to say it.
        """
        declaration = site.receiver.value if isinstance(site.receiver, Constant) else None
        ctype = declaration.value if isinstance(declaration, MapDeclaration) else None
        if not isinstance(ctype, RecordType) or getattr(declaration, "space", "") != "map" or not self.job.program:
            return
        for field in ctype.cls.__layout__().fields.values():
            said = refused_field(self.job.program, field.type.name, self.job.target) \
                if isinstance(field.type, Opaque) else None
            if said and self.job.unfit is None:
                self.job.unfit = (self.source, site.node, *said)

    # what must be given back

    def acquires(self, node: Any, name: str) -> None:
        """A reference that a kernel function gave is called `name`, and held to this function's end."""
        if not getattr(getattr(node, "operation", None), "acquires", False):
            return
        assert self.flow is not None
        key = f" held {id(node)}"
        self.flow = {**self.flow, key: BOOLEAN}
        self.acquired[key] = name

    def leave_program(self, node: Any) -> None:
        """A tail call: it comes back only if it fails, so nothing may be held."""
        assert self.flow is not None
        self.leaves = True
        for what, name in self.held:
            if not isinstance(self.flow.get(name), Nothing):
                self.refuse(node, f"{what} is held here, and a tail call would not give it back",
                            "Leave the `with` first, and call after it.")
        for key, name in self.acquired.items():
            if key in self.flow and not isinstance(self.flow.get(name), Nothing):
                self.refuse(node, f"{name} is a reference that is held until the function ends, and a tail call would "
                            "not give it back", "Take and use it in a function of its own, and call after that.")

    def still_held(self) -> list[tuple[str, str]]:
        """What a function that is inlined here finds held already."""
        assert self.flow is not None
        found = [what for what, name in self.held if not isinstance(self.flow.get(name), Nothing)]
        found += [name for key, name in self.acquired.items()
                  if key in self.flow and not isinstance(self.flow.get(name), Nothing)]
        return [(what, "") for what in found]

    # packets

    def move_packet(self) -> None:
        """What was found in the packet is not there any more."""
        assert self.flow is not None
        self.job.moves_packet = True
        self.moves += 1
        gone = {name for name, meaning in self.flow.items() if in_packet(meaning)}
        self.moved |= gone
        self.flow = {name: meaning for name, meaning in self.flow.items() if name not in gone}

    def stays(self, node: Any, meaning: Meaning, moves: int) -> None:
        """Refuse a value that was found before something beside it moved the packet."""
        if moves != self.moves and in_packet(meaning):
            self.refuse(node, "the packet moves before this is used", "Move it in a statement before.")

    # functions

    def enters_frame(self, node: Any, name: str, frames: int) -> None:
        """A call of a function that is on the stack with `frames` that it calls in turn."""
        self.frames = max(self.frames, frames + 1)
        if self.depth + 1 + frames > FRAMES:
            self.refuse(node, f"{name} makes {self.depth + 1 + frames} functions on the stack, and the kernel allows "
                        f"{FRAMES}", "Remove @subprogram from some of them: plain functions are inlined.")


def in_packet(meaning: Meaning) -> bool:
    """Whether a value points into the packet."""
    match meaning:
        case Reference(space=space):
            return "packet" in space
        case Optional(inner=inner):
            return in_packet(inner)
        case OneOf(choices=items) | TupleOf(items=items):
            return any(map(in_packet, items))
    return False


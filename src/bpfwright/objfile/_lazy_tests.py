"""Finds every test of a stand-in's result when the compiler put other branches between: each can ask for itself."""
from __future__ import annotations

from struct import Struct

__all__ = ["tests_of"]

State = tuple[int, frozenset[int]]
_JUMP, _JUMP32, _ARITHMETIC, _ARITHMETIC64, _LOAD, _STORE, _STORE_NUMBER = 0x05, 0x06, 0x04, 0x07, 0x01, 0x03, 0x02
_GO, _CALL, _EXIT, _WIDE, _MOVE, _MOVES, _ATOMIC, _FROM_REGISTER = 0x00, 0x80, 0x90, 0x18, 0xBF, (0xB4, 0xB7, 0xBC,
                                                                                                 0xBF), 0xC0, 0x08


def tests_of(code: bytes | bytearray, call: int, slot: Struct,
             is_test: frozenset[tuple[int, int]]) -> set[int] | None:
    """The tests of the result of the call; None where it is used otherwise, or where another value meets it."""
    walk = _Walk(code, slot, is_test)
    if not walk.follow((call + 1, frozenset({0}))) or not walk.tests:
        return None
    live = walk.live()
    places = {at for at, _ in live}
    if any(at in places and (at, holders) not in live for at, holders in walk.seen):
        return None
    for at, following in walk.all_edges():
        if at not in places and at != call and places & set(following):
            return None
    return walk.tests


class _Walk:
    """Every way on from the call, as far as a register holds its result."""

    def __init__(self, code: bytes | bytearray, slot: Struct, is_test: frozenset[tuple[int, int]]) -> None:
        self.code = code
        self.slot = slot
        self.is_test = is_test
        self.seen: set[State] = set()
        self.edges: dict[State, list[State]] = {}
        self.ends: set[State] = set()
        self.tests: set[int] = set()

    def follow(self, start: State) -> bool:
        """Whether nothing but tests and copies uses the result."""
        paths = [start]
        while paths:
            state = paths.pop()
            if state in self.seen:
                continue
            self.seen.add(state)
            found = self.step(state)
            if found is None:
                return False
            self.edges[state] = found
            paths += found
        return True

    def step(self, state: State) -> list[State] | None:
        at, holders = state
        if 8 * at + 8 > len(self.code):
            return None
        opcode, registers, _, imm = self.slot.unpack_from(self.code, 8 * at)
        target, source, kind = registers & 15, registers >> 4, opcode & 7
        if (opcode, imm) in self.is_test and target in holders:
            self.tests.add(at)
            self.ends.add(state)
            return []
        if kind in (_JUMP, _JUMP32):
            if opcode & 0xF0 == _CALL:
                return [] if holders == {0} else None  # the call's own result takes the place of ours
            if opcode & 0xF0 == _EXIT:
                return None if 0 in holders else []
            reads = {target, source if opcode & _FROM_REGISTER else target} if opcode & 0xF0 != _GO else set()
        elif opcode == _MOVE and source in holders:
            return [(at + 1, holders | {target})]
        else:
            used = _reads(opcode, target, source)
            if used is None:
                return None
            reads = used
            if kind not in (_STORE, _STORE_NUMBER):
                if reads & holders:
                    return None
                holders -= {target}
        if reads & holders:
            return None
        return [(following, holders) for following in self.following(at)] if holders else []

    def following(self, at: int) -> list[int]:
        """Where control may be after an instruction."""
        opcode, _, offset, imm = self.slot.unpack_from(self.code, 8 * at)
        if opcode & 7 not in (_JUMP, _JUMP32) or opcode & 0xF0 == _CALL:
            return [at + (2 if opcode == _WIDE else 1)]
        if opcode & 0xF0 == _EXIT:
            return []
        if opcode & 0xF0 == _GO:
            return [at + 1 + (offset if opcode & 7 == _JUMP else imm)]
        return [at + 1, at + 1 + offset]

    def all_edges(self) -> list[tuple[int, list[int]]]:
        """(instruction, those that may follow) of the whole code."""
        found, at = [], 0
        while 8 * at < len(self.code):
            found.append((at, self.following(at)))
            at += 2 if self.code[8 * at] == _WIDE else 1
        return found

    def live(self) -> set[State]:
        """The states from which a test is reached."""
        found = set(self.ends)
        grown = True
        while grown:
            more = {state for state, onward in self.edges.items() if state not in found and found & set(onward)}
            grown = bool(more)
            found |= more
        return found


def _reads(opcode: int, target: int, source: int) -> set[int] | None:
    """The registers that an instruction without a jump needs; None for what is not looked into."""
    kind = opcode & 7
    if kind == _LOAD:
        return {source}
    if kind == _STORE_NUMBER:
        return {target}
    if kind == _STORE:
        return None if opcode & 0xE0 == _ATOMIC else {target, source}
    if kind in (_ARITHMETIC, _ARITHMETIC64):
        found = {target} if opcode not in _MOVES else set()
        return found | {source} if opcode & _FROM_REGISTER else found
    return set() if opcode == _WIDE else None

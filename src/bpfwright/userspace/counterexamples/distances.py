"""How far each instruction of a program is from one that is looked for."""
from __future__ import annotations

from bisect import bisect_right

from bpfwright.userspace.code import Code
from bpfwright.userspace.counting import is_branch

__all__ = ["FAR", "distances"]

FAR = 100_000
_EXIT, _JA, _JA32, _CALL, _MAY_GOTO = 0x95, 0x05, 0x06, 0x85, 0xE5


def distances(code: Code, target: int) -> list[int]:
    """Instructions to go from each slot to the target, along jumps, into functions and back; FAR where no way leads."""
    before: dict[int, list[int]] = {}
    behind_calls: dict[int, list[int]] = {}
    for slot, each in enumerate(code.slots):
        if each is None:
            continue
        opcode = each.opcode
        following = [] if opcode in (_EXIT, _JA, _JA32) else [slot + each.slots]
        if opcode in (_JA, _JA32, _MAY_GOTO) or is_branch(opcode):
            following.append(code.target(slot))
        begins = code.target(slot) if opcode == _CALL and each.src == 1 else (
            slot + 1 + each.imm if opcode == 0x18 and each.src == 4 else -1)
        if begins >= 0:
            following.append(begins)
            behind_calls.setdefault(begins, []).append(slot + each.slots)
        for one in following:
            before.setdefault(one, []).append(slot)
    for slot, each in enumerate(code.slots):
        if each is not None and each.opcode == _EXIT:
            function = code.starts[bisect_right(code.starts, slot) - 1]
            for one in behind_calls.get(function, ()):
                before.setdefault(one, []).append(slot)
    found = [FAR] * len(code.slots)
    if not 0 <= target < len(found):
        return [0] * len(found)
    found[target] = 0
    level = [target]
    while level:
        following_level = []
        for slot in level:
            for one in before.get(slot, ()):
                if found[one] == FAR:
                    found[one] = found[slot] + 1
                    following_level.append(one)
        level = following_level
    return found

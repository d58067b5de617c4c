"""Blocks that nothing goes to are dropped; the rest are numbered in the order in which they are reached."""
from __future__ import annotations

from bpfwright.lang import ir

__all__ = ["rewrite"]


def rewrite(function: ir.Function) -> None:
    """Keep what the entry reaches."""
    order: list[int] = []
    seen: set[int] = set()
    work = [0]
    while work:
        number = work.pop()
        if number in seen:
            continue
        seen.add(number)
        order.append(number)
        work.extend(reversed(list(function.blocks[number].ops[-1].targets())))
    renumbered = {old: new for new, old in enumerate(order)}
    kept = [function.blocks[old] for old in order]
    for new, block in enumerate(kept):
        block.id = new
        for op in block.ops:
            if any(True for _ in op.targets()):
                op.args = tuple(renumbered[int(arg)] if kind == "b" else arg for kind, arg in ir.operand_kinds(op))
    function.blocks = kept

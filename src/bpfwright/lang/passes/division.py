"""Floor division and modulo of signed numbers, as Python defines them, out of the unsigned division that BPF v1-v3 has.

q = |a| / |b|, r = |a| % |b|. With equal signs: q and r (with b's sign). With different signs and r != 0: -q - 1 and
b's sign times (|b| - r).
"""
from __future__ import annotations

from bpfwright.lang import ir

__all__ = ["rewrite"]


def rewrite(function: ir.Function) -> None:
    """Expand `floordiv` and `floormod`."""
    for block in function.blocks:
        ops: list[ir.Op] = []
        for op in block.ops:
            if op.name in ("floordiv", "floormod"):
                _Expansion(function, op, ops).run()
            else:
                ops.append(op)
        block.ops = ops


class _Expansion:
    def __init__(self, function: ir.Function, op: ir.Op, ops: list[ir.Op]) -> None:
        self.function = function
        self.op = op
        self.ops = ops

    def emit(self, name: str, *args: int, type: str = "i64") -> int:
        id = self.function.value(type)
        self.ops.append(ir.Op(name, type, args, id, self.op.span))
        return id

    def run(self) -> None:
        a, b = (int(arg) for arg in self.op.args)
        zero = self.emit("const", 0)
        a_negative = self.emit("slt", a, zero, type="i1")
        b_negative = self.emit("slt", b, zero, type="i1")
        dividend = self.emit("select", a_negative, self.emit("sub", zero, a), a)
        divisor = self.emit("select", b_negative, self.emit("sub", zero, b), b)
        differ = self.emit("xor", a_negative, b_negative, type="i1")
        rest = self.emit("urem", dividend, divisor)
        uneven = self.emit("ne", rest, zero, type="i1")
        if self.op.name == "floordiv":
            quotient = self.emit("udiv", dividend, divisor)
            down = self.emit("zext", self.emit("and", differ, uneven, type="i1"))
            negative = self.emit("sub", self.emit("sub", zero, quotient), down)
            self.finish("select", differ, negative, quotient)
        else:
            turned = self.emit("select", self.emit("and", differ, uneven, type="i1"),
                               self.emit("sub", divisor, rest), rest)
            self.finish("select", b_negative, self.emit("sub", zero, turned), turned)

    def finish(self, name: str, *args: int) -> None:
        self.ops.append(ir.Op(name, "i64", args, self.op.id, self.op.span))

"""Known bits and bounds against brute force: whatever numbers go in, the result holds what comes out."""
from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from bpfwright.userspace.verifier import values as V

NARROW = 5


def members(value: int, mask: int, bits: int = NARROW) -> list[int]:
    return [number for number in range(1 << bits) if number & ~mask == value]


def tnums(bits: int = NARROW) -> list[tuple[int, int]]:
    return [(value, mask) for mask in range(1 << bits) for value in range(1 << bits) if not value & mask]


def holds(tnum: tuple[int, int], number: int) -> bool:
    return number & ~tnum[1] == tnum[0]


@pytest.mark.parametrize(("make", "real"), [
    (V.tnum_add, lambda a, b: a + b), (V.tnum_sub, lambda a, b: a - b), (V.tnum_and, lambda a, b: a & b),
    (V.tnum_or, lambda a, b: a | b), (V.tnum_xor, lambda a, b: a ^ b), (V.tnum_mul, lambda a, b: a * b),
    (V.tnum_mul_old, lambda a, b: a * b)], ids=["add", "sub", "and", "or", "xor", "mul", "mul_old"])
def test_a_tnum_holds_every_result(make: Callable[..., tuple[int, int]],
                                   real: Callable[[int, int], int]) -> None:
    small = tnums(3)
    for a in small:
        for b in small:
            result = make(*a, *b)
            assert not result[0] & result[1]
            for x in members(*a, bits=3):
                for y in members(*b, bits=3):
                    assert holds(result, real(x, y) & V.U64), (a, b, x, y)


def test_a_range_is_held_by_its_tnum() -> None:
    for low in range(40):
        for high in range(low, 40):
            tnum = V.tnum_range(low, high)
            assert all(holds(tnum, number) for number in range(low, high + 1))


def test_the_next_member_of_a_tnum() -> None:
    for value, mask in tnums():
        inside = members(value, mask)
        for number in range(1 << NARROW):
            above = [member for member in inside if member > number]
            assert V.tnum_step(value, mask, number) == (min(above) if above else max(inside))


def test_an_intersection_holds_what_both_do() -> None:
    for a in tnums(3):
        for b in tnums(3):
            both = set(members(*a, bits=3)) & set(members(*b, bits=3))
            if both:
                assert set(members(*V.tnum_intersect(*a, *b), bits=3)) == both


def reg_of(numbers: list[int]) -> V.Reg:
    """The narrowest register that holds some numbers."""
    reg = V.unknown()
    union = 0
    for number in numbers:
        union |= number ^ numbers[0]
    reg.mask, reg.value = union, numbers[0] & ~union
    reg.umin, reg.umax = min(numbers), max(numbers)
    signed = [V.s64(number) for number in numbers]
    reg.smin, reg.smax = min(signed), max(signed)
    low = [number & V.U32 for number in numbers]
    reg.u32min, reg.u32max = min(low), max(low)
    low_signed = [V.s32(number) for number in numbers]
    reg.s32min, reg.s32max = min(low_signed), max(low_signed)
    V.sync(reg)
    return reg


def inside(reg: V.Reg, number: int) -> bool:
    low = number & V.U32
    return (number & ~reg.mask == reg.value and reg.umin <= number <= reg.umax
            and reg.smin <= V.s64(number) <= reg.smax and reg.u32min <= low <= reg.u32max
            and reg.s32min <= V.s32(number) <= reg.s32max)


def draw(random: Random) -> list[int]:
    """A few numbers near one another, near a power of two, or anywhere."""
    kind = random.randrange(4)
    base = random.choice((0, 1 << 31, 1 << 32, 1 << 63, V.U64, random.getrandbits(64), random.getrandbits(8)))
    if kind == 0:
        return [base & V.U64]
    spread = (4, 1 << 16, 1 << 40)[kind - 1]
    return [(base + random.randrange(-spread, spread)) & V.U64 for _ in range(random.randint(2, 5))]


def shifted(op: str, number: int, by: int, bits: int) -> int:
    number &= (1 << bits) - 1
    if op == "lsh":
        return number << by & (1 << bits) - 1
    if op == "rsh":
        return number >> by
    signed = number - (1 << bits) if number >> bits - 1 else number
    return signed >> by & (1 << bits) - 1


REAL: dict[str, Callable[[int, int], int]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "and": lambda a, b: a & b,
    "or": lambda a, b: a | b, "xor": lambda a, b: a ^ b}


@pytest.mark.parametrize("op", sorted(REAL))
@pytest.mark.parametrize("bits", [64, 32])
def test_bounds_hold_every_result(op: str, bits: int) -> None:
    random = Random(f"{op} {bits}")
    for _ in range(400):
        left, right = draw(random), draw(random)
        d, s = reg_of(left), reg_of(right)
        (V.alu64 if bits == 64 else V.alu32)(op, d, s)
        for x in left:
            for y in right:
                result = REAL[op](x & (1 << bits) - 1, y & (1 << bits) - 1) & (1 << bits) - 1
                assert inside(d, result), (op, bits, hex(x), hex(y))


@pytest.mark.parametrize("op", ["lsh", "rsh", "arsh"])
@pytest.mark.parametrize("bits", [64, 32])
def test_shifts_hold_every_result(op: str, bits: int) -> None:
    random = Random(f"{op} {bits}")
    for _ in range(400):
        left, by = draw(random), random.randrange(bits)
        d = reg_of(left)
        (V.alu64 if bits == 64 else V.alu32)(op, d, V.known(by))
        assert all(inside(d, shifted(op, x, by, bits)) for x in left), (op, bits, by, left)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_cut_and_extended_numbers(size: int) -> None:
    random = Random(size)
    for _ in range(500):
        numbers = draw(random)
        cut, extended = reg_of(numbers), reg_of(numbers)
        V.coerce(cut, size)
        V.sign_extend(extended, size)
        for number in numbers:
            low = number & (1 << 8 * size) - 1
            assert inside(cut, low)
            assert inside(extended, (low - (1 << 8 * size) if low >> 8 * size - 1 else low) & V.U64)


def test_negation_holds_every_result() -> None:
    random = Random(7)
    for _ in range(400):
        numbers = draw(random)
        wide, narrow = reg_of(numbers), reg_of(numbers)
        V.alu64("neg", wide, wide)
        V.alu32("neg", narrow, narrow)
        for number in numbers:
            assert inside(wide, -number & V.U64)
            assert inside(narrow, -number & V.U32)


def test_what_cannot_be_is_forgotten() -> None:
    reg = V.unknown()
    reg.umin, reg.umax = 9, 3
    V.sane(reg)
    assert (reg.umin, reg.umax) == (0, V.U64)

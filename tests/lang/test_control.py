"""Control flow, names and functions of the dialect, three ways."""
from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import pytest
from tests.lang.threeway import MASK, Kernel, agree, define

from bpfwright import i8, i16
from bpfwright.errors import CompileError
from bpfwright.lang.native import native

pytestmark = pytest.mark.kernel

BODIES = {
    "chain": "return 0 <= a < 10 < b",
    "chain_of_four": "return 1 < a <= b != 7",
    "and": "return a > 3 and b < 5",
    "or": "return a > 3 or b < 5",
    "and_or_not": "return not (a > 3 and b < 5) or a == b",
    "value_or": "return a or b",
    "value_and": "return a and b",
    "conditional": "return a if a > b else b",
    "nested_conditional": "return 1 if a > b else 2 if a == b else 3",
    "if_elif_else": "if a > 10:\n        return 1\n    elif a > 5:\n        return 2\n    else:\n        return 3",
    "assigned_in_branches": "if a > b:\n        n = a\n    else:\n        n = -b\n    return n * 2",
    "walrus": "if (n := a + b) > 10:\n        return n\n    return -n",
    "walrus_in_and": "if a > 0 and (n := a * 2) > 8:\n        return n\n    return 0",
    "tuple_swap": "x, y = a, b\n    x, y = y, x\n    return x * 3 + y",
    "tuple_index": "t = (a, b, 7)\n    return t[0] + t[-1]",
    "in_tuple": "return a in (1, 2, b)",
    "not_in_tuple": "return a not in (0, 255, 7)",
    "for_range": "n = 0\n    for i in range(10):\n        n += i * a\n    return n",
    "for_range_start": "n = 0\n    for i in range(3, 12):\n        n += i ^ b\n    return n",
    "for_range_step": "n = 0\n    for i in range(0, 30, 4):\n        n += i\n    return n + a",
    "for_range_down": "n = 0\n    for i in range(10, -3, -3):\n        n = n * 2 + i\n    return n",
    "for_reversed": "n = 0\n    for i in reversed(range(2, 9)):\n        n = n * 3 + i\n    return n",
    "for_variable": "n = 0\n    for i in range(a & 15):\n        n += i + 1\n    return n",
    "for_remainder": "n = a\n    for i in range(a % 3):\n        for j in range(4, 30):\n            n ^= n * 31 + i\n            n ^= (n & 0xFFFF) * 77 + j\n    return n",
    "for_negative": "n = 0\n    for i in range(a % 7 - 5):\n        n += i + 1\n    for i in range(2, b % 9 - 3, 2):\n        n += i * 10\n    for i in range(3, a % 5 - 3, -1):\n        n += i * 1000\n    return n",
    "for_reversed_remainder": "n = 0\n    for i in reversed(range(1, a % 7)):\n        n = n * 3 + i\n    for i in reversed(range(b % 5 - 2, 4)):\n        n = n * 3 + i\n    return n",
    "for_that_settles_late": "x = 1\n    y = a\n    for i in range(3):\n        y, x = x, -y\n        if i > b:\n            break\n    return x * 3 + y",
    "for_signed_remainder": "n = a\n    m = b % 5 - 2\n    for i in range(m):\n        for j in range(4, 20):\n            n ^= (n & 0xFFFF) * 77 + j * i\n    return n",
    "for_variable_both": "n = 0\n    for i in range(a & 7, b & 31):\n        n += i\n    return n",
    "for_break": "n = 0\n    for i in range(20):\n        if i > (a & 15):\n            break\n        n += i\n    return n",
    "for_continue": "n = 0\n    for i in range(20):\n        if i % 3 == 0:\n            continue\n        n += i\n    return n",
    "for_return": "for i in range(20):\n        if i * i > (a & 127):\n            return i\n    return -1",
    "for_nested": "n = 0\n    for i in range(5):\n        for j in range(i, 5):\n            n += i * j + (b & 3)\n    return n",
    "for_values": "n = 0\n    for v in (3, 5, 9):\n        n = n * 10 + v\n    return n",
    "for_values_break": "n = 0\n    for v in (3, 5, 9):\n        if v > (a & 7):\n            break\n        n += v\n    return n",
    "for_tuple_of_names": "n = 0\n    for v in (a, b, 1):\n        n += v\n    return n",
    "while": "n = 0\n    i = 0\n    while i < 12:\n        n += i\n        i += 1\n    return n",
    "while_true": "i = 0\n    while True:\n        i += 1\n        if i * 3 > (a & 31):\n            break\n    return i",
    "while_and": "i = 0\n    while i < 20 and i * i < (b & 63):\n        i += 1\n    return i",
    "while_continue": "i = 0\n    n = 0\n    while i < 10:\n        i += 1\n        if i & 1:\n            continue\n        n += i\n    return n",
    "while_down": "n = 10\n    t = 0\n    while n > 0:\n        n -= 3\n        t += 1\n    return t",
    "while_in_while": "i = 0\n    n = 0\n    while i < 5:\n        i += 1\n        j = 0\n        while j < i:\n            j += 1\n            if n > (a & 63):\n                break\n            n += j\n        if j > 3:\n            return n - i\n    return n",
    "while_of_nothing": "i = 0\n    n = 0\n    j = 0\n    while i < 6:\n        i += 1\n        j = 0\n        while j < 3:\n            j += 1\n        if n == 0:\n            n = b & 3\n    return n + i + j",
    "compared_with_max": "n = 0\n    for i in range(9, 1, -2):\n        if not (b & 0xFFFF) - 0x8000 < i:\n            break\n        n += i\n    return n",
    "compared_with_u64_of_max": "m = u64(max((b & 0xFFFF) - 0x8000, 1))\n    n = 0\n    i = 0\n    while i < 9:\n        i += 1\n        if u64(a) > m:\n            n += i * 3 ^ n\n    return n",
    "match_values": "match a:\n        case 1:\n            return 10\n        case 2 | 3:\n            return 20\n        case _:\n            return 30",
    "match_guard": "match a:\n        case n if n > 100:\n            return n\n        case 7:\n            return 70\n        case _ if b > 3:\n            return b\n    return -1",
    "match_bind": "match a & 3:\n        case 0:\n            return 5\n        case n:\n            return n * 2",
    "match_as": "match a & 7:\n        case (1 | 2) as n:\n            return n + 100\n        case _:\n            return 0",
    "match_negative": "match -a:\n        case -1:\n            return 1\n        case -2:\n            return 2\n    return 3",
    "augmented_where_not_none": "n = a if a > 5 else None\n    if n is None:\n        return b\n    n += 7\n    n *= 2\n    return n",
    "early_return": "if a == 0:\n        return b\n    a = b // a if a > 0 else 3\n    return a",
    "parameter_changed": "a = a + 1\n    b = a * 2\n    return a + b",
    "bool_arithmetic": "t = a > b\n    return t + (a == b) * 2 + 5",
    "bool_variable": "t = False\n    if a > 3:\n        t = True\n    return 1 if t else 2",
    "bool_chain": "t = a > 3\n    u = not t\n    return t and u or not u",
    "pass": "if a > b:\n        pass\n    return a",
    "big_constant": "return a ^ 0x1234_5678_9ABC_DEF0",
    "negative_constant": "return a + -5 - -7",
    "wide_product": "return a * b * 3",
    "mixed_widths": "n = u8(a) + u16(b)\n    return n << 3",
    "min_of_three": "return min(a, b, 9)",
    "max_nested": "return max(min(a, 50), min(b, 60), 3)",
    "clamp": "return 0 if a < 0 else 100 if a > 100 else a",
    "gcd": "x = abs(a) & 0xFFFF\n    y = abs(b) & 0xFFFF\n    for _ in range(40):\n        if y == 0:\n            break\n        x, y = y, x % y\n    return x",
    "collatz": "n = (a & 255) + 1\n    steps = 0\n    for _ in range(60):\n        if n == 1:\n            break\n        n = n // 2 if n % 2 == 0 else u32(3 * n + 1)\n        steps += 1\n    return steps",
    "popcount": "n = a & 0xFFFFFFFF\n    c = 0\n    while n > 0:\n        c += n & 1\n        n >>= 1\n    return c",
    "checksum": "n = (a & 0xFFFF) + (b & 0xFFFF)\n    n = (n & 0xFFFF) + (n >> 16)\n    return ~n & 0xFFFF",
    "swap_bytes": "n = u32(a)\n    return (n >> 24) | ((n >> 8) & 0xFF00) | ((n & 0xFF00) << 8) | ((n & 0xFF) << 24)",
    "fnv": "h = 2166136261\n    for i in range(4):\n        h = u32((h ^ (a >> (i * 8) & 255)) * 16777619)\n    return h",
    "is_power_of_two": "n = u32(a)\n    return n != 0 and n & (n - 1) == 0",
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize(("a", "b"), [("i32", "u8"), ("u16", "i16")])
def test_body(name: str, a: str, b: str) -> None:
    agree(define(f"def f(a: {a}, b: {b}) -> i64:\n    {BODIES[name]}\n"), examples=15)


FUNCTIONS = {
    "inlined": """
def twice(x):
    return x * 2
def f(a: i32, b: u8) -> i64:
    return twice(a) + twice(b)
""",
    "inlined_with_early_returns": """
def sign(x):
    if x < 0:
        return -1
    if x > 0:
        return 1
    return 0
def f(a: i32, b: i16) -> i64:
    return sign(a) * 10 + sign(b)
""",
    "inlined_default": """
def scale(x, by=3):
    return x * by
def f(a: i32) -> i64:
    return scale(a) + scale(a, 5) + scale(by=2, x=a)
""",
    "inlined_two_deep": """
def inner(x, y):
    return x - y
def outer(x):
    return inner(x, 1) + inner(1, x)
def f(a: i32) -> i64:
    return outer(a) + inner(a, 3)
""",
    "inlined_loop": """
def total(n):
    t = 0
    for i in range(n):
        t += i
    return t
def f(a: u8) -> i64:
    return total(a & 15) + total(4)
""",
    "inlined_tuple": """
def divide(x, y):
    return x // y, x % y
def f(a: i32, b: u8) -> i64:
    q, r = divide(a, b + 1)
    return q * 1000 + r
""",
    "inlined_width": """
def low(x: u8):
    return x + 1
def f(a: u8) -> i64:
    return low(a)
""",
    "subprogram": """
@subprogram
def weigh(hits: u64, rounds: u8) -> u64:
    total = hits
    for i in range(rounds):
        total = u64(total * 31 + i)
    return total
def f(a: u32, b: u8) -> i64:
    return weigh(a, b & 15) ^ weigh(a, 3)
""",
    "judged_alone": """
@judged_alone
def weigh(hits: u64, rounds: u8) -> u64:
    total = hits
    for i in range(rounds & 15):
        total = u64(total * 31 + i)
    return total
@judged_alone
def odd(x: i64) -> bool:
    return x % 2 == 1
def f(a: u32, b: u8) -> i64:
    return weigh(a, b) ^ weigh(a, 3) if odd(a) else i64(b)
""",
    "subprogram_bool": """
@subprogram
def even(x: i64) -> bool:
    return x % 2 == 0
def f(a: i32) -> i64:
    return 1 if even(a) else 2
""",
    "subprogram_calls_subprogram": """
@subprogram
def one(x: i64) -> i64:
    return x + 1
@subprogram
def two(x: i64) -> i64:
    return one(one(x)) * 3
def f(a: i32) -> i64:
    return two(a) - one(a)
""",
    "eight_frames": """
@subprogram
def s1(x: i64) -> i64:
    return x * 3 + 1
@subprogram
def s2(x: i64) -> i64:
    return s1(x) ^ 5
@subprogram
def s3(x: i64) -> i64:
    return s2(x) + 7
@subprogram
def s4(x: i64) -> i64:
    return s3(x) - 2
@subprogram
def s5(x: i64) -> i64:
    return s4(x) | 1
@subprogram
def s6(x: i64) -> i64:
    return s5(x) + 9
@subprogram
def s7(x: i64) -> i64:
    return s6(x) & 0xFFFFFFFF
def f(a: i16) -> i64:
    return s7(a)
""",
    "constants": """
LIMIT = 40
OFFSETS = (3, 5, 8)
def f(a: i16) -> i64:
    n = LIMIT
    for o in OFFSETS:
        n += o * a
    return n if n > LIMIT else -LIMIT
""",
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    agree(define(FUNCTIONS[name]), examples=20)


class Colour(IntEnum):
    RED = 1
    GREEN = 2
    BLUE = -3


ENUMS = {
    "member": "return Colour.GREEN if a > 3 else Colour.BLUE",
    "compare": "return a == Colour.RED or a == Colour.BLUE",
    "arithmetic": "return a + Colour.GREEN * 2",
    "match": "match Colour(a):\n        case Colour.RED:\n            return 10\n        case Colour.GREEN | Colour.BLUE:\n            return 20\n        case _:\n            return 30",
}


@pytest.mark.parametrize("name", ["member", "compare", "arithmetic"])
def test_enums(name: str) -> None:
    agree(define(f"def f(a: i8) -> i64:\n    {ENUMS[name]}\n", Colour=Colour))


NARROW: dict[str, tuple[str, str, Callable[[int], int]]] = {
    "inlined": ("def g(x) -> u8:\n    return x * 2\n", "g(a)", lambda a: a * 2 & 0xFF),
    "inlined_signed": ("def g(x) -> i16:\n    if x > 7:\n        return x * 300\n    return 1\n", "g(a)",
                       lambda a: i16(a * 300) if a > 7 else 1),
    "inlined_in_a_loop": ("def g(x) -> u8:\n    for i in range(1000):\n        if i > 20:\n            return x * i\n"
                          "    return 3\n", "g(a)", lambda a: a * 21 & 0xFF),
    "subprogram": ("@subprogram\ndef g(x: i64) -> u16:\n    return x * 300\n", "g(a) + (g(a) > 65535)",
                   lambda a: a * 300 & 0xFFFF),
    "big_endian": ("def g(x) -> be16:\n    return x * 300\n", "g(a)", lambda a: a * 300 & 0xFFFF),
    "or_none": ("def g(x) -> u8 | None:\n    return None if x == 3 else x * 2\n", "h(g(a))",
                lambda a: 1000 if a == 3 else a * 2 & 0xFF),
    "variable_or_none": ("def g(x):\n    y: u8 | None = None if x == 3 else x * 2\n    return y\n", "h(g(a))",
                         lambda a: 1000 if a == 3 else a * 2 & 0xFF),
    "fits": ("def g(x) -> i16:\n    return x * 2\n", "g(a)", lambda a: a * 2),
}


@pytest.mark.parametrize("name", NARROW)
def test_a_declared_result_is_cut_to_its_width(name: str) -> None:
    """As `x: u8 = ...` is; Python does not look at the annotation."""
    source, use, wanted = NARROW[name]
    help = "def h(x):\n    if x is None:\n        return 1000\n    return x\n"
    function = define(f"{source}{help}def f(a: u8) -> i64:\n    return {use}\n")
    kernel = Kernel(function)
    try:
        for way in (native(function, opt=0), native(function, opt=2), kernel):
            assert [way(a) & MASK for a in range(0, 256, 3)] == [int(wanted(a)) & MASK for a in range(0, 256, 3)]
    finally:
        kernel.close()


@pytest.mark.parametrize("value", ["a * 3", "a + 70000"])
def test_a_result_of_native_is_cut(value: str) -> None:
    assert native(define(f"def f(a: u8) -> i8:\n    return {value}\n"))(100) == i8(eval(value, {"a": 100}))


@pytest.mark.parametrize(("result", "value", "says"), [("u8", "300", "300 does not fit u8"),
                                                       ("bool", "a * 4", "does not fit bool")])
def test_a_result_that_does_not_fit_is_refused(result: str, value: str, says: str) -> None:
    with pytest.raises(CompileError, match=says):
        native(define(f"def g(a) -> {result}:\n    return {value}\ndef f(a: u8) -> i64:\n    return g(a)\n"))

"""Operators have Python's meaning on every width, whatever the signs; three ways."""
from __future__ import annotations

import pytest
from tests.lang.threeway import agree, define

pytestmark = pytest.mark.kernel

NARROW = ["u8", "i8", "u16", "i16", "u32", "i32"]
PAIRS = [("u8", "u8"), ("i8", "u8"), ("u16", "i16"), ("u32", "u32"), ("i32", "u32"), ("i32", "i32"), ("u8", "i32"),
         ("i16", "u32"), ("u32", "i8"), ("i32", "u16")]
WIDE = [("u64", "u64"), ("i64", "i64"), ("u64", "u32"), ("i64", "i32"), ("u32", "u64"), ("i8", "i64")]


@pytest.mark.parametrize("operator", ["+", "-", "*", "&", "|", "^"])
@pytest.mark.parametrize(("a", "b"), PAIRS + WIDE)
def test_binary(operator: str, a: str, b: str) -> None:
    agree(define(f"def f(a: {a}, b: {b}) -> i64:\n    return a {operator} b\n"))


@pytest.mark.parametrize("operator", ["//", "%"])
@pytest.mark.parametrize(("a", "b"), PAIRS + WIDE)
def test_floor_division_by_what_is_tested(operator: str, a: str, b: str) -> None:
    text = (f"def f(a: {a}, b: {b}) -> i64:\n"
            f"    if b > 0:\n        return a {operator} b\n"
            f"    if b < 0:\n        return a {operator} b\n"
            f"    return 77\n")
    if b.startswith("u"):
        text = f"def f(a: {a}, b: {b}) -> i64:\n    if b == 0:\n        return 77\n    return a {operator} b\n"
    agree(define(text))


@pytest.mark.parametrize("operator", ["//", "%"])
@pytest.mark.parametrize("divisor", [1, 2, 3, 7, 10, 256, 1000, -1, -2, -3, -10, 4294967297])
@pytest.mark.parametrize("a", ["i64", "i32"])
def test_floor_division_by_constants(operator: str, divisor: int, a: str) -> None:
    agree(define(f"def f(a: {a}) -> i64:\n    return a {operator} {divisor}\n"))


@pytest.mark.parametrize("operator", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize(("a", "b"), [*PAIRS, ("u64", "i64"), ("i64", "u64"), ("u64", "i8"), ("u64", "u64")])
def test_comparison(operator: str, a: str, b: str) -> None:
    agree(define(f"def f(a: {a}, b: {b}) -> bool:\n    return a {operator} b\n"))


@pytest.mark.parametrize("operator", ["<<", ">>"])
@pytest.mark.parametrize("a", ["u8", "i8", "u32", "i32", "u64", "i64"])
@pytest.mark.parametrize("count", ["b & 7", "b % 64", "b"])
def test_shift(operator: str, a: str, count: str) -> None:
    agree(define(f"def f(a: {a}, b: u8) -> i64:\n    return a {operator} ({count})\n"))


@pytest.mark.parametrize("operator", ["-", "~", "+", "not "])
@pytest.mark.parametrize("a", [*NARROW, "u64", "i64", "bool"])
def test_unary(operator: str, a: str) -> None:
    agree(define(f"def f(a: {a}) -> i64:\n    return {operator}a\n"))


@pytest.mark.parametrize("to", [*NARROW, "u64", "i64"])
@pytest.mark.parametrize("a", ["u64", "i64", "i8", "u32"])
def test_conversion_cuts(to: str, a: str) -> None:
    agree(define(f"def f(a: {a}) -> i64:\n    return {to}(a)\n"))


@pytest.mark.parametrize("name", ["min", "max"])
@pytest.mark.parametrize(("a", "b"), [("u8", "i8"), ("i32", "u32"), ("i64", "i64"), ("u64", "u64")])
def test_extremes(name: str, a: str, b: str) -> None:
    agree(define(f"def f(a: {a}, b: {b}) -> i64:\n    return {name}(a, b)\n"))


@pytest.mark.parametrize("call", ["abs(a)", "a.bit_length()", "a.bit_count()", "int(a)", "bool(a)", "a ** 2", "a ** 3"])
@pytest.mark.parametrize("a", ["i8", "u16", "i32", "u32"])
def test_functions_of_numbers(call: str, a: str) -> None:
    agree(define(f"def f(a: {a}) -> i64:\n    return {call}\n"))


@pytest.mark.parametrize("operator", ["+", "-", "*", "&", "|", "^", "<<", ">>", "//", "%"])
@pytest.mark.parametrize("a", ["u32", "i32", "i64"])
def test_augmented_local(operator: str, a: str) -> None:
    right = "(b & 31)" if operator in ("<<", ">>") else "(b | 1)"
    agree(define(f"def f(a: {a}, b: u8) -> i64:\n    n = a\n    n {operator}= {right}\n    return n\n"))


@pytest.mark.parametrize("width", [*NARROW, "u64", "i64"])
def test_annotated_local_has_its_width(width: str) -> None:
    text = f"def f(a: i64) -> i64:\n    n: {width} = {width}(a)\n    n = {width}(n + 1)\n    return n\n"
    agree(define(text))

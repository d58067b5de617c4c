"""Arithmetic, comparisons, logic, assignment operators, increments, casts."""
from __future__ import annotations

from tests.facets.trace.language.cases import Case, said, wrong

__all__ = ["CASES"]

C = "operators"
CASES: list[Case] = [
    said(C, "addition", "print(1 + 2);", "3"),
    said(C, "subtraction below zero", "print(1 - 2);", "-1"),
    said(C, "multiplication", "print(6 * 7);", "42"),
    said(C, "division cuts towards zero", "$x = (int64)-7; print($x / 2);", "-3"),
    said(C, "rest has the sign of the left side", "$x = (int64)-7; print($x % 3);", "-1"),
    said(C, "division by a variable that is 0", "$x = (uint64)0; print(5 / $x); print(-5 / $x);", "1\n1",
         warning="WARNING: division by zero: the result is 1"),
    said(C, "rest of a division by 0", "@z = 0; print(10 % @z); $a = 7; $a %= @z; print($a); clear(@z);", "1\n1",
         warning="division by zero"),
    wrong(C, "division by 0", "print(1 / 0);", "division by zero"),
    said(C, "precedence", "print(1 + 2 * 3 << 1);", "14"),
    said(C, "shifts", "print(1 << 10); print(1024 >> 3);", "1024\n128"),
    said(C, "bits", "print(6 & 3); print(6 | 3); print(6 ^ 3); print(~5);", "2\n7\n5\n-6"),
    said(C, "comparisons", "print(1 < 2); print(2 <= 1); print(1 == 1); print(1 != 1);", "true\nfalse\ntrue\nfalse"),
    said(C, "logic", "print(1 && 0); print(1 || 0); print(!5);", "false\ntrue\nfalse"),
    said(C, "logic stops early", "$x = 0; if (0 && $x++) { } if (1 || $x++) { } print($x);", "0"),
    said(C, "compound assignment", "$x = 5; $x += 3; $x *= 2; $x -= 1; $x /= 3; $x %= 4; $x <<= 4; $x |= 1; print($x);",
         "17"),
    said(C, "increments", "$x = 10; $y = $x--; $a = 10; $b = --$a; print(($x, $y, $a, $b));", "(9, 10, 9, 9)"),
    said(C, "cuts to a narrower type", "$x = 1 << 16; printf(\"%d %d\\n\", (uint16)$x, $x);", "0 65536"),
    said(C, "texts are compared", 'print("a" == "a"); print("a" != "b"); $x = "ab"; print($x == "abc");',
         "true\ntrue\nfalse"),
    wrong(C, "texts are not ordered", 'print("a" < "b");', "texts are not ordered"),
    said(C, "ternary", "$x = 5; print($x > 3 ? 1 : 2); print($x > 9 ? \"a\" : \"bcd\");", "1\nbcd"),
    said(C, "casts to arrays", '$a = (int8[8])12345; printf("%x %x\\n", $a[0], $a[1]); printf("%d\\n", (uint64)$a);',
         "39 30\n12345"),
    wrong(C, "tuples of what cannot be compared", 'print((1, comm) == (comm, 1));', "cannot be compared with `uint8`"),
    wrong(C, "tuples of stacks", "print((1, kstack) == (1, 2));", "cannot be compared"),
    wrong(C, "a division by what turns out to be 0", "print((uint64)pid / bswap((uint16)0));", "division by zero"),
]

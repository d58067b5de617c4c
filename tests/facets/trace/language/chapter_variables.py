"""Scratch variables: declaration, scope, types that grow, types that do not go together."""
from __future__ import annotations

from tests.facets.trace.language.cases import Case, said, wrong

__all__ = ["CASES"]

C = "variables"
CASES: list[Case] = [
    said(C, "assigned and read", "$x = 5; print($x);", "5"),
    said(C, "let with a value", "let $x = 5; print($x);", "5"),
    said(C, "let without a value is 0", "let $x; print($x); $x = 7; print($x);", "0\n7"),
    said(C, "let without a value may become a text", 'let $x; $x = "abc"; print($x);', "abc"),
    said(C, "let with a type", "let $x: uint16 = 7; print(sizeof($x)); print($x);", "2\n7"),
    *(said(C, f"let of {type}", f"let $x: {type}; print(sizeof($x));", size) for type, size in (
        ("int8", "1"), ("uint8", "1"), ("int16", "2"), ("uint16", "2"), ("int32", "4"), ("uint32", "4"), ("int64", "8"),
        ("uint64", "8"), ("bool", "1"), ("string[10]", "10"))),
    said(C, "a declared type wraps", "let $x: uint8 = 255; $x++; print($x);", "0"),
    said(C, "a declared signed type wraps", "let $x: int8 = 127; $x++; print($x);", "-128"),
    wrong(C, "a declared type is kept", 'let $x: uint8 = "a";', "`$x` holds".replace("`", "")),
    wrong(C, "a literal that does not fit", "let $x: uint8 = 256;", "$x holds `uint8`"),
    said(C, "types grow", "$a = 1; print(sizeof($a)); $a = 1000; print($a);", "2\n1000"),
    said(C, "types grow to signed ones", "$a = 1; $b = -1000; $a = $b; print($a); print(sizeof($a));", "-1000\n2"),
    said(C, "texts grow", '$a = "a"; $a = "abcdef"; print($a); $a = "xy"; print($a);', "abcdef\nxy"),
    wrong(C, "numbers do not become texts", '$a = 1; $a = "abc";', "$a holds `uint8`, not `string[4]`"),
    said(C, "blocks have their own", "$a = 1; if ($a == 1) { $b = 2; $a = $a + $b; } print($a);", "3"),
    said(C, "an inner let hides an outer one", "$a = 1; if (1) { let $a = 5; print($a); } print($a);", "5\n1"),
    said(C, "assigned in branches, used after them", "if (0) { $x = 1; } else { $x = 2; } print($x);", "2"),
    said(C, "assigned in a branch that is not taken", "$n = rand; if ($n > 0xffffffff) { $x = 1; } print($x);", "0"),
    wrong(C, "never assigned", "print($nothing);", "there is no variable `$nothing` here"),
    wrong(C, "nearly the right name", "$count = 1; print($cuont);", "Did you mean `$count`?"),
    wrong(C, "declared twice", "let $a = 1; let $a = 2;", "`$a` is declared already"),
    said(C, "each probe has its own", "begin { $a = 1; print($a); exit(); } end { $a = \"x\"; print($a); }", "1\nx"),
    said(C, "tuples are kept", '$t = (1, "ab", (2, 3)); print($t.1); print($t.2.0); print($t);',
         "ab\n2\n(1, ab, (2, 3))"),
    said(C, "copies are copies", '$a = "abc"; $b = $a; $a = "x"; print($b); print($a);', "abc\nx"),
    said(C, "swapped", "$a = 1; $b = 2; $c = $a; $a = $b; $b = $c; print(($a, $b));", "(2, 1)"),
    said(C, "pointers are kept", "$t = curtask; print($t == curtask); print(is_ptr($t));", "true\ntrue"),
    said(C, "a struct is copied", "$l = curtask.se.load; print($l.weight > 0);", "true"),
    said(C, "compound assignments of all kinds",
         "$a = 7; $a += 1; print($a); $a -= 2; print($a); $a *= 3; print($a); $a /= 4; print($a); $a %= 3; print($a); "
         "$a <<= 5; print($a); $a >>= 2; print($a); $a |= 3; print($a); $a &= 6; print($a); $a ^= 5; print($a);",
         "8\n6\n18\n4\n1\n32\n8\n11\n2\n7"),
    wrong(C, "a compound assignment before the first", "$x += 1;", "there is no variable `$x` here"),
    wrong(C, "an increment before the first", "$x++;", "there is no variable `$x` here"),
    said(C, "discarded on purpose", "_ = rand; print(1);", "1"),
    wrong(C, "a value without one", "$x = clear(@a); @a[1] = 1;", "this has no value"),
    said(C, "block expressions", "let $a = { let $b = 1; $b + 1 }; print($a);", "2"),
    said(C, "if as an expression", "$x = 5; $y = if ($x > 3) { 10 } else { 20 }; print($y);", "10"),
    said(C, "texts chosen by a condition", '$x = 5; $y = $x > 9 ? "long text" : "s"; print($y);', "s"),
    wrong(C, "choices of two kinds", '$x = 5; $y = $x > 9 ? "a" : 1;', "one choice is `string[2]`, the other `uint8`"),
    said(C, "a warning for a value nobody uses", "$x = 1; $x + 1; print(2);", "2", warning="this value is not used"),
]

"""printf: conversions, widths, precisions, lengths, mistakes."""
from __future__ import annotations

from tests.facets.trace.language.cases import Case, said, wrong

__all__ = ["CASES"]

C = "printf"
CASES: list[Case] = [
    *(said(C, f"{form} of {value}", f'printf("{form}\\n", {value});', output) for form, value, output in (
        ("%d", "42", "42"), ("%d", "-42", "-42"), ("%i", "7", "7"), ("%u", "7", "7"), ("%x", "255", "ff"), ("%X",
        "255", "FF"),
        ("%o", "8", "10"), ("%#x", "255", "0xff"), ("%5d|", "42", "   42|"), ("%-5d|", "42", "42   |"), ("%05d", "42",
        "00042"),
        ("%+d", "42", "+42"), ("% d", "42", " 42"), ("%ld", "42", "42"), ("%lld", "42", "42"), ("%llx", "255", "ff"),
        ("%hhd", "(int8)-1", "-1"), ("%hu", "(uint16)65535", "65535"), ("%lu", "(uint64)18446744073709551615",
        "18446744073709551615"),
        ("%c", "65", "A"), ("%s", '"abc"', "abc"), ("%10s|", '"abc"', "       abc|"), ("%-10s|", '"abc"',
        "abc       |"),
        ("%.2s", '"abc"', "ab"), ("%p", "0x10", "0x10"), ("%d%%", "5", "5%"), ("%s", "true", "true"), ("%d", "true",
        "1"),
        ("%3c|", "65", "  A|"), ("%-3c|", "65", "A  |"), ("%x", "(uint8)200", "c8"), ("%.3d", "5", "005"),
        ("%zu", "9", "9"), ("%jd", "9", "9"), ("%td", "9", "9"))),
    said(C, "no values", 'printf("plain\\n");', "plain"),
    said(C, "several values", 'printf("%d %s %x\\n", 1, "b", 255);', "1 b ff"),
    said(C, "a width from a value", 'printf("%*d|\\n", 6, 42);', "    42|"),
    said(C, "texts without an end of line", 'printf("a"); printf("b\\n");', "ab"),
    said(C, "a variable and a map", '$x = 5; @y = 6; printf("%d %d\\n", $x, @y); clear(@y);', "5 6"),
    said(C, "texts of the kernel", 'printf("%s\\n", comm == curtask.comm ? "same" : "other");', "same"),
    said(C, "several texts", 'printf("%s-%s-%s\\n", "a", str($1), "c");', "a-b-c", words=("b",)),
    said(C, "buffers", 'printf("%r\\n", buf("a\\x01b", 3));', "a\\x01b"),
    said(C, "a pointer in hexadecimal", 'printf("%d\\n", curtask > 0);', "1"),
    said(C, "values are copies", '@x = 1; printf("%d\\n", @x); @x = 2; clear(@x);', "1"),
    said(C, "enumerators by name", 'printf("%s %d\\n", BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_ARRAY);',
         "BPF_MAP_TYPE_ARRAY 2"),
    said(C, "sizes", 'printf("%d %d\\n", sizeof(uint32), sizeof(struct task_struct) > 1000);', "4 1"),
    said(C, "many values", 'printf("%d%d%d%d%d%d%d%d%d%d\\n", 1,2,3,4,5,6,7,8,9,0);', "1234567890"),
    said(C, "cut texts say so", 'printf("%s\\n", str($1));', "hello", words=("hello",), settings={"max_strlen": "64"}),
    wrong(C, "too few values", 'printf("%d %d\\n", 1);', "1"),
    wrong(C, "too many values", 'printf("%d\\n", 1, 2);', "2"),
    wrong(C, "a text for a number", 'printf("%d\\n", "a");', "%d"),
    wrong(C, "a number for bytes", 'printf("%r\\n", 5);', "%r"),
    wrong(C, "a conversion that is none", 'printf("%q\\n", 1);', "%q"),
    wrong(C, "a format that is not known", '$f = "a"; if (rand) { $f = "bb"; } printf($f);',
          "a format is a text in quotes"),
]

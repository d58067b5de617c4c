"""Literals: integers of every base, durations, texts and their escapes, booleans; constants that C knows."""
from __future__ import annotations

from tests.facets.trace.language.cases import Case, said, wrong

__all__ = ["CASES"]

C = "literals"
CASES: list[Case] = [
    *(said(C, f"integer {text}", f"print({text});", value) for text, value in (
        ("0", "0"), ("42", "42"), ("0x1f", "31"), ("0X1F", "31"), ("0xff", "255"), ("017", "15"), ("2e3",
        "2000"), ("1e6", "1000000"),
        ("1_000_000", "1000000"), ("0xdead_beef", "3735928559"), ("123UL", "123"), ("123U", "123"), ("123LL", "123"),
        ("123ull", "123"), ("-1", "-1"), ("-128", "-128"), ("-1000", "-1000"), ("255", "255"), ("65536", "65536"),
        ("4294967296", "4294967296"), ("9223372036854775807", "9223372036854775807"),
        ("18446744073709551615", "18446744073709551615"), ("-9223372036854775808", "-9223372036854775808"))),
    *(said(C, f"duration {text}", f"print({text});", value) for text, value in (
        ("5ns", "5"), ("5us", "5000"), ("5ms", "5000000"), ("5s", "5000000000"), ("1m", "60000000000"),
        ("1h", "3600000000000"), ("1d", "86400000000000"))),
    *(said(C, f"text {name}", f"print({text});", value) for name, text, value in (
        ("plain", '"hello"', "hello"), ("empty", '""', ""), ("newline", '"a\\nb"', "a\nb"), ("tab", '"a\\tb"', "a\tb"),
        ("quote", '"say \\"hi\\""', 'say "hi"'), ("backslash", '"a\\\\b"', "a\\b"), ("octal", '"\\101"', "A"),
        ("hexadecimal", '"\\x41\\x42"', "AB"), ("spaces", '"  x  y"', "  x  y"),
        ("percent sign", '"100%"', "100%"))),
    said(C, "true and false", "print(true); print(false); print(true && false);", "true\nfalse\nfalse"),
    said(C, "sizes of literals", "print((sizeof(1), sizeof(-1), sizeof(256), sizeof(65536), sizeof(1 << 40)));",
         "(1, 1, 2, 4, 8)"),
    *(said(C, f"constant {name}", f"print((int32){name});", value) for name, value in (
        ("AF_INET", "2"), ("AF_INET6", "10"), ("EPERM", "1"), ("ENOENT", "2"), ("SIGKILL", "9"), ("O_RDONLY", "0"),
        ("O_CREAT", "64"), ("S_IFMT", "61440"), ("IPPROTO_TCP", "6"), ("SOCK_STREAM", "1"), ("TASK_RUNNING", "0"))),
    said(C, "enumerator of the kernel", "print((int32)BPF_MAP_TYPE_HASH);", "1"),
    said(C, "enumerator by name", "print(BPF_MAP_TYPE_HASH);", "BPF_MAP_TYPE_HASH"),
    wrong(C, "a name that stands for nothing", "print(NOT_THERE_AT_ALL);",
          "there is nothing called `NOT_THERE_AT_ALL`"),
    wrong(C, "a name that is nearly right", "print(conm);", "Did you mean `comm`?"),
    said(C, "adding texts' begins", 'print(str($1 + 1));', "ello", words=("hello",)),
]

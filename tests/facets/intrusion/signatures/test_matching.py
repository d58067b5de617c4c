"""Steps in a payload: what holds, what does not, and what depends on where something before was found."""
from __future__ import annotations

import pytest

from bpfwright.facets.intrusion.signatures.matching import Text, TooMuch, matches
from bpfwright.facets.intrusion.signatures.reading import read_rules


def holds(options: str, data: bytes) -> bool:
    read = read_rules(f"alert ip any any -> any any ({options} sid:1;)")
    assert not read.refused, read.refused
    return matches(read.signatures[0].steps, Text(data))


@pytest.mark.parametrize(("options", "data", "found"), [
    ('content:"abc";', b"xxabc", True), ('content:"abc";', b"xxABC", False),
    ('content:"aBc"; nocase;', b"xxAbC", True), ('content:!"abc";', b"xxab", True), ('content:!"abc";', b"abc", False),
    ('content:"abc"; offset:2;', b"xabc", False), ('content:"abc"; offset:2;', b"xxabc", True),
    ('content:"abc"; depth:4;', b"xabc", True), ('content:"abc"; depth:4;', b"xxabc", False),
    ('content:"abc"; offset:1; depth:4;', b"xxabc", True), ('content:"abc"; offset:1; depth:4;', b"xxxabc", False),
    ('content:"ab"; startswith;', b"abx", True), ('content:"ab"; startswith;', b"xab", False),
    ('content:"ab"; endswith;', b"abxab", True), ('content:"ab"; endswith;', b"abx", False),
    ('content:"a"; content:"b"; distance:1;', b"axb", True), ('content:"a"; content:"b"; distance:1;', b"ab", False),
    ('content:"a"; content:"b"; within:2;', b"axb", True), ('content:"a"; content:"b"; within:2;', b"axxb", False),
    ('content:"a"; content:"b"; distance:1; within:1;', b"axb", True),
    ('content:"a"; content:"b"; distance:1; within:1;', b"axxb", False),
    ('content:"a"; content:"b"; distance:0; within:1;', b"axxab", True),  # the first a is not the one
    ('content:"a"; content:"b"; within:3; content:"c"; within:1;', b"axb-ab-abc", True),
    ('content:"abc"; content:"b"; distance:-2; within:1;', b"abc", True),
    ('content:"a"; content:!"b"; within:3;', b"axxb", False), ('content:"a"; content:!"b"; within:3;', b"axxxb", True),
    ('content:"b"; content:"a";', b"ab", True), ('content:"b"; content:"a"; distance:0;', b"ab", False),
    ("isdataat:4;", b"12345", True), ("isdataat:5;", b"12345", False), ("isdataat:!5;", b"12345", True),
    ('content:"a"; isdataat:2,relative;', b"xaxx", True), ('content:"a"; isdataat:2,relative;', b"xax", False),
    ('content:"a"; isdataat:!1,relative;', b"xa", True), ('content:"a"; isdataat:!1,relative;', b"xax", False),
    ("byte_test:2,>,256,0;", b"\1\1", True), ("byte_test:2,>,257,0;", b"\1\1", False),
    ("byte_test:2,=,513,1,little;", b"x\1\2", True), ("byte_test:1,!=,1,0;", b"\2", True),
    ("byte_test:1,!&,4,0;", b"\3", True), ("byte_test:1,&,2,0;", b"\3", True), ("byte_test:4,>,0,0;", b"123", False),
    ('content:"n="; byte_test:3,>=,120,0,relative,string,dec;', b"n=120", True),
    ('content:"n="; byte_test:3,>=,120,0,relative,string,dec;', b"n=119", False),
    ('content:"n="; byte_test:4,=,255,0,relative,string,hex;', b"n=00ff", True),
    ("byte_test:2,=,0xAB,0,bitmask 0xFF00;", b"\xab\xcd", True),
    ('byte_jump:1,0; content:"c"; within:1;', b"\2abc", True),
    ('byte_extract:1,0,n; content:"c"; offset:n;', b"\3abcc", True), ('byte_extract:1,0,n; content:"c"; offset:n;', b"\4abc", False),
    ('byte_extract:1,0,n; content:"c"; distance:n; within:1;', b"\2abc", True),
    ('byte_extract:1,0,n; content:"c"; distance:n; within:1;', b"\1abc", False),
    ('byte_extract:1,0,n,multiplier 2; byte_test:1,=,n,1;', b"\4\x08", True), ('byte_extract:1,0,n; byte_test:1,>,n,1;', b"\4\4", False),
    ('byte_extract:1,0,n; byte_test:1,=,7,n;', b"\2x\7", True), ('byte_extract:1,0,n; isdataat:!n,relative;', b"\3ab", True),
    ('byte_extract:1,0,n; isdataat:!n,relative;', b"\2ab", False), ('byte_extract:2,0,n,little; content:"x"; depth:n;', b"\3\0x", True),
    ('byte_extract:2,0,n,little; content:"xy"; depth:n;', b"\3\0xy", False),
    ('content:"n="; byte_extract:0,0,n,relative,string,dec; content:"e"; distance:0; isdataat:!n;', b"n=12;...e", True),
    ('content:"a"; byte_extract:1,0,n,relative; content:"z"; distance:n; within:1;', b"a\1zza\2--z", True),  # the second a
    ('byte_extract:1,0,n,align 4; content:"z"; offset:n; depth:1;', b"\1---z", True),
    ('byte_math:bytes 1, offset 0, oper +, rvalue 2, result n; content:"z"; offset:n; depth:1;', b"\1--z", True),
    ('byte_math:bytes 1, offset 0, oper <<, rvalue 2, result n; byte_test:1,=,n,1;', b"\2\x08", True),
    ('byte_math:bytes 1, offset 0, oper +, rvalue 1, result n, bitmask 0xf0; byte_test:1,=,n,1;', b"\x1f\2", True),
    ('byte_math:bytes 1, offset 0, oper +, rvalue 1, result n, bitmask 0xf0; byte_test:1,=,n,1;', b"\x1e\2", False),
    ('byte_extract:1,0,a; byte_math:bytes 1, offset 1, oper *, rvalue a, result n; byte_test:1,=,n,2;', b"\3\4\x0c", True),
    ('byte_extract:1,0,a; byte_math:bytes 1, offset 1, oper /, rvalue a, result n; byte_test:1,=,n,2;', b"\0\4\x0c", False),
    ('byte_math:bytes 2, offset 0, oper -, rvalue 1, result n, endian little, relative; byte_jump:1,n;', b"\3\0\0", True),
    ("byte_test:0,>=,8079,0,string,dec;", b"8080", True), ("byte_test:0,>=,8079,0,string,dec;", b"80", False),
    ('byte_jump:1,0; content:"c"; within:1;', b"\1abc", False),
    ('byte_jump:1,0,multiplier 2; content:"c"; within:1;', b"\1abc", True),
    ('byte_jump:1,0,align; content:"c"; within:1;', b"\3abcdc", True), ("byte_jump:1,0;", b"\7a", False),
    ('byte_jump:1,1,from_beginning; content:"b"; within:1;', b"a\3xb", True),
    ('byte_jump:1,0,from_beginning,post_offset -3; content:"b"; distance:1; within:1;', b"\1bx", True),
    ('byte_jump:1,0,post_offset -9; isdataat:!3,relative;', b"\1bx", False),
    ('byte_jump:1,0,from_end,post_offset -2; content:"y"; within:1;', b"\0xyz", True),
    ('pcre:"/ab+c/";', b"xabbbc", True), ('pcre:"/ab+c/i";', b"xABBBC", True), ('pcre:!"/ab+c/";', b"xabbb", True),
    ('pcre:"/^b/";', b"a\nb", False), ('pcre:"/^b/m";', b"a\nb", True), ('pcre:"/a.b/";', b"a\nb", False),
    ('pcre:"/a.b/s";', b"a\nb", True), ('pcre:"/a b/x";', b"ab", True), ('pcre:"/b/A";', b"ab", False),
    ('content:"x"; pcre:"/^b/R";', b"bxb", True), ('content:"x"; pcre:"/^b/R";', b"bxab", False),
    ('pcre:"/a\\d/"; content:"z"; within:1;', b"a1 a2z", True), ('pcre:"/a$/";', b"ba\n", True),
    ('pcre:"/\\x7e\\/\\;/";', b"~/;", True),
])
def test_steps(options: str, data: bytes, found: bool) -> None:
    assert holds(options, data) == found


def test_what_would_take_too_long_is_given_up() -> None:
    with pytest.raises(TooMuch):
        holds('content:"a"; content:"a"; distance:0; content:"a"; distance:0; content:"b"; distance:0;', b"a" * 3000)

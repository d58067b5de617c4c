"""Protocols on bytes: the same messages however a stream is cut, and no bytes that raise."""
from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.facets.intrusion.signatures.protocols import dns
from bpfwright.facets.intrusion.signatures.protocols.conversation import Conversation
from bpfwright.facets.intrusion.signatures.protocols.http import MOST_BODY, Http
from bpfwright.facets.intrusion.signatures.protocols.message import Message
from bpfwright.facets.intrusion.signatures.protocols.certificates import Short, certificate_of
from bpfwright.facets.intrusion.signatures.protocols.tls import Tls, hello_of
from bpfwright.facets.intrusion.signatures.protocols.uris import decoded, host_of, normal
from bpfwright.facets.intrusion.signatures.transforms import TRANSFORMS, transformed
from tests.facets.intrusion.signatures.handshakes import certificate, chain, records, server_hello


@pytest.mark.parametrize(("uri", "wanted"), [
    (b"/", b"/"), (b"/a/./b/../c", b"/a/c"), (b"http://user@Host:80/x?y", b"/x?y"), (b"/../../x", b"/x"), (b"//a//", b"/a/"),
    (b"/a\\b", b"/a/b"), (b"/%2e%2E/x", b"/x"), (b"*", b"*"), (b"/a%u0041%uFF22%zz%4", b"/aAB%zz%4"), (b"/a/.", b"/a/"),
    (b"/a/..", b"/"), (b"/a?b=%41/../%20", b"/a?b=A/../ "), (b"/a?b=%2541+%u0041%zz//#%41", b"/a?b=%41+%u0041%zz//#A"), (b"http://h", b"/"), (b"/%25%34%31", b"/%41"), (b"", b""),
    (b"/a%3fb?c", b"/a?b?c"), (b"/...", b"/..."), (b"/.a/b", b"/.a/b"), (b"/%u1234", b"/?"), (b"/a%00b", b"/a\x00b")])
def test_uris_in_their_normal_form(uri: bytes, wanted: bytes) -> None:
    assert normal(uri) == wanted


@given(st.binary(max_size=60))
def test_any_uri(uri: bytes) -> None:
    made = normal(b"/" + uri)
    path = made.partition(b"?")[0]
    assert b"//" not in path or b"?" in decoded(uri) or b"#" in uri
    host_of(uri)


def head(text: str) -> Message:
    (message,) = Http(to_server=text[:5] != "HTTP/").take(text.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    return message


@pytest.mark.parametrize(("text", "buffer", "value"), [
    ("GET /x HTTP/1.1\nHost: A", "http.method", b"GET"), ("GET /a b HTTP/1.1", "http.uri", b"/a b"),
    ("GET\t/x\tHTTP/1.0", "http.uri.raw", b"/x"), ("GET /x HTTP/1.1\nHost: A.B.:80", "http.host", b"a.b"),
    ("GET /x HTTP/1.1\nHost: [::1]:80", "http.host", b"[::1]"), ("GET /x HTTP/1.1\nHost: A:80", "http.host.raw", b"A:80"),
    ("GET http://C:1/x HTTP/1.1\nHost: A", "http.host", b"c"), ("GET /x HTTP/1.1", "http.request_line", b"GET /x HTTP/1.1"),
    ("GET / HTTP/1.1\nA:b\nCookie: c\nA:  d ", "http.header", b"A: b, d\r\n"),
    ("GET / HTTP/1.1\nA:b\nCookie: c", "http.header.raw", b"A:b\r\nCookie: c\r\n\r\n"),
    ("GET / HTTP/1.1\nB:b\nCookie: c", "http.header_names", b"\r\nB\r\nCookie\r\n\r\n"),
    ("GET / HTTP/1.1\nCookie: c\ncookie: d", "http.cookie", b"c, d"),
    ("GET / HTTP/1.1\nUser-Agent: a\n  b\n\tc", "http.user_agent", b"a b c"),
    ("GET / HTTP/1.1\nB : b", "http.start", b"GET / HTTP/1.1\r\nB: b\r\n\r\n"),
    ("HTTP/1.1 404 Not  Found", "http.stat_msg", b"Not  Found"), ("HTTP/1.1 404 Not Found", "http.stat_code", b"404"),
    ("HTTP/1.1 404 x\nSet-Cookie: y", "http.cookie", b"y"), ("HTTP/1.1 404", "http.response_line", b"HTTP/1.1 404"),
    ("HTTP/1.1 404 x\nSet-Cookie: y\nServer: z", "http.header", b"Server: z\r\n"),
    ("GET http://C:1/x HTTP/1.1\nHost: A", "http.host.raw", b"c")])
def test_heads(text: str, buffer: str, value: bytes) -> None:
    assert head(text).values(buffer) == (value,)


def test_what_is_not_there_has_no_value() -> None:
    message = head("GET / HTTP/1.0")
    assert not any(message.values(name) for name in ("http.cookie", "http.host", "http.request_body", "http.stat_code", "x"))
    bare = head("HTTP/1.1 404")
    assert not any(bare.values(name) for name in ("http.stat_msg", "http.header", "http.header_names"))
    (old,) = Http(to_server=True).take(b"GET /old\r\n")
    assert old.values("http.uri") == (b"/old",) and old.values("http.protocol") == ()


SAID = (b"POST /one HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\r\nGET /two HTTP/1.0\r\nHost: x\r\n\r\n"
        b"PUT /three HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x\r\n0123456789\r\n0\r\nT: u\r\n\r\n"
        b"M-SEARCH * HTTP/1.1\n\nGET /four HTTP/1.1\r\n\r\n")


@given(st.lists(st.integers(1, len(SAID) - 1), max_size=12))
def test_requests_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    side = Http(to_server=True)
    bounds = sorted({0, len(SAID), *cuts})
    found: list[Message] = []
    for low, high in itertools.pairwise(bounds):
        found += [each for each in side.take(SAID[low:high]) if each not in found]
    assert [(each.values("http.uri.raw"), each.values("http.request_body")) for each in found] == [
        ((b"/one",), (b"hello",)), ((b"/two",), ()), ((b"/three",), (b"abc0123456789",)), ((b"*",), ()), ((b"/four",), ())]
    assert side.size == 0


ANSWERED = (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"  # to HEAD
            b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n"  # to HEAD
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1!"
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")


@given(st.lists(st.integers(1, len(ANSWERED) - 1), max_size=12))
def test_answers_without_the_body_that_they_tell_of(cuts: list[int]) -> None:
    side = Http(to_server=False)
    bounds = sorted({0, len(ANSWERED), *cuts})
    found: list[Message] = []
    for low, high in itertools.pairwise(bounds):
        found += [each for each in side.take(ANSWERED[low:high]) if each not in found]
    assert [each.values("file.data") for each in found] == [(), (), (b"HTTP/1.1!",), (b"ab",)]
    assert [each.whole for each in found] == [False, False, True, True]


def test_behind_bytes_that_were_not_seen() -> None:
    side = Http(to_server=True)
    (first,) = side.take(b"POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + b"x" * 10)
    side.skip(50)
    assert side.take(b"y" * 40)[0] is first
    assert side.take(b"GET /b HTTP/1.1\r\n\r\n")[0].values("http.uri") == (b"/b",)
    side.skip(1000)
    assert side.take(b"the middle of something else") == []
    side.skip(7)
    assert side.take(b"GET /c HTTP/1.1\r\n\r\n")[0].values("http.uri") == (b"/c",)


def test_bodies_are_bounded() -> None:
    import gzip
    bomb = gzip.compress(bytes(50_000_000))
    side = Http(to_server=False)
    found = side.take(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb)
    assert len(found[0].values("file.data")[0]) == MOST_BODY and side.size <= MOST_BODY
    plain = Http(to_server=True)
    plain.take(b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
    for _ in range(100):
        plain.take(b"x" * 10_000)
    assert plain.size == MOST_BODY
    endless = Http(to_server=True)
    for _ in range(100):
        endless.take(b"GET / HTTP/1.1\r\nX: " + b"x" * 1000)
    assert endless.size < 40_000


@pytest.mark.parametrize("start", [b"", b"GET ", b"HTTP/1.1 200", b"\x16\3\1\0\x30\1", b"SSH-2.0", b"\0\x20\0\1\1\0\0\1"])
@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 300), max_size=4), side=st.integers(0, 1))
def test_no_bytes_raise(start: bytes, data: bytes, cuts: list[int], side: int) -> None:
    talk = Conversation()
    stream = start + data
    bounds = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for low, high in itertools.pairwise(bounds):
        for message in talk.take(side, low + (low > 200) * 7, stream[low:high]):  # some bytes are missing
            for name in ("http.uri", "http.header", "http.host", "file.data", "dns.query", "tls.sni", "ja3.hash", "ssh.software"):
                assert all(isinstance(value, bytes) for value in message.values(name))
    assert 0 <= talk.size <= 2000


@given(st.binary(max_size=200))
def test_no_datagram_raises(data: bytes) -> None:
    message = dns.message_of(data)
    if message is not None:
        message.values("dns.query")
    hello_of(data).values("ja3.string")


@given(st.lists(st.integers(1, 900), max_size=8), st.integers(20, 900))
def test_certificates_however_they_are_cut(cuts: list[int], size: int) -> None:
    certificates = certificate("C=US, O=Example + Email=a@b.example, CN=www.example.org"), certificate("CN=Authority")
    data = records(server_hello() + chain(*certificates) + b"\x0e\0\0\0", size) + b"\x14\3\3\0\1\1"
    side = Tls(to_server=False)
    given_again: list[Message] = []
    for low, high in itertools.pairwise(sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})):
        given_again += side.take(data[low:high])
    (message,) = set(given_again)
    assert message.values("ja3s.string") == (b"771,49199,65281-11",)
    assert message.values("tls.cert_subject") == (b"C=US, O=Example + Email=a@b.example, CN=www.example.org",)
    assert message.values("tls.cert_issuer") == (b"O=Someone, CN=Authority",)
    assert message.values("tls.cert_serial") == (b"0A:BC",) and message.values("tls.certs") == certificates
    assert side.size == 0


def test_a_certificate_whose_end_is_missing() -> None:
    long = certificate("CN=cut", more=3000)
    data = records(server_hello() + chain(long))
    (message,) = set(Tls(to_server=False).take(data[:1000]))
    assert message.values("tls.cert_subject") == (b"CN=cut",)
    assert message.values("tls.certs") == () == message.values("tls.cert_fingerprint")
    assert certificate_of(certificate("OID(1.2.3.4)=odd")).subject == b"OID(1.2.3.4)=odd"


@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 400))
def test_no_certificate_raises_what_is_not_meant(data: bytes, at: int, end: int) -> None:
    good = certificate("C=US, CN=x")
    for text in (data, (good[:at] + data + good[at + len(data):])[:end]):
        try:
            certificate_of(text)
        except (Short, ValueError):
            pass


def test_names_in_questions() -> None:
    header = b"\0\1\1\0\0\2\0\0\0\0\0\0"
    data = header + b"\3www\4test\0\0\1\0\1" + b"\1a\xc0\x10\0\1\0\1"
    message = dns.message_of(data)
    assert message is not None and message.values("dns.query") == (b"www.test", b"a.test")
    circle = dns.message_of(header + b"\xc0\x0c\0\1\0\1")
    assert circle is None
    assert dns.message_of(data[:20]) is None and dns.message_of(b"") is None


@pytest.mark.parametrize(("name", "data", "wanted"), [
    ("dotprefix", b"a.b", b".a.b"), ("strip_whitespace", b" a\t\r\n b", b"ab"), ("compress_whitespace", b"a \t\n b", b"a b"),
    ("to_lowercase", b"AbC", b"abc"), ("to_uppercase", b"AbC", b"ABC"), ("url_decode", b"a%20b+c%2%u0041", b"a b c%2%u0041"),
    ("to_md5", b"", bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e")),
    ("to_sha1", b"", bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709")),
    ("to_sha256", b"abc", bytes.fromhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
    ("header_lowercase", b"Ab: Cd\r\nE: F\r\n", b"ab: Cd\r\ne: F\r\n")])
def test_transforms(name: str, data: bytes, wanted: bytes) -> None:
    assert transformed(data, (name,)) == wanted
    assert set(TRANSFORMS) >= {name}


def test_what_is_recognised() -> None:
    draw = random.Random(1)
    cases = [(0, b"get / HTTP/1.0\r\n", "http"), (1, b"HTTP/1.1 200 OK", "http"), (0, b"SSH-2.0-x\r\n", "ssh"),
             (0, b"EHLO x\r\n", "smtp"), (0, b"USER x\r\n", "ftp"), (0, b"\x16\3\1\2\0\1\0\1\xfc\3\3", "tls"),
             (0, b"no such thing, whatever it is", ""), (0, draw.randbytes(100), ""), (1, b"220 mail\r\n", "")]
    for side, data, name in cases:
        talk = Conversation()
        for place in range(len(data)):
            talk.take(side, place, data[place:place + 1])
        assert talk.protocol == name, data

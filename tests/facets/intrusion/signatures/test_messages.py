"""Buffers of protocols, the whole way: what the kernel lets pass uncopied is what no rule is about."""
from __future__ import annotations

import gzip
import itertools
import random
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright.facets.intrusion.signatures.asking import Asked
from bpfwright.facets.intrusion.signatures.kernel import Limits
from bpfwright.facets.intrusion.signatures.protocols.conversation import Conversation
from bpfwright.facets.intrusion.signatures.reading import read_rules

from .bed import Bed, Talk, rules_of, udp
from .handshakes import certificate, chain, records, server_hello

Beds = Callable[..., Bed]
PORTS = itertools.count(1000)
SERVER, CLIENT = "flow:established,to_server; ", "flow:established,to_client; "
REQUESTS = rules_of(
    SERVER + 'http.uri; content:"/evil/gate.php?id="; nocase;', SERVER + 'http.user_agent; content:"Bad Agent/1.0";',
    SERVER + 'http.method; content:"POST"; http.uri; content:"/upload"; http.request_body; content:"passwd=";',
    SERVER + 'http.header; content:"X-Odd|3a 20|yes|0d 0a|"; http.host; content:"victim.example"; bsize:14;',
    SERVER + 'http.cookie; content:"session=stolen"; http.uri; content:!"/login";', SERVER + 'http.method; content:"PROPFIND";',
    SERVER + 'content:"/old/way"; http_uri; content:"my agent"; http_user_agent; nocase; pcre:"/x=\\d{3,}/U";',
    SERVER + 'urilen:>60; http.protocol; content:"1.0"; endswith;', SERVER + 'http.uri.raw; content:"%2e%2e";',
    SERVER + 'http.request_line; content:"GET /line"; startswith;', SERVER + 'http.start; content:"1.1|0d 0a|Host|3a 20|first";',
    SERVER + 'http.header_names; content:"|0d 0a|Accept|0d 0a|Host|0d 0a|";', SERVER + 'http.accept; content:"only/this"; bsize:9;',
    header="alert http any any -> any any")


@pytest.fixture(scope="module")
def web() -> Any:
    from bpfwright.kernel import Kernel
    with Kernel() as kernel:
        bed = Bed(kernel, REQUESTS, Limits(depth=512, ring_bytes=1 << 22), egress=True)
        yield bed
        bed.close()


def expected(rules: str, stream: bytes, side: int = 0) -> set[int]:
    """The sids that hold for some message of a stream, seen whole."""
    messages = Conversation().take(side, 0, stream)
    return {rule.sid for rule in read_rules(rules).signatures for message in messages
            if Asked(0, rule).may_hold(message) and Asked(0, rule).holds(message, stream)}


@st.composite
def escaped(draw: st.DrawFn, path: str) -> str:
    """A path whose letters may be written as %XX, its slashes twice, with dots between them."""
    parts = []
    for letter in path:
        kind = draw(st.integers(0, 30))
        parts.append(f"%{ord(letter):02x}" if kind == 0 and letter not in "/?" else
                     f"%u{ord(letter):04X}" if kind == 1 and letter not in "/?" else
                     draw(st.sampled_from(["//", "/./", "/x/../", "\\"])) if letter == "/" and kind < 6 else letter)
    path = "".join(parts)
    return path if path.startswith("/") else "/" + path[1:]


@st.composite
def request(draw: st.DrawFn) -> bytes:
    path = draw(st.sampled_from(["/", "/evil/gate.php?id=4", "/EVIL/Gate.php?id=", "/upload/x", "/old/way?x=12345", "/login",
                                 "/a/../old/way?x=1", "/line", "/" + "long" * 20, "/%2e%2e/x", "/harmless.css"]))
    method = draw(st.sampled_from(["GET", "GET", "POST", "PROPFIND", "HEAD"]))
    target = draw(st.one_of(st.just(path), escaped(path), st.just("http://Victim.example" + path)))
    lines = draw(st.lists(st.sampled_from([
        "User-Agent: Bad Agent/1.0", "User-Agent: Bad\r\n Agent/1.0", "User-Agent: my aGeNt", "X-Odd: yes", "x-odd:yes ",
        "X-Odd:   yes", "Cookie: session=stolen", "Cookie: a=b", "cookie: session=\r\n\tstolen", "Accept: only/this",
        "Accept: only\r\nAccept: this", "Referer: http://x/evil/gate.php?id=1"]), max_size=4))
    host = draw(st.sampled_from(["Host: VICTIM.example", "Host: victim.example:80", "Host: first", "Accept: */*\r\nHost: x"]))
    body = draw(st.sampled_from([b"", b"", b"user=a&passwd=b", b"x" * 700 + b"passwd=1"]))
    if method != "POST":
        body = b""
    chunked = draw(st.booleans()) and body != b""
    if chunked:
        cut = draw(st.integers(1, len(body)))
        pieces = [body[:cut], body[cut:]] if cut < len(body) else [body]
        sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        lines.append("Transfer-Encoding: chunked")
    else:
        sent = body
        lines += [f"Content-Length: {len(body)}"] if body else []
    head = "\r\n".join([f"{method} {target} HTTP/{draw(st.sampled_from(['1.1', '1.0']))}", host, *lines]) + "\r\n\r\n"
    return head.encode() + sent


@pytest.mark.kernel
@settings(max_examples=150, deadline=None)
@given(st.lists(request(), min_size=1, max_size=4), st.data())
def test_requests_however_they_are_written_and_cut(web: Bed, said: list[bytes], data: st.DataObject) -> None:
    said[1:] = [data.draw(st.sampled_from([b"", b"", b"\r\n", b"\n"])) + each for each in said[1:]]
    stream = b"".join(said)
    bounds = {0, len(stream), *itertools.accumulate(map(len, said))}  # keep-alive: each in its own segments
    if data.draw(st.booleans()):
        bounds = {0, len(stream)}  # or one behind the other in one
    cuts = sorted(bounds | set(data.draw(st.lists(st.integers(1, len(stream)), max_size=5))))
    segments = [(low, stream[low:high]) for low, high in itertools.pairwise(cuts)]
    segments = [(at + low, part[low:low + 1400]) for at, part in segments for low in range(0, len(part), 1400)]
    if data.draw(st.integers(0, 3)) == 0:
        segments = list(data.draw(st.permutations(segments)))
    assert set(Talk(web, sport=next(PORTS)).send(*segments)) == expected(REQUESTS, stream), (segments,)


@pytest.mark.kernel
def test_a_request_that_no_rule_is_about_is_not_copied(web: Bed) -> None:
    talk = Talk(web, sport=next(PORTS))
    clean = b"GET /static/site.css HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Mozilla/5.0 (X11)\r\n\r\n"
    assert talk.send(*((len(clean) * number, clean) for number in range(20))) == [] and not web.copies
    assert web.count("searched") >= 20
    last = len(clean) * 20
    evil = b"GET /evil/%67ate.php?id=1 HTTP/1.1\r\n\r\n"
    assert talk.send((last, evil)) == [1] and len(web.copies) == 1  # the connection's 21st request
    tunnel = Talk(web, sport=next(PORTS))
    draw = random.Random(1)
    data = b"\x16\x03\x01\x02\x00\x01" + bytes(draw.randrange(256) for _ in range(20_000))
    assert tunnel.send(*((low, data[low:low + 1000]) for low in range(0, len(data), 1000))) == []
    assert len(web.copies) <= 2  # what is no HTTP is not copied but where chance has %XX in it


def test_what_is_copied_of_protocols(bed: Beds) -> None:
    """Both machines copy the same: what no pattern is in is not copied when it is whole."""
    watched = bed(rules_of(SERVER + 'http.uri; content:"/evil"; http.user_agent; content:"Bad Agent";', SERVER + 'tls.sni; content:"x";',
                           header="alert tcp any any -> any any"), egress=True)
    cases = [(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n", []), (b"GET /%65vil HTTP/1.1\r\nUser-Agent: Bad Agent\r\n\r\n", [1]),
             (b"GET /evil HTTP/1.1\r\nUser-Agent: Bad\r\n Agent\r\n\r\n", [1]), (b"nothing that is known\r\n\r\n", []), (hello("x"), [2])]
    copied = []
    for number, (data, sids) in enumerate(cases):
        assert Talk(watched, sport=number + 1).send((0, data)) == sids
        copied.append(len(watched.copies))
    assert copied == [0, 1, 1, 0, 1]


@pytest.mark.kernel
def test_each_request_is_told_of_once(web: Bed) -> None:
    talk = Talk(web, sport=next(PORTS))
    evil = b"POST /upload HTTP/1.1\r\nContent-Length: 3000\r\n\r\npasswd=" + b"x" * 2993
    assert talk.send(*((low, evil[low:low + 1000]) for low in range(0, len(evil), 1000))) == [3]
    assert talk.send((len(evil), evil[:900]), (len(evil) + 900, evil[900:])) == [3]


def compressed(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


ANSWERS = rules_of(
    CLIENT + 'http.stat_code; content:"404"; http.stat_msg; content:"Not Here";', CLIENT + 'file.data; content:"MZevil"; startswith;',
    CLIENT + 'http.response_body; content:"<script"; nocase; http.content_type; content:"text/html";',
    CLIENT + 'http.response_line; content:"HTTP/1.0 200";', CLIENT + 'http.cookie; content:"id=7";',
    CLIENT + 'http.server; content:"odd"; http.header; content:"Server|3a 20|odd|0d 0a|";', CLIENT + 'http.location; content:"//evil";',
    CLIENT + 'file_data; content:"one"; content:"two"; distance:2; within:3;', header="alert http any any -> any any")
BODY = b"MZevil <SCRIPT> one..two" + b"." * 3000


@pytest.mark.kernel
def test_answers(in_kernel: Beds) -> None:
    watched = in_kernel(ANSWERS, Limits(ring_bytes=1 << 22), egress=True)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(BODY[low:low + 7]), BODY[low:low + 7]) for low in range(0, 200, 7))
    zipped = gzip.compress(BODY)
    html = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
    answers = [
        (b"HTTP/1.1 404 Not Here\r\nContent-Length: 0\r\n\r\n", {1}),
        (html + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY, {2, 3, 8}),
        (html + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(zipped) + zipped, {2, 3, 8}),
        (html + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(compressed(BODY)) + compressed(BODY), {2, 3, 8}),
        (html + b"Content-Encoding: deflate\r\nContent-Length: %d\r\n\r\n" % len(zlib.compress(BODY)) + zlib.compress(BODY),
         {2, 3, 8}),
        (html + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n", {2, 3, 8}),
        (html + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x;x=y\r\n%s\r\n0\r\nA: b\r\n\r\n" % (
            9, zipped[:9], len(zipped) - 9, zipped[9:]), {2, 3, 8}),
        (b"HTTP/1.0 200 OK\r\nServer:odd\r\nSet-Cookie: id=7\r\nLocation: http://evil/\r\nContent-Length: 1\r\n\r\nx", {4, 5, 6, 7}),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n" + b"-" * 400, set()),
    ]
    draw = random.Random(5)
    for size in (1400, 700, 33):
        talk = Talk(watched, sport=next(PORTS))
        place = 0
        for whole, sids in answers:
            assert expected(ANSWERS, whole, 1) == sids
            pieces = [(low, whole[low:low + size]) for low in range(0, len(whole), size)]
            if size == 700:
                draw.shuffle(pieces)
            told = watched.say(*(talk.server(place + low, part) for low, part in pieces), hook="egress")
            assert set(told) == sids and len(told) == len(sids), (size, whole[:80], told)
            place += len(whole)


def question(*names: str, flags: int = 0x0100) -> bytes:
    made = b"".join(b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1" for name in names)
    return b"\x12\x34" + flags.to_bytes(2, "big") + len(names).to_bytes(2, "big") + bytes(6) + made


@pytest.mark.kernel
def test_questions(in_kernel: Beds) -> None:
    rules = rules_of('dns.query; content:"evil.example"; nocase;', 'dns.query; dotprefix; content:".bad.test"; endswith;',
                     'dns_query; content:"one"; startswith; dns.query; content:"two"; startswith;', 'dns.opcode:2;',
                     'dns.query; content:"exact.org"; bsize:9;', 'dns.query; to_lowercase; content:"lower.case";',
                     header="alert dns any any -> any any")
    watched = in_kernel(rules, egress=True)
    cases = [(question("www.EVIL.example"), {1}), (question("evil.example.org"), {1}), (question("sub.bad.test"), {2}),
             (question("bad.test"), {2}), (question("notbad.test"), set()), (question("bad.test.org"), set()),
             (question("x.org", "evil.example"), {1}), (question("one.a", "two.b"), {3}), (question("one.two"), set()),
             (question("x", flags=0x1000), {4}), (question("exact.org"), {5}), (question("an.exact.org"), set()),
             (question("LOWER.Case"), {6}), (question("evil.example", flags=0x8180), set()), (b"evil\x07example" * 3, set())]
    for number, (data, sids) in enumerate(cases):
        assert set(watched.say(udp(data, sport=3000 + number, dport=5353 + number % 2))) == sids, data
        talk = Talk(watched, sport=next(PORTS), dport=8053)
        sent = len(data).to_bytes(2, "big") + data
        assert set(talk.send((0, sent))) == sids, data
        for cut in (1, 2, 9, 20):
            talk = Talk(watched, sport=next(PORTS), dport=8053)
            assert set(talk.send((0, sent[:cut]), (cut, sent[cut:]))) == sids, (cut, data)
    compressed_name = bytearray(question("a.evil.example", "b")[:-6]) + b"\1b\xc0\x0e\0\1\0\1"
    assert watched.say(udp(bytes(compressed_name), sport=99)) == [1]
    harmless = watched.say(*(udp(question(f"www{number}.example.org"), sport=number + 1) for number in range(20)))
    assert not harmless and len(watched.copies) == 20  # rule 4 has nothing that could be looked for


def hello(name: str, padding: int = 0) -> bytes:
    host = name.encode()
    names = b"\0" + len(host).to_bytes(2, "big") + host
    sni = b"\0\0" + (len(names) + 2).to_bytes(2, "big") + len(names).to_bytes(2, "big") + names
    more = b"\0\x15" + padding.to_bytes(2, "big") + bytes(padding) + b"\0\x0a\0\4\0\2\0\x1d" + b"\0\x0b\0\2\1\0"
    extensions = more + sni
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\4\x0a\x0a\x13\1" + b"\1\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(message).to_bytes(2, "big") + message


@pytest.mark.kernel
def test_names_that_clients_ask_for(in_kernel: Beds) -> None:
    import hashlib
    print_of = hashlib.md5(b"771,4865,21-10-11-0,29,0").hexdigest()
    rules = rules_of('tls.sni; content:"evil.example";', 'tls_sni; content:"Evil"; nocase; bsize:<9;',
                     f'ja3.hash; content:"{print_of}";', header="alert tls any any -> any any")
    watched = in_kernel(rules, egress=True)
    for padding, cuts in itertools.product((0, 900), ((), (3,), (40,), (100, 200), (930,))):
        for name, sids in (("evil.example", {1, 3}), ("evil.org", {2, 3}), ("good.org", {3})):
            data = hello(name, padding) + b"\x14\3\3\0\1\1"
            bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
            talk = Talk(watched, sport=next(PORTS), dport=9443)
            told = talk.send(*((low, data[low:high]) for low, high in itertools.pairwise(bounds)))
            assert set(told) == sids and len(told) == len(sids), (name, padding, cuts)
    bulk = Talk(watched, sport=next(PORTS))
    start = hello("good.org")
    bulk.send((0, start), *((len(start) + 1000 * number, b"\x17\3\3" + bytes(997)) for number in range(20)))
    assert len(watched.copies) <= 4  # the hello, and what is left of the first two kilobytes


@pytest.mark.kernel
def test_what_certificates_say(in_kernel: Beds) -> None:
    import hashlib
    evil = certificate("C=US, CN=evil.example")
    print_of = hashlib.sha1(evil).hexdigest()
    print_of = ":".join(print_of[at:at + 2] for at in range(0, 40, 2))
    watched = in_kernel(rules_of(
        'tls.cert_subject; content:"CN=evil.example"; endswith;', 'tls_cert_issuer; content:"authority"; nocase;',
        'tls.cert_serial; content:"0a:bc"; bsize:5;', f'tls.fingerprint:"{print_of.upper()}";', 'tls.issuerdn:!"Someone";',
        f'ja3s.hash; content:"{hashlib.md5(b"771,49199,65281-11").hexdigest().upper()}"; tls.certs; content:"second";',
        CLIENT + 'tls.cert_subject; content:!"evil"; tls.cert_issuer; content:"CN=Authority"; startswith;',
        header="alert tls any any -> any any"), egress=True)
    cases: list[tuple[list[bytes], set[int]]] = [
        ([evil], {1, 2, 3, 4}), ([evil, certificate("CN=second")], {1, 2, 3, 4, 6}),
        ([certificate("CN=evil.example.org", "CN=Authority", b"\1")], {2, 5}),
        ([certificate("CN=good.example", "CN=Authority", b"\1")], {2, 5, 7}),
        ([certificate("CN=x", "CN=Other", more=6000)], {3, 5})]
    for (certificates, sids), size, cut in itertools.product(cases, (16_000, 77), (1400, 300)):
        stream = records(server_hello() + chain(*certificates) + b"\x0e\0\0\0", size) + b"\x14\3\3\0\1\1"
        talk = Talk(watched, sport=next(PORTS), dport=9443)
        assert talk.send((0, hello("any.example"))) == []
        frames = [talk.server(low, stream[low:low + cut]) for low in range(0, len(stream), cut)]
        told = watched.say(*frames, hook="egress")
        assert set(told) == sids and len(told) == len(sids), (sids, size, cut, told)


@pytest.mark.kernel
def test_what_flows_speak_and_what_they_do_not(in_kernel: Beds) -> None:
    watched = in_kernel(
        'alert tcp any any -> any any (content:"greeting"; app-layer-protocol:http; sid:1;)\n'
        'alert tcp any any -> any any (content:"greeting"; app-layer-protocol:!http; sid:2;)\n'
        'alert tcp any any -> any any (content:"greeting"; app-layer-protocol:!http; app-layer-protocol:!tls; sid:3;)\n'
        'alert tcp any any -> any 443 (flow:established,to_server; app-layer-protocol:!tls; sid:4;)\n'
        'alert tcp any any -> any any (flow:to_client; content:"250 ok"; app-layer-protocol:!smtp; sid:5;)\n'
        'alert udp any any -> any any (content:"greeting"; app-layer-protocol:!dns; sid:6;)\n', egress=True)
    unknown = b"neither this nor that, a greeting of some kind"
    for data, dport, sids in ((b"GET /greeting HTTP/1.1\r\n\r\n", 80, {1}), (unknown, 80, {2, 3}), (unknown, 443, {2, 3, 4}),
                              (hello("greeting.example"), 80, {2}), (hello("greeting.example"), 443, {2})):
        for cut in (7, len(data)):
            talk = Talk(watched, sport=next(PORTS), dport=dport)
            assert set(talk.send(*((low, data[low:low + cut]) for low in range(0, len(data), cut)))) == sids, data
    for first, told in ((b"EHLO there\r\n", []), (b"do what I say, whatever it is\r\n", [5])):
        talk = Talk(watched, sport=next(PORTS), dport=25)
        talk.send((0, first))
        assert watched.say(talk.server(0, b"250 ok, and more than that\r\n"), hook="egress") == told
    question = b"\0\1\1\0\0\1\0\0\0\0\0\0\x08greeting\0\0\1\0\1"
    assert watched.say(udp(question)) == [] and watched.say(udp(b"a greeting", sport=5001)) == [6]


@pytest.mark.kernel
def test_what_is_not_to_be_in_a_body_is_told_at_its_end(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of(SERVER + 'http.request_body; content:!"token="; http.method; content:"POST";',
                                 SERVER + 'http.request_body; content:"a=1"; startswith; bsize:<8;',
                                 SERVER + 'http.request_body; content:"c=3"; endswith;',
                                 header="alert http any any -> any any"), egress=True)
    for body, cut, sids in ((b"a=1&token=5", 4, set()), (b"a=1&b=22", 4, {1}), (b"a=1&b=2", 4, {1, 2}), (b"a&c=3&d=4", 5, {1}),
                            (b"a=1&c=3", 3, {1, 2, 3}), (b"b" * 5000 + b"token=", 4900, {1})):
        head = b"POST /x HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
        talk = Talk(watched, sport=next(PORTS))
        first = head + body[:cut]
        pieces = [(low, first[low:low + 1400]) for low in range(0, len(first), 1400)]
        assert set(talk.send(*pieces, (len(first), body[cut:]))) == sids, body[:20]


@pytest.mark.kernel
def test_other_protocols(in_kernel: Beds) -> None:
    watched = in_kernel(
        'alert ssh any any -> any any (flow:to_server; ssh.software; content:"libssh"; sid:1;)\n'
        'alert ssh any any -> any any (flow:to_client; ssh.proto; content:"1."; startswith; sid:2;)\n'
        'alert smtp any any -> any any (flow:to_server; content:"RCPT TO:<victim"; sid:3;)\n'
        'alert smtp any any -> any any (flow:to_client; content:"550 no such"; sid:4;)\n'
        'alert ftp any any -> any any (content:"RETR secret"; sid:5;)\n'
        'alert tls any any -> any !443 (msg:"elsewhere"; flow:to_server; sid:6;)\n'
        'alert http any any -> any any (content:"|0d 0a|anywhere"; sid:7;)\n', egress=True)

    def said(*lines: tuple[bool, bytes], port: int = 2222) -> list[int]:
        talk = Talk(watched, sport=next(PORTS), dport=port)
        places = [0, 0]
        found = []
        for answers, line in lines:
            frame = (talk.server if answers else talk.client)(places[answers], line)
            found += watched.say(frame, hook="egress" if answers else "xdp")
            places[answers] += len(line)
        return found

    assert said((True, b"SSH-2.0-OpenSSH_9\r\n"), (False, b"SSH-2.0-libssh_0.9 comment\r\n")) == [1]
    assert said((True, b"SSH-1.99-OpenSSH\r\n"), (False, b"SSH-2.0-other\r\n")) == [2]
    mail = [(True, b"220 mail.example ESMTP\r\n"), (False, b"EHLO me.example.org\r\n"), (True, b"250 mail.example\r\n")]
    assert said(*mail, (False, b"RCPT TO:<victim@x>\r\n"), (True, b"550 no such user here\r\n")) == [3, 4]
    assert said((True, b"220 nothing\r\n"), (False, b"RCPT TO:<victim@x>\r\n"), (True, b"550 no such\r\n")) == []
    assert said((True, b"220 files.example\r\n"), (False, b"USER anonymous\r\n"), (False, b"RETR secret.txt\r\n")) == [5]
    assert said((False, b"RETR secret.txt before anything else\r\n")) == []
    assert said((False, hello("x.org"))) == [6] and said((False, hello("x.org")), port=443) == []
    assert said((False, b"GET / HTTP/1.0\r\nanywhere: x\r\n\r\n")) == [7]
    assert said((False, b"not HTTP\r\nanywhere: x, and some more of it\r\n\r\n")) == []


@pytest.mark.kernel
def test_what_passes_and_bits_of_flows(in_kernel: Beds) -> None:
    watched = in_kernel(
        f'pass http any any -> any any ({SERVER}http.host; content:"friend.example"; sid:1;)\n'
        f'alert http any any -> any any ({SERVER}http.uri; content:"/first"; flowbits:set,asked; noalert; sid:2;)\n'
        f'alert http any any -> any any ({CLIENT}http.stat_code; content:"200"; flowbits:isset,asked; sid:3;)\n'
        f'alert http any any -> any any ({SERVER}http.uri; content:"/second"; sid:4;)\n', egress=True)
    talk = Talk(watched, sport=next(PORTS))
    assert talk.send((0, b"GET /second HTTP/1.1\r\nHost: friend.example\r\n\r\n")) == []
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert watched.say(talk.server(0, answer), hook="egress") == []
    assert talk.send((45, b"GET /first HTTP/1.1\r\nHost: other.example\r\n\r\n")) == []
    assert watched.say(talk.server(len(answer), answer), hook="egress") == [3]


@pytest.mark.kernel
def test_what_is_kept_is_bounded(in_kernel: Beds) -> None:
    from bpfwright.facets.intrusion.signatures.engine import Bounds
    watched = in_kernel(rules_of(SERVER + 'http.request_body; content:"never"; ', header="alert http any any -> any any"),
                        Limits(ring_bytes=1 << 22), bounds=Bounds(flows=8, bytes=20_000), egress=True)
    memory = watched.engine.memory
    for _ in range(12):
        talk = Talk(watched, sport=next(PORTS))
        talk.send((0, b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n"), *((42 + 1000 * n, b"x" * 1000) for n in range(5)))
        assert memory.bytes == sum(flow.size for flow in memory.flows.values())
        assert memory.bytes <= 20_000 + 12_000
    assert memory.evicted > 5

"""What the kernel's part finds and copies, drops and lets alone, in both machines."""
from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from bpfwright.errors import UsageError
from bpfwright.facets.intrusion.signatures.compiling import compiled
from bpfwright.facets.intrusion.signatures.kernel import Limits
from bpfwright.facets.intrusion.signatures.networks import prefixes_of
from bpfwright.facets.intrusion.signatures.reading import read_rules
from bpfwright.headers import ICMP, TCP, Ethernet, ICMPv6, IPv4, IPv6

from .bed import A, B, Bed, Talk, rules_of, udp

Beds = Callable[..., Bed]
DEPTH = 64


def test_patterns_of_every_length_at_every_place(bed: Beds) -> None:
    words = [bytes(random.Random(size).randrange(0x61, 0x7B) for _ in range(size)) for size in range(1, 22)]
    rules = "".join(f'alert udp any any -> any {2000 + size} (content:"{word.decode()}"; nocase; sid:{size};)\n'
                    for size, word in enumerate(words, 1))
    watched = bed(rules, Limits(depth=DEPTH, ring_bytes=1 << 20))
    for size, word in enumerate(words, 1):
        for place in range(DEPTH - size + 1):
            data = b"#" * place + (word.upper() if place % 2 else word) + b"#" * (place % 5)
            assert watched.say(udp(data, dport=2000 + size)) == [size], (word, place)
        assert watched.say(udp(b"#" * 9 + word[:-1] + b"!", dport=2000 + size)) == []
        if 1 < size <= 16:
            assert not watched.copies  # bytes that are compared in the kernel cost no copy


@pytest.mark.kernel
def test_beyond_the_depth(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('content:"pattern here";', header="alert udp any any -> any any"),
                  Limits(depth=DEPTH, ring_bytes=1 << 20))
    assert watched.say(udp(b"-" * (DEPTH - 12) + b"pattern here" + b"-" * 50)) == [1]
    assert watched.say(udp(b"-" * (DEPTH + 1) + b"pattern here")) == [] and not watched.copies


@pytest.mark.kernel
def test_places_that_a_rule_names(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('content:"|01 00|"; offset:2; depth:2;', 'content:"abcd"; offset:5; depth:4;',
                           'content:"klmnopqrs"; offset:1; depth:12;', 'content:"front"; startswith;',
                           header="alert udp any any -> any any"))
    assert watched.say(udp(b"xx\1\0"), udp(b"x\1\0x"), udp(b"xxx\1\0")) == [1] and len(watched.copies) == 1
    assert watched.say(udp(b"-----abcd"), udp(b"------abcd"), udp(b"----abcd")) == [2] and len(watched.copies) == 1
    for place in range(8):
        assert watched.say(udp(b"-" * place + b"klmnopqrs")) == ([3] if 1 <= place <= 4 else [])
    assert watched.say(udp(b"front"), udp(b"-front")) == [4]


@pytest.mark.kernel
def test_places_that_a_packet_names(in_kernel: Beds) -> None:
    """A place that is not known before hides nothing from the kernel's search, and a rule with one is no drop here."""
    watched = in_kernel('alert udp any any -> any any (byte_extract:1,0,n; content:"abcdefgh"; offset:n; depth:8; '
                        'sid:1;)\n'
                        'drop udp any any -> any any (byte_extract:1,0,n; content:"ijklmnop"; offset:n; sid:2;)\n')
    for place in (1, 5, 30):
        data = bytes([place]) + b"-" * (place - 1)
        assert watched.say(udp(data + b"abcdefgh")) == [1] and watched.say(udp(data + b"-abcdefgh")) == []
        assert watched.run(udp(data + b"ijklmnop")) == ["PASS"] and [each.rule.sid for each in watched.found()] == [2]


@pytest.mark.kernel
def test_what_stands_behind_a_payload_is_not_in_it(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('content:"longpattern";', header="alert udp any any -> any any"))
    assert watched.say(udp(b"--longpattern")) == [1]
    assert watched.say(udp(b"--longpa")) == [] and not watched.copies  # the rest is still in the program's memory


def test_headers(bed: Beds) -> None:
    watched = bed(
        'alert icmp any any -> any any (itype:8; icode:3; sid:1;)\nalert tcp any any -> any 22 (flags:S,CE; sid:2;)\n'
        'alert udp $HOME_NET any -> !$HOME_NET [53,100:200,!150] (dsize:<5; sid:3;)\n'
        'alert ip any any -> any any (ip_proto:103; sid:4;)\nalert ip any any -> any any (ttl:3; sid:5;)\n'
        'alert icmpv6 2001:db8::/32 any -> any any (itype:128; sid:6;)\nalert ip any any -> any any (sameip; sid:7;)\n',
        HOME_NET="[192.0.2.0/24,2001:db8::/32]")
    ip = IPv4(source=A, destination=B)
    assert watched.say(Ethernet() / ip / ICMP(type=8, code=3), Ethernet() / ip / ICMP(type=8, code=4)) == [1]
    syn = [Ethernet() / ip / flags for flags in (
        TCP(dport=22, syn=1), TCP(dport=22, syn=1, ece=1), TCP(dport=22, syn=1, ack=1), TCP(dport=22, fin=1))]
    assert watched.say(*syn) == [2, 2]
    assert watched.say(udp(b"1234"), udp(b"12345"), udp(b"1", dport=150), udp(b"1", dport=149)) == [3, 3]
    assert watched.say(udp(b"1", source=B, to=A), udp(b"1", to="192.0.2.77")) == []
    assert watched.say(udp(b"1", source="2001:db8::5", to="2001:db9::1"), udp(b"1", source="2001:db9::5",
                                                                             to="2001:db8::1")) == [3]
    assert watched.say(Ethernet() / IPv4(source=A, destination=B, protocol=103) / b"x") == [4]
    assert watched.say(Ethernet() / IPv4(source=A, destination=B, ttl=3) / ICMP()) == [5]
    assert watched.say(Ethernet() / IPv6(source="2001:db8::1", destination="2001:db9::1") / ICMPv6(type=128),
                       Ethernet() / IPv6(source="2001:db9::1", destination="2001:db8::1") / ICMPv6(type=128)) == [6]
    assert watched.say(udp(b"12345", to=A)) == [7]


def test_states_of_flows(bed: Beds) -> None:
    watched = bed(rules_of('flow:established,to_server; content:"question";',
                           'flow:established,to_client; content:"answer";', 'flow:not_established; content:"early";',
                           'flow:stateless; content:"whenever";'), egress=True)
    unknown = Talk(watched, sport=1, opened=False)
    assert unknown.send((0, b"question whenever early answer")) == [3, 4]
    talk = Talk(watched)
    assert talk.send((0, b"a long question, early and whenever")) == [1, 4]
    assert watched.say(talk.server(0, b"an answer to the question"), hook="egress") == [2]
    half = Talk(watched, sport=2, opened=False)
    watched.run(half.client(-1, syn=1))
    assert half.send((0, b"a question that is too early")) == [3]


@pytest.mark.kernel
def test_answers_of_datagrams_make_flows(in_kernel: Beds) -> None:
    watched = in_kernel('alert udp any any -> any any (flow:established; content:"secret"; sid:1;)\n'
                  'alert udp any any -> any any (flow:to_client; content:"reply"; sid:2;)\n')
    assert watched.say(udp(b"secret reply")) == []
    assert watched.say(udp(b"a secret reply", source=B, to=A, sport=53, dport=5000)) == [1, 2]
    assert watched.say(udp(b"secret reply")) == [1]


def test_rules_that_drop(bed: Beds) -> None:
    header = "drop udp any any -> any {}"
    watched = bed(rules_of('content:"Bad Word"; nocase; offset:2; dsize:<100;', header=header.format(9))
                  + 'drop udp any any -> any 10 (content:"one"; content:"two"; sid:2;)\n'
                  + 'drop tcp any any -> any 80 (flow:established,to_server; content:"attack now"; sid:3;)\n',
                  egress=True)
    assert watched.kernel.compiled.decided == {0, 2}
    assert watched.run(udp(b"--bAD wORD", dport=9, sport=1)) == ["DROP"]
    assert watched.run(udp(b"-bad word-", dport=9, sport=2), udp(b"--bad w0rd", dport=9, sport=3)) == ["PASS", "PASS"]
    assert watched.run(udp(b"--bad word" + bytes(100), dport=9, sport=4)) == ["PASS"]
    assert watched.run(udp(b"one two", dport=10)) == ["PASS"]
    assert [(each.rule.sid, each.dropped) for each in watched.found()] == [(1, True), (2, False)]
    assert watched.run(udp(b"what follows of that flow", dport=9, sport=1)) == ["DROP"]
    talk = Talk(watched)
    assert watched.run(talk.client(0, b"an attack can wait"), talk.client(18, b"an attack now"),
                       talk.client(31, b"more")) == ["PASS", "DROP", "DROP"]
    assert watched.run(talk.server(0, b"whatever"), hook="egress") == ["SHOT"]
    assert watched.count("dropped") == 5


@pytest.mark.kernel
def test_where_something_passes_nothing_is_decided_early(in_kernel: Beds) -> None:
    watched = in_kernel('drop udp any any -> any any (content:"bad word"; sid:1;)\n'
                  'pass udp 192.0.2.9 any -> any any (content:"bad"; sid:2;)\n')
    assert not watched.kernel.compiled.decided
    assert watched.say(udp(b"bad word")) == [] and watched.say(udp(b"bad word", source="192.0.2.10")) == [1]


@pytest.mark.kernel
def test_many_headers_share_buckets(in_kernel: Beds) -> None:
    rules = "".join(f'alert {("udp", "tcp")[number % 2]} any any -> any {number + 1000} '
                    f'(content:"word{number:03}"; sid:{number + 1};)\n' for number in range(150))
    watched = in_kernel(rules, egress=True)
    for number in range(0, 150, 2):
        assert watched.say(udp(b"a word%03d" % number, dport=number + 1000)) == [number + 1]
        assert watched.say(udp(b"a word%03d" % number, dport=number + 1001)) == []
    assert Talk(watched, dport=1149).send((0, b"here comes word149 and more")) == [150]


@pytest.mark.kernel
def test_many_patterns_with_one_word(in_kernel: Beds) -> None:
    rules = rules_of(*(f'content:"same{number:04}";' for number in range(60)), header="alert udp any any -> any any")
    watched = in_kernel(rules)
    for number in range(60):
        assert watched.say(udp(b"-" * (number % 7) + b"same%04d" % number)) == [number + 1]


def test_more_patterns_than_there_is_room_for() -> None:
    rules = rules_of(*(f'content:"{number * 7919:08x}{number:08x}";' for number in range(17_000)))
    read = read_rules(rules)
    with pytest.raises(UsageError, match="65535 are the most"):
        compiled(read.signatures)


@pytest.mark.kernel
def test_malformed_packets_are_let_alone(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('content:"abcdefgh";', "flags:S;", header="alert tcp any any -> any any")
                  + 'alert ip any any -> any any (content:"abcdefgh"; sid:9;)\n')
    whole = bytes(Ethernet() / IPv4(source=A, destination=B) / TCP(dport=80) / b"abcdefgh")
    draw = random.Random(7)
    frames = [whole[:size] for size in range(14, len(whole))]
    for _ in range(150):
        broken = bytearray(whole)
        for _ in range(3):
            broken[draw.randrange(12, 54)] = draw.randrange(256)
        frames.append(bytes(broken))
    assert set(watched.run(*frames)) <= {"PASS"}
    watched.found()


@pytest.mark.parametrize(("low", "high"), [
    (0, 0), (5, 9), (0, (1 << 128) - 1), (1, (1 << 128) - 1), (10 << 96, 11 << 96)])
def test_spans_as_prefixes(low: int, high: int) -> None:
    at = low
    for first, length in prefixes_of(((low, high),)):
        assert first == at and first % (1 << 128 - length) == 0
        at += 1 << 128 - length
    assert at == high + 1

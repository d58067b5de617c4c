"""What rules mean, and what is said of those that mean nothing here."""
from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.datapath.configuration import read
from bpfwright.errors import BpfwrightError, ConfigurationError, TargetError
from bpfwright.facets.intrusion.facet import FACET
from bpfwright.facets.intrusion.signatures.keywords import KEYWORDS, OTHERS
from bpfwright.facets.intrusion.signatures.model import ByteJump, ByteTest, Content, DataAt, Flow, Flowbit, Threshold
from bpfwright.facets.intrusion.signatures.reading import Rules, read_rules
from bpfwright.facets.intrusion.signatures.spans import ADDRESSES, PORTS, Wrong, complement, holds, parsed, union

README = Path(__file__).parents[4] / "src/bpfwright/facets/intrusion/README.md"


def rule(options: str, header: str = "alert tcp any any -> any any") -> str:
    return f"{header} ({options} sid:7;)\n"


def one(options: str, header: str = "alert tcp any any -> any any") -> object:
    found = read_rules(rule(options, header))
    assert not found.refused, found.refused
    return found.signatures[0]


def refused(text: str) -> ConfigurationError:
    found = read_rules(text, "a.rules")
    assert not found.signatures and len(found.refused) == 1
    return found.refused[0]


def test_a_rule_of_many_words() -> None:
    (found,) = read_rules(
        'alert tcp $EXTERNAL_NET [1024:,!6000] -> $HOME_NET [80,8080] (msg:"A \\"quoted\\" \\; name"; '
        'flow:established,to_server; content:"GET |20|/a\\;b"; nocase; offset:1; depth:40; fast_pattern; '
        'content:!"x"; distance:-2; within:9; isdataat:!10,relative; byte_test:2,!>,0x10,-4,relative,little; '
        'byte_jump:4,0,string,hex,multiplier 2,align,from_beginning,post_offset -1; pcre:"/a\\/b\\sc/Ri"; '
        'flowbits:isset,a|b; flowbits:set,c; threshold:type both, track by_src, count 5, seconds 60; '
        'flags:SA+,CE; ttl:<5; window:!0; dsize:10<>20; classtype:attempted-admin; reference:cve,2024-1; '
        'metadata:policy drop, since 2024; priority:2; target:dest_ip; rev:3; gid:4; sid:99;)',
        variables={"HOME_NET": "[10.0.0.0/8,!10.1.0.0/16]", "EXTERNAL_NET": "!$HOME_NET"}).signatures
    assert (found.msg, found.sid, found.rev, found.gid, found.priority) == ('A "quoted" ; name', 99, 3, 4, 2)
    assert found.destination_ports == ((80, 80), (8080, 8080)) and found.source_ports == ((1024, 5999), (6001, 65535))
    inside, outside = (int(ipaddress.ip_address(text)) | 0xFFFF << 32 for text in ("10.9.9.9", "10.1.9.9"))
    assert holds(found.destination, inside) and not holds(found.destination, outside)
    assert not holds(found.source, inside) and holds(found.source, outside) and holds(found.source, 1)
    assert found.flow == Flow(to_server=True, state="established")
    assert found.steps[:5] == (
        Content(b"GET  /a;b", nocase=True, offset=1, depth=40, fast=True), Content(b"x", True, distance=-2, within=9),
        DataAt(10, True, True), ByteTest(2, True, ">", 16, -4, True, True),
        ByteJump(4, 0, number_base=16, multiplier=2, align=True, origin="beginning", post=-1))
    assert found.flowbits == (Flowbit("isset", ("a", "b")), Flowbit("set", ("c",)))
    assert found.threshold == Threshold("both", "by_src", 5, 60)
    assert found.flags is not None and found.flags.hold(0x12 | 0x80 | 8) and not found.flags.hold(0x02)
    assert dict(found.numbers) == {"ttl": ((0, 4),), "window": ((1, 65535),), "dsize": ((11, 19),)}
    assert found.references == (("cve", "2024-1"),) and found.metadata == (("policy", "drop"), ("since", "2024"))


def test_files_go_over_lines_and_have_comments() -> None:
    found = read_rules("# nothing\n\nalert ip any any -> any any (msg:\"a\"; \\\r\n  sid:1;)\r\n"
                       "alert udp any any <> any 53 (content:\"ab\"; sid:2;)\n")
    assert [(each.line, each.sid, each.both_ways) for each in found.signatures] == [(3, 1, False), (5, 2, True)]


@pytest.mark.parametrize(("text", "said", "cure"), [
    (rule('smb.share; content:"a";'), "a.rules:1:31: the keyword 'smb.share' is not understood", "not taken out"),
    (rule('contant:"a";'), "the keyword 'contant'", "Did you mean content?"),
    (rule("flowint:n,+,1;"), "the keyword 'flowint' is not understood", "leave the rule out"),
    (rule("filesize:>9;"), "the keyword 'filesize' is not understood", "look into file.data"),
    (rule("app-layer-event:http.odd;"), "the keyword 'app-layer-event'", "What decoders find odd"),
    (rule("sameip;", "alert pkthdr any any -> any any"), "'pkthdr' is no protocol", "What cannot be decoded"),
    (rule("ttl:<5; ttl:>6;"), "no number is this, and what stands before it", ""),
    (rule("", "alert smb any any -> any any"), "'smb' is no protocol", "There are ip, tcp"),
    (rule("", "reject tcp any any -> any any"), "'reject' is no action", "write drop"),
    (rule("", "alert tcp any any any any"), "seven parts, this one has 6", "source port"),
    (rule("", "alert tcp any any <- any any"), "'<-' is no direction", "->"),
    (rule("", "alert tcp $NONE any -> any any"), "no variable $NONE", "variables"),
    (rule("", "alert tcp any 70000 -> any any"), "'70000' is no port", "a range"),
    (rule("", "alert tcp [10.0.0.1,] any -> any any"), "a member of this list is empty", ""),
    (rule("", "alert tcp !any any -> any any"), "!any holds nothing", "leaves nothing"),
    (rule('content:"a'), "a text in quotes has no end", ""), (rule('content:"|0g|";'), "hexadecimal", "0d 0a"),
    (rule('content:"";'), "this content is empty", ""), (rule("nocase;"), "no content before it", ""),
    (rule('content:"abc"; depth:2;'), "3 bytes do not lie in a depth of 2", ""),
    (rule('content:"abc"; depth:4; distance:1;'), "not both", ""),
    (rule('content:"a"; nocase; nocase;'), "has one already", ""),
    (rule('content:"a"; offset:n;'), "no byte_extract or byte_math before it gives 'n'", ""),
    (rule("byte_extract:1,0,n; byte_extract:1,1,n;"), "another number already", ""), (rule("byte_extract:1,0;"), "a name", ""),
    (rule("byte_math:bytes 1,offset 0,oper %,rvalue 1,result n;"), "'%' is no operator", "<<"),
    (rule("byte_math:bytes 1,offset 0,oper +,result n;"), "has no rvalue", ""), (rule("byte_extract:1,0,n,dce;"), "'dce'", ""),
    (rule("xbits:set,a;"), "'' is nothing that is tracked", "ip_pair"),
    (rule("xbits:gain,a,track ip_src;"), "'gain'", ""),
    (rule("xbits:set,a,track ip_src,within 5;"), "no part of xbits", "expire"),
    (rule("hostbits:set;"), "takes one name", ""),
    (rule("tag:session,5,packets;"), "'tag' is not understood", ""), (rule("iprep:src,a,>,1;"), "'iprep'", ""),
    (rule('pcre:"/a(/";'), "not understood", ""), (rule('pcre:"/a/E";'), "'E' is no flag", "buffers"),
    (rule('pcre:"/a(?i)b/";'), "is not known here", "Flags stand"), (rule('pcre:"/(?r)ab/";'), "not known here", ""),
    (rule('pcre:"/\\mab/";'), "is not known here", ""), (rule('pcre:"/a(?i-U:b)/";'), "is not known here", ""),
    (rule("flags:Q;"), "'Q' is no TCP flag", "F S R"), (rule("ttl:300;"), "not between 0 and 255", ""),
    (rule("dsize:5<>6;"), "nothing lies between", ""), (rule("flow:to_server,to_client;"), "both ways", ""),
    (rule("flow:established,stateless;"), "contradicts", ""), (rule("flowbits:set;"), "takes a name", ""),
    (rule("threshold:type limit, count 1, seconds 2;"), "has no track", "It has type"),
    (rule("classtype:none-such;"), "no class 'none-such'", "priority"), (rule("msg:none;"), "in quotes", ""),
    (rule("itype:8;"), "itype is of icmp", ""), (rule("sid:3;"), "stands here twice", ""),
    ("alert tcp any any -> any any (msg:\"a\";)\n", "has no sid", "sid:"), (rule("rev;"), "needs a value", ""),
    (rule("sameip:1;"), "no value", ""),
    ("alert tcp any any -> any any sid:1;\n", "its options in ( and )", ""),
    ("alert tcp any any -> any any (sid:1)\n", "no ; behind it", ""),
])
def test_what_is_refused(text: str, said: str, cure: str) -> None:
    error = refused(text)
    assert said in error.what and cure in error.cure and error.what.startswith("a.rules:1:") and error.column


def test_a_place_in_a_rule_of_several_lines() -> None:
    error = refused('alert tcp any any -> any any (msg:"a"; \\\n    contant:"b"; sid:1;)\n')
    assert (error.line, error.column) == (2, 5)


def test_numbers_are_of_one_rule_each() -> None:
    found = read_rules(rule("") + rule("msg:\"b\";"), "a.rules")
    assert len(found.signatures) == 1 and "another rule has sid 7: a.rules:1" in found.refused[0].what


def test_variables_that_are_made_of_themselves() -> None:
    found = read_rules(rule("", "alert tcp $A any -> any any"), variables={"A": "[$B]", "B": "!$A"})
    assert "is made of itself" in found.refused[0].what


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20))), st.integers(0, 330))
def test_sets_of_spans(parts: list[tuple[int, int]], number: int) -> None:
    spans = union((low, low + size) for low, size in parts)
    inside = any(low <= number <= low + size for low, size in parts)
    assert holds(spans, number) == inside and holds(complement(spans, 400), number) != inside


@given(st.text(alphabet="[]!,$: -.0123456789aAny/", max_size=30))
def test_texts_of_addresses_and_ports(text: str) -> None:
    for domain in (ADDRESSES, PORTS):
        try:
            spans = parsed(text, domain, {"A": "any"})
        except Wrong as wrong:
            assert wrong.what and 0 <= wrong.at <= len(text)
        else:
            assert spans == union(spans)


WORDS = st.sampled_from([*KEYWORDS, "http.uri", ":", ";", "(", ")", '"', "!", "|", "\\", "\n", ",", "-", "1", "->"])


@given(st.lists(st.one_of(WORDS, st.text(max_size=4)), max_size=30))
def test_whatever_is_written_gives_rules_or_errors(words: list[str]) -> None:
    text = "alert tcp any any -> any any (" + "".join(words) + " sid:1;)"
    found = read_rules(text, "fuzz.rules")
    for error in found.refused:
        assert error.what.startswith("fuzz.rules:") and error.line >= 1 and error.column >= 1


@given(st.sampled_from(sorted(KEYWORDS)), st.text(max_size=20))
def test_whatever_a_keyword_is_given(name: str, value: str) -> None:
    found = read_rules(f'alert ip any any -> any any (content:"a"; {name}:{value}; sid:1;)', "fuzz.rules")
    assert len(found.signatures) + len(found.refused) >= 1


def section(tmp_path: Path, rules: str, more: str = "") -> object:
    (tmp_path / "a.rules").write_text(rules)
    whole = read(f"intrusion: {{signatures: [a.rules]{more}}}\n", str(tmp_path / "net.yaml"))
    found = whole.section("intrusion")
    assert found is not None
    settings = FACET.read(found)
    found.done()
    return settings.signatures


def test_a_file_is_refused_or_goes_on_without(tmp_path: Path) -> None:
    header = "alert tcp any any -> any any"
    text = rule("") + f"{header} (smb.share; sid:8;)\n{header} (krb5_sname; sid:9;)\n"
    with pytest.raises(ConfigurationError) as caught:
        section(tmp_path, text)
    assert f"{tmp_path}/a.rules:2:31: " in caught.value.what and "1 more rules" in caught.value.cure
    found = section(tmp_path, text, ", unsupported: skip, variables: {HOME_NET: [10.0.0.0/8, 192.0.2.1]}, depth: 100")
    rules: Rules = found.rules  # type: ignore[attr-defined]
    assert len(rules.signatures) == 1 and len(rules.refused) == 2
    assert found.limits.depth == 96  # type: ignore[attr-defined]


@pytest.mark.parametrize(("text", "said"), [
    ("{arp: true, variables: {A: any}}", "no file of signatures is named"),
    ("{signatures: [none.rules]}", "cannot be read"), ("{signatures: [a.rules], depth: 8}", "not between 32"),
    ("{signatures: [a.rules], unsupported: maybe}", "is none of refuse, skip"),
    ("{signatures: [a.rules], streams: {fallow: 1}}", "no such key"), ("{signatures: [a.rules]}", "hold no rule"),
])
def test_mistakes_in_the_section(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.rules").write_text("# nothing yet\n")
    whole = read(f"intrusion: {text}\n", str(tmp_path / "net.yaml")).section("intrusion")
    assert whole is not None
    with pytest.raises((ConfigurationError, TargetError)) as caught:
        FACET.read(whole)
    assert isinstance(caught.value, BpfwrightError) and said in caught.value.what


def test_numbers_of_a_field_that_are_told_apart_and_together() -> None:
    (found,) = read_rules(rule("tos:!0; ttl:>5; tos:!8; ttl:<10; tos:<11;")).signatures
    assert dict(found.numbers) == {"tos": ((1, 7), (9, 10)), "ttl": ((6, 9),)}


def test_every_refusal_by_design_has_a_cure() -> None:
    assert not OTHERS.keys() & KEYWORDS.keys()
    for name in OTHERS:
        error = refused(rule(f"{name}:1;"))
        assert name in error.what and "a.rules:1:" in error.what and error.cure == OTHERS[name]


def test_the_published_list_is_the_one_that_is_read() -> None:
    text = README.read_text()
    listed = [line.split("|")[1].strip().strip("`") for line in text.splitlines() if line.startswith("| `")]
    assert set(KEYWORDS) <= set(listed), set(KEYWORDS) - set(listed)


def test_ways_that_public_files_write_rules() -> None:
    rules = r'''
alert http $HOME_NET any -> $EXTERNAL_NET any (msg:"a"; flow:established,to_server; http.method; content:"POST"; http.uri; content:".php"; endswith; pcre:"/^\/[a-z]{4,9}\.php$/"; http.header; content:!"Referer|3a 20|"; http.user_agent; content:"Mozilla/4.0|20|(compatible|3b| MSIE 6.0"; startswith; fast_pattern; http.content_len; byte_test:0,<,100,0,string,dec; http.header_names; content:"|0d 0a|Host|0d 0a|Content-Length|0d 0a|"; startswith; reference:url,example.org/a; classtype:trojan-activity; sid:1; rev:2; metadata:affected_product Windows_XP, created_at 2024_01_01;)
alert http $HOME_NET any -> any any (msg:"b"; flow:to_server,established; content:"GET"; http_method; depth:3; content:"/a/"; http_uri; fast_pattern:only; content:!"Accept|3a|"; http_header; content:"User-Agent|3a| x"; http_header; nocase; content:"|0d 0a|"; distance:5; within:9; http_header; pcre:"/^Host\x3a\s*[^\r\n]+?\.evil\r?$/Hmi"; urilen: > 20; threshold: type limit, count 1, seconds 60, track by_src; sid:2;)
alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"c"; flow:established,from_server; http.stat_code; content:"200"; http.content_type; content:"text/html"; startswith; file_data; content:"<script>"; nocase; content:"eval("; distance:0; fast_pattern; pkt_data; content:"|0d 0a 0d 0a|"; sid:3;)
alert dns $HOME_NET any -> any any (msg:"d"; dns.query; content:".evil.example"; nocase; endswith; isdataat:!1,relative; sid:4;)
alert tls $HOME_NET any -> $EXTERNAL_NET any (msg:"e"; flow:established,to_server; tls.sni; dotprefix; content:".evil.example"; endswith; nocase; xbits:set,seen,track ip_src,expire 10; sid:5;)
alert tcp $HOME_NET any -> any ![80,443] (msg:"f"; flow:established,to_server; uricontent:"/x.cgi?"; pcre:"/x\.cgi\?\d+/Ui"; content:"raw"; http_client_body; sid:6;)
alert udp $HOME_NET any -> any 53 (msg:"g"; dns_query; content:"x.example"; sid:7;)
'''
    found = read_rules(rules)
    assert not found.refused, found.refused
    first, second, third, *_ = found.signatures
    assert [group.buffer for group in first.groups] == [
        "http.method", "http.uri", "http.header", "http.user_agent", "http.content_len", "http.header_names"]
    assert [(group.buffer, len(group.steps)) for group in second.groups] == [
        ("http.method", 1), ("http.uri", 2), ("http.header", 4)]
    assert [group.buffer for group in third.groups] == ["http.stat_code", "http.content_type", "file.data"]
    assert third.steps == (Content(b"\r\n\r\n"),) and third.side == "client"
    assert [rule.speaks for rule in found.signatures] == ["http", "http", "http", "dns", "tls", "http", "dns"]


@pytest.mark.parametrize(("text", "said"), [
    (rule('http.uri; content:"a"; http.stat_code; content:"200";'), "no message is of both"),
    (rule('http.uri; content:"a"; dns.query; content:"b";'), "does not speak dns and http"),
    (rule('tls.sni; content:"a";', "alert http any any -> any any"), "does not speak http and tls; this rule looks into tls.sni"),
    (rule('http.uri; content:"a"; file.data; content:"b";'), "(http.uri to the server, file.data to the client)"),
    (rule('http.uri; content:"a";', "alert udp any any -> any any"), "http is not looked for in udp"),
    (rule('flow:to_client; http.uri; content:"a";'), "no message is of both"),
    (rule("app-layer-protocol:smb;"), "'smb' is no protocol that is recognised here"),
    (rule("app-layer-protocol:!http;", "alert http any any -> any any"), "does not speak http, and not http"),
    (rule('http.host; content:"A";'), "in lower case"), (rule("http.uri;"), "nothing is looked for in http.uri"),
    (rule('http_uri; content:"a";'), "no content before it"), (rule('content:"a"; http_uri; http_header;'), "has a buffer already"),
    (rule('to_md5; content:"a";'), "no buffer stands before"), (rule('http.uri; content:"a"; to_md5;'), "behind a content"),
    (rule("bsize:3;"), "no buffer stands before"), (rule("urilen:3,big;"), "is no form"),
    (rule('pcre:"/a/UH";'), "name several buffers"), (rule('http.uri; content:"a"; fast_pattern; http.host; content:"b"; fast_pattern;'),
                                                     "the fast pattern already")])
def test_what_is_refused_about_buffers(text: str, said: str) -> None:
    assert said in refused(text).what

"""Rules about what protocols say, in the style of public files, and for each what it is about and only nearly is."""
from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["STYLES", "Said", "path_of", "word_of"]

_WORDS = ("admin", "upload", "shell", "login", "config", "gate", "panel", "update", "check", "image", "search", "task")
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_OUT = "$HOME_NET any -> $EXTERNAL_NET any"
_IN = "$EXTERNAL_NET any -> $HTTP_SERVERS any"


class Said(NamedTuple):
    """A rule's text, bytes that it is about, and bytes that differ in what it asks for."""

    text: str
    said: bytes = b""
    near: bytes = b""


def word_of(draw: random.Random, least: int = 4, most: int = 9) -> str:
    return "".join(draw.choice(_LETTERS) for _ in range(draw.randint(least, most)))


def path_of(draw: random.Random, words: tuple[str, ...] = _WORDS) -> str:
    return "/" + "/".join(draw.choice(words) + word_of(draw, 2, 5) for _ in range(draw.randint(1, 2)))


def _written(draw: random.Random, path: str) -> str:
    """A path as it may be sent: some letters escaped, some slashes twice."""
    found = []
    for letter in path.partition("?")[0]:
        odd = draw.random()
        found.append(f"%{ord(letter):02x}" if odd < 0.05 and letter != "/" else "//" if letter == "/" and odd < 0.1
                     else letter)
    return "/" + "".join(found).lstrip("/") + "".join(path.partition("?")[1:])


def _request(draw: random.Random, method: str, uri: str, host: str, headers: list[str], body: bytes = b"") -> bytes:
    lines = [f"Host: {host}", *headers, "Accept-Language: en-US,en;q=0.9", "Connection: keep-alive"]
    if body and draw.random() < 0.3:
        cut = draw.randint(1, len(body))
        sent = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part) + b"0\r\n\r\n"
        lines.append("Transfer-Encoding: chunked")
    else:
        sent = body
        lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {uri} HTTP/1.1", *lines, "", ""]).encode() + sent


def _uri(draw: random.Random) -> Said:
    path, name, number = path_of(draw) + ".php", word_of(draw), draw.randint(100, 99999)
    text = (f'alert http {_IN} (msg:"WEB_SPECIFIC {name} attempt"; flow:established,to_server; http.method; '
            f'content:"GET"; http.uri; content:"{path}?"; fast_pattern; nocase; content:"{name}="; distance:0; '
            f'pcre:"/{name}=\\d{{3,}}/i"; classtype:web-application-attack;')
    host = f"{word_of(draw)}.example"
    return Said(text, _request(draw, "GET", _written(draw, f"{path}?{name}={number}"), host, []),
                _request(draw, "GET", f"{path}?{name}=x{number}", host, []))


def _checkin(draw: random.Random) -> Said:
    path, agent = path_of(draw), f"{word_of(draw).title()}/{draw.randint(1, 9)}.0 ({word_of(draw)})"
    text = (f'alert http {_OUT} (msg:"MALWARE checkin"; flow:established,to_server; http.method; content:"POST"; '
            f'http.uri; content:"{path}"; startswith; bsize:{len(path)}; http.user_agent; content:"{agent}"; '
            f'bsize:{len(agent)}; http.header_names; content:!"Referer"; classtype:command-and-control;')
    made = [_request(draw, "POST", where, "c2.example", [f"User-Agent: {agent}"], b"id=7")
            for where in (_written(draw, path), path + "x")]
    return Said(text, *made)


def _old_style(draw: random.Random) -> Said:
    path, name = path_of(draw), word_of(draw)
    text = (f'alert http {_OUT} (msg:"TROJAN {name}"; flow:established,to_server; content:"GET"; http_method; '
            f'content:"{path}"; http_uri; nocase; content:"{name}|3a| "; http_header; '
            f'content:!"Mozilla"; http_user_agent; classtype:trojan-activity;')
    return Said(text, *(_request(draw, "GET", path, "x.example", [f"{name}: 1", f"User-Agent: {agent}"])
                        for agent in ("curl", "Mozilla/5.0")))


def _posted(draw: random.Random) -> Said:
    name, value = word_of(draw), word_of(draw, 8, 12)
    text = (f'alert http {_IN} (msg:"EXPLOIT {name}"; flow:established,to_server; http.request_body; '
            f'content:"{name}={value}"; http.content_type; content:"x-www-form-urlencoded"; '
            f'classtype:attempted-admin;')
    kind = ["Content-Type: application/x-www-form-urlencoded"]
    return Said(text, *(_request(draw, "POST", "/form", "x.example", kind, f"a=b&{name}={each}&c=d".encode())
                        for each in (value, value[:-1])))


def _hosted(draw: random.Random) -> Said:
    host, path = f"{word_of(draw, 6, 12)}.{word_of(draw, 3, 5)}.example", path_of(draw)
    text = (f'alert http {_OUT} (msg:"PHISHING {host}"; flow:established,to_server; http.host; content:"{host}"; '
            f'endswith; http.uri; content:"{path}"; startswith; classtype:social-engineering;')
    return Said(text, _request(draw, "GET", path, host.title() + ":8080", []),
                _request(draw, "GET", path, host + ".org", []))


def _header(draw: random.Random) -> Said:
    name, value = f"X-{word_of(draw).title()}", word_of(draw)
    text = (f'alert http {_OUT} (msg:"MALWARE header"; flow:established,to_server; http.header; '
            f'content:"{name}|3a 20|{value}|0d 0a|"; http.cookie; content:"sid={value}"; '
            f'classtype:trojan-activity;')
    return Said(text, *(_request(draw, "GET", "/", "x.example", [f"{name}:  {each}", f"Cookie: a=b; sid={value}"])
                        for each in (value, value + "x")))


def _answer(draw: random.Random) -> Said:
    mark = word_of(draw, 8, 14)
    text = (f'alert http $EXTERNAL_NET any -> $HOME_NET any (msg:"EXPLOIT_KIT landing"; flow:established,to_client; '
            f'http.stat_code; content:"200"; file.data; content:"<script>{mark}"; nocase; '
            f'classtype:exploit-kit;')
    bodies = [f"<html>{'.' * draw.randint(0, 900)}<SCRIPT>{each}</html>".encode() for each in (mark, mark[:-1] + "-")]
    packed = draw.random() < 0.5
    made = []
    for body in bodies:
        sent = gzip.compress(body) if packed else body
        coding = "Content-Encoding: gzip\r\n" if packed else ""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{coding}Content-Length: {len(sent)}\r\n\r\n"
        made.append(head.encode() + sent)
    return Said(text, *made)


def _labels(name: str) -> bytes:
    return b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"


def _question(draw: random.Random) -> Said:
    name = f"{word_of(draw, 5, 14)}.{draw.choice(('com', 'net', 'top', 'xyz'))}"
    how, asked, other = draw.choice((
        (f'content:"{name}"; nocase; bsize:{len(name)};', name.upper(), "www." + name),
        (f'dotprefix; content:".{name}"; nocase; endswith;', "a.b." + name, "not" + name),
        (f'content:"{name}"; endswith;', "www." + name, name + ".org")))
    text = f'alert dns $HOME_NET any -> any any (msg:"DOMAIN {name}"; dns.query; {how} classtype:domain-c2;'
    head = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0"
    return Said(text, head + _labels(asked), head + _labels(other))


def _hello(name: str, padding: int) -> bytes:
    host = name.encode()
    names = b"\0" + len(host).to_bytes(2, "big") + host
    extensions = b"\0\x15" + padding.to_bytes(2, "big") + bytes(padding) + b"\0\0" + (
        len(names) + 2).to_bytes(2, "big") + len(names).to_bytes(2, "big") + names
    body = b"\3\3" + bytes(32) + b"\0\0\2\x13\1\1\0" + len(extensions).to_bytes(2, "big") + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + len(message).to_bytes(2, "big") + message


def _named(draw: random.Random) -> Said:
    name = f"{word_of(draw, 5, 14)}.{draw.choice(('com', 'net', 'top', 'xyz'))}"
    text = (f'alert tls {_OUT} (msg:"TLS SNI {name}"; flow:established,to_server; tls.sni; '
            f'{draw.choice(("", "dotprefix; "))}content:"{name}"; endswith; classtype:domain-c2;')
    padding = draw.choice((0, 200, 1200))
    return Said(text, _hello(name, padding), _hello(name + "x", padding))


def _ssh(draw: random.Random) -> Said:
    name = word_of(draw)
    text = (f'alert ssh {_IN} (msg:"SCAN {name}"; flow:established,to_server; ssh.software; content:"{name}"; '
            f'startswith; classtype:attempted-recon;')
    return Said(text, f"SSH-2.0-{name}_1.0\r\n".encode(), f"SSH-2.0-x{name}_1.0\r\n".encode())


def _element(kind: int, content: bytes) -> bytes:
    size = len(content)
    return bytes([kind]) + (bytes([size]) if size < 0x80 else b"\x82" + size.to_bytes(2, "big")) + content


def _message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def _server(name: str, padding: int) -> bytes:
    """A server's hello and its certificate."""
    named = _element(0x30, _element(0x31, _element(0x30, _element(6, b"\x55\4\3") + _element(12, name.encode()))))
    method = _element(0x30, _element(6, b"\x2a\x86\x48\x86\xf7\x0d\1\1\x0b"))
    valid = _element(0x30, _element(0x17, b"250101000000Z") * 2)
    body = _element(2, b"\x2a") + method + named + valid + named + _element(0x30, bytes(padding))
    made = _element(0x30, _element(0x30, body) + method + _element(3, bytes(140)))
    chain = len(made).to_bytes(3, "big") + made
    said = _message(2, b"\3\3" + bytes(32) + b"\0\xc0\x2f\0") + _message(11, len(chain).to_bytes(3, "big") + chain)
    return b"\x16\3\3" + len(said).to_bytes(2, "big") + said


def _certificate(draw: random.Random) -> Said:
    name, padding = word_of(draw), draw.choice((0, 300, 1000))
    text = (f'alert tls $EXTERNAL_NET any -> $HOME_NET any (msg:"SSL certificate"; flow:established,to_client; '
            f'tls.cert_subject; content:"CN={name}"; classtype:command-and-control;')
    return Said(text, _server(name, padding), _server("x" + name, padding))


def _share(draw: random.Random) -> Said:
    return Said(f'alert smb $HOME_NET any -> any any (msg:"SMB"; flow:established; smb.share; '
                f'content:"{word_of(draw)}"; classtype:misc-activity;')


STYLES: tuple[tuple[Callable[[random.Random], Said], int], ...] = (
    (_uri, 9), (_checkin, 7), (_old_style, 6), (_posted, 4), (_hosted, 4), (_header, 4), (_answer, 5), (_question, 18),
    (_named, 12), (_ssh, 1), (_certificate, 2), (_share, 1))
"""What is made, and how often, of a hundred rules with those of bench/rules_in_style.py."""

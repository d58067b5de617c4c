"""Rules in the style of public files, and packets for a rule: some that it is about, some that only nearly are.

    .venv/bin/python bench/rules_in_style.py [--rules N] [--seed N]    prints the rules
"""
from __future__ import annotations

import argparse
import random
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from bench.rules_of_protocols import STYLES, Said, path_of, word_of
from bpfwright.facets.intrusion.signatures.model import ByteJump, ByteTest, Content, DataAt, Pattern, Signature

FILLER = 0x8F  # in no pattern
VARIABLES = {"HOME_NET": "[10.0.0.0/8,192.168.0.0/16]", "EXTERNAL_NET": "!$HOME_NET", "HTTP_PORTS": "[80,8080,8000]"}
OUTSIDE, INSIDE = 0x2D000000, 0x0A000000
_WORDS = ("admin", "upload", "shell", "cmd", "exec", "login", "config", "report", "gate", "panel", "update", "check",
          "stat", "image", "news", "forum", "view", "search", "query", "order", "download", "task", "beacon", "agent",
          "client", "server", "proxy", "token", "session", "data", "file", "list", "index", "main", "setup")


class Rule(NamedTuple):
    """A rule's text; what its expression matches, where it has one; bytes that it is about and nearly is, where they
    are not made of its steps."""

    text: str
    sample: bytes = b""
    said: bytes = b""
    near: bytes = b""


def _hex(draw: random.Random, count: int) -> str:
    return "|" + " ".join(f"{draw.choice([n for n in range(256) if n != FILLER]):02X}" for _ in range(count)) + "|"


def _web(draw: random.Random) -> Rule:
    path, name = path_of(draw, _WORDS), word_of(draw)
    return Rule(f'alert tcp $EXTERNAL_NET any -> $HOME_NET $HTTP_PORTS (msg:"WEB {path} attempt"; flow:established,'
                f'to_server; content:"{draw.choice(("GET", "POST"))} "; depth:5; content:"{path}.php?"; nocase; '
                f'content:"{name}="; nocase; distance:0; within:{len(name) + 1 + draw.randint(8, 60)}; '
                f'classtype:web-application-attack;')


def _web_expression(draw: random.Random) -> Rule:
    path, name, digits = path_of(draw, _WORDS), word_of(draw), draw.randint(1000, 99999)
    return Rule(f'alert tcp $EXTERNAL_NET any -> $HOME_NET $HTTP_PORTS (msg:"WEB {name} number"; flow:established,'
                f'to_server; content:"{path}.asp"; nocase; fast_pattern; pcre:"/{name}\\x3d\\d{{4,}}/i"; '
                f'reference:cve,20{draw.randint(10, 25)}-{draw.randint(1000, 9999)}; '
                f'classtype:web-application-activity;', f"{name.upper()}={digits}".encode())


def _trojan(draw: random.Random) -> Rule:
    first = draw.randint(0, 8)
    ports = draw.choice(("any", "!80", "443", "1024:", "[81,8081,4444]"))
    return Rule(f'alert tcp $HOME_NET any -> $EXTERNAL_NET {ports} '
                f'(msg:"TROJAN checkin"; flow:established,to_server; content:"{_hex(draw, draw.randint(4, 6))}'
                f'{word_of(draw, 3, 6)}"; offset:{first}; depth:{first + 24}; content:"{word_of(draw, 3, 5)}"; '
                f'distance:{draw.randint(0, 4)}; classtype:trojan-activity;')


def _domain(draw: random.Random) -> Rule:
    name, top = word_of(draw, 5, 14), draw.choice(("com", "net", "top", "xyz", "biz"))
    return Rule(f'alert udp $HOME_NET any -> any 53 (msg:"DNS query for {name}"; '
                f'content:"|01 00 00 01 00 00 00 00 00 00|"; depth:10; offset:2; '
                f'content:"|{len(name):02X}|{name}|{len(top):02X}|{top}|00|"; nocase; distance:0; '
                f'fast_pattern; threshold:type limit, track by_src, count 1, seconds 300; classtype:domain-c2;')


def _icmp(draw: random.Random) -> Rule:
    pattern = f'content:"{word_of(draw, 4, 12)}"; ' if draw.random() < 0.7 else ""
    rest = draw.choice((f"dsize:>{draw.randint(300, 900)}; ", f"icmp_id:{draw.randint(1, 60000)}; ",
                        f"icode:{draw.randint(0, 15)}; ", f"ttl:{draw.randint(1, 30)}; "))
    kinds = (8, 13, 15) if "icmp_id" in rest else (8, 13, 15, 3)
    return Rule(f'alert icmp $EXTERNAL_NET any -> $HOME_NET any (msg:"ICMP odd"; itype:{draw.choice(kinds)}; '
                f'{pattern}{rest if pattern == "" or "icmp_id" not in rest else ""}classtype:attempted-recon;')


def _scan(draw: random.Random) -> Rule:
    flags = draw.choice(("S,12", "SF", "0", "FPU", "F,12", "SR*", "SFRPAU"))
    return Rule(f'alert tcp $EXTERNAL_NET any -> $HOME_NET {draw.choice(("any", "22", "3389", "[1433,3306,5432]"))} '
                f'(msg:"SCAN flags"; flow:stateless; flags:{flags}; window:{draw.randint(1000, 60000)}; '
                f'{"ack:0; " if draw.random() < 0.3 else ""}classtype:attempted-recon;')


def _shellcode(draw: random.Random) -> Rule:
    return Rule(f'alert {draw.choice(("tcp", "udp", "ip"))} $EXTERNAL_NET any -> $HOME_NET any (msg:"SHELLCODE"; '
                f'content:"{_hex(draw, draw.randint(7, 20))}"; classtype:shellcode-detect;')


def _long_line(draw: random.Random) -> Rule:
    word = draw.choice(("MAIL FROM", "RCPT TO", "USER", "RETR", "LIST", "EXPN", "AUTH")) + " " + word_of(draw, 3, 5)
    return Rule(f'alert tcp $EXTERNAL_NET any -> $HOME_NET {draw.choice((21, 25, 110, 143))} (msg:"overflow attempt"; '
                f'flow:to_server,established; content:"{word}"; nocase; isdataat:{draw.randint(40, 120)},relative; '
                f'content:!"|0A|"; within:{draw.randint(20, 40)}; classtype:attempted-admin;')


def _numbers(draw: random.Random) -> Rule:
    return Rule(f'alert udp $EXTERNAL_NET any -> $HOME_NET {draw.choice((161, 69, 123, 500, 1434))} (msg:"too large"; '
                f'content:"{_hex(draw, draw.randint(5, 9))}"; depth:{draw.randint(12, 24)}; byte_test:2,>,'
                f'{draw.randint(100, 5000)},{draw.randint(0, 4)},relative; classtype:misc-attack;')


def _jumping(draw: random.Random) -> Rule:
    return Rule(f'alert udp any any -> $HOME_NET {draw.choice((111, 2049, 32771))} (msg:"RPC"; '
                f'content:"{_hex(draw, 4)}"; offset:{4 * draw.randint(0, 2)}; depth:{4 * draw.randint(3, 6)}; '
                f'byte_jump:4,0,relative,align; '
                f'content:"{_hex(draw, draw.randint(4, 8))}"; within:{draw.randint(9, 20)}; '
                f'classtype:rpc-portmap-decode;')


def _answer(draw: random.Random) -> Rule:
    return Rule(f'alert tcp $EXTERNAL_NET $HTTP_PORTS -> $HOME_NET any (msg:"answer {word_of(draw)}"; flow:'
                f'established,from_server; content:"{word_of(draw, 7, 20)}"; {draw.choice(("", "nocase; "))}'
                f'content:!"{word_of(draw, 6, 9)}"; classtype:exploit-kit;')


def _short(draw: random.Random) -> Rule:
    place = draw.randint(0, 12)
    count = draw.randint(2, 4)
    return Rule(f'alert udp any any -> $HOME_NET {draw.randint(2000, 40000)} (msg:"short"; '
                f'content:"{_hex(draw, count)}"; offset:{place}; depth:{count}; dsize:<{draw.randint(60, 400)}; '
                f'classtype:bad-unknown;')


def _header(draw: random.Random) -> Rule:
    rest = draw.choice((f"ttl:{draw.randint(1, 40)}; ip_proto:{draw.choice((103, 47, 89))};",
                        f"ip_proto:{draw.randint(140, 250)}; tos:{draw.randint(1, 250)};",
                        f"id:{draw.randint(1, 65535)}; ip_proto:{draw.choice((17, 103))}; fragbits:!M;"))
    return Rule(f'alert ip any any -> $HOME_NET any (msg:"IP odd"; {rest} classtype:non-standard-protocol;')


def _dropped(draw: random.Random) -> Rule:
    return Rule(f'drop udp $EXTERNAL_NET any -> $HOME_NET {draw.randint(1, 1023)} (msg:"drop this"; '
                f'content:"{word_of(draw, 4, 16)}"; {draw.choice(("", "nocase; ", "depth:40; ", "dsize:<300; "))}'
                f'classtype:misc-attack;')


def _spoken(style: Callable[[random.Random], Said]) -> Callable[[random.Random], Rule]:
    def make(draw: random.Random) -> Rule:
        made = style(draw)
        return Rule(made.text, said=made.said, near=made.near)

    return make


_STYLES = ((_web, 3), (_web_expression, 2), (_trojan, 5), (_domain, 2), (_icmp, 1), (_scan, 1), (_shellcode, 2),
           (_long_line, 2), (_numbers, 2), (_jumping, 1), (_answer, 2), (_short, 1), (_header, 1), (_dropped, 2),
           *((_spoken(style), weight) for style, weight in STYLES))


def rules(count: int, seed: int = 1) -> list[Rule]:
    """So many rules, the same ones for a seed."""
    draw = random.Random(seed)
    styles = [style for style, weight in _STYLES for _ in range(weight)]
    made = []
    for number in range(count):
        rule = draw.choice(styles)(draw)
        made.append(rule._replace(text=f"{rule.text} sid:{2_000_001 + number}; rev:{draw.randint(1, 9)};)"))
    return made


# packets


class Crafted(NamedTuple):
    """A packet for a rule: `kind` is "hit", or what is wrong with it. `opens`: a connection comes first."""

    kind: str
    protocol: int
    source: int
    destination: int
    source_port: int
    destination_port: int
    payload: bytes
    opens: bool
    answers: bool        # the side that did not ask sends it
    ttl: int = 64
    tos: int = 0
    id: int = 1
    flags: int = 0x18
    window: int = 500
    ack: int = 1
    type: int = 8
    code: int = 0
    echo: int = 1

    def frame(self, *, sequence: int = 1000, flags: int | None = None, payload: bytes | None = None) -> bytes:
        """The Ethernet frame."""
        data = self.payload if payload is None else payload
        if self.protocol == 6:
            head = struct.pack("!HHIIBBHHH", self.source_port, self.destination_port, sequence, self.ack, 0x50,
                               self.flags if flags is None else flags, self.window, 0, 0)
        elif self.protocol == 17:
            head = struct.pack("!HHHH", self.source_port, self.destination_port, 8 + len(data), 0)
        elif self.protocol == 1:
            head = struct.pack("!BBHHH", self.type, self.code, 0, self.echo, 1)
        else:
            head = b""
        ip = struct.pack("!BBHHHBBHII", 0x45, self.tos, 20 + len(head) + len(data), self.id, 0, self.ttl, self.protocol,
                         0, self.source, self.destination)
        return bytes(12) + b"\x08\x00" + ip + head + data

    def opening(self) -> list[tuple[bool, bytes]]:
        """The frames before: whether the side that answers sends it, and it."""
        asks = self._replace(source=self.destination, destination=self.source, source_port=self.destination_port,
                             destination_port=self.source_port) if self.answers else self
        other = asks._replace(source=asks.destination, destination=asks.source, source_port=asks.destination_port,
                              destination_port=asks.source_port)
        return [(False, asks.frame(sequence=999, flags=2, payload=b"")),
                (True, other.frame(sequence=999, flags=0x12, payload=b"")),
                (False, asks.frame(sequence=1000, flags=0x10, payload=b""))]


def crafted(rule: Signature, made: Rule, number: int, draw: random.Random) -> Iterator[Crafted]:
    """Packets for a rule: one that it is about, then some that it is not."""
    payload = payload_of(rule, made, draw)
    hit = _packet(rule, payload, number, draw)
    yield hit
    fast = None if made.said else rule.fast
    if made.near:
        yield hit._replace(kind="what is said", payload=made.near, source_port=hit.source_port + 1)
    if fast is not None:
        at = _place(payload, fast)
        broken = bytearray(payload)
        broken[at + draw.randrange(len(fast.pattern))] = FILLER
        yield hit._replace(kind="a byte", payload=bytes(broken), source_port=hit.source_port + 1)
        if fast.last is not None:
            yield hit._replace(kind="a place", payload=bytes([FILLER]) * (fast.last - at + 1) + payload)
    if rule.destination_ports != ((0, 65535),):
        yield hit._replace(kind="a port", destination_port=next(port for port in range(7, 65535) if not any(
            low <= port <= high for low, high in rule.destination_ports)))
    if hit.opens:
        yield hit._replace(kind="no connection", opens=False, source_port=hit.source_port + 2)
    for field, name in (("ttl", "ttl"), ("tos", "tos"), ("id", "id"), ("window", "window"), ("itype", "type"),
                        ("icode", "code"), ("icmp_id", "echo")):
        if (spans := rule.number(field)) is not None:
            value = next(each for each in range(2, 65535) if not any(low <= each <= high for low, high in spans))
            yield hit._replace(kind=field, **{name: value})
    if rule.flags is not None:
        yield hit._replace(kind="flags", flags=next(each for each in range(1, 64) if not rule.flags.hold(each)))


def payload_of(rule: Signature, made: Rule, draw: random.Random) -> bytes:
    """Bytes that all steps of a rule hold for."""
    if made.said:
        return made.said
    data, cursor = bytearray(), 0

    def put(place: int, raw: bytes) -> None:
        data.extend([FILLER] * (place + len(raw) - len(data)))
        data[place:place + len(raw)] = raw

    for step in rule.steps:
        if isinstance(step, Content):
            if step.negated:
                continue
            size = len(step.pattern)
            if step.relative:
                slack = step.within - size if step.within is not None else 6
                place = cursor + (step.distance or 0) + draw.randint(0, max(0, min(slack, 20)))
            else:
                low = max(step.first, len(data) if step.last is None else step.first)
                place = draw.randint(low, low + 30 if step.last is None else step.last)
            raw = step.pattern
            if step.nocase:
                raw = bytes(draw.choice((byte, ord(chr(byte).swapcase()) if byte < 128 else byte)) for byte in raw)
            put(place, raw)
            cursor = place + size
        elif isinstance(step, DataAt) and not step.negated:
            put((cursor if step.relative else 0) + step.place, bytes([FILLER]))
        elif isinstance(step, ByteTest):
            put(step.offset + (cursor if step.relative else 0), (step.value + 7).to_bytes(step.size, "big"))
        elif isinstance(step, ByteJump):
            at = step.offset + (cursor if step.relative else 0)
            jump = 4 * draw.randint(0, 3)
            put(at, jump.to_bytes(step.size, "big"))
            cursor = at + step.size + jump
            put(cursor, b"")
        elif isinstance(step, Pattern):
            put(len(data) + 3, made.sample)
            cursor = len(data)
    size = rule.number("dsize")
    if size is not None and len(data) < size[0][0]:
        put(size[0][0] - 1, bytes([FILLER]))
    return bytes(data)


def _place(payload: bytes, content: Content) -> int:
    return payload.lower().find(content.pattern.lower()) if content.nocase else payload.find(content.pattern)


def _packet(rule: Signature, payload: bytes, number: int, draw: random.Random) -> Crafted:
    protocol = {"udp": 17, "icmp": 1, "ip": 17, "dns": 17}.get(rule.protocol, 6)
    if (wanted := rule.number("ip_proto")) is not None:
        protocol = wanted[0][0]

    def value(field: str, usual: int) -> int:
        spans = rule.number(field)
        return usual if spans is None else spans[0][0]

    def port(spans: tuple[tuple[int, int], ...], usual: int) -> int:
        return usual if any(low <= usual <= high for low, high in spans) else spans[0][0]

    inside = any(low <= INSIDE | 0xFFFF << 32 <= high for low, high in rule.source)
    outside = any(low <= OUTSIDE | 0xFFFF << 32 <= high for low, high in rule.source)
    source = (OUTSIDE if outside or not inside else INSIDE) + number
    destination = (INSIDE if any(low <= INSIDE | 0xFFFF << 32 <= high for low, high in rule.destination)
                   else OUTSIDE) + 0x10000 + number
    answers = rule.flow is not None and rule.flow.to_client
    opens = protocol == 6 and rule.flow is not None and rule.flow.state == "established"
    flags = 0x18 if rule.flags is None else next(each for each in range(64) if rule.flags.hold(each))
    return Crafted("hit", protocol, source, destination, port(rule.source_ports, 40000),
                   port(rule.destination_ports, 30000), payload, opens, answers, value("ttl", 64), value("tos", 0),
                   value("id", 1), flags, value("window", 500), value("ack", 1), value("itype", 8), value("icode", 0),
                   value("icmp_id", 1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rules", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    for rule in rules(chosen.rules, chosen.seed):
        print(rule.text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

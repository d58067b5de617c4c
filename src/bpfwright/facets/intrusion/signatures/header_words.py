"""Keywords about headers and flows: numbers of fields, flags, options, flow states, flowbits, thresholds."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.facets.intrusion.signatures.model import Flags, Flow, Flowbit, Hostbit, Threshold
from bpfwright.facets.intrusion.signatures.payload_words import integer
from bpfwright.facets.intrusion.signatures.spans import Spans, Wrong, complement

__all__ = ["FIELDS", "IPOPTS", "NUMBERS", "TCP_FLAGS", "compared", "detection_filter", "flags", "flow", "flowbits",
           "fragbits", "hostbits", "ipopts", "threshold", "xbits"]

TCP_FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "2": 64, "C": 128, "1": 128, "0": 0}
_FRAGMENT_BITS = {"R": 4, "D": 2, "M": 1}
IPOPTS = {"rr": (7,), "eol": (0,), "nop": (1,), "ts": (68,), "sec": (130,), "esec": (133,), "lsrr": (131,),
          "ssrr": (137,), "satid": (136,), "qs": (25,), "rtralt": (148,), "cipso": (134,), "any": ()}
"""Options of IPv4 by their names, () for any; numbers as IANA has them."""
_PROTOCOLS = {"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "egp": 8, "udp": 17, "gre": 47, "esp": 50, "ah": 51,
              "ipv6-icmp": 58, "icmpv6": 58, "ospf": 89, "pim": 103, "vrrp": 112, "sctp": 132}
FIELDS: dict[str, tuple[int, str]] = {
    "dsize": (65535, "bytes of payload"), "ttl": (255, "time to live"), "tos": (255, "type of service"),
    "id": (65535, "IPv4's identifier"), "fragoffset": (8191, "in units of eight bytes"),
    "ip_proto": (255, "the protocol, by number or name"), "itype": (255, "ICMP's type"), "icode": (255, "ICMP's code"),
    "icmp_id": (65535, "an echo's identifier"), "icmp_seq": (65535, "an echo's number"),
    "seq": ((1 << 32) - 1, "TCP's sequence number"), "ack": ((1 << 32) - 1, "TCP's acknowledgement"),
    "window": (65535, "TCP's window"),
}
"""Fields that are compared with numbers: N, !N, <N, >N, <=N, >=N, N<>M and N-M (both ends outside)."""


NUMBERS = {"bsize": (1 << 32) - 1, "urilen": 65535, "dns.opcode": 15, "dns.rcode": 15}
"""Numbers that are in no header, and the highest of each."""


def compared(field: str) -> Callable[[str], Spans]:
    """What reads a comparison of a field."""
    highest = NUMBERS[field] if field in NUMBERS else FIELDS[field][0]

    def number(text: str) -> int:
        if field == "ip_proto" and text.strip().lower() in _PROTOCOLS:
            return _PROTOCOLS[text.strip().lower()]
        if field == "tos" and text.strip().lower().startswith("x"):
            return integer("0" + text.strip(), 0, highest)
        return integer(text, 0, highest)

    def read(text: str) -> Spans:
        body = text.strip()
        for sign in ("<>", "-"):
            low, found, high = body.partition(sign)
            if found and low.strip():
                first, last = number(low), number(high)
                if last - first < 2:
                    raise Wrong(f"nothing lies between {first} and {last}")
                return ((first + 1, last - 1),)
        for sign, spans in ((">=", lambda n: (n, highest)), ("<=", lambda n: (0, n)), (">", lambda n: (n + 1, highest)),
                            ("<", lambda n: (0, n - 1)), ("=", lambda n: (n, n))):
            if body.startswith(sign):
                low_high = spans(number(body[len(sign):]))
                if low_high[0] > low_high[1]:
                    raise Wrong(f"no number is {body}")
                return (low_high,)
        if body.startswith("!"):
            value = number(body[1:])
            return complement(((value, value),), highest)
        value = number(body)
        return ((value, value),)

    return read


def _bits(text: str, letters: dict[str, int], modifiers: str, word: str) -> tuple[str, int]:
    body = text.strip()
    modifier = "".join(each for each in body if each in modifiers)
    if len(modifier) > 1:
        raise Wrong(f"{body!r} has several modifiers")
    bits = 0
    for letter in body.replace(modifier, "") if modifier else body:
        if letter.upper() not in letters:
            raise Wrong(f"{letter!r} is no {word}", cure=f"There are {' '.join(letters)}.")
        bits |= letters[letter.upper()]
    if not body.replace(modifier, ""):
        raise Wrong(f"no {word} is named")
    return modifier, bits


def flags(text: str) -> Flags:
    """flags:[+*!]FSRPAUCE0[,ignored]"""
    first, _, ignored = text.partition(",")
    modifier, bits = _bits(first, TCP_FLAGS, "+*!", "TCP flag")
    _, mask = _bits(ignored, TCP_FLAGS, "", "TCP flag") if ignored.strip() else ("", 0)
    return Flags(bits, modifier, mask)


def fragbits(text: str) -> Flags:
    """fragbits:[+*!]MDR"""
    modifier, bits = _bits(text, _FRAGMENT_BITS, "+*!", "fragment bit")
    return Flags(bits, modifier)


def ipopts(text: str) -> tuple[int, ...]:
    """The option's number; every number for `any`."""
    name = text.strip().lower()
    if name not in IPOPTS:
        raise Wrong(f"{name!r} is no option of IPv4 that is known here", cure=f"There are {', '.join(IPOPTS)}.")
    return IPOPTS[name] or tuple(range(256))


_FLOW: dict[str, dict[str, Any]] = {
    "to_server": {"to_server": True}, "from_client": {"to_server": True}, "to_client": {"to_client": True},
    "from_server": {"to_client": True}, "established": {"state": "established"},
    "not_established": {"state": "not_established"}, "stateless": {"state": "stateless"},
    "only_stream": {"only": "stream"}, "no_stream": {"only": "packet"}}


def flow(text: str) -> Flow:
    """flow:established,to_server and the like."""
    found = Flow()
    for word in (each.strip().lower() for each in text.split(",")):
        if word not in _FLOW:
            raise Wrong(f"{word!r} is no state of a flow that is known here", cure=f"There are {', '.join(_FLOW)}.")
        for name, value in _FLOW[word].items():
            if getattr(found, name) not in ("", False, value):
                raise Wrong(f"{word} contradicts {getattr(found, name)}")
            found = found._replace(**{name: value})
    if found.to_server and found.to_client:
        raise Wrong("a packet does not go both ways")
    return found


def flowbits(text: str) -> Flowbit:
    """flowbits:set,NAME and the like; several names with | between them for isset and isnotset."""
    command, *rest = [each.strip() for each in text.split(",")]
    if command == "noalert" and not rest:
        return Flowbit("noalert", ())
    if command not in ("set", "unset", "toggle", "isset", "isnotset"):
        raise Wrong(f"{command!r} is nothing that is done with flowbits",
                    cure="There are set, unset, toggle, isset, isnotset and noalert.")
    names = tuple(each.strip() for each in rest[0].split("|")) if len(rest) == 1 else ()
    if not names or not all(names) or any(" " in name for name in names):
        raise Wrong(f"flowbits:{command} takes a name", cure=f"flowbits:{command},seen.login;")
    if len(names) > 1 and not command.startswith("is"):
        raise Wrong("several names can be asked for only")
    return Flowbit(command, names)


_TRACKED = {"ip_src": "by_src", "ip_dst": "by_dst", "ip_pair": "by_both", "src": "by_src", "dst": "by_dst",
            "both": "by_both"}
_HOUR = 3600


def xbits(text: str) -> Hostbit:
    """xbits:set,NAME,track ip_src,expire 3600 and the like."""
    command, name, track, *rest = [*(each.strip() for each in text.split(",")), "", ""]
    return _hostbit("xbits", command, name, track.removeprefix("track").strip(), [each for each in rest if each],
                    ("ip_src", "ip_dst", "ip_pair"))


def hostbits(text: str) -> Hostbit:
    """hostbits:set,NAME,src and the like; src where nothing is said."""
    command, name, track, *rest = [*(each.strip() for each in text.split(",")), "", ""]
    return _hostbit("hostbits", command, name, track or "src", [each for each in rest if each], ("src", "dst", "both"))


def _hostbit(keyword: str, command: str, name: str, track: str, rest: list[str], tracks: tuple[str, ...]) -> Hostbit:
    if command not in ("set", "unset", "toggle", "isset", "isnotset"):
        raise Wrong(f"{command!r} is nothing that is done with {keyword}",
                    cure="There are set, unset, toggle, isset and isnotset.")
    if not name or " " in name or "|" in name:
        raise Wrong(f"{keyword}:{command} takes one name")
    if track not in tracks:
        raise Wrong(f"{track!r} is nothing that is tracked", cure=f"There are {', '.join(tracks)}.")
    word, _, seconds = rest[0].partition(" ") if rest else ("expire", "", str(_HOUR))
    if word != "expire" or len(rest) > 1:
        raise Wrong(f"{', '.join(rest)!r} is no part of {keyword}", cure="expire N, in seconds.")
    return Hostbit(command, name, _TRACKED[track], integer(seconds, 1, 1 << 31))


_TRACKS = ("by_src", "by_dst", "by_rule", "by_both", "by_flow")


def _pairs(text: str, wanted: tuple[str, ...], keyword: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition(" ")
        if name not in wanted or name in found or not value.strip():
            raise Wrong(f"{part.strip()!r} is no part of {keyword} here", cure=f"It has {', '.join(wanted)}.")
        found[name] = value.strip()
    if missing := set(wanted) - found.keys():
        raise Wrong(f"{keyword} has no {min(missing)}", cure=f"It has {', '.join(wanted)}.")
    if found["track"] not in _TRACKS:
        raise Wrong(f"{found['track']!r} is nothing that is tracked", cure=f"There are {', '.join(_TRACKS)}.")
    return found


def threshold(text: str) -> Threshold:
    """threshold:type limit, track by_src, count 1, seconds 60"""
    found = _pairs(text, ("type", "track", "count", "seconds"), "threshold")
    if found["type"] not in ("limit", "threshold", "both"):
        raise Wrong(f"{found['type']!r} is no type of threshold", cure="There are limit, threshold and both.")
    return Threshold(found["type"], found["track"], integer(found["count"], 1, 1 << 31),
                     integer(found["seconds"], 1, 1 << 31))


def detection_filter(text: str) -> Threshold:
    """detection_filter:track by_src, count 30, seconds 60"""
    found = _pairs(text, ("track", "count", "seconds"), "detection_filter")
    return Threshold("filter", found["track"], integer(found["count"], 1, 1 << 31),
                     integer(found["seconds"], 1, 1 << 31))

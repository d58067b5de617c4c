"""The published list: every keyword of rules that is understood, what reads it, and what it says. No other is."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.facets.intrusion.signatures import header_words, payload_words
from bpfwright.facets.intrusion.signatures.buffers import BUFFERS, LETTERS, MODIFIERS, STICKY, VALUED
from bpfwright.facets.intrusion.signatures.classes import CLASSES
from bpfwright.facets.intrusion.signatures.header_words import FIELDS
from bpfwright.facets.intrusion.signatures.model import Content, Group, Size, Step
from bpfwright.facets.intrusion.signatures.payload_words import integer, unquoted
from bpfwright.facets.intrusion.signatures.spans import Wrong, intersection
from bpfwright.facets.intrusion.signatures.transforms import TRANSFORMS

__all__ = ["KEYWORDS", "OTHERS", "SPOKEN", "Draft", "Keyword", "instead"]


SPOKEN = {"http": "http", "http1": "http", "dns": "dns", "tls": "tls", "ssh": "ssh", "ftp": "ftp", "smtp": "smtp"}
"""Protocols that flows are recognised by, by the words for them."""


class Draft:
    """A signature that is being read: its steps by what they are looked for in, and what else is known by the names of
    Signature's fields."""

    def __init__(self) -> None:
        self.groups: dict[tuple[str, int, tuple[str, ...]], list[Step]] = {}
        self.fields: dict[str, Any] = {}
        self.buffer, self.instance = "", 0
        self.transforms: tuple[str, ...] = ()
        self._last: list[Step] | None = None

    def of(self, buffer: str) -> list[Step]:
        """The steps in a buffer without transforms, "" for the payload."""
        return self.groups.setdefault((buffer, 0, ()), [])

    @property
    def current(self) -> list[Step]:
        """Where the next content is looked for."""
        return self.groups.setdefault((self.buffer, self.instance, self.transforms), [])

    @property
    def last(self) -> list[Step]:
        """Where the content before is looked for."""
        return self.current if self._last is None else self._last

    def put(self, steps: list[Step]) -> None:
        """Something was added to these steps."""
        self._last = steps

    def turn(self, buffer: str, *, many: bool) -> None:
        """What follows is about a buffer, of another message of that kind where there are several."""
        self._finish()
        self.buffer, self.transforms = buffer, ()
        self.instance = self.instance + 1 if many else 0

    def transform(self, name: str) -> None:
        """The buffer is looked into behind one more transform."""
        if not self.buffer:
            raise Wrong("no buffer stands before it", cure="http.uri; to_lowercase; ...")
        if self.groups.get((self.buffer, self.instance, self.transforms)):
            raise Wrong("this stands behind a content", cure="Name the buffer, then its transforms, then contents.")
        self.groups.pop((self.buffer, self.instance, self.transforms), None)
        self.transforms = (*self.transforms, name)

    def move(self, buffer: str) -> None:
        """The content before is about a buffer."""
        steps = self.last
        if not steps or not isinstance(steps[-1], Content):
            raise Wrong("there is no content before it that it could be about")
        if steps is not self.groups.get(("", 0, ())):
            raise Wrong("the content before it has a buffer already")
        self.put(self.of(buffer))
        self.of(buffer).append(steps.pop())

    def finished(self) -> dict[str, Any]:
        """Its steps and groups, as Signature has them."""
        self._finish()
        made = [Group(buffer, transforms, tuple(_folded(steps) if BUFFERS[buffer].digits else steps))
                for (buffer, _, transforms), steps in self.groups.items() if buffer and steps]
        return {"steps": tuple(self.groups.get(("", 0, ()), ())), "groups": tuple(made), **self.fields}

    def _finish(self) -> None:
        if self.buffer and not self.current:
            raise Wrong(f"nothing is looked for in {self.buffer}", cure=f'{self.buffer}; content:"...";')

    def once(self, name: str, value: Any) -> None:
        """Set what may be said once."""
        if name in self.fields:
            raise Wrong("this stands here twice")
        self.fields[name] = value

    def more(self, name: str, value: Any) -> None:
        """Add to what may be said often."""
        self.fields[name] = (*self.fields.get(name, ()), value)


def _folded(steps: list[Step]) -> list[Step]:
    return [step._replace(nocase=True) if isinstance(step, Content) else step for step in steps]


class Keyword(NamedTuple):
    """`read(draft, text)` takes it; `value` is "yes", "no" or "maybe"."""

    read: Callable[[Draft, str], None]
    value: str
    says: str


def _payload(name: str, read: Callable[[list[Step], str], None]) -> Callable[[Draft, str], None]:
    def take(draft: Draft, text: str) -> None:
        if name in payload_words.ABOUT_CONTENTS:
            steps = draft.last
        elif "relative" in text and not draft.buffer:
            steps = draft.last  # from where the match before ended, whatever it was in
        else:
            steps = draft.current
        read(steps, text)
        draft.put(steps)

    return take


def _expression(draft: Draft, text: str) -> None:
    letters = text.rstrip().rstrip('"').rpartition("/")[2]
    named = [letter for letter in letters if letter in LETTERS]
    if len(named) > 1:
        raise Wrong(f"{''.join(named)} name several buffers", text.rindex("/") + 1)
    plain = letters.replace(named[0], "") if named else letters
    steps = draft.of(LETTERS[named[0]]) if named else draft.last if "R" in letters and not draft.buffer else \
        draft.current
    end = text.rindex("/") + 1 if "/" in text else 0
    payload_words.pcre(steps, text[:end] + plain + text[end + len(letters):] if named else text)
    draft.put(steps)


def _sticky(name: str) -> Callable[[Draft, str], None]:
    return lambda draft, text: draft.turn(name, many=BUFFERS[name].many)


def _moved(name: str) -> Callable[[Draft, str], None]:
    return lambda draft, text: draft.move(name)


def _valued(name: str) -> Callable[[Draft, str], None]:
    def take(draft: Draft, text: str) -> None:
        payload_words.content(draft.of(name), text)
        draft.put(draft.of(name))

    return take


def _protocol(draft: Draft, text: str) -> None:
    name = text.strip().removeprefix("!").strip()
    if name not in SPOKEN:
        raise Wrong(f"{name!r} is no protocol that is recognised here", cure=f"There are {', '.join(SPOKEN)}.")
    if text.strip().startswith("!"):
        draft.more("unspoken", SPOKEN[name])
    else:
        draft.once("speaks", SPOKEN[name])


def _transform(name: str) -> Callable[[Draft, str], None]:
    return lambda draft, text: draft.transform(name)


def _payload_again(draft: Draft, text: str) -> None:
    draft.turn("", many=False)


def _size(draft: Draft, text: str) -> None:
    if not draft.buffer:
        raise Wrong("no buffer stands before it", cure="http.uri; content:\"/a\"; bsize:2; dsize is of packets.")
    draft.current.append(Size(header_words.compared("bsize")(text)))


def _uri_size(draft: Draft, text: str) -> None:
    number, _, form = text.partition(",")
    if form.strip() not in ("", "norm", "raw"):
        raise Wrong(f"{form.strip()!r} is no form of a URI", cure="There are norm and raw.")
    draft.of("http.uri.raw" if form.strip() == "raw" else "http.uri").append(
        Size(header_words.compared("urilen")(number)))


def _said(name: str) -> Callable[[Draft, str], None]:
    read = header_words.compared(name)
    return lambda draft, text: draft.more("said", (name, read(text)))


def _field(name: str) -> Callable[[Draft, str], None]:
    read = header_words.compared(name)

    def take(draft: Draft, text: str) -> None:
        known = dict(draft.fields.get("numbers", ()))
        spans = intersection(known[name], read(text)) if name in known else read(text)
        if not spans:
            raise Wrong("no number is this, and what stands before it")
        draft.fields["numbers"] = tuple({**known, name: spans}.items())

    return take


def _one(name: str, read: Callable[[str], Any]) -> Callable[[Draft, str], None]:
    return lambda draft, text: draft.once(name, read(text))


def _many(name: str, read: Callable[[str], Any]) -> Callable[[Draft, str], None]:
    return lambda draft, text: draft.more(name, read(text))


def _number(name: str, low: int, high: int) -> Callable[[Draft, str], None]:
    return lambda draft, text: draft.once(name, integer(text, low, high))


def _message(draft: Draft, text: str) -> None:
    body, negated = unquoted(text)
    if negated:
        raise Wrong("a message is not negated")
    draft.once("msg", "".join(part.replace("\\", "") for part in body.split("\\\\")) if "\\\\" not in body
               else body.replace("\\\\", "\0").replace("\\", "").replace("\0", "\\"))


def _class(draft: Draft, text: str) -> None:
    name = text.strip()
    if name not in CLASSES:
        raise Wrong(f"there is no class {name!r}", cure="Use one of the usual classes, or say priority:N without any.")
    draft.once("classtype", name)


def _reference(draft: Draft, text: str) -> None:
    kind, comma, value = text.partition(",")
    if not comma or not kind.strip() or not value.strip():
        raise Wrong("a reference is a kind and a value", cure="reference:cve,2024-1234;")
    draft.more("references", (kind.strip(), value.strip()))


def _metadata(draft: Draft, text: str) -> None:
    for part in text.split(","):
        name, _, value = part.strip().partition(" ")
        if name:
            draft.more("metadata", (name, value.strip()))


def _flowbits(draft: Draft, text: str) -> None:
    found = header_words.flowbits(text)
    if found.command == "noalert":
        draft.fields["noalert"] = True
    else:
        draft.more("flowbits", found)


def _target(draft: Draft, text: str) -> None:
    if text.strip() not in ("src_ip", "dest_ip"):
        raise Wrong(f"{text.strip()!r} is no target", cure="There are src_ip and dest_ip.")
    draft.once("target", text.strip())


def _yes(name: str) -> Callable[[Draft, str], None]:
    return lambda draft, text: draft.once(name, True)


KEYWORDS: dict[str, Keyword] = {
    "msg": Keyword(_message, "yes", "what the alert says"),
    "sid": Keyword(_number("sid", 1, (1 << 31) - 1), "yes", "the rule's number; every rule has one of its own"),
    "rev": Keyword(_number("rev", 0, (1 << 32) - 1), "yes", "its revision"),
    "gid": Keyword(_number("gid", 0, (1 << 32) - 1), "yes", "its group (1)"),
    "classtype": Keyword(_class, "yes", "one of the usual classes, with its category and priority"),
    "priority": Keyword(_number("priority", 1, 255), "yes", "1 is the worst"),
    "reference": Keyword(_reference, "yes", "kind,value; goes into the alert"),
    "metadata": Keyword(_metadata, "yes", "name value, ...; goes into the alert"),
    "target": Keyword(_target, "yes", "src_ip or dest_ip; goes into the alert"),
    "noalert": Keyword(_yes("noalert"), "no", "matches without telling"),
    **{name: Keyword(_expression if name == "pcre" else _payload(name, read), value, says)
       for name, (read, value, says) in payload_words.PAYLOAD.items()},
    **{name: Keyword(_sticky(buffer), "no", BUFFERS[buffer].says if name == buffer else f"the same as {buffer}")
       for name, buffer in STICKY.items()},
    **{name: Keyword(_moved(buffer), "no", f"the content before it is in {buffer}")
       for name, buffer in MODIFIERS.items()},
    **{name: Keyword(_transform(name), "no", f"the buffer before it: {says}")
       for name, (_, says) in TRANSFORMS.items()},
    "pkt_data": Keyword(_payload_again, "no", "what follows is about the payload again"),
    **{name: Keyword(_valued(buffer), "yes", f"a content in {buffer}") for name, buffer in VALUED.items()},
    "bsize": Keyword(_size, "yes", "how many bytes the buffer before it has: N, !N, <N, >N, <=N, >=N, N<>M"),
    "urilen": Keyword(_uri_size, "yes", "how many bytes http.uri has, or with `,raw` http.uri.raw: the same"),
    "app-layer-protocol": Keyword(_protocol, "yes", "[!]http, dns, tls, ssh, ftp or smtp: what the "
                                  "flow speaks, or does not, once that is known"),
    "dns.opcode": Keyword(_said("dns.opcode"), "yes", "of a message, asked or answered: N, !N, N-M"),
    "dns.rcode": Keyword(_said("dns.rcode"), "yes", "the same"),
    **{name: Keyword(_field(name), "yes", f"{says}: N, !N, <N, >N, <=N, >=N, N<>M") for name, (_, says)
       in FIELDS.items()},
    "flags": Keyword(_one("flags", header_words.flags), "yes", "TCP's: [+*!]FSRPAUCE0[,ignored]"),
    "tcp.flags": Keyword(_one("flags", header_words.flags), "yes", "the same"),
    "fragbits": Keyword(_one("fragbits", header_words.fragbits), "yes", "[+*!]MDR"),
    "ipopts": Keyword(_one("ipopts", header_words.ipopts), "yes", ", ".join(header_words.IPOPTS)),
    "sameip": Keyword(_yes("sameip"), "no", "source and destination are one address"),
    "flow": Keyword(_one("flow", header_words.flow), "yes", "to_server, to_client, from_server, from_client, "
                    "established, not_established, stateless, only_stream, no_stream"),
    "flowbits": Keyword(_flowbits, "yes", "set, unset, toggle, isset, isnotset with a name; noalert"),
    "xbits": Keyword(_many("hostbits", header_words.xbits), "yes", "set, unset, toggle, isset, isnotset; a name; track "
                     "ip_src|ip_dst|ip_pair; expire N (3600 seconds)"),
    "hostbits": Keyword(_many("hostbits", header_words.hostbits), "yes", "the same bits: set, unset, toggle, isset, "
                        "isnotset; a name; src|dst|both (src); expire N"),
    "threshold": Keyword(_one("threshold", header_words.threshold), "yes",
                         "type limit|threshold|both, track by_src|by_dst|by_both|by_rule|by_flow, count N, seconds N"),
    "detection_filter": Keyword(_one("threshold", header_words.detection_filter), "yes",
                                "track ..., count N, seconds N"),
}
"""By name, as the README lists them."""
_NOT_TAKEN = "This is not taken out of its protocol: look for its bytes with content or pcre, or leave the rule out."
_NO_EVENTS = "What decoders find odd is not told here: leave the rule out."
_NO_FILES = "Files are not put together here: look into file.data, or leave the rule out."
_OUTSIDE = "What is known outside of the rules is not asked here: leave the rule out."
_NOT_DONE = "Nothing here does the same: leave the rule out."
OTHERS: dict[str, str] = {
    **dict.fromkeys(("app-layer-event", "decode-event", "engine-event", "stream-event"), _NO_EVENTS),
    **dict.fromkeys(("filename", "fileext", "filemagic", "filemd5", "filesha1", "filesha256", "filesize", "filestore",
                     "file.name", "file.magic"), _NO_FILES),
    **dict.fromkeys(("dataset", "datarep", "iprep", "geoip", "lua", "luajit"), _OUTSIDE),
    **dict.fromkeys(("asn1", "base64_data", "base64_decode", "bypass", "config", "dce_iface", "dce_opnum",
                     "dce_stub_data", "flowint", "flowvar", "ftpbounce", "ftpdata_command", "l3_proto", "nfq_set_mark",
                     "pcrexform", "pktvar", "prefilter", "replace", "requires", "rpc", "stream_size", "tag",
                     "xor", "ip.src", "ip.dst", "tcp.mss", "tcp.hdr", "udp.hdr", "ipv4.hdr", "ipv6.hdr", "icmpv4.hdr",
                     "icmpv6.hdr", "icmpv6.mtu", "frame"), _NOT_DONE),
}
"""Keywords of Suricata's that are refused by design, and what to do; any other is taken for a slip."""


def instead(name: str) -> str:
    """What to do about a keyword that is not understood."""
    import difflib
    if name in OTHERS:
        return OTHERS[name]
    if name.replace("_", ".").split(".")[0] in _PROTOCOLS:
        return _NOT_TAKEN
    close = difflib.get_close_matches(name, KEYWORDS, 1)
    return f"Did you mean {close[0]}?" if close else "The facet's README lists what is; `unsupported: skip` goes on."


_PROTOCOLS = frozenset({
    "http", "http2", "dns", "tls", "ssh", "smb", "file", "krb5", "ja3", "ja3s", "ja4", "ssl", "snmp", "sip", "mqtt",
    "ftp", "smtp", "quic", "rfb", "nfs", "dcerpc", "dce", "ike", "modbus", "dnp3", "enip", "cip", "dhcp", "websocket"})

"""Reads rule files: lines into signatures, and what is not understood into one error by file, line and column."""
from __future__ import annotations

from bisect import bisect_right

from bpfwright._typing import Any, Mapping, NamedTuple, Sequence
from bpfwright.errors import ConfigurationError, TargetError
from bpfwright.facets.intrusion.signatures.buffers import BUFFERS
from bpfwright.facets.intrusion.signatures.keywords import KEYWORDS, SPOKEN, Draft, instead
from bpfwright.facets.intrusion.signatures.model import Content, Signature
from bpfwright.facets.intrusion.signatures.spans import ADDRESSES, PORTS, Domain, Spans, Wrong, parsed

__all__ = ["ACTIONS", "DEFAULTS", "PROTOCOLS", "Rules", "read_files", "read_rules"]

ACTIONS = ("alert", "drop", "pass")
PROTOCOLS = ("ip", "tcp", "udp", "icmp", "icmpv6", "tcp-pkt", "tcp-stream", *SPOKEN)
DEFAULTS: dict[str, str] = {
    "HOME_NET": "any", "EXTERNAL_NET": "any", "HTTP_SERVERS": "$HOME_NET", "SMTP_SERVERS": "$HOME_NET",
    "SQL_SERVERS": "$HOME_NET", "DNS_SERVERS": "$HOME_NET", "TELNET_SERVERS": "$HOME_NET", "FTP_SERVERS": "$HOME_NET",
    "SSH_SERVERS": "$HOME_NET", "SIP_SERVERS": "$HOME_NET", "HTTP_PORTS": "80", "SHELLCODE_PORTS": "!80",
    "ORACLE_PORTS": "1521", "SSH_PORTS": "22", "FTP_PORTS": "21", "DNS_PORTS": "53", "SIP_PORTS": "[5060,5061]",
    "FILE_DATA_PORTS": "[$HTTP_PORTS,110,143]", "VXLAN_PORTS": "4789", "GENEVE_PORTS": "6081",
}
"""Variables that rules use, where net.yaml gives them no other value."""
_MOST_BYTES = 1 << 28
_ENDS = (("source", 2, ADDRESSES), ("source_ports", 3, PORTS), ("destination", 5, ADDRESSES),
         ("destination_ports", 6, PORTS))


class Rules(NamedTuple):
    """What files held: signatures, and an error for each rule that is none."""

    signatures: list[Signature]
    refused: list[ConfigurationError]


def read_files(files: Sequence[tuple[str, bytes]], variables: Mapping[str, str]) -> Rules:
    """The rules of files, paths with contents, in their order. TargetError for what can be no file of rules."""
    found = Rules([], [])
    known: dict[int, Signature] = {}
    for path, content in files:
        if len(content) > _MOST_BYTES:
            raise TargetError(f"{path} is larger than {_MOST_BYTES >> 20} MiB: no file of rules is")
        text = content.decode(errors="surrogateescape")
        _read_into(found, known, text, path, {**DEFAULTS, **variables})
    return found


def read_rules(text: str, file: str = "local.rules", variables: Mapping[str, str] | None = None) -> Rules:
    """The rules of a text."""
    found = Rules([], [])
    _read_into(found, {}, text, file, {**DEFAULTS, **(variables or {})})
    return found


def _read_into(found: Rules, known: dict[int, Signature], text: str, file: str, variables: Mapping[str, str]) -> None:
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        first, whole = number + 1, lines[number].rstrip("\r")
        starts = [0]
        while whole.endswith("\\") and number + 1 < len(lines):
            number += 1
            starts.append(len(whole) - 1)
            whole = whole[:-1] + lines[number].rstrip("\r")
        number += 1
        if not whole.strip() or whole.lstrip().startswith("#"):
            continue
        try:
            signature = _rule(whole, file, first, variables)
            if signature.sid in known:
                other = known[signature.sid]
                raise Wrong(f"another rule has sid {signature.sid}: {other.file}:{other.line}", whole.rfind("sid"),
                            "Give each rule a number of its own.")
        except Wrong as wrong:
            at = max(wrong.at, 0)
            row = bisect_right(starts, at) - 1
            found.refused.append(ConfigurationError(wrong.what, file=file, line=first + row,
                                                    column=at - starts[row] + 1, cure=wrong.cure))
            continue
        known[signature.sid] = signature
        found.signatures.append(signature)


def _rule(text: str, file: str, line: int, variables: Mapping[str, str]) -> Signature:
    start = text.find("(")
    if start < 0 or not text.rstrip().endswith(")"):
        raise Wrong("a rule has its options in ( and )", len(text.rstrip()), "alert tcp any any -> any 80 (sid:1;)")
    parts = _header(text[:start])
    if len(parts) != 7:
        raise Wrong(f"a rule's header has seven parts, this one has {len(parts)}", 0,
                    "action protocol source port -> destination port (options)")
    (action, at), (protocol, at_protocol), *_ = parts
    if action not in ACTIONS:
        raise Wrong(f"{action!r} is no action that is known here", at, "There are " + ", ".join(ACTIONS) + "." + (
            " Nothing here answers for others: write drop." if action.startswith("reject") else ""))
    if protocol not in PROTOCOLS:
        raise Wrong(f"{protocol!r} is no protocol that is looked into here", at_protocol,
                    "What cannot be decoded is not judged: leave the rule out." if protocol == "pkthdr" else
                    f"There are {', '.join(PROTOCOLS)}; write the protocol below, and its ports.")
    arrow, at_arrow = parts[4]
    if arrow not in ("->", "<>"):
        raise Wrong(f"{arrow!r} is no direction", at_arrow, "There are -> and <>.")
    ends: dict[str, Any] = {name: _end(parts[place], domain, variables) for name, place, domain in _ENDS}
    draft = Draft()
    body_end = text.rstrip().rfind(")")
    for name, value, at_name, at_value in _options(text, start + 1, body_end):
        _take(draft, name, value, at_name, at_value)
    if "sid" not in draft.fields:
        raise Wrong("this rule has no sid", start, "Give it a number of its own: sid:1000001;")
    try:
        fields = draft.finished()
    except Wrong as wrong:
        raise Wrong(wrong.what, body_end, wrong.cure) from None
    made = Signature(file=file, line=line, action=action, protocol=protocol, both_ways=arrow == "<>", **ends, **fields)
    made = _with_what_is_said(made, start)
    _sense(made, start)
    return made


def _with_what_is_said(made: Signature, at: int) -> Signature:
    """Which protocol its flow is to speak, and who says what it looks into."""
    buffers = [BUFFERS[group.buffer] for group in made.groups]
    spoken = {each.protocol for each in buffers} | {name.partition(".")[0] for name, _ in made.said}
    if made.protocol in SPOKEN:
        spoken.add(SPOKEN[made.protocol])
    if made.speaks:
        spoken.add(made.speaks)
    if len(spoken) > 1:
        named = ", ".join(sorted({group.buffer for group in made.groups} | {name for name, _ in made.said}))
        raise Wrong(f"a flow does not speak {' and '.join(sorted(spoken))}; this rule looks into {named}", at)
    if spoken & set(made.unspoken):
        raise Wrong(f"a flow does not speak {min(spoken)}, and not {min(spoken)}", at)
    if not spoken:
        return made
    (speaks,) = spoken
    below = ("ip", "tcp", "udp") if speaks == "dns" else ("ip", "tcp")
    if made.protocol not in SPOKEN and made.protocol not in below:
        raise Wrong(f"{speaks} is not looked for in {made.protocol}", at, f"Write alert {speaks}.")
    sides = {each.side for each in buffers if each.side}
    if made.flow is not None and made.groups:
        sides |= {"server"} if made.flow.to_server else {"client"} if made.flow.to_client else set()
    if len(sides) > 1:
        named = ", ".join(f"{group.buffer} to the {side}" for group, side in (
            (group, BUFFERS[group.buffer].side) for group in made.groups) if side)
        raise Wrong(f"one side says this, the other side that ({named}): no message is of both", at,
                    "Make two rules of it, with flowbits between them.")
    return made._replace(speaks=speaks, side=min(sides, default=""))


def _header(text: str) -> list[tuple[str, int]]:
    """The words of a header with where they begin; a list in brackets is one word."""
    found: list[tuple[str, int]] = []
    depth, start = 0, -1
    for at, letter in enumerate(text + " "):
        depth += (letter == "[") - (letter == "]")
        if letter.isspace() and depth <= 0:
            if start >= 0:
                found.append((text[start:at], start))
            start = -1
        elif start < 0:
            start = at
    if start >= 0:
        raise Wrong("a list has no end", start, "Close it with ].")
    return found


def _end(part: tuple[str, int], domain: Domain, variables: Mapping[str, str]) -> Spans:
    text, at = part
    try:
        spans = parsed(text, domain, variables)
    except Wrong as wrong:
        raise Wrong(wrong.what, at + wrong.at, wrong.cure) from None
    if not spans:
        raise Wrong(f"{text} holds nothing", at, "What is negated leaves nothing over.")
    return spans


def _options(text: str, start: int, end: int) -> list[tuple[str, str | None, int, int]]:
    """(name, value, where the name begins, where the value does); they end at ; outside of quotes."""
    found: list[tuple[str, str | None, int, int]] = []
    at = begin = start
    quoted = escaped = False
    while at < end:
        letter = text[at]
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == '"':
            quoted = not quoted
        elif letter == ";" and not quoted:
            found += _option(text, begin, at)
            begin = at + 1
        at += 1
    if quoted:
        raise Wrong("a text in quotes has no end", begin)
    if text[begin:end].strip():
        raise Wrong("the last option has no ; behind it", end)
    return found


def _option(text: str, begin: int, end: int) -> list[tuple[str, str | None, int, int]]:
    body = text[begin:end]
    if not body.strip():
        return []
    start = begin + len(body) - len(body.lstrip())
    name, colon, value = text[start:end].partition(":")
    return [(name.strip(), value if colon else None, start, start + len(name) + 1)]


def _take(draft: Draft, name: str, value: str | None, at: int, at_value: int) -> None:
    keyword = KEYWORDS.get(name)
    if keyword is None:
        raise Wrong(f"the keyword {name!r} is not understood here", at, instead(name))
    if keyword.value == "yes" and (value is None or not value.strip()):
        raise Wrong(f"{name} needs a value", at, f"{name}: {keyword.says}")
    if keyword.value == "no" and value is not None and value.strip():
        raise Wrong(f"{name} takes no value", at_value)
    try:
        keyword.read(draft, value or "")
    except Wrong as wrong:
        place = at_value + wrong.at if value is not None else at
        raise Wrong(f"{name}: {wrong.what}", place, wrong.cure) from None


def _sense(made: Signature, at: int) -> None:
    """Refuse what can never match, or what contradicts itself."""
    for step in made.steps:
        if isinstance(step, Content):
            _sense_of_content(step, at)
    for group in made.groups:
        for step in group.steps:
            if isinstance(step, Content):
                _sense_of_content(step, at)
                if BUFFERS[group.buffer].lower and not step.nocase and step.pattern != step.pattern.lower():
                    raise Wrong(f"{group.buffer} is in lower case, {step.pattern!r} is not", at,
                                "Write nocase behind it.")
    tcp = made.protocol.startswith("tcp") or made.protocol in SPOKEN
    if sum(content.fast for content in made.all_contents) > 1:
        raise Wrong("another content is the fast pattern already", at)
    if made.flags is not None and not (tcp or made.protocol == "ip"):
        raise Wrong(f"flags are TCP's, this rule is about {made.protocol}", at)
    for field, wanted in (("seq", "tcp"), ("ack", "tcp"), ("window", "tcp"), ("itype", "icmp"), ("icode", "icmp"),
                          ("icmp_id", "icmp"), ("icmp_seq", "icmp")):
        if made.number(field) is not None and not (made.protocol.startswith((wanted, "ip")) or (
                tcp and wanted == "tcp")):
            raise Wrong(f"{field} is of {wanted}, this rule is about {made.protocol}", at)
    if made.protocol.startswith("tcp-stream") and (made.number("dsize") is not None or not made.steps):
        raise Wrong("a stream has bytes, and no size of packets", at, "Write tcp, or tcp-pkt.")
    if any(content.fast and content.negated for content in made.all_contents):
        raise Wrong("what is not there cannot be looked for", at, "Put fast_pattern behind another content.")


def _sense_of_content(step: Content, at: int) -> None:
    size = len(step.pattern)
    if step.named:
        largest: dict[str, Any] = {field: 65535 for field, _ in step.named if field in ("depth", "within")}
        step = step._replace(**largest)
    if step.relative and (step.offset is not None or step.depth is not None or step.starts):
        raise Wrong("a content is looked for from the payload's start or behind the match before, not both", at)
    if step.starts and (step.offset is not None or step.depth is not None):
        raise Wrong("startswith says offset and depth already", at)
    if step.depth is not None and step.depth < size:
        raise Wrong(f"{size} bytes do not lie in a depth of {step.depth}", at)
    if step.within is not None and step.within < size:
        raise Wrong(f"{size} bytes do not lie within {step.within}", at)

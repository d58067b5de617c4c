"""Copies of packets in, alerts out: what the kernel could not tell alone is judged whole here."""
from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from functools import partial

from bpfwright._typing import Any, Callable, Iterable, NamedTuple, Sequence
from bpfwright.facets.intrusion.signatures.asking import Asked, Askers
from bpfwright.facets.intrusion.signatures.finding import Finder
from bpfwright.facets.intrusion.signatures.matching import Text, TooMuch, matches
from bpfwright.facets.intrusion.signatures.model import Content, Flow, Flowbit, Group, Hostbit, Pattern, Signature
from bpfwright.facets.intrusion.signatures.packets import Packet, dissected, with_body
from bpfwright.facets.intrusion.signatures.protocols.conversation import Conversation
from bpfwright.facets.intrusion.signatures.protocols.dns import message_of
from bpfwright.facets.intrusion.signatures.protocols.message import Message
from bpfwright.facets.intrusion.signatures.reassembly import Fragments, Stream
from bpfwright.facets.intrusion.signatures.records import (
    BY_STATE,
    ESTABLISHED,
    TO_CLIENT,
    TO_SERVER,
    WITH_TAIL,
    Seen,
    seen_of,
)
from bpfwright.facets.intrusion.signatures.spans import ANY_PORT, Spans, holds
from bpfwright.facets.intrusion.signatures.thresholds import Hostbits, Thresholds

__all__ = ["FIGURES", "MOST_OVERRUNS", "Bounds", "Engine", "Found", "Memory", "Overrun"]

MOST_OVERRUNS = 10
"""So often may a rule take more than its budget of a payload; then it is switched off."""

_MOST_REMEMBERED = 65_536
_TCP = ("tcp", "tcp-pkt", "tcp-stream", "http", "http1", "tls", "ssh", "ftp", "smtp")
_PROTOCOLS = {"udp": (17,), "icmp": (1, 58), "icmpv6": (58,), "dns": (6, 17), **dict.fromkeys(_TCP, (6,))}
FIGURES = ("alerts", "passed", "unread", "fragments put together", "fragments evicted", "fragments that overlap",
           "streams evicted", "segments that overlap", "gaps", "thresholds forgotten", "too costly",
           "bits of addresses forgotten")
"""What is counted in this process."""


class Bounds(NamedTuple):
    """What is kept: bytes of a stream and of what waits for a gap in it, flows, bytes of all streams, datagrams."""

    stream_bytes: int = 65_536
    flows: int = 16_384
    bytes: int = 1 << 26
    datagrams: int = 1024


class Found(NamedTuple):
    """A rule that matched and is told; `quiet`: a drop that its limit lets nobody hear of."""

    rule: Signature
    packet: Packet
    flow: int
    time_ns: int
    ifindex: int
    to_server: bool | None
    in_stream: bool
    dropped: bool
    quiet: bool = False
    speaks: str = ""
    message: Message | None = None


class Overrun(NamedTuple):
    """A rule took more than its budget of a payload, for the `times`th time; `off`: it is asked no more."""

    rule: Signature
    times: int
    off: bool


class _Ready:
    """A rule with what is asked of it for every copy: `needle` is its pattern, in lower case where that is the same."""

    __slots__ = ("fast", "needle", "nocase", "number", "placed", "rule")

    def __init__(self, number: int, rule: Signature) -> None:
        self.number, self.rule, self.fast = number, rule, rule.fast
        self.nocase = self.fast is not None and self.fast.nocase
        self.needle = b"" if self.fast is None else self.fast.pattern.lower() if self.nocase else self.fast.pattern
        self.placed = _placed(rule)

    def there(self, text: Text, low: int = 0) -> bool:
        """Whether its pattern is in a text, wherever."""
        return (text.lower if self.nocase else text.data).find(self.needle, low) >= 0


class _Near(NamedTuple):
    """Rules that protocol and ports fit: about packets, streams, and messages by protocol and whether they are said to
    the server. `by_number`: the ones about streams."""

    packets: Finder[_Ready]
    streams: Finder[_Ready]
    by_number: dict[int, _Ready]
    messages: dict[tuple[str, bool], Askers]


class _State:
    """What is known of a flow."""

    __slots__ = ("bits", "flags", "speaks", "streams", "talk")

    def __init__(self) -> None:
        self.bits: set[str] = set()
        self.streams: list[Stream | None] = [None, None]
        self.flags = 0
        self.talk: Conversation | None = None
        self.speaks = ""

    def settled(self, packet: Packet) -> bool:
        """Whether it is known what the flow speaks, or that it is nothing that is known."""
        return packet.payload != b"" if packet.protocol != 6 else self.talk is not None and self.talk.settled

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return sum(stream.size for stream in self.streams if stream is not None) + (
            self.talk.size if self.talk is not None else 0)


class Memory:
    """What goes on when rules change: flows with their bits and streams, fragments, thresholds."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.flows: OrderedDict[object, _State] = OrderedDict()
        self.fragments = Fragments(self.bounds.datagrams)
        self.thresholds = Thresholds()
        self.hostbits = Hostbits()
        self.bytes = 0
        self.evicted = self.gaps = self.overlaps = 0
        self.overruns: dict[tuple[int, object], int] = {}

    def off(self, rule: Signature) -> bool:
        """Whether a rule took too much too often. One with other steps, or another number, is another."""
        return self.overruns.get(_what_is_asked(rule), 0) >= MOST_OVERRUNS

    def flow(self, key: object) -> _State:
        """The state of a flow, a new one where it is not known."""
        found = self.flows.get(key)
        if found is None:
            found = self.flows[key] = _State()
        else:
            self.flows.move_to_end(key)
        return found

    def shrink(self) -> None:
        """Let the oldest flows go while there are too many, or too many bytes."""
        while len(self.flows) > self.bounds.flows or (self.bytes > self.bounds.bytes and len(self.flows) > 1):
            _, oldest = self.flows.popitem(last=False)
            self.bytes -= oldest.size
            self.evicted += 1


class Engine:
    """Judges copies by rules."""

    def __init__(self, rules: Sequence[Signature], memory: Memory | None = None) -> None:
        self.rules = sorted(rules, key=_order)
        self.memory = memory or Memory()
        self.passed = self.unread = self.costly = self.alerts = 0
        self._ready = [_Ready(number, rule) for number, rule in enumerate(self.rules) if not self.memory.off(rule)]
        self._asked = {ready.number: Asked(ready.number, ready.rule) for ready in self._ready if ready.rule.on_messages}
        self.overruns: list[Overrun] = []
        self._near_by: dict[tuple[int, int, int], _Near] = {}
        self._edges = [_edges(rule.source_ports for rule in self.rules), _edges(
            rule.destination_ports for rule in self.rules)]
        if any(rule.both_ways for rule in self.rules):
            self._edges = [sorted({*self._edges[0], *self._edges[1]})] * 2
        self._any_spoken = {name for rule in self.rules for name in (rule.speaks, *rule.unspoken)} - {""}
        self._any_stream = any(rule.on_streams for rule in self.rules) or bool(self._any_spoken)

    def figures(self) -> dict[str, int]:
        """The counts by the words of FIGURES."""
        memory = self.memory
        numbers = (self.alerts, self.passed, self.unread, memory.fragments.put_together, memory.fragments.evicted,
                   memory.fragments.overlaps, memory.evicted, memory.overlaps, memory.gaps,
                   memory.thresholds.forgotten, self.costly, memory.hostbits.forgotten)
        return dict(zip(FIGURES, numbers, strict=True))

    def judge(self, copies: Sequence[Any]) -> list[Found]:
        """The alerts of copies, in their order."""
        found: list[Found] = []
        for copy in copies:
            found += self.one(copy)
        return found

    def one(self, copy: Any) -> list[Found]:
        """The alerts of one copy."""
        copy, data = seen_of(bytes(copy))
        packet = dissected(data, copy.network_offset)
        flags = copy.flags | BY_STATE[copy.state]
        if packet is not None and packet.piece is not None:
            body = self.memory.fragments.add(packet, packet.piece, copy.time_ns)
            if body is None:
                return []
            packet.piece = None
            packet = with_body(packet, body, len(body))
            if packet is not None:
                flags |= self.memory.flow(_ends(packet)).flags
        if packet is None:
            self.unread += 1
            return []
        key: object = copy.flow or _ends(packet)
        state = self.memory.flow(key)
        if copy.flow:
            self.memory.flow(_ends(packet)).flags = flags & (TO_SERVER | TO_CLIENT | ESTABLISHED)
        context = _Context(packet, copy, flags, state, key)
        grown, messages = 0, self._said_alone(context)
        if self._any_stream and packet.protocol == 6 and packet.payload and copy.flow:
            grown, messages = self._grown(context)
        told = self._packet(context)
        if grown:
            told += self._stream(context, grown)
        for message in messages:
            told += self._message(context, message)
        self.memory.shrink()
        return told

    def _packet(self, context: _Context) -> list[Found]:
        text = context.text
        found: list[Found] = []
        for ready in self._near(context.packet).packets.seen_in(text):
            if not ready.there(text):
                continue
            rule = ready.rule
            if not self._fits(rule, context) or not self._holds(rule, text):
                continue
            if rule.action == "pass":
                self.passed += 1
                return []
            context.matched.add(ready.number)
            found += self._tell(rule, context, in_stream=False)
        return found

    def _grown(self, context: _Context) -> tuple[int, list[Message]]:
        """How many bytes the packet makes a stream grow, and what is said with them."""
        packet, copy = context.packet, context.copy
        side = 0 if context.flags & TO_SERVER else 1
        stream = context.state.streams[side]
        tail = copy.tail if context.flags & WITH_TAIL else b""
        if stream is None:
            stream = context.state.streams[side] = Stream(copy.start, self.memory.bounds.stream_bytes)
        state = context.state
        size, gaps, overlaps = state.size, stream.gaps, stream.overlaps
        grown = stream.add(packet.seq, packet.payload, expected=copy.expected, tail=tail)
        self.memory.gaps += stream.gaps - gaps
        self.memory.overlaps += stream.overlaps - overlaps
        messages: list[Message] = []
        if grown and self._any_spoken:
            state.talk = state.talk or Conversation()
            grown = min(grown, len(stream.text))
            messages = state.talk.take(side, stream.end - grown, stream.text[-grown:])
            state.speaks = state.talk.protocol
        self.memory.bytes += state.size - size
        return grown, messages

    def _said_alone(self, context: _Context) -> list[Message]:
        """What a datagram says."""
        if "dns" not in self._any_spoken or context.packet.protocol != 17:
            return []
        message = message_of(context.packet.payload)
        context.state.speaks = "dns" if message is not None else context.state.speaks
        return [] if message is None else [message]

    def _message(self, context: _Context, message: Message) -> list[Found]:
        found: list[Found] = []
        packet = context.packet
        stream = context.state.streams[0 if context.flags & TO_SERVER else 1] if packet.protocol == 6 else None
        payload = packet.payload if stream is None else stream.text
        askers = self._near(packet).messages.get((message.protocol, message.to_server))
        for asked in askers.about(message) if askers is not None else ():
            if asked.number in message.told or not asked.may_hold(message):
                continue
            rule = asked.rule
            if not self._fits(rule, context):
                continue
            if not self._kept_to(rule, partial(asked.holds, message, payload)):
                continue
            message.told.add(asked.number)
            if rule.action == "pass":
                self.passed += 1
                return []
            found += self._tell(rule, context, in_stream=stream is not None, message=message)
        message.looked.clear()
        return found

    def _stream(self, context: _Context, grown: int) -> list[Found]:
        packet = context.packet
        stream = context.state.streams[0 if context.flags & TO_SERVER else 1]
        assert stream is not None
        found: list[Found] = []
        near = self._near(packet)
        text = Text(stream.text)
        last = stream.text[-(grown + near.streams.longest):]
        new = context.text if last == packet.payload else Text(last)
        fresh = {ready.number for ready in near.streams.seen_in(new)}
        for number in sorted(fresh | (stream.armed & near.by_number.keys())):
            ready = near.by_number[number]
            rule = ready.rule
            if number in stream.told or not _seen(ready, stream, text, grown):
                continue
            if number in context.matched:
                stream.told.add(number)
                continue
            if (stream.base and ready.placed) or not self._fits(rule, context):
                continue
            if self._holds(rule, text):
                stream.told.add(number)
                found += self._tell(rule, context, in_stream=True)
        return found

    def _near(self, packet: Packet) -> _Near:
        """The rules that protocol and ports fit. Ports between the same edges fit the same rules."""
        key = (packet.protocol, bisect_right(self._edges[0], packet.source_port),
               bisect_right(self._edges[1], packet.destination_port))
        known = self._near_by.get(key)
        if known is None:
            if len(self._near_by) >= _MOST_REMEMBERED:
                self._near_by.clear()
            fit = [ready for ready in self._ready if _ports_fit(ready.rule, packet)]
            messages: dict[tuple[str, bool], list[Asked]] = {}
            for ready in fit:
                for to_server in (True, False) if ready.rule.on_messages else ():
                    if self._asked[ready.number].side in (None, to_server):
                        messages.setdefault((ready.rule.speaks, to_server), []).append(self._asked[ready.number])
            streams = [ready for ready in fit if ready.rule.on_streams]
            known = self._near_by[key] = _Near(
                Finder(ready for ready in fit if ready.rule.on_packets), Finder(streams),
                {ready.number: ready for ready in streams}, {said: Askers(some) for said, some in messages.items()})
        return known

    def _holds(self, rule: Signature, text: Text) -> bool:
        return self._kept_to(rule, lambda: matches(rule.steps, text))

    def _kept_to(self, rule: Signature, judge: Callable[[], bool]) -> bool:
        """What a rule says, False when it takes more than its budget."""
        try:
            return judge()
        except TooMuch:
            self._overran(rule)
            return False

    def _overran(self, rule: Signature) -> None:
        self.costly += 1
        key = _what_is_asked(rule)
        count = self.memory.overruns[key] = self.memory.overruns.get(key, 0) + 1
        off = self.memory.off(rule)
        self.overruns.append(Overrun(rule, count, off))
        if off:
            self._ready = [ready for ready in self._ready if ready.rule is not rule]
            self._near_by = {}

    def _fits(self, rule: Signature, context: _Context) -> bool:
        if rule.speaks and rule.speaks != context.state.speaks:
            return False
        if rule.unspoken and (context.state.speaks in rule.unspoken or not context.state.settled(context.packet)):
            return False
        return _header_fits(rule, context.packet) and _flow_fits(rule.flow, context.flags) and all(
            (bit.command == "isset") == bool(context.state.bits & set(bit.names)) for bit in rule.flowbits
            if bit.command.startswith("is")) and all(
            (bit.command == "isset") == self.memory.hostbits.there(
                bit, context.packet.source, context.packet.destination, context.copy.time_ns)
            for bit in rule.hostbits if bit.command.startswith("is"))

    def _tell(self, rule: Signature, context: _Context, *, in_stream: bool, message: Message | None = None,
              ) -> list[Found]:
        """What follows from a match: bits of the flow, and an alert where the threshold lets it."""
        for bit in rule.flowbits:
            for name in bit.names:
                if bit.command == "set" or (bit.command == "toggle" and name not in context.state.bits):
                    context.state.bits.add(name)
                elif bit.command in ("unset", "toggle"):
                    context.state.bits.discard(name)
        packet, copy = context.packet, context.copy
        for each in rule.hostbits:
            self.memory.hostbits.change(each, packet.source, packet.destination, copy.time_ns)
        quiet = rule.threshold is not None and not self.memory.thresholds.tells(
            rule.sid, rule.threshold, packet.source, packet.destination, context.key, copy.time_ns)
        limited = rule.threshold is not None and rule.threshold.kind == "limit"
        if (quiet and not limited) or ((quiet or rule.noalert) and rule.action != "drop"):
            return []
        self.alerts += not quiet
        way = {TO_SERVER: True, TO_CLIENT: False}.get(context.flags & (TO_SERVER | TO_CLIENT))
        return [Found(rule, packet, copy.flow, copy.time_ns, copy.ifindex, way, in_stream, copy.drop != 0, quiet,
                      context.state.speaks, message)]


class _Context:
    __slots__ = ("copy", "flags", "key", "matched", "packet", "state", "text")

    def __init__(self, packet: Packet, copy: Seen, flags: int, state: _State, key: object) -> None:
        self.packet, self.copy, self.flags, self.state, self.key = packet, copy, flags, state, key
        self.matched: set[int] = set()
        self.text = Text(packet.payload)


def _what_is_asked(rule: Signature) -> tuple[int, object]:
    """A rule by its number and its steps, the same when it is read again."""
    groups = (Group("", (), rule.steps), *rule.groups)
    return rule.sid, tuple(group._replace(steps=tuple(
        step._replace(matcher=None) if isinstance(step, Pattern) else step for step in group.steps))
        for group in groups)


def _order(rule: Signature) -> tuple[int, int, int]:
    """What passes is asked first; what sets bits before what asks for them; then what drops."""
    bits: list[Flowbit | Hostbit] = [*rule.flowbits, *rule.hostbits]
    sets = any(not bit.command.startswith("is") for bit in bits)
    asks = any(bit.command.startswith("is") for bit in bits)
    return rule.action != "pass", (0 if sets and not asks else 1 if sets else 2 if asks else 1), rule.action != "drop"


def _edges(sets: Iterable[Spans]) -> list[int]:
    """Where what ports fit may change."""
    return sorted({0, *(edge for spans in sets for low, high in spans for edge in (low, high + 1))})


def _ends(packet: Packet) -> tuple[object, ...]:
    return (packet.protocol, packet.source, packet.source_port, packet.destination, packet.destination_port)


def _ports_fit(rule: Signature, packet: Packet) -> bool:
    if packet.protocol not in _PROTOCOLS.get(rule.protocol, (packet.protocol,)):
        return False
    if packet.source_port < 0:
        return True
    return _both(rule, rule.source_ports, rule.destination_ports, packet.source_port, packet.destination_port)


def _both(rule: Signature, source: Any, destination: Any, first: int, second: int) -> bool:
    return (holds(source, first) and holds(destination, second)) or (
        rule.both_ways and holds(source, second) and holds(destination, first))


def _header_fits(rule: Signature, packet: Packet) -> bool:
    for field, spans in rule.numbers:
        value = packet.number(field)
        if value < 0 or not holds(spans, value):
            return False
    if rule.flags is not None and (packet.flags < 0 or not rule.flags.hold(packet.flags)):
        return False
    if rule.fragbits is not None and not rule.fragbits.hold(packet.fragbits):
        return False
    if (rule.ipopts and not packet.ipopts.intersection(rule.ipopts)) or (
            rule.sameip and packet.source != packet.destination):
        return False
    if packet.source_port < 0 and packet.protocol in (6, 17) and (rule.source_ports, rule.destination_ports) != (
            ANY_PORT, ANY_PORT):
        return False
    return any(holds(rule.source, one) and holds(rule.destination, two) and (packet.source_port < 0 or (
        holds(rule.source_ports, one_port) and holds(rule.destination_ports, two_port)))
        for one, one_port, two, two_port in _ways(rule, packet))


def _ways(rule: Signature, packet: Packet) -> list[tuple[int, int, int, int]]:
    there = (packet.source, packet.source_port, packet.destination, packet.destination_port)
    back = (packet.destination, packet.destination_port, packet.source, packet.source_port)
    return [there, back] if rule.both_ways else [there]


def _flow_fits(flow: Flow | None, flags: int) -> bool:
    if flow is None:
        return True
    if (flow.to_server and not flags & TO_SERVER) or (flow.to_client and not flags & TO_CLIENT):
        return False
    if flow.state == "established":
        return flags & ESTABLISHED != 0
    return flow.state != "not_established" or not flags & ESTABLISHED


def _seen(ready: _Ready, stream: Stream, text: Text, grown: int) -> bool:
    """Whether the rule's pattern is in what is new of a stream, or was seen in it before."""
    if ready.number in stream.armed:
        return True
    if ready.there(text, max(0, len(text.data) - grown - len(ready.needle) + 1)):
        stream.armed.add(ready.number)
        return True
    return False


def _placed(rule: Signature) -> bool:
    """Whether it says where from the beginning something is."""
    return any(isinstance(step, Content) and not step.relative and (step.offset is not None or step.depth is not None
                                                                    or step.starts) for step in rule.steps)

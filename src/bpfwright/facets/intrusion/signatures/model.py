"""What a signature says, once it is read."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.facets.intrusion.signatures.spans import ANY_ADDRESS, ANY_PORT, Spans

__all__ = ["ByteJump", "ByteMath", "ByteTest", "Content", "DataAt", "Flags", "Flow", "Flowbit", "Group", "Hostbit",
           "Pattern",
           "Signature", "Size", "Step", "Threshold", "worth"]


Named = tuple[tuple[str, str], ...]
"""Fields whose numbers are those of byte_extract and byte_math: (field, name)."""


class Content(NamedTuple):
    """Bytes that are in the payload, or are not. None: that modifier is not there."""

    pattern: bytes
    negated: bool = False
    nocase: bool = False
    offset: int | None = None
    depth: int | None = None
    distance: int | None = None
    within: int | None = None
    starts: bool = False
    ends: bool = False
    fast: bool = False
    named: Named = ()

    @property
    def relative(self) -> bool:
        """Whether it is looked for behind the match before."""
        return self.distance is not None or self.within is not None

    @property
    def first(self) -> int:
        """Where it begins at the earliest, from the payload's start."""
        return 0 if self.starts or self.offset is None or self.named else self.offset

    @property
    def last(self) -> int | None:
        """Where it begins at the latest; None: anywhere."""
        if self.starts:
            return 0
        return None if self.depth is None or self.named else self.first + self.depth - len(self.pattern)


class Pattern(NamedTuple):
    """A regular expression; `matcher` is the library's."""

    text: str
    matcher: Any
    negated: bool
    relative: bool


class DataAt(NamedTuple):
    """isdataat: whether there are so many bytes."""

    place: int
    negated: bool
    relative: bool
    named: Named = ()


class ByteTest(NamedTuple):
    """byte_test: a number of `size` bytes in the payload, compared."""

    size: int
    negated: bool
    operator: str
    value: int
    offset: int
    relative: bool = False
    little: bool = False
    number_base: int = 0  # 0: binary; 8, 10, 16: text
    mask: int = 0
    named: Named = ()


class ByteJump(NamedTuple):
    """byte_jump: go on behind as many bytes as a number in the payload says."""

    size: int
    offset: int
    relative: bool = False
    little: bool = False
    number_base: int = 0
    mask: int = 0
    multiplier: int = 1
    align: bool = False
    origin: str = ""  # "", "beginning", "end"
    post: int = 0
    named: Named = ()


class ByteMath(NamedTuple):
    """byte_extract and byte_math: a number in the payload, changed, under a name for steps behind it."""

    size: int
    offset: int
    name: str
    operator: str = ""  # "", + - * / << >>
    operand: int = 0
    relative: bool = False
    little: bool = False
    number_base: int = 0
    mask: int = 0
    multiplier: int = 1
    align: int = 1
    named: Named = ()


class Size(NamedTuple):
    """bsize: how many bytes a buffer has."""

    spans: Spans
    relative: bool = False


Step = Content | Pattern | DataAt | ByteTest | ByteJump | ByteMath | Size


class Group(NamedTuple):
    """What is looked for in one buffer of a protocol, behind some transforms, in this order."""

    buffer: str
    transforms: tuple[str, ...]
    steps: tuple[Step, ...]


class Flags(NamedTuple):
    """Bits of a header: all of `bits` and nothing else (""), all of them (+), any (*), not so (!); `ignored` is not
    looked at."""

    bits: int
    modifier: str = ""
    ignored: int = 0

    def hold(self, value: int) -> bool:
        """Whether a header's bits are as they are to be."""
        seen = value & ~self.ignored
        if self.modifier == "+":
            return seen & self.bits == self.bits
        if self.modifier == "*":
            return seen & self.bits != 0
        return (seen & self.bits != self.bits if self.bits else seen != 0) if self.modifier == "!" else \
            seen == self.bits


class Flow(NamedTuple):
    """Which side sends, what state the flow is in, and whether packets or streams are looked at."""

    to_server: bool = False
    to_client: bool = False
    state: str = ""  # "", "established", "not_established", "stateless"
    only: str = ""   # "", "stream", "packet"


class Flowbit(NamedTuple):
    """What is done with the bits of a flow: any of `names` for questions."""

    command: str
    names: tuple[str, ...]


class Hostbit(NamedTuple):
    """What is done with a bit of an address, or of a pair of them (xbits, hostbits): `track` is by_src, by_dst or
    by_both; set, it lasts for `seconds`."""

    command: str
    name: str
    track: str
    seconds: int


class Threshold(NamedTuple):
    """How often it is told: `kind` is limit, threshold, both, or filter (detection_filter); `of`: its count."""

    kind: str
    track: str
    of: int
    seconds: int


class Signature(NamedTuple):
    """One rule. `steps` are looked at in the payload, in their order, `groups` in buffers of a protocol; `numbers` are
    spans by field (see keywords), `said` by number of a protocol's message. `speaks`: the protocol that its flow is to
    speak, "" where that is the same, and `side` who says what it looks into ("server": it is said to the server);
    `unspoken`: those that it is not to speak."""

    file: str
    line: int
    action: str
    protocol: str
    sid: int
    msg: str = ""
    rev: int = 0
    gid: int = 1
    source: Spans = ANY_ADDRESS
    source_ports: Spans = ANY_PORT
    destination: Spans = ANY_ADDRESS
    destination_ports: Spans = ANY_PORT
    both_ways: bool = False
    classtype: str = ""
    priority: int = 0
    references: tuple[tuple[str, str], ...] = ()
    metadata: tuple[tuple[str, str], ...] = ()
    steps: tuple[Step, ...] = ()
    groups: tuple[Group, ...] = ()
    said: tuple[tuple[str, Spans], ...] = ()
    speaks: str = ""
    unspoken: tuple[str, ...] = ()
    side: str = ""
    numbers: tuple[tuple[str, Spans], ...] = ()
    flags: Flags | None = None
    fragbits: Flags | None = None
    ipopts: tuple[int, ...] = ()
    sameip: bool = False
    flow: Flow | None = None
    flowbits: tuple[Flowbit, ...] = ()
    hostbits: tuple[Hostbit, ...] = ()
    threshold: Threshold | None = None
    noalert: bool = False
    target: str = ""

    @property
    def contents(self) -> list[Content]:
        """The contents among its steps."""
        return [step for step in self.steps if isinstance(step, Content)]

    @property
    def all_contents(self) -> list[Content]:
        """Those and the ones in its groups."""
        return self.contents + [step for group in self.groups for step in group.steps if isinstance(step, Content)]

    @property
    def fast(self) -> Content | None:
        """The content that the kernel looks for: the one that is named so, else the longest with most different bytes;
        None where a packet can match without any."""
        there = [each for each in self.contents if not each.negated]
        named = [each for each in there if each.fast]
        return named[0] if named else max(there, key=worth, default=None)

    @property
    def asks_what_is_spoken(self) -> bool:
        """Whether it is about flows by their protocol."""
        return bool(self.speaks or self.unspoken)

    @property
    def on_streams(self) -> bool:
        """Whether it is looked for in streams that segments are put together to."""
        if self.on_messages or not self.steps or self.number("dsize") is not None:
            return False
        if not self.speaks and self.protocol not in ("tcp", "tcp-stream", "ip"):
            return False
        return self.flow is None or (self.flow.only != "packet" and self.flow.state != "not_established")

    @property
    def on_packets(self) -> bool:
        """Whether it is looked for in single packets."""
        return self.protocol != "tcp-stream" and not self.on_messages and (
            self.flow is None or self.flow.only != "stream")

    @property
    def on_messages(self) -> bool:
        """Whether it is looked for in what a protocol says."""
        return bool(self.groups or self.said or (self.speaks and not self.steps))

    def number(self, field: str) -> Spans | None:
        """What a field is to be."""
        return next((spans for name, spans in self.numbers if name == field), None)


def worth(content: Content) -> tuple[int, int]:
    """Long ones, and those of bytes that are seldom in text, are found by chance least."""
    rare = len({byte | 0x20 for byte in content.pattern})
    return min(len(content.pattern), 12) + rare, len(content.pattern)

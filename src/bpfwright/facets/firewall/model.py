"""What the section `firewall` of net.yaml says, checked."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, NamedTuple
from bpfwright.facets.firewall.mitigation import Mitigation
from bpfwright.facets.firewall.elements import Endpoint, Networks, Ranges

if TYPE_CHECKING:
    from bpfwright.datapath.protocols import OwnField

__all__ = ["ACTIONS", "DIRECTIONS", "DOMAINS", "KEEP", "Field", "Limit", "Look", "Mark", "Ports", "Rule",
           "Settings"]

ACTIONS = ("allow", "drop", "redirect", "continue")
"""What a rule does: `continue` does the rest that the rule asks for, and lets the rules behind decide."""

DIRECTIONS = ("in", "out")
KEEP = ("arp", "neighbours", "dhcp", "replies", "connections")
"""What a default of deny lets pass all the same."""

DOMAINS = {
    "protocol": 3 * 256,        # family (none, IPv4, IPv6) times protocol
    "source-port": 65537,       # 0: there is none; else the port and 1
    "destination-port": 65537,
    "icmp": 65536,              # type and code
    "tcp-flags": 256,
    "dscp": 64,
    "length": 65536,
    "ttl": 256,
    "fragment": 6,              # none, first, later; and 3 for what is malformed
    "vlan": 4097,               # 4096: no tag
    "ethertype": 65536,
    "state": 5,
}
"""Fields whose values are numbers below a bound."""

Field = str


class Limit(NamedTuple):
    """A token bucket: so many packets or bytes a second, and at once; `per` is "rule" or "source". `beyond`: what
    becomes of the rest, "drop", or "continue": for the rest it is as if the rule had not matched."""

    rate: float
    burst: float
    bytes: bool
    per: str
    beyond: str = "drop"


class Look(NamedTuple):
    """Where some bytes of a packet stand: so many behind the beginning of its `base` (frame, network, transport,
    payload), and which of their bits count. Of base `mark` they are its mark, of base `own` the field `own`."""

    base: str
    offset: int
    size: int
    mask: int
    own: OwnField | None = None

    @property
    def field(self) -> Field:
        """Its name among fields."""
        if self.own is not None:
            return self.own.name
        return f"{self.base}+{self.offset}/{self.size}&{self.mask:x}"


class Mark(NamedTuple):
    """A mark that a packet is given: `value` in the bits of `mask`."""

    value: int
    mask: int


class Ports(NamedTuple):
    """Ports that a rule asks for, or (`wanted` false) excludes: of sets by their names, and others."""

    sets: tuple[str, ...]
    others: Ranges
    wanted: bool


class Rule(NamedTuple):
    """A rule. `ranges` are by field of DOMAINS; the others by field with what each must be, and must not be; `looks`
    with the fields' looks.

    `action` is of ACTIONS; `reason` is what its drops are counted as; `to` is the interface of a redirect. `cookies`:
    SYNs that it allows are answered. `log`: its packets are told of, within a limit, with a `prefix`. `sample`: one of
    so many is kept. `counts`: that it counts is all that it is for. `ports`: what made the ranges of ports, by field,
    where sets had a part in it. `file`: which it stands in at `line`.
    """

    name: str
    action: str
    line: int
    reason: str = ""
    limit: Limit | None = None
    directions: tuple[str, ...] = ("in",)
    interfaces: tuple[str, ...] = ()
    ranges: dict[Field, Ranges] = {}
    networks: dict[Field, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    endpoints: dict[Field, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    macs: dict[Field, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    implied: bool = False
    cookies: bool = False
    looks: dict[Look, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    to: str = ""
    log: Limit | None = None
    sample: int = 0
    mark: Mark | None = None
    prefix: str = ""
    counts: bool = False
    ports: dict[Field, tuple[Ports, ...]] = {}
    file: str = ""

    @property
    def goes_on(self) -> bool:
        """Whether rules behind it may decide."""
        return self.action == "continue" or self.yields

    @property
    def yields(self) -> bool:
        """Whether rules behind it decide about what is beyond its limit."""
        return self.limit is not None and self.limit.beyond == "continue"


class Settings(NamedTuple):
    """The whole section. `networks` and `endpoints` are sets, and what rules hold inline, by name.

    `log` and `samples`: files that packets of rules are written to. `room`: by sets that may be changed while they are
    live, how many elements more than they have. `strict`: a rule that never acts, because earlier ones take all its
    packets, is an error.
    """

    rules: tuple[Rule, ...]
    default: dict[str, str]
    interfaces: tuple[str, ...]
    keep: frozenset[str]
    networks: dict[str, Networks]
    endpoints: dict[str, tuple[Endpoint, ...]]
    flows: int
    strict: bool = True
    mitigation: Mitigation | None = None
    file: str = ""
    room: dict[str, int] = {}
    log: str = ""
    samples: str = ""
    ports: dict[str, Ranges] = {}

    @property
    def stateful(self) -> bool:
        """Whether flows are followed."""
        return any("state" in rule.ranges for rule in self.rules)

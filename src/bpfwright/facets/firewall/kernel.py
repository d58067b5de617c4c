"""The firewall's stage: what finds a packet's classes, the AND of their vectors, and what the rule says."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.apart import judged_at, keeper_of
from bpfwright.datapath.flows import BEGUN, NEW, Flows
from bpfwright.datapath.stage import CONTINUE, drop
from bpfwright.facets.firewall.classes import Layout, Place
from bpfwright.facets.firewall.finding import Finder, Function
from bpfwright.facets.firewall.tokens import COOKIES, DECIDES, REDIRECTS, YIELDS, Tokens
from bpfwright.maps import PerCpuArray
from bpfwright.types import L, Struct, array, u8, u16, u32, u64

__all__ = ["NOWHERE", "SHUT_OUT", "Action", "Count", "Parts", "Tables", "rule_of", "stage_of"]

_NO_RULE = 0xFFFF_FFFF
_ALL = (1 << 64) - 1
_DECIDED = 1 << 31  # more than any verdict
LIMITED, FULL, SHUT_OUT, NOWHERE = range(4)
"""Reasons for drops: beyond a limit, a new flow that found no room, by mitigation, a redirect that leads nowhere."""
_SYN, _CONTROL = 2, 0x17  # of FIN, SYN, RST and ACK


class Action(Struct):
    """What a rule does: the verdict, and its bucket's numbers (see tokens) when `interval` is not 0; those of what it
    tells, when `log_interval` is not 0. A rule that goes on has the verdict of what is beyond its limit, and how many
    rules that decide stand `before` it."""

    verdict: u32
    flags: u32
    interval: u64
    burst_ns: u64
    log_interval: u64
    log_burst_ns: u64
    sample: u32
    mark: u32
    mask: u32
    before: u32
    device: u32
    padding: u32


class Count(Struct):
    """What a rule matched, and what of it was beyond its limit."""

    packets: u64
    bytes: u64
    limited: u64


# the AND of vectors: `vectors` in a program are nested pairs, the last field's first


def _end_summary(vectors: Any) -> int:
    return _ALL


def _end_word(vectors: Any, place: Any) -> int:
    return _ALL


def _and_summary(behind: Function) -> Function:
    def summary(vectors: Any) -> Any:
        return vectors[0].summary & behind(vectors[1])

    return summary


def _and_word(behind: Function) -> Function:
    def word(vectors: Any, place: Any) -> Any:
        return vectors[0].words[place] & behind(vectors[1], place)

    return word


def _lowest(bits: u64) -> u64:
    """The number of the lowest bit that is set: the bits below it, counted."""
    below = u64((bits & u64(0 - bits)) - 1)
    below = u64(below - (below >> 1 & 0x5555_5555_5555_5555))
    below = (below & 0x3333_3333_3333_3333) + (below >> 2 & 0x3333_3333_3333_3333)
    below = below + (below >> 4) & 0x0F0F_0F0F_0F0F_0F0F
    return u64(below * 0x0101_0101_0101_0101) >> 56


def _search(summary: Function, word: Function, layout: Layout) -> Function:
    words, goes_on = layout.words, layout.goes_on

    def search(packet: Any, state: Any, vectors: Any) -> Any:
        if goes_on:
            packet.more = word(vectors, words)
        left = summary(vectors)
        for _ in range(words):
            if left == 0:
                break
            place = _lowest(left) & words - 1
            found = word(vectors, place)
            if found != 0:
                return u32(place * 64 + _lowest(found))
            left &= left - 1
        return _NO_RULE

    return search


def _looked_up(finder: Finder, number: int | None, behind: Function) -> Function:
    """One field's vector before the others; `number` is its place where it is a constant."""
    vectors, find = finder.vectors, finder.find

    def with_constant(packet: Any, state: Any, known: Any) -> Any:
        vector = vectors.get(number)
        if vector is None:
            return _NO_RULE
        return behind(packet, state, (vector, known))

    def with_value(packet: Any, state: Any, known: Any) -> Any:
        vector = vectors.get(u32(find(packet, state)))
        if vector is None:
            return _NO_RULE
        return behind(packet, state, (vector, known))

    return with_value if number is None else with_constant


def rule_of(finders: list[Finder], place: Place, layout: Layout) -> Function:
    """`find(packet, state)`: the bit of the first rule that decides; those that go on are left in `packet.more`."""
    summary, word = _end_summary, _end_word
    for _ in finders:
        summary, word = _and_summary(summary), _and_word(word)
    found = _search(summary, word, layout)
    for finder in finders:
        places = finder.dimension.places
        found = _looked_up(finder, None if places is None else places[place], found)

    def find(packet: Any, state: Any) -> Any:
        return found(packet, state, 0)

    return find


# the stage


class Seen(Struct):
    """What the stage needs of a `Parsed`, in memory of each CPU, and the state of its flow.

    In registers every way that parsing can go is one of its own for the verifier, through all that comes behind; see
    datapath/apart.py.
    """

    source_mac: u64
    destination_mac: u64
    source_high: u64
    source_low: u64
    destination_high: u64
    destination_low: u64
    now_ns: u64
    source_port: u16
    destination_port: u16
    network_offset: u16
    transport_offset: u16
    length: u16
    ethertype: u16
    vlan: u16
    family: u8
    protocol: u8
    fragment: u8
    dscp: u8
    ecn: u8
    ttl: u8
    malformed: u8
    tcp_flags: u8
    type: u8
    code: u8
    header_length: u8
    looked: u16
    state: u32
    number: u32  # of the first rule that decides
    known: u32
    more: u64
    looks: array[u64, L[16]]  # as many as finding.MOST_LOOKS


class Tables(NamedTuple):
    """What all hooks share: each rule's action and counts, the buckets, and the flow table (None: no rule asks)."""

    actions: Any
    counts: Any
    tokens: Tokens | None
    flows: Flows | None


class Parts(NamedTuple):
    """What a hook's stage does besides, None where nothing asks for it.

    `look(ctx, seen)` reads bytes; `answer(ctx, seen)` is that of cookies; `judged(seen)` that of mitigation;
    `tell(ctx, seen, number, action)` sends what rules log and sample; `mark(ctx, action)` marks the packet;
    `send(device)` redirects it.
    """

    look: Function | None = None
    answer: Function | None = None
    judged: Function | None = None
    tell: Function | None = None
    mark: Function | None = None
    send: Function | None = None


def stage_of(find: Function, tables: Tables, needs: frozenset[str], layout: Layout, parts: Parts, outward: bool,
             ) -> Function:
    """The stage's function, at tc for what goes out."""
    actions, counts, tokens, flows = tables
    state_of = _no_state if flows is None else flows.state
    remember = _remembered if flows is None else flows.remember
    taken = _always if tokens is None else tokens.taken
    limits, follows, goes_on, yields = tokens is not None, flows is not None, layout.goes_on, layout.yields
    keep = keeper_of(needs)
    scratch = PerCpuArray[Seen](max_entries=1)
    looks, answers, judges = parts.look is not None, parts.answer is not None, parts.judged is not None
    tells, marks, sends = parts.tell is not None, parts.mark is not None, parts.send is not None
    look, shut_out = parts.look or _look_nowhere, parts.judged or _remembered
    tell, mark, send = parts.tell or _tell_nobody, parts.mark or _look_nowhere, parts.send or _no_state
    reply = _no_state if parts.answer is None else _answered(parts.answer)
    going_on = _going_on(layout, tables, taken, limits, _besides(tells, tell, marks, mark))

    def look_at(ctx: Any) -> Any:
        seen = scratch.local(0)
        if looks:
            seen.looked = 0
            look(ctx, seen)
        if judges and shut_out(seen):
            return drop(SHUT_OUT)
        if follows:
            state = state_of(ctx, seen)
            seen.known = state == BEGUN  # new to rules, but there is an entry
            seen.state = NEW if state == BEGUN else state
        return CONTINUE

    def find_it(ctx: Any) -> Any:
        seen = scratch.local(0)
        seen.number = find(seen, seen.state)
        return CONTINUE

    def judge(ctx: Any) -> Any:
        seen = scratch.local(0)
        if not follows:
            said = look_at(ctx)
            if said != CONTINUE:
                return said
            find_it(ctx)
        number = seen.number
        if goes_on:
            said = going_on(ctx, seen, number)
            if yields and said & _DECIDED:
                number = u32(said & ~_DECIDED)
            elif said != CONTINUE:
                return said
        action = actions.get(number)
        if action is None:
            return CONTINUE
        count = counts.local(number)
        if count is not None:
            count.packets += 1
            count.bytes += ctx.length
        pays = limits and action.interval != 0 and not (yields and action.flags & DECIDES)
        if pays and not taken(ctx, seen, number, action):
            if count is not None:
                count.limited += 1
            return drop(LIMITED)
        if tells:
            tell(ctx, seen, number, action)
        if marks:
            mark(ctx, action)
        if answers and action.flags & COOKIES and seen.protocol == 6 and seen.tcp_flags & _CONTROL == _SYN:
            said = reply(ctx, seen)
            if said != CONTINUE:
                return said
        if sends and action.flags & REDIRECTS:
            return send(ctx, action.device)
        if follows and seen.state == NEW and not seen.known and action.verdict == CONTINUE and not remember(seen):
            return drop(FULL)
        return action.verdict

    hook = "egress" if outward else "xdp"
    judged = judged_at(hook, judge, "firewall")

    def run(ctx: Any, packet: Any) -> Any:
        keep(scratch.local(0), packet)
        return judged(ctx)

    if not follows:
        return run
    # One after the other: each way through a flow's states would be one of its own through all tables, and each way
    # through these one through all that is done with the rule (a million instructions on Linux 7.3).
    looked, found = judged_at(hook, look_at, "firewall_looks"), judged_at(hook, find_it, "firewall_finds")

    def run_by_parts(ctx: Any, packet: Any) -> Any:
        keep(scratch.local(0), packet)
        said = looked(ctx)
        if said != CONTINUE:
            return said
        found(ctx)
        return judged(ctx)

    return run_by_parts


def _besides(tells: bool, tell: Function, marks: bool, mark: Function) -> Function:
    def besides(ctx: Any, seen: Any, number: Any, action: Any) -> None:
        if tells:
            tell(ctx, seen, number, action)
        if marks:
            mark(ctx, action)

    return besides


def _going_on(layout: Layout, tables: Tables, taken: Function, limits: bool, besides: Function) -> Function:
    """`going_on(ctx, seen, number)`: the rules that go on, of those before the one that decides. One of them decides
    when it says so, and the packet is within its limit: its number beside `_DECIDED`."""
    first, most, yields = layout.words * 64, layout.most_going_on, layout.yields
    actions, counts = tables.actions, tables.counts

    def going_on(ctx: Any, seen: Any, number: Any) -> Any:
        for _ in range(most):
            more = seen.more
            if more == 0:
                break
            seen.more = more & more - 1
            own = u32(first + _lowest(more))
            action = actions.get(own)
            if action is None or action.before > number:
                continue
            within = not limits or action.interval == 0 or taken(ctx, seen, own, action)
            if yields and within and action.flags & DECIDES:
                return u32(_DECIDED | own)
            count = counts.local(own)
            if count is not None:
                count.packets += 1
                count.bytes += ctx.length
                if not within:
                    count.limited += 1
            if not within:
                if yields and action.flags & YIELDS:
                    continue
                return action.verdict
            besides(ctx, seen, own, action)
        return CONTINUE

    return going_on


def _look_nowhere(ctx: Any, other: Any) -> None:
    return None


def _tell_nobody(ctx: Any, seen: Any, number: Any, action: Any) -> None:
    return None


def _answered(answer: Function) -> Function:
    def reply(ctx: Any, seen: Any) -> Any:
        first = ctx.read(seen.transport_offset + 12, u8)
        if first is None:
            return CONTINUE
        seen.header_length = first >> 4 << 2
        return answer(ctx, seen)

    return reply


def _no_state(ctx: Any, packet: Any) -> int:
    return 0


def _remembered(packet: Any) -> bool:
    return True


def _always(ctx: Any, packet: Any, rule: Any, action: Any) -> bool:
    return True

"""Flows as signatures need them: who asked, whether both sides spoke, and which bytes of a stream come next."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.flows import sent_by_second
from bpfwright.datapath.parsed import since
from bpfwright.facets.intrusion.signatures.records import Session, SessionKey
from bpfwright.helpers import now_ns
from bpfwright.maps import PerCpuArray
from bpfwright.types import u32

__all__ = ["CONDEMNED", "sessions_of"]

_FIRST_ASKED, _REPLIED, _ESTABLISHED, _CLOSED, CONDEMNED = (1 << bit for bit in range(5))
"""Flags of a session. CONDEMNED: a rule dropped a packet of it, so all that follow are dropped."""
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_NEW_NS, _TCP_NS, _OTHER_NS = 60 * 10**9, 3600 * 10**9, 300 * 10**9


def sessions_of(table: Any) -> Any:
    """`session(packet, seen)`: the flow's entry or None, with what it says noted in `seen`; `again(packet)`: the
    same entry once more."""
    blank = PerCpuArray[Session](max_entries=1)

    def key_of(packet: Any, second: bool) -> SessionKey:
        echo = packet.protocol in (_ICMP, _ICMPV6)
        port = packet.source_port if echo else packet.destination_port
        return SessionKey(packet.destination_high if second else packet.source_high,
                          packet.destination_low if second else packet.source_low,
                          packet.source_high if second else packet.destination_high,
                          packet.source_low if second else packet.destination_low,
                          u32(port << 16 | packet.source_port) if second else u32(packet.source_port << 16 | port),
                          u32(packet.ifindex << 8 | packet.protocol))

    def begins(packet: Any) -> Any:
        if packet.protocol == _TCP:
            return packet.tcp_flags & (_SYN | _ACK | _RST | _FIN) == _SYN
        return packet.protocol in (_UDP, _ICMP, _ICMPV6)

    def limit_ns(packet: Any, flags: Any) -> Any:
        if flags & _REPLIED == 0:
            return _NEW_NS
        return _TCP_NS if packet.protocol == _TCP else _OTHER_NS

    def make(packet: Any, seen: Any, key: Any, second: bool, now: Any) -> None:
        made = blank.local(0)
        made.begin_ns = now + 1  # never 0, which is no flow
        made.last_ns = now
        made.flags = 0 if second else _FIRST_ASKED
        made.first[0] = u32(seen.sequence + 1)
        made.expected[0] = u32(seen.sequence + 1)
        made.known[0] = 1
        table.insert(key, made)

    def note(packet: Any, seen: Any, known: Any, second: bool) -> None:
        flags = known.flags
        asked = (flags & _FIRST_ASKED != 0) != second
        if packet.protocol == _TCP:
            if not asked and packet.tcp_flags & (_SYN | _ACK) == _SYN | _ACK and known.known[1] == 0:
                known.first[1] = u32(seen.sequence + 1)
                known.expected[1] = u32(seen.sequence + 1)
                known.known[1] = 1
                flags |= _REPLIED
            if asked and packet.tcp_flags & (_SYN | _ACK | _RST) == _ACK and flags & _REPLIED:
                flags |= _ESTABLISHED
            if packet.tcp_flags & (_FIN | _RST):
                flags |= _CLOSED
        elif not asked:
            flags |= _REPLIED | _ESTABLISHED
        if flags != known.flags:
            known.flags |= flags  # at once: the other side's packets may be on another CPU
        seen.state = (1 if asked else 3) + (1 if flags & _ESTABLISHED else 0)
        seen.flow = known.begin_ns

    def session(packet: Any, seen: Any) -> Any:
        second = sent_by_second(packet)
        key = key_of(packet, second)
        now = now_ns()
        known = table.get(key)
        fresh = known is None
        if known is not None:
            if since(now, known.last_ns) > limit_ns(packet, known.flags):
                fresh = True
            elif packet.protocol == _TCP and begins(packet):
                again = u32(seen.sequence + 1) != known.first[0]
                fresh = known.flags & _CLOSED != 0 or (again and known.flags & _ESTABLISHED == 0)
        if fresh and begins(packet):
            make(packet, seen, key, second, now)
            known = table.get(key)
        elif fresh:
            return None
        if known is not None:
            known.last_ns = now
            note(packet, seen, known, second)
        return known

    def again(packet: Any) -> Any:
        return table.get(key_of(packet, sent_by_second(packet)))

    return session, again

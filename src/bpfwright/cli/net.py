"""Run this machine's packet data path: what net.yaml asks for, at the driver and in the stack.

`apply` prepares a configuration beside what is live and makes it live by one store, on all interfaces at once.
With --confirm it goes back by itself unless `confirm` comes in time, though this machine cannot be reached any more
and this program is dead. Everything stays attached when the command ends; `remove` takes it away.
"""
from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from bpfwright._host import sleep_s
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterator
from bpfwright.datapath.sections import facets
from bpfwright.errors import SessionError, TargetError, UsageError

if TYPE_CHECKING:
    import argparse

    from bpfwright.datapath.controller import Controller, Status
    from bpfwright.datapath.explaining import Explained
    from bpfwright.datapath.generation import Generation
    from bpfwright.datapath.watching import Change, Tick

__all__ = ["EXAMPLES", "arguments", "facets", "run"]

EXAMPLES = (
    "bpfwright net check net.yaml                     read, compile and verify it; change nothing",
    "bpfwright net apply net.yaml --confirm 30s       live for 30 seconds, unless it is confirmed",
    "bpfwright net confirm                            it stays",
    "bpfwright net apply net.yaml --follow            stay and tend it: health checks, expiry",
    "bpfwright net status -f json                     what is live, and what became of packets, by reason",
    "bpfwright net watch --flows 10                   rates, flows, each packet that is dropped with its reason",
    "bpfwright net explain -i eth0 'Ethernet() / IPv4(source=\"192.0.2.7\") / TCP(dport=22, syn=1)'",
    "bpfwright net set bad add 192.0.2.7 198.51.100.0/24   elements of a firewall's set, under traffic",
    "bpfwright net set bad                            its elements, as they are now",
    "bpfwright net rollback",
    "bpfwright net tend                               go on tending what is live, after whoever did has ended",
)

_TAKES = {"apply": "a file", "check": "a file", "explain": "a packet", "set": "a set"}
_VERBS = ("apply", "check", "confirm", "explain", "remove", "rollback", "set", "status", "tend", "watch")


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("verb", choices=_VERBS, help="what to do")
    parser.add_argument("what", nargs="?", default="", metavar="FILE | PACKET | SET",
                        help="net.yaml; for explain, a packet; for set, a set of the firewall")
    parser.add_argument("words", nargs="*", metavar="add | remove ELEMENT",
                        help="set: what is to change; - reads lines")
    parser.add_argument("--name", default="net", help="of the data path, where a machine has several (net)")
    parser.add_argument("--confirm", default="", metavar="TIME", help="apply: go back after this time unless confirmed")
    parser.add_argument("--follow", action="store_true", help="apply: tend it until Ctrl-C, which leaves it live")
    parser.add_argument("-i", "--interface", default="", metavar="NAME", help="explain: by which the packet comes in")
    parser.add_argument("--flows", type=int, default=0, metavar="N", help="watch: also the N flows that move most")
    parser.add_argument("-d", "--duration", type=float, metavar="SECONDS", help="watch: so long; else until Ctrl-C")
    output = parser.add_argument_group("output")
    output.add_argument("-f", "--format", choices=("table", "json"), default="table", help="(table)")
    output.add_argument("-j", "--json", dest="format", action="store_const", const="json", help="the same as -f json")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    wanted = _TAKES.get(chosen.verb, "")
    if bool(chosen.what) != bool(wanted) or (chosen.words and chosen.verb != "set"):
        raise UsageError(f"net {chosen.verb} takes {wanted or 'nothing more'}", cure="bpfwright net --help")
    from bpfwright.datapath.controller import Controller
    with Controller(chosen.name, facets()) as controller:
        return _DO[chosen.verb](chosen, controller)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise TargetError(f"{path} cannot be read", why=getattr(error, "strerror", "") or str(error)) from None


def _say(*words: str) -> None:
    print(*words, file=sys.stderr)


# changes

def _apply(chosen: argparse.Namespace, controller: Controller) -> int:
    from bpfwright.datapath.configuration import Scalar
    confirm = Scalar(chosen.confirm, "--confirm", 1, "confirm").seconds(0.1, 86400) if chosen.confirm else None
    applied = controller.apply(_text(chosen.what), os.path.abspath(chosen.what), confirm_s=confirm)
    hooks = ", ".join(f"{place} ({mode})" for place, mode in applied.modes.items())
    _say(f"generation {applied.record.number} is live at {hooks}")
    for place, mode in applied.modes.items():
        if mode == "generic":
            _say(f"{place}: GENERIC mode. The driver has no native XDP, so each packet costs what the stack costs.")
    if applied.record.previous:
        for table in applied.fresh:
            _say(f"{table} begins empty: there was none of this shape before")
    if applied.edits:
        _say(f"{applied.edits} changes of sets in place are gone: what the files say holds")
    if applied.left_s:
        _say(f"it goes back in {applied.left_s:.0f} s unless you type: bpfwright net confirm")
    return _tend(controller) if chosen.follow else 0


def _tend(controller: Controller) -> int:
    """Let the facets do what is to be done each second, for whatever is live, until Ctrl-C."""
    try:
        while True:
            with controller.generation() as (record, generation), ExitStack() as beside:
                maps, parts = generation.maps, generation.plan.parts.values()
                looks = [beside.enter_context(part.beside(maps)) for part in parts if part.beside is not None]
                states: dict[tuple[str, str], str] = {}
                while controller.live_number() == record.number:
                    for part in parts:
                        if part.tend is not None:
                            part.tend(maps)
                    for look in looks:
                        look()
                    states = _say_changes(generation, states)
                    sleep_s(1.0)
    except KeyboardInterrupt:
        _say("it stays live; nobody tends it now")
    except SessionError:
        _say("nothing is live any more")
    return 0


def _tend_live(chosen: argparse.Namespace, controller: Controller) -> int:
    if not controller.live_number():
        raise SessionError(f"nothing is live in data path {chosen.name!r}", cure="bpfwright net apply net.yaml")
    return _tend(controller)


def _say_changes(generation: Generation, before: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    from bpfwright.datapath.watching import changed, states_of
    states = states_of(generation)
    for change in changed(before, states):
        _say(_told_change(change))
    return states


def _check(chosen: argparse.Namespace, controller: Controller) -> int:
    plan = controller.check(_text(chosen.what), os.path.abspath(chosen.what))
    for place, instructions in plan.items():
        print(f"{place}: {instructions} instructions")
    return 0


def _confirm(chosen: argparse.Namespace, controller: Controller) -> int:
    _say(f"generation {controller.confirm().number} stays")
    return 0


def _rollback(chosen: argparse.Namespace, controller: Controller) -> int:
    back = controller.rollback()
    _say("there was nothing before: packets pass" if back is None else f"generation {back.number} is live again")
    return 0


def _set(chosen: argparse.Namespace, controller: Controller) -> int:
    from bpfwright.datapath.facet import Edit
    if not chosen.words:
        for element in controller.elements("firewall", chosen.what):
            print(element)
        return 0
    verb, *elements = chosen.words
    if verb not in ("add", "remove") or not elements:
        raise UsageError("net set takes a set, `add` or `remove`, and elements", cure="bpfwright net --help")
    if elements == ["-"]:
        elements = [line for text in sys.stdin if (line := text.partition("#")[0].strip())]
    record = controller.edit("firewall", Edit(chosen.what, **{verb: tuple(elements)}))
    _say(f"generation {record.number}: {chosen.what}: {len(elements)} {'came in' if verb == 'add' else 'went out'}")
    return 0


def _remove(chosen: argparse.Namespace, controller: Controller) -> int:
    controller.remove()
    _say("removed: packets pass")
    return 0


# looks

def _status(chosen: argparse.Namespace, controller: Controller) -> int:
    status = controller.status()
    if chosen.format == "json":
        import json
        print(json.dumps(_as_json(status), indent=2))
    else:
        for line in _lines(status):
            print(line)
    return 0


def _as_json(status: Status) -> dict[str, Any]:
    return {
        "generation": status.record.number, "file": status.record.file, "applied_ns": status.record.time_ns,
        "previous": status.previous.number if status.previous else None, "confirm_within_s": status.left_s or None,
        "went_back": status.expired, "edits": status.edits, "hooks": status.modes, "missing": status.missing,
        "others": [each._asdict() for each in status.others], "counts": [each._asdict() for each in status.counted],
        "before": {name: {"packets": packets, "bytes": octets} for name, (packets, octets) in status.totals.items()},
        "facets": status.rows,
    }


def _lines(status: Status) -> Iterator[str]:
    record = status.record
    yield f"generation {record.number} of {record.file}" + (
        f", previous {status.previous.number}" if status.previous else "") + (
        f": goes back in {status.left_s:.0f} s unless confirmed" if status.left_s else "") + (
        ": a change was not confirmed, and went back" if status.expired else "")
    for place, mode in status.modes.items():
        yield f"  {place}: {mode.upper() + ', slow' if mode == 'generic' else mode}"
    if status.edits:
        yield f"  sets were changed in place {status.edits} times since"
    for name in status.missing:
        yield f"  {name}: the interface has gone; apply again when it is back"
    for other in status.others:
        yield f"  {other.interface} {other.hook}: also program {other.program} {other.name} ({other.how}), not ours"
    yield from _columns(("HOOK", "STAGE", "REASON", "PACKETS", "BYTES"),
                        [(each.program, each.stage or "-", each.reason, f"{each.packets:,}", f"{each.bytes:,}")
                         for each in status.counted if each.packets])
    if status.totals:
        yield "before this generation:"
        yield from _columns(("REASON", "PACKETS", "BYTES"), [
            (name.strip(), f"{packets:,}", f"{octets:,}") for name, (packets, octets) in status.totals.items()])
    for facet, rows in status.rows.items():
        if rows:
            yield f"{facet}:"
            heads = list(dict.fromkeys(key for row in rows for key in row))
            yield from _columns(tuple(head.upper() for head in heads),
                                [tuple(_cell(row.get(head)) for head in heads) for row in rows])


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _columns(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    if rows:
        widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]
        for row in (heads, *rows):
            yield "  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _watch(chosen: argparse.Namespace, controller: Controller) -> int:
    from bpfwright.datapath.watching import Watch
    left = chosen.duration
    with Watch(controller, flows=max(0, chosen.flows)) as watch:
        try:
            while left is None or left > 0:
                sleep_s(1.0 if left is None else min(1.0, left))
                left = None if left is None else left - 1.0
                _show(chosen, watch.look())
        except KeyboardInterrupt:
            pass
    return 0


def _show(chosen: argparse.Namespace, tick: Tick) -> None:
    if chosen.format == "json":
        import json
        print(json.dumps({"generation": tick.generation, "seconds": round(tick.seconds, 3),
                          "rates": [rate._asdict() for rate in tick.rates], "unseen": tick.unseen,
                          "changes": [change._asdict() for change in tick.changes],
                          "flows": [flow._asdict() for flow in tick.flows],
                          "drops": [{**drop._asdict(), "data": drop.data.hex()} for drop in tick.drops]}), flush=True)
        return
    for change in tick.changes:
        print(_told_change(change))
    for drop in tick.drops:
        print(f"{drop.place}: {drop.stage}: {drop.reason}: {_brief(drop.data)}, {drop.length} bytes")
    if tick.unseen:
        print(f"... and {tick.unseen:,} drops more")
    for line in _moving(tick):
        print(line)
    rates = ", ".join(f"{rate.stage + ' ' if rate.stage else ''}{rate.reason} {rate.packets / tick.seconds:,.0f}/s"
                      for rate in tick.rates)
    print(f"generation {tick.generation}: {rates or 'no packets'}", flush=True)


def _moving(tick: Tick) -> Iterator[str]:
    return _columns(("FLOW", "STATE", "SENT/s", "BYTES/s", "GOT/s", "BYTES/s"), [
        (f"{flow.protocol} {flow.origin}:{flow.origin_port} -> {flow.responder}:{flow.responder_port}", flow.state,
         *(f"{number / tick.seconds:,.0f}" for number in (flow.sent_packets, flow.sent_bytes, flow.got_packets,
                                                          flow.got_bytes))) for flow in tick.flows])


def _told_change(change: Change) -> str:
    return f"{change.facet}: {change.name}: {change.before} -> {change.after}"


def _brief(data: bytes) -> str:
    """A packet's ends in one line."""
    from bpfwright.headers import TCP, UDP, IPv4, IPv6
    from bpfwright.spec.packet import Packet
    packet = Packet.parse(data)
    ip: Any = packet.find(IPv4) or packet.find(IPv6)
    if ip is None:
        return packet.headers[-1].__class__.__name__ if packet.headers else "an empty frame"
    transport: Any = packet.find(TCP) or packet.find(UDP)
    if transport is None:
        return f"{ip.source} -> {ip.destination}"
    return f"{type(transport).__name__} {ip.source}:{transport.sport} -> {ip.destination}:{transport.dport}"


def _explain(chosen: argparse.Namespace, controller: Controller) -> int:
    if not chosen.interface:
        raise UsageError("explain needs the interface by which the packet comes in", cure="Add -i NAME.")
    from bpfwright.kernel import Kernel
    from bpfwright.userspace import Userspace
    with Kernel() as kernel:
        found = controller.explain(_packet(chosen.what), chosen.interface, [kernel, Userspace()])
    if chosen.format == "json":
        import json
        print(json.dumps([{"machine": each.machine, "action": each.action, "data": each.data.hex(),
                           "steps": [step._asdict() for step in each.steps]} for each in found], indent=2))
        return 0
    first = found[0]
    for line in _told(first):
        print(line)
    for other in found[1:]:
        same = _outcome(other) == _outcome(first)
        print(f"the {other.machine} machine says the same" if same else f"THE {other.machine.upper()} MACHINE DIFFERS:")
        if not same:
            for line in _told(other):
                print(line)
    return 0


def _outcome(explained: Explained) -> Any:
    return (explained.action, explained.data, [(step.place, step.stage, step.says, step.reason)
                                               for step in explained.steps])


def _told(explained: Explained) -> Iterator[str]:
    for step in explained.steps:
        yield f"{step.place}: {step.stage} {step.says}" + (f": {step.reason}" if step.reason else "")
    if not explained.steps:
        yield "no stage looks at it"
    yield f"in the end: {explained.action}"


def _packet(text: str) -> bytes:
    """A frame: an expression of headers, hexadecimal digits, or FILE.pcap:N, counted from 0."""
    path, _, number = text.rpartition(":")
    if path.endswith((".pcap", ".pcapng")) and number.isdecimal():
        from bpfwright.formats.pcap import read_capture
        try:
            with open(path, "rb") as file:
                return read_capture(file.read()).packet(int(number))
        except OSError as error:
            raise TargetError(f"{path} cannot be read", why=error.strerror or "") from None
    if text and not set(text.lower()) - set("0123456789abcdef "):
        try:
            return bytes.fromhex(text)
        except ValueError:
            raise UsageError("these hexadecimal digits are no bytes", cure="Write two digits a byte.") from None
    from bpfwright.facets.blast.expression import parse_expression
    return bytes(parse_expression(text).packet)


_DO: dict[str, Callable[[Any, Any], int]] = {
    "apply": _apply, "check": _check, "confirm": _confirm, "explain": _explain, "remove": _remove,
    "rollback": _rollback, "set": _set, "status": _status, "tend": _tend_live, "watch": _watch}

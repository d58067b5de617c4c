"""Send frames at millions a second out of a header expression or a capture, and count and time what arrives.

Frames are made in the kernel, by an XDP program that the expression is compiled to, and leave by the interface as if
they had been redirected to it (Linux 5.18). In an expression a field may be a prefix ("10.0.0.0/16"), a range
(range(1, 100), "1024-2047"), a list, random(...) of these, or hold(n, ...). `reflect INTERFACE` sends back what comes.
"""
from __future__ import annotations

import argparse
import sys

from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.errors import TargetError, UsageError
from bpfwright.facets.blast.presets import PRESETS

if TYPE_CHECKING:
    from bpfwright.facets.blast.control import Blaster
    from bpfwright.facets.blast.frames import Frames
    from bpfwright.facets.blast.model import Options, Report, Second

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright blast -i left --receive right --udp -c 1000000            a million frames; how many came, and how fast",
    "bpfwright blast -i left --receive right --imix --rate 500k -d 10    500,000 a second, of three lengths",
    "bpfwright blast -i left --pcap day.pcap --own-times --speed 10      a capture, ten times as fast as it was",
    "bpfwright blast -i left --syn-flood --to 10.0.0.1 --dport 443 -d 5",
    "bpfwright blast -i left 'Ethernet() / IPv4(source=random(\"10.0.0.0/8\")) / UDP(dport=range(1, 1024))' --show 3",
    "bpfwright blast reflect right --netns far                           the other end of a round trip",
)

_CHANGES = {"source": "from", "destination": "to", "sport": "sport", "dport": "dport"}
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options."""
    parser.add_argument("words", nargs="*", metavar="EXPRESSION | reflect INTERFACE", help="what to send")
    what = parser.add_argument_group("what to send")
    for name, preset in PRESETS.items():
        what.add_argument(f"--{name}", dest="preset", action="store_const", const=name, help=preset.about)
    what.add_argument("--pcap", metavar="FILE", help="the packets of a capture (pcap, pcapng), once unless -c or -d")
    what.add_argument("--length", metavar="BYTES", help="of whole frames: 64, 60-1514, 64,128,256 or imix")
    for name, word in _CHANGES.items():
        what.add_argument(f"--{word}", dest=name, metavar="VALUE", help=f"the outermost {name}, as in an expression")
    what.add_argument("--seed", type=int, default=1, metavar="N", help="of what random() draws (1)")
    how = parser.add_argument_group("how")
    how.add_argument("-i", "--interface", default="", metavar="NAME", help="by which frames leave")
    how.add_argument("--netns", default="", metavar="NS", help="its network namespace: a name, a process or a path")
    how.add_argument("--rate", default="", metavar="N", help="frames a second: 500k, 1.5M; or bits: 100Mbit")
    how.add_argument("-c", "--count", type=int, metavar="N", help="so many frames")
    how.add_argument("-d", "--duration", type=float, metavar="SECONDS", help="so long; else until Ctrl-C")
    how.add_argument("--cpus", default="", metavar="LIST", help="send on these: 0,2-3 (one)")
    how.add_argument("--batch", type=int, default=64, metavar="N", help="frames that are handed on together (64)")
    how.add_argument("--own-times", action="store_true", help="at the capture's own times")
    how.add_argument("--speed", type=float, default=1.0, metavar="X", help="so many times as fast as these (1)")
    how.add_argument("--allow-default-route", action="store_true",
                     help="send even by the interface that holds the default route")
    arrive = parser.add_argument_group("what arrives")
    arrive.add_argument("--receive", default="", metavar="NAME", help="count and time what arrives here")
    arrive.add_argument("--receive-netns", default="", metavar="NS", help="its network namespace")
    arrive.add_argument("--pass-on", action="store_true", help="let the stack have what was counted")
    arrive.add_argument("--no-times", action="store_true", help="do not time frames: a third faster")
    arrive.add_argument("--sign", action="store_true", help="sign frames though nothing is received here")
    arrive.add_argument("--mode", default="auto", choices=("auto", "native", "generic"),
                        help="how XDP is attached there (auto)")
    output = parser.add_argument_group("output")
    output.add_argument("-f", "--format", choices=("table", "json"), default="table", help="(table)")
    output.add_argument("-o", "--output", metavar="FILE", default="-", help="write to FILE instead of stdout")
    output.add_argument("-q", "--quiet", action="store_true", help="nothing each second on stderr")
    output.add_argument("--show", type=int, metavar="N", help="send nothing: print the first N frames")
    output.add_argument("--write", metavar="FILE", help="send nothing: write the first -c frames to a capture")


def run(chosen: argparse.Namespace) -> int:
    """Do it."""
    if chosen.words[:1] == ["reflect"]:
        return _reflect(chosen)
    frames: Any = _source(chosen)
    if chosen.show is not None or chosen.write is not None:
        return _shown(chosen, frames)
    if not chosen.interface:
        raise UsageError("no interface is named", cure="Add -i NAME, or --show 3 to see the frames.")
    from bpfwright.facets.blast.control import Blaster
    options = _options(chosen, frames)
    options.check()
    with _ending_by_signals():
        blaster = Blaster(frames, options, length=None if chosen.pcap else _length(chosen), seed=chosen.seed)
        with blaster:
            report = _sent(chosen, blaster)
    _write(chosen, _json(report) if chosen.format == "json" else _table(report))
    for note in report.notes:
        print(note, file=sys.stderr)
    return 0


# what is asked for

def _source(chosen: argparse.Namespace) -> Any:
    """The frames of a capture, or an expression."""
    ways = (bool(chosen.words), bool(chosen.preset), bool(chosen.pcap))
    if sum(ways) != 1 or len(chosen.words) > 1:
        raise UsageError("one thing is sent: an expression, a preset or a capture",
                         cure=f"Presets are --{', --'.join(PRESETS)}; an expression is one word: quote it.")
    from bpfwright.facets.blast.expression import parse_expression, with_fields
    changes = {name: _value(getattr(chosen, name)) for name in _CHANGES if getattr(chosen, name) is not None}
    if chosen.pcap:
        if changes or chosen.length or chosen.sign:
            raise UsageError("a capture is sent as it is", cure="Leave out what changes frames.")
        return _capture(chosen.pcap)
    text = PRESETS[chosen.preset].text if chosen.preset else chosen.words[0]
    return with_fields(parse_expression(text), changes)


def _value(text: str) -> Any:
    """A value as expressions have it, where it reads as a call or a number; else text."""
    from bpfwright.facets.blast.expression import parse_value
    return int(text) if text.isdecimal() else parse_value(text) if text.endswith((")", "]")) else text


def _capture(path: str) -> Frames:
    from bpfwright.facets.blast.frames import Frames
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise TargetError(f"{path} cannot be read", why=error.strerror or "") from None
    return Frames.of_capture(data)


def _length(chosen: argparse.Namespace) -> str | None:
    length: str | None = chosen.length
    if length is None and chosen.preset:
        length = PRESETS[chosen.preset].length
        if chosen.receive or chosen.sign:
            length = _with_room(chosen.preset, length)
    return length


def _with_room(preset: str, length: str | None) -> str | None:
    """The preset's length, or the shortest that has room for a signature."""
    if length is None or length == "imix":
        return length
    from bpfwright.facets.blast.frames import SIGNATURE
    from bpfwright.facets.blast.expression import parse_expression
    needed = len(bytes(parse_expression(PRESETS[preset].text).packet)) + SIGNATURE
    return str(max(int(length), needed + needed % 2))


def _options(chosen: argparse.Namespace, frames: Any) -> Options:
    from bpfwright.facets.blast.model import Options
    count = chosen.count
    if chosen.pcap and count is None and chosen.duration is None:
        count = len(frames)
    return Options(
        chosen.interface, netns=chosen.netns, frames=count, receive=chosen.receive, receive_netns=chosen.receive_netns,
        rate=_rate(chosen, frames), duration_s=chosen.duration, cpus=_cpus(chosen.cpus),
        batch=chosen.batch, own_times=chosen.own_times, speed=chosen.speed, signed=True if chosen.sign else None,
        stamped=not chosen.no_times, pass_on=chosen.pass_on, mode=chosen.mode,
        allow_default_route=chosen.allow_default_route)


def _rate(chosen: argparse.Namespace, frames: Any) -> float:
    """Frames a second, out of `500k` or `100Mbit`; 0 where nothing is said."""
    text = chosen.rate.lower()
    if not text:
        return 0.0
    bits = text.endswith("bit")
    number = text.removesuffix("bit")
    scale = number[-1:] if number[-1:] in ("k", "m", "g") else ""
    try:
        rate = float(number.removesuffix(scale)) * _SCALES[scale]
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e15:
        raise UsageError(f"{chosen.rate!r} is no rate", cure="Write 500k, 1.5M or 100Mbit, or leave --rate out.")
    if not bits:
        return rate
    shapes = _frames(chosen, frames).shapes
    return rate * len(shapes) / (8 * sum(map(len, shapes)))


def _cpus(text: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in filter(None, text.split(",")):
        low, dash, high = part.partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()) or int(high or low) >= 8192:
            raise UsageError(f"{text!r} is no list of CPUs", cure="Write 0,2-3.")
        found += range(int(low), int(high or low) + 1)
    return tuple(found)


def _frames(chosen: argparse.Namespace, source: Any) -> Frames:
    from bpfwright.facets.blast.frames import Frames
    if isinstance(source, Frames):
        return source
    return Frames.of(source, length=_length(chosen), seed=chosen.seed, signed=bool(chosen.sign or chosen.receive))


# without sending

def _shown(chosen: argparse.Namespace, source: Any) -> int:
    from bpfwright.spec.packet import Packet
    frames = _frames(chosen, source)
    if chosen.write is not None:
        from bpfwright.formats.pcap import write_capture
        count = chosen.count or len(frames)
        times = frames.times_ns or (0,)
        data = write_capture((times[i % len(times)], frames.frame(i)) for i in range(count))
        with open(chosen.write, "wb") as file:
            file.write(data)
    lines = []
    for number in range(chosen.show or 0):
        data = frames.frame(number)
        lines += [f"{number}: {len(data)} bytes: {Packet.parse(data)!r}", f"   {data.hex(' ', -4)}"]
    _write(chosen, "".join(line + "\n" for line in lines))
    return 0


# while it runs

class _ending_by_signals:
    """SIGTERM and SIGHUP end the run as Ctrl-C does."""

    def __enter__(self) -> None:
        import signal

        def end(number: int, frame: object) -> None:
            raise KeyboardInterrupt

        self._before = [(number, signal.signal(number, end)) for number in (signal.SIGTERM, signal.SIGHUP)]

    def __exit__(self, *exc: object) -> None:
        import signal
        for number, handler in self._before:
            signal.signal(number, handler)


def _sent(chosen: argparse.Namespace, blaster: Blaster) -> Report:
    if not chosen.quiet and chosen.count is None and chosen.duration is None and not chosen.pcap:
        print("sending; Ctrl-C ends it", file=sys.stderr)
    try:
        blaster.wait(None if chosen.quiet else _each_second(bool(chosen.receive)))
    except KeyboardInterrupt:
        blaster.stop()
    return blaster.finish()


def _each_second(receiving: bool) -> Callable[[Second], None]:
    names = ["SECOND", "SENT", "REFUSED", *(["RECEIVED", "MBIT", "P50 us", "P99 us"] if receiving else [])]
    print("".join(f"{name:>12}" for name in names), file=sys.stderr)

    def show(row: Second) -> None:
        cells = [f"{row.until_s:.1f}", f"{row.sent:,}", f"{row.refused:,}"]
        if receiving:
            cells += [f"{row.received:,}", f"{row.received_bytes * 8 / 1e6:,.1f}", f"{row.p50_ns / 1e3:.1f}",
                      f"{row.p99_ns / 1e3:.1f}"]
        print("".join(f"{cell:>12}" for cell in cells), file=sys.stderr, flush=True)
    return show


def _reflect(chosen: argparse.Namespace) -> int:
    if len(chosen.words) != 2:
        raise UsageError("reflect takes one interface", cure="Write: bpfwright blast reflect right")
    from bpfwright._host import now_ns, sleep_s
    from bpfwright.facets.blast.control import Reflector
    with _ending_by_signals(), Reflector(chosen.words[1], netns=chosen.netns, mode=chosen.mode,
                                         allow_default_route=chosen.allow_default_route) as reflector:
        began, before = now_ns(), 0
        if not chosen.quiet:
            print("reflecting; Ctrl-C ends it", file=sys.stderr, flush=True)
        try:
            while chosen.duration is None or now_ns() - began < chosen.duration * 1e9:
                sleep_s(min(1.0, chosen.duration or 1.0))
                now = reflector.frames
                if not chosen.quiet:
                    print(f"{now - before:>12,} frames a second", file=sys.stderr, flush=True)
                before = now
        except KeyboardInterrupt:
            pass
        frames = reflector.frames
    _write(chosen, f'{{"reflected": {frames}}}\n' if chosen.format == "json" else f"{frames} frames sent back\n")
    return 0


# what came of it

def _json(report: Report) -> str:
    from json import dumps
    return dumps(report.to_dict(), indent=1) + "\n"


def _table(report: Report) -> str:
    rows = [("made", f"{report.made:,} frames, {report.made_bytes:,} bytes, {report.duration_s:.3f} s"),
            ("sent", f"{report.sent:,}, {report.rate:,.0f} a second, {report.cpu_ns:.0f} ns of CPU each")]
    if report.refused or report.failed:
        rows.append(("not sent", f"{report.refused:,} without room at the driver, {report.failed:,} not redirected"))
    if report.received is not None and report.lost is not None:
        share = 100 * report.lost / report.sent if report.sent else 0.0
        rows += [("received", f"{report.received:,}, {report.received_bytes:,} bytes"),
                 ("lost", f"{report.lost:,} ({share:.4f} %)"),
                 ("else", f"{report.duplicates:,} duplicates, {report.reordered:,} reordered")]
    text = "".join(f"{name:10}{value}\n" for name, value in rows)
    return text + (_times(report) if report.latency is not None else "")


def _times(report: Report) -> str:
    latency: Any = report.latency
    shares = "".join(f"  p{share:g} {latency.percentile(share) / 1e3:.1f}" for share in (50, 90, 99, 99.9))
    lines = [f"{'latency':10}min {latency.least_ns / 1e3:.1f}  mean {latency.mean_ns / 1e3:.1f}{shares}  "
             f"max {latency.most_ns / 1e3:.1f} us"]
    powers = latency.powers()
    most = max(powers.values())
    for edge, frames in powers.items():
        lines.append(f"{f'< {edge / 1e3:.1f} us':>16} {frames:>12,} {'#' * round(40 * frames / most)}".rstrip())
    return "\n".join(lines) + "\n"


def _write(chosen: argparse.Namespace, text: str) -> None:
    if chosen.output == "-":
        sys.stdout.write(text)
        return
    with open(chosen.output, "w") as file:
        file.write(text)

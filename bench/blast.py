"""What a frame costs to make and send: ours beside a program that redirects one and the same frame, and xdp-trafficgen.

    sudo .venv/bin/python bench/blast.py [--quick] [--rounds N] [--frames N]

A pair of veths in a namespace of its own; the far end drops every frame in an empty XDP program, which runs on the
sender's CPU and is part of each figure, as is the kernel's way through the pair. The floor is the least program that
can send: the frame as it was laid out, redirected. Figures are CPU time of the sending thread for a frame; the ways
take turns, and each round proves that every frame that was sent arrived. `drop` makes nothing and sends nothing: what
the test run itself costs. xdp-trafficgen (xdp-tools) is measured by its process's CPU time where it works.
"""
from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from bench import measuring
from bpfwright import attach, u64
from bpfwright._host import thread_cpu_ns
from bpfwright.facets.blast import Blaster, Frames, Options
from bpfwright.facets.blast.presets import PRESETS
from bpfwright.hooks import xdp
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink
from bpfwright.maps import DevMap, PerCpuArray

LIVE = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
LEFT, RIGHT = "left", "right"
PLAIN = "Ethernet() / IPv4(source='198.18.0.1', destination='198.19.0.1') / UDP(sport=9, dport=9)"
BAR = 1.5  # ours, of 60 bytes with two fields that vary, to the floor

device = DevMap(max_entries=1)
arrived = PerCpuArray[u64](max_entries=1)


@xdp.program
def nothing_but_drop(ctx: xdp.Context) -> xdp.Action:
    return xdp.DROP


@xdp.program
def nothing_but_redirect(ctx: xdp.Context) -> xdp.Action:
    return xdp.redirect(device, 0)


@xdp.program
def far_end(ctx: xdp.Context) -> xdp.Action:
    arrived.increment(0)
    return xdp.DROP


class Way(NamedTuple):
    """What is measured: its name, bytes of a frame, and what sends so many frames and says what one cost (ns)."""

    name: str
    size: int
    send: Callable[[int], float]


@contextmanager
def bare(program: Any, size: int) -> Iterator[Way]:
    """A program of ours without anything, kept in XDP's dispatcher as those of blast are."""
    data = Frames.of(PLAIN, length=size).shapes[0]
    with ExitStack() as stack:
        idle = stack.enter_context(NetworkNamespace.create())
        with idle.entered():
            session = stack.enter_context(attach(program, xdp.Interface("lo", mode="generic")))
        if program is nothing_but_redirect:
            session[device][0] = LEFT
        loaded: Any = session.program(program)

        def send(frames: int) -> float:
            began = thread_cpu_ns()
            for _ in range(frames // 16_384):
                loaded.test_run(data, repeat=16_384, flags=LIVE, batch=64)
            return (thread_cpu_ns() - began) / (frames // 16_384 * 16_384)

        yield Way("drop, nothing sent" if program is nothing_but_drop else "floor: the same frame", size, send)


def ours(name: str, text: str, length: int | str | None, **options: Any) -> Way:
    frames = Frames.of(text, length=length, signed=bool(options.get("receive")))

    def send(count: int) -> float:
        with Blaster(frames, Options(LEFT, frames=count, **options)) as blaster:
            report = blaster.finish()
        if report.sent != count or (report.received is not None and report.lost):
            raise SystemExit(f"{name}: {report.sent} of {count} frames were sent, {report.lost} lost")
        return report.cpu_ns

    return Way(name, sum(map(len, frames.shapes)) // len(frames.shapes), send)


def ways(stack: ExitStack, quick: bool) -> list[Way]:
    found = [stack.enter_context(bare(nothing_but_drop, 60)), stack.enter_context(bare(nothing_but_redirect, 60)),
             ours("ours, nothing varies", PLAIN, 60), ours("ours, --udp: two fields", PRESETS["udp"].text, 60),
             ours("ours, --syn-flood: three by chance", PRESETS["syn-flood"].text, 60)]
    if not quick:
        found += [ours("ours, --vxlan: six fields, four sums", PRESETS["vxlan"].text, 128),
                  ours("ours, --imix", PRESETS["imix"].text, "imix"),
                  stack.enter_context(bare(nothing_but_redirect, 1514)),
                  ours("ours, --udp of 1514 bytes", PRESETS["udp"].text, 1514)]
    return found


RECEIVED = (("ours, --udp, received and counted", {"stamped": False}), ("ours, --udp, received and timed", {}))


def trafficgen(count: int) -> tuple[float, str]:
    """xdp-trafficgen's CPU time for a frame, or why there is none."""
    tool = shutil.which("xdp-trafficgen")
    if tool is None:
        return 0.0, "it is not installed (Debian: xdp-tools)"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([tool, "udp", "-n", str(count), LEFT], capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        return 0.0, f"it fails here: {words[-1] if words else done.returncode}"
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent * 1e9 / count, ""


def measure(chosen: list[Way], rounds: int, frames: int, proved: Callable[[], int]) -> dict[Way, list[float]]:
    costs: dict[Way, list[float]] = {way: [] for way in chosen}
    for way in chosen:
        way.send(16_384)
    for _ in range(rounds):
        for way in chosen:
            before = proved()
            costs[way].append(way.send(frames))
            came = proved() - before
            wanted = 0 if way.name.startswith("drop") else frames // 16_384 * 16_384
            if not way.name.startswith("ours, --udp, received") and came < wanted:
                raise SystemExit(f"{way.name}: {came} of {frames} frames arrived")
    return costs


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--frames", type=int, default=0)
    chosen = parser.parse_args()
    rounds = chosen.rounds or (3 if chosen.quick else 9)
    frames = chosen.frames or (65_536 if chosen.quick else 524_288)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    costs: dict[Way, list[float]] = {}
    with NetworkNamespace.create() as space, space.entered():
        with Netlink() as link:
            link.create_veth(LEFT, RIGHT)
            link.set_up(LEFT)
            link.set_up(RIGHT)
        with ExitStack() as stack:
            session = stack.enter_context(attach(far_end, xdp.Interface(RIGHT)))
            costs |= measure(ways(stack, chosen.quick), rounds, frames, lambda: sum(session[arrived][0]))
            peer, why = trafficgen(frames)
        timed = [ours(name, PRESETS["udp"].text, 60, receive=RIGHT, **more) for name, more in RECEIVED]
        costs |= measure(timed, rounds, frames, lambda: 0)
    print(f"{measuring.machine()}; {rounds} rounds of {frames:,} frames\n")
    return report(costs, peer, why)


def report(costs: dict[Way, list[float]], peer: float, why: str) -> int:
    floors = {way.size: statistics.median(found) for way, found in costs.items() if way.name.startswith("floor")}
    small = floors[60]
    rows: list[tuple[object, ...]] = []
    ratio = 0.0
    for way, found in costs.items():
        median = statistics.median(found)
        against = median / floors.get(way.size, small)
        if "two fields" in way.name:
            ratio = against
        rows.append((way.name, way.size, min(found), median, 1e3 / median, against))
    if peer:
        rows.append(("xdp-trafficgen udp", 60, peer, peer, 1e3 / peer, peer / small))
    print(measuring.table(("way", "bytes", "best ns", "median ns", "M a second and CPU", "to the floor"), rows))
    if why:
        print(f"\nxdp-trafficgen: {why}")
    print(f"\ntwo fields that vary, to the floor: {ratio:.2f} (bar {BAR}: {measuring.verdict(ratio <= BAR)})")
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())

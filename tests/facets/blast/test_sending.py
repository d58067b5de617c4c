"""Real frames between namespaces: exact counts, exact loss, times, rates, captures, and nothing left behind."""
from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright import attach, u32
from bpfwright.errors import TargetError, UsageError
from bpfwright.facets.blast import Blaster, Frames, Options, Reflector, blast
from bpfwright.facets.blast.places import inside, look_at
from bpfwright.formats.pcap import write_capture
from bpfwright.hooks import xdp
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink
from bpfwright.maps import DevMap, PerCpuArray
from tests.cli.commands import ENVIRONMENT, command, line
from tests.facets.blast.test_frames import CASES

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]

PLAIN = "Ethernet() / IPv4(source='198.18.0.0/16', destination='198.19.0.1') / UDP(sport=range(1024, 65536), dport=9)"


class Wire:
    """Two namespaces, each known by its path, with `left` in one and `right` in the other."""

    def __init__(self, near: NetworkNamespace, far: NetworkNamespace) -> None:
        self.near, self.far = near, far
        self.left, self.right = (f"/proc/{os.getpid()}/fd/{space.fd}" for space in (near, far))

    def options(self, **more: object) -> dict[str, object]:
        return {"netns": self.left, "receive": "right", "receive_netns": self.right, **more}


@pytest.fixture
def wire() -> Iterator[Wire]:
    with NetworkNamespace.create() as near, NetworkNamespace.create() as far:
        with near.entered(), Netlink() as link:
            link.create_veth("left", "right")
            link.move("right", far.fd)
            quiet("left")
            link.set_up("left")
        with far.entered(), Netlink() as link:
            quiet("right")
            link.set_up("right")
        yield Wire(near, far)


def quiet(name: str) -> None:
    """Let the stack say nothing of its own by an interface of this thread's namespace."""
    Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("1")


def attached(space: str, name: str) -> int:
    """How XDP is attached to an interface."""
    with inside(space), Netlink() as link:
        return link.xdp_state(look_at(name).number)[0]


def test_counts_are_exact_and_nothing_stays(wire: Wire) -> None:
    report = blast(PLAIN, interface="left", length=64, count=50_000, **wire.options())  # type: ignore[arg-type]
    assert (report.made, report.sent, report.received) == (50_000, 50_000, 50_000)
    assert (report.refused, report.failed, report.lost, report.duplicates, report.reordered) == (0, 0, 0, 0, 0)
    assert report.made_bytes == report.received_bytes == 50_000 * 64
    assert report.latency is not None and report.latency.timed == 50_000
    assert 100 < report.latency.least_ns <= report.latency.percentile(50) <= report.latency.most_ns < 10**9
    assert report.latency.least_ns <= report.latency.mean_ns <= report.latency.most_ns
    assert sum(report.latency.counts.values()) == 50_000 and 10 < report.cpu_ns < 100_000
    assert attached(wire.right, "right") == 0 == attached(wire.left, "left")


@pytest.mark.parametrize("count", [1, 2, 63, 65, 100, 16_385])
def test_any_count(wire: Wire, count: int) -> None:
    report = blast(PLAIN, interface="left", count=count, stamped=False, **wire.options())  # type: ignore[arg-type]
    assert (report.sent, report.received, report.lost) == (count, count, 0) and report.latency is None


def test_cpus_share_the_numbers(wire: Wire) -> None:
    cpus = tuple(sorted(os.sched_getaffinity(0))[:2])
    report = blast(PLAIN, interface="left", count=40_001, rate=400_000, cpus=cpus,
                   **wire.options())  # type: ignore[arg-type]
    assert report.made == 40_001 == report.sent + report.refused
    assert report.received == report.sent and report.duplicates == 0


passed_on = DevMap(max_entries=1)
dropped = PerCpuArray[u32](max_entries=2)


@xdp.program
def drops_each_seventh(ctx: xdp.Context) -> xdp.Action:
    dropped.increment(0)
    if dropped.local(0) % 7 == 0:
        dropped.increment(1)
        return xdp.DROP
    return xdp.redirect(passed_on, 0)


def test_loss_is_exact(wire: Wire) -> None:
    with wire.far.entered(), Netlink() as link:
        link.create_veth("out", "end")
        quiet("out")
        quiet("end")
        link.set_up("out")
        link.set_up("end")
    options = wire.options(receive="end", cpus=(min(os.sched_getaffinity(0)),))
    with wire.far.entered(), attach(drops_each_seventh, xdp.Interface("right")) as session:
        passed_on[0] = "out"
        report = blast(PLAIN, interface="left", count=70_000, rate=700_000, **options)  # type: ignore[arg-type]
        lost = sum(session[dropped][1])
    assert report.sent == 70_000 and report.lost == lost and 10_000 - 8 <= lost <= 10_000
    assert report.received == 70_000 - lost and report.reordered == 0


def test_a_round_trip(wire: Wire) -> None:
    with Reflector("right", netns=wire.right) as reflector:
        options = wire.options(receive="left", receive_netns=wire.left, rate=100_000)
        report = blast(PLAIN, interface="left", count=5_000, **options)  # type: ignore[arg-type]
        assert reflector.frames == report.received == 5_000
    assert attached(wire.right, "right") == 0


@pytest.mark.parametrize("rate", [200, 5_000, 50_000])
def test_rates(wire: Wire, rate: int) -> None:
    began = time.monotonic()
    report = blast(PLAIN, interface="left", rate=rate, duration_s=0.5, **wire.options())  # type: ignore[arg-type]
    assert report.sent == report.received
    assert abs(report.sent - rate * 0.5) <= max(1, rate / 1000)  # the frames of a millisecond leave together
    assert time.monotonic() - began > 0.45


def taken(space: NetworkNamespace, name: str) -> socket.socket:
    """A socket that sees every frame of an interface."""
    with space.entered():
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        opened.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        opened.bind((name, 3))
    opened.settimeout(30)
    return opened


@pytest.mark.parametrize("name", CASES)
def test_frames_on_the_wire_are_those_of_python(wire: Wire, name: str) -> None:
    frames = Frames.of(CASES[name][0])
    with taken(wire.far, "right") as receiver:
        blast(frames, interface="left", count=300, rate=100_000, pass_on=True,
              **wire.options())  # type: ignore[arg-type]
        for number in range(300):
            wanted = frames.frame(number)
            if "vlan" in name:  # the stack takes the tag off
                wanted = wanted[:12] + wanted[16:]
            assert receiver.recv(4096).hex() == wanted.hex(), number


def test_frames_are_whole_after_others_wrote_into_their_pages(wire: Wire) -> None:
    """The far end exchanges addresses within the pages that come back to the sender."""
    frames = Frames.of(CASES["udp"][0], length="60,1000")
    with taken(wire.near, "left") as receiver, Reflector("right", netns=wire.right):
        options = wire.options(receive="left", receive_netns=wire.left, pass_on=True, rate=50_000)
        report = blast(frames, interface="left", count=2_000, **options)  # type: ignore[arg-type]
        assert report.received == 2_000
        for number in range(2_000):
            wanted, came = frames.frame(number), receiver.recv(4096)
            assert came[:6] == wanted[6:12] and came[6:12] == wanted[:6]
            assert came[26:34] == wanted[30:34] + wanted[26:30] and came[38:] == wanted[38:], number


def test_a_capture_is_sent_byte_for_byte_at_its_times(wire: Wire) -> None:
    packets = [(i * 2_000_000, os.urandom(12) + b"\x88\xb5" + bytes([i]) * (20 + 13 * i)) for i in range(60)]
    frames = Frames.of_capture(write_capture(packets))
    with taken(wire.far, "right") as receiver:
        began = time.monotonic()
        report = blast(frames, interface="left", count=60, own_times=True, pass_on=True,
                       **wire.options())  # type: ignore[arg-type]
        assert time.monotonic() - began > 0.117
        assert [receiver.recv(4096) for _ in packets] == [data for _, data in packets]
    assert report.received == 60 and report.notes
    fast = blast(frames, interface="left", count=120, own_times=True, speed=100.0,
                 **wire.options())  # type: ignore[arg-type]
    assert fast.sent == fast.received == 120


def test_lengths_by_turns_on_the_wire(wire: Wire) -> None:
    report = blast(PLAIN, interface="left", length="imix", count=12_000, **wire.options())  # type: ignore[arg-type]
    assert report.received == 12_000 and report.received_bytes == 1000 * (7 * 60 + 4 * 590 + 1514)


# what is refused

def refusal(**options: object) -> str:
    with pytest.raises((TargetError, UsageError)) as caught:
        blast(PLAIN, **{"interface": "left", "count": 5, **options})  # type: ignore[arg-type]
    return f"{caught.value.what}; {caught.value.why}; {caught.value.cure}"


def test_places_that_cannot_be(wire: Wire) -> None:
    assert "no interface 'gone'" in refusal(interface="gone", netns=wire.left)
    assert "no network namespace" in refusal(netns="never-made")
    assert "no interface 'none'" in refusal(netns=wire.left, receive="none", receive_netns=wire.right)
    assert "nobody takes frames at the other end" in refusal(netns=wire.left)
    assert "fit 'left'; its MTU is 1500" in refusal(netns=wire.left, length=1515)
    assert "CPU 8000 cannot be used" in refusal(netns=wire.left, cpus=(8000,))
    assert "times of their own" in refusal(netns=wire.left, own_times=True)
    assert "for ever" in refusal(netns=wire.left, count=None)
    assert "options are" in refusal(netns=wire.left, colour="red")
    with wire.far.entered(), Netlink() as link:
        link.set_up("right", up=False)
    assert "'right' is down" in refusal(**wire.options())
    with wire.near.entered(), Netlink() as link:
        link.set_up("left", up=False)
    assert "'left' is down" in refusal(netns=wire.left)


def test_the_default_route_is_spared(wire: Wire) -> None:
    with wire.near.entered(), Netlink() as link:
        link.add_address("left", "10.9.9.1", 24)
        link.add_route("0.0.0.0", 0, gateway="10.9.9.2")
    assert "holds the default route" in refusal(**wire.options())
    report = blast(PLAIN, interface="left", count=5, allow_default_route=True,
                   **wire.options())  # type: ignore[arg-type]
    assert report.received == 5
    with pytest.raises(UsageError, match="holds the default route"), Reflector("left", netns=wire.left):
        raise AssertionError


def test_loopback_takes_no_redirected_frames() -> None:
    from bpfwright.errors import NotSupported
    with NetworkNamespace.create() as space, space.entered():
        with Netlink() as link:
            link.set_up("lo")
        with pytest.raises(NotSupported, match="no frame leaves by 'lo'") as caught:
            blast(PLAIN, interface="lo", count=5)
    assert caught.value.exit_code == 4


def test_closing_in_the_middle_ends_everything(wire: Wire) -> None:
    options = Options("left", netns=wire.left, receive="right", receive_netns=wire.right)
    with pytest.raises(ZeroDivisionError), Blaster(PLAIN, options) as blaster:
        end = time.monotonic() + 30
        sent = 0
        while not sent and time.monotonic() < end:
            time.sleep(0.01)
            sent = blaster.tick().sent
        assert sent
        raise ZeroDivisionError
    assert attached(wire.right, "right") == 0


def test_an_interface_that_goes_is_said(wire: Wire) -> None:
    options = Options("left", netns=wire.left, receive="right", receive_netns=wire.right, rate=10_000, duration_s=1.0)
    with Blaster(PLAIN, options) as blaster:
        while blaster.tick().sent == 0:
            time.sleep(0.01)
        with wire.near.entered(), Netlink() as link:
            link.delete_interface("left")
        report = blaster.finish()
    assert report.failed > 0 and report.made == report.sent + report.refused + report.failed
    assert "did not come to the driver" in report.notes[0]


# the command

def run(wire: Wire, *words: str) -> tuple[int, str, str]:
    return command(*blasting(wire), *words)


def blasting(wire: Wire) -> tuple[str, ...]:
    return ("blast", "-i", "left", "--netns", wire.left, "--receive", "right", "--receive-netns", wire.right)


def test_the_command_reports(wire: Wire) -> None:
    import json
    code, out, err = run(wire, "--syn-flood", "-c", "3000", "-f", "json", "-q")
    made = json.loads(out)
    assert code == 0 and not err and (made["sent"], made["received"], made["lost"]) == (3000, 3000, 0)
    code, out, err = run(wire, "--udp", "-c", "3000", "--to", "198.19.7.7", "--rate", "1M")
    assert code == 0 and "received  3,000" in out and "latency" in out and "SENT" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_and_what_was_gathered_is_printed(wire: Wire, number: signal.Signals) -> None:
    words = line(*blasting(wire), "--udp")
    child = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    while "SENT" not in child.stderr.readline():
        assert child.poll() is None
    time.sleep(0.3)
    child.send_signal(number)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0 and "received" in out and "lost      0 " in out
    assert attached(wire.right, "right") == 0


@pytest.mark.parametrize(("words", "code", "said"), [
    ((), 2, "one thing is sent"), (("--udp", "--pcap", "x"), 2, "one thing is sent"),
    (("--pcap", "/nowhere"), 1, "/nowhere cannot be read"), (("--udp",), 2, "no interface is named"),
    (("--udp", "-i", "left", "--rate", "0"), 2, "'0' is no rate"), (("--udp", "-i", "left", "-c", "0"), 2, "0 frames"),
    (("--udp", "-i", "left", "--rate", "fast"), 2, "is no rate"), (("--udp", "--show", "x"), 2, "invalid int value"),
    (("--udp", "--length", "5000", "--show", "1"), 2, "a frame of 5000"),
    (("--udp", "--to", "1.2.3", "--show", "1"), 2, "not an IPv4 address"), (("reflect",), 2, "takes one interface"),
    (("Ethernet() / vlan()", "--show", "1"), 2, "Did you mean Vlan?"),
    (("--udp", "-i", "left", "--cpus", "x"), 2, "no list of CPUs"),
    (("--udp", "-i", "no-such", "-c", "1"), 1, "there is no interface 'no-such'"),
])
def test_mistakes_of_the_command(words: tuple[str, ...], code: int, said: str) -> None:
    got, out, err = command("blast", *words)
    assert got == code and said in err and not out and "Traceback" not in err


def test_without_privilege() -> None:
    code, _, err = command("blast", "--udp", "-i", "lo", "-c", "1", privileged=False)
    assert code == 3 and "Traceback" not in err


def test_frames_are_shown_and_written(tmp_path: Path) -> None:
    from bpfwright.formats.pcap import read_capture
    path = tmp_path / "out.pcap"
    code, out, _ = command("blast", "--dns", "--dport", "5353", "--show", "2", "--write", str(path), "-c", "5")
    assert code == 0 and out.count("dport=5353") == 2 and len(read_capture(path.read_bytes())) == 5

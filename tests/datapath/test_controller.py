"""Changes of a data path under traffic: what is live, what goes on, what comes back by itself."""
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bpfwright import attach
from bpfwright.datapath.controller import Controller
from bpfwright.errors import ConfigurationError, KernelError, SessionError, UsageError
from bpfwright.hooks import xdp
from bpfwright.kernel.netlink import Netlink

from .wire import Wire

pytestmark = pytest.mark.kernel

OPEN = "interfaces: [uplink]\ntoy: {blocked: []}\n"
SHUT = "interfaces: [uplink]\ntoy: {blocked: [192.0.2.2]}\n"


def test_a_change_and_its_way_back(controller: Controller, wire: Wire) -> None:
    assert wire.arrive() == 5
    first = controller.apply(OPEN)
    assert first.record.number == 1 and first.modes == {"uplink xdp": "native"} and first.fresh == ["toy.seen"]
    assert wire.arrive() == 5
    second = controller.apply(SHUT)
    assert wire.arrive() == 0 and second.fresh == []
    status = controller.status()
    assert [(each.stage, each.packets) for each in status.counted if each.reason == "blocked"] == [("toy", 5)]
    assert status.rows == {"toy": [{"source": "192.0.2.2", "packets": 10}]}  # of both generations
    assert status.previous is not None and status.previous.number == 1
    back = controller.rollback()
    assert back is not None and back.number == 1 and wire.arrive() == 5
    assert controller.status().totals["toy blocked"] == [5, 5 * 45]
    assert controller.rollback() is None and wire.arrive() == 5  # there was nothing before
    with pytest.raises(SessionError, match="nothing is live"):
        controller.status()


def test_unconfirmed_it_goes_back_though_nobody_is_there(controller: Controller, wire: Wire) -> None:
    controller.apply(OPEN)
    before = time.monotonic()
    applied = controller.apply(SHUT, confirm_s=2.0)
    assert 0 < applied.left_s <= 2.0 and wire.arrive() == 0
    while wire.arrive(1) == 0:  # only the programs in the kernel look at the clock
        assert time.monotonic() - before < 30
    assert time.monotonic() - before >= 1.95
    assert controller.status().expired
    with pytest.raises(SessionError, match="there is no change to confirm"):
        controller.confirm()
    assert controller.apply(SHUT).record.previous == 1 and not controller.status().expired


def test_confirmed_it_stays(controller: Controller, wire: Wire) -> None:
    controller.apply(OPEN)
    controller.apply(SHUT, confirm_s=2.0)
    assert controller.confirm().number == 2
    time.sleep(2.1)
    assert wire.arrive() == 0 and not controller.status().expired
    with pytest.raises(SessionError, match="no change to confirm"):
        controller.confirm()


def test_the_first_change_goes_back_to_nothing(controller: Controller, wire: Wire) -> None:
    began = time.monotonic()
    controller.apply(SHUT, confirm_s=2.0)
    assert wire.arrive() == 0
    while wire.arrive(1) == 0:
        assert time.monotonic() - began < 30
    assert wire.arrive() == 5
    with pytest.raises(SessionError, match="taken back"):
        controller.status()


@pytest.mark.parametrize(("text", "error", "said"), [
    ("interfaces: [uplink]\ntoy: {blockd: []}\n", ConfigurationError, "net.yaml:2: toy.blockd: there is no such key"),
    ("interfaces: [uplink]\ntoy: {blocked: [192.0.2]}\n", ConfigurationError, "2: toy.blocked: '192.0.2' is not"),
    ("interfaces: [none]\ntoy: {}\n", ConfigurationError, "net.yaml:1: there is no interface 'none'"),
    ("interfaces: [uplink]\nfoo: {}\n", ConfigurationError, "net.yaml:2: foo: there is no such section"),
    ("interfaces: [uplink]\n", UsageError, "does nothing"),
    ("toy: {}\n", ConfigurationError, "interfaces is missing"),
    ("interfaces: [uplink]\ntoy: {fails: true}\n", RuntimeError, "as asked"),
    ("interfaces: [uplink]\ntoy: {hooks: [nowhere]}\n", UsageError, "no hook 'nowhere'"),
    ("interfaces: [uplink\n", ConfigurationError, "this is not YAML"),
    ("interfaces: {uplink: {mode: fast}}\ntoy: {}\n", ConfigurationError, "'fast' is none of auto, native, generic"),
    ("interfaces: [uplink]\nsafety: {confirm: soon}\ntoy: {}\n", ConfigurationError, "2: safety.confirm: 'soon'"),
])
def test_what_fails_changes_nothing(controller: Controller, wire: Wire, text: str, error: type[Exception],
                                    said: str) -> None:
    controller.apply(SHUT)
    pins = sorted(str(path) for path in Path(controller.ledger.pins).rglob("*"))
    with pytest.raises(error, match=said.replace("[", r"\[")):
        controller.apply(text)
    assert wire.arrive() == 0 and controller.status().record.number == 1
    assert sorted(str(path) for path in Path(controller.ledger.pins).rglob("*")) == pins


def test_a_first_change_that_fails_leaves_the_hook_free(controller: Controller, wire: Wire) -> None:
    with pytest.raises(RuntimeError):
        controller.apply("interfaces: [uplink]\ntoy: {fails: true}\n")
    assert list(controller.ledger.linked()) == [] and controller.ledger.records() == []


@xdp.program
def somebody(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS


def test_what_others_have_at_a_hook_stays(controller: Controller, wire: Wire) -> None:
    with attach(somebody, xdp.Interface("uplink")), pytest.raises(KernelError, match="is taken") as caught:
        controller.apply("interfaces: [uplink]\ntoy: {hooks: [egress, xdp]}\n")
    assert "somebody" in caught.value.why
    assert list(controller.ledger.linked()) == [] and wire.arrive() == 5


def test_others_are_listed(controller: Controller, wire: Wire) -> None:
    from bpfwright.hooks import tc

    @tc.program
    def theirs(ctx: tc.Context) -> tc.Action:
        return tc.NEXT

    controller.apply("interfaces: [uplink]\ntoy: {hooks: [xdp, ingress, egress]}\n")
    assert controller.status().others == []
    with attach(theirs, tc.Egress("uplink")):
        assert [(o.hook, o.name, o.how) for o in controller.status().others] == [("egress", "theirs", "tcx")]
    assert wire.arrive() == 5
    passed = {each.program: each.packets for each in controller.status().counted if each.reason == "passed"}
    assert passed["uplink ingress"] >= 5 and passed["uplink xdp"] >= 5 and "uplink egress" in passed


def test_a_table_of_another_shape_begins_empty(controller: Controller, wire: Wire) -> None:
    controller.apply(OPEN)
    wire.arrive()
    assert controller.apply("interfaces: [uplink]\ntoy: {room: 128}\n").fresh == ["toy.seen"]
    assert controller.status().rows == {"toy": []}
    back = controller.rollback()
    assert back is not None and controller.status().rows == {"toy": [{"source": "192.0.2.2", "packets": 5}]}


def test_errors_take_a_change_back(controller: Controller, wire: Wire) -> None:
    controller.apply(OPEN)
    there = wire.peer.fileno()
    script = f"import os, time\nwhile True:\n os.write({there}, b'x'); time.sleep(0.01)"
    sender = subprocess.Popen([sys.executable, "-c", script], pass_fds=[there])
    try:
        with pytest.raises(SessionError, match=r"taken back: [0-9]+ packets ended in an error, 3 were allowed"):
            controller.apply("interfaces: [uplink]\nsafety: {watch: 5s, most-errors: 3}\ntoy: {aborts: true}\n")
        assert controller.status().record.number == 1
        controller.apply("interfaces: [uplink]\nsafety: {watch: 300ms, most-ns: 100000}\ntoy: {}\n")
        assert controller.status().record.number == 2 and controller.status().left_s == 0
    finally:
        sender.kill()
        sender.wait()


def test_an_interface_that_goes_and_comes(controller: Controller, wire: Wire) -> None:
    controller.apply(SHUT)
    with Netlink() as netlink:
        netlink.delete_interface("uplink")
        with pytest.raises(ConfigurationError, match="no interface 'uplink'"):
            controller.status()
        netlink.create_veth("uplink", "far")
        assert controller.status().missing == ["uplink"]
    assert controller.apply(SHUT).modes == {"uplink xdp": "native"} and controller.status().missing == []


CHANGER = """
import sys
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger
from tests.datapath.toy import Toy
with Controller("", {"toy": Toy()}, ledger=Ledger(sys.argv[1], state=sys.argv[2])) as controller:
    for number in range(1000):
        controller.apply("interfaces: [uplink]\\ntoy: {blocked: [192.0.2.%d]}\\n" % (10 + number % 200))
        print("changed", flush=True)
"""


def test_killed_at_any_moment_it_is_whole(controller: Controller, wire: Wire, tmp_path: Path) -> None:
    """The next controller finds one generation whole, and goes on; no packet was lost meanwhile."""
    controller.apply(OPEN)
    ledger = controller.ledger
    last = 1
    for turn in range(12):
        changer = subprocess.Popen([sys.executable, "-c", CHANGER, ledger.name, str(tmp_path)], stdout=subprocess.PIPE)
        assert changer.stdout is not None
        try:
            assert changer.stdout.readline() == b"changed\n"
            time.sleep(0.003 * turn)
            assert wire.arrive(20) == 20
        finally:
            changer.send_signal(signal.SIGKILL)
            changer.wait()
            changer.stdout.close()
        assert wire.arrive(5) == 5
        live = controller.status().record
        assert live.number > last
        last = live.number
    number = controller.apply(SHUT).record.number
    assert wire.arrive() == 0
    assert {record.number for record in ledger.records()} == {number, last}
    assert sorted(name for name in os.listdir(ledger.pins) if name.isdigit()) == sorted([str(number), str(last)])
    assert controller.status().rows["toy"][0]["packets"] >= 12 * 25  # the kept table saw them all


def test_two_at_once_take_turns(controller: Controller, wire: Wire, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHANGER.replace("range(1000)", "range(5)"), controller.ledger.name, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0]
    assert controller.status().record.number == 10 and wire.arrive() == 5


def test_there_must_be_one(controller: Controller) -> None:
    for act in (controller.status, controller.rollback, controller.confirm, controller.remove):
        with pytest.raises(SessionError, match="there is no data path"):
            act()

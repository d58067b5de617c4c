"""A data path under change on real traffic: what is live, what goes back by itself, what another process finds."""
from __future__ import annotations

import time

from bpfwright.vmlinux import net_device as _net_device  # noqa: F401  # what describes the kernel stays open
from vmtest.own_cache import own_cache

HOOK = ""  # no row of its own
SINCE = "6.1"  # the roots read by offset (5.18)

OPEN = "interfaces: [uplink]\ntoy: {blocked: []}\n"
SHUT = "interfaces: [uplink]\ntoy: {blocked: [192.0.2.2]}\n"
BOTH = "interfaces: [uplink]\ntoy: {blocked: [192.0.2.2], hooks: [ingress]}\n"


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache() as folder:
        changed(folder)


def changed(folder: str) -> None:
    from bpfwright.datapath.controller import Controller
    from bpfwright.datapath.ledger import Ledger
    from bpfwright.errors import NotSupported
    from bpfwright.kernel.features import Features
    from tests.datapath.toy import FACET
    from tests.datapath.wire import wired
    ledger = Ledger("case", state=folder)
    with wired() as wire, Controller("", {"toy": FACET}, ledger=ledger) as controller:
        try:
            assert controller.apply(OPEN).modes == {"uplink xdp": "native"} and wire.arrive() == 5
            controller.apply(SHUT, confirm_s=3.0)
            assert wire.arrive() == 0
            began = time.monotonic()
            while wire.arrive(1) == 0:  # only the programs in the kernel look at the clock
                assert time.monotonic() - began < 30
            assert controller.status().expired
            controller.apply(SHUT)
            with Controller("", {"toy": FACET}, ledger=ledger) as other:
                assert other.status().record.text == SHUT and wire.arrive() == 0
                assert other.rollback() is not None and wire.arrive() == 5
            if Features().named("tcx links").works:
                controller.apply(BOTH)
                assert wire.arrive() == 0 and controller.status().modes == {"uplink ingress": "tcx"}
            else:
                try:
                    controller.apply(BOTH)
                except NotSupported as error:
                    assert error.since == "6.6", error
                    assert wire.arrive() == 5  # and what was live is live
                else:
                    raise AssertionError("the stack's hooks need tcx links")
        finally:
            controller.remove()

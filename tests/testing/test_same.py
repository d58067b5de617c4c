"""One comparison of all machines: it passes what is right, and finds what is not; drawn inputs find seeded mistakes."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bpfwright import load
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6, Packet
from bpfwright.hooks import xdp
from bpfwright.testing import (Difference, Everywhere, SkbContext, XdpContext, assert_same_everywhere, entries, packets,
                               skb_contexts)
from bpfwright.userspace import Userspace
from bpfwright.userspace.interpreter import Interpreter
from tests.testing.programs import (Blocked, Limits, blocked, collecting, counting, counts, firewall, marked, networks,
                                    reasoned, recent, ttl_of_one, wrapping)

pytestmark = pytest.mark.userspace
USER = ("interpreter", "jit")
ALL = (*USER, "kernel")
PACKET = Ethernet() / IPv4(ttl=9) / TCP(sport=3)
KERNEL = pytest.param(ALL, marks=pytest.mark.kernel)


@pytest.mark.parametrize("machines", [USER, KERNEL])
def test_a_right_program_is_the_same_everywhere(machines: tuple[str, ...]) -> None:
    with Everywhere(firewall, machines=machines, ignore=["at"]) as everywhere:
        @settings(max_examples=60, deadline=None)
        @given(st.lists(packets(Ethernet, IPv4 | IPv6, TCP | UDP | None, truncated=True), min_size=1, max_size=3),
               entries(blocked))
        def check(some: list[Packet], contents: dict[int, Blocked]) -> None:
            everywhere.check(*some, maps={blocked: contents})

        check()


@pytest.mark.kernel
def test_without_a_word_it_runs_in_the_kernel_too() -> None:
    with pytest.raises(Difference) as difference:
        assert_same_everywhere(firewall, PACKET)  # the kernel's clock is another
    assert difference.value.where == "record 0 of seen"
    assert set(difference.value.by_machine) == {"interpreter", "kernel"}
    assert "Seen(at=0, ttl=8, sport=3)" in str(difference.value)
    assert "input: Ethernet() / IPv4(ttl=9) / TCP(sport=3)" in str(difference.value)
    assert_same_everywhere(firewall, PACKET, ignore=["at"])


@pytest.mark.parametrize("machines", [USER, KERNEL])
def test_contexts_go_in_and_come_out(machines: tuple[str, ...]) -> None:
    @settings(max_examples=20, deadline=None)
    @given(skb_contexts())
    def check(context: SkbContext) -> None:
        everywhere.check(PACKET, context=context)

    with Everywhere(marked, machines=machines) as everywhere:
        check()
        everywhere.check(PACKET, context=SkbContext(mark=7))
    assert_same_everywhere(firewall, PACKET, context=XdpContext(), machines=machines, ignore=["at"])


@pytest.mark.parametrize("machines", [USER, KERNEL])
def test_other_kinds_of_maps(machines: tuple[str, ...]) -> None:
    with Everywhere(collecting, machines=machines) as everywhere:
        @settings(max_examples=30, deadline=None)
        @given(st.lists(packets(Ethernet, IPv4, UDP | None), max_size=6), entries(networks, max_size=4),
               entries(recent))
        def check(some: list[Packet], prefixes: dict[Any, int], keys: dict[int, int]) -> None:
            everywhere.check(*some, maps={networks: prefixes, recent: keys})

        check()


@pytest.mark.parametrize("machines", [USER, KERNEL])
def test_words_and_configurations(machines: tuple[str, ...]) -> None:
    assert_same_everywhere(counting, (5,), (2,), machines=machines, config=Limits(least=4))


def test_state_is_the_same_at_each_check() -> None:
    with Everywhere(firewall, machines=USER) as everywhere:
        for _ in range(3):
            everywhere.check(PACKET, maps={blocked: {8: Blocked(1, 2)}})
            assert [place.session[blocked][8].packets for place in everywhere._places] == [2, 2]
            assert [place.session[counts][1] for place in everywhere._places] == [1, 1]
        everywhere.check(PACKET)
        assert [list(place.session[blocked].items()) for place in everywhere._places] == [[], []]


# differences are found: the interpreter is made to do something else


@pytest.fixture
def bent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[[Interpreter, int], int]], None]]:
    """`bent(change)`: what runs end with in the interpreter is changed, and it may change more."""
    def bend(change: Callable[[Interpreter, int], int]) -> None:
        run = Interpreter.run
        monkeypatch.setattr(Interpreter, "run", lambda self, *a, **k: change(self, run(self, *a, **k)))

    yield bend


def difference(**options: Any) -> Difference:
    with pytest.raises(Difference) as found:
        assert_same_everywhere(firewall, PACKET, machines=USER, **options)
    return found.value


def test_another_action(bent: Any) -> None:
    bent(lambda interpreter, value: 1)
    found = difference(maps={blocked: {7: Blocked(0, 0)}})
    assert found.where == "the action"
    assert found.by_machine == {"interpreter": "<Action.DROP: 1>", "jit": "<Action.PASS: 2>"}
    assert "Hash[u32, Blocked](max_entries=16): {7: Blocked(packets=0, reason=0)}" in str(found)


def test_another_packet(bent: Any) -> None:
    def change(interpreter: Interpreter, value: int) -> int:
        memory = interpreter.arena.memory
        data = int.from_bytes(memory[interpreter.host.stage.context:interpreter.host.stage.context + 4], "little")
        memory[data + 22] += 1  # the time to live
        return value

    bent(change)
    found = difference()
    assert found.where == "the packet's IPv4.ttl (byte 22)" and found.by_machine == {"interpreter": "9", "jit": "8"}


def test_another_map_entry(bent: Any) -> None:
    def change(interpreter: Interpreter, value: int) -> int:
        next(thing for thing in interpreter.host.machine.things() if getattr(thing.spec, "type", 0) == 1).update(
            (5).to_bytes(4, "little"), bytes(Blocked(3, 0)))
        return value

    bent(change)
    found = difference()
    assert found.where == "blocked[5]"
    assert found.by_machine == {"interpreter": "Blocked(packets=3, reason=0)", "jit": "nothing"}


def test_a_fault_is_a_difference_of_its_own(bent: Any) -> None:
    from bpfwright.errors import Fault

    def change(interpreter: Interpreter, value: int) -> int:
        raise Fault("budget", 3)

    bent(change)
    found = difference()
    assert found.where == "the action" and found.by_machine["interpreter"].startswith("fault: budget (")


# mistakes in programs are found


def smallest_failure(check: Callable[..., None], *drawn: Any) -> list[Any]:
    """What Hypothesis shows last when a property does not hold."""
    last: list[Any] = []

    @settings(max_examples=2000, deadline=None, database=None, derandomize=True, phases=(Phase.generate, Phase.shrink))
    @given(st.tuples(*drawn))
    def wrapped(drawn: tuple[Any, ...]) -> None:
        try:
            check(*drawn)
        except AssertionError:
            last[:] = drawn
            raise

    with pytest.raises(AssertionError):
        wrapped()
    return last


def test_a_forgotten_zero_is_found() -> None:
    with load(ttl_of_one, machine=Userspace()) as program:
        def check(packet: Packet) -> None:
            ip = packet.find(IPv4)
            expired = ip is not None and ip.ttl <= 1
            assert (program.test(packet).action == xdp.DROP) == expired

        assert repr(smallest_failure(check, packets(Ethernet, IPv4 | IPv6))[0]) == "Ethernet() / IPv4(ttl=0)"


def test_a_length_that_wraps_is_found() -> None:
    with load(wrapping, machine=Userspace()) as program:
        def check(packet: Packet) -> None:
            dropped = program.test(packet).action == xdp.DROP
            assert not dropped or len(packet.payload) > 8

        found = smallest_failure(check, packets(Ethernet, IPv4, UDP, payload=8, wrong=["lengths"]))
        assert repr(found[0]) == "Ethernet() / IPv4() / UDP(length=0)"


def test_an_entry_that_counts_as_none_is_found() -> None:
    with load(reasoned, machine=Userspace()) as program:
        def check(packet: Packet, contents: dict[int, Blocked]) -> None:
            blocked.clear()
            blocked.update(contents)
            ip = packet.find(IPv4)
            assert ip is not None
            assert (program.test(packet).action == xdp.DROP) == (ip.ttl in contents)

        packet, contents = smallest_failure(check, packets(Ethernet, IPv4, fields={IPv4: {"ttl": [0, 1]}}),
                                            entries(blocked))
        assert repr(packet) == "Ethernet() / IPv4(ttl=0)" and contents == {0: Blocked(0, 0)}

"""Checks of real backends through real tunnels: what they find, what follows, what outlives the one who checks."""
from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.facets.balancer.places import VIP, Host, opened
from tests.facets.balancer.test_traffic import Site, ask, configuration, site

from bpfwright.datapath.controller import Controller
from bpfwright.datapath.watching import Watch
from bpfwright.facets.balancer.control import refreshed
from bpfwright.kernel.namespace import NetworkNamespace

pytestmark = pytest.mark.kernel

FAST = "interval: 100ms, timeout: 400ms, rise: 2, fall: 2, backoff: 1, calm: 1s"


def wait_for(what: Callable[[], bool], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.02)


class Tended:
    """What is live, while somebody tends it."""

    def __init__(self, generation: Any, look: Callable[[], None]) -> None:
        self.part, self.maps, self.look = generation.plan.parts["balancer"], generation.maps, look

    def states(self) -> dict[str, str]:
        self.look()
        return self.part.states(self.maps)  # type: ignore[no-any-return]

    def rows(self, name: str) -> list[dict[str, Any]]:
        return [row for row in self.part.rows(self.maps) if row["what"].strip().startswith(name) and "since" in row]

    def all_are(self, name: str, word: str) -> bool:
        """How a backend stands at all VIPs, and that packets go by it: who checks says so a moment before."""
        found = all(said.startswith(word) for where, said in self.states().items() if where.startswith(name))
        if found:
            settings, tables = self.part.inside
            refreshed(settings, tables, self.maps)
        return found

    def fresh(self, *names: str) -> bool:
        """Whether checks go well for every VIP: hosts that are new may take some tries to find one another."""
        return all(self.all_are(name, "up") and all(row["latency"] for row in self.rows(name)) for name in names)


@contextmanager
def tended(made: Site) -> Iterator[Tended]:
    with tending(made.controller, made.hosts["balancer"].space) as live:
        yield live


@contextmanager
def tending(controller: Controller, space: NetworkNamespace) -> Iterator[Tended]:
    with space.entered(), controller.generation() as (_, generation), ExitStack() as stack:
        part = generation.plan.parts["balancer"]
        assert part.beside is not None
        yield Tended(generation, stack.enter_context(part.beside(generation.maps)))


@pytest.mark.parametrize(("kind", "backend"), [("ipip", 4), ("ipip", 6), ("gue", 4), ("gue", 6)])
def test_a_backend_is_up_while_its_tunnel_its_vip_and_its_server_are(tmp_path: Path, kind: str, backend: int) -> None:
    with site(tmp_path, "first", "second", receive=False) as made, opened(made.hosts["first"]), ExitStack() as tunnel:
        tunnel.enter_context(opened(made.hosts["second"]))
        made.apply(configuration(made.hosts, "first", "second", kind=kind, backend=backend,
                                 more=f"\n  check: {{kind: http, path: /health, {FAST}}}"))
        with tended(made) as live:
            wait_for(lambda: live.fresh("first", "second"))
            assert len(live.states()) == 4
            assert made.webs["second"].served > 0
            tunnel.close()  # the server is well, and nobody can reach it
            wait_for(lambda: live.all_are("second", "down: no answer within 0.4 s"))
            assert live.all_are("first", "up")
            for family in (4, 6):
                for _ in range(8):
                    with made.connect(family) as connection:
                        assert ask(connection) == "first"
            with opened(made.hosts["second"]):
                wait_for(lambda: live.all_are("second", "up"))


def test_what_went_wrong_stands_in_the_status_and_watch_says_it(tmp_path: Path) -> None:
    with site(tmp_path, "first", "second") as made:
        made.apply(configuration(made.hosts, "first", "second",
                                 more=f"\n  all-down: drop\n  check: {{kind: http, status: [200], {FAST}}}"))
        with tended(made) as live, Watch(made.controller) as watch:
            wait_for(lambda: live.fresh("first", "second"))
            watch.look()
            made.webs["second"].close()
            wait_for(lambda: live.all_are("second", "down: connection refused"))
            row = live.rows("second")[0]
            assert row["error"] == "connection refused" and row["state"] == "down, weight 1"
            assert row["since"].endswith(" s") and row["checked"] in ("0 s", "1 s") and row["latency"].endswith(" ms")
            shown = made.controller.status().rows["balancer"]
            assert next(row for row in shown if row["what"].startswith(VIP[4]))["state"] == "1 of 2 backends"
            changes = watch.look().changes
            assert {(each.facet, each.before, each.after) for each in changes} == {
                ("balancer", "up", "down: connection refused")}
            assert {each.name for each in changes} == {f"second of {VIP[4]}:80/tcp", f"second of [{VIP[6]}]:80/tcp"}
            made.webs["first"].answer = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
            wait_for(lambda: live.all_are("first", "down: status 503"))
            with pytest.raises(TimeoutError):  # all-down: drop
                made.connect(4, timeout=0.5).close()
            made.webs["first"].answer = b""
            wait_for(lambda: live.all_are("first", "up"))
            with made.connect(6) as connection:
                assert ask(connection) == "first"


@pytest.mark.parametrize("established", ["keep", "move"])
def test_connections_of_a_backend_that_is_down(tmp_path: Path, established: str) -> None:
    with site(tmp_path, "first", "second") as made:
        made.apply(configuration(made.hosts, "first", "second",
                                 more=f"\n  established: {established}\n  check: {{kind: http, {FAST}}}"))
        with tended(made) as live, ExitStack() as stack:
            wait_for(lambda: live.fresh("first", "second"))
            connections = [stack.enter_context(made.connect(4)) for _ in range(8)]
            homes = [ask(connection) for connection in connections]
            made.webs["second"].answer = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\nX-Backend: ill\r\n\r\n"
            wait_for(lambda: live.all_are("second", "down: status 500"))
            for home, connection in zip(homes, connections, strict=True):
                if home == "first" or established == "keep":
                    assert ask(connection) == ("first" if home == "first" else "ill")
                else:  # the other one knows nothing of it, and says so at once
                    wait_for(lambda connection=connection: refused(connection))  # type: ignore[misc]
            assert "second" in homes


def refused(connection: socket.socket) -> bool:
    try:
        ask(connection)
    except ConnectionError:
        return True
    return False


def read_until(child: subprocess.Popen[str], wanted: str) -> None:
    assert child.stderr is not None
    said = []
    for _ in range(40):
        said.append(child.stderr.readline())
        if wanted in said[-1]:
            return
    raise AssertionError(f"{wanted!r} is not among {said}")


def command(host: Host, *words: str) -> list[str]:
    return ["nsenter", f"--net={host.path}", sys.executable, "-m", "bpfwright", *words]


def test_what_is_known_outlives_the_one_who_checks_and_people_have_the_last_word(tmp_path: Path) -> None:
    name = f"balancer-killed-{os.getpid()}"
    with site(tmp_path, "first", "second") as made:
        host = made.hosts["balancer"]
        path = tmp_path / "net.yaml"
        path.write_text(configuration(made.hosts, "first", "second", more=f"\n  check: {{kind: http, {FAST}}}").replace(
            "port: 80,", "port: 80, flags: [shared-connections],"))

        def status() -> dict[str, set[str]]:
            done = subprocess.run(command(host, "balancer", "status", "-j", "--name", name), capture_output=True,
                                  text=True, timeout=60)
            assert done.returncode == 0, done.stderr
            found: dict[str, set[str]] = {}
            for row in json.loads(done.stdout):
                found.setdefault(row["backend"], set()).add(row["state"])
            return found

        def say(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(command(host, "balancer", "backend", *words, "--name", name), capture_output=True,
                                  text=True, timeout=60)

        def served() -> set[str]:
            found = set()
            for _ in range(10):
                with made.connect(4) as connection:
                    found.add(ask(connection))
            return found

        first = subprocess.Popen(command(host, "net", "apply", str(path), "--name", name, "--follow"),
                                 stderr=subprocess.PIPE, text=True)
        try:
            with first:
                assert first.stderr is not None
                assert "is live" in first.stderr.readline()
                made.webs["second"].answer = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"
                read_until(first, f"second of {VIP[4]}:80/tcp: up -> down: status 500")
                wait_for(lambda: status() == {"first": {"up"}, "second": {"down"}})
                first.kill()  # -9
            assert first.wait() == -signal.SIGKILL
            assert status() == {"first": {"up"}, "second": {"down"}} and served() == {"first"}
            made.webs["second"].answer = b""
            assert say("second", "up").returncode == 0
            assert status()["second"] == {"up (told)"} and served() == {"first", "second"}
            assert say("first", "drain").returncode == 0 and served() == {"second"}
            assert say("first", "auto", "--at", f"{VIP[4]}:80/tcp").returncode == 0
            assert status()["first"] == {"up", "draining (told)"}
            assert say("second", "auto").returncode == say("first", "auto").returncode == 0
            assert status() == {"first": {"up"}, "second": {"down"}}
            told = subprocess.run(command(host, "balancer", "connections", "--name", name), capture_output=True,
                                  text=True, timeout=60)
            assert told.returncode == 0 and f'"to": "{VIP[4]}"' in told.stdout, told.stderr
            learned = subprocess.run(command(host, "balancer", "learn", "--name", name), input=told.stdout,
                                     capture_output=True, text=True, timeout=60)
            assert learned.stderr == f"{len(told.stdout.splitlines())} connections learned\n"
            wrong = say("third", "up")
            assert wrong.returncode != 0 and "no backend third" in wrong.stderr and "first, second" in wrong.stderr
            with subprocess.Popen(command(host, "net", "tend", "--name", name), stderr=subprocess.PIPE, text=True,
                                  ) as second:
                assert second.stderr is not None
                read_until(second, f"second of {VIP[4]}:80/tcp: down: status 500 -> up")
                second.send_signal(signal.SIGINT)
                assert second.wait(20) == 0
            assert served() == {"first", "second"}
        finally:
            first.kill()
            subprocess.run(command(host, "net", "remove", "--name", name), capture_output=True, timeout=60)
            assert not os.path.exists(f"/run/bpfwright/{name}")
            Path(f"/run/bpfwright/{name}.lock").unlink(missing_ok=True)

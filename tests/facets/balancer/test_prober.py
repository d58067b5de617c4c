"""One check after the other against servers of this process: what each kind of answer, and of none, comes to."""
from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bpfwright.facets.balancer import prober as module
from bpfwright.facets.balancer.model import Check, Vip
from bpfwright.facets.balancer.prober import NotAsked, Target, _tls, probed
from bpfwright.facets.balancer.standing import PROBED, State, read, written

HERE = socket.inet_aton("127.0.0.1")


def target(port: int, check: Check) -> Target:
    return Target(Vip(HERE, 32, port, 6, 0, ()), "one", check, 1, HERE, port, 0, 1400,
                  _tls(check) if check.kind == "https" else None)


def ask(port: int, kind: str, timeout_s: float = 10.0, **more: Any) -> str:
    latency, error = asyncio.run(probed(target(port, Check(kind, timeout_s=timeout_s, **more))))
    assert bool(latency) == (not error)
    return error


@contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        listening.settimeout(0.05)
        over = threading.Event()

        def accept() -> None:
            while not over.is_set():
                try:
                    made, _ = listening.accept()
                except TimeoutError:
                    continue
                with made:
                    made.settimeout(2)
                    try:
                        answer(made)
                    except OSError:
                        pass

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            thread.join()


def test_what_is_this_hosts_own_fault_says_nothing_of_a_backend() -> None:
    nobody = socket.inet_aton("255.255.255.255")
    for address, port in ((nobody, 80),):
        there = target(port, Check("tcp"))._replace(address=address)
        with pytest.raises(NotAsked, match="not asked"):
            asyncio.run(probed(there))
    marked = target(80, Check("tcp"))._replace(mark=1)
    with pytest.raises(NotAsked, match="has the VIP itself"), serving(lambda made: None) as port:
        asyncio.run(probed(marked._replace(port=port)))


def says(text: bytes, asked: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    def answer(made: socket.socket) -> None:
        request = made.recv(65536)
        if asked is not None:
            asked.append(request)
        made.sendall(text)

    return answer


def test_tcp_asks_for_a_connection_only() -> None:
    with serving(lambda made: None) as port:
        assert ask(port, "tcp") == ""
    assert ask(port, "tcp") == "connection refused"


def test_http_says_what_it_was_told_to_and_reads_the_status() -> None:
    asked: list[bytes] = []
    with serving(says(b"HTTP/1.1 204 Nothing\r\n\r\n", asked)) as port:
        assert ask(port, "http") == ""
        assert ask(port, "http", path="/health?deep=1", host="www.example.org") == ""
        assert ask(port, "http", status=((200, 200), (301, 302))) == "status 204"
    first, second = (request.decode().split("\r\n") for request in asked[:2])
    assert first[0] == "GET / HTTP/1.1" and f"Host: 127.0.0.1:{port}" in first
    assert second[0] == "GET /health?deep=1 HTTP/1.1" and "Host: www.example.org" in second
    assert first[-2:] == ["", ""]


@pytest.mark.parametrize(("answer", "error"), [
    (b"SSH-2.0-server\r\n", "what came is no HTTP"), (b"HTTP/1.1 2000 Ok\r\n", "what came is no HTTP"),
    (b"HTTP/1.1\r\n", "what came is no HTTP"), (b"x" * 40_000, "what came is no HTTP"),
    (b"", "the connection was closed before an answer"), (b"HTTP/1.1 20", "the connection was closed before an answer"),
    (b"HTTP/1.0 503 Busy\r\n\r\n", "status 503"), (b"HTTP/1.1 200\r\n", "")])
def test_answers_that_are_none(answer: bytes, error: str) -> None:
    with serving(says(answer)) as port:
        assert ask(port, "http") == error


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    def answer(made: socket.socket) -> None:
        while made.recv(1 << 16):
            pass

    with serving(answer) as port:
        assert ask(port, "http", 0.5) == "no answer within 0.5 s"
        assert ask(port, "https", 0.5) == "no answer within 0.5 s"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate that nobody signed."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    key, paper = path.with_name("key.pem"), path.with_name("cert.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=www.example.org", "-days", "2", "-keyout", key, "-out", paper],
                   check=True, capture_output=True)
    path.write_bytes(key.read_bytes() + paper.read_bytes())
    return path


def test_https_names_its_server_and_verifies_where_it_is_told_to(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    named: list[str | None] = []
    context.sni_callback = lambda made, name, whole: named.append(name)

    def answer(made: socket.socket) -> None:
        with context.wrap_socket(made, server_side=True) as wrapped:
            wrapped.recv(65536)
            wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with serving(answer) as port:
        assert ask(port, "https") == ""
        assert ask(port, "https", sni="www.example.org") == ""
        assert "certificate" in ask(port, "https", sni="www.example.org", verify=True)
        assert ask(port, "http") in ("the connection was closed before an answer", "connection reset by peer")
    assert named[:2] == [None, "www.example.org"]
    with serving(says(b"HTTP/1.1 400 Speak HTTP\r\n\r\n")) as port:
        assert ask(port, "https").startswith("TLS: ")


class Table(dict[int, Any]):
    def discard(self, key: int) -> None:
        self.pop(key, None)


class Tables:
    down, standing = "down", "standing"


@contextmanager
def asking(monkeypatch: pytest.MonkeyPatch, targets: list[Target],
           ) -> Iterator[tuple[dict[str, Table], Callable[[], None]]]:
    """The thread that asks, on tables that are dicts."""
    tables = {"down": Table(), "standing": Table()}
    monkeypatch.setattr(module, "targets_of", lambda *given: targets)
    monkeypatch.setattr(module, "refreshed", lambda *given: 0)
    unused: Any = None
    made: Any = Tables
    with module.prober(unused, made, tables.__getitem__) as look:
        yield tables, look


def until(what: Callable[[], bool], look: Callable[[], None]) -> None:
    ends = time.monotonic() + 20
    while not what():
        look()
        assert time.monotonic() < ends, "it did not come to that"
        time.sleep(0.01)


def test_many_are_asked_at_once_but_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that lets all wait; who asks is one thread, and ends when it is told to."""
    check = Check("http", timeout_s=0.3, interval_s=0.1, fall=1, backoff=1.0)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        port = listening.getsockname()[1]
        targets = [target(port, check)._replace(key=key) for key in range(150)]
        before = threading.active_count()
        with asking(monkeypatch, targets) as (tables, look):
            most = 0
            ends = time.monotonic() + 20
            while len(tables["down"]) < 150:
                most = max(most, established(port))
                look()
                assert time.monotonic() < ends and threading.active_count() == before + 1
            assert 32 < most <= 2 * 64
            assert {read(entry).error for entry in tables["standing"].values()} == {"no answer within 0.3 s"}
        assert threading.active_count() == before


def established(port: int) -> int:
    """Connections to a port, as who asks has them: those that it let go are in other states."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        return sum(line.split()[2].endswith(f":{port:04X}") and line.split()[3] == "01" for line in table)


def test_who_asks_goes_on_from_what_is_known_and_tells_what_went_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    check = Check("tcp", interval_s=0.05, rise=2, fall=2)
    with serving(lambda made: None) as port:
        there = target(port, check)
        with asking(monkeypatch, [there]) as (tables, look):
            until(lambda: read(tables["standing"][1]).checked_ns > 0, look)
            tables["standing"][1] = written(State(up=False, streak=1, since_ns=5, changes=3))
            tables["down"][1 | PROBED] = 1
            until(lambda: 1 | PROBED not in tables["down"], look)
            state = read(tables["standing"][1])
            assert state.up and state.changes == 4 and state.latency_ns > 0
        broken = there._replace(check=check._replace(kind="http", path=None))  # type: ignore[arg-type]
        monkeypatch.setattr(module, "_request", lambda *given: 1 / 0)
        with pytest.raises(ZeroDivisionError), asking(monkeypatch, [broken]) as (_, look):
            until(lambda: False, look)

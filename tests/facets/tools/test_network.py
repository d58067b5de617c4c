"""Tools about connections, names and TLS."""
from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.facets.tools.works import connect, execute, listening, rows, taken, until

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]
ME = os.getpid()


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_tcpaccept_has_who_and_from_where(family: int) -> None:
    ports: list[int] = []
    with listening(family) as address:
        found = rows("tcpaccept", lambda: ports.append(connect(address)), pid=ME, timestamp=True, time=True)
        assert [(row["ip"], row["raddr"], row["rport"], row["laddr"], row["lport"]) for row in found] == [
            (6 if family == socket.AF_INET6 else 4, address[0], ports[0], *address)]
        assert not rows("tcpaccept", lambda: connect(address), pid=ME, port="1")
        assert not rows("tcpaccept", lambda: connect(address), pid=1)


def test_tcptracer_follows_both_sides() -> None:
    ports: list[int] = []
    with listening() as address:
        found = rows("tcptracer", lambda: ports.append(connect(address)), pid=ME, timestamp=True)
    steps = [(row["t"], row["sport"], row["dport"]) for row in found]
    client, server = (ports[0], address[1]), (address[1], ports[0])
    assert {("C", *client), ("A", *server), ("X", *client), ("X", *server)} == set(steps) and len(steps) == 4


def test_tcpstates_in_order_with_their_time() -> None:
    ports: list[int] = []

    def work() -> None:
        with socket.create_connection(address) as link:
            ports.append(link.getsockname()[1])
            assert link.recv(3) == b"abc"
            time.sleep(0.06)

    with listening() as address:
        found = rows("tcpstates", work, wide=True, timestamp=True, remoteport=str(address[1]))
    ours = [row for row in found if row["lport"] in (0, ports[0])]
    assert [row["newstate"] for row in ours][:3] == ["SYN_SENT", "ESTABLISHED", "FIN_WAIT1"]
    assert ours[2]["ms"] >= 50 and ours[2]["c_pid"] == ME and ours[0]["oldstate"] == "CLOSE"


SILENT = """
ip link add left type veth peer name right; ip link set left up; ip link set right up; ip addr add 10.9.9.1/24 dev left
ip neigh add 10.9.9.2 lladdr 02:00:00:00:00:01 dev left; exec python3 -S -c "
import socket; s = socket.socket(); s.settimeout(1.6)
try: s.connect(('10.9.9.2', 7777))
except OSError: pass"
"""


def test_tcpretrans_sees_what_is_sent_again() -> None:
    """In a network of its own, to one who never answers."""
    found = rows("tcpretrans", lambda: execute("unshare", "-n", "sh", "-c", SILENT), sequence=True)
    again = [row for row in found if row["raddr_rport"] == "10.9.9.2:7777"]
    assert again and again[0]["state"] == "SYN_SENT" and again[0]["seq"] > 0 and again[0]["ip"] == 4
    assert again[0]["laddr_lport"].startswith("10.9.9.1:") and again[0]["t"] == "R>"


def refused() -> None:
    with socket.socket() as link, pytest.raises(ConnectionRefusedError):
        link.connect(("127.0.0.1", 1))


def test_tcpdrop_says_why() -> None:
    found = rows("tcpdrop", refused, ipv4=True)
    dropped = next(row for row in found if row["daddr_dport"] == "127.0.0.1:1")
    assert (dropped["flags"], dropped["reason"], dropped["ip"]) == ("SYN", "NO_SOCKET", 4)
    assert "tcp_v4_rcv" in dropped["where"] and dropped["saddr_sport"].startswith("127.0.0.1:")
    assert "127.0.0.1:1" not in {row["daddr_dport"] for row in rows("tcpdrop", refused, ipv6=True)}


def test_tcprtt_by_address_and_port() -> None:
    with listening() as address:
        found = taken("tcprtt", lambda: connect(address), rport=address[1], byraddr=True, byladdr=True)
        assert {tuple(one.keys.values()) for one in found} == {("127.0.0.1", "127.0.0.1")}
        assert sum(count for one in found for *_, count in one.buckets) >= 1
        assert not taken("tcprtt", lambda: connect(address), lport=1)
        (one,) = taken("tcprtt", lambda: connect(address), milliseconds=True)
        assert one.unit == "msecs" and not one.keys


def test_tcptop_counts_bytes_of_each_side() -> None:
    ports: list[int] = []
    with listening() as address:
        found = taken("tcptop", lambda: ports.append(connect(address, b"x" * 4096)), pid=ME)
    ours = next(row for row in found if row["laddr"].endswith(f":{ports[0]}"))
    theirs = next(row for row in found if row["raddr"].endswith(f":{ports[0]}"))
    assert (ours["tx_kb"], theirs["rx_kb"]) == (4, 4) and ours["pid"] == ME


def test_gethostlatency_has_the_name() -> None:
    def work() -> None:
        for name in ("localhost", "127.0.0.1"):
            socket.getaddrinfo(name, 80)

    found = rows("gethostlatency", work, pid=ME)
    assert [row["host"] for row in found] == ["localhost", "127.0.0.1"] and all(row["latms"] > 0 for row in found)


QUESTION = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x03www\x07example\x03com\x00\x00\x1c\x00\x01"


def answered(times: int = 1) -> int:
    """A question to a name server of our own, and its answer; the server's port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", PORT))
        client.connect(("127.0.0.1", PORT))
        for _ in range(times):
            client.sendmsg([QUESTION])
            data, back = server.recvfrom(512)
            time.sleep(0.02)
            server.sendto(data[:2] + b"\x81\x83" + data[4:], back)
            client.recv(512)
    return PORT


PORT = 20_053  # below those that the kernel hands out


def test_dnssnoop_has_question_code_and_latency() -> None:
    (row,) = rows("dnssnoop", answered, pid=ME, port=PORT)
    assert (row["name"], row["type"], row["rcode"]) == ("www.example.com", "AAAA", "NXDOMAIN")
    assert row["server"] == "127.0.0.1"
    assert 20 <= row["lat_ms"] < 5000
    both = rows("dnssnoop", answered, pid=ME, port=PORT, queries=True)
    assert [row["qr"] for row in both] == ["Q", "R"] and both[0]["rcode"] is None
    assert not rows("dnssnoop", answered, pid=ME)


def test_udplife_when_the_socket_is_closed() -> None:
    found = rows("udplife", lambda: answered(3), pid=ME)
    client = next(row for row in found if row["rport"] == PORT)
    assert client["comm"] and client["tx_kb"] == round(3 * len(QUESTION) / 1024, 10) == client["rx_kb"]
    assert client["ms"] >= 60 and client["raddr"] == "127.0.0.1"
    assert not rows("udplife", answered, pid=ME, remoteport="1")


@pytest.fixture
def secured(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    done = execute("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out",
                   str(certificate), "-subj", "/CN=localhost", "-days", "2")
    assert done.returncode == 0, done.stderr
    return certificate, key


def test_sslsniff_shows_plain_text(secured: tuple[Path, Path]) -> None:
    """Another program's OpenSSL, both directions."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    certificate, key = map(str, secured)
    server = subprocess.Popen(["openssl", "s_server", "-quiet", "-accept", str(port), "-cert", certificate, "-key", key,
                               "-rev"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def talk() -> None:
        with subprocess.Popen(["openssl", "s_client", "-quiet", "-no_ign_eof", "-connect", f"127.0.0.1:{port}"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
                              ) as talker:
            assert talker.stdin is not None and talker.stdout is not None
            talker.stdin.write("hello\n")
            talker.stdin.flush()
            assert talker.stdout.readline() == "olleh\n"
            talker.stdin.close()

    try:
        until(lambda: is_open(port))
        found = rows("sslsniff", talk, comm="openssl")
        assert {("WRITE/SEND", "hello\n"), ("READ/RECV", "olleh\n")} <= {(row["func"], row["data"]) for row in found}
        assert all(row["len"] == len(row["data"]) for row in found)
        assert b"olleh\n".hex() in {row["data"] for row in rows("sslsniff", talk, comm="openssl", hexdump=True)}
        assert not rows("sslsniff", talk, comm="nobody")
    finally:
        server.terminate()
        server.wait()


def is_open(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


def test_bashreadline_has_the_command(tmp_path: Path) -> None:
    def type_it() -> None:
        import pty
        child, terminal = pty.fork()
        if child == 0:
            os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "-i"])
        try:
            os.write(terminal, b"echo typed here\nexit\n")
            end = time.monotonic() + 10
            while time.monotonic() < end:
                try:
                    if not os.read(terminal, 4096):
                        break
                except OSError:  # the other end is closed
                    break
        finally:
            os.close(terminal)
            os.waitpid(child, 0)

    found = rows("bashreadline", type_it)
    assert [row["command"] for row in found][:2] == ["echo typed here", "exit"]



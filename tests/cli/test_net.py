"""`bpfwright net`: a data path from the command line, on real traffic."""
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bpfwright import cli
from bpfwright.datapath import sections
from bpfwright.formats.pcap import write_capture
from bpfwright.headers import UDP, Ethernet, IPv4

from tests.datapath.wire import Wire, wired

pytestmark = pytest.mark.kernel

NAME = f"command-{os.getpid()}"
Said = tuple[int, str, str]


@pytest.fixture
def wire() -> Iterator[Wire]:
    with wired() as made:
        yield made


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wire: Wire,
            ) -> Iterator[Callable[..., Said]]:
    monkeypatch.setattr(sections, "FACETS", {"toy": "tests.datapath.toy"})

    def run(*words: str) -> Said:
        with pytest.raises(SystemExit) as left:
            cli.main(["net", *words, "--name", NAME])
        out, err = capsys.readouterr()
        assert isinstance(left.value.code, int)
        return left.value.code, out, err

    yield run
    run("remove")
    assert not os.path.exists(f"/sys/fs/bpf/bpfwright-{NAME}") and not os.path.exists(f"/run/bpfwright/{NAME}")
    Path(f"/run/bpfwright/{NAME}.lock").unlink(missing_ok=True)


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    for name, blocked in (("open", ""), ("shut", "192.0.2.2")):
        (tmp_path / f"{name}.yaml").write_text(f"interfaces: [uplink]\ntoy: {{blocked: [{blocked}]}}\n")
    return str(tmp_path / "open.yaml"), str(tmp_path / "shut.yaml")


def test_from_check_to_remove(command: Callable[..., Said], wire: Wire, files: tuple[str, str]) -> None:
    opened, shut = files
    code, out, _ = command("check", shut)
    assert code == 0 and out.startswith("uplink xdp: ") and wire.arrive() == 5
    assert command("apply", opened) == (0, "", "generation 1 is live at uplink xdp (native)\n")
    code, _, err = command("apply", shut, "--confirm", "20s")
    assert code == 0 and err.splitlines()[1] == "it goes back in 20 s unless you type: bpfwright net confirm"
    assert wire.arrive() == 0 and "goes back in" in command("status")[1]
    assert command("confirm")[2] == "generation 2 stays\n"
    code, out, _ = command("status")
    assert code == 0 and "uplink xdp: native" in out and "toy    blocked" in out and "192.0.2.2" in out
    seen = json.loads(command("status", "-j")[1])
    assert seen["generation"] == 2 and seen["previous"] == 1 and seen["hooks"] == {"uplink xdp": "native"}
    assert seen["facets"]["toy"] == [{"source": "192.0.2.2", "packets": 5}]
    assert command("rollback")[2] == "generation 1 is live again\n" and wire.arrive() == 5
    assert command("remove")[2] == "removed: packets pass\n" and wire.arrive() == 5


def test_a_packet_by_every_name(command: Callable[..., Said], files: tuple[str, str], tmp_path: Path) -> None:
    command("apply", files[1])
    packet = Ethernet() / IPv4(source="192.0.2.2") / UDP(dport=9)
    (tmp_path / "a.pcap").write_bytes(write_capture([(0, bytes(packet))]))
    for text in ('Ethernet() / IPv4(source="192.0.2.2") / UDP(dport=9)', bytes(packet).hex(), f"{tmp_path}/a.pcap:0"):
        code, out, _ = command("explain", text, "-i", "uplink")
        assert code == 0 and out.splitlines() == [
            "uplink xdp: toy drops: blocked", "in the end: DROP", "the userspace machine says the same"]
    both = json.loads(command("explain", bytes(packet).hex(), "-i", "uplink", "-j")[1])
    assert [each["machine"] for each in both] == ["kernel", "userspace"]
    assert both[0]["steps"][0]["packet"]["family"] == 4


def test_watching(command: Callable[..., Said], wire: Wire, files: tuple[str, str]) -> None:
    command("apply", files[1])
    there = wire.peer.fileno()
    script = f"import os, time\nprint('sends', flush=True)\nwhile True:\n os.write({there}, b'x'); time.sleep(0.02)"
    sender = subprocess.Popen([sys.executable, "-c", script], pass_fds=[there], stdout=subprocess.PIPE)
    assert sender.stdout is not None
    try:
        assert sender.stdout.readline() == b"sends\n"
        code, out, _ = command("watch", "-d", "2")
        assert code == 0 and "uplink xdp: toy: blocked: UDP 192.0.2.2:" in out and "toy blocked " in out
        code, out, _ = command("watch", "-d", "1", "-j")
        tick = json.loads(out)
        assert tick["drops"] and tick["rates"] and bytes.fromhex(tick["drops"][0]["data"])
    finally:
        sender.kill()
        sender.wait()
        sender.stdout.close()


def test_it_stays_when_who_tends_it_goes(command: Callable[..., Said], wire: Wire, files: tuple[str, str]) -> None:
    script = ("import sys\nfrom bpfwright import cli\nfrom bpfwright.datapath import sections\n"
              "sections.FACETS = {'toy': 'tests.datapath.toy'}\n"
              f"cli.main(['net', 'apply', {files[1]!r}, '--follow', '--name', {NAME!r}])")
    follower = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, text=True)
    assert follower.stderr is not None
    try:
        assert follower.stderr.readline() == "generation 1 is live at uplink xdp (native)\n"
        time.sleep(0.3)
    finally:
        follower.send_signal(signal.SIGINT)
        said = follower.communicate(timeout=30)[1]
    assert follower.returncode == 0 and said == "it stays live; nobody tends it now\n" and wire.arrive() == 0


@pytest.mark.parametrize(("words", "code", "said"), [
    (("apply",), 2, "net apply takes a file"), (("status", "x"), 2, "net status takes nothing more"),
    (("apply", "/none.yaml"), 1, "/none.yaml cannot be read"), (("status",), 1, "there is no data path"),
    (("confirm",), 1, "there is no data path"), (("explain", "00"), 2, "needs the interface"),
    (("apply", "/dev/null"), 2, "interfaces is missing"), (("stop",), 2, "invalid choice"),
    (("explain", "0", "-i", "lo"), 2, "no bytes"), (("explain", "x.pcap:0", "-i", "lo"), 1, "cannot be read"),
])
def test_mistakes(command: Callable[..., Said], words: tuple[str, ...], code: int, said: str) -> None:
    left, _, err = command(*words)
    assert left == code and said in err


def test_a_time_that_is_none(command: Callable[..., Said], files: tuple[str, str], wire: Wire) -> None:
    code, _, err = command("apply", files[1], "--confirm", "soon")
    assert code == 2 and "'soon' is not a time" in err and wire.arrive() == 5

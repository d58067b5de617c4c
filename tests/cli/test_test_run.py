"""`bpfwright test-run` and `conformance-plugin`: the same packets in both machines, and nonsense named."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bpfwright.formats.pcap import read_capture, write_capture
from bpfwright.headers import TCP, UDP, Ethernet, IPv4

PROGRAM = """
from bpfwright import u32, u64
from bpfwright.headers import IPv4, TCP
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

seen = Hash[u32, u64](max_entries=100)

@xdp.program
def fence(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    seen.increment(ip.ttl)
    ip.ttl = 9
    return xdp.PASS if ctx.find(TCP) is None else xdp.DROP
"""
UDP_PACKET = bytes(Ethernet() / IPv4(ttl=64) / UDP(dport=53) / b"question")
PACKETS = [UDP_PACKET, bytes(Ethernet() / IPv4(ttl=64) / TCP(dport=80)), b"short"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fence.py").write_text(PROGRAM)
    (tmp_path / "in.pcap").write_bytes(write_capture(list(enumerate(PACKETS))))
    return tmp_path


def command(folder: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bpfwright", *words], cwd=folder, input=given, capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})


@pytest.mark.parametrize("way", [
    ("--engine", "jit"), ("--engine", "interpreter"),
    pytest.param(("--machine", "kernel"), marks=pytest.mark.kernel)])
def test_the_same_in_every_way(folder: Path, way: tuple[str, ...]) -> None:
    done = command(folder, "test-run", "fence.py", "--in", "in.pcap", "--out", "out.pcap", "--maps", "-j", *way)
    assert done.returncode == 0, done.stderr
    assert {row["action"]: row["packets"] for row in json.loads(done.stdout)} == {"PASS": 1, "DROP": 1, "too short": 1}
    assert "seen[40 00 00 00] = 02 00 00 00 00 00 00 00" in done.stderr
    capture = read_capture((folder / "out.pcap").read_bytes())
    assert list(capture) == [UDP_PACKET[:22] + b"\x09" + UDP_PACKET[23:]]


HOOKS = """
from bpfwright import u32
from bpfwright.headers import IPv4, UDP
from bpfwright.hooks import cgroup, socket_filter, tc

@tc.program
def marked(ctx: tc.Context) -> tc.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return tc.OK
    ip.ttl = 9
    return tc.OK if ctx.find(UDP) is not None else tc.SHOT

@socket_filter.program
def questions(ctx: socket_filter.Context) -> u32:
    protocol = ctx.read(9, u8)
    return 42 if protocol is not None and protocol == 17 else 0

@cgroup.egress
def small(ctx: cgroup.Skb) -> cgroup.Action:
    return cgroup.ALLOW if ctx.length < 40 else cgroup.DENY
""".replace("import u32", "import u8, u32")


@pytest.mark.kernel
@pytest.mark.parametrize(("program", "actions"), [
    ("marked", {"OK": 1, "SHOT": 1, "too short": 1}), ("questions", {"42": 1, "0": 1, "too short": 1}),
    ("small", {"ALLOW": 1, "DENY": 1, "too short": 1})])
def test_every_hook_that_sees_packets(folder: Path, program: str, actions: dict[str, int]) -> None:
    (folder / "hooks.py").write_text(HOOKS)
    kept = []
    for way in (("--engine", "jit"), ("--engine", "interpreter"), ("--machine", "kernel")):
        done = command(folder, "test-run", "hooks.py", program, "--in", "in.pcap", "--out", "out.pcap", "-j", *way)
        assert done.returncode == 0, done.stderr
        assert {row["action"]: row["packets"] for row in json.loads(done.stdout)} == actions, way
        kept.append(list(read_capture((folder / "out.pcap").read_bytes())))
    assert kept[0] == kept[1] == kept[2] and len(kept[0]) == 1


DISSECTOR = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
SEC("flow_dissector") int dissect(struct __sk_buff *skb)
{
    struct bpf_flow_keys *keys = skb->flow_keys;
    unsigned char *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end, protocol;
    if (keys->n_proto != bpf_htons(0x0800) || keys->thoff != 14 || data + 34 > end) return BPF_DROP;
    if (!bpf_skb_load_bytes(skb, 23, &protocol, 1)) return 7; /* no socket buffer in a test run */
    protocol = data[23];
    keys->addr_proto = 0x0800;
    keys->ip_proto = protocol;
    keys->thoff += 20;
    return protocol == 17 ? BPF_OK : BPF_DROP;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.mark.kernel
@pytest.mark.skipif(not shutil.which("clang-14"), reason="clang-14 is not installed")
def test_flow_dissectors(folder: Path) -> None:
    (folder / "d.c").write_text(DISSECTOR)
    subprocess.run(["clang-14", "-g", "-O2", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", "d.c", "-o",
                    "d.o"], cwd=folder, check=True)
    for way in (("--engine", "jit"), ("--engine", "interpreter"), ("--machine", "kernel")):
        done = command(folder, "test-run", "d.o", "--in", "in.pcap", "-j", *way)
        assert done.returncode == 0, done.stderr
        assert {row["action"]: row["packets"] for row in json.loads(done.stdout)} == \
            {"OK": 1, "DROP": 1, "too short": 1}, way


@pytest.mark.parametrize("engine", ["jit", "interpreter"])
def test_packets_that_are_too_long_are_named(folder: Path, engine: str) -> None:
    longest = [bytes(60), b"\1" * 65535]
    (folder / "long.pcap").write_bytes(write_capture(list(enumerate(longest))))
    done = command(folder, "test-run", "fence.py", "--in", "long.pcap", "--engine", engine, "-j")
    assert done.returncode == 0, done.stderr
    (folder / "long.pcap").write_bytes(write_capture(list(enumerate([*longest, b"\1" * 65536]))))
    done = command(folder, "test-run", "fence.py", "--in", "long.pcap", "--engine", engine)
    assert done.returncode == 1 and "packet 2 of the capture has 65,536 bytes" in done.stderr


def test_an_object_runs_too(folder: Path) -> None:
    assert command(folder, "build", "fence.py").returncode == 0
    done = command(folder, "test-run", "fence.bpf.o", "--in", "in.pcap", "-f", "csv")
    assert "PASS,1,33.3 %" in done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(("words", "what", "code"), [
    (("fence.py", "--in", "fence.py"), "neither pcap nor pcapng", 1),
    (("fence.py", "nothing", "--in", "in.pcap"), "no program nothing", 2),
    (("fence.py", "--in", "absent.pcap"), "absent.pcap", 1)])
def test_nonsense_is_named(folder: Path, words: tuple[str, ...], what: str, code: int) -> None:
    done = command(folder, "test-run", *words)
    assert done.returncode == code and what in done.stderr and len(done.stderr.splitlines()) <= 3


@pytest.mark.parametrize("way", ["--jit", "--interpret"])
def test_the_conformance_protocol(tmp_path: Path, way: str) -> None:
    load = "71 10 01 00 00 00 00 00 0f 20 00 00 00 00 00 00 95 00 00 00 00 00 00 00"  # r0 = mem[1] + length
    done = command(tmp_path, "conformance-plugin", "05 2a", way, given=load)
    assert (done.returncode, done.stdout.strip()) == (0, f"{0x2A + 2:x}")
    wild = "71 10 40 00 00 00 00 00 95 00 00 00 00 00 00 00"  # behind the memory
    done = command(tmp_path, "conformance-plugin", "05 2a", way, given=wild)
    assert done.returncode and "reads memory that is not its own" in done.stderr
    assert command(tmp_path, "conformance-plugin", "zz", way).returncode == 2

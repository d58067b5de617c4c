"""`bpfwright verify`: verdicts of several kernels, their explanation, the input; exit codes; without privilege."""
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bpfwright.objfile import read
from bpfwright.userspace.counterexamples import Input, Runner
from tests.cli.commands import ENVIRONMENT, command
from vmtest.verifier_logs import CLANG, SOURCES

ACCEPTED, FAILURE, USAGE, REFUSED, DOES_NOT_COMPILE = 0, 1, 2, 5, 6
TWO = """
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 100); __type(key, __u32); __type(value, __u64); }
    seen SEC(".maps");
SEC("xdp") int counts(struct xdp_md *ctx) {
    struct ethhdr *eth = (void *)(long)ctx->data;
    if ((void *)(eth + 1) > (void *)(long)ctx->data_end) return XDP_PASS;
    if (eth->h_proto != 0xdd86) return XDP_PASS;
    __u32 key = 7;
    __u64 *n = bpf_map_lookup_elem(&seen, &key);
    *n += 1;
    return XDP_PASS;
}
static long each(__u32 index, void *context) { return 0; }
SEC("xdp") int loops(struct xdp_md *ctx) { return bpf_loop(4, each, 0, 0) == 4 ? XDP_PASS : XDP_DROP; }
char _license[] SEC("license") = "GPL";
"""
FENCE = """
from bpfwright.hooks import xdp

@xdp.program
def fence(ctx: xdp.Context) -> xdp.Action:
    return xdp.{}
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    (folder / "two.c").write_text(TWO)
    subprocess.run([*CLANG, "-c", "two.c", "-o", "two.o"], cwd=folder, check=True)
    return folder / "two.o"


def test_a_refusal_is_explained_with_an_input(two: Path) -> None:
    code, out, err = command("verify", str(two))
    assert code == REFUSED and not err
    lines = out.splitlines()
    assert lines[0].startswith("counts: refused at instruction ")
    assert lines[1].startswith("  ") and "two.c:13: *n += 1;" in lines[1]
    assert lines[2].strip() == "^" and lines[1][len(lines[2]) - 1] == "+"  # the compiler's column
    assert "  verifier: r0 may be null here" in lines and "  missing:  r0 != 0 on this path" in lines
    assert "  it knew:  R0 is a map's value, or None, of 8 bytes, of map seen" in lines
    packet = bytes(12) + b"\x86\xdd"
    assert f"  input:    packet of 14 bytes: {packet.hex(' ')}" in lines
    assert f"  see it:   bpfwright debug {two} counts --packet {packet.hex()}" in lines
    assert any(line.startswith("  cure:     Check the pointer for None") for line in lines)
    assert any(line.startswith("loops: accepted, ") for line in lines)


def test_what_is_printed_to_type_works(two: Path) -> None:
    packet = (bytes(12) + b"\x86\xdd").hex()
    done = subprocess.run([sys.executable, "-m", "bpfwright.cli", "debug", str(two), "counts", "--packet", packet],
                          input="continue\nquit\n", capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert done.returncode == 0 and "reads memory that is not its own" in done.stdout


def test_verdicts_of_other_kernels(two: Path) -> None:
    """5.10 has no bpf_loop(), and does not know callbacks."""
    code, out, _ = command("verify", str(two), "loops", "--kernel", "5.10", "--kernel", "6.12", "--no-search")
    assert code == REFUSED
    assert "loops: refused by Linux 5.10" in out and "loops: accepted by Linux 6.12" in out
    code, out, _ = command("verify", str(two), "loops", "--kernel", "all", "--no-search", "-j")
    assert code == REFUSED
    assert {row["kernel"]: row["accepted"] for row in json.loads(out)} == {
        "5.10": False, "6.1": True, "6.12": True, "6.18": True, "7.3": True}


def test_json(two: Path) -> None:
    code, out, _ = command("verify", str(two), "-f", "json")
    counts, loops = json.loads(out)
    assert code == REFUSED and loops["accepted"] and loops["processed"] > 0
    assert (counts["reason"], counts["line"], counts["source"]) == ("null check", 13, "*n += 1;")
    found = counts["counterexample"]
    assert (found["fault"], found["instruction"], found["at_the_place"]) == ("read", counts["instruction"], True)
    with Runner(read(two.read_bytes(), "two.o"), "counts") as runner:
        ran = runner.run(Input(bytes.fromhex(found["packet"]), bytes.fromhex(found["context"])))
    assert ran.fault is not None and ran.fault.instruction == counts["instruction"]


def test_the_state_and_the_trace(two: Path) -> None:
    _, out, _ = command("verify", str(two), "counts", "--no-search", "-v")
    assert out.splitlines()[-1].strip().startswith("16: R0=map_value_or_null(") or "R0=map_value_or_null(" in out
    _, longer, _ = command("verify", str(two), "counts", "--no-search", "-vv")
    assert "    0: R1=ctx" in longer and len(longer) > len(out)


def test_a_test_is_printed_where_a_packet_is_not_enough(tmp_path: Path) -> None:
    """A record is found only while there is room: the input says so, and the printed test fails as it should."""
    elf = tmp_path / "x.o"
    subprocess.run([*CLANG, "-c", "null_ring_record.c", "-o", str(elf)], cwd=SOURCES, check=True)
    code, out, _ = command("verify", str(elf))
    assert code == REFUSED and "  input:    " in out
    test = "\n".join(line.partition("| ")[2] for line in out.splitlines() if line.startswith("    |"))
    assert "from bpfwright.userspace.counterexamples import Input, Runner" in test
    (tmp_path / "test_printed.py").write_text(test + "\n")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
                          capture_output=True, text=True, env=ENVIRONMENT, cwd=tmp_path, timeout=60)
    assert done.returncode == 1 and "Fault" in done.stdout


def test_python_files(tmp_path: Path) -> None:
    (tmp_path / "fence.py").write_text(FENCE.format("PASS"))
    code, out, _ = command("verify", str(tmp_path / "fence.py"))
    assert code == ACCEPTED and out.startswith("fence: accepted, ")
    (tmp_path / "broken.py").write_text(FENCE.format("PASS + ctx"))
    code, out, err = command("verify", str(tmp_path / "broken.py"))
    assert code == DOES_NOT_COMPILE and "broken.py:6: " in err and "^" in err


def test_no_privilege_is_needed(two: Path) -> None:
    code, out, _ = command("verify", str(two), "counts", privileged=False)
    assert code == REFUSED and "input:    packet of 14 bytes" in out


def test_kernel_types_that_are_not_there(two: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(b"\x9f\xeb\1\0" + bytes(7))
    code, _, err = command("verify", str(two), "--btf", str(tmp_path / "damaged"))
    assert code == FAILURE and err.startswith("bpfwright: ")
    code, _, err = command("verify", str(two), "--btf", str(tmp_path / "absent"))
    assert code == FAILURE and "absent" in err


def test_mistakes_on_the_command_line(two: Path, tmp_path: Path) -> None:
    code, _, err = command("verify", str(two), "nothing")
    assert code == USAGE and "has no program nothing" in err and "counts, loops" in err
    assert command("verify", str(two), "--kernel", "4.4")[0] == USAGE
    assert command("verify", str(two), "--budget-s", "-1")[0] == USAGE
    data = two.read_bytes()
    for damaged in (data[:200], b"\x7fELF" + data[4:40], b"", data[:len(data) // 2]):
        (tmp_path / "damaged.o").write_bytes(damaged)
        code, out, err = command("verify", str(tmp_path / "damaged.o"))
        assert code == FAILURE and not out and err.startswith("bpfwright: ") and "Traceback" not in err
    assert command("verify", str(tmp_path / "absent.o"))[0] == FAILURE

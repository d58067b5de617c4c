"""inspect, load, ps and doctor on a real object and the real kernel."""
from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright.kernel import listing
from bpfwright.kernel.mounts import bpffs
from tests.cli.commands import command, start
from vmtest.c_programs import CLANG, compile_c

needs_clang = pytest.mark.skipif(not shutil.which(CLANG[0]), reason=f"needs {CLANG[0]}")

SOURCE = """
static __noinline int twice(int x) { return bpf_get_prandom_u32() + x; }

SEC("raw_tp/sys_enter")
int entered(void *ctx)
{
    count();
    return 0;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
    return twice(ctx->rx_queue_index) ? XDP_PASS : XDP_DROP;
}

SEC("?xdp")
int careless(struct xdp_md *ctx)
{
    __u64 *value = cell(ctx->rx_queue_index);
    return *value;
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("object") / "case.o"
    path.write_bytes(compile_c(SOURCE)["object"])
    return str(path)


def rows(*words: str) -> list[dict[str, Any]]:
    code, out, err = command(*words, "-j")
    assert code == 0, err
    found: list[dict[str, Any]] = json.loads(out)
    return found


def loaded(name: str) -> list[dict[str, Any]]:
    return [row for row in rows("ps", "--measure", "0") if row["name"] == name]


def until_gone(name: str) -> bool:
    """The kernel frees a program some time after its last holder is gone."""
    end = time.monotonic() + 30
    while loaded(name):
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


# inspect needs no privilege

@needs_clang
def test_inspect_shows_all_parts(built: str) -> None:
    code, out, err = command("inspect", built)
    assert (code, err) == (0, "")
    for expected in ("entered", "raw_tp/sys_enter", "seen", "twice:", "; call twice", "; return 0;", "case.c:",
                     "call bpf_map_lookup_elem#1"):
        assert expected in out, expected


@needs_clang
def test_inspect_for_programs(built: str) -> None:
    _, out, _ = command("inspect", built, "-j")
    content = json.loads(out)
    assert content["license"] == "GPL"
    assert [row["name"] for row in content["programs"]] == ["entered", "pass", "careless"]
    assert content["maps"] == [{"name": "seen", "type": "array", "key_size": 4, "value_size": 8, "max_entries": 8,
                                "flags": 0}]
    code = [row for row in content["code"] if row["function"] == "pass"]
    assert [row["instruction"] for row in code][-1] == "exit"
    assert {row["file"] for row in code} == {code[0]["file"]} and code[0]["line"] > 0


@needs_clang
def test_inspect_of_one_program_shows_what_it_calls(built: str) -> None:
    _, out, _ = command("inspect", built, "pass")
    assert "pass:" in out and "twice:" in out and "entered:" not in out


@needs_clang
def test_inspect_refuses_what_makes_no_sense(built: str) -> None:
    code, out, err = command("inspect", built, "absent")
    assert (code, out) == (2, "") and "entered, pass, careless" in err
    code, out, err = command("inspect", built, "-f", "csv", "--only", "maps", "--only", "code")
    assert (code, out) == (2, "") and "-f json" in err


def test_inspect_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello")
    code, out, err = command("inspect", str(tmp_path / "text"))
    assert (code, out) == (1, "") and "not an ELF object" in err
    code, out, err = command("inspect", str(tmp_path / "absent"))
    assert (code, out) == (1, "") and "No such file" in err


# load

@needs_clang
@pytest.mark.kernel
def test_load_asks_the_verifier_and_leaves_nothing(built: str) -> None:
    found = rows("load", built)
    assert [(row["kind"], row["name"]) for row in found] == [
        ("program", "entered"), ("program", "pass"), ("map", "seen")], "careless does not load by itself"
    assert all(row["attached"] is None and row["pinned"] is None for row in found)
    assert until_gone("entered")


@needs_clang
@pytest.mark.kernel
def test_load_shows_a_rejection_on_its_line(built: str) -> None:
    code, out, err = command("load", built, "careless")
    assert (code, out) == (5, "")
    assert "return *value;" in err and "cure:" in err and "processed" not in err
    _, _, err = command("load", built, "careless", "--log")
    assert "processed" in err, "--log shows all that the verifier said"


@needs_clang
@pytest.mark.kernel
def test_load_attaches_until_it_is_told_to_stop(built: str) -> None:
    running = start("load", built, "entered", "--attach", "-f", "jsonl")
    assert running.stdout is not None and running.stderr is not None
    with running:
        try:
            row = json.loads(running.stdout.readline())
            assert "sys_enter" in row["attached"]
            assert "Ctrl-C" in running.stderr.readline()
            shown = next(found for found in rows("ps", "--measure", "0.2") if found["id"] == row["id"])
            assert shown["holders"].endswith(f" {running.pid}") and "sys_enter" in shown["attached"]
            assert shown["runs"] > 0 and shown["ns_per_run"] > 0
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 0
        finally:
            running.kill()
    assert until_gone("entered")


@pytest.fixture
def folder() -> Iterator[str]:
    name = f"bpfwright-test-{os.getpid()}"
    yield name
    shutil.rmtree(os.path.join(bpffs(), name), ignore_errors=True)


@needs_clang
@pytest.mark.kernel
def test_load_pins_what_is_to_stay(built: str, folder: str) -> None:
    found = rows("load", built, "entered", "--attach", "--pin", f"{folder}/deep")
    assert {os.path.basename(row["pinned"]) for row in found} == {"entered", "map_seen", "link_entered"}
    assert len(loaded("entered")) == 1, "it outlives the command"
    code, _, err = command("load", built, "entered", "--pin", f"{folder}/deep")
    assert code == 1 and "pinned there already" in err
    shutil.rmtree(os.path.join(bpffs(), folder))
    assert until_gone("entered")


@needs_clang
@pytest.mark.kernel
def test_load_undoes_everything_when_a_step_fails(built: str, folder: str) -> None:
    code, out, err = command("load", built, "--attach", "--pin", folder)
    assert (code, out) == (2, "") and "--interface" in err
    assert not os.path.exists(os.path.join(bpffs(), folder))
    code, _, err = command("load", built, "--attach", "-i", "no-such-if")
    assert code == 1 and "no-such-if" in err
    assert until_gone("entered")


@needs_clang
@pytest.mark.kernel
def test_without_privilege_the_exit_code_says_so(built: str) -> None:
    for words in (("load", built), ("ps",), ("doctor", "map")):
        code, _, err = command(*words, privileged=False)
        assert code == 3, (words, err)
        assert "Traceback" not in err


# ps

@pytest.mark.kernel
def test_ps_follows_until_it_is_told_to_stop() -> None:
    running = start("ps", "--follow", "--measure", "0.1", "-f", "csv")
    assert running.stdout is not None and running.stderr is not None
    with running:
        try:
            heads = 0
            while heads < 2:
                line = running.stdout.readline()
                assert line, running.stderr.read()
                heads += line.startswith("id,type,name")
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 0
            assert running.stderr.read() == ""
        finally:
            running.kill()


# doctor

@pytest.mark.kernel
def test_doctor_says_why_not_and_what_to_do() -> None:
    found = {(row["group"], row["name"]): row for row in rows("doctor")}
    assert len(found) > 100
    assert found["map", "hash"]["works"] and found["hook", "XDP programs"]["works"]
    for row in found.values():
        if not row["works"]:
            assert row["why"] and row["cure"], row


@pytest.mark.kernel
def test_doctor_leaves_nothing_behind() -> None:
    def unheld() -> set[int]:
        """Programs that no process holds: others may load theirs meanwhile."""
        there = {program.id for program in listing.programs()}
        return there - {number for kind, number in listing.holders() if kind == "prog"}

    before = unheld()
    rows("doctor")
    end = time.monotonic() + 30
    while not unheld() <= before:
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.kernel
def test_doctor_shows_what_is_asked_for() -> None:
    names = [row["name"] for row in rows("doctor", "ring buffer")]
    assert "ring buffer" in names and "hash" not in names
    assert all(not row["works"] for row in rows("doctor", "--broken"))

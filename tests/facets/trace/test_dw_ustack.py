"""`dw_ustack`: stacks of programs without frame pointers, by tables, whole or with a line that says why not."""
from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bpfwright import Kernel
from bpfwright.facets.trace.tracing import trace
from bpfwright.kernel.listing import holders, programs
from tests.facets.trace.probes.tracing import until

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(platform.machine() != "x86_64", reason="tables are for x86-64")]
C = """
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#define APART __attribute__((noinline))
volatile uint64_t sink;
APART uint64_t leaf(uint64_t n) { volatile char room[64]; room[n % 64] = 1; return n * 3 + room[0]; }
APART uint64_t third(uint64_t n) { volatile char room[300]; room[n % 300] = 1; return leaf(n) + room[0]; }
APART uint64_t second(uint64_t n) { uint64_t a[4] = {n, n + 1, n + 2, n + 3}; return third(a[n % 4]) + 1; }
APART uint64_t first(uint64_t n) { return second(n + 1) * 3; }
APART void spin(void) { for (uint64_t i = 0; i < 3000000; i++) sink = sink * 31 + i; sink += 1; }
int main(int argc, char **argv) {
    usleep(100000);
    for (int n = atoi(argv[1]); n > 0; n--) { sink += first(n); if (argc > 2) { spin(); sink++; } else usleep(1000); }
    return 0;
}
"""
CHAIN = ["leaf", "third", "second", "first", "main", "__libc_start_call_main", "__libc_start_main", "_start"]
CONFIG = "config = { unstable_dw_ustack=enable; show_debug_info=false } "


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("dw")
    (folder / "chain.c").write_text(C)
    subprocess.run(["clang-14", "-O1", "-fomit-frame-pointer", str(folder / "chain.c"), "-o", str(folder / "chain")],
                   check=True)
    return str(folder / "chain")


@pytest.fixture
def running(chain: str) -> Iterator[int]:
    with subprocess.Popen([chain, "1000000"]) as child:
        try:
            yield child.pid
        finally:
            child.kill()


def run(script: str, *words: str) -> str:
    made = subprocess.run([sys.executable, "-m", "bpfwright", "trace", "-q", "-e", CONFIG + script, *words],
                          capture_output=True, text=True, timeout=60, check=False)
    assert made.returncode == 0 and not made.stderr, made.stderr
    return made.stdout


def frames(text: str) -> list[list[str]]:
    """The functions of each stack that was printed, with what is said in brackets."""
    return [re.findall(r"^\s+(?:[0-9a-f]+ )?(\[cut: [^]]*\]|[^\s+]+)(?:\+\d+)?", block, re.MULTILINE)
            for block in re.split(r"\n\s*\n|\]: \d+|@\w*\[", text) if "+" in block or "[cut" in block]


def counted(text: str) -> list[tuple[list[str], int]]:
    """The stacks of a map that is keyed by them, each with its count."""
    return [(re.findall(r"^\s+(?:[0-9a-f]+ )?(\[cut: [^]]*\]|\w+)", block, re.MULTILINE), int(number))
            for block, number in re.findall(r"\[(\n.*?)\]: (\d+)$", text, re.MULTILINE | re.DOTALL)]


def whole(found: list[tuple[list[str], int]], chain: list[str]) -> int:
    """How often the chain was there; what else there is begins as it does, and says that it is cut."""
    for names, _ in found:
        cut = names[-1].startswith("[cut: ")
        assert names == chain or (cut and names[:-1] == chain[:len(names) - 1]), names
    return sum(number for names, number in found if names == chain)


def test_as_a_map_key_by_command(chain: str) -> None:
    said = run(f"uprobe:{chain}:leaf {{ @dw[dw_ustack] = count(); @fp[ustack] = count(); }}", "-c", f"{chain} 50")
    by_tables, by_frames = said.split("@fp", 1)
    found = counted(by_tables)
    assert sum(number for _, number in found) == 50 and whole(found, CHAIN) > 40
    assert all("third" not in found for found in frames("@fp" + by_frames)), "the chain can be had without tables"


def test_depth_and_modes(chain: str) -> None:
    said = run(f"uprobe:{chain}:leaf {{ @two[dw_ustack(2)] = count(); @perf[dw_ustack(perf, 3)] = count(); "
               "@raw[dw_ustack(raw, 4)] = count(); @id[dw_ustack(build_id, 2)] = count(); @n = len(dw_ustack); "
               "@m = len(dw_ustack(3)) }", "-c", f"{chain} 20")
    parts = dict(re.findall(r"^@(\w+)(.*?)(?=^@|\Z)", said, re.MULTILINE | re.DOTALL))
    assert whole(counted(parts["two"]), CHAIN[:2]) > 10
    assert whole(counted(parts["perf"]), CHAIN[:3]) > 10 and parts["perf"].count(f"({chain})") >= 3
    assert len(re.findall(r"^[0-9a-f]{8,}$", parts["raw"], re.MULTILINE)) == 4 and "+" not in parts["raw"]
    assert len(re.findall(r"^\s+[0-9a-f]{40} 0x[0-9a-f]+$", parts["id"], re.MULTILINE)) == 2
    assert parts["n"].strip() == f": {len(CHAIN)}" and parts["m"].strip() == ": 3"


def test_printed_and_as_json(chain: str) -> None:
    said = run(f'uprobe:{chain}:leaf {{ printf("<%s>\\n", dw_ustack(4)); print(dw_ustack(3)); exit() }}', "-c", f"{chain} 9")
    assert frames(said.replace("<", "@[").replace(">", "]: 1"))[0] == CHAIN[:4] and said.count("third+") == 2
    said = run(f"uprobe:{chain}:leaf {{ @[pid, dw_ustack(3)] = count() }}", "-f", "json", "-c", f"{chain} 9")
    (key, count), = json.loads(said)["data"]["@"].items()
    assert count == 9 and [line.split("+")[0].strip() for line in key.strip().splitlines()[1:]] == CHAIN[:3]


@pytest.mark.parametrize("probe", ["tracepoint:syscalls:sys_enter_clock_nanosleep", "software:cs:1"])
def test_other_probes_of_a_process_that_runs(running: int, probe: str) -> None:
    said = run(f"{probe} /pid == {running}/ {{ @[dw_ustack] = count() }} interval:ms:300 {{ exit() }}",
               "-p", str(running))
    found = [names for names in frames(said) if "main" in names]
    assert found and all(names[-3:] == CHAIN[-3:] for names in found)
    assert all({"usleep", "nanosleep"} & set(names) or "leaf" in names or "first" in names for names in found)


def test_samples(chain: str) -> None:
    said = run('profile:hz:199 /comm == "chain"/ { @[dw_ustack] = count() }', "-c", f"{chain} 60 spin")
    spinning = [names for names in frames(said) if names[0] == "spin"]
    assert spinning and all(names == ["spin", *CHAIN[4:]] for names in spinning)


def test_the_whole_machine(running: int, chain: str) -> None:
    """Who was there is whole; who came has a line that says what is missing, until he was looked at."""
    with subprocess.Popen([sys.executable, "-m", "bpfwright", "trace", "-e", CONFIG + f"uprobe:{chain}:leaf {{ "
                           "@[pid, dw_ustack] = count() } interval:s:60 { exit() }"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as script:
        assert script.stdout is not None and "Attached" in script.stdout.readline()
        with subprocess.Popen([chain, "100"]) as late:
            late.wait()
        time.sleep(0.2)
        script.send_signal(2)
        said, errors = script.communicate(timeout=30)
    assert not errors and script.returncode == 0
    by_process = {pid: [(names, number) for who, block, number in re.findall(
        r"^@\[(\d+), *(\n.*?)\]: (\d+)$", said, re.MULTILINE | re.DOTALL) if int(who) == pid
        for names, number in counted(f"[{block}]: {number}")] for pid in (running, late.pid)}
    assert [names for names, _ in by_process[running]] == [CHAIN], by_process
    assert sum(number for _, number in by_process[late.pid]) == 100
    assert whole(by_process[late.pid], CHAIN) > 50, by_process


def test_a_process_that_becomes_another(chain: str) -> None:
    """The number stays, the code does not."""
    said = run(f"uprobe:{chain}:leaf {{ @[dw_ustack] = count() }}", "-c", f"/bin/sh -c 'sleep 0.1; exec {chain} 30'")
    assert whole(counted(said), CHAIN) > 10


def test_in_python_and_what_is_left(chain: str) -> None:
    script = CONFIG + f"uprobe:{chain}:leaf {{ @[dw_ustack] = count() }}"
    trace(script, command=f"{chain} 5")
    before, theirs = set(os.listdir("/proc/self/fd")), {one.id for one in programs()}
    found = trace(script, command=f"{chain} 30")
    stacks = [([frame.split("+")[0] for frame in stack], count) for stack, count in found["@"].items()]
    assert whole(stacks, CHAIN) > 20 and not found.lost
    assert set(os.listdir("/proc/self/fd")) == before

    def left() -> set[int]:
        """Programs that came meanwhile, and that no other process holds."""
        others = {number for (kind, number), who in holders().items()
                  if kind == "prog" and any(one.pid != os.getpid() for one in who)}
        return {one.id for one in programs()} - theirs - others

    until(lambda: not left())  # the kernel lets go a little later


def test_a_kernel_thread_has_none() -> None:
    said = run('software:cpu-clock:10000000 /pid == 0/ { @ = count(); @s[dw_ustack] = count() } interval:ms:300 { exit() }')
    assert "+" not in said and "cut" not in said


def test_what_may_change_is_said(chain: str) -> None:
    script = f"uprobe:{chain}:leaf {{ @[dw_ustack] = count() }}"
    with Kernel():
        command = [sys.executable, "-m", "bpfwright", "trace", "--dry-run", "-e"]
        made = subprocess.run([*command, script], capture_output=True, text=True, timeout=60, check=False)
        assert made.returncode == 0 and "`dw_ustack` may change yet" in made.stderr
        made = subprocess.run([*command, f"config = {{ unstable_dw_ustack=error }} {script}"], capture_output=True,
                              text=True, timeout=60, check=False)
        assert made.returncode == 6 and "Allow it" in made.stderr

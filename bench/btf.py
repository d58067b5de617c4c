"""Finding twenty kernel types in the running kernel's BTF, cold: time and memory in process, and of the whole process.

    .venv/bin/python bench/btf.py [--quick] [--rounds N]

Each round is a new process, so nothing is found already: it imports the reader, then opens /sys/kernel/btf/vmlinux,
finds the structs and reads size and members of each, which are compared with what bpftool says where it is here.
The bar is held against CPU time: nothing is waited for, so the rest of the time on the wall belongs to others.
"""
from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring

TYPES = ("task_struct", "file", "inode", "dentry", "path", "sock", "sk_buff", "net_device", "cred", "mm_struct",
         "super_block", "nsproxy", "pid", "signal_struct", "css_set", "cgroup", "socket", "tcp_sock", "bpf_prog",
         "page")
TIME_BAR, MEMORY_BAR = 30.0, 20.0  # ms, MiB
CHILD = """
import json, time
def memory():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
from bpfwright.formats.btf import Btf, Kind
before, began, cpu = memory(), time.perf_counter(), time.process_time()
btf = Btf.open("/sys/kernel/btf/vmlinux")
found = {name: btf.find(name, Kind.STRUCT) for name in NAMES}
members = {name: [btf.size(number), [member.name for member in btf.members(number)]] for name, number in found.items()}
took = time.perf_counter() - began
print(json.dumps([took * 1000, (time.process_time() - cpu) * 1000, (memory() - before) / 1024, members]))
"""


def expected() -> dict[str, list[object]]:
    """Sizes and members by bpftool, which read the same bytes."""
    if not shutil.which("bpftool"):
        return {}
    run = subprocess.run(["bpftool", "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux"], capture_output=True)
    if run.returncode:
        return {}
    structs = {each["name"]: each for each in json.loads(run.stdout)["types"] if each["kind"] == "STRUCT"}
    return {name: [structs[name]["size"], [member["name"].replace("(anon)", "") for member in structs[name]["members"]]]
            for name in TYPES if name in structs}


def report(rounds: int) -> tuple[str, bool]:
    """The table, and whether the bars are met."""
    code = CHILD.replace("NAMES", repr(TYPES))
    python = measuring.bare_python()
    runs, wholes = [], []
    for turn in range(rounds + 1):
        whole = measuring.process([python, "-c", code])
        if turn:  # the first writes bytecode
            wholes.append(whole.wall_ms)
            runs.append(json.loads(whole.output))
    wrong = {name: (runs[0][3].get(name), known) for name, known in expected().items() if runs[0][3].get(name) != known}
    if wrong:
        raise SystemExit(f"bpftool says otherwise: {wrong}")
    wall, cpu, more = (statistics.median(run[i] for run in runs) for i in range(3))
    rows: list[list[object]] = [
        ["in process, cold: ms", min(run[0] for run in runs), wall, "", "stated"],
        ["in process, cold: CPU ms", min(run[1] for run in runs), cpu, TIME_BAR, measuring.verdict(cpu <= TIME_BAR)],
        ["more memory: MiB", min(run[2] for run in runs), more, MEMORY_BAR, measuring.verdict(more <= MEMORY_BAR)],
        ["whole process: ms", min(wholes), statistics.median(wholes), "", "stated"]]
    text = measuring.table([f"{len(TYPES)} types", "best", "median", "bar", ""], rows)
    return text, cpu <= TIME_BAR and more <= MEMORY_BAR


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    print(f"{measuring.machine()}\n")
    text, met = report(3 if chosen.quick else chosen.rounds)
    print(text)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())

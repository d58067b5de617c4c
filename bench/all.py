"""Run every script of this folder and write bench/RESULTS.md: the machine, the date, the tables. The README quotes it.

    sudo .venv/bin/python bench/all.py [--quick] [-o FILE]

Scripts run one after the other, since they measure time. A missed bar is written as it is, and gives exit code 1.
"""
from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring

HERE = Path(__file__).resolve().parent


class Script(NamedTuple):
    """A script, what it is about, its arguments with --quick."""

    file: str
    title: str
    quick: tuple[str, ...] = ("--quick",)


SCRIPTS = (
    Script("code_quality.py", "Code: instructions and time of the same programs in Python and in C"),
    Script("startup.py", "A tracer from nothing to attached"),
    Script("start.py", "Importing, and starting commands"),
    Script("syscalls.py", "One program on all system calls"),
    Script("maps.py", "Filling maps"),
    Script("events.py", "Events to columns", ("--rounds", "2", "--live", "2")),
    Script("trace_start.py", "Scripts of bpftrace's language from nothing to attached"),
    Script("trace_events.py", "What an event costs under a script"),
    Script("trace_printf.py", "printf of scripts, 300,000 events a second", ("--seconds", "1")),
    Script("tools.py", "Tools beside bpftrace's scripts of their names", ("--quick",)),
    Script("btf.py", "Finding kernel types"),
    Script("symbols.py", "Names for addresses"),
    Script("profile.py", "A profile of the whole machine"),
    Script("blast.py", "Frames sent: ours beside the least program that sends"),
    Script("datapath.py", "The data path under change: the chain, adds and removes, changes, kills"),
    Script("firewall.py", "Packets dropped: ours beside C, xdp-filter, nftables and iptables", ("--quick",)),
    Script("signatures.py", "Signatures: what is understood, found, and what a clean packet costs"),
    Script("sets.py", "Sets of a million networks under traffic"),
    Script("balancer.py", "The balancer's path beside an immediate drop"),
    Script("syn_flood.py", "Connections that finish in a flood of SYNs"),
    Script("userspace.py", "The userspace machine: first results, and captures"),
    Script("machines.py", "The same bytecode in the kernel's JIT and in ours"),
    Script("agreement.py", "Our verifier and the kernel's", ("--count", "300")),
    Script("counterexamples.py", "Inputs that show seeded bugs"),
    Script("differential.py", "The same programs in every engine and in the kernel",
           ("--count", "60", "--inputs", "5")),
)


def run(script: Script, quick: bool) -> tuple[str, int]:
    """What a script printed, and its exit code."""
    words = [measuring.bare_python(), str(HERE / script.file), *(script.quick if quick else ())]
    done = subprocess.run(words, capture_output=True, text=True, cwd=HERE.parent)
    if "Traceback" in done.stderr or (done.returncode and not done.stdout.strip()):
        return f"FAILED:\n\n    {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'no word'}", 2
    return done.stdout.strip(), done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("-o", "--output", default=str(HERE / "RESULTS.md"))
    chosen = parser.parse_args()
    parts = ["# Figures", "", f"{datetime.date.today()}, {measuring.machine()}.",
             "Written by `bench/all.py`. Times inform: the machine is shared, so trust ratios, not figures."]
    worst = 0
    for script in SCRIPTS:
        if not (HERE / script.file).exists():
            continue
        print(f"{script.file} ...", file=sys.stderr, flush=True)
        text, code = run(script, chosen.quick)
        worst = max(worst, code)
        parts += ["", f"## {script.title}", "", f"`bench/{script.file}`", "", _fenced(text)]
    Path(chosen.output).write_text("\n".join(parts) + "\n")
    return worst


def _fenced(text: str) -> str:
    """As it stands, but for tables that are no Markdown, which keep their columns."""
    return text if "\n|" in text or not text else f"```\n{text}\n```"


if __name__ == "__main__":
    sys.exit(main())

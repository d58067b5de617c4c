"""The doctor tells the truth about each kernel: what it finds is what these kernels are known to have."""
from __future__ import annotations

import os

HOOK = ""  # no row of its own
SINCE = "5.10"

# Feature -> the oldest of the lab's kernels that has it.
KNOWN = {
    "fentry": (5, 10), "LSM programs": (5, 10), "kprobes": (5, 10), "iterators": (5, 10), "ring buffer": (5, 10),
    "perf links": (6, 1), "bpf_loop": (6, 1), "bloom filter": (6, 1), "user ring buffer": (6, 1),
    "kprobe.multi": (6, 12), "tcx": (6, 12), "netkit": (6, 12), "may_goto": (6, 12),
    "open-coded iterators": (6, 12), "arena": (6, 12), "cgroup storage": (6, 12),
}


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    from bpfwright.cli.doctor import findings
    found = {finding.name: finding for finding in findings()}
    here = tuple(int(part) for part in os.uname().release.split(".")[:2])
    wrong = [f"{name}: works={found[name].works}, {found[name].why}" for name, since in KNOWN.items()
             if found[name].works != (here >= since)]
    assert not wrong, wrong
    mute = [finding for finding in found.values() if not finding.works and not (finding.why and finding.cure)]
    assert not mute, mute

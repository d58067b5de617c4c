"""Asks a kernel what its verifier lets each kind of program do, and writes it as a table of `userspace/verifier`.

    python scripts/record_profile.py NAME [-]     writes src/bpfwright/userspace/verifier/profiles/NAME.py (-: prints
                                                  it); needs root

Every answer is a program that was loaded or refused: each helper from each kind of program, each byte range of each
context read and written. Nothing is taken from the kernel's version.
"""
from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from bpfwright._abi import bpf as B
from bpfwright._abi.helpers import HELPERS
from bpfwright.errors import KernelError
from bpfwright.formats.isa.instructions import Instruction, encode
from bpfwright.kernel import sys as door
from bpfwright.kernel.types import KernelTypes

MOV, EXIT, CALL, MOVX = 0xB7, 0x95, 0x85, 0xBF
LOADS = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}
STORES = {1: 0x73, 2: 0x6B, 4: 0x63, 8: 0x7B}
REACH = 256
RESULT = re.compile(r"R0(?:_w)?=([^ (]+)(?:\(([^)]*)\))?")

CASES: list[tuple[str, int, int, str]] = [
    ("socket_filter", 1, 0, ""), ("kprobe", 2, 0, ""), ("kprobe_multi", 2, 42, ""), ("sched_cls", 3, 0, ""),
    ("sched_act", 4, 0, ""), ("tracepoint", 5, 0, ""), ("xdp", 6, 0, ""), ("perf_event", 7, 0, ""),
    ("cgroup_skb", 8, 0, ""), ("cgroup_skb", 8, 1, ""), ("cgroup_sock", 9, 2, ""), ("cgroup_sock", 9, 12, ""),
    ("cgroup_sock", 9, 13, ""), ("cgroup_sock", 9, 34, ""), ("lwt_in", 10, 0, ""), ("lwt_out", 11, 0, ""),
    ("lwt_xmit", 12, 0, ""), ("sock_ops", 13, 3, ""), ("sk_skb", 14, 0, ""), ("cgroup_device", 15, 6, ""),
    ("sk_msg", 16, 0, ""), ("raw_tracepoint", 17, 0, ""),
    *(("cgroup_sock_addr", 18, attach, "") for attach in (8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51, 52,
                                                          53)),
    ("lwt_seg6local", 19, 0, ""), ("sk_reuseport", 21, 39, ""), ("sk_reuseport", 21, 40, ""),
    ("flow_dissector", 22, 0, ""), ("cgroup_sysctl", 23, 18, ""), ("raw_tracepoint_writable", 24, 0, ""),
    ("cgroup_sockopt", 25, 21, ""), ("cgroup_sockopt", 25, 22, ""), ("tracing", 26, 23, "sched_switch"),
    ("tracing", 26, 28, "task"), ("tracing", 26, 24, "do_nanosleep"), ("tracing", 26, 25, "do_nanosleep"),
    ("lsm", 29, 27, "file_open"), ("sk_lookup", 30, 36, ""), ("syscall", 31, 0, ""), ("netfilter", 32, 45, ""),
]


class Prober:
    """Loads small programs of one kind."""

    def __init__(self, kind: int, attach: int, target: int) -> None:
        self.kind, self.attach, self.target = kind, attach, target

    def load(self, *insns: Instruction, license_text: str = "GPL") -> tuple[bool, str]:
        program = door.ProgramLoad(self.kind, encode(insns), license_text)
        program.values["expected_attach_type"] = self.attach
        program.values["attach_btf_id"] = self.target
        if self.kind == B.BPF_PROG_TYPE_SYSCALL:
            program.values["flags"] = B.BPF_F_SLEEPABLE
        log = bytearray(1 << 16)
        try:
            fd = program.send(2, log)
        except KernelError as error:
            return False, log.partition(b"\0")[0].decode("utf-8", "replace") or f"errno {error.errno}"
        os.close(fd)
        return True, log.partition(b"\0")[0].decode("utf-8", "replace")

    def returning(self) -> int | None:
        """A number that programs of this kind may return."""
        for value in (0, 1):
            if self.load(Instruction(MOV, imm=value), Instruction(EXIT))[0]:
                return value
        return None

    def helpers(self) -> set[int]:
        allowed = set()
        for number in HELPERS.values():
            _, log = self.load(Instruction(CALL, imm=number), Instruction(MOV), Instruction(EXIT))
            if not re.search(r"cannot use helper|unknown func|invalid func", log):
                allowed.add(number)
        return allowed

    def only_gpl(self, allowed: set[int]) -> set[int]:
        """Helpers that are for GPL programs only."""
        found = set()
        for number in allowed:
            _, log = self.load(Instruction(CALL, imm=number), Instruction(MOV), Instruction(EXIT), license_text="none")
            if "GPL" in log:
                found.add(number)
        return found

    def context(self, end: int, prefix: tuple[Instruction, ...] = (), base: int = 1
                ) -> tuple[list[int], list[int], dict[int, str]]:
        """Masks of the sizes (1, 2, 4, 8) that may be read and written at each offset; what is not a number there."""
        reads, writes, kinds = [0] * REACH, [0] * REACH, {}
        last = (Instruction(MOV, imm=end), Instruction(EXIT))
        for offset in range(REACH):
            for size, load in LOADS.items():
                done, log = self.load(*prefix, Instruction(load, dst=0, src=base, offset=offset), *last)
                if done or "Unreleased" in log:
                    reads[offset] |= size
                    found = self._result(log, len(prefix))
                    if found != "scalar":
                        kinds[offset] = found
                done, log = self.load(*prefix, Instruction(MOV, dst=0), Instruction(
                    STORES[size], dst=base, src=0, offset=offset), *last)
                if done:
                    writes[offset] |= size
        return reads, writes, kinds

    @staticmethod
    def _result(log: str, index: int) -> str:
        for line in log.splitlines():
            # Kernels before 5.18 tell in a line of its own what an instruction left.
            told = line.partition(";")[2] if line.startswith(f"{index}: (") else ""
            if told or line.startswith((f"{index + 1}: R0", f"{index + 1}: frame")):
                found = RESULT.search(told or line)
                if found:
                    kind = found[1]
                    return "scalar" if kind in ("inv", "scalar", "Pscalar") or kind.lstrip("-").isdigit() else kind
        return "scalar"


def rules() -> dict[str, bool | int]:
    """Which of the rules that came later than others this kernel has: each by a program that needs it."""
    xdp = Prober(B.BPF_PROG_TYPE_XDP, 0, 0)
    end = (Instruction(MOV), Instruction(EXIT))
    word = Instruction(0x7A, dst=10, offset=-8)
    few = (Instruction(CALL, imm=7), Instruction(0x57, imm=7))                        # r0 is 0 to 7
    near = (Instruction(MOVX, dst=2, src=10), Instruction(0x0F, dst=2, src=0))        # r2 = r10 + r0
    found: dict[str, bool | int] = {
        "atomics": xdp.load(word, Instruction(MOV, dst=1, imm=1), Instruction(0xDB, 10, 1, -8, 1), *end)[0],
        "v4": xdp.load(Instruction(MOV), Instruction(MOVX, 0, 0, 8), *end)[0],
        "acquire_release": xdp.load(word, Instruction(0xDB, 0, 10, -8, 0x100), *end)[0],
        "may_goto": xdp.load(Instruction(0xE5, offset=1), Instruction(0x05, offset=-2), *end)[0],
        "tracks_negation": xdp.load(*few, Instruction(0x87), *near, Instruction(0x72, dst=2, offset=-1), *end)[0],
        "tracks_swaps": xdp.load(*few, Instruction(0xD7, imm=64), Instruction(0x77, imm=56), *near,
                                 Instruction(0x72, dst=2, offset=-8), *end)[0],
        "linked_constants": xdp.load(
            Instruction(CALL, imm=7), Instruction(0x57, imm=255), Instruction(MOVX, 1, 0), Instruction(0x07, 1, imm=1),
            Instruction(0x25, 0, 0, 3, 6), Instruction(MOVX, 2, 10), Instruction(0x0F, 2, 1),
            Instruction(0x72, 2, 0, -8), *end)[0],
        "tnum_overlap": xdp.load(
            Instruction(CALL, imm=7), Instruction(MOVX, 6, 0), Instruction(0x57, 6, imm=-2), Instruction(CALL, imm=7),
            Instruction(0x47, 0, imm=1), Instruction(0x1D, 0, 6, 2), *end, Instruction(0x79, 0, 10, 8), *end)[0],
        "uninitialised_stack": xdp.load(Instruction(0x79, 0, 10, -8), *end)[0],
        "immediate_context_stores": Prober(B.BPF_PROG_TYPE_SCHED_CLS, 0, 0).load(Instruction(0x62, 1, 0, 8), *end)[0],
        "private_stack": Prober(B.BPF_PROG_TYPE_TRACEPOINT, 0, 0).load(
            Instruction(0x7A, 10, 0, -400), Instruction(CALL, src=1, imm=2), *end, Instruction(0x7A, 10, 0, -400),
            *end)[0],
        "stack_rounding": 16 if xdp.load(
            Instruction(0x7A, 10, 0, -240), Instruction(CALL, src=1, imm=2), *end, Instruction(0x7A, 10, 0, -272),
            *end)[0] else 32,
    }
    array = door.map_create(B.BPF_MAP_TYPE_ARRAY, 4, 8, 4, name="elements")
    found["elides_null"] = xdp.load(word, Instruction(MOVX, 2, 10), Instruction(0x07, 2, imm=-8),
                                    Instruction(0x62, 10, 0, -8, 1), Instruction(0x18, 1, 1, imm=array),
                                    Instruction(CALL, imm=1), Instruction(0x79, 0, 0), *end)[0]
    os.close(array)
    return found


def digits(masks: list[int]) -> str:
    """One hexadecimal digit an offset, without the empty end."""
    return "".join(f"{mask:x}" for mask in masks).rstrip("0")


def main(name: str, where: str = "") -> None:
    types = KernelTypes()
    helpers: dict[tuple[int, int], str] = {}
    contexts: dict[tuple[int, int], tuple[str, str, dict[int, str]]] = {}
    restricted: set[int] = set()
    for label, kind, attach, target in CASES:
        number = 0
        if target:
            try:
                number = types.attach_target(kind, attach, target)[0]
            except Exception as error:
                print(label, error, file=sys.stderr)
                continue
        prober = Prober(kind, attach, number)
        end = prober.returning()
        if end is None:
            print(f"{label} {attach}: no program of this kind loads", file=sys.stderr)
            continue
        allowed = prober.helpers()
        restricted |= prober.only_gpl(allowed - restricted)
        helpers[kind, attach] = f"{sum(1 << number for number in allowed):#x}"
        if kind not in (B.BPF_PROG_TYPE_TRACEPOINT, B.BPF_PROG_TYPE_TRACING, B.BPF_PROG_TYPE_LSM,
                        B.BPF_PROG_TYPE_SYSCALL):
            reads, writes, kinds = prober.context(end)
            contexts[kind, attach] = digits(reads), digits(writes), kinds
        print(label, attach, len(allowed), file=sys.stderr)
    structs = {}
    classifier = Prober(B.BPF_PROG_TYPE_SCHED_CLS, 0, 0)
    common = (Instruction(LOADS[8], dst=1, src=1, offset=168), Instruction(0x55, dst=1, imm=0, offset=2),
              Instruction(MOV), Instruction(EXIT))
    full = (*common, Instruction(CALL, imm=HELPERS["sk_fullsock"]), Instruction(0x55, dst=0, imm=0, offset=2),
            Instruction(MOV), Instruction(EXIT), Instruction(MOVX, dst=1, src=0))
    tcp = (*common, Instruction(CALL, imm=HELPERS["tcp_sock"]), Instruction(0x55, dst=0, imm=0, offset=2),
           Instruction(MOV), Instruction(EXIT), Instruction(MOVX, dst=1, src=0))
    for label, prefix in (("sock_common", common), ("sock", full), ("tcp_sock", tcp)):
        reads, writes, _ = classifier.context(0, prefix)
        structs[label] = digits(reads), digits(writes)
    dissector = Prober(B.BPF_PROG_TYPE_FLOW_DISSECTOR, 0, 0)
    reads, writes, _ = dissector.context(0, (Instruction(LOADS[8], dst=1, src=1, offset=144),))
    structs["flow_keys"] = digits(reads), digits(writes)
    folder = Path(__file__).parents[1] / "src/bpfwright/userspace/verifier/profiles"
    out = [f'"""What {name.replace("_", " ")} lets each kind of program do."""',
           "# Recorded by scripts/record_profile.py; do not edit.", "from __future__ import annotations", "",
           "HELPERS: dict[tuple[int, int], int] = {"]
    out += [f"    {key}: {mask}," for key, mask in helpers.items()]
    out += ["}", "RULES: dict[str, int] = {",
            *(f'    "{rule}": {value},' for rule, value in rules().items()), "}",
            f"ONLY_GPL = {sum(1 << number for number in restricted):#x}",
            "CONTEXTS: dict[tuple[int, int], tuple[str, str, dict[int, str]]] = {"]
    for key, (reading, writing, kinds) in contexts.items():
        out += [f"    {key}: (", *_text(reading), *_text(writing), f"        {kinds}),"]
    out += ["}", "STRUCTS: dict[str, tuple[str, str]] = {"]
    for key_name, (reading, writing) in structs.items():
        out += [f'    "{key_name}": (', *_text(reading), *_text(writing)]
        out[-1] = out[-1][:-1] + "),"
    out += ["}", ""]
    if where == "-":
        print("\n".join(out))
        return
    (folder / f"{name}.py").write_text("\n".join(out))


def _text(digits_of: str) -> list[str]:
    parts = [digits_of[at:at + 96] for at in range(0, len(digits_of), 96)] or [""]
    lines = [f'        "{part}"' for part in parts]
    lines[-1] += ","
    return lines


if __name__ == "__main__":
    main(*sys.argv[1:])

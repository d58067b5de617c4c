"""Writes src/bpfwright/_abi from a kernel's BTF enums and the #defines below, which BTF does not hold.

    python scripts/generate_abi.py [BTF...]    # default: the running kernel's

For a release: the newest kernel's first, then others, whose modules it may not have built in; the first one wins.
"""
from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from bpfwright.formats.btf import Btf, Kind

HERE = Path(__file__).resolve().parent.parent / "src" / "bpfwright" / "_abi"

DEFINES = {
    "bpf": """
        BPF_F_ALLOW_OVERRIDE 1
        BPF_F_ALLOW_MULTI 2
        BPF_F_REPLACE 4
        BPF_F_BEFORE 8
        BPF_F_AFTER 16
        BPF_F_ID 32
        BPF_F_PREORDER 64
        BPF_F_LINK 8192
        BPF_F_STRICT_ALIGNMENT 1
        BPF_F_ANY_ALIGNMENT 2
        BPF_F_TEST_RND_HI32 4
        BPF_F_TEST_STATE_FREQ 8
        BPF_F_SLEEPABLE 16
        BPF_F_XDP_HAS_FRAGS 32
        BPF_F_XDP_DEV_BOUND_ONLY 64
        BPF_F_TEST_REG_INVARIANTS 128
        BPF_F_QUERY_EFFECTIVE 1
        BPF_F_TEST_RUN_ON_CPU 1
        BPF_F_TEST_XDP_LIVE_FRAMES 2
        BPF_F_KPROBE_MULTI_RETURN 1
        BPF_F_UPROBE_MULTI_RETURN 1
        BPF_PSEUDO_MAP_FD 1
        BPF_PSEUDO_MAP_VALUE 2
        BPF_PSEUDO_BTF_ID 3
        BPF_PSEUDO_FUNC 4
        BPF_PSEUDO_MAP_IDX 5
        BPF_PSEUDO_MAP_IDX_VALUE 6
        BPF_PSEUDO_CALL 1
        BPF_PSEUDO_KFUNC_CALL 2
        BPF_OBJ_NAME_LEN 16
        BPF_TAG_SIZE 8
        XDP_FLAGS_UPDATE_IF_NOEXIST 1
        XDP_FLAGS_SKB_MODE 2
        XDP_FLAGS_DRV_MODE 4
        XDP_FLAGS_HW_MODE 8
        XDP_FLAGS_REPLACE 16
    """,
    "perf": """
        PERF_FLAG_FD_NO_GROUP 1
        PERF_FLAG_FD_CLOEXEC 8
        PERF_EVENT_IOC_ENABLE 0x2400
        PERF_EVENT_IOC_DISABLE 0x2401
        PERF_EVENT_IOC_SET_BPF 0x40042408
        PERF_ATTR_SIZE_VER5 112
    """,
    "netlink": """
        NETLINK_ROUTE 0
        NETLINK_NETFILTER 12
        NLM_F_REQUEST 1
        NLM_F_MULTI 2
        NLM_F_ACK 4
        NLM_F_DUMP 0x300
        NLM_F_REPLACE 0x100
        NLM_F_EXCL 0x200
        NLM_F_CREATE 0x400
        NLMSG_NOOP 1
        NLMSG_ERROR 2
        NLMSG_DONE 3
        NLA_F_NESTED 0x8000
        NLA_TYPE_MASK 0x3fff
        SOL_NETLINK 270
        NETLINK_EXT_ACK 11
        NETLINK_GET_STRICT_CHK 12
        TC_H_CLSACT 0xfffffff1
        TC_H_MIN_INGRESS 0xfff2
        TC_H_MIN_EGRESS 0xfff3
        IFF_UP 1
        RT_TABLE_MAIN 254
        RTPROT_BOOT 3
        RT_SCOPE_UNIVERSE 0
        RT_SCOPE_LINK 253
        RTN_UNICAST 1
        TCA_BPF_FLAG_ACT_DIRECT 1
    """,
}

# Module -> (docstring, named enums taken whole, prefixes taken from anonymous enums).
MODULES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "bpf": ("Numbers of bpf(2): commands, types, flags.",
            ("bpf_cmd", "bpf_map_type", "bpf_prog_type", "bpf_attach_type", "bpf_link_type", "bpf_stats_type",
             "bpf_core_relo_kind", "bpf_perf_event_type", "bpf_task_fd_type", "bpf_cgroup_iter_order", "xdp_action",
             "tcx_action_base"),
            ("BPF_", "XDP_ATTACHED_")),
    "perf": ("Numbers of perf_event_open(2).",
             ("perf_type_id", "perf_hw_id", "perf_sw_ids", "perf_event_sample_format", "perf_event_type"), ()),
    "netlink": ("Numbers of rtnetlink.", ("rtattr_type_t", "netlink_attribute_type"),
                ("RTM_", "IFLA_", "TCA_", "IFA_", "VETH_INFO_", "RTA_", "RTNLGRP_")),
}
# `1 << n` members of unrelated in-kernel enums that share the prefix.
FOREIGN = ("BPF_FUNC_", "BPF_MAX_", "BPF_ITER_", "BPF_JIT_", "BPF_REG_", "BPF_DYNPTR_TYPE", "BPF_KF_", "BPF_TRAMP_",
           "BPF_GRAPH_", "BPF_ADJ_", "BPF_DISPATCHER_", "BPF_OP_", "BPF_DIAG_", "BPF_MAP_SLOT", "BPF_RES_SPIN",
           "BPF_SK_BUFF")


def enumerators(btf: Btf, named: Iterable[str], prefixes: tuple[str, ...]) -> dict[str, int]:
    """The wanted enumerators, enum by enum."""
    found: dict[str, int] = {}
    for name in named:
        for type_id in btf.find_all(name):
            if btf.kind(type_id) in Kind.ENUMS:
                found.update(btf.enumerators(type_id))
    for type_id in btf.ids() if prefixes else ():
        if btf.kind(type_id) in Kind.ENUMS and not btf.name(type_id):
            found.update(item for item in btf.enumerators(type_id) if item.name.startswith(prefixes))
    return {name: value for name, value in found.items()
            if not name.startswith(("__", "MAX_", *FOREIGN)) and not name.endswith("_MAX")}


def helpers(btf: Btf) -> dict[str, int]:
    """Helper numbers by name, without the common prefix."""
    values = btf.enumerators(btf.find("bpf_func_id"))
    return {item.name[9:]: item.value for item in values if item.name.startswith("BPF_FUNC_") and item.value}


def text_of(value: int) -> str:
    return hex(value) if value > 4096 else str(value)


def merged(tables: Iterable[dict[str, int]]) -> dict[str, int]:
    """All names, each with its first value."""
    result: dict[str, int] = {}
    for table in tables:
        for name, value in table.items():
            result.setdefault(name, value)
    return result


def main(paths: list[str]) -> None:
    kernels = [Btf.open(path) for path in paths]
    HERE.mkdir(exist_ok=True)
    note = "# Generated by scripts/generate_abi.py; do not edit.\n"
    for module, (docstring, named, prefixes) in MODULES.items():
        values = merged(enumerators(btf, named, prefixes) for btf in kernels)
        for line in DEFINES[module].split("\n"):
            if line.strip():
                name, number = line.split()
                values.setdefault(name, int(number, 0))
        lines = [f"{name} = {text_of(value)}" for name, value in values.items()]
        (HERE / f"{module}.py").write_text(f'"""{docstring}"""\n{note}' + "\n".join(lines) + "\n", encoding="utf-8")
    rows = "".join(f'    "{name}": {number},\n' for name, number in merged(map(helpers, kernels)).items())
    (HERE / "helpers.py").write_text(
        f'"""Helper functions by name (without `bpf_`) and by number."""\n{note}'
        f"HELPERS: dict[str, int] = {{\n{rows}}}\n"
        "HELPER_NAMES: dict[int, str] = {number: name for name, number in HELPERS.items()}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:] or ["/sys/kernel/btf/vmlinux"])

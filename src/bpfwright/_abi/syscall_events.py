"""System calls as tracefs calls them: events are named after the kernel's functions, not after the calls."""
from __future__ import annotations

from bpfwright._abi.syscalls import NUMBERS

__all__ = ["numbers_of_events"]

_OTHERWISE = {"newstat": "stat", "newfstat": "fstat", "newlstat": "lstat", "newuname": "uname",
              "sendfile64": "sendfile",
              "umount": "umount2"}
# include/uapi/asm-generic/unistd.h; from 424 on, numbers are the same on every architecture
_NEWER = {"cachestat": 451, "fchmodat2": 452, "map_shadow_stack": 453, "futex_wake": 454, "futex_wait": 455,
          "futex_requeue": 456, "statmount": 457, "listmount": 458, "lsm_get_self_attr": 459, "lsm_set_self_attr": 460,
          "lsm_list_modules": 461, "mseal": 462, "setxattrat": 463, "getxattrat": 464, "listxattrat": 465,
          "removexattrat": 466, "open_tree_attr": 467, "file_getattr": 468, "file_setattr": 469}
_X86 = {"uretprobe": 335, "uprobe": 336}


def numbers_of_events(machine: str) -> dict[str, int]:
    """The number of each system call by the name in its events, `openat` for `sys_enter_openat`; empty for processors
    that are not known."""
    table = NUMBERS.get(machine)
    if table is None:
        return {}
    found = {**_NEWER, **(_X86 if machine == "x86_64" else {}), **table}
    return {**found, **{event: table[call] for event, call in _OTHERWISE.items() if call in table}}

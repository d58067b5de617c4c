"""Names of numbers that C programs know: the script's `#define`s, and those of the C library that Python knows too."""
from __future__ import annotations

from importlib import import_module

from bpfwright.facets.trace import tree
from bpfwright.facets.trace.text import Text

__all__ = ["constant_named"]

_MODULES = (
    ("_socket", ("AF_", "IPPROTO_", "SOCK_", "SO_", "SOL_", "MSG_", "TCP_", "IP_", "IPV6_", "SHUT_", "INADDR_")),
    ("errno", ("E",)), ("signal", ("SIG",)), ("stat", ("S_I",)), ("mmap", ("PROT_", "MAP_", "MADV_")),
    ("os", ("O_", "F_", "R_OK", "W_OK", "X_OK", "CLONE_", "PRIO_", "SCHED_", "WNOHANG", "P_", "EFD_", "GRND_")),
    ("resource", ("RLIMIT_",)), ("fcntl", ("F_", "FD_", "LOCK_")),
)
_KERNEL = {"TASK_RUNNING": 0, "S_IFMT": 0o170000, "TASK_INTERRUPTIBLE": 1, "TASK_UNINTERRUPTIBLE": 2,
           "PF_KTHREAD": 0x200000,
           "TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5,
           "TCP_TIME_WAIT": 6, "TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10,
           "TCP_CLOSING": 11, "TCP_NEW_SYN_RECV": 12}
"""Of the kernel's own headers (linux/sched.h, net/tcp_states.h), what scripts name and BTF does not know."""


def constant_named(name: str, defined: dict[str, str], machine: str) -> tree.Expression | None:
    """What a name stands for, as an expression; None when it stands for nothing."""
    text = defined.get(name)
    if text is not None:
        return _parsed(name, text)
    number = _library(name, machine)
    if number is None:
        return None
    shown = Text(name).span(0, len(name))
    return tree.Integer(shown, number) if number >= 0 else tree.Unary(shown, "-", tree.Integer(shown, -number))


def _parsed(name: str, text: str) -> tree.Expression | None:
    from bpfwright.errors import CompileError
    from bpfwright.facets.trace.parser import parse
    try:
        program = parse(f"begin {{ _ = {text or '1'}; }}", f"#define {name}").program
    except CompileError:
        return None
    statement = program.probes[0].body.statements[0]
    return statement.value if isinstance(statement, tree.Discard) else None


def _library(name: str, machine: str) -> int | None:
    if name in _KERNEL:
        return _KERNEL[name]
    if name.startswith(("__NR_", "SYS_")):
        from bpfwright._abi.syscalls import NUMBERS
        return NUMBERS.get(machine, {}).get(name.partition("_NR_")[2] or name[4:])
    for module, prefixes in _MODULES:
        if name.startswith(prefixes):
            found = getattr(import_module(module), name, None)
            if isinstance(found, int):
                return int(found)
    return None

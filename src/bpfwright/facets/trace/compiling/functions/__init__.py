"""The standard library: each name's types and code, one file a group. `find` gives a name's function."""
from __future__ import annotations

from importlib import import_module

from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.facets.trace import tree

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.checker import Checker
    from bpfwright.facets.trace.compiling.typed import Typed
    Function = Callable[[Checker, Any, tuple[Any, ...]], Typed]

__all__ = ["GROUPS", "argument", "call_declared", "find", "gathered", "is_gathering", "names", "returned"]

GROUPS = {
    "process": "pid tid uid gid comm ppid pcomm leader_comm leader_tid username cpid has_cpid cgroup curtask",
    "clocks": "nsecs elapsed jiffies time strftime cpu ncpus numaid rand",
    "arguments": "args ctx retval func probe probetype reg usermode",
    "stacks": "kstack ustack dw_ustack ksym usym kaddr uaddr percpu_kaddr",
    "strings": "str buf strlen strcap strncmp strstr strcontains str_concat globmatch memcmp join default_str_length",
    "memory": "bswap kptr uptr",
    "network": "ntop pton macaddr skboutput socket_cookie",
    "files": "path cat cgroupid cgroup_path",
    "tables": "clear zero delete has_key find len",
    "output": "print printf errorf warnf system debugf",
    "naming": "signal_name syscall_name strerror",
    "control": "exit fail assert assert_str static_assert signal signal_thread override write_user unwatch "
               "watch_argument",
    "facts": "kfunc_exist kfunc_allowed getopt is_str is_ptr is_array is_integer is_unsigned_integer is_literal",
    "gathering": "count sum avg min max stats hist lhist tseries",
}
"""Which file a name's function stands in."""
_OURS = ("watch_argument",)  # what the compiler itself writes; no script can, as the library has no such name
_FILES = {name: group for group, listed in GROUPS.items() for name in listed.split()}


def find(name: str) -> Function | None:
    """The function of a library name: it takes the checker, the node, and the arguments' nodes."""
    if name[:3] == "arg" and name[3:].isdigit():
        return _of("arguments").numbered  # type: ignore[no-any-return]
    group = _FILES.get(name)
    return None if group is None else getattr(_of(group), f"{name}_")


def names() -> list[str]:
    """All names, for suggestions."""
    return [*(name for name in _FILES if name not in _OURS), "arg0", "arg1"]


def _of(group: str) -> Any:
    return import_module(f"{__name__}.{group}")


def argument(checker: Checker, name: str, span: Any) -> Typed:
    """`args.name`."""
    return _of("arguments").field(checker, name, span)  # type: ignore[no-any-return]


def is_gathering(node: Any) -> bool:
    """Whether an expression is what maps gather."""
    return isinstance(node, (tree.Call, tree.Name)) and _FILES.get(node.name) == "gathering"


def gathered(checker: Checker, entry: Any, node: Any) -> Any:
    """`@x = count()` and the like: the statement."""
    return _of("gathering").gathered(checker, entry, node)


def call_declared(checker: Checker, node: Any, declared: Any) -> Typed:
    """A call of a function that the script declares."""
    from bpfwright.facets.trace.compiling.declared import call
    return call(checker, node, declared)


def returned(checker: Checker, node: Any, typed: Typed) -> Any:
    """`return value`: the statement."""
    from bpfwright.facets.trace.compiling.declared import returned as done
    return done(checker, node, typed)

"""The standard library's names: what each is, how many arguments it takes, and what it does. One table, read by all.

Sources: the language reference and the library reference of bpftrace. `kernel` is the first Linux with what it needs,
where the reference states one.
"""
from __future__ import annotations

from bpfwright._typing import NamedTuple

__all__ = ["LIBRARY", "MAP_KINDS", "Entry", "entry"]

MANY = 1000
"""As many arguments as one likes."""


class Entry(NamedTuple):
    """A name of the library.

    `kind`: `value` (also without parentheses), `function`, `map function` (what a map's entry is assigned),
    `statement` (for its effect), `compile time`. `mode`: `kernel`, `later` (done by user space when the event arrives)
    or `compiling`. `unsafe`: it needs `--unsafe`.
    """

    kind: str
    least: int
    most: int
    text: str
    mode: str = "kernel"
    unsafe: bool = False
    kernel: str = ""


_V, _F, _M, _S, _C = "value", "function", "map function", "statement", "compile time"

LIBRARY: dict[str, Entry] = {
    # processes
    "pid": Entry(_V, 0, 1, "process id, in the tracer's namespace or the first one"),
    "tid": Entry(_V, 0, 1, "thread id, in the tracer's namespace or the first one"),
    "uid": Entry(_V, 0, 0, "user id"),
    "gid": Entry(_V, 0, 0, "group id"),
    "comm": Entry(_V, 0, 1, "the thread's name"),
    "ppid": Entry(_V, 0, 1, "the parent's process id"),
    "pcomm": Entry(_V, 0, 1, "the process's name: that of its first thread"),
    "leader_comm": Entry(_V, 0, 1, "name of the thread group's leader"),
    "leader_tid": Entry(_V, 0, 1, "thread id of the thread group's leader"),
    "username": Entry(_V, 0, 0, "the user's name", "later"),
    "cpid": Entry(_V, 0, 0, "process id of the command that is traced"),
    "has_cpid": Entry(_V, 0, 0, "whether a command is traced", "compiling"),
    "cgroup": Entry(_V, 0, 0, "id of the process's cgroup (version 2)"),
    "curtask": Entry(_V, 0, 0, "the current task_struct"),
    # time and processor
    "nsecs": Entry(_V, 0, 1, "a clock in nanoseconds: boot (default), monotonic, tai, sw_tai"),
    "elapsed": Entry(_V, 0, 0, "nanoseconds since the tracer began"),
    "jiffies": Entry(_V, 0, 0, "the kernel's jiffies"),
    "time": Entry(_S, 0, 1, "print the time of day", "later"),
    "strftime": Entry(_F, 2, 2, "a time as text", "later"),
    "cpu": Entry(_V, 0, 0, "the processor's number"),
    "ncpus": Entry(_V, 0, 0, "how many processors there are"),
    "numaid": Entry(_V, 0, 0, "the memory node's number"),
    "rand": Entry(_V, 0, 0, "a random number of 32 bits"),
    # arguments and context
    "args": Entry(_V, 0, 0, "the arguments, by name"),
    "retval": Entry(_V, 0, 0, "what the function returns"),
    "func": Entry(_V, 0, 0, "the traced function's name"),
    "probe": Entry(_V, 0, 0, "the attach point, written out"),
    "probetype": Entry(_V, 0, 0, "the attach point's provider"),
    "ctx": Entry(_V, 0, 0, "the iterator's context"),
    "reg": Entry(_F, 1, 1, "a register by name"),
    "usermode": Entry(_V, 0, 0, "1 in user mode, 0 in the kernel"),
    # stacks and symbols
    "kstack": Entry(_V, 0, 2, "the kernel's stack"),
    "ustack": Entry(_V, 0, 2, "the user's stack"),
    "dw_ustack": Entry(_V, 0, 2, "the user's stack, unwound by debug information"),
    "ksym": Entry(_F, 1, 1, "name of the kernel function at an address", "later"),
    "usym": Entry(_F, 1, 1, "name of the user's function at an address", "later"),
    "kaddr": Entry(_F, 1, 1, "address of a kernel symbol", "compiling"),
    "uaddr": Entry(_F, 1, 1, "address of the binary's symbol", "compiling"),
    "percpu_kaddr": Entry(_F, 1, 2, "address of a per-processor kernel symbol"),
    # strings and memory
    "str": Entry(_F, 1, 2, "the string at an address"),
    "buf": Entry(_F, 1, 2, "bytes at an address"),
    "strlen": Entry(_F, 1, 1, "a string's length"),
    "strcap": Entry(_F, 1, 1, "a string's room"),
    "strncmp": Entry(_F, 3, 3, "compare the first n bytes of strings: 0 is equal"),
    "strstr": Entry(_F, 2, 2, "where a string stands in another one, or -1"),
    "strcontains": Entry(_F, 2, 2, "whether a string stands in another one"),
    "str_concat": Entry(_F, 2, 3, "two strings after one another"),
    "globmatch": Entry(_F, 2, 2, "whether a pattern matches a string"),
    "strerror": Entry(_F, 1, 1, "an error number's text"),
    "len": Entry(_F, 1, 1, "how many entries a map has, or frames a stack"),
    "memcmp": Entry(_F, 3, 3, "compare the first n bytes: 0 is equal"),
    "bswap": Entry(_F, 1, 1, "a number with its bytes reversed"),
    "join": Entry(_S, 1, 2, "print an array of strings", "later"),
    "kptr": Entry(_F, 1, 1, "a pointer into the kernel's memory"),
    "uptr": Entry(_F, 1, 1, "a pointer into the user's memory"),
    "container_of": Entry(_F, 3, 3, "the struct that a member stands in"),
    "default_str_length": Entry(_F, 0, 0, "how long strings may be", "compiling"),
    # network
    "ntop": Entry(_F, 1, 2, "an IP address as text", "later"),
    "pton": Entry(_F, 1, 1, "the bytes of an IP address", "compiling"),
    "macaddr": Entry(_F, 1, 1, "a hardware address as text", "later"),
    "skboutput": Entry(_F, 4, 4, "write a packet into a pcap file", "later", kernel="5.5"),
    "socket_cookie": Entry(_F, 1, 1, "a socket's own number"),
    # files and cgroups
    "path": Entry(_F, 1, 2, "a struct path as text", kernel="5.10"),
    "cat": Entry(_S, 1, MANY, "print a file", "later"),
    "cgroupid": Entry(_F, 1, 1, "a cgroup's id by its path", "compiling"),
    "cgroup_path": Entry(_F, 1, 2, "a cgroup's path by its id", "later"),
    # maps
    "clear": Entry(_S, 1, 1, "remove all entries of a map", "later"),
    "zero": Entry(_S, 1, 1, "set all entries of a map to zero", "later"),
    "delete": Entry(_F, 1, 2, "remove an entry of a map"),
    "has_key": Entry(_F, 2, 2, "whether a map has an entry"),
    "find": Entry(_F, 3, 3, "whether a map has an entry, and its value into a variable"),
    # output
    "print": Entry(_S, 1, 3, "print a value, or a map's largest entries, divided", "later"),
    "printf": Entry(_S, 1, MANY, "print by a format", "later"),
    "errorf": Entry(_S, 1, MANY, "print an error by a format", "later"),
    "warnf": Entry(_S, 1, MANY, "print a warning by a format", "later"),
    "system": Entry(_S, 1, MANY, "run a command", "later", unsafe=True),
    "debugf": Entry(_S, 1, MANY, "write into the kernel's trace pipe"),
    # names
    "signal_name": Entry(_F, 1, 1, "a signal number's name"),
    "syscall_name": Entry(_F, 1, 1, "a system call number's name"),
    # control
    "exit": Entry(_S, 0, 1, "end the tracer, with a code", "later"),
    "fail": Entry(_S, 1, MANY, "end compilation where it is reached", "compiling"),
    "assert": Entry(_S, 2, 2, "end the tracer with an error unless it holds", "later"),
    "assert_str": Entry(_S, 1, 1, "end compilation unless it is like a string", "compiling"),
    "static_assert": Entry(_S, 2, 2, "end compilation unless it holds", "compiling"),
    "signal": Entry(_S, 1, 1, "send a signal to the process", unsafe=True),
    "signal_thread": Entry(_S, 1, 1, "send a signal to the thread", unsafe=True),
    "override": Entry(_S, 1, 1, "return from the traced function at once", unsafe=True, kernel="4.16"),
    "write_user": Entry(_F, 2, 3, "write into the process's memory", unsafe=True),
    "unwatch": Entry(_S, 1, 1, "end a watchpoint", "later"),
    # what the system has, what an expression is
    "kfunc_exist": Entry(_F, 1, 1, "whether the kernel has a kfunc", "compiling"),
    "kfunc_allowed": Entry(_F, 1, 1, "whether this probe may call a kfunc", "compiling"),
    "getopt": Entry(_F, 1, 3, "a named parameter of the command line", "compiling"),
    "is_str": Entry(_C, 1, 1, "whether it is a string", "compiling"),
    "is_ptr": Entry(_C, 1, 1, "whether it is a pointer", "compiling"),
    "is_array": Entry(_C, 1, 1, "whether it is an array", "compiling"),
    "is_integer": Entry(_C, 1, 1, "whether it is a number", "compiling"),
    "is_unsigned_integer": Entry(_C, 1, 1, "whether it is a number without sign", "compiling"),
    "is_literal": Entry(_C, 1, 1, "whether it is a literal", "compiling"),
    # what maps gather
    "count": Entry(_M, 0, 0, "how often"),
    "sum": Entry(_M, 1, 1, "the sum"),
    "avg": Entry(_M, 1, 1, "the average"),
    "min": Entry(_M, 1, 1, "the least"),
    "max": Entry(_M, 1, 1, "the greatest"),
    "stats": Entry(_M, 1, 1, "count, average and total"),
    "hist": Entry(_M, 1, 2, "a histogram by powers of two"),
    "lhist": Entry(_M, 4, 4, "a histogram with even steps"),
    "tseries": Entry(_M, 3, 4, "values over time"),
}

MAP_KINDS = ("hash", "lruhash", "percpuhash", "percpulruhash")

_ARGUMENT = Entry(_V, 0, 0, "the Nth argument")


def entry(name: str) -> Entry | None:
    """The library's entry of a name, `arg0`, `arg1`, ... among them."""
    found = LIBRARY.get(name)
    if found is None and name.startswith("arg") and name[3:].isdigit() and name.isascii():
        return _ARGUMENT
    return found

"""What resolving an attach point gives: sites. One program is compiled for each, and attached wherever the site
says."""
from __future__ import annotations

from bpfwright._typing import NamedTuple
from bpfwright.facets.trace.plan import Attachment
from bpfwright.facets.trace.types import Type

__all__ = ["Argument", "Site"]


class Argument(NamedTuple):
    """One argument. `how` says where it is, `place` the offset or number there:

    | how | place |
    |---|---|
    | context | offset in bytes in the program's context |
    | dynamic | offset of a __data_loc word in the context |
    | word | number of the 64-bit word in the context |
    | words | number of the first of the words that a struct is, in the context |
    | register | offset of the register in pt_regs, which the context is |
    | syscall | offset of the register in the pt_regs that raw_tp sys_enter is given |
    | number | nothing: the system call's number |
    | pointer | offset in the context of a pointer that the verifier knows |
    | usdt | `detail` is the argument as the note writes it, `place` how far its symbol is from the probe |
    | stack | bytes above the stack pointer, at a function's entry |
    | registers | `detail` holds the offsets in pt_regs of the words of a struct |
    | nowhere | `detail` says why it cannot be read |
    """

    name: str
    type: Type
    how: str
    place: int = 0
    detail: str = ""


class Site(NamedTuple):
    """Places that one program can serve.

    `provider` is the word before the first colon, `kind` the kind of program: special, raw_tp, tracepoint, tp_btf,
    syscalls, perf_event, kprobe, uprobe, usdt, fentry, fexit, iter. `section` is the program's ELF section. `space`:
    where plain numbers point, kernel or user. `arguments` are `args`, `numbered` are arg0, arg1, ... (`words` of them),
    `result` is `retval`. `registers`: the context begins with pt_regs. `shown` is the attach point in full, `function`
    what `func` says. Where several places are served, `index_by` says how the program finds which one it is: by its
    attachment's cookie, or by the system call's number; `index` is the only place's otherwise. `calls` are the numbers
    of
    the system calls that a program serves, each with its index, `names` what `probe` says for each.
    """

    provider: str
    kind: str
    section: str
    shown: str
    attachments: tuple[Attachment, ...] = ()
    space: str = "kernel"
    function: str = ""
    arguments: tuple[Argument, ...] = ()
    numbered: tuple[Argument, ...] = ()
    words: int = 0
    result: Argument | None = None
    registers: bool = False
    index: int = 0  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    index_by: str = ""
    calls: tuple[tuple[int, int], ...] = ()
    names: tuple[str, ...] = ()

    @property
    def left_out(self) -> bool:
        """Whether it stands for a probe that has no place here."""
        return self.kind == "kprobe" and not self.attachments

"""Attaching programs where a plan says."""
from __future__ import annotations

from struct import pack

from bpfwright._typing import Any, Callable
from bpfwright.facets.trace.plan import CHILD, Attachment, Plan

__all__ = ["attach", "in_turn", "pinned_at", "subjects"]

_SOFTWARE, _CPU_CLOCK, _BREAKPOINT, _ITERATOR = 1, 0, 5, 28
_LAST_FIRST = frozenset({"uprobe", "perf_event", "trampoline", "bpf_trampoline"})
"""Hooks whose list the kernel adds to at its head: kernel/events/uprobes.c, kernel/bpf/trampoline.c, the software
events of kernel/events/core.c."""
_ALL_BELOW = 2  # BPF_CGROUP_ITER_DESCENDANTS_PRE


def in_turn(attachments: tuple[Attachment, ...]) -> list[Attachment]:
    """The order to attach them in, so that probes of one place run in the script's order: some hooks run first what was
    attached last."""
    return [one for one in attachments if not _is_last_first(one)] \
        + [one for one in reversed(attachments) if _is_last_first(one)]


def _is_last_first(one: Attachment) -> bool:
    """Kprobes are such a list too; those of returns are called in the opposite order of what was entered."""
    if one.how in ("kprobe", "kprobe_multi"):
        return not one.where[2 if one.how == "kprobe" else 0]
    return one.how in _LAST_FIRST


def attach(machine: Any, program: Any, attachment: Attachment, child: int = -1) -> Any:
    """The link; `child` is the process that a plan calls CHILD. Raises what the machine raises: TargetError,
    NotSupported, PrivilegeError, KernelError."""
    if CHILD in attachment.where:
        attachment = attachment._replace(where=tuple(child if each == CHILD else each for each in attachment.where))
    return _WAYS[attachment.how](machine, program, attachment)


def _tracepoint(machine: Any, program: Any, attachment: Attachment) -> Any:
    category, name = attachment.where
    return machine.tracepoint(program, category, name, attachment.cookie)


def _raw_tracepoint(machine: Any, program: Any, attachment: Attachment) -> Any:
    return machine.raw_tracepoint(program, attachment.where[0], attachment.cookie)


def _btf_tracepoint(machine: Any, program: Any, attachment: Attachment) -> Any:
    return machine.raw_tracepoint(program, "")


def _trampoline(machine: Any, program: Any, attachment: Attachment) -> Any:
    return machine.raw_tracepoint(program, "", attachment.cookie)


def _clock(machine: Any, program: Any, attachment: Attachment, cpus: list[int] | None, pid: int) -> Any:
    unit, count = attachment.where[:2]
    return machine.count(program, _SOFTWARE, _CPU_CLOCK, count, frequency=unit == "hz", cpus=cpus, pid=pid)


def _interval(machine: Any, program: Any, attachment: Attachment) -> Any:
    from bpfwright.kernel.cpus import online_cpus
    return _clock(machine, program, attachment, online_cpus()[:1], -1)


def _profile(machine: Any, program: Any, attachment: Attachment) -> Any:
    return _clock(machine, program, attachment, None, int(attachment.where[2]))


def _perf_event(machine: Any, program: Any, attachment: Attachment) -> Any:
    kind, config, count, pid = attachment.where
    return machine.count(program, kind, config, count, pid=pid, name=attachment.probe.split(":")[1])


def _watchpoint(machine: Any, program: Any, attachment: Attachment) -> Any:
    address, length, mode, pid = attachment.where
    return machine.count(program, _BREAKPOINT, 0, 1, pid=pid, config1=address, config2=length, breakpoint=mode)


def _kprobe(machine: Any, program: Any, attachment: Attachment) -> Any:
    function, offset, ret = attachment.where
    return machine.kprobe(program, function, offset=offset, ret=bool(ret), cookie=attachment.cookie)


def _kprobe_multi(machine: Any, program: Any, attachment: Attachment) -> Any:
    ret, first_cookie, *functions = attachment.where
    cookies = [int(first_cookie) + at for at in range(len(functions))] if int(first_cookie) >= 0 else ()
    return machine.kprobe_multi(program, functions, ret=bool(ret), cookies=cookies)


def _uprobe(machine: Any, program: Any, attachment: Attachment) -> Any:
    path, offset, ret, pid, semaphore = attachment.where
    return machine.uprobe(program, path, offset, ret=bool(ret), pid=pid, semaphore=semaphore, cookie=attachment.cookie)


def _iterator(machine: Any, program: Any, attachment: Attachment) -> Any:
    pin, kind = attachment.where
    info = pack("=IIQ", _ALL_BELOW, 0, 0) if kind == "cgroup" else b""
    link = machine.link(program, _ITERATOR, iterator_info=info)
    if pin:
        try:
            link.pin(pinned_at(str(pin)))
        except BaseException:
            link.close()
            raise
    return link


def pinned_at(pin: str) -> str:
    """The path that a pin means."""
    from bpfwright.kernel.mounts import bpffs
    return pin if pin.startswith("/") else f"{bpffs()}/{pin}"


def subjects(plan: Plan) -> dict[str, tuple[Any, str]]:
    """The running BPF programs that the plan's trampolines are for, as `Machine.load(replaces=...)` wants them. What
    they hold is closed by the caller: `close` of each."""
    found: dict[str, tuple[Any, str]] = {}
    for one in plan.attachments:
        if one.how == "bpf_trampoline":
            number, function = one.where
            found[one.program] = (_Running(int(number)), str(function))
    return found


class _Running:
    """A running program, by a descriptor of our own."""

    def __init__(self, number: int) -> None:
        from bpfwright._abi import bpf as B
        from bpfwright.errors import KernelError, TargetError
        from bpfwright.kernel import sys
        try:
            self.fd = sys.fd_by_id(B.BPF_PROG_GET_FD_BY_ID, number)
        except KernelError:
            raise TargetError(f"BPF program {number} has ended", cure="`bpfwright ps` lists those that run.") from None

    def close(self) -> None:
        """Let it go."""
        import os
        os.close(self.fd)


_WAYS: dict[str, Callable[[Any, Any, Attachment], Any]] = {
    "tracepoint": _tracepoint, "raw_tracepoint": _raw_tracepoint, "btf_tracepoint": _btf_tracepoint,
    "interval": _interval, "profile": _profile, "perf_event": _perf_event, "watchpoint": _watchpoint,
    "kprobe": _kprobe, "kprobe_multi": _kprobe_multi, "uprobe": _uprobe, "trampoline": _trampoline,
    "bpf_trampoline": _trampoline, "iter": _iterator,
}

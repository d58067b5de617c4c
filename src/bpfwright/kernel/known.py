"""What the compiler asks of this kernel: each thing is tried when somebody wants to know it first, and then kept.

Who may load nothing is refused everything: what he was told is kept for his like only.
"""
from __future__ import annotations

import os

from bpfwright import _cache
from bpfwright._typing import Any, Callable, Iterator

__all__ = ["KnownFeatures"]

_FORMAT = b"8"
_ASKED_OF: dict[str, Callable[[Any], Any]] = {
    "may_goto": lambda features: features.named("may_goto"),
    "iter_num": lambda features: features.named("open-coded iterators"),
    "bpf_loop": lambda features: features.named("bpf_loop"),
    "tracing_timers": lambda features: features.named("timers in tracing"),
    "atomics": lambda features: features.named("atomics"),
    "coarse_clock": lambda features: features.helper(6, 160),  # XDP, bpf_ktime_get_coarse_ns
    "task_registers": lambda features: features.helper(17, 175),  # raw tracepoints, bpf_task_pt_regs
    "current_task_btf": lambda features: features.helper(17, 158),  # raw tracepoints, bpf_get_current_task_btf
}
_OF_PROBES: dict[str, Callable[[Any], Any]] = {
    "kprobe_multi": lambda features: features.attach_type(2, 42),  # kprobes, BPF_TRACE_KPROBE_MULTI
    "fentry": lambda features: features.attach_type(26, 24),  # tracing programs, BPF_TRACE_FENTRY
    "cookies": lambda features: features.helper(2, 174),  # kprobes, bpf_get_attach_cookie
}


def _privilege() -> bytes:
    """The effective capabilities, and the user namespace that they are of."""
    with open("/proc/self/status", "rb") as status:
        held = next((line for line in status if line.startswith(b"CapEff")), b"")
    try:
        return held + os.readlink("/proc/self/ns/user").encode()
    except OSError:
        return held


class KnownFeatures:
    """The features of lang.target as this kernel has them, a set that fills itself: `in` asks the kernel once per
    kernel and user. To iterate over it asks for all that code depends on, which takes its type information.
    """

    __slots__ = ("_answers", "_cache", "_key", "_machine")

    def __init__(self, machine: Any) -> None:
        self._machine = machine
        self._cache = _cache.default()
        host = os.uname()
        self._key = _cache.key_of(b"features", _FORMAT, host.release.encode(), host.version.encode(),
                                  str(os.geteuid()).encode(), _privilege())
        self._answers = self._kept()

    def _kept(self) -> dict[str, bool]:
        found = self._cache.get(self._key) or b""
        return {name: works == "1" for name, _, works in (word.partition("=") for word in found.decode().split())}

    @property
    def empty(self) -> bool:
        """Whether nothing has been asked before on this kernel."""
        return not self._answers

    def __contains__(self, name: object) -> bool:
        if name in self._answers:
            return self._answers[str(name)]
        ask = _ASKED_OF.get(str(name)) or _OF_PROBES.get(str(name))
        return ask is not None and self._noted(str(name), bool(ask(self._machine.features).works))

    def _noted(self, name: str, works: bool) -> bool:
        self._answers = {**self._kept(), **self._answers, name: works}
        self._cache.put(self._key, " ".join(f"{each}={works:d}" for each, works in self._answers.items()).encode())
        return works

    def __iter__(self) -> Iterator[str]:
        return iter([name for name in _ASKED_OF if name in self])

    def __len__(self) -> int:
        return sum(1 for _ in self)

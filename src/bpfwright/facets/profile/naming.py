"""From what the kernel counted to stacks of names: of the kernel, of each process, and what is said about a stack."""
from __future__ import annotations

import numpy as np

from bpfwright._typing import Iterable, NamedTuple
from bpfwright.facets.profile.cpython import EVALUATOR
from bpfwright.facets.profile.model import Frame, Options, Stack
from bpfwright.facets.profile.pythons import ENTRY
from bpfwright.stacks.processes import Processes
from bpfwright.stacks.unwinding import MARKS
from bpfwright.symbols import KernelSymbols

__all__ = ["Count", "Naming", "RawStack", "merged"]

# What stands on the stack because of us, innermost, where a tracepoint and not the clock took it.
_OURS = ("bpf_prog_", "bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_get_stack", "__bpf_get_stack",
         "__probestub_", "__perf_event_task_sched", "perf_trace_")
_ENDED = Frame("[a process that ended before it was looked at]", "mark")
_LOST = Frame("[lost: no room for its stack]", "mark")


class RawStack(NamedTuple):
    """Addresses, innermost first, and what the program noted."""

    addresses: tuple[int, ...]
    flags: int


class Count(NamedTuple):
    """One of the kernel's counters."""

    comm: str
    pid: int
    life: int
    kernel: int
    user: int
    python: int
    weight: int


class _Names:
    """Addresses of one space that have frames already."""

    def __init__(self) -> None:
        self.frames: dict[int, Frame] = {}

    def missing(self, addresses: Iterable[int]) -> list[int]:
        return sorted({address for address in addresses if address not in self.frames})


class Naming:
    """Gathers counts into named stacks.

    `processes` are to be seen as soon as they are known, so that they may end; `fold` what was counted, as often as one
    likes.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._kernel: KernelSymbols | None = None
        self._kernel_names = _Names()
        self.processes = Processes()
        self._names: dict[tuple[int, int], _Names] = {}
        self._codes: dict[tuple[int, int, int], Frame] = {}
        self.stacks: dict[Stack, int] = {}
        self.samples_unknown = 0
        self.samples_cut = 0
        self.samples_unseen = 0
        self.notes: dict[str, None] = {}

    def know(self, pid: int, life: int, code: int, frame: Frame) -> None:
        """What the kernel has read of a code object."""
        self._codes[pid, life, code] = frame

    # folding

    def fold(self, counts: list[Count], stacks: dict[int, RawStack]) -> None:
        """Add counts whose stacks are all among `stacks`."""
        self._resolve_kernel(stacks[c.kernel] for c in counts if c.kernel in stacks)
        by_process: dict[tuple[int, int], list[RawStack]] = {}
        for count in counts:
            if count.user in stacks:
                by_process.setdefault((count.pid, count.life), []).append(stacks[count.user])
        for key, raw in by_process.items():
            self._resolve_process(key, raw)
        for count in counts:
            self._add(count, stacks)

    def _add(self, count: Count, stacks: dict[int, RawStack]) -> None:
        key = (count.pid, count.life)
        frames = [Frame(count.comm, "process")]
        user, kernel = self._half(count.user, stacks), self._half(count.kernel, stacks)
        if user is _NO_ROOM or kernel is _NO_ROOM:
            frames.append(_LOST)
        frames += self._with_python(count, self._user(key, user), self._half(count.python, stacks))
        frames += reversed([self._kernel_names.frames[a] for a in _calls(kernel)])
        stack = tuple(_without_us(frames) if self._options.off_cpu else frames)
        self.stacks[stack] = self.stacks.get(stack, 0) + count.weight
        weight = 1 if self._options.off_cpu else count.weight
        self.samples_unknown += weight * any(not frame.known for frame in stack)
        self.samples_cut += weight * bool(user.flags)
        self.samples_unseen += weight * (_ENDED in stack)

    def _user(self, key: tuple[int, int], raw: RawStack) -> list[Frame]:
        if not raw.addresses:
            return []
        marks = [Frame(text, "mark") for bit, text in MARKS.items() if raw.flags & bit]
        if self.processes.get(*key) is None:
            return [*marks, _ENDED]
        names = self._names[key].frames
        return [*marks, *reversed([names[address] for address in _calls(raw)])]

    def _with_python(self, count: Count, native: list[Frame], raw: RawStack) -> list[Frame]:
        """Native frames with those of Python where the interpreter's loop runs them."""
        if not raw.addresses:
            return native
        names = [self._codes.get((count.pid, count.life, address & ~ENTRY), _NO_CODE) for address in raw.addresses]
        return merged(native, [(name, bool(address & ENTRY)) for name, address in zip(names, raw.addresses,
                                                                                      strict=True)])

    @staticmethod
    def _half(number: int, stacks: dict[int, RawStack]) -> RawStack:
        if number == 0:
            return _NONE
        return stacks.get(number, _NO_ROOM)

    # names

    def _resolve_kernel(self, raw: Iterable[RawStack]) -> None:
        missing = self._kernel_names.missing(address for stack in raw for address in _calls(stack))
        if not missing:
            return
        if self._kernel is None:
            self._kernel = KernelSymbols()
        resolved = self._kernel.resolve(missing)
        for place, address in enumerate(missing):
            symbol = resolved[place]
            self._kernel_names.frames[address] = Frame(symbol.name or "[unknown]", "kernel",
                                                       f"[{symbol.module}]" if symbol.module else "")

    def _resolve_process(self, key: tuple[int, int], raw: list[RawStack]) -> None:
        symbols = self.processes.see(*key)
        if symbols is None:
            return
        names = self._names.setdefault(key, _Names())
        missing = names.missing(address for stack in raw for address in _calls(stack))
        resolved = symbols.resolve(np.array(missing, dtype=np.uint64))
        frames = [_user_frame(name, module) for name, module in zip(resolved.names, resolved.modules, strict=True)]
        for address, which in zip(missing, resolved.which.tolist(), strict=True):
            names.frames[address] = frames[which]
        for path, why in symbols.problems.items():
            if path != "[vdso]":  # of a process that has ended
                self.notes[f"no symbols of {path}: {why}"] = None


def merged(native: list[Frame], python: list[tuple[Frame, bool]]) -> list[Frame]:
    """Native frames, outermost first, and Python's, innermost first, each with whether C called it.

    Each run of the interpreter's loop is replaced by the Python functions that it ran, which end with the one that C
    called. Python frames of loops that the native stack does not have (it was cut) stand outermost; a loop that Python
    does not have, for it is about to begin or has ended, is innermost and stays what it is.
    """
    waiting = list(python)
    found: list[Frame] = []  # innermost first
    loops = sum(frame.name.startswith(EVALUATOR) for frame in native)
    early = loops - sum(called_by_c for _, called_by_c in python) - (not python[-1][1])
    for frame in reversed(native):
        if not frame.name.startswith(EVALUATOR) or not waiting:
            found.append(frame)
            continue
        early -= 1
        if early >= 0:
            found.append(frame)
            continue
        while waiting:
            name, called_by_c = waiting.pop(0)
            found.append(name)
            if called_by_c:
                break
    outermost = next((at for at in range(len(found), 0, -1) if found[at - 1].kind != "mark"), 0)
    found[outermost:outermost] = [name for name, _ in waiting]
    return found[::-1]


_NO_CODE = Frame("[unknown]", "python")
_NONE, _NO_ROOM = RawStack((), 0), RawStack((), 0)


def _calls(raw: RawStack) -> tuple[int, ...]:
    """Where calls were made from: all but the innermost address are those that calls return to, and 0 ends a chain."""
    return raw.addresses[:1] + tuple(address - 1 for address in raw.addresses[1:] if address)


def _user_frame(name: str, module: str) -> Frame:
    if module == "[jit]":
        return Frame(name, "jit", module)
    return Frame(name or f"[{module.strip('[]').rpartition('/')[2]}]", "user", module)


def _without_us(frames: list[Frame]) -> list[Frame]:
    """Without the innermost frames that are our own program's."""
    last = len(frames)
    while last > 1 and frames[last - 1].kind == "kernel" and frames[last - 1].name.startswith(_OURS):
        last -= 1
    return frames[:last]

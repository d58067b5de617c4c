"""Perf events that run programs: tracepoints, probes, sampling."""
from __future__ import annotations

import errno
import fcntl
import os
from struct import pack

from bpfwright._abi import bpf as B
from bpfwright._abi import perf as P
from bpfwright.errors import BpfwrightError, KernelError, NotSupported, TargetError, UsageError
from bpfwright.kernel import sys
from bpfwright.kernel.cpus import online_cpus
from bpfwright.kernel.link import EventLink
from bpfwright.spec.machine import LoadedProgram

__all__ = ["attach", "counting_events", "kprobe_event", "open_event", "sampling_events", "tracepoint_event",
           "uprobe_event"]

_FREQUENCY = 1 << 10        # sample_period is a frequency
_INHERIT = 1 << 1      # inherit: threads that the process makes later are counted too
_DEVICES = "/sys/bus/event_source/devices"


def open_event(kind: int, config: int, *, config1: int = 0, config2: int = 0, period: int = 1, flags: int = 0,
               sample_type: int = 0, pid: int = -1, cpu: int = 0, wakeup: int = 1, breakpoint: int = 0) -> int:
    """perf_event_open with the attributes that programs need."""
    attributes = pack("=IIQQQQQIIQQ", kind, P.PERF_ATTR_SIZE_VER5, config, period, sample_type, 0, flags, wakeup,
                      breakpoint, config1, config2).ljust(P.PERF_ATTR_SIZE_VER5, b"\0")
    try:
        return sys.perf_event_open(attributes, pid, cpu)
    except KernelError as error:
        if error.errno in (errno.EPERM, errno.EACCES):
            from bpfwright.kernel.explain import privilege_error
            raise privilege_error("opening a perf event", error, B.BPF_PROG_TYPE_PERF_EVENT) from None
        raise


def tracepoint_event(number: int) -> int:
    """The event of a tracepoint: one descriptor serves all CPUs, for BPF hangs on the tracepoint itself."""
    return open_event(P.PERF_TYPE_TRACEPOINT, number, sample_type=P.PERF_SAMPLE_RAW)


def _device(name: str, since: str) -> int:
    try:
        with open(f"{_DEVICES}/{name}/type", encoding="ascii") as file:
            return int(file.read())
    except OSError:
        raise NotSupported(f"this kernel has no {name}s", since=since,
                           why=f"{_DEVICES}/{name} is missing: it was built without them") from None


def kprobe_event(function: str, offset: int, ret: bool) -> int:
    """The event of a kernel function (or of `offset` bytes into it)."""
    device = _device("kprobe", "4.17")
    name = os.fsencode(function) + b"\0"
    try:
        return open_event(device, int(ret), config1=sys.address(name), config2=offset)
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.EADDRNOTAVAIL, errno.EINVAL, errno.EILSEQ):
            raise TargetError(f"kernel function {function!r} cannot be probed",
                              why="no instruction begins there" if error.errno == errno.EILSEQ else
                              "several functions have that name" if error.errno == errno.EADDRNOTAVAIL else
                              "it is not there, inlined, or excluded from probing",
                              cure="/proc/kallsyms lists the functions of this kernel.") from None
        raise


def uprobe_event(path: str, offset: int, ret: bool, pid: int, semaphore: int) -> int:
    """The event of an instruction in a file that is executed."""
    device = _device("uprobe", "4.17")
    if not os.path.exists(path):
        raise TargetError(f"there is no file {path!r}")
    name = os.fsencode(path) + b"\0"
    try:
        return open_event(device, int(ret) | semaphore << 32, config1=sys.address(name), config2=offset, pid=pid,
                          cpu=0 if pid < 0 else -1)
    except KernelError as error:
        if error.errno == errno.ESRCH:
            raise TargetError(f"process {pid} is not there") from None
        if error.errno in (errno.EINVAL, errno.EIO, errno.ENOTSUP, 524, errno.ENOEXEC):
            raise TargetError(f"{path} cannot be probed at {offset:#x}",
                              why="no instruction begins there, or it is one that cannot be probed") from None
        raise


def sampling_events(hz: int, pid: int) -> list[int]:
    """Events of the CPU clock, `hz` times a second: on every CPU, or on every thread of a process."""
    try:
        return _everywhere(P.PERF_TYPE_SOFTWARE, P.PERF_COUNT_SW_CPU_CLOCK, hz, _FREQUENCY, pid)
    except KernelError as error:
        if error.errno == errno.EINVAL:
            raise UsageError(f"{hz} samples a second are refused", why="the kernel's limit stands in "
                             "/proc/sys/kernel/perf_event_max_sample_rate") from None
        raise


def counting_events(kind: int, config: int, period: int, *, name: str, frequency: bool = False, pid: int = -1,
                    cpus: list[int] | None = None, config1: int = 0, config2: int = 0,
                    breakpoint: int = 0) -> list[int]:
    """Events that fire each `period` counts (or so many times a second), on each of `cpus` (None: all), or of the
    threads of a process, those that it makes later among them; `name` is for errors. A `breakpoint` (HW_BREAKPOINT_R,
    _W, _X) is at the address `config1`, `config2` bytes long."""
    flags = (_FREQUENCY if frequency else 0) | (_INHERIT if pid >= 0 else 0)
    try:
        return _everywhere(kind, config, period, flags, pid, cpus, config1, config2, breakpoint)
    except KernelError as error:
        if error.errno == errno.ENOSPC:
            raise TargetError("the processor has no breakpoint left",
                              why="it watches a few addresses at a time: four on x86-64",
                              cure="Watch fewer, or end what watches some: a debugger, a script.") from None
        if error.errno in (errno.ENOENT, errno.EOPNOTSUPP) and breakpoint:
            raise NotSupported("this machine does not watch addresses",
                               why="its processor, or what it is a guest of, has no such registers") from None
        if error.errno in (errno.ENOENT, errno.EOPNOTSUPP):
            raise NotSupported(f"{name} cannot be counted here",
                               why="the processor has no such counter, or its virtual machine hides it",
                               cure="Use the CPU clock: profile:hz:99, say.") from None
        if error.errno == errno.EINVAL:
            raise UsageError(f"the kernel refuses {name}", why="its period or address is out of bounds") from None
        raise


def _everywhere(kind: int, config: int, period: int, flags: int, pid: int, cpus: list[int] | None = None,
                config1: int = 0, config2: int = 0, breakpoint: int = 0) -> list[int]:
    if pid >= 0:
        try:
            targets = [(int(task), -1) for task in os.listdir(f"/proc/{pid}/task")]
        except OSError:
            raise TargetError(f"process {pid} is not there") from None
    else:
        targets = [(-1, cpu) for cpu in (cpus if cpus is not None else online_cpus())]
    events: list[int] = []
    try:
        for task, cpu in targets:
            try:
                events.append(open_event(kind, config, config1=config1, config2=config2, period=period, flags=flags,
                                         pid=task, cpu=cpu, breakpoint=breakpoint))
            except KernelError as error:
                # A CPU may go offline, a thread end, between listing and opening.
                if error.errno not in (errno.ESRCH, errno.ENODEV):
                    raise
    except BpfwrightError:
        for fd in events:
            sys.close_quietly(fd)
        raise
    if not events:
        raise TargetError(f"process {pid} has ended" if pid >= 0 else "no CPU can be sampled")
    return events


def attach(program: LoadedProgram, events: list[int], description: str, cookie: int = 0) -> EventLink:
    """Run a program on events, which belong to the link from now on, also when this fails."""
    held: list[int] = list(events)
    try:
        for event in events:
            link = _attach_one(program, event, cookie)
            if link >= 0:
                held.append(link)
    except BaseException:
        for fd in held:
            sys.close_quietly(fd)
        raise
    return EventLink(description, held)


def _attach_one(program: LoadedProgram, event: int, cookie: int) -> int:
    try:
        return sys.link_create(program.fd, event, B.BPF_PERF_EVENT, extra=pack("=Q", cookie))
    except KernelError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, 524):
            raise
        failure = error
    if cookie:
        raise NotSupported("cookies of probes", since="5.15", why="this kernel has no perf links")
    try:
        fcntl.ioctl(event, P.PERF_EVENT_IOC_SET_BPF, program.fd)
        fcntl.ioctl(event, P.PERF_EVENT_IOC_ENABLE, 0)
    except OSError as error:
        raise KernelError(f"attaching {program.spec.name!r}", error.errno or failure.errno or 22,
                          why=os.strerror(error.errno or 0)) from None
    return -1

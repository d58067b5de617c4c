"""Attaches programs: the newest way first, older ones where the kernel refuses it, and errors that say why."""
from __future__ import annotations

import _socket
import errno
import os
from struct import pack

from bpfwright._abi import bpf as B
from bpfwright._typing import Sequence
from bpfwright.errors import BpfwrightError, KernelError, NotSupported, TargetError, UsageError
from bpfwright.kernel import sys
from bpfwright.kernel.link import BpfLink, UndoLink
from bpfwright.kernel.netlink import Netlink, interface_index
from bpfwright.spec.machine import Link, LoadedProgram

__all__ = ["attach_cgroup", "attach_classifier", "attach_error", "attach_link", "attach_raw_tracepoint",
           "attach_socket_filter", "attach_xdp"]

_UNKNOWN = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTSUP, 524)
_SO_ATTACH_BPF, _SO_DETACH_FILTER, _SOL_SOCKET = 50, 27, 1


def attach_error(what: str, program: LoadedProgram, error: KernelError) -> BpfwrightError:
    """The error of an attachment that the kernel refused."""
    number = error.errno or 0
    what = f"program {program.spec.name!r} was not attached to {what}"
    if number == errno.EPERM:
        from bpfwright.kernel.explain import privilege_error
        return privilege_error(what, error, program.spec.type)
    if number == errno.ENODEV:
        return TargetError(what, why="the interface has gone")
    if number in (errno.ENOENT, errno.ESRCH):
        return TargetError(what, why="the target is not there")
    if number in (errno.EOPNOTSUPP, 524):
        return NotSupported(what, why="this kernel, or this driver, cannot do it")
    if number in (errno.EBUSY, errno.EEXIST):
        return KernelError(what, number, why="another program is there already",
                           cure="`bpfwright ps` lists what is attached, and by whom.")
    return KernelError(what, number, why=error.why or os.strerror(number))


def attach_link(program: LoadedProgram, attach_type: int, target: int, flags: int, extra: bytes,
                description: str = "") -> BpfLink:
    """BPF_LINK_CREATE."""
    description = description or f"attach type {attach_type}"
    try:
        return BpfLink(sys.link_create(program.fd, target, attach_type, flags, extra), description)
    except KernelError as error:
        if error.errno in _UNKNOWN:
            from bpfwright.kernel.features import Features
            verdict = Features().attach_type(program.spec.type, attach_type)
            if not verdict.works:
                raise NotSupported(f"program {program.spec.name!r} was not attached: this kernel has no {verdict.name}",
                                   since=verdict.since, why=verdict.why) from None
        raise attach_error(description, program, error) from None


def attach_raw_tracepoint(program: LoadedProgram, name: str, cookie: int) -> BpfLink:
    """BPF_RAW_TRACEPOINT_OPEN; programs with a BTF target and a cookie need BPF_LINK_CREATE."""
    description = f"raw tracepoint {name}" if name else program.spec.section or program.spec.attach_to
    try:
        if cookie and not name:
            return BpfLink(sys.link_create(program.fd, 0, program.spec.expected_attach_type,
                                           extra=pack("=I4xQ", 0, cookie)), description)
        return BpfLink(sys.raw_tracepoint_open(program.fd, name, cookie), description)
    except KernelError as error:
        if error.errno == errno.ENOENT and name:
            raise TargetError(f"there is no raw tracepoint {name!r}") from None
        if error.errno == errno.EINVAL and cookie:
            raise NotSupported("cookies of raw tracepoints", since="6.10") from None
        raise attach_error(description, program, error) from None


# Many probes at once

def attach_kprobe_multi(program: LoadedProgram, functions: Sequence[str], ret: bool,
                        cookies: Sequence[int]) -> BpfLink:
    """BPF_TRACE_KPROBE_MULTI."""
    _same_count("cookies", cookies, functions)
    names = [os.fsencode(function) + b"\0" for function in functions]
    pointers = pack(f"={len(names)}Q", *map(sys.address, names))
    values = pack(f"={len(cookies)}Q", *cookies)
    extra = pack("=IIQQQ", int(ret), len(names), sys.address(pointers), 0, sys.address(values) if cookies else 0)
    try:
        return BpfLink(sys.link_create(program.fd, 0, B.BPF_TRACE_KPROBE_MULTI, 0, extra),
                       f"{len(names)} kernel functions")
    except KernelError as error:
        if error.errno == errno.ESRCH:
            raise TargetError("not all of the kernel functions are there", why=", ".join(functions[:5])) from None
        raise _multi_error(program, B.BPF_TRACE_KPROBE_MULTI, f"{len(names)} kernel functions", error) from None


def attach_uprobe_multi(program: LoadedProgram, path: str, offsets: Sequence[int], ret: bool, pid: int,
                        semaphores: Sequence[int], cookies: Sequence[int]) -> BpfLink:
    """BPF_TRACE_UPROBE_MULTI."""
    _same_count("cookies", cookies, offsets)
    _same_count("semaphores", semaphores, offsets)
    if not os.path.exists(path):
        raise TargetError(f"there is no file {path!r}")
    name = os.fsencode(path) + b"\0"
    columns = [pack(f"={len(column)}Q", *column) for column in (offsets, semaphores, cookies)]
    places = [sys.address(column) if column else 0 for column in columns]
    extra = pack("=QQQQIII4x", sys.address(name), *places, len(offsets), int(ret), pid)
    what = f"{len(offsets)} places of {path}"
    try:
        return BpfLink(sys.link_create(program.fd, 0, B.BPF_TRACE_UPROBE_MULTI, 0, extra), what)
    except KernelError as error:
        raise _multi_error(program, B.BPF_TRACE_UPROBE_MULTI, what, error) from None


def _same_count(what: str, values: Sequence[int], targets: Sequence[object]) -> None:
    if values and len(values) != len(targets):
        raise UsageError(f"{len(values)} {what} for {len(targets)} targets")


def _multi_error(program: LoadedProgram, attach_type: int, what: str, error: KernelError) -> BpfwrightError:
    from bpfwright.kernel.features import Features
    verdict = Features().attach_type(program.spec.type, attach_type)
    if not verdict.works:
        return NotSupported(f"program {program.spec.name!r} was not attached to {what}", since=verdict.since,
                            why=f"{verdict.name}: {verdict.why}")
    return attach_error(what, program, error)


# XDP

_MODES = {"native": B.XDP_FLAGS_DRV_MODE, "generic": B.XDP_FLAGS_SKB_MODE}


def attach_xdp(program: LoadedProgram, interface: str, mode: str) -> Link:
    """XDP by a link; `auto` is native where the driver can, generic otherwise."""
    if mode not in ("auto", *_MODES):
        raise UsageError(f"XDP mode {mode!r} is unknown", cure="Say auto, native or generic.")
    ifindex = interface_index(interface)
    failure: KernelError | None = None
    for name in ("native", "generic") if mode == "auto" else (mode,):
        description = f"XDP of {interface} ({name})"
        try:
            return BpfLink(sys.link_create(program.fd, ifindex, B.BPF_XDP, _MODES[name]), description)
        except KernelError as error:
            failure = error
        if failure.errno in _UNKNOWN and not _links_exist():
            try:
                return _xdp_by_netlink(program, ifindex, _MODES[name], description)
            except KernelError as error:
                failure = error
        if failure.errno not in _UNKNOWN:
            break
    assert failure
    if failure.errno == errno.EBUSY:
        with Netlink() as netlink:
            _, number = netlink.xdp_state(ifindex)
        raise KernelError(f"program {program.spec.name!r} was not attached to XDP of {interface}", errno.EBUSY,
                          why=f"program number {number} is there already, and an interface has room for one",
                          cure="Detach it first, or let both be called by one dispatcher.") from None
    if failure.errno in _UNKNOWN and mode == "native":
        raise NotSupported(f"the driver of {interface} has no native XDP", why=failure.why,
                           cure='Attach with mode="generic"; large frames need @xdp.program(frags=True).') from None
    raise attach_error(f"XDP of {interface}", program, failure) from None


def _links_exist() -> bool:
    """The kernel attaches XDP by links (5.9), and so everything else that this file falls back for."""
    from bpfwright.kernel.features import Features
    return Features().named("XDP links").works


def _xdp_by_netlink(program: LoadedProgram, ifindex: int, flags: int, description: str) -> UndoLink:
    with Netlink() as netlink:
        netlink.set_xdp(ifindex, program.fd, flags | B.XDP_FLAGS_UPDATE_IF_NOEXIST)
    held = [os.dup(program.fd)]

    def undo() -> None:
        try:
            with Netlink() as netlink:
                netlink.set_xdp(ifindex, -1, flags, held[0])     # only ours: another may have come
        finally:
            os.close(held[0])

    def replace(new: LoadedProgram) -> None:
        with Netlink() as netlink:
            netlink.set_xdp(ifindex, new.fd, flags, held[0])
        os.dup2(new.fd, held[0], inheritable=False)

    return UndoLink(f"{description}, by netlink: it outlives a killed process", undo, replace)


# tc

def attach_classifier(program: LoadedProgram, interface: str, ingress: bool) -> Link:
    """tcx where the kernel has it (6.6), a clsact filter otherwise."""
    ifindex = interface_index(interface)
    side = "ingress" if ingress else "egress"
    try:
        attach_type = B.BPF_TCX_INGRESS if ingress else B.BPF_TCX_EGRESS
        return BpfLink(sys.link_create(program.fd, ifindex, attach_type), f"tc {side} of {interface} (tcx)")
    except KernelError as error:
        if error.errno not in _UNKNOWN:
            raise attach_error(f"tc {side} of {interface}", program, error) from None
    try:
        return clsact_filter(program, interface, ifindex, ingress)
    except KernelError as error:
        raise attach_error(f"tc {side} of {interface}", program, error) from None


def clsact_filter(program: LoadedProgram, interface: str, ifindex: int, ingress: bool) -> UndoLink:
    """A direct-action filter on the clsact qdisc, which is added when missing and removed again when left empty."""
    name = f"bpfwright:{program.spec.name}"
    side = "ingress" if ingress else "egress"
    with Netlink() as netlink:
        added = netlink.add_clsact(ifindex)
        try:
            handle, priority = netlink.set_filter(ifindex, ingress, program.fd, name)
        except BaseException:
            if added:
                netlink.delete_clsact(ifindex)
            raise

    def undo() -> None:
        with Netlink() as netlink:
            netlink.delete_filter(ifindex, ingress, handle, priority)
            if added and not netlink.filters(ifindex, True) and not netlink.filters(ifindex, False):
                netlink.delete_clsact(ifindex)

    def replace(new: LoadedProgram) -> None:
        with Netlink() as netlink:
            netlink.set_filter(ifindex, ingress, new.fd, f"bpfwright:{new.spec.name}", handle=handle, priority=priority)

    return UndoLink(f"tc {side} of {interface} (clsact filter {name}: it outlives a killed process)", undo, replace)


# cgroups and sockets

def attach_cgroup(program: LoadedProgram, path: str, attach_type: int) -> Link:
    """By a link (5.7), or by BPF_PROG_ATTACH beside others."""
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TargetError(f"there is no cgroup {path!r}", why=os.strerror(error.errno or 0)) from None
    description = f"cgroup {path}"
    try:
        link = sys.link_create(program.fd, directory, attach_type)
    except KernelError as error:
        try:
            if error.errno == errno.EBADF:
                raise TargetError(f"{path} is not in a cgroup2 tree",
                                  why="BPF programs attach to the unified tree only",
                                  cure="`mount -t cgroup2` shows where it stands.") from None
            if error.errno not in _UNKNOWN or _links_exist():
                raise attach_error(description, program, error) from None
            return _cgroup_without_link(program, directory, attach_type, description)
        except BaseException:
            os.close(directory)
            raise
    os.close(directory)
    return BpfLink(link, description)


def _cgroup_without_link(program: LoadedProgram, directory: int, attach_type: int, description: str) -> UndoLink:
    try:
        sys.prog_attach(directory, program.fd, attach_type, B.BPF_F_ALLOW_MULTI)
    except KernelError as error:
        raise attach_error(description, program, error) from None
    held = os.dup(program.fd)

    def undo() -> None:
        try:
            sys.prog_detach(directory, held, attach_type)
        finally:
            os.close(directory)
            os.close(held)

    return UndoLink(f"{description}, without a link: it outlives a killed process", undo)


def attach_socket_filter(program: LoadedProgram, socket_fd: int) -> Link:
    """SO_ATTACH_BPF; it ends with the socket."""
    try:
        socket = _socket.socket(fileno=os.dup(socket_fd))
    except OSError as error:
        raise TargetError(f"descriptor {socket_fd} is no socket", why=os.strerror(error.errno or 0)) from None

    def attach(new: LoadedProgram) -> None:
        try:
            socket.setsockopt(_SOL_SOCKET, _SO_ATTACH_BPF, new.fd)
        except OSError as error:
            failure = KernelError("", error.errno or errno.EINVAL)
            raise attach_error(f"socket {socket_fd}", new, failure) from None

    def undo() -> None:
        try:
            socket.setsockopt(_SOL_SOCKET, _SO_DETACH_FILTER, 0)
        except OSError:
            pass            # it was replaced or removed meanwhile
        finally:
            socket.close()

    try:
        attach(program)
    except BaseException:
        socket.close()
        raise
    return UndoLink(f"socket {socket_fd}", undo, attach)

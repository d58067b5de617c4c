"""The Kernel machine: loads objects into the running kernel and attaches their programs."""
from __future__ import annotations

import os
from struct import pack

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Mapping, Self, Sequence
from bpfwright.errors import KernelError
from bpfwright.kernel import sys
from bpfwright.kernel.loader import KernelObject, Loader
from bpfwright.kernel.map import KernelMap
from bpfwright.spec.objects import MapSpec, ObjectSpec

if TYPE_CHECKING:
    from bpfwright.formats.btf.relocate import Relocator
    from bpfwright.kernel.features import Features
    from bpfwright.kernel.journal import Journal
    from bpfwright.kernel.link import BpfLink, EventLink
    from bpfwright.kernel.types import KernelTypes
    from bpfwright.spec.machine import Link, LoadedMap, LoadedProgram

__all__ = ["Kernel"]


class Kernel:
    """The running Linux kernel as a Machine (see spec.machine).

    `token` names a bpffs that delegates privilege to this process (a BPF token, since 6.9).

        with Kernel() as machine, machine.load(read(data)) as loaded:
            print(loaded.programs["firewall"].test_run(packet).value)
    """

    def __init__(self, *, token: str = "") -> None:
        self._types: KernelTypes | None = None
        self._statistics = -1
        self._token = _token(token) if token else 0

    @property
    def types(self) -> KernelTypes:
        """The kernel's type information, opened at the first use."""
        if self._types is None:
            from bpfwright.kernel.types import KernelTypes
            self._types = KernelTypes()
        return self._types

    @property
    def features(self) -> Features:
        """What this kernel can do, found by trying."""
        from bpfwright.kernel.features import Features
        return Features(self.types)

    def close(self) -> None:
        """Give back what the machine itself holds; objects and links close on their own."""
        types, self._types = self._types, None
        if types:
            types.close()
        statistics, self._statistics = self._statistics, -1
        token, self._token = self._token, 0
        for fd in (statistics, token):
            if fd > 0:
                sys.close_quietly(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Loading

    def load(self, spec: ObjectSpec, *, programs: frozenset[str] | None = None,
             maps: Mapping[str, LoadedMap] | None = None, pins: str = "",
             replaces: Mapping[str, tuple[LoadedProgram, str]] | None = None,
             journal: Journal | None = None) -> KernelObject:
        """Load an object; see spec.machine.Machine.load. Raises VerifierError, PrivilegeError, NotSupported.

        `pins` is a directory of bpffs: maps declared to be pinned by name are adopted from it or pinned there; without
        it they are not. `replaces` gives, for programs of type EXT, the program and function that they replace.
        `journal` is told what is done.
        """
        def relocator() -> Relocator:
            from bpfwright.formats.btf.relocate import Relocator
            return Relocator(spec.btf, self.types.vmlinux, self.types.modules)
        return Loader(spec, self.types, relocator, token_fd=self._token, pins=pins,
                      replaces=replaces or {}, journal=journal).load(programs, maps)

    def create_map(self, spec: MapSpec) -> KernelMap:
        """One map by itself."""
        return self.load(ObjectSpec((), (), (spec,))).maps[spec.name]

    def keep_statistics(self) -> None:
        """Count runs and time of all programs while this machine is open (BPF_ENABLE_STATS, since 5.8)."""
        if self._statistics < 0:
            try:
                self._statistics = sys.enable_stats()
            except KernelError as error:
                from bpfwright.kernel.explain import privilege_error
                raise privilege_error("switching statistics on", error) from None

    # Attaching

    def link(self, program: LoadedProgram, attach_type: int, *, target: int = 0, flags: int = 0,
             btf_id: int = 0, iterator_info: bytes = b"", cookie: int = 0, extra: bytes = b"") -> BpfLink:
        """BPF_LINK_CREATE; see spec.machine.Machine.link."""
        from bpfwright.kernel.attach import attach_link
        if iterator_info:
            extra = pack("=QI4x", sys.address(iterator_info), len(iterator_info))
        elif attach_type == B.BPF_PERF_EVENT and cookie:
            extra = pack("=Q", cookie)
        elif btf_id or cookie:
            extra = pack("=I4xQ", btf_id, cookie)
        return attach_link(program, attach_type, target, flags, extra, program.spec.section)

    def raw_tracepoint(self, program: LoadedProgram, name: str, cookie: int = 0) -> BpfLink:
        """A raw tracepoint by name, or the BTF target that the program names."""
        from bpfwright.kernel.attach import attach_raw_tracepoint
        return attach_raw_tracepoint(program, name, cookie)

    def tracepoint(self, program: LoadedProgram, category: str, name: str, cookie: int = 0) -> EventLink:
        """A perf tracepoint event, on every CPU."""
        from bpfwright.kernel import perf
        event = perf.tracepoint_event(self.event_id(category, name))
        return self._events(program, [event], f"tracepoint {category}:{name}", cookie)

    def kprobe(self, program: LoadedProgram, function: str, *, offset: int = 0, ret: bool = False,
               cookie: int = 0) -> EventLink:
        """A kernel function's entry (or an instruction in it), or its return."""
        from bpfwright.kernel import perf
        event = perf.kprobe_event(function, offset, ret)
        return self._events(program, [event], f"{'kretprobe' if ret else 'kprobe'} {function}", cookie)

    def uprobe(self, program: LoadedProgram, path: str, offset: int, *, ret: bool = False, pid: int = -1,
               semaphore: int = 0, cookie: int = 0) -> EventLink:
        """An instruction in a file, or the return of the function that begins there; of one process or all."""
        from bpfwright.kernel import perf
        event = perf.uprobe_event(path, offset, ret, pid, semaphore)
        return self._events(program, [event], f"{'uretprobe' if ret else 'uprobe'} {path}+{offset:#x}", cookie)

    def kprobe_multi(self, program: LoadedProgram, functions: Sequence[str], *, ret: bool = False,
                     cookies: Sequence[int] = ()) -> BpfLink:
        """Many kernel functions by one link (since 5.18); `cookies` one each, or none."""
        from bpfwright.kernel.attach import attach_kprobe_multi
        return attach_kprobe_multi(program, functions, ret, cookies)

    def uprobe_multi(self, program: LoadedProgram, path: str, offsets: Sequence[int], *, ret: bool = False,
                     pid: int = 0, semaphores: Sequence[int] = (), cookies: Sequence[int] = ()) -> BpfLink:
        """Many instructions of a file by one link (since 6.6); of one process or all (pid 0)."""
        from bpfwright.kernel.attach import attach_uprobe_multi
        return attach_uprobe_multi(program, path, offsets, ret, pid, semaphores, cookies)

    def netfilter(self, program: LoadedProgram, family: int, hook: int, priority: int, *,
                  defragment: bool = False) -> BpfLink:
        """A netfilter hook (since 6.4): `family` NFPROTO_IPV4 (2) or NFPROTO_IPV6 (10), `hook` NF_INET_*."""
        from bpfwright.kernel.attach import attach_link
        extra = pack("=IIiI", family, hook, priority, int(defragment))
        return attach_link(program, B.BPF_NETFILTER, 0, 0, extra, f"netfilter family {family}, hook {hook}")

    def sample(self, program: LoadedProgram, *, hz: int, pid: int = -1) -> EventLink:
        """The CPU clock `hz` times a second, on every CPU or the threads that a process has now."""
        from bpfwright.kernel import perf
        where = f"process {pid}" if pid >= 0 else "every CPU"
        return self._events(program, perf.sampling_events(hz, pid), f"{hz} samples a second of {where}", 0)

    def count(self, program: LoadedProgram, kind: int, config: int, period: int, *, name: str = "",
              frequency: bool = False, pid: int = -1, cpus: list[int] | None = None, config1: int = 0,
              config2: int = 0, breakpoint: int = 0) -> EventLink:
        """A perf event each `period` counts, or so many times a second: `kind` and `config` as perf_event_open has
        them, on `cpus` (None: all) or the threads of a process; `name` is what people call it."""
        from bpfwright.kernel import perf
        called = name or f"perf event {kind}:{config}"
        events = perf.counting_events(kind, config, period, name=called, frequency=frequency, pid=pid, cpus=cpus,
                                      config1=config1, config2=config2, breakpoint=breakpoint)
        where = f"process {pid}" if pid >= 0 else "every CPU" if cpus is None else f"CPU {', '.join(map(str, cpus))}"
        return self._events(program, events, f"each {period} {called} of {where}", 0)

    @staticmethod
    def _events(program: LoadedProgram, events: list[int], description: str, cookie: int) -> EventLink:
        from bpfwright.kernel import perf
        try:
            return perf.attach(program, events, description, cookie)
        except KernelError as error:
            from bpfwright.kernel.attach import attach_error
            raise attach_error(description, program, error) from None

    def xdp(self, program: LoadedProgram, interface: str, mode: str = "auto") -> Link:
        """An interface's XDP hook; the link's description says which mode it became."""
        from bpfwright.kernel.attach import attach_xdp
        return attach_xdp(program, interface, mode)

    def classifier(self, program: LoadedProgram, interface: str, *, ingress: bool) -> Link:
        """tcx where the kernel has it, a clsact filter otherwise."""
        from bpfwright.kernel.attach import attach_classifier
        return attach_classifier(program, interface, ingress)

    def cgroup(self, program: LoadedProgram, path: str, attach_type: int) -> Link:
        """A cgroup of the unified tree, by path."""
        from bpfwright.kernel.attach import attach_cgroup
        return attach_cgroup(program, path, attach_type)

    def socket_filter(self, program: LoadedProgram, socket_fd: int) -> Link:
        """A socket, by descriptor."""
        from bpfwright.kernel.attach import attach_socket_filter
        return attach_socket_filter(program, socket_fd)

    def iterate(self, link: BpfLink) -> bytes:
        """All that an iterator's program writes, in one go."""
        import os
        fd = sys.iter_create(link.fd)
        parts = []
        try:
            while chunk := os.read(fd, 1 << 16):
                parts.append(chunk)
        except OSError as error:
            raise KernelError("reading the iterator", error.errno or 5, why=os.strerror(error.errno or 5)) from None
        finally:
            os.close(fd)
        return b"".join(parts)

    # Facts

    def prototype(self, kind: str, name: str) -> list[tuple[str, str]] | None:
        """See spec.machine.Machine.prototype; remembered per kernel, since finding it reads all of its types."""
        import json

        from bpfwright import _cache
        host = os.uname()
        cache = _cache.default()
        key = _cache.key_of(*(p.encode() for p in ("prototype", "1", host.release, host.version, kind, name)))
        found = cache.get(key)
        if found is None:
            from bpfwright.kernel.prototypes import prototype
            found = json.dumps(prototype(self.types, kind, name)).encode()
            cache.put(key, found)
        return [(parameter, struct) for parameter, struct in json.loads(found)]

    def events(self, category: str) -> list[tuple[str, str]]:
        """(category, name) of the tracepoints of a group, or of every group that a wildcard matches."""
        from fnmatch import fnmatchcase

        from bpfwright.kernel import tracepoints
        groups = [g for g in tracepoints.categories() if fnmatchcase(g, category)] or [category]
        return [(group, name) for group in groups for name in tracepoints.events(group)]

    def event_id(self, category: str, name: str) -> int:
        """The number of a tracepoint."""
        from bpfwright.kernel.tracepoints import event_id
        return event_id(category, name)

    def event_format(self, category: str, name: str) -> str:
        """The text of a tracepoint's `format` file."""
        from bpfwright.kernel.tracepoints import event_format
        return event_format(category, name)


def _token(path: str) -> int:
    """A BPF token of the bpffs at `path`."""
    import os

    from bpfwright.errors import NotSupported, TargetError
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise TargetError(f"there is no bpffs at {path!r}", why=os.strerror(error.errno or 0)) from None
    try:
        return sys.token_create(directory)
    except KernelError as error:
        if error.errno == 22:
            raise NotSupported("BPF tokens", since="6.9", why=f"or {path} is no bpffs") from None
        if error.errno in (1, 2, 95):
            raise NotSupported(f"{path} delegates nothing to this process",
                               why="tokens come from a bpffs that was mounted with delegate_* options for this user "
                                   "namespace") from None
        raise
    finally:
        os.close(directory)

"""Loads an object: type information, maps, then each program linked, relocated and checked by the verifier."""
from __future__ import annotations

import errno
import os
from struct import pack

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Callable, Mapping, Self
from bpfwright.errors import FormatError, KernelError, RelocationError, UsageError
from bpfwright.kernel import sys
from bpfwright.kernel.cpus import possible_cpus
from bpfwright.spec.linking import UNTYPED_MAPS, Linked, Reference, link, reachable
from bpfwright.kernel.map import KernelMap, descriptor_value
from bpfwright.kernel.program import KernelProgram
from bpfwright.kernel.typeload import function_type, load_types
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec

if TYPE_CHECKING:
    from bpfwright.formats.btf.relocate import Relocator
    from bpfwright.kernel.journal import Journal
    from bpfwright.kernel.types import KernelTypes
    from bpfwright.spec.machine import LoadedMap, LoadedProgram

__all__ = ["KernelObject", "Loader"]

_FIRST_LOG, _LAST_LOG = 1 << 16, (1 << 24) - 1     # old kernels take no larger log
_BTF_TARGET = frozenset({B.BPF_PROG_TYPE_TRACING, B.BPF_PROG_TYPE_LSM, B.BPF_PROG_TYPE_EXT})
_FIELDS_OF_THE_KERNEL = tuple(b"\0" + name + b"\0" for name in (
    b"bpf_spin_lock", b"bpf_res_spin_lock", b"bpf_timer", b"bpf_wq", b"bpf_list_head", b"bpf_rb_root", b"bpf_task_work",
    b"kptr", b"kptr_untrusted", b"percpu_kptr"))
_STORAGE = frozenset({B.BPF_MAP_TYPE_SK_STORAGE, B.BPF_MAP_TYPE_INODE_STORAGE, B.BPF_MAP_TYPE_TASK_STORAGE,
                      B.BPF_MAP_TYPE_CGRP_STORAGE})


class KernelObject:
    """One object's programs and maps in the kernel; closing it closes all that it opened."""

    __slots__ = ("_borrowed", "maps", "programs", "spec")

    def __init__(self, spec: ObjectSpec, borrowed: frozenset[str]) -> None:
        self.spec = spec
        self.programs: dict[str, KernelProgram] = {}
        self.maps: dict[str, KernelMap] = {}
        self._borrowed = borrowed

    def close(self) -> None:
        """Close programs and maps; what is attached or pinned lives on in the kernel."""
        for program in self.programs.values():
            program.close()
        for name, loaded in self.maps.items():
            if name not in self._borrowed:
                loaded.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Loader:
    """One load. `btf` types of the running kernel are read only when the object asks for them."""

    def __init__(self, spec: ObjectSpec, types: KernelTypes, relocator: Callable[[], Relocator], *,
                 token_fd: int = 0, pins: str = "", replaces: Mapping[str, tuple[LoadedProgram, str]] | None = None,
                 journal: Journal | None = None) -> None:
        if spec.big_endian != (pack("=H", 1) == b"\0\1"):
            raise FormatError("the object is of the other byte order", cure="Compile it for this machine: bpfel is "
                              "little-endian, bpfeb big-endian.")
        self.spec = spec
        self.types = types
        self._make_relocator = relocator
        self._relocator: Relocator | None = None
        self.token_fd = token_fd
        self.pins = pins
        self.replaces = replaces or {}
        self.journal = journal
        self.functions = {function.name: function for function in spec.functions}
        self.references: dict[tuple[str, str], Reference] = {}
        self.resolved: dict[str, bytes] = {}
        self.btf_fd = 0
        self.fd_array: list[int] = [0]

    def load(self, programs: frozenset[str] | None, maps: Mapping[str, LoadedMap] | None) -> KernelObject:
        """See spec.machine.Machine.load; whatever fails, nothing stays open."""
        wanted = self._wanted(programs)
        given = maps or {}
        unknown = given.keys() - {spec.name for spec in self.spec.maps}
        if unknown:
            raise UsageError(f"the object has no map {', '.join(sorted(unknown))}")
        loaded = KernelObject(self.spec, frozenset(given))
        try:
            if self.spec.btf:
                self.btf_fd = load_types(self.spec.btf, self.token_fd)
                if self.journal is not None:
                    self.journal.types(len(self.spec.btf), bool(self.btf_fd))
            for spec in self.spec.maps:
                loaded.maps[spec.name] = self._given_or_new(spec, given)
                if self.journal is not None:
                    self.journal.map(spec, loaded.maps[spec.name].fd)
                fd = loaded.maps[spec.name].fd
                self.references["map", spec.name] = Reference(B.BPF_PSEUDO_MAP_FD, fd)
                self.references["data", spec.name] = Reference(B.BPF_PSEUDO_MAP_VALUE, fd)
            self._resolve_externs(wanted, loaded)
            self._fill_maps(loaded)
            for program in wanted:
                loaded.programs[program.name] = self._program(program)
                if self.journal is not None:
                    self.journal.loaded(program, loaded.programs[program.name].fd)
            self._fill_program_arrays(loaded)
        except BaseException:
            loaded.close()
            raise
        finally:
            if self.btf_fd:
                os.close(self.btf_fd)
        return loaded

    def _wanted(self, names: frozenset[str] | None) -> list[ProgramSpec]:
        if names is None:
            return [program for program in self.spec.programs if program.autoload]
        unknown = names - {program.name for program in self.spec.programs}
        if unknown:
            raise UsageError(f"the object has no program {', '.join(sorted(unknown))}")
        return [program for program in self.spec.programs if program.name in names]

    # Maps

    def _given_or_new(self, spec: MapSpec, given: Mapping[str, LoadedMap]) -> KernelMap:
        if spec.name in given:
            return _checked(given[spec.name], spec)
        path = f"{self.pins}/{spec.name}" if self.pins and spec.pin_by_name else ""
        if path and os.path.exists(path):
            adopted = KernelMap.pinned(path)
            try:
                return _checked(adopted, spec)
            except UsageError:
                adopted.close()
                raise
        created = self._map(spec)
        try:
            if path:
                created.pin(path)
        except BaseException:
            created.close()
            raise
        return created

    def _map(self, spec: MapSpec) -> KernelMap:
        if spec.type == B.BPF_MAP_TYPE_PERF_EVENT_ARRAY and not spec.max_entries:
            spec = spec._replace(max_entries=possible_cpus())
        inner = self._map(self._pattern(spec.inner, bool(spec.initial))) if spec.inner else None
        try:
            fd = self._create(spec, inner.fd if inner else 0)
        finally:
            if inner:
                inner.close()
        result = KernelMap(fd, spec)
        try:
            if spec.contents:
                result.update(b"\0\0\0\0", spec.contents)
            if spec.frozen:
                result.freeze()
        except BaseException:
            result.close()
            raise
        return result

    def _pattern(self, inner: MapSpec, given: bool) -> MapSpec:
        """What a map of maps takes its inner maps' shape from: without types, as those that are made later have none.

        Up to Linux 6.2 one with types takes none without (timer_off of bpf_map_meta_equal()). With types stay those of
        the object itself, `given` in it, and those whose values the kernel knows the fields of.
        """
        if given or any(name in self.spec.btf for name in _FIELDS_OF_THE_KERNEL):
            return inner
        return inner._replace(key_type_id=0, value_type_id=0)

    def _create(self, spec: MapSpec, inner_fd: int) -> int:
        typed = self.btf_fd and spec.type not in UNTYPED_MAPS and (spec.key_type_id or spec.value_type_id)
        for attempt in ((True, False) if typed and spec.type not in _STORAGE else (bool(typed),)):
            try:
                return sys.map_create(
                    spec.type, spec.key_size, spec.value_size, spec.max_entries, flags=spec.flags,
                    name=spec.data_section or spec.name, inner_fd=inner_fd, numa_node=spec.numa_node,
                    btf_fd=self.btf_fd if attempt else 0, key_type=spec.key_type_id if attempt else 0,
                    value_type=spec.value_type_id if attempt else 0, map_extra=spec.map_extra, token_fd=self.token_fd)
            except KernelError as error:
                failure = error
        _check_room(failure)
        from bpfwright.kernel.explain import map_error
        raise map_error(spec, failure)

    def _fill_maps(self, loaded: KernelObject) -> None:
        for spec in self.spec.maps:
            if spec.type in (B.BPF_MAP_TYPE_ARRAY_OF_MAPS, B.BPF_MAP_TYPE_HASH_OF_MAPS):
                for slot, name in spec.initial:
                    if name not in loaded.maps:
                        raise RelocationError(f"map {spec.name!r} is to hold {name!r}, which is no map")
                    loaded.maps[spec.name].update(pack("=I", slot), descriptor_value(loaded.maps[name].fd))

    def _fill_program_arrays(self, loaded: KernelObject) -> None:
        for spec in self.spec.maps:
            if spec.type == B.BPF_MAP_TYPE_PROG_ARRAY:
                for slot, name in spec.initial:
                    if name in loaded.programs:
                        loaded.maps[spec.name].update(pack("=I", slot), descriptor_value(loaded.programs[name].fd))

    # Programs

    def _resolve_externs(self, wanted: list[ProgramSpec], loaded: KernelObject) -> None:
        """The kernel's side of every extern that a wanted program reaches."""
        names = {name for program in wanted for name in reachable(program.function, self.functions)}
        used = {(relocation.kind, relocation.name) for name in names
                for relocation in self.functions[name].relocations if relocation.kind in ("kfunc", "extern")}
        if used:
            from bpfwright.kernel.externs import Externs
            externs = Externs(self.spec, self.types, self.fd_array)
            self.references.update(externs.resolve(used))
            if externs.config is not None:
                loaded.maps[".kconfig"] = kconfig = self._map(externs.config)
                for name, offset in externs.config_places.items():
                    self.references["extern", name] = Reference(B.BPF_PSEUDO_MAP_VALUE, kconfig.fd, offset)
        for name in names:
            function = self.functions[name]
            self.resolved[name] = self._relocated(function) if function.core_relocations else function.insns

    def _relocated(self, function: Function) -> bytes:
        if self._relocator is None:
            self._relocator = self._make_relocator()
        return self._relocator.apply(function.name, function.insns, function.core_relocations)

    def _program(self, spec: ProgramSpec) -> KernelProgram:
        if not spec.type:
            raise UsageError(f"section {spec.section!r} does not say what kind of program {spec.name!r} is",
                             cure="Give its type: read(data, types={section: (type, attach_type)}).")
        linked = link(spec.function, self.functions, self.resolved, self.references)
        attributes = sys.ProgramLoad(spec.type, bytes(linked.insns), self.spec.license, spec.name)
        values = attributes.values
        values["flags"] = spec.flags | (B.BPF_F_TOKEN_FD if self.token_fd else 0)
        values["expected_attach_type"] = spec.expected_attach_type
        values["kern_version"] = self.spec.kernel_version
        values["token_fd"] = self.token_fd
        if self.btf_fd and linked.function_info:
            values.update(btf_fd=self.btf_fd, func_info_rec_size=8, func_info=attributes.keep(linked.function_info),
                          func_info_cnt=len(linked.function_info) // 8)
            if linked.line_info:
                values.update(line_info_rec_size=16, line_info=attributes.keep(linked.line_info),
                              line_info_cnt=len(linked.line_info) // 16)
        if len(self.fd_array) > 1:
            values["fd_array"] = attributes.keep(pack(f"={len(self.fd_array)}i", *self.fd_array))
        if spec.type in _BTF_TARGET and (spec.attach_to or spec.name in self.replaces):
            self._aim(spec, values)
        if self.journal is not None:
            self.journal.linked(spec, linked, self.functions)
        return KernelProgram(self._send(spec, attributes, linked), spec)

    def _aim(self, spec: ProgramSpec, values: dict[str, int | bytes]) -> None:
        """Name the kernel function, hook or program function that the program is for."""
        if spec.type == B.BPF_PROG_TYPE_EXT or spec.name in self.replaces:
            if spec.name not in self.replaces:
                raise UsageError(f"program {spec.name!r} is for a function of another program",
                                 cure="Say of which: load(..., replaces={name: (program, function)}).")
            program, function = self.replaces[spec.name]
            values.update(attach_prog_fd=program.fd, attach_btf_id=function_type(program.fd, function))
            return
        type_id, module = self.types.attach_target(spec.type, spec.expected_attach_type, spec.attach_to)
        values["attach_btf_id"] = type_id
        if module:
            values["attach_prog_fd"] = self.types.module_fd(module)

    def _send(self, spec: ProgramSpec, attributes: sys.ProgramLoad, linked: Linked) -> int:
        if self.journal is not None and self.journal.verifier:
            fd = self.journal.verified(spec, attributes)
            if fd >= 0:
                return fd
        try:
            return attributes.send()
        except KernelError as error:
            failure = error
        _check_room(failure)
        # Only now the log: with level 1 and a small buffer the kernel fails good programs (ENOSPC). A program that is
        # too large would write a line for each of a million steps, for most of a minute: level 4 has the cause alone.
        fd, text = _logged(attributes, 4) if failure.errno == errno.E2BIG else (-1, "")
        if fd < 0 and "too large" not in text and "too complex" not in text:
            fd, text = _logged(attributes, 1)
        if fd < 0 and text and failure.errno != errno.E2BIG and _silent(text):
            # Kernels before 5.14 keep what they knew of registers for level 2.
            fd, detailed = _logged(attributes, 2)
            text = detailed if "\nprocessed " in detailed else text
        if fd >= 0:
            return fd       # the first failure was a passing one
        from bpfwright.kernel.refusal import load_error     # regular expressions: only failures pay for them
        poisoned = self._relocator.poisoned if self._relocator else {}
        raise load_error(spec, failure, text, linked, self.functions, poisoned)


def _check_room(failure: KernelError) -> None:
    """Out of descriptors, no module could be opened that would say more: say it at once."""
    if failure.errno in (errno.EMFILE, errno.ENFILE):
        raise KernelError(str(failure.what), failure.errno, why="this process (or the machine) has no more descriptors",
                          cure="Raise the limit: `ulimit -n 4096`, or close what is not needed.") from None


def _silent(log: str) -> bool:
    """The log names an instruction, but not what was known there."""
    from bpfwright.kernel.verifier_log import parse
    verdict = parse(log)
    return verdict.instruction >= 0 and not verdict.state


def _logged(attributes: sys.ProgramLoad, level: int) -> tuple[int, str]:
    """(-1, the log), or the descriptor should the load succeed now."""
    size, text = _FIRST_LOG, ""
    while size <= _LAST_LOG:
        log = bytearray(size)
        try:
            return attributes.send(level, log), ""
        except KernelError as error:
            text = log.partition(b"\0")[0].decode("utf-8", "replace")
            # Since 6.4 a full log keeps its end, which is the part that matters.
            if error.errno != errno.ENOSPC or "\nprocessed " in text:
                break
        size = min(size * 4, _LAST_LOG) if size < _LAST_LOG else _LAST_LOG + 1
    return -1, text


def _checked(given: LoadedMap, spec: MapSpec) -> KernelMap:
    """A map that the caller hands in must be one that the program can use."""
    found = given.spec
    if not isinstance(given, KernelMap):
        raise UsageError(f"map {found.name!r} is not a map of the kernel")
    if (found.type, found.key_size, found.value_size) != (spec.type, spec.key_size, spec.value_size):
        raise UsageError(f"map {spec.name!r} cannot be replaced by {found.name!r}",
                         why=f"it has type {spec.type}, keys of {spec.key_size} and values of {spec.value_size} bytes; "
                             f"the other type {found.type}, {found.key_size} and {found.value_size}")
    return given

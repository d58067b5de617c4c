"""Objects of other people's compilers: Debian's own, and C compiled here by clang-14 and ziglang's clang."""
from __future__ import annotations

import glob
import importlib.util
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bpfwright.errors import BpfwrightError, BtfError, NotSupported, VerifierError
from bpfwright.formats.btf import Btf, Kind
from bpfwright.kernel import Kernel
from bpfwright.kernel.externs import kernel_version, symbol_address
from bpfwright.kernel.features import Features
from bpfwright.kernel.loader import KernelObject
from bpfwright.objfile import read, strip_debug
from bpfwright.spec.objects import ObjectSpec

pytestmark = pytest.mark.kernel

SOURCES = Path(__file__).parent.parent / "data" / "objects"
DEBIAN = sorted(glob.glob("/usr/lib/*/bpf/*.o"))
PACKET = bytes(64)
COMPILERS: dict[str, list[str]] = {}
if shutil.which("clang-14"):
    COMPILERS["clang-14"] = ["clang-14"]
if importlib.util.find_spec("ziglang"):
    COMPILERS["ziglang"] = [sys.executable, "-m", "ziglang", "clang"]

pytest_compilers = pytest.mark.parametrize("compiler", COMPILERS or [
    pytest.param("none", marks=pytest.mark.skip(reason="neither clang-14 nor ziglang is installed"))])


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], bytes]:
    """`compiled(compiler, name)`: the object of a source in tests/data/objects, compiled once."""
    folder = tmp_path_factory.mktemp("objects")

    def build(compiler: str, name: str) -> bytes:
        out = folder / f"{name}.{compiler}.o"
        if not out.exists():
            subprocess.run([*COMPILERS[compiler], "-target", "bpf", "-O2", "-g", "-mcpu=v3", "-c",
                            str(SOURCES / f"{name}.c"), "-o", str(out)], check=True, capture_output=True, cwd=folder,
                           env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(folder), "ZIG_LOCAL_CACHE_DIR": str(folder)})
        return out.read_bytes()
    return build


def value_of(loaded: KernelObject, spec: ObjectSpec, name: str) -> int:
    """A global variable's value now, found by the object's own type information."""
    btf = Btf(spec.btf)
    for section in (".bss", ".data", ".rodata"):
        for type_id in btf.find_all(section, Kind.DATASEC):
            for variable in btf.variables(type_id):
                if btf.name(variable.type_id) == name:
                    data = loaded.maps[section].lookup(bytes(4)) or b""
                    return int.from_bytes(data[variable.offset:variable.offset + variable.size], "little")
    raise AssertionError(f"no variable {name}")


def bpftool_loads(path: str) -> bool:
    """Whether libbpf's own tool can load the object here. It pins programs, and maps that ask for it: in a bpffs of its
    own, which goes with its mount namespace."""
    before = set(os.listdir("/sys/fs/bpf"))
    script = 'mount -t bpf none /sys/fs/bpf && exec bpftool prog loadall "$1" /sys/fs/bpf/acceptance'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", path], capture_output=True, check=False)
    assert not [name for name in set(os.listdir("/sys/fs/bpf")) - before if "acceptance" in name]
    return done.returncode == 0


@pytest.mark.skipif(not DEBIAN or not shutil.which("bpftool"), reason="Debian's xdp-tools or bpftool is missing")
@pytest.mark.parametrize("path", DEBIAN, ids=[os.path.basename(path) for path in DEBIAN])
def test_debians_objects_load_where_libbpf_loads_them(path: str) -> None:
    data = Path(path).read_bytes()
    spec = read(data, path)
    assert read(strip_debug(data)) == spec
    if not bpftool_loads(path):
        with pytest.raises(BpfwrightError), Kernel() as machine:
            machine.load(spec)
        return
    with Kernel() as machine, machine.load(spec) as loaded:
        assert loaded.programs
        for program in loaded.programs.values():
            assert 0 <= program.test_run(PACKET).value <= 4


@pytest_compilers
def test_globals_functions_maps_and_callbacks(compiler: str, compiled: Callable[[str, str], bytes]) -> None:
    spec = read(compiled(compiler, "globals"))
    callbacks = Features().named("bpf_loop").works
    names = frozenset(program.name for program in spec.programs if callbacks or program.name != "looping")
    with Kernel() as machine, machine.load(spec, programs=names) as loaded:
        assert loaded.programs["data"].test_run(PACKET).value == 55
        assert value_of(loaded, spec, "zeroed") == 1
        assert loaded.programs["functions"].test_run(PACKET).value == 110
        assert loaded.programs["functions"].test_run(PACKET).value == 111
        assert loaded.programs["maps"].test_run(PACKET).value == 14
        assert loaded.maps["second"].lookup(struct.pack("=I", 1)) == struct.pack("=Q", 3)
        assert loaded.programs["jumping"].test_run(PACKET).value == 77
        assert not callbacks or loaded.programs["looping"].test_run(PACKET).value == 45
        assert [key for key, _ in loaded.maps["entries"].items()] == [struct.pack("=I", 1)]


@pytest_compilers
def test_every_kind_of_core_relocation(compiler: str, compiled: Callable[[str, str], bytes]) -> None:
    spec = read(compiled(compiler, "core"))
    kernel = Btf.open("/sys/kernel/btf/vmlinux")
    task = kernel.find("task_struct", Kind.STRUCT)
    names = frozenset({"fields", "types", "direct", "guarded"})
    with Kernel() as machine, machine.load(spec, programs=names) as loaded:
        def value(name: str) -> int:
            return value_of(loaded, spec, name)

        for name in ("fields", "types"):
            loaded.programs[name].test_run()
        assert value("tgid_offset") == _offset(kernel, task, "tgid") // 8
        assert (value("tgid_size"), value("tgid_signed"), value("tgid_exists")) == (4, 1, 1)
        assert value("missing_exists") == 0
        bit = _offset(kernel, task, "in_iowait")
        start = value("iowait_offset")
        size = value("iowait_size")
        assert size in (1, 2, 4, 8) and start % size == 0
        assert (value("iowait_lshift"), value("iowait_rshift")) == (63 - (bit - 8 * start), 63)
        assert value("tasks_next_offset") == _offset(kernel, task, "tasks") // 8      # `next` comes first there
        header = kernel.find("iphdr", Kind.STRUCT)
        assert (value("ttl_offset"), value("id_offset")) == (
            _offset(kernel, header, "ttl") // 8, _offset(kernel, header, "id") // 8)
        assert (value("type_exists"), value("type_missing"), value("type_size")) == (1, 0, kernel.size(task))
        assert value("target_id") == task
        assert Btf(spec.btf).name(value("local_id")) == "task_struct___ours"
        assert (value("enum_exists"), value("enum_missing"), value("enum_value")) == (1, 0, 1)
        with machine.raw_tracepoint(loaded.programs["direct"], ""):
            time.sleep(0.01)
        assert value("read_tgid") > 0
        assert loaded.programs["guarded"].test_run().value == 5


def _offset(btf: Btf, type_id: int, name: str) -> int:
    for member in btf.members(type_id):
        if member.name == name:
            return member.bit_offset
        if not member.name:
            try:
                return member.bit_offset + _offset(btf, btf.resolve(member.type_id), name)
            except KeyError:
                continue
    raise KeyError(name)


@pytest_compilers
def test_a_field_that_is_not_there_is_named_where_it_is_used(compiler: str,
                                                             compiled: Callable[[str, str], bytes]) -> None:
    spec = read(compiled(compiler, "core"))
    with Kernel() as machine, pytest.raises(VerifierError) as caught:
        machine.load(spec, programs=frozenset({"poisoned"}))
    assert "'no_such_field' of struct task_struct is not in this kernel" in caught.value.reason
    assert caught.value.source and caught.value.file.endswith("core.c")


@pytest_compilers
def test_what_the_kernel_supplies(compiler: str, compiled: Callable[[str, str], bytes]) -> None:
    spec = read(compiled(compiler, "kernel_symbols"))
    kernel = Btf.open("/sys/kernel/btf/vmlinux")
    if not list(kernel.find_all("bpf_task_from_pid", Kind.FUNC)):
        with Kernel() as machine, pytest.raises(NotSupported, match="no function 'bpf_task_from_pid'"):
            machine.load(spec)
        return
    with Kernel() as machine, machine.load(spec, programs=frozenset({"ask"})) as loaded:
        assert loaded.programs["ask"].test_run().value == 3
        assert value_of(loaded, spec, "found") == 2
        assert value_of(loaded, spec, "missing_function") == 1
        assert value_of(loaded, spec, "missing_symbol") == 1
        assert value_of(loaded, spec, "version") == kernel_version()
        assert value_of(loaded, spec, "option") == 0
        assert value_of(loaded, spec, "address") == symbol_address("do_nanosleep")


@pytest_compilers
def test_a_variable_of_the_kernel(compiler: str, compiled: Callable[[str, str], bytes]) -> None:
    spec = read(compiled(compiler, "kernel_symbols"))
    listed = bool(symbol_address("bpf_prog_active"))        # kernels without CONFIG_KALLSYMS_ALL list functions only
    known = next(Btf.open("/sys/kernel/btf/vmlinux").find_all("bpf_prog_active", Kind.VAR), 0)
    if not Features().program_type(31).works:
        return
    with Kernel() as machine:
        if known and not listed:
            with pytest.raises(VerifierError, match="bpf_prog_active") as caught:
                machine.load(spec, programs=frozenset({"variable"}))
            assert "CONFIG_KALLSYMS_ALL" in caught.value.cure
            return
        with machine.load(spec, programs=frozenset({"variable"})) as loaded:
            assert loaded.programs["variable"].test_run().value == 4
            assert value_of(loaded, spec, "typed") == bool(known)


@pytest_compilers
def test_a_function_of_a_loaded_program_is_replaced(compiler: str, compiled: Callable[[str, str], bytes]) -> None:
    replacement = read(compiled(compiler, "replacement"))
    with Kernel() as machine, machine.load(read(compiled(compiler, "globals")),
                                           programs=frozenset({"functions"})) as loaded:
        target = loaded.programs["functions"]
        with pytest.raises(BpfwrightError, match="for a function of another program"):
            machine.load(replacement)
        with pytest.raises(BtfError, match="no func 'nonesuch'"):
            machine.load(replacement, replaces={"replacement": (target, "nonesuch")})
        before = target.test_run(PACKET).value
        try:
            replacing = machine.load(replacement, replaces={"replacement": (target, "global_function")})
        except NotSupported as error:
            assert "program replacements" in str(error)
            assert not Features().program_type(28).works
            return
        with replacing, machine.raw_tracepoint(replacing.programs["replacement"], ""):
            assert target.test_run(PACKET).value >= 1000 > before


@pytest_compilers
def test_legacy_maps_and_sections_that_say_nothing(compiler: str, compiled: Callable[[str, str], bytes]) -> None:
    data = compiled(compiler, "legacy")
    with Kernel() as machine, machine.load(read(data), programs=frozenset({"old"})) as loaded:
        assert loaded.programs["old"].test_run(PACKET).value == 2
        assert loaded.maps["old_hash"].lookup(bytes(4)) == struct.pack("=Q", 9)
    with Kernel() as machine, pytest.raises(BpfwrightError, match="'whatever' does not say"):
        machine.load(read(data), programs=frozenset({"unknown"}))
    with Kernel() as machine, machine.load(read(data, types={"whatever": (6, 37)})) as loaded:
        assert loaded.programs["unknown"].test_run(PACKET).value == 33


@pytest_compilers
def test_a_rejection_names_the_line_of_c(compiler: str, compiled: Callable[[str, str], bytes]) -> None:
    with Kernel() as machine, pytest.raises(VerifierError) as caught:
        machine.load(read(compiled(compiler, "lines")))
    error = caught.value
    assert error.file.endswith("lines.c") and error.line == 10
    assert "return data[20]" in error.source
    assert "packet" in error.cure or "bounds check" in error.cure       # ours, or that of Linux 7.3
    assert any("pointer into the packet" in known or "pkt" in known for known in error.state)

"""Loading into the running kernel: programs, maps, subprograms, rejections, and no descriptor left behind."""
from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from bpfwright._abi import bpf as B
from bpfwright.errors import BtfError, FormatError, KernelError, NotSupported, UsageError, VerifierError
from bpfwright.formats.isa import Instruction, encode
from bpfwright.kernel import Kernel, mounts
from bpfwright.kernel.program import KernelProgram
from bpfwright.kernel.types import KernelTypes
from bpfwright.spec.objects import Extern, Function, LineInfo, MapSpec, ObjectSpec, ProgramSpec, Relocation

pytestmark = pytest.mark.kernel

MOV64K, EXIT, CALL, LDX32, LDIMM64, ADD64X, MOV64X = 0xB7, 0x95, 0x85, 0x61, 0x18, 0x0F, 0xBF
PACKET = bytes(64)


def xdp(*instructions: Instruction, relocations: tuple[Relocation, ...] = (), maps: tuple[MapSpec, ...] = (),
        more: tuple[Function, ...] = (), lines: tuple[LineInfo, ...] = ()) -> ObjectSpec:
    main = Function("main", encode(instructions), relocations, lines=lines)
    return ObjectSpec((ProgramSpec("main", "main", "xdp", B.BPF_PROG_TYPE_XDP, B.BPF_XDP),), (main, *more), maps)


RETURN_DROP = (Instruction(MOV64K, imm=B.XDP_DROP), Instruction(EXIT))
COUNTERS = MapSpec("counters", B.BPF_MAP_TYPE_ARRAY, 4, 8, 4)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_program_runs() -> None:
    with Kernel() as machine, machine.load(xdp(*RETURN_DROP)) as loaded:
        result = loaded.programs["main"].test_run(PACKET)
        assert result.value == B.XDP_DROP
        assert result.data == PACKET


def test_subprograms_are_linked_once_each() -> None:
    seven = Function("seven", encode((Instruction(MOV64K, imm=7), Instruction(EXIT))))
    spec = xdp(Instruction(CALL, src=1, imm=-1), Instruction(MOV64X, dst=6), Instruction(CALL, src=1, imm=-1),
               Instruction(ADD64X, src=6), Instruction(EXIT), more=(seven,),
               relocations=(Relocation(0, "call", "seven"), Relocation(2, "call", "seven")))
    with Kernel() as machine, machine.load(spec) as loaded:
        assert loaded.programs["main"].test_run(PACKET).value == 14


def test_data_relocations_read_the_map() -> None:
    data = MapSpec(".rodata", B.BPF_MAP_TYPE_ARRAY, 4, 8, 1, flags=B.BPF_F_RDONLY_PROG, frozen=True,
                   contents=b"\1\0\0\0\x2a\0\0\0", data_section=".rodata")
    spec = xdp(Instruction(LDIMM64, dst=1), Instruction(LDX32, src=1), Instruction(EXIT), maps=(data,),
               relocations=(Relocation(0, "data", ".rodata", 4),))
    with Kernel() as machine, machine.load(spec) as loaded:
        assert loaded.programs["main"].test_run(PACKET).value == 42


def test_a_rejection_names_the_line_and_what_was_known() -> None:
    lines = (LineInfo(0, "prog.py", "def main(ctx):", 1, 1), LineInfo(1, "prog.py", "    return x.y", 2, 5))
    spec = xdp(Instruction(MOV64K, dst=1, imm=5), Instruction(LDX32, src=1), Instruction(EXIT), lines=lines)
    before = descriptors()
    with Kernel() as machine, pytest.raises(VerifierError) as caught:
        machine.load(spec)
    error = caught.value
    assert (error.program, error.file, error.line) == ("main", "prog.py", 2)
    assert "invalid mem access" in error.reason or "not a pointer" in error.reason       # since 7.3
    assert any("R1" in known and "5" in known for known in error.state), error.state
    assert error.cure and "processed" in error.log
    assert descriptors() == before


def test_a_map_given_by_the_caller_is_used_and_left_open() -> None:
    spec = xdp(*RETURN_DROP, maps=(COUNTERS,))
    with Kernel() as machine, machine.load(spec) as first:
        with machine.load(spec, maps={"counters": first.maps["counters"]}) as second:
            assert second.maps["counters"].id == first.maps["counters"].id
        first.maps["counters"].update(bytes(4), bytes(8))


def test_a_map_of_another_shape_is_refused() -> None:
    other = xdp(*RETURN_DROP, maps=(COUNTERS._replace(value_size=16),))
    with Kernel() as machine, machine.load(xdp(*RETURN_DROP, maps=(COUNTERS,))) as loaded, machine.load(other) as wide:
        with pytest.raises(UsageError, match="cannot be replaced"):
            machine.load(loaded.spec, maps={"counters": wide.maps["counters"]})


def test_unknown_names_are_refused() -> None:
    with Kernel() as machine:
        with pytest.raises(UsageError, match="no program nothing"):
            machine.load(xdp(*RETURN_DROP), programs=frozenset({"nothing"}))


def test_load_and_close_leave_no_descriptor() -> None:
    spec = xdp(*RETURN_DROP, maps=(COUNTERS,))
    with Kernel() as machine:
        machine.load(spec).close()
        before = descriptors()
        for _ in range(10):
            machine.load(spec).close()
        assert descriptors() == before


@pytest.mark.parametrize("broken", [
    COUNTERS._replace(key_size=3), COUNTERS._replace(max_entries=0), COUNTERS._replace(type=9999),
    COUNTERS._replace(type=B.BPF_MAP_TYPE_RINGBUF, key_size=0, value_size=0, max_entries=1000),
])
def test_failing_maps_leave_no_descriptor(broken: MapSpec) -> None:
    spec = xdp(*RETURN_DROP, maps=(COUNTERS, broken._replace(name="broken")))
    before = descriptors()
    with Kernel() as machine, pytest.raises(Exception, match="broken"):
        machine.load(spec)
    assert descriptors() == before


def test_runs_with_a_context() -> None:
    spec = xdp(Instruction(LDX32, src=1, offset=16), Instruction(EXIT))         # rx_queue_index
    with Kernel() as machine, machine.load(spec) as loaded:
        program = loaded.programs["main"]
        context = struct.pack("=6I", 0, len(PACKET), 0, 1, 0, 0)
        try:
            result = program.test_run(PACKET, context=context)
            assert result.value == 0 and result.data == PACKET and len(result.context) == len(context)
        except UsageError as error:     # 5.10 takes none
            assert "context since Linux 5.14" in error.cure
        assert program.test_run(PACKET, repeat=1000).duration_ns < 100_000
        with pytest.raises(UsageError, match="refused its input"):
            program.test_run(PACKET, context=struct.pack("=6I", 0, 1000, 0, 0, 0, 0))      # beyond the packet's end
    mark = Function("main", encode((Instruction(LDX32, src=1, offset=8), Instruction(EXIT))))   # skb->mark
    spec = ObjectSpec((ProgramSpec("main", "main", "tc", B.BPF_PROG_TYPE_SCHED_CLS),), (mark,), ())
    with Kernel() as machine, machine.load(spec) as loaded:
        result = loaded.programs["main"].test_run(PACKET, context=struct.pack("=3I", 0, 0, 42).ljust(192, b"\0"))
        assert result.value == 42 and len(result.context) >= 184        # as long as this kernel knows it


def test_what_cannot_be_run_says_so() -> None:
    code = encode(RETURN_DROP)
    spec = ObjectSpec((ProgramSpec("main", "main", "perf_event", B.BPF_PROG_TYPE_PERF_EVENT),),
                      (Function("main", code),), ())
    with Kernel() as machine, machine.load(spec) as loaded, pytest.raises(NotSupported, match="no test run"):
        loaded.programs["main"].test_run()


def test_a_program_outlives_its_process_by_a_pin() -> None:
    path = f"{mounts.bpffs()}/bpfwright-program-{os.getpid()}"
    with Kernel() as machine, machine.load(xdp(*RETURN_DROP)) as loaded:
        loaded.programs["main"].pin(path)
    try:
        with KernelProgram.pinned(path) as adopted:
            assert adopted.spec.name == "main" and adopted.test_run(PACKET).value == B.XDP_DROP
    finally:
        os.unlink(path)


def test_programs_of_the_other_byte_order_are_refused() -> None:
    with Kernel() as machine, pytest.raises(FormatError, match="other byte order"):
        machine.load(xdp(*RETURN_DROP)._replace(big_endian=True))


def test_a_program_too_large_says_so() -> None:
    endless = (Instruction(MOV64K, dst=6, imm=0), Instruction(0x07, dst=6, imm=1),
               Instruction(0xA5, dst=6, offset=-2, imm=0x7FFFFFFF), Instruction(MOV64K), Instruction(EXIT))
    with Kernel() as machine, pytest.raises(VerifierError) as caught:
        machine.load(xdp(*endless))
    assert "too large" in caught.value.reason and "1,000,000" in caught.value.cure


def test_a_thing_that_no_kernel_has_is_named() -> None:
    with Kernel() as machine:
        with pytest.raises(NotSupported, match="no programs of type 999"):
            machine.load(xdp(*RETURN_DROP)._replace(
                programs=(ProgramSpec("main", "main", "x", 999),)))
        with pytest.raises(BtfError, match="no tracepoint 'nonesuch'"):
            machine.load(xdp(*RETURN_DROP)._replace(programs=(
                ProgramSpec("main", "main", "tp_btf/nonesuch", B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_RAW_TP,
                            "nonesuch"),)))


def test_more_memory_than_the_kernel_gives() -> None:
    huge = COUNTERS._replace(name="huge", value_size=1 << 30, max_entries=1 << 31)
    with Kernel() as machine, pytest.raises(KernelError, match="more than the kernel gives"):
        machine.create_map(huge)


def test_a_kernel_without_type_information_says_so(tmp_path: Path) -> None:
    types = KernelTypes(str(tmp_path))
    assert types.module_names() == []
    with pytest.raises(NotSupported, match="no type information"):
        _ = types.vmlinux
    (tmp_path / "vmlinux").write_bytes(b"garbage")
    with pytest.raises(BtfError, match="too short"):
        _ = types.vmlinux


def test_names_that_are_no_text_are_refused_like_others() -> None:
    code = encode((Instruction(LDIMM64, dst=1), Instruction(MOV64K), Instruction(EXIT)))
    main = Function("main", code, (Relocation(0, "extern", "\udced"),))
    spec = ObjectSpec((ProgramSpec("main", "main", "xdp", B.BPF_PROG_TYPE_XDP, B.BPF_XDP),), (main,), (),
                      (Extern("\udced", "ksym", 0, False),))
    with Kernel() as machine, pytest.raises(NotSupported, match="no symbol"):
        machine.load(spec)

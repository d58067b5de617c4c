"""The compile worker: objects come out, crashes stay outside, nothing is left behind."""
from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright import _llvm, objfile
from bpfwright._native import load_native
from bpfwright.errors import CompilerCrash, ElfError, NotSupported, UsageError

pytestmark = pytest.mark.userspace

BPF = """target triple = "bpfel"
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
define i32 @f(ptr %p) section "xdp" {
 %v = load i32, ptr %p
 ret i32 %v
}
"""
FLOAT = "define i32 @f(double %a) {\n %b = fadd double %a, %a\n %c = fptosi double %b to i32\n ret i32 %c\n}\n"
ASSEMBLY = 'define void @f() {\n call void asm "nop", ""()\n ret void\n}\n'
UNPARSED = "define i32 @f( { }"
UNVERIFIED = "define i32 @f() {\n %a = call i32 @f()\n br label %x\nx:\n %b = phi i32 [ %a, %x ]\n ret i32 %b\n}\n"


def worker_pid() -> int:
    assert _llvm._worker is not None
    return _llvm._worker.pid


def test_bpf_object_and_reuse() -> None:
    first = _llvm.compile_bpf(BPF)
    pid = worker_pid()
    assert first[:4] == b"\x7fELF" and int.from_bytes(first[18:20], "little") == 247
    assert _llvm.compile_bpf(BPF) == first
    assert worker_pid() == pid


def test_levels_and_cpus_differ() -> None:
    loop = ("define i64 @f(i64 %n) {\nb:\n br label %l\nl:\n %i = phi i64 [0, %b], [%j, %l]\n %j = add i64 %i, 1\n"
            " %c = icmp ult i64 %j, %n\n br i1 %c, label %l, label %e\ne:\n ret i64 %j\n}\n")
    assert _llvm.compile_bpf(loop, opt=0) != _llvm.compile_bpf(loop, opt=2)
    divide = "define i64 @f(i64 %a, i64 %b) {\n %c = sdiv i64 %a, %b\n ret i64 %c\n}\n"
    assert _llvm.compile_bpf(divide, cpu="v4")
    with pytest.raises(CompilerCrash):
        _llvm.compile_bpf(divide, cpu="v3")


def _body(ir: str) -> list[tuple[int, ...]]:
    """The instructions of the function in section xdp, as numbers of (operation, register, offset, constant)."""
    (function,) = objfile.read(_llvm.compile_bpf(ir, cpu="v3")).functions
    return list(struct.iter_unpack("<BBhi", function.insns))


CHECKED_CALL = """target triple = "bpfel"
target datalayout = "e-m:e-p:64:64-i64:64-i128:128-n32:64-S128"
define i32 @f(ptr %p) section "xdp" {
 %v = load i32, ptr %p
 switch i32 %v, label %checked [ i32 5, label %five
   i32 6, label %six ]
checked:
 %r = call ptr inttoptr (i64 1 to ptr)(ptr %p, ptr %p)
 %n = icmp eq ptr %r, null
 br i1 %n, label %five, label %held
held:
 %w = load i32, ptr %r
 %big = icmp ugt i32 %w, 9
 br i1 %big, label %six, label %own
five:
 ret i32 -5
six:
 ret i32 6
own:
 ret i32 %w
}
"""


def test_constants_are_returned_apart() -> None:
    """What a helper returned is checked where it is, and each constant comes from one place."""
    body = _body(CHECKED_CALL)
    call = next(index for index, (operation, *_) in enumerate(body) if operation == 0x85)
    operation, registers, offset, constant = body[call + 1]
    assert (operation, registers, constant) == (0x15, 0, 0), "the next instruction is `if r0 == 0`"
    assert body[call + 2 + offset] == (0xB4, 0, 0, -5)
    assert sorted(number for operation, register, _, number in body if (operation, register) == (0xB4, 0)) == [-5, 6]
    assert sum(operation == 0x95 for operation, *_ in body) == 3


@pytest.mark.parametrize("constants", [0, 1])
def test_returns_with_little_in_common_are_left(constants: int) -> None:
    value = "7" if constants else "%v"
    ir = (f'target triple = "bpfel"\ndefine i32 @f(ptr %p) section "xdp" {{\nb:\n %v = load i32, ptr %p\n'
          f" %c = icmp ugt i32 %v, 9\n br i1 %c, label %x, label %y\nx:\n %w = call i32 inttoptr (i64 5 to ptr)()\n"
          f" ret i32 %w\ny:\n ret i32 {value}\n}}\n")
    assert sum(operation == 0x95 for operation, *_ in _body(ir)) == 1


@pytest.mark.parametrize(("ir", "word"), [(FLOAT, "__adddf3"), (ASSEMBLY, "nline asm"), (UNPARSED, "expected"),
                                          (UNVERIFIED, "PHI")])
def test_a_crash_is_an_error_with_llvms_words(ir: str, word: str) -> None:
    with pytest.raises(CompilerCrash) as caught:
        _llvm.compile_bpf(ir)
    assert word in caught.value.diagnostics
    assert _llvm.compile_bpf(BPF)[:4] == b"\x7fELF"


def test_a_killed_worker_is_replaced() -> None:
    _llvm.compile_bpf(BPF)
    os.kill(worker_pid(), signal.SIGKILL)
    time.sleep(0.05)
    assert _llvm.compile_bpf(BPF)[:4] == b"\x7fELF"


def test_threads_share_the_worker() -> None:
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(_llvm.compile_bpf(BPF))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6 and len(set(results)) == 1


def test_crashes_and_stop_leak_nothing(no_leaks: None) -> None:
    _llvm.stop()
    for ir in (BPF, FLOAT, ASSEMBLY, BPF):
        try:
            _llvm.compile_bpf(ir)
        except CompilerCrash:
            pass
    pid = worker_pid()
    _llvm.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_worker_dies_with_its_parent() -> None:
    script = ("from bpfwright import _llvm; import os, sys, signal; _llvm.compile_bpf(sys.argv[1]);"
              "print(_llvm._worker.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)")
    done = subprocess.run([sys.executable, "-c", script, BPF], check=False, stdout=subprocess.PIPE, text=True)
    pid = int(done.stdout)
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}") or open_state(pid) == "Z":
            return
        time.sleep(0.05)
    pytest.fail("the worker outlived its parent")


def open_state(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_a_forked_child_has_its_own_worker() -> None:
    _llvm.compile_bpf(BPF)
    script = ("from bpfwright import _llvm; import os, sys; ir = sys.argv[1]; _llvm.compile_bpf(ir)\n"
              "p = _llvm._worker.pid\n"
              "child = os.fork()\n"
              "ok = _llvm.compile_bpf(ir)[:4] == b'\\x7fELF'\n"
              "if not child:\n os._exit(0 if ok and _llvm._worker.pid != p else 1)\n"
              "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or _llvm._worker.pid != p)")
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script, BPF], check=False).returncode == 0


def test_version_without_the_import() -> None:
    script = "from bpfwright import _llvm; import sys; print(_llvm.version(), 'llvmlite' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True)
    from llvmlite import __version__
    assert done.stdout.split() == [__version__, "False"]


ANSWERS = """
@table = internal constant [4 x i64] [i64 3, i64 5, i64 7, i64 11], align 8
@name = internal constant [6 x i8] c"hello\\00"
@pointers = internal constant [2 x ptr] [ptr @table, ptr @name]
@counter = internal global i64 40
@zeros = internal global [512 x i64] zeroinitializer
define i64 @pick(i64 %i) {
 %p = getelementptr [4 x i64], ptr @table, i64 0, i64 %i
 %v = load i64, ptr %p
 ret i64 %v
}
define i64 @count() {
 %v = load i64, ptr @counter
 %w = add i64 %v, 1
 store i64 %w, ptr @counter
 %z = load i64, ptr @zeros
 %s = add i64 %w, %z
 ret i64 %s
}
define ptr @text(i64 %i) {
 %p = getelementptr [2 x ptr], ptr @pointers, i64 0, i64 %i
 %v = load ptr, ptr %p
 ret ptr %v
}
define double @half(i64 %i) {
 %f = uitofp i64 %i to double
 %r = fmul double %f, 5.0e-01
 ret double %r
}
define i64 @length(ptr %s) {
 %n = call i64 @strlen(ptr %s)
 ret i64 %n
}
declare i64 @strlen(ptr)
define i64 @given(i64 %x) {
 %r = call i64 @outside(i64 %x)
 ret i64 %r
}
declare i64 @outside(i64)
"""


@pytest.mark.parametrize("opt", [0, 1, 2])
@pytest.mark.parametrize("cpu", ["", "host"])
def test_native_code_runs(opt: int, cpu: str) -> None:
    number = ctypes.c_int64
    outside = ctypes.CFUNCTYPE(number, number)(lambda x: x * 10)
    address = ctypes.cast(outside, ctypes.c_void_p).value
    assert address
    with load_native(_llvm.compile_native(ANSWERS, opt=opt, cpu=cpu), {"outside": address}) as code:
        pick = code.function("pick", number, number)
        assert [pick(i) for i in range(4)] == [3, 5, 7, 11]
        count = code.function("count", number)
        assert (count(), count()) == (41, 42)
        assert code.function("text", ctypes.c_char_p, number)(1) == b"hello"
        assert code.function("half", ctypes.c_double, number)(7) == 3.5
        assert code.function("length", number, ctypes.c_char_p)(b"four") == 4
        assert code.function("given", number, number)(6) == 60
        with pytest.raises(ElfError):
            code.address("absent")
    with pytest.raises(UsageError):
        code.address("pick")


def test_native_pages_are_never_writable_and_executable() -> None:
    with load_native(_llvm.compile_native(ANSWERS), {"outside": 1}) as code:
        start = code.address("pick")
        with open("/proc/self/maps") as file:
            for line in file:
                low, high = (int(part, 16) for part in line.split()[0].split("-"))
                if low <= start < high:
                    assert line.split()[1].startswith("r-x")
                    return
    pytest.fail("the code is not mapped")


@pytest.mark.parametrize("bad", [b"", b"\x7fELF", b"\0" * 64])
def test_native_refuses_what_is_no_object(bad: bytes) -> None:
    with pytest.raises(ElfError):
        load_native(bad)


def test_native_refuses_truncated_objects() -> None:
    whole = _llvm.compile_native(ANSWERS)
    for length in range(0, len(whole), 97):
        with pytest.raises(ElfError):
            load_native(whole[:length], {"outside": 1})


def test_native_names_the_unknown_symbol() -> None:
    ir = "declare i64 @no_such_thing_here()\ndefine i64 @f() {\n %a = call i64 @no_such_thing_here()\n ret i64 %a\n}\n"
    with pytest.raises(ElfError, match="no_such_thing_here"):
        load_native(_llvm.compile_native(ir))


@given(st.data())
def test_native_survives_damaged_objects(data: st.DataObject) -> None:
    global _whole
    _whole = _whole or _llvm.compile_native(ANSWERS)
    damaged = bytearray(_whole)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        load_native(bytes(damaged), {"outside": 1}).close()
    except (ElfError, NotSupported):
        pass


_whole = b""

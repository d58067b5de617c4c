"""One program for many system calls: which call it is, and leaving at once for calls that are not meant."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.types import Struct

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.checker import Checker

__all__ = ["index_of_call", "number_of_call", "only_meant"]

_TASK_BTF = 158
_TS_COMPAT = 2  # arch/x86/include/asm/thread_info.h
_ORIG_AX, _ARM_SYSCALLNO = 120, 280


def number_of_call(code: Code, checker: Checker) -> int:
    """The system call's number: sys_enter is given it, sys_exit finds it in the registers."""
    if checker.site.section.endswith("sys_enter"):
        return code.load("i64", code.context(), 8, 8)
    registers = code.load("ptr", code.context(), 0, 8)
    if checker.host.architecture == "x86_64":
        return code.load("i64", registers, _ORIG_AX, 8)
    return code.extend(code.load("i32", registers, _ARM_SYSCALLNO, 4), "i32", True)


def only_meant(code: Code, checker: Checker) -> None:
    """Leave for calls that are not traced. Their numbers are looked up in a bitmap of the object's constants; 32-bit
    calls have other numbers, so they are never meant, as with single tracepoints."""
    site = checker.site
    numbers = [number for number, _ in site.calls]
    number = number_of_call(code, checker)
    bitmap = bytearray(64)
    for one in numbers:
        bitmap[one // 8] |= 1 << one % 8
    words = code.unit.bytes_constant(bytes(bitmap))
    with code.unless(code.op("ult", "i1", number, code.number(512))):
        code.leave()
    base = code.pointer(code.op("global", "ptr", code.unit.constants.name), words)
    held = code.op("and", "i64", code.op("opaque", "i64", number), code.number(511))
    word = code.load("i64", code.op("index", "ptr", base, code.op("lshr", "i64", held, code.number(6)), 8), 0, 8)
    bit = code.op("and", "i64", code.op("lshr", "i64", word, code.op("and", "i64", held, code.number(63))),
                  code.number(1))
    with code.when(code.op("eq", "i1", bit, code.number(0))):
        code.leave()
    _not_compat(code, checker)


def _not_compat(code: Code, checker: Checker) -> None:
    if checker.host.architecture != "x86_64" or not code.unit.has("current_task_btf"):
        return
    task = checker.host.layouts.named("struct", "task_struct")
    if not isinstance(task, Struct):
        return
    info = checker.host.layouts.members(task).get("thread_info")
    status = checker.host.layouts.members(info.type).get("status") if info and isinstance(info.type, Struct) else None
    if info is None or status is None:
        return
    current = code.helper_pointer(_TASK_BTF)
    found = code.extend(code.load("i32", current, info.offset + status.offset, 4), "i32")
    compat = code.op("and", "i64", found, code.number(_TS_COMPAT))
    with code.when(code.op("ne", "i1", compat, code.number(0))):
        code.leave()


def index_of_call(code: Code, checker: Checker) -> int:
    """The index of the probe of the call that this is: a table of the object's constants, a u16 a call."""
    table = bytearray(1024)
    for number, index in checker.site.calls:
        table[2 * number:2 * number + 2] = index.to_bytes(2, "little")
    words = code.unit.bytes_constant(bytes(table))
    number = number_of_call(code, checker)
    held = code.op("and", "i64", code.op("opaque", "i64", number), code.number(511))
    base = code.pointer(code.op("global", "ptr", code.unit.constants.name), words)
    return code.extend(code.load("i16", code.op("index", "ptr", base, held, 2), 0, 2), "i16")

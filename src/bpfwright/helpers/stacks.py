"""Call stacks and the memory of the process that is traced: `capture_stack`, `read_user`, `copy_user`, registers."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, MutableSequence, TypeVar
from bpfwright.errors import UsageError
from bpfwright.helpers.basic import inside_only
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import (BOOLEAN, Constant, ContextOf, Integer, KernelObject, Meaning, Optional, Reference,
                                    meaning_of)
from bpfwright.types import KernelStruct, ptr, u64
from bpfwright.types.ctype import ArrayType, CharArray, RecordType, ctype_of

if TYPE_CHECKING:
    from bpfwright.vmlinux import pt_regs

__all__ = ["capture_stack", "copy_user", "read_user", "user_registers"]

T = TypeVar("T")
_GET_STACK, _READ_USER, _READ_KERNEL, _READ_USER_TEXT = 67, 112, 113, 114
_TASK, _TASK_BTF, _TASK_REGISTERS = 35, 158, 175
_STACK_BYTES = 4 << 12    # THREAD_SIZE of x86-64 (arch/x86/include/asm/page_64_types.h)
_REGISTERS_BYTES = 21 * 8  # struct pt_regs
_USER_STACK = 1 << 8


def capture_stack(ctx: object, frames: MutableSequence[int], *, user: bool = False) -> int:
    """Write the call stack that runs now, innermost first, into an array of u64; how many there are, 0 for none.

    Of user code it follows frame pointers. Since Linux 4.18 (bpf_get_stack).
    """
    raise inside_only("capture_stack")


def _check_capture(site: Any) -> Meaning:
    site.bind("ctx", "frames", user=False)
    if not isinstance(site.meaning("ctx"), ContextOf):
        site.refuse("the first argument is the program's context", "Write capture_stack(ctx, work.frames).")
    frames = site.meaning("frames")
    if not (isinstance(frames, Reference) and isinstance(frames.ctype, ArrayType) and frames.ctype.element.size == 8):
        site.refuse("a stack goes into an array of u64", "Write capture_stack(ctx, work.frames).")
    site.constant("user")
    return Integer(0, frames.ctype.length)


def _lower_capture(b: Any, site: Any) -> Value:
    frames = site.value("frames")
    room, longest = frames.meaning.ctype.size, frames.meaning.ctype.length
    got = b.helper(_GET_STACK, b.context(), frames.only, b.number(room),
                   b.number(_USER_STACK if site.constant("user") else 0))
    size = b.op("select", "i64", b.op("slt", "i1", b.number(0), got), got, b.number(0))
    count = b.op("lshr", "i64", size, b.number(3))
    inside = b.op("ult", "i1", count, b.number(longest))
    return Value(site.node.meaning, b.op("select", "i64", inside, count, b.number(longest)))


def read_user(address: int, kind: type[T], /) -> T | None:
    """A copy of what is at an address of the process that runs: a number, a Struct, or text (`char[L[64]]`).

    None where that memory is not there, or not in memory just now: programs cannot wait for it. Since Linux 5.5.
    """
    raise inside_only("read_user")


def _check_read(site: Any) -> Meaning:
    site.bind("address", "kind")
    site.integer("address")
    meaning = site.meaning("kind")
    try:
        ctype = ctype_of(meaning.value if isinstance(meaning, Constant) else None)
    except UsageError as error:
        site.refuse(error.what, "Write read_user(address, u64).")
    site.notes["type"] = ctype
    return Optional(meaning_of(ctype, "stack"))


def _lower_read(b: Any, site: Any) -> Value:
    ctype = site.notes["type"]
    text = isinstance(ctype, CharArray)
    place = b.scratch(ctype) if text else b.memory(ctype.size, "user memory")
    address = b.numeric(site.value("address"))[0]
    got = b.helper(_READ_USER_TEXT if text else _READ_USER, place, b.number(ctype.size), address)
    if text:
        return Value(site.node.meaning, b.op("slt", "i1", b.number(0), got), place)
    found: Value = b.present_memory(b.op("eq", "i1", got, b.number(0)), ctype, place)
    return found


def copy_user(into: object, address: int) -> bool:
    """Write what is at an address of the process that runs over a record or array, for what is too large for the stack.

    False, and zeros are written, where that memory is not there, or not in memory just now. Since Linux 5.5.
    """
    raise inside_only("copy_user")


def _check_copy(site: Any) -> Meaning:
    site.bind("into", "address")
    site.integer("address")
    into = site.meaning("into")
    if not (isinstance(into, Reference) and isinstance(into.ctype, (ArrayType, RecordType))):
        site.refuse("memory goes into a record or an array of this program's", "Write copy_user(entry.data, address).")
    return BOOLEAN


def _lower_copy(b: Any, site: Any) -> Value:
    into = site.value("into")
    got = b.helper(_READ_USER, into.only, b.number(into.meaning.ctype.size), b.numeric(site.value("address"))[0])
    return Value(BOOLEAN, b.op("eq", "i1", got, b.number(0)))


class Stacked(KernelStruct, type="task_struct"):
    """A thread with its stack in the kernel."""

    stack: ptr[u64]


def user_registers() -> pt_regs:
    """The registers with which the task that runs entered the kernel. Of a kernel thread they mean nothing.

    By bpf_task_pt_regs, since Linux 5.15; before that from where x86-64 has them, at the end of the kernel's own stack.
    """
    raise inside_only("user_registers")


def _check_registers(site: Any) -> Meaning:
    from bpfwright.vmlinux import pt_regs
    site.bind()
    return KernelObject(pt_regs, site.target().has("task_registers"))


def _lower_registers(b: Any, site: Any) -> Value:
    meaning = site.node.meaning
    if meaning.trusted:
        return Value(meaning, b.helper_pointer(_TASK_REGISTERS, b.helper_pointer(_TASK_BTF)))
    place = b.slot(8, 8, "stack")
    b.store(place, b.number(0))
    b.helper(_READ_KERNEL, place, b.number(8),
             b.op("add", "i64", b.helper(_TASK), b.core_offset(Stacked, ("stack",))))
    return Value(meaning, b.op("toptr", "ptr", b.op("add", "i64", b.load("i64", place, 0, 8),
                                                    b.number(_STACK_BYTES - _REGISTERS_BYTES))))


capture_stack.__operation__ = Operation(_check_capture, _lower_capture)  # type: ignore[attr-defined]
copy_user.__operation__ = Operation(_check_copy, _lower_copy)  # type: ignore[attr-defined]
read_user.__operation__ = Operation(_check_read, _lower_read, pure=True)  # type: ignore[attr-defined]
user_registers.__operation__ = Operation(_check_registers, _lower_registers)  # type: ignore[attr-defined]

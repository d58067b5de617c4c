"""Raw memory, for what no type describes: a word, text or an object at an address; and the cookie of an attachment."""
from __future__ import annotations

from bpfwright._typing import Any, TypeVar
from bpfwright.helpers.basic import inside_only
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import U64, Constant, ContextOf, KernelObject, Meaning, Reference
from bpfwright.types.ctype import ArrayType, CharArray, Int

__all__ = ["address_of", "cookie", "kernel_object", "kernel_text", "kernel_word", "offset_of",
           "socket_cookie", "user_bytes", "user_text", "user_word"]

T = TypeVar("T")
_READ_USER, _READ_KERNEL, _READ_USER_STR, _READ_KERNEL_STR, _COOKIE = 112, 113, 114, 115, 174
_SOCKET_COOKIE = 46
_BYTE = Int("u8", 1, False)


def address_of(thing: object) -> int:
    """The address of a kernel object, as a key or to compare; of a tracepoint's context, that of the event's record."""
    raise inside_only("address_of")


def kernel_object(kind: type[T], address: int) -> T:
    """The kernel object of a type that stands at an address; what cannot be read there reads as 0."""
    raise inside_only("kernel_object")


def kernel_word(address: int) -> int:
    """The 64 bits at an address of the kernel; 0 when they cannot be read. Since Linux 5.5."""
    raise inside_only("kernel_word")


def kernel_text(address: int, size: int) -> str:
    """The text at an address of the kernel, up to `size` bytes, a constant; empty when it cannot be read."""
    raise inside_only("kernel_text")


def offset_of(kind: type[object], field: str) -> int:
    """Where a field of a kernel struct stands in it, on the kernel that runs."""
    raise inside_only("offset_of")


def user_word(address: int) -> int:
    """The 64 bits at an address of the current process; 0 when they cannot be read. Since Linux 5.5."""
    raise inside_only("user_word")


def socket_cookie(sk: object) -> int:
    """A socket's number that no other has, as every hook gives it. Since Linux 5.12 in BTF tracepoints."""
    raise inside_only("socket_cookie")


def user_text(address: int, size: int) -> str:
    """The text at an address of the current process; empty when it cannot be read."""
    raise inside_only("user_text")


def user_bytes(address: int, length: int, size: int) -> list[int]:
    """The first `length` bytes at an address of the current process in an array of `size`, a constant power of two.

    The rest is zero, and all of it when the memory cannot be read.
    """
    raise inside_only("user_bytes")


def cookie(ctx: object) -> int:
    """The number that this attachment was given: `Symbol(..., cookie=3)`. Since Linux 5.15."""
    raise inside_only("cookie")


def _check_address(site: Any) -> Meaning:
    site.bind("thing")
    meaning = site.meaning("thing")
    if not isinstance(meaning, KernelObject) and not _is_record(site, meaning):
        site.refuse("address_of() takes an object of the kernel", "Write address_of(task).")
    return U64


def _is_record(site: Any, meaning: Meaning) -> bool:
    """Whether it is the context of a tracepoint: that of other hooks is no memory as it looks."""
    return isinstance(meaning, ContextOf) and site.program.hook.name == "tracepoint"


def _lower_address(b: Any, site: Any) -> Value:
    if isinstance(site.meaning("thing"), ContextOf):
        return Value(U64, b.op("toint", "i64", b.context()))
    return Value(U64, b.op("toint", "i64", b.anchor(site.value("thing").only)))


def _check_object(site: Any) -> Meaning:
    site.bind("kind", "address")
    meaning = site.meaning("kind")
    cls: Any = meaning.value if isinstance(meaning, Constant) else None
    if not hasattr(cls, "__kernel_name__"):
        site.refuse("the first argument is a kernel struct", "Write kernel_object(file, address).")
    site.integer("address")
    return KernelObject(cls, False)


def _lower_object(b: Any, site: Any) -> Value:
    return Value(site.node.meaning, b.op("toptr", "ptr", b.numeric(site.value("address"))[0]))


def _check_offset(site: Any) -> Meaning:
    site.bind("kind", "field")
    meaning = site.meaning("kind")
    cls: Any = meaning.value if isinstance(meaning, Constant) else None
    if not hasattr(cls, "__kernel_name__") or site.constant("field") not in cls.__own__:
        site.refuse("a kernel struct and the name of one of its fields are wanted", 'Write offset_of(file, "f_inode").')
    return U64


def _lower_offset(b: Any, site: Any) -> Value:
    return Value(U64, b.core_offset(site.meaning("kind").value, (site.constant("field"),)))


def _check_word(site: Any) -> Meaning:
    site.bind("address")
    site.integer("address")
    return U64


def _word(helper: int) -> Operation:
    def lower(b: Any, site: Any) -> Value:
        place = b.slot(8, 8, "word")
        b.store(place, b.number(0))
        b.helper(helper, place, b.number(8), b.numeric(site.value("address"))[0])
        return Value(U64, b.load("i64", place, 0, 8))

    return Operation(_check_word, lower)


def _check_socket(site: Any) -> Meaning:
    site.bind("sk")
    meaning = site.meaning("sk")
    if not isinstance(meaning, KernelObject) or not meaning.trusted or meaning.path:
        site.refuse("socket_cookie() takes a socket that the kernel vouches for", "Take it from a BTF tracepoint.")
    return U64


def _check_text(site: Any) -> Meaning:
    site.bind("address", "size")
    site.integer("address")
    size = site.constant("size")
    if not isinstance(size, int) or not 1 <= size <= 4096:
        site.refuse("the size is a constant between 1 and 4096 bytes")
    return Reference(CharArray(size), "stack")


def _text(helper: int) -> Operation:
    def lower(b: Any, site: Any) -> Value:
        ctype = site.node.meaning.ctype
        address = b.numeric(site.value("address"))[0]
        place = b.scratch(ctype)
        b.fill(place, ctype.size)
        b.helper(helper, place, b.number(ctype.size), address)
        return Value(site.node.meaning, place)

    return Operation(_check_text, lower)


def _check_bytes(site: Any) -> Meaning:
    site.bind("address", "length", "size")
    site.integer("address")
    site.integer("length")
    size = site.constant("size")
    if not isinstance(size, int) or not 8 <= size <= 4096 or size & size - 1:
        site.refuse("the size is a constant power of two between 8 and 4096 bytes")
    return Reference(ArrayType(_BYTE, size), "stack")


def _lower_bytes(b: Any, site: Any) -> Value:
    ctype = site.node.meaning.ctype
    address, length = b.numeric(site.value("address"))[0], b.numeric(site.value("length"))[0]
    place = b.scratch(ctype)
    b.fill(place, ctype.size)
    whole = b.op("ule", "i1", b.number(ctype.size), length)
    with b.when(whole):
        b.helper(_READ_USER, place, b.number(ctype.size), address)
    with b.unless(whole):
        b.helper(_READ_USER, place, b.op("and", "i64", length, b.number(ctype.size - 1)), address)
    return Value(site.node.meaning, place)


def _check_cookie(site: Any) -> Meaning:
    site.bind("ctx")
    if not isinstance(site.meaning("ctx"), ContextOf):
        site.refuse("the argument is the program's context", "Write cookie(ctx).")
    return U64


address_of.__operation__ = Operation(_check_address, _lower_address)  # type: ignore[attr-defined]
kernel_object.__operation__ = Operation(_check_object, _lower_object)  # type: ignore[attr-defined]
offset_of.__operation__ = Operation(_check_offset, _lower_offset)  # type: ignore[attr-defined]
kernel_word.__operation__ = _word(_READ_KERNEL)  # type: ignore[attr-defined]
user_word.__operation__ = _word(_READ_USER)  # type: ignore[attr-defined]
socket_cookie.__operation__ = Operation(  # type: ignore[attr-defined]
    _check_socket, lambda b, site: Value(U64, b.helper(_SOCKET_COOKIE, site.value("sk").only)))
kernel_text.__operation__ = _text(_READ_KERNEL_STR)  # type: ignore[attr-defined]
user_text.__operation__ = _text(_READ_USER_STR)  # type: ignore[attr-defined]
user_bytes.__operation__ = Operation(_check_bytes, _lower_bytes)  # type: ignore[attr-defined]
cookie.__operation__ = Operation(  # type: ignore[attr-defined]
    _check_cookie, lambda b, site: Value(U64, b.helper(_COOKIE, b.context())))

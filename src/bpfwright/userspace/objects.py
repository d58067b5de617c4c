"""Recorded kernel objects, laid out in the machine's memory as BTF says; and what functions take, by the same."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import BtfError, NotSupported, UsageError, WrongType
from bpfwright.formats.btf.reader import Btf, Kind
from bpfwright.spec.recorded import Recorded

if TYPE_CHECKING:
    from bpfwright.userspace.arena import Arena

__all__ = ["place", "prototype"]

_WORD = (1 << 64) - 1
_STRUCTS = (Kind.STRUCT, Kind.UNION)


def place(arena: Arena, value: Any, btf: Btf | None) -> int:
    """Where an object stands: numbers are addresses already; bytes, Structs and Recorded objects are laid out, where
    programs only read them. A Recorded object is laid out once a machine."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value & _WORD
    if isinstance(value, Recorded):
        return _place_recorded(arena, value, btf)
    return _put(arena, _bytes(value))


def _bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape") + b"\0"
    from bpfwright.types import Struct
    from bpfwright.types.ctype import RecordType
    if isinstance(value, Struct):
        return RecordType(type(value)).to_bytes(value)
    raise WrongType(f"{value!r} is no object of a kernel", cure='Write Recorded("task_struct", pid=1), bytes or a '
                                                                "Struct.")


def _put(arena: Arena, data: bytes) -> int:
    address = arena.allocate(max(len(data), 8), writable=False)
    arena.memory[address:address + len(data)] = data
    return address


def _place_recorded(arena: Arena, value: Recorded, btf: Btf | None) -> int:
    if value.address:
        return value.address
    if btf is None:
        raise NotSupported(f"the fields of struct {value.type} are not known to this machine",
                           cure="Give it a kernel's types: Userspace(kernel_btf=...).")
    number = btf.find(value.type, Kind.STRUCT)
    if not number:
        raise UsageError(f"no struct {value.type} is known", why="neither the machine's kernel nor the program has it")
    value.address = arena.allocate(btf.size(number), writable=False)  # first, for objects that point to one another
    for name, content in value.fields.items():
        found = _member(btf, number, name.split("."))
        if found is None:
            raise UsageError(f"struct {value.type} has no member {name!r}",
                             why="as far as the types are known: " + ", ".join(
                                 member.name for member in btf.members(number) if member.name)[:200])
        _store(arena, value.address, found, content, btf)
    return value.address


def _member(btf: Btf, number: int, path: list[str], base: int = 0) -> tuple[int, int, int] | None:
    """(type, offset in bits, width in bits or 0) of a member, also inside of nameless structs."""
    for member in btf.members(number):
        inner, at = btf.resolve(member.type_id), base + member.bit_offset
        if member.name == path[0]:
            if len(path) == 1:
                return inner, at, member.bit_size
            return _member(btf, inner, path[1:], at) if btf.kind(inner) in _STRUCTS else None
        if not member.name and btf.kind(inner) in _STRUCTS:
            found = _member(btf, inner, path, at)
            if found is not None:
                return found
    return None


def _store(arena: Arena, base: int, found: tuple[int, int, int], content: Any, btf: Btf) -> None:
    number, bits, width = found
    at = base + bits // 8
    if width:
        size = (bits % 8 + width + 7) // 8
        old = int.from_bytes(arena.memory[at:at + size], "little")
        mask = (1 << width) - 1 << bits % 8
        arena.memory[at:at + size] = (old & ~mask | int(content) << bits % 8 & mask).to_bytes(size, "little")
        return
    size = btf.size(number)
    if btf.kind(number) == Kind.PTR:
        data = place(arena, content, btf).to_bytes(8, "little")
    elif isinstance(content, (int, bool)):
        data = (int(content) & (1 << 8 * size) - 1).to_bytes(size, "little")
    else:
        data = _bytes(content)
        if len(data) > size and not (isinstance(content, str) and len(data) == size + 1):
            raise WrongType(f"{content!r} does not fit {size} bytes")
    arena.memory[at:at + min(len(data), size)] = data[:size]


def prototype(btf: Btf | None, kind: str, name: str) -> list[tuple[str, str]] | None:
    """See spec.machine.Machine.prototype; None without a kernel's types, or where these do not have it."""
    wanted, btf_kind = {"function": (name, Kind.FUNC), "lsm": (f"bpf_lsm_{name}", Kind.FUNC),
                        "tp_btf": (f"btf_trace_{name}", Kind.TYPEDEF)}[kind]
    number = btf.find(wanted, btf_kind) if btf is not None else 0
    if btf is None or not number:
        return None
    found = btf.type_of(number)
    if kind == "tp_btf":
        found = btf.type_of(btf.resolve(found))
    return [(p.name, _struct(btf, p.type_id)) for p in btf.parameters(btf.resolve(found))[kind == "tp_btf":]]


def _struct(btf: Btf, type_id: int) -> str:
    try:
        number = btf.resolve(type_id)
        if btf.kind(number) != Kind.PTR:
            return ""
        target = btf.resolve(btf.type_of(number))
    except BtfError:  # void
        return ""
    return btf.name(target) if btf.kind(target) in (*_STRUCTS, Kind.FWD) else ""

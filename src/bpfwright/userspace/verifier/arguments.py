"""Arguments of calls: what a helper, or a global function by its type, takes in each register."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.formats.btf import Kind
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import memory, stack
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.helpers import BY_HELPER, BY_MAP, Prototype
from bpfwright.userspace.verifier.precision import mark_slot
from bpfwright.userspace.verifier.program import Map, Subprogram
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import State
from bpfwright.userspace.verifier.values import SCALAR, Reg, s64, unknown, zero_offset

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["Call", "by_type", "check_global", "pointer", "returns_void"]

_MEMORY = frozenset({K.STACK, K.PACKET, K.PACKET_META, K.MAP_KEY, K.MAP_VALUE, K.MEM, K.BUF, K.BTF})
_KEYS = frozenset({K.STACK, K.PACKET, K.PACKET_META, K.MAP_KEY, K.MAP_VALUE, K.MEM})
_SOCKETS = frozenset({K.SOCK_COMMON, K.SOCKET, K.TCP_SOCK, K.XDP_SOCK})
_MAX_SIZE = 1 << 29
_PACKET_MEMORY = frozenset({3, 4, 6, 12, 14, 16, 10, 11, 19, 21, 22, 8, 25})
_LOOKUP, _DYNPTR_FROM_MEMORY = 1, 197


def _is_null(reg: Reg) -> bool:
    return reg.type == SCALAR and not reg.mask and not reg.value


class Call:
    """One helper call: its arguments checked, and what they say about the result."""

    __slots__ = ("dynptr", "fills", "function", "lock", "map", "map_id", "name", "never_null", "number", "prototype",
                 "ref", "size_max", "w", "constant", "new_dynptr", "percpu", "kptr")

    def __init__(self, w: Walk, number: int, prototype: Prototype) -> None:
        self.w, self.number, self.prototype = w, number, prototype
        self.name = prototype.name
        self.map: Map | None = None
        self.map_id = 0
        self.ref = 0
        self.size_max: int | None = None
        self.fills: list[tuple[int, int]] = []
        self.function: Subprogram | None = None
        self.lock: Reg | None = None
        self.never_null = False
        self.constant = 0
        self.dynptr: Any = None
        self.new_dynptr = 0
        self.percpu: Any = None
        self.kptr: Any = None

    def check(self) -> None:
        for index, kind in enumerate(self.prototype.arguments):
            self._argument(index + 1, kind)
        if self.map is not None:
            self._check_map()

    def _wrong(self, number: int, reg: Reg, wanted: str) -> Rejected:
        reason = R.NULL if reg.type & K.MAYBE_NULL else R.TYPE
        what = "a number" if reg.type == SCALAR else f"a {K.name(reg.type)}"
        return Rejected(reason, f"r{number} is {what}, and bpf_{self.name} takes {wanted}", f"{wanted} in r{number}",
                        (number,))

    def _argument(self, number: int, kind: str) -> None:
        w = self.w
        reg = w.read(number)
        if kind == "a":
            return
        if reg.type & K.BASE in (K.PACKET, K.PACKET_META) and (
                ("reads" not in self.prototype.flags and kind in ("k", "v", "V")) or not self._may_see_packets(kind)):
            raise Rejected(R.PACKET, f"bpf_{self.name} takes no packet memory (r{number})", "a copy on the stack",
                           (number,))
        maybe = kind.endswith("?")
        bare = kind.removesuffix("?")
        if maybe and _is_null(reg):
            return
        if bare not in ("s", "z", "n") and reg.type & K.MAYBE_NULL:
            raise self._wrong(number, reg, _WORDS.get(bare, bare))
        if reg.ref and bare not in ("s", "z", "n", "k", "v", "r", "w", "W", "V"):
            self.ref = reg.ref
        check = _CHECKS.get(bare)
        if check is not None:
            check(self, number, reg)
        elif bare.startswith("btf:"):
            from bpfwright.userspace.verifier.kerneltypes import check_struct
            check_struct(w, number, reg, bare[4:], self)
        elif bare[0] in "fl" and bare[1:].isdigit():
            self._fixed(number, reg, int(bare[1:]), bare[0] == "l")
        else:
            raise self._wrong(number, reg, kind)

    def _may_see_packets(self, kind: str) -> bool:
        if kind in ("r", "r?", "f20", "f40", "k", "v"):
            return "reads" in self.prototype.flags and self.w.program.kind in _PACKET_MEMORY
        return "reads" in self.prototype.flags or kind in ("a", "s", "z")

    # Kinds of arguments

    def _context(self, number: int, reg: Reg) -> None:
        if reg.type != K.CTX:
            raise self._wrong(number, reg, "the context")
        memory.check_offset_is_plain(self.w, number)

    def _map(self, number: int, reg: Reg) -> None:
        if reg.type != K.MAP_PTR:
            raise self._wrong(number, reg, "a map")
        if self.number == 169 and self.map is not None and self.map is not reg.obj:
            raise Rejected(R.MAP, "the timer belongs to another map", "the map that holds the timer", (number,))
        self.map, self.map_id = reg.obj, reg.uid

    def _key(self, number: int, reg: Reg) -> None:
        one = self.map
        assert one is not None
        if reg.type & K.BASE not in _KEYS:
            raise self._wrong(number, reg, "a pointer to a key")
        self._bytes(number, reg, one.key_size, False, False, False)
        if self.number == _LOOKUP and one.kind in (2, 6) and (
                self.w.profile.elides_null or self.w.profile.elides_bounded):
            key = self._largest_key(reg, one.key_size)
            if key is not None and 0 <= key < one.max_entries:
                self.never_null = True

    def _largest_key(self, reg: Reg, size: int) -> int | None:
        """The key, if it stands on the stack and is known; or the largest that it can be, where no kernel asks for it
        but proofs do (`elides_bounded`)."""
        if reg.type != K.STACK or reg.mask:
            return None
        offset = reg.off + s64(reg.value)
        at, first = (-offset - 1) >> 3, (-offset - 1) & 7
        slot = self.w.state.frames[reg.frame].stack.get(at)
        if slot is None:
            return None
        self.w.stack_use.read(self.w, reg.frame, 1 << at)
        zeros = 0
        while first - zeros >= 0 and slot.kinds[first - zeros] == K.S_ZERO:
            zeros += 1
        if zeros >= size:
            return 0
        if not slot.spilled or slot.reg is None or slot.reg.type != SCALAR or (
                slot.reg.mask and not self.w.profile.elides_bounded):
            return None
        spilled = 0
        while first - spilled >= 0 and slot.kinds[first - spilled] == K.S_SPILL:
            spilled += 1
        if spilled != size:
            return None
        mark_slot(self.w, reg.frame, at)
        return slot.reg.umax if slot.reg.mask else slot.reg.value

    def _value(self, number: int, reg: Reg) -> None:
        assert self.map is not None
        if reg.type & K.BASE not in _KEYS:
            raise self._wrong(number, reg, "a pointer to a value")
        self._bytes(number, reg, self.map.value_size, False, False, False)

    def _value_room(self, number: int, reg: Reg) -> None:
        assert self.map is not None
        if reg.type & K.BASE not in _KEYS:
            raise self._wrong(number, reg, "room for a value")
        self._bytes(number, reg, self.map.value_size, True, False, True)

    def _memory(self, number: int, reg: Reg) -> None:
        """Only the kind; the size follows in the next register."""
        kind = self.prototype.arguments[number - 1].removesuffix("?")
        if reg.type & K.BASE not in _MEMORY or (reg.type & K.BASE == K.BTF and kind != "r"):
            raise self._wrong(number, reg, "a pointer to memory")
        if self.number == _DYNPTR_FROM_MEMORY and reg.type & K.BASE != K.MAP_VALUE:
            raise self._wrong(number, reg, "a map's value")
        if reg.type & K.RDONLY and kind != "r":
            raise Rejected(R.TYPE, f"r{number} points to memory that can only be read", "", (number,))

    def _size(self, number: int, reg: Reg) -> None:
        self._sized(number, reg, self.prototype.arguments[number - 1] == "z")

    def _sized(self, number: int, reg: Reg, zero: bool) -> None:
        w = self.w
        if reg.type != SCALAR:
            raise self._wrong(number, reg, "a size")
        self.size_max = reg.umax
        if reg.smin < 0:
            raise Rejected(R.SIZE, f"the size in r{number} may be negative", "a size of at least 0: an unsigned type, "
                           "or `& mask`", (number,))
        if not reg.umin and not zero:
            raise Rejected(R.SIZE, f"the size in r{number} may be 0", "a size of at least 1", (number,))
        if reg.umax >= _MAX_SIZE:
            raise Rejected(R.SIZE, f"the size in r{number} has no upper bound", "an upper bound: min(), or `& mask`",
                           (number,))
        kind = self.prototype.arguments[number - 2].removesuffix("?")
        pointer_reg = w.state.regs[number - 1]
        self._bytes(number - 1, pointer_reg, reg.umax, kind in ("w", "W"), zero, kind == "w" and not reg.mask)
        w.precise(number)

    def _bytes(self, number: int, reg: Reg, size: int, write: bool, zero: bool, raw: bool) -> None:
        """Memory that the helper reads or writes; `raw`: it fills all of it, so nothing need be there."""
        w = self.w
        base = reg.type & K.BASE
        if base == K.STACK:
            self._stack(number, reg, size, write, zero, raw)
        elif base in (K.PACKET, K.PACKET_META):
            if write and w.program.kind not in (3, 4, 6, 12, 14, 16, 25):
                raise Rejected(R.PACKET, "programs of this kind cannot write into packets")
            memory.check_packet(number, reg, reg.off, size, zero)
        elif base == K.MAP_VALUE:
            memory.check_map_access(reg, write)
            memory.check_map_value(w, number, reg, reg.off, size, zero, False)
        elif base == K.MEM:
            if write and reg.type & K.RDONLY:
                raise Rejected(R.READ_ONLY, f"r{number} points to memory that can only be read", "", (number,))
            memory.check_region(number, reg, reg.off, size, reg.range, zero)
        elif base == K.MAP_KEY:
            if write:
                raise Rejected(R.READ_ONLY, "the key of a map element cannot be written", "", (number,))
            memory.check_region(number, reg, reg.off, size, reg.obj.key_size, zero)
        elif base == K.BUF:
            if reg.off < 0 or reg.mask:
                raise Rejected(R.MEMORY, f"r{number} needs a constant offset", "", (number,))
        elif base == K.BTF:
            from bpfwright.userspace.verifier.kerneltypes import access
            access(w, number, reg, reg.off, size, False, -1)
        elif not (zero and not size and _is_null(reg)):
            raise self._wrong(number, reg, "a pointer to memory")

    def _stack(self, number: int, reg: Reg, size: int, write: bool, zero: bool, raw: bool) -> None:
        w = self.w
        if not size and not zero:
            raise Rejected(R.SIZE, f"no bytes at r{number}", "a size of at least 1", (number,))
        stack.check_within(w, number, reg, reg.off, size, write)
        frame = w.state.frames[reg.frame]
        if reg.mask:
            raw = False
            low, high = reg.smin + reg.off, reg.smax + reg.off
        else:
            low = high = reg.off + s64(reg.value)
        if raw:
            for byte in range(low, high + size):
                slot = frame.stack.get((-byte - 1) >> 3)
                if slot is not None and slot.kinds[(-byte - 1) & 7] == K.S_DYNPTR:
                    raise Rejected(R.DYNPTR, "the helper would write over a dynptr")
            self.fills.append((number, size))
            return
        stack.check_readable(w, number, frame, low, high + size, write)

    def _fixed(self, number: int, reg: Reg, size: int, fills: bool) -> None:
        if reg.type & K.BASE not in _MEMORY:
            raise self._wrong(number, reg, "a pointer to memory")
        if fills and reg.type & K.RDONLY:
            raise Rejected(R.TYPE, f"r{number} points to memory that can only be read", "", (number,))
        if fills and (reg.off + reg.value & size - 1 or reg.mask & size - 1):
            raise Rejected(R.STACK if reg.type & K.BASE == K.STACK else R.ALIGNMENT,
                           f"r{number} must be aligned to {size} bytes", "", (number,))
        self._bytes(number, reg, size, fills, False, fills)

    def _constant_size(self, number: int, reg: Reg) -> None:
        if reg.type != SCALAR:
            raise self._wrong(number, reg, "a constant")
        if reg.mask:
            raise Rejected(R.CONSTANT, f"the size in r{number} must be a constant", f"a constant in r{number}",
                           (number,))
        self.constant = reg.value
        self.w.precise(number)

    def _function(self, number: int, reg: Reg) -> None:
        if reg.type != K.FUNC:
            raise self._wrong(number, reg, "a function")
        self.function = reg.obj

    def _stack_pointer(self, number: int, reg: Reg) -> None:
        if reg.type != K.STACK:
            raise self._wrong(number, reg, "a pointer to the stack")

    def _lock(self, number: int, reg: Reg) -> None:
        self._special(number, reg, "lock", "a spin lock")
        self.lock = reg

    def _timer(self, number: int, reg: Reg) -> None:
        self._special(number, reg, "timer", "a timer")
        self.map = reg.obj

    def _special(self, number: int, reg: Reg, kind: str, words: str) -> None:
        """A part of a map's value that helpers alone touch."""
        if reg.type & K.BASE != K.MAP_VALUE:
            raise self._wrong(number, reg, f"{words} in a map's value")
        reason = R.LOCK if kind == "lock" else R.MAP
        if reg.mask:
            raise Rejected(reason, f"{words} is found at a constant offset only", "a constant offset", (number,))
        field = reg.obj.field(kind)
        if field is None:
            raise Rejected(reason, f"the values of map {reg.obj.name} have no {kind}", f"{words} in the value's type",
                           (number,))
        if field.offset != reg.off + reg.value:
            raise Rejected(reason, f"r{number} does not point to the {kind} of the value", "", (number,))

    def _record(self, number: int, reg: Reg) -> None:
        if reg.type & (K.BASE | K.RINGBUF) != K.MEM | K.RINGBUF:
            raise self._wrong(number, reg, "a reserved record")
        self._unmoved(number, reg)

    def _unmoved(self, number: int, reg: Reg) -> None:
        if (reg.off or reg.mask or reg.value) and self.w.profile.release_unmoved:
            raise Rejected(R.REFERENCE if "release" in self.prototype.flags else R.TYPE,
                           f"r{number} has an offset: the pointer must be as it was given", "", (number,))

    def _any_socket(self, number: int, reg: Reg) -> None:
        if reg.type & K.BASE not in _SOCKETS:
            raise self._wrong(number, reg, "a socket")
        self._unmoved(number, reg)

    def _typed_socket(self, number: int, reg: Reg) -> None:
        if reg.type & K.BASE == K.BTF:
            from bpfwright.userspace.verifier.kerneltypes import check_struct
            check_struct(self.w, number, reg, "sock_common", self)
            return
        self._any_socket(number, reg)

    def _string(self, number: int, reg: Reg) -> None:
        if reg.type & K.BASE != K.MAP_VALUE:
            raise self._wrong(number, reg, "a constant string")
        one: Map = reg.obj
        if not one.flags & 128 or not one.frozen:
            raise Rejected(R.CONSTANT, f"r{number} must point to a constant string", "a frozen read-only map",
                           (number,))
        if reg.mask:
            raise Rejected(R.CONSTANT, f"r{number} must point to a constant string", "a constant offset", (number,))
        memory.check_map_value(self.w, number, reg, reg.off, one.value_size - reg.off, False, False)
        text = (one.contents or b"").ljust(one.value_size, b"\0")[reg.off + s64(reg.value):]
        if b"\0" not in text:
            raise Rejected(R.CONSTANT, "the constant string has no end", "a zero byte at the end", (number,))

    def _dynptr(self, number: int, reg: Reg) -> None:
        from bpfwright.userspace.verifier.dynptrs import check
        self.dynptr = check(self, number, reg)

    def _empty_dynptr(self, number: int, reg: Reg) -> None:
        from bpfwright.userspace.verifier.dynptrs import check_empty
        check_empty(self, number, reg)
        self.new_dynptr = number

    def _percpu(self, number: int, reg: Reg) -> None:
        if reg.type & (K.BASE | K.PERCPU) != K.BTF | K.PERCPU:
            raise self._wrong(number, reg, "a per-CPU variable")
        self.percpu = reg

    def _kptr(self, number: int, reg: Reg) -> None:
        from bpfwright.userspace.verifier.kerneltypes import check_exchange
        self.kptr = check_exchange(self, number, reg)

    def _owned(self, number: int, reg: Reg) -> None:
        if reg.type & K.BASE != K.BTF:
            raise self._wrong(number, reg, "an acquired kernel object")

    # The map

    def _check_map(self) -> None:
        one, number = self.map, self.number
        assert one is not None
        allowed = BY_MAP.get(one.kind)
        wanted = BY_HELPER.get(number)
        if (allowed is not None and number not in allowed and number != 169) or (wanted is not None and (
                one.kind not in wanted)):
            raise Rejected(R.MAP, f"bpf_{self.name} does not go with map {one.name}, by its type",
                           "a map of another type")
        if number in (2, 3, 87, 88, 164) and one.flags & 128 and number != 164:
            raise Rejected(R.READ_ONLY, f"map {one.name} is read-only for programs")
        if number in (1, 88, 89, 195) and one.flags & 256:
            raise Rejected(R.READ_ONLY, f"map {one.name} can only be written by programs")
        if number == 164 and one.kind not in (1, 2, 5, 6, 9, 10):
            raise Rejected(R.MAP, f"the elements of map {one.name} cannot be walked, by its type")

    def fill(self) -> None:
        """After the check: memory on the stack that the helper filled holds something unknown."""
        w = self.w
        for number, size in self.fills:
            reg = w.state.regs[number]
            for index in range(size):
                stack.write(w, reg, reg.off + index, 1, -1, None)
        if self.new_dynptr:
            from bpfwright.userspace.verifier.dynptrs import create
            create(self)


_WORDS = {"c": "the context", "m": "a map", "k": "a pointer to a key", "v": "a pointer to a value",
          "r": "a pointer to memory", "w": "a pointer to memory", "rec": "a reserved record", "skc": "a socket",
          "bsk": "a socket"}
_CHECKS: dict[str, Any] = {
    "c": Call._context, "m": Call._map, "k": Call._key, "v": Call._value, "V": Call._value_room, "r": Call._memory,
    "w": Call._memory, "W": Call._memory, "s": Call._size, "z": Call._size, "n": Call._constant_size,
    "f": Call._function, "p": Call._stack_pointer, "lock": Call._lock, "timer": Call._timer, "rec": Call._record,
    "skc": Call._any_socket, "sk": Call._any_socket, "skx": Call._any_socket, "bsk": Call._typed_socket,
    "str": Call._string, "dyn": Call._dynptr, "dyn0": Call._empty_dynptr, "percpu": Call._percpu, "kptr": Call._kptr,
    "owned": Call._owned,
}


def pointer(w: Walk, kind: str, call: Call) -> Reg | None:
    """What a helper gives."""
    if kind == "map_value":
        assert call.map is not None
        reg = zero_offset(K.MAP_VALUE)
        reg.obj, reg.uid = call.map, call.map_id
        return reg
    if kind in ("sock", "tcp_sock", "sock_common"):
        return zero_offset({"sock": K.SOCKET, "tcp_sock": K.TCP_SOCK, "sock_common": K.SOCK_COMMON}[kind])
    if kind == "rec":
        reg = zero_offset(K.MEM | K.RINGBUF)
        reg.range = call.constant
        return reg
    if kind == "slice":
        from bpfwright.userspace.verifier.dynptrs import slice_of
        return slice_of(call)
    if kind.startswith("btf:"):
        from bpfwright.userspace.verifier.kerneltypes import struct_pointer
        return struct_pointer(w, kind[4:], K.TRUSTED)
    if kind == "percpu":
        from bpfwright.userspace.verifier.kerneltypes import percpu_pointer
        return percpu_pointer(w, call.percpu)
    if kind == "kptr":
        given: Reg = call.kptr
        return given.copy()
    return None


# Functions by their type

def returns_void(w: Walk, one: Subprogram) -> bool:
    btf = w.program.btf
    if btf is None or not one.type_id:
        return False
    return btf.kind(btf.type_of(btf.type_of(one.type_id))) == Kind.VOID


def _parameters(w: Walk, one: Subprogram) -> list[tuple[str, int, Any]]:
    """Per parameter: `number`, `context`, or `memory` with its size (and whether it may be null)."""
    if one.arguments is not None:
        return one.arguments  # type: ignore[no-any-return]
    btf = w.program.btf
    if btf is None or not one.type_id:
        raise Rejected(R.CALLS, f"the type of {one.name} is not known")
    tags = _tags(btf, one.type_id)
    found: list[tuple[str, int, Any]] = []
    parameters = btf.parameters(one.type_id)
    if len(parameters) > 5:
        raise Rejected(R.CALLS, f"{one.name} takes more than five arguments")
    for position, parameter in enumerate(parameters):
        beneath = btf.resolve(parameter.type_id)
        kind = btf.kind(beneath)
        own = tags.get(position, ())
        if kind in (Kind.INT, Kind.ENUM, Kind.ENUM64):
            found.append(("number", 0, own))
            continue
        if kind == Kind.PTR:
            target = btf.resolve(btf.type_of(beneath))
            name = btf.name(target)
            if "arg:ctx" in own or (name in _CONTEXT_NAMES and btf.kind(target) == Kind.STRUCT):
                found.append(("context", 0, own))
                continue
            if "arg:arena" in own:
                found.append(("arena", 0, own))
                continue
            if target and btf.kind(target) not in (Kind.FWD, Kind.FUNC_PROTO, Kind.VOID):
                found.append(("memory", btf.size(target), own))
                continue
        raise Rejected(R.CALLS, f"argument {position + 1} of {one.name} is of a type that global functions cannot take",
                       "a static function, or numbers and pointers to plain structs")
    one.arguments = found
    return found


_CONTEXT_NAMES = frozenset({"__sk_buff", "xdp_md", "bpf_user_pt_regs_t", "pt_regs", "bpf_perf_event_data", "bpf_sock",
                            "bpf_sock_addr", "bpf_sock_ops", "sk_msg_md", "bpf_cgroup_dev_ctx", "bpf_sysctl",
                            "bpf_sockopt", "sk_reuseport_md", "bpf_sk_lookup", "bpf_raw_tracepoint_args"})


def _tags(btf: Any, type_id: int) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    for number in btf.ids():
        if btf.kind(number) == Kind.DECL_TAG and btf.type_of(number) == type_id:
            position = btf.tag_component(number)
            found[position] = (*found.get(position, ()), btf.name(number))
    return found


def by_type(w: Walk, one: Subprogram, state: State) -> None:
    """The registers with which a global function starts."""
    regs = state.frames[0].regs
    for position, (kind, size, tags) in enumerate(_parameters(w, one)):
        if kind == "number":
            reg = unknown()
        elif kind == "context":
            reg = zero_offset(K.CTX)
        elif kind == "arena":
            reg = unknown()
            reg.type = K.ARENA
        else:
            reg = zero_offset(K.MEM | (0 if "arg:nonnull" in tags else K.MAYBE_NULL))
            reg.range = size
            reg.id = w.new_id()
        regs[position + 1] = reg


def check_global(w: Walk, one: Subprogram) -> None:
    """A call of a global function: only the types count."""
    for position, (kind, size, tags) in enumerate(_parameters(w, one)):
        number = position + 1
        reg = w.state.regs[number]
        if kind == "number":
            if reg.type != SCALAR:
                raise Rejected(R.CALLS, f"r{number} is not a number, as {one.name} takes", "", (number,))
        elif kind == "context":
            if reg.type != K.CTX:
                raise Rejected(R.CALLS, f"r{number} is not the context, as {one.name} takes", "", (number,))
            memory.check_offset_is_plain(w, number)
        elif kind == "memory":
            if _is_null(reg) and "arg:nonnull" not in tags:
                continue
            if reg.type & K.MAYBE_NULL and "arg:nonnull" in tags:
                raise Rejected(R.NULL, f"r{number} may be null, and {one.name} takes no null", "", (number,))
            checked = reg
            if reg.type & K.MAYBE_NULL:
                checked = reg.copy()
                checked.type &= ~K.MAYBE_NULL
            helper = Call(w, 0, Prototype(one.name, (), "int", frozenset()))
            if checked.type & K.BASE not in _MEMORY:
                raise Rejected(R.CALLS, f"r{number} is not memory, as {one.name} takes", "", (number,))
            try:
                helper._bytes(number, checked, size, False, False, False)
                helper._bytes(number, checked, size, True, False, False)
            except Rejected as error:
                raise Rejected(R.CALLS, error.message, error.missing, (number,)) from None

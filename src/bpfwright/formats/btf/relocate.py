"""Applies CO-RE relocations: computes what each asks of the target kernel and patches the instruction.

What cannot be had (a missing field, candidates that disagree) poisons its instruction: the verifier refuses the program
only if it can be reached, and `Relocator.poisoned` then says why.
"""
from __future__ import annotations

from struct import Struct

from bpfwright._abi import bpf as B
from bpfwright._typing import Callable, Iterable, NamedTuple
from bpfwright.errors import RelocationError
from bpfwright.formats.btf.match import (
    Access,
    candidates,
    essential,
    local_access,
    match_access,
    parse_access,
    types_compatible,
    types_match,
)
from bpfwright.formats.btf.reader import Btf, Kind

__all__ = ["POISON", "Outcome", "Relocator"]

POISON = 0xBAD2310          # the same number as libbpf's: kernels and people know it
_TYPE_KINDS = frozenset({B.BPF_CORE_TYPE_ID_TARGET, B.BPF_CORE_TYPE_EXISTS, B.BPF_CORE_TYPE_SIZE,
                         B.BPF_CORE_TYPE_MATCHES})
_ENUM_KINDS = frozenset({B.BPF_CORE_ENUMVAL_EXISTS, B.BPF_CORE_ENUMVAL_VALUE})
_ABSENT_IS_ZERO = _TYPE_KINDS | {B.BPF_CORE_FIELD_EXISTS, B.BPF_CORE_ENUMVAL_EXISTS}


class Outcome(NamedTuple):
    """A relocation's result: the value, the accessed field's size in bytes (0: no access) and type, or why there is
    none. `size` and `local_size` differ when a load must change its width."""

    value: int
    size: int = 0
    local_size: int = 0
    resizable: bool = True
    missing: str = ""


class _Field(NamedTuple):
    value: int
    size: int
    type_id: int


class Relocator:
    """CO-RE for one object against one kernel.

    `target` is the kernel's BTF; `more` gives modules' BTF, asked only for names that the kernel lacks.
    """

    def __init__(self, local: Btf | bytes, target: Btf, more: Callable[[], Iterable[Btf]] = tuple) -> None:
        self.local = Btf(local) if isinstance(local, bytes) else local
        self.target = target
        self._more = more
        self._candidates: dict[int, list[tuple[Btf, int]]] = {}
        self._outcomes: dict[tuple[int, str, int], Outcome] = {}
        self.poisoned: dict[tuple[str, int], str] = {}

    def apply(self, name: str, code: bytes, relocations: Iterable[tuple[int, int, str, int]]) -> bytes:
        """The instructions of function `name` with its relocations applied.

        A relocation is (instruction, local type, access string, kind), as spec.objects.CoreRelocation.
        """
        insns = bytearray(code)
        for index, type_id, access, kind in relocations:
            outcome = self.outcome(type_id, access, kind)
            reason = outcome.missing or _patch(insns, index, outcome, self.local.big_endian)
            if reason:
                self.poisoned[name, index] = reason
                _poison(insns, index, self.local.big_endian)
        return bytes(insns)

    def outcome(self, type_id: int, access: str, kind: int) -> Outcome:
        """What a relocation comes to; the same question is answered once."""
        key = type_id, access, kind
        if key not in self._outcomes:
            self._outcomes[key] = self._compute(*key)
        return self._outcomes[key]

    def _compute(self, type_id: int, access: str, kind: int) -> Outcome:
        if kind == B.BPF_CORE_TYPE_ID_LOCAL:
            return Outcome(type_id)
        if not 0 <= kind <= B.BPF_CORE_TYPE_MATCHES:
            raise RelocationError(f"unknown kind {kind} of CO-RE relocation")
        if not self.local.name(type_id):
            raise RelocationError(f"CO-RE relocation against anonymous type {type_id}")
        if kind in _TYPE_KINDS:
            parse_access(access)
            answers = [self._type(type_id, kind, target) for target in self._found(type_id)]
            return self._agree(answers, type_id, kind, "")
        if kind in _ENUM_KINDS:
            return self._enumerator(type_id, access, kind)
        spec = local_access(self.local, type_id, access)
        here = _field_value(spec, kind) if kind != B.BPF_CORE_FIELD_EXISTS else _Field(1, 0, 0)
        fields = [self._field(spec, kind, here, target) for target in self._found(type_id)]
        return self._agree(fields, type_id, kind, ".".join(step.name for step in spec.steps if step.name))

    def _found(self, type_id: int) -> list[tuple[Btf, int]]:
        if type_id not in self._candidates:
            found = [(self.target, candidate) for candidate in candidates(self.local, type_id, self.target)]
            for btf in self._more() if not found else ():
                found += [(btf, candidate) for candidate in candidates(self.local, type_id, btf)]
            self._candidates[type_id] = found
        return self._candidates[type_id]

    def _agree(self, answers: list[tuple[Outcome, int] | None], type_id: int, kind: int, what: str) -> Outcome:
        """One answer of all candidates that have one; none, or differing ones, poison."""
        name = f"{Kind.NAMES[self.local.kind(type_id)]} {essential(self.local.name(type_id))}"
        given = [answer for answer in answers if answer is not None]
        if not given:
            if kind in _ABSENT_IS_ZERO:
                return Outcome(0)
            wanted = f"{what!r} of {name}" if what else name
            return Outcome(0, missing=f"{wanted} is not in this kernel")
        # Candidates that agree in value and place are one; the number of a type is never ambiguous by itself.
        distinct = {(outcome.value, offset) for outcome, offset in given}
        if len(distinct) > 1 and kind != B.BPF_CORE_TYPE_ID_TARGET:
            return Outcome(0, missing=f"this kernel has several types {name}, which differ in {what or 'size'}")
        return given[0][0]

    # One candidate each

    def _type(self, type_id: int, kind: int, target: tuple[Btf, int]) -> tuple[Outcome, int] | None:
        btf, candidate = target
        same = types_match if kind == B.BPF_CORE_TYPE_MATCHES else types_compatible
        if not same(self.local, type_id, btf, candidate):
            return None
        if kind == B.BPF_CORE_TYPE_SIZE:
            return Outcome(btf.size(candidate)), 0
        return Outcome(candidate if kind == B.BPF_CORE_TYPE_ID_TARGET else 1), 0

    def _enumerator(self, type_id: int, access: str, kind: int) -> Outcome:
        number = parse_access(access)[0]
        root = self.local.resolve(type_id)
        values = self.local.enumerators(root)
        if number >= len(values):
            raise RelocationError(f"enum {self.local.name(type_id)} has no enumerator {number}")
        name = essential(values[number].name)
        answers: list[tuple[Outcome, int] | None] = []
        for btf, candidate in self._found(type_id):
            resolved = btf.resolve(candidate)
            if btf.kind(resolved) not in Kind.ENUMS:
                continue
            value = next((item.value for item in btf.enumerators(resolved) if essential(item.name) == name), None)
            if value is not None:
                answers.append((Outcome(1 if kind == B.BPF_CORE_ENUMVAL_EXISTS else value), 0))
        return self._agree(answers, type_id, kind, name)

    def _field(self, spec: Access, kind: int, here: _Field, target: tuple[Btf, int]) -> tuple[Outcome, int] | None:
        found = match_access(spec, *target)
        if found is None:
            return None
        if kind == B.BPF_CORE_FIELD_EXISTS:
            return Outcome(1), 0
        there = _field_value(found, kind)
        resizable = here.size == there.size or _resizable(spec.btf, here.type_id, found.btf, there.type_id)
        return Outcome(there.value, there.size, here.size, resizable), found.bit_offset


def _field_value(access: Access, kind: int) -> _Field:
    """A field relocation's value in one BTF; size and type only for byte offsets of what a load can read whole."""
    btf, step, offset = access.btf, access.steps[-1], access.bit_offset
    if not step.name:
        size = btf.size(step.type_id)
        if kind == B.BPF_CORE_FIELD_BYTE_OFFSET:
            return _Field(offset // 8, size, step.type_id)
        if kind == B.BPF_CORE_FIELD_BYTE_SIZE:
            return _Field(size, 0, 0)
        raise RelocationError("only offset and size are known of array elements")
    member = btf.member_at(step.type_id, step.index)
    type_id = btf.resolve(member.type_id)
    size = btf.size(type_id)
    bits, byte = member.bit_size or 8 * size, offset // 8
    if member.bit_size:
        size, byte = _bit_field_storage(offset, bits, size)
    if kind == B.BPF_CORE_FIELD_BYTE_OFFSET:
        return _Field(byte, 0 if member.bit_size else size, type_id)
    if kind == B.BPF_CORE_FIELD_BYTE_SIZE:
        return _Field(size, 0, 0)
    if kind == B.BPF_CORE_FIELD_SIGNED:
        signed = btf.kind_flag(type_id) if btf.kind(type_id) in Kind.ENUMS else btf.int_encoding(type_id).signed
        return _Field(int(signed), 0, 0)
    if kind == B.BPF_CORE_FIELD_LSHIFT_U64:
        if btf.big_endian:
            return _Field((8 - size) * 8 + (offset - byte * 8), 0, 0)
        return _Field(64 - (offset + bits - byte * 8), 0, 0)
    return _Field(64 - bits, 0, 0)


def _bit_field_storage(offset: int, bits: int, size: int) -> tuple[int, int]:
    """The smallest aligned load that covers a bit field: its size and place in bytes."""
    size = max(size, 1)
    byte = offset // 8 // size * size
    while offset + bits - byte * 8 > size * 8:
        if size >= 8:
            raise RelocationError("a bit field that no load covers")
        size *= 2
        byte = offset // 8 // size * size
    return size, byte


def _resizable(local: Btf, ours: int, target: Btf, theirs: int) -> bool:
    """A load may change its width for pointers and unsigned integers: zero extension is right for both."""
    ours, theirs = local.resolve(ours), target.resolve(theirs)
    kinds = local.kind(ours), target.kind(theirs)
    if kinds == (Kind.PTR, Kind.PTR):
        return True
    return kinds == (Kind.INT, Kind.INT) and not local.int_encoding(ours).signed \
        and not target.int_encoding(theirs).signed


_SIZE_BITS = {8: 0x18, 4: 0x00, 2: 0x08, 1: 0x10}
_ALU_CLASSES, _MEMORY_CLASSES, _LDIMM64 = (4, 7), (1, 2, 3), 0x18


def _slot(big_endian: bool) -> Struct:
    return Struct(">BBhi" if big_endian else "<BBhi")


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _patch(insns: bytearray, index: int, outcome: Outcome, big_endian: bool) -> str:
    """Write a value into an instruction; a reason instead when the instruction cannot hold it."""
    slot, at = _slot(big_endian), 8 * index
    if at + 8 > len(insns):
        raise RelocationError(f"a CO-RE relocation of instruction {index}, outside the function")
    opcode, registers, offset, imm = slot.unpack_from(insns, at)
    value = outcome.value
    if opcode == _LDIMM64:
        if at + 16 > len(insns):
            raise RelocationError("half a 64-bit load")
        slot.pack_into(insns, at, opcode, registers, offset, _signed(value))
        slot.pack_into(insns, at + 8, 0, 0, 0, _signed(value >> 32))
    elif opcode & 7 in _ALU_CLASSES and not opcode & 8:
        if not -(1 << 31) <= value < 1 << 32:
            return f"{value} does not fit the instruction"
        slot.pack_into(insns, at, opcode, registers, offset, _signed(value))
    elif opcode & 7 in _MEMORY_CLASSES:
        if not 0 <= value <= 0x7FFF:
            return f"offset {value} does not fit the instruction"
        if not outcome.resizable:
            return "the field has another size in this kernel, and a sign"
        if outcome.size != outcome.local_size:
            if outcome.size not in _SIZE_BITS:
                return f"a field of {outcome.size} bytes is no single load"
            opcode = opcode & ~0x18 | _SIZE_BITS[outcome.size]
        slot.pack_into(insns, at, opcode, registers, value, imm)
    else:
        raise RelocationError(f"a CO-RE relocation of opcode {opcode:#04x}")
    return ""


def _poison(insns: bytearray, index: int, big_endian: bool) -> None:
    """Replace an instruction by a call that no kernel has."""
    slots = 2 if insns[8 * index] == _LDIMM64 else 1
    for at in range(8 * index, 8 * (index + slots), 8):
        _slot(big_endian).pack_into(insns, at, 0x85, 0, 0, POISON)

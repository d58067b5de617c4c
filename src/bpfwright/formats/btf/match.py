"""CO-RE matching: which types of a kernel answer to a type of a program, and where its fields are there.

The rules are libbpf's (and the kernel's own relo_core.c): what follows `___` in a name is a flavour and ignored, fields
are found by name and through anonymous members, and types need to agree in kind rather than in size.
"""
from __future__ import annotations

from bpfwright._typing import Iterator, NamedTuple
from bpfwright.errors import BtfError, RelocationError
from bpfwright.formats.btf.reader import Btf, Kind

__all__ = ["Access", "Step", "candidates", "essential", "local_access", "match_access", "types_compatible",
           "types_match"]

_MAX_STEPS, _MAX_DEPTH = 64, 32


class Step(NamedTuple):
    """One step of an access: the composite or element type it is in, the position, and the field's name (or empty)."""

    type_id: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    name: str


class Access(NamedTuple):
    """An access resolved in one BTF: `bit_offset` from the root's beginning."""

    btf: Btf
    root: int
    steps: tuple[Step, ...]
    raw: tuple[int, ...]
    bit_offset: int


def essential(name: str) -> str:
    """A type's name without its flavour.

        >>> essential("task_struct___old")
        'task_struct'
    """
    at = name.rfind("___")
    return name[:at] if at > 0 and name[at + 3:] and name[at - 1] != "_" else name


def _core_kind(kind: int) -> int:
    return Kind.ENUM if kind == Kind.ENUM64 else kind


def candidates(local: Btf, type_id: int, target: Btf) -> Iterator[int]:
    """The types of a target that have the local type's essential name and kind."""
    kind = _core_kind(local.kind(type_id))
    for found in target.find_all(essential(local.name(type_id))):
        if _core_kind(target.kind(found)) == kind:
            yield found


def parse_access(text: str) -> tuple[int, ...]:
    """`0:4:1` as numbers."""
    try:
        numbers = tuple(int(part) for part in text.split(":"))
    except ValueError:
        raise RelocationError(f"malformed access string {text!r}") from None
    if not numbers or len(numbers) > _MAX_STEPS or min(numbers) < 0:
        raise RelocationError(f"malformed access string {text!r}")
    return numbers


def local_access(btf: Btf, root: int, text: str) -> Access:
    """Resolve the access string of a field in the types that the program was compiled with."""
    raw = parse_access(text)
    type_id = btf.resolve(root)
    steps = [Step(type_id, raw[0], "")]
    offset = raw[0] * btf.size(type_id) * 8
    for number in raw[1:]:
        kind = btf.kind(type_id)
        if kind in Kind.COMPOSITES:
            member = btf.member_at(type_id, number)
            offset += member.bit_offset
            if member.name:
                steps.append(Step(type_id, number, member.name))
            type_id = btf.resolve(member.type_id)
        elif kind == Kind.ARRAY:
            element = btf.array(type_id)
            if number >= element.count and not _flexible(btf, steps, element.count):
                raise RelocationError(f"access {text!r} lies outside its array")
            type_id = btf.resolve(element.type_id)
            offset += number * btf.size(type_id) * 8
            steps.append(Step(type_id, number, ""))
        else:
            raise RelocationError(f"access {text!r} goes into a {Kind.NAMES[kind]}")
    return Access(btf, root, tuple(steps), raw, offset)


def _flexible(btf: Btf, steps: list[Step], count: int) -> bool:
    """The array just reached is the last member of its struct and may be longer than it says."""
    step = steps[-1]
    if not step.name or count > 1:
        return False
    return step.index == btf.vlen(step.type_id) - 1


def match_access(local: Access, target: Btf, candidate: int) -> Access | None:
    """The same access in a candidate, or None when it has no such field."""
    type_id = target.resolve(candidate)
    steps: list[Step] = []
    offset = 0
    for position, step in enumerate(local.steps):
        if step.name:
            found = _find_member(local, step, target, type_id)
            if found is None:
                return None
            trail, type_id, added = found
            steps.append(trail)
            offset += added
            continue
        if position:
            if target.kind(type_id) != Kind.ARRAY:
                return None
            element = target.array(type_id)
            if step.index >= element.count and not _flexible(target, steps, element.count):
                return None
            type_id = target.resolve(element.type_id)
        offset += step.index * target.size(type_id) * 8
        steps.append(Step(type_id, step.index, ""))
    return Access(target, candidate, tuple(steps), (), offset)


def _find_member(local: Access, step: Step, target: Btf, type_id: int,
                 depth: int = 0) -> tuple[Step, int, int] | None:
    """A member of that name, also inside anonymous ones: (step, its resolved type, bits from the beginning)."""
    if target.kind(type_id) not in Kind.COMPOSITES or depth > _MAX_DEPTH:
        return None
    for index, member in enumerate(target.members(type_id)):
        if not member.name:
            inner = _find_member(local, step, target, target.resolve(member.type_id), depth + 1)
            if inner is not None:
                return inner[0], inner[1], member.bit_offset + inner[2]
        elif member.name == step.name:
            wanted = local.btf.member_at(step.type_id, step.index).type_id
            if not fields_compatible(local.btf, wanted, target, member.type_id):
                return None
            return Step(type_id, index, member.name), target.resolve(member.type_id), member.bit_offset
    return None


def fields_compatible(local: Btf, local_id: int, target: Btf, target_id: int) -> bool:
    """Two fields' types are near enough for an access to mean the same."""
    for _ in range(_MAX_DEPTH):
        local_id, target_id = local.resolve(local_id), target.resolve(target_id)
        kind = _core_kind(local.kind(local_id))
        if kind in Kind.COMPOSITES and target.kind(target_id) in Kind.COMPOSITES:
            return True
        if kind != _core_kind(target.kind(target_id)):
            return False
        if kind in (Kind.FWD, Kind.ENUM):
            ours, theirs = essential(local.name(local_id)), essential(target.name(target_id))
            return not ours or not theirs or ours == theirs
        if kind == Kind.INT:
            return not local.int_encoding(local_id).bit_offset and not target.int_encoding(target_id).bit_offset
        if kind != Kind.ARRAY:
            return kind in (Kind.PTR, Kind.FLOAT)
        local_id, target_id = local.array(local_id).type_id, target.array(target_id).type_id
    raise BtfError("an array of itself")


def types_compatible(local: Btf, local_id: int, target: Btf, target_id: int, depth: int = 0) -> bool:
    """Two types are of the same shape as far as pointers, arrays and prototypes go; names are not looked at."""
    if depth > _MAX_DEPTH:
        return False
    local_id, target_id = local.resolve(local_id), target.resolve(target_id)
    kind = _core_kind(local.kind(local_id))
    if kind != _core_kind(target.kind(target_id)):
        return False
    if kind == Kind.INT:
        return not local.int_encoding(local_id).bit_offset and not target.int_encoding(target_id).bit_offset
    if kind == Kind.PTR:
        return types_compatible(local, local.type_of(local_id), target, target.type_of(target_id), depth + 1)
    if kind == Kind.ARRAY:
        return types_compatible(local, local.array(local_id).type_id, target, target.array(target_id).type_id,
                                depth + 1)
    if kind == Kind.FUNC_PROTO:
        pairs = _prototype_pairs(local, local_id, target, target_id)
        return pairs is not None and all(types_compatible(local, ours, target, theirs, depth + 1)
                                         for ours, theirs in pairs)
    return kind in (Kind.VOID, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FWD, Kind.FLOAT)


def _prototype_pairs(local: Btf, local_id: int, target: Btf, target_id: int) -> list[tuple[int, int]] | None:
    """Parameters and result, paired; None when the counts differ."""
    ours, theirs = local.parameters(local_id), target.parameters(target_id)
    if len(ours) != len(theirs):
        return None
    pairs = [(mine.type_id, other.type_id) for mine, other in zip(ours, theirs)]
    return [*pairs, (local.type_of(local_id), target.type_of(target_id))]


def types_match(local: Btf, local_id: int, target: Btf, target_id: int, *, behind_pointer: bool = False,
                depth: int = 0) -> bool:
    """Two types agree in names, sizes and every member that the local one has (bpf_core_type_matches)."""
    if depth > _MAX_DEPTH:
        return False
    local_id, target_id = local.resolve(local_id), target.resolve(target_id)
    if essential(local.name(local_id)) != essential(target.name(target_id)):
        return False
    ours, theirs = local.kind(local_id), target.kind(target_id)
    if behind_pointer and (Kind.FWD in (ours, theirs)) and (ours in (Kind.FWD, *Kind.COMPOSITES)) \
            and theirs in (Kind.FWD, *Kind.COMPOSITES):
        return _forwarded(local, local_id) == _forwarded(target, target_id)
    if _core_kind(ours) != _core_kind(theirs):
        return False
    if ours in Kind.ENUMS:
        names = {essential(item.name) for item in target.enumerators(target_id)}
        return (behind_pointer or local.size(local_id) == target.size(target_id)) and all(
            essential(item.name) in names for item in local.enumerators(local_id))
    if ours in Kind.COMPOSITES:
        return behind_pointer or _members_match(local, local_id, target, target_id, depth)
    if ours == Kind.INT:
        return (local.size(local_id) == target.size(target_id)
                and local.int_encoding(local_id).signed == target.int_encoding(target_id).signed)
    if ours == Kind.PTR:
        return types_match(local, local.type_of(local_id), target, target.type_of(target_id), behind_pointer=True,
                           depth=depth + 1)
    if ours == Kind.ARRAY:
        mine, other = local.array(local_id), target.array(target_id)
        return mine.count == other.count and types_match(local, mine.type_id, target, other.type_id,
                                                         behind_pointer=behind_pointer, depth=depth + 1)
    if ours == Kind.FUNC_PROTO:
        pairs = _prototype_pairs(local, local_id, target, target_id)
        return pairs is not None and all(types_match(local, mine, target, other, behind_pointer=behind_pointer,
                                                     depth=depth + 1) for mine, other in pairs)
    return True


def _forwarded(btf: Btf, type_id: int) -> int:
    kind = btf.kind(type_id)
    return (Kind.UNION if btf.kind_flag(type_id) else Kind.STRUCT) if kind == Kind.FWD else kind


def _members_match(local: Btf, local_id: int, target: Btf, target_id: int, depth: int) -> bool:
    theirs = dict(_flat_members(target, target_id))
    return all(name in theirs and types_match(local, type_id, target, theirs[name], depth=depth + 1)
               for name, type_id in _flat_members(local, local_id))


def _flat_members(btf: Btf, type_id: int, depth: int = 0) -> Iterator[tuple[str, int]]:
    for member in btf.members(type_id) if depth < _MAX_DEPTH else ():
        inner = btf.resolve(member.type_id)
        if not member.name and btf.kind(inner) in Kind.COMPOSITES:
            yield from _flat_members(btf, inner, depth + 1)
        else:
            yield member.name, member.type_id

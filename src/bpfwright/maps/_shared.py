"""What hash-like and array-like map types have in common: operations of the dialect, and bytes in and out."""
from __future__ import annotations

from bpfwright._typing import Any, Iterator, NoReturn
from bpfwright.errors import MapFull
from bpfwright.spec.dialect import Loop, Operation, Value
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import (BOOLEAN, NOTHING, Constant, InnerMap, Meaning, Nothing, Optional, Reference,
                                    TupleOf, meaning_of)
from bpfwright.types.ctype import CType, Int

__all__ = ["declaration", "map_pointer", "refuse_getitem"]

LOOKUP, UPDATE, DELETE, PUSH, POP, PEEK, FOR_EACH = 1, 2, 3, 87, 88, 89, 164
ANY, NOEXIST, EXIST = 0, 1, 2


def declaration(site: Any) -> Any:
    """The declared map that an operation is used on."""
    receiver = site.receiver
    return receiver.value if isinstance(receiver, Constant) else receiver.declaration


def map_pointer(b: Any, site: Any) -> int:
    """A pointer to it: a constant, or what was found in a map of maps."""
    if isinstance(site.receiver, InnerMap):
        found: int = site.receiver_value().only
        return found
    pointer: int = b.map(declaration(site))
    return pointer


def stored(ctype: CType, space: str) -> Meaning:
    """What a look-up gives: a place in the map for records, the value for scalars."""
    return meaning_of(ctype, space)


# get, in, insert, m[k] = v, pop, increment


def _check_get(site: Any) -> Meaning:
    site.bind("key")
    map_ = declaration(site)
    site.fits("key", map_.key)
    return Optional(stored(map_.value, map_.space))


def _lower_get(b: Any, site: Any) -> Value:
    map_ = declaration(site)
    pointer = b.helper_pointer(LOOKUP, map_pointer(b, site), map_.key_address(b, site, "key"))
    found: Value = b.optional_memory(pointer, map_.value, map_.space)
    return found


def _check_contains(site: Any) -> Meaning:
    site.bind("key")
    site.fits("key", declaration(site).key)
    return BOOLEAN


def _lower_contains(b: Any, site: Any) -> Value:
    map_ = declaration(site)
    pointer = b.helper_pointer(LOOKUP, map_pointer(b, site), map_.key_address(b, site, "key"))
    return Value(BOOLEAN, b.op("ne", "i1", pointer, b.null()))


def _check_insert(site: Any) -> Meaning:
    site.bind("key", "value", only_new=False)
    map_ = declaration(site)
    site.fits("key", map_.key)
    site.fits("value", map_.value)
    return BOOLEAN


def _lower_insert(b: Any, site: Any) -> Value:
    map_ = declaration(site)
    key, value = map_.key_address(b, site, "key"), site.address("value", map_.value)
    flags = NOEXIST if site.given("only_new") and site.constant("only_new") else ANY
    failed = b.helper(UPDATE, map_pointer(b, site), key, value, b.number(flags))
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


def _check_set(site: Any) -> Meaning:
    _check_insert(site)
    return NOTHING


def _lower_set(b: Any, site: Any) -> Value:
    done = _lower_insert(b, site)
    with b.unless(done.only):
        b.count_lost(declaration(site))
    return Value(NOTHING)


def _check_pop(site: Any) -> Meaning:
    site.bind("key", "default")
    map_ = declaration(site)
    site.fits("key", map_.key)
    if not isinstance(site.meaning("default"), Nothing):
        site.refuse("pop() gives None for what is missing", "Write pop(key, None).")
    inner = stored(map_.value, "stack")
    return Optional(inner)


def _lower_pop(b: Any, site: Any) -> Value:
    map_ = declaration(site)
    ctype = map_.value
    map_at = map_pointer(b, site)
    key = map_.key_address(b, site, "key")
    found = b.helper_pointer(LOOKUP, map_at, key)
    meaning = site.node.meaning
    present = b.op("ne", "i1", found, b.null())

    def take() -> Value:
        if isinstance(meaning.inner, Reference):
            place = b.memory(ctype.size, "popped")
            b.copy(place, found, ctype.size, 8, 8)  # both are memory of their own, which starts aligned
            b.helper(DELETE, map_at, key)
            return Value(meaning.inner, place)
        value: Value = b.read(ctype, found, 0, map_.space)
        b.helper(DELETE, map_at, key)
        return value

    result: Value = b.some(meaning, present, take)
    return result


def _check_discard(site: Any) -> Meaning:
    site.bind("key")
    site.fits("key", declaration(site).key)
    return BOOLEAN


def _lower_discard(b: Any, site: Any) -> Value:
    failed = b.helper(DELETE, map_pointer(b, site), declaration(site).key_address(b, site, "key"))
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


def _check_increment(site: Any) -> Meaning:
    site.bind("key", by=1)
    map_ = declaration(site)
    site.fits("key", map_.key)
    site.integer("by")
    if not isinstance(map_.value, Int) or map_.value.size not in (4, 8):
        site.refuse("increment() needs values of u32 or u64", "Use get() and `+=` on a field.")
    return NOTHING


def _lower_increment(b: Any, site: Any) -> Value:
    """Look up and add; where there is nothing yet, insert zero first, so that no CPU's share is lost."""
    map_ = declaration(site)
    ctype = map_.value
    width = f"i{ctype.bits}"
    by = b.truncate(b.numeric(site.value("by"))[0], width)
    key = map_.key_address(b, site, "key")
    map_at = map_pointer(b, site)
    slot = b.slot(8, 8, "found")
    b.store(slot, b.helper_pointer(LOOKUP, map_at, key))
    if not map_.fixed_length:
        with b.when(b.is_null(b.load("ptr", slot))):
            zero = b.slot(ctype.size, ctype.size, "zero")
            b.store(zero, b.number(0, width))
            b.helper(UPDATE, map_at, key, zero, b.number(NOEXIST))
            b.store(slot, b.helper_pointer(LOOKUP, map_at, key))
            with b.when(b.is_null(b.load("ptr", slot))):
                b.count_lost(map_)
    found = b.load("ptr", slot)
    with b.unless(b.is_null(found)):
        if map_.space == "percpu":
            b.store(found, b.op("add", width, b.load(width, found), by))
        else:
            b.op("atomic", width, "add", found, by)
    return Value(NOTHING)


def _refuse_item(site: Any) -> NoReturn:
    site.refuse("m[k] raises KeyError in Python, and the kernel has no exceptions",
                "Write m.get(key), and test it for None.")
    raise AssertionError


def refuse_getitem() -> Operation:
    """`m[k]` on a map whose entries may be missing."""
    return Operation(_refuse_item, _lower_get)


# for key, value in m.items()


def _walk_check(style: str) -> Any:
    def check(site: Any) -> Meaning:
        site.bind()
        map_ = declaration(site)
        key, value = meaning_of(map_.key, "stack"), meaning_of(map_.value, map_.space)
        return {"items": TupleOf((key, value)), "keys": key, "values": value}[style]

    return check


def _walk_item(style: str) -> Any:
    def item(b: Any, site: Any, params: list[int]) -> Value:
        map_ = declaration(site)
        key = b.read(map_.key, params[1], 0, "stack")
        value = b.read(map_.value, params[2], 0, map_.space)
        if style == "items":
            return Value(TupleOf((key.meaning, value.meaning)), *key.parts, *value.parts)
        found: Value = key if style == "keys" else value
        return found

    return item


def _walk_run(b: Any, site: Any, function: int, frame: int) -> None:
    b.helper(FOR_EACH, map_pointer(b, site), function, frame, b.number(0))


def _walk_parameters(site: Any) -> list[str]:
    return ["ptr", "ptr", "ptr"]


def walk(style: str) -> Loop:
    """`for ... in m.items()` by bpf_for_each_map_elem (since Linux 5.13)."""
    return Loop(_walk_check(style), _walk_item(style), "callback", _walk_parameters, _walk_run)


GET = Operation(_check_get, _lower_get)
CONTAINS = Operation(_check_contains, _lower_contains)
INSERT = Operation(_check_insert, _lower_insert)
SET = Operation(_check_set, _lower_set)
POP_ENTRY = Operation(_check_pop, _lower_pop)
DISCARD = Operation(_check_discard, _lower_discard)
INCREMENT = Operation(_check_increment, _lower_increment)
WALKS = {"items": walk("items"), "keys": walk("keys"), "values": walk("values"), "__iter__": walk("keys")}


class Keyed(MapDeclaration):
    """Outside: bytes to typed keys and values."""

    def key_address(self, b: Any, site: Any, name: str) -> int:
        """A pointer to the key's bytes, inside a program."""
        found: int = site.address(name, self.key)
        return found

    @property
    def _value_type(self) -> CType:
        assert self.value is not None
        return self.value

    def _key_bytes(self, key: Any) -> bytes:
        assert self.key is not None
        return self.key.to_bytes(key)

    def _key_from(self, data: bytes) -> Any:
        assert self.key is not None
        return self.key.from_bytes(data)

    def _value_bytes(self, value: Any) -> bytes:
        assert self.value is not None
        return self.value.to_bytes(value)

    def _value_from(self, data: bytes) -> Any:
        assert self.value is not None
        return self.value.from_bytes(data)

    def _keys(self) -> Iterator[Any]:
        """Every key, also while entries are deleted: each is remembered, and a lost place starts again."""
        handle: Any = self.handle
        for raw in handle.keys():  # noqa: SIM118
            yield self._key_from(raw)


def full(error: Exception, what: str) -> Exception:
    """MapFull for an update that found no room."""
    del error
    return MapFull(f"{what} is full", cure="Raise max_entries, or use an LRU map.")


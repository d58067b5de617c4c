"""The Arrow C data interface, written out: schema, array and stream structs over NumPy's memory.

https://arrow.apache.org/docs/format/CDataInterface.html and CStreamInterface.html. The structs are handed over in
PyCapsules; whoever takes them calls `release`, which lets go of the memory here.
"""
from __future__ import annotations

import ctypes
import errno
import itertools

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.events.schema import Column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bpfwright.events.columns import Columns

__all__ = ["schema_capsule", "stream_capsule"]


class _Schema(ctypes.Structure):
    _fields_ = [("format", ctypes.c_char_p), ("name", ctypes.c_char_p), ("metadata", ctypes.c_void_p),
                ("flags", ctypes.c_int64), ("n_children", ctypes.c_int64), ("children", ctypes.c_void_p),
                ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p)]


class _Array(ctypes.Structure):
    _fields_ = [("length", ctypes.c_int64), ("null_count", ctypes.c_int64), ("offset", ctypes.c_int64),
                ("n_buffers", ctypes.c_int64), ("n_children", ctypes.c_int64), ("buffers", ctypes.c_void_p),
                ("children", ctypes.c_void_p), ("dictionary", ctypes.c_void_p), ("release", ctypes.c_void_p),
                ("private_data", ctypes.c_void_p)]


class _Stream(ctypes.Structure):
    _fields_ = [("get_schema", ctypes.c_void_p), ("get_next", ctypes.c_void_p), ("get_last_error", ctypes.c_void_p),
                ("release", ctypes.c_void_p), ("private_data", ctypes.c_void_p)]


_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_GET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_DESTROY = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_ERROR = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)

# What consumers still hold: number → everything its pointers lead to.
_held: dict[int, list[Any]] = {}
_numbers = itertools.count(1)

_INTEGERS = {"i1": b"c", "u1": b"C", "i2": b"s", "u2": b"S", "i4": b"i", "u4": b"I", "i8": b"l", "u8": b"L"}


def _hold(*things: Any) -> int:
    number = next(_numbers)
    _held[number] = list(things)
    return number


def _release_children(count: int, children: int | None, kind: type[ctypes.Structure]) -> None:
    """Release the children that the consumer has not moved away."""
    for index in range(count if children else 0):
        assert children is not None
        child = ctypes.c_void_p.from_address(children + 8 * index).value
        if child and (release := kind.from_address(child).release):
            _RELEASE(release)(child)


def _release_schema(where: int) -> None:
    schema = _Schema.from_address(where)
    _release_children(schema.n_children, schema.children, _Schema)
    schema.release = None
    _held.pop(schema.private_data or 0, None)


def _release_array(where: int) -> None:
    array = _Array.from_address(where)
    _release_children(array.n_children, array.children, _Array)
    array.release = None
    _held.pop(array.private_data or 0, None)


def _pointer(kind: Any, function: Any) -> int:
    """The address of a C function that calls `function`; made once and kept."""
    made = _callbacks.get(function)
    if made is None:
        made = _callbacks[function] = kind(function)
    return ctypes.cast(made, ctypes.c_void_p).value or 0


_callbacks: dict[Any, Any] = {}


def _pointers(structs: list[Any]) -> Any:
    return (ctypes.c_void_p * len(structs))(*[ctypes.addressof(struct) for struct in structs])


def _fill_schema(schema: _Schema, name: bytes, form: bytes, children: list[_Schema]) -> _Schema:
    pointers = _pointers(children)
    schema.format, schema.name, schema.metadata, schema.flags = form, name, None, 0
    schema.n_children, schema.children, schema.dictionary = len(children), ctypes.addressof(pointers), None
    schema.release = _pointer(_RELEASE, _release_schema)
    schema.private_data = _hold(name, form, children, pointers)
    return schema


def _format(column: Column) -> tuple[bytes, list[_Schema]]:
    match column.kind:
        case "bool":
            return b"b", []
        case "text":
            return b"U", []
        case "bytes":
            return b"w:%d" % column.ctype.size, []
        case "array" if column.dtype[1:] == "u1":
            return b"w:%d" % column.length, []
        case "array":
            return b"+w:%d" % column.length, [_fill_schema(_Schema(), b"item", _INTEGERS[column.dtype[1:]], [])]
    return _INTEGERS[column.dtype[1:]], []


def _describe(target: _Schema, columns: Columns) -> None:
    children = []
    for column in columns.schema.columns:
        form, inner = _format(column)
        children.append(_fill_schema(_Schema(), column.name.encode(), form, inner))
    _fill_schema(target, b"", b"+s", children)


def _fill_array(array: _Array, length: int, buffers: list[NDArray[Any] | None], children: list[_Array]) -> _Array:
    addresses = (ctypes.c_void_p * len(buffers))(*[None if b is None else b.ctypes.data for b in buffers])
    pointers = _pointers(children)
    array.length, array.null_count, array.offset = length, 0, 0
    array.n_buffers, array.buffers = len(buffers), ctypes.addressof(addresses)
    array.n_children, array.children, array.dictionary = len(children), ctypes.addressof(pointers), None
    array.release = _pointer(_RELEASE, _release_array)
    array.private_data = _hold(buffers, addresses, children, pointers)
    return array


def _text_buffers(values: NDArray[Any]) -> list[NDArray[Any] | None]:
    """64-bit offsets and UTF-8 data; bytes that are no UTF-8 become replacement characters."""
    import numpy
    texts = values.tolist()
    joined = b"".join(texts)
    if not joined.isascii():
        texts = [text.decode("utf-8", "replace").encode() for text in texts]
        joined = b"".join(texts)
    lengths = numpy.fromiter(map(len, texts), numpy.int64, len(texts))
    data = numpy.frombuffer(joined, numpy.uint8)
    offsets = numpy.zeros(len(values) + 1, numpy.int64)
    numpy.cumsum(lengths, out=offsets[1:])
    return [None, offsets, data]


def _child(columns: Columns, column: Column) -> _Array:
    import numpy
    values = numpy.ascontiguousarray(columns[column.name])
    count = columns.count
    match column.kind:
        case "bool":
            return _fill_array(_Array(), count, [None, numpy.packbits(values, bitorder="little")], [])
        case "text":
            return _fill_array(_Array(), count, _text_buffers(values), [])
        case "array" if column.dtype[1:] != "u1":
            items = _fill_array(_Array(), count * column.length, [None, values], [])
            return _fill_array(_Array(), count, [None], [items])
    return _fill_array(_Array(), count, [None, values], [])


def _new_capsule(struct: _Schema | _Stream, name: bytes) -> object:
    """A capsule over `struct` whose destructor releases what nobody took."""
    make = ctypes.pythonapi.PyCapsule_New
    make.restype, make.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    where = ctypes.addressof(struct)
    _capsules[where] = struct
    capsule: object = make(where, name, _pointer(_DESTROY, _destroy))
    return capsule


_capsules: dict[int, Any] = {}


def _destroy(capsule: int) -> None:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    where = get(capsule, name_of(capsule))
    struct = _capsules.pop(where)
    if struct.release:
        _RELEASE(struct.release)(where)


def schema_capsule(columns: Columns) -> object:
    """An `arrow_schema` capsule."""
    schema = _Schema()
    _describe(schema, columns)
    return _new_capsule(schema, b"arrow_schema")


def _get_schema(stream: int, out: int) -> int:
    try:
        _describe(_Schema.from_address(out), _held[_Stream.from_address(stream).private_data][0])
    except Exception as problem:
        return _failed(stream, problem)
    return 0


def _get_next(stream: int, out: int) -> int:
    """The one batch, then the end, which is a released array."""
    try:
        held = _held[_Stream.from_address(stream).private_data]
        array = _Array.from_address(out)
        columns, done = held[0], held[1]
        if done:
            array.release = None
            return 0
        held[1] = True
        children = [_child(columns, column) for column in columns.schema.columns]
        _fill_array(array, columns.count, [None], children)
    except Exception as problem:
        return _failed(stream, problem)
    return 0


def _failed(stream: int, problem: Exception) -> int:
    _held[_Stream.from_address(stream).private_data][2] = ctypes.create_string_buffer(repr(problem).encode())
    return errno.EIO


def _get_last_error(stream: int) -> int | None:
    message = _held[_Stream.from_address(stream).private_data][2]
    return None if message is None else ctypes.addressof(message)


def _release_stream(where: int) -> None:
    stream = _Stream.from_address(where)
    stream.release = None
    _held.pop(stream.private_data or 0, None)


def stream_capsule(columns: Columns) -> object:
    """An `arrow_array_stream` capsule that gives one batch."""
    stream = _Stream(_pointer(_GET, _get_schema), _pointer(_GET, _get_next), _pointer(_ERROR, _get_last_error),
                     _pointer(_RELEASE, _release_stream), _hold(columns, False, None))
    return _new_capsule(stream, b"arrow_array_stream")

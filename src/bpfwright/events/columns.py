"""Rows of records as columns: a mapping of names to NumPy arrays, and the doors to Arrow and pandas."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Iterator, Mapping
from bpfwright.errors import NotSupported
from bpfwright.events.ring import Rows
from bpfwright.events.schema import Column, Schema

if TYPE_CHECKING:
    import pandas
    import pyarrow
    from numpy.typing import NDArray

__all__ = ["Columns"]

_STEP_BYTES = 1 << 20


class Columns(Mapping[str, "NDArray[Any]"]):
    """The columns of a batch of events by name; nested members have dotted names.

    Integers and enums are integer arrays in host order, text is an array of NUL-padded bytes (`S16`; see `text`),
    addresses and unions are raw bytes (`V4`), arrays are two-dimensional.
    """

    def __init__(self, schema: Schema, rows: Rows) -> None:
        import numpy
        self._numpy = numpy
        self.schema = schema
        self._rows = rows
        self._columns = {column.name: column for column in schema.columns}
        self._made: dict[str, NDArray[Any]] = {}

    @property
    def count(self) -> int:
        """How many events there are; len() counts the columns."""
        return self._rows.count

    def __len__(self) -> int:
        return len(self._columns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __getitem__(self, name: str) -> NDArray[Any]:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._make(self._columns[name])
        return made

    def _make(self, column: Column) -> NDArray[Any]:
        numpy, rows = self._numpy, self._rows
        dtype = numpy.dtype(column.dtype)
        shape: tuple[int, ...] = (rows.count,)
        strides: tuple[int, ...] = (rows.stride,)
        if column.kind == "array":
            shape, strides = (*shape, column.length), (*strides, dtype.itemsize)
        if not rows.count:
            nothing: NDArray[Any] = numpy.empty(shape, dtype.newbyteorder("=") if column.kind != "bool" else bool)
            return nothing
        raw = numpy.ndarray(shape, dtype, rows.data, rows.offset + column.offset, strides)
        match column.kind:
            case "bool":
                flags: NDArray[Any] = raw != 0
                return flags
            case "text":
                return self._cut_at_nul(raw)
        values: NDArray[Any] = raw if dtype.isnative else raw.astype(dtype.newbyteorder("="))
        return _bit_field(values, column) if column.width else values

    def _cut_at_nul(self, raw: NDArray[Any]) -> NDArray[Any]:
        """A copy in which nothing stands behind the first NUL: kernel helpers leave there what was in memory before."""
        numpy = self._numpy
        text: NDArray[Any] = raw.copy()
        cells = text.view(numpy.uint8).reshape(len(text), text.itemsize)
        step = max(1, _STEP_BYTES // text.itemsize)
        for first in range(0, len(cells), step):  # in steps, so that the masks stay small
            some = cells[first:first + step]
            ends = (some == 0).argmax(axis=1)
            used = numpy.count_nonzero(some, axis=1)
            dirty = numpy.flatnonzero((used != ends) & (used != text.itemsize))
            if len(dirty):
                rows = some[dirty]
                rows[numpy.arange(text.itemsize) >= ends[dirty, None]] = 0
                some[dirty] = rows
        return text

    def text(self, name: str) -> list[str]:
        """A text column as str."""
        return [value.decode("utf-8", "surrogateescape") for value in self[name].tolist()]

    def records(self) -> Iterator[Any]:
        """The same events one by one, as frozen records."""
        rows, size = self._rows, self.schema.size
        for index in range(rows.count):
            start = index * rows.stride + rows.offset
            yield self.schema.decode(rows.data[start:start + size].tobytes())

    def __arrow_c_schema__(self) -> object:
        from bpfwright.events.arrow import schema_capsule
        return schema_capsule(self)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The Arrow C stream interface: DuckDB, Polars, pyarrow and pandas read it without copying."""
        from bpfwright.events.arrow import stream_capsule
        return stream_capsule(self)

    def to_arrow(self) -> pyarrow.Table:
        """A pyarrow Table; NotSupported when pyarrow is not installed."""
        try:
            import pyarrow
        except ImportError:
            raise NotSupported("to_arrow() needs pyarrow, which is not installed", cure="pip install pyarrow") from None
        return pyarrow.table(self)

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas DataFrame, text as str; NotSupported when pandas is not installed."""
        try:
            import pandas
        except ImportError:
            raise NotSupported("to_pandas() needs pandas, which is not installed", cure="pip install pandas") from None
        return pandas.DataFrame({column.name: self._for_pandas(column) for column in self.schema.columns})

    def _for_pandas(self, column: Column) -> object:
        match column.kind:
            case "text":
                return self.text(column.name)
            case "bytes":
                return [value.tobytes() for value in self[column.name]]
            case "array":
                return list(self[column.name])
        return self[column.name]

    def __repr__(self) -> str:
        return f"Columns({self.count} events: {', '.join(self)})"


def _bit_field(words: NDArray[Any], column: Column) -> NDArray[Any]:
    bits = words.dtype.itemsize * 8
    unsigned = words.view(f"u{bits // 8}") << (bits - column.shift - column.width)
    signed_or_not = unsigned.view(words.dtype) if column.signed else unsigned
    result: NDArray[Any] = signed_or_not >> (bits - column.width)
    return result

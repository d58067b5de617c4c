"""Messages of a running script to what the user sees: a handler for each of the plan, made at its first record."""
from __future__ import annotations

from struct import Struct as Packed

from bpfwright import _host
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterable, Mapping, Protocol
from bpfwright.facets.trace.output.maps import MapPrinter, clear, json_of, text_of, zero
from bpfwright.facets.trace.output.merging import Entry, Handle, merge
from bpfwright.facets.trace.output.values import json_reader, json_text, text_reader
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.plan import Map, Message, Plan
from bpfwright.facets.trace.types import Aggregate, Text, Tuple, offsets

if TYPE_CHECKING:
    from bpfwright.facets.trace.output.remembering import Remembering

__all__ = ["BUFFERINGS", "Handler", "Printer", "Stream"]

Handler = Callable[[bytes], "bytes | None"]
"""A whole record to what it prints on stdout at once, if anything."""

BUFFERINGS = ("none", "line", "full")
_MUCH = 1 << 16
_START = 8
_WORD = Packed("=Q").unpack_from
_SIGNED = Packed("=q").unpack_from


class Stream(Protocol):
    """A binary stream that takes all it is given, as `sys.stdout.buffer` does."""

    def write(self, data: bytes, /) -> object: ...
    def flush(self) -> object: ...


class Printer:
    """Prints one running script.

        printer = Printer(plan, world, {"@x": handle}, sys.stdout.buffer, sys.stderr.buffer)
        printer.attached(3)
        drain(...)                      # records to printer.handlers, what they give to printer.pending
        printer.flush()
        printer.finish()                # maps

    `handlers[index](record)` gives what a record prints, or None when it printed by itself or nothing. After a message
    that ends the script `exiting` is true, `exit_code` says how, and `handle` leaves records alone until `resume()`:
    what `end` probes send is printed. `flush` raises BrokenPipeError when nobody reads any more.
    `warnings=False` drops warnf and helper errors. `unwatch` is called with the address, `watch`
    with a program, the number of its attachment and the address.
    """

    def __init__(self, plan: Plan, world: World, maps: Mapping[str, Handle], out: Stream, errors: Stream, *,
                 json: bool = False, quiet: bool = False, buffering: str = "line", warnings: bool = True,
                 unwatch: Callable[[int], None] | None = None,
                 watch: Callable[[str, int, int], None] | None = None) -> None:
        self.plan = plan
        self.world = world
        self.json = json
        self.quiet = quiet
        self.warnings = warnings
        self.exiting = False
        self.exit_code = 0
        self.pending: list[bytes] = []
        self.handlers: list[Handler] = [self._later(index) for index in range(len(plan.messages))]
        self._out = out
        self._errors = errors
        self._in_pieces = buffering == "full"
        self.at_once = buffering == "none"
        self._maps = maps
        self._by_name = {map.name: map for map in plan.maps}
        self._printers: dict[str, MapPrinter] = {}
        self._unwatch = unwatch
        self._watch = watch
        self._broken = False
        self._remembering: Remembering | None = None
        self._captures: Any = None

    def _later(self, index: int) -> Handler:
        """What makes a message's handler when its first record comes: scripts have more messages than runs have."""
        def first(record: bytes) -> bytes | None:
            message = self.plan.messages[index]
            self.handlers[index] = made = _MAKERS[message.kind](self, message)
            return made(record)
        return first

    # records

    def handle(self, index: int, record: bytes) -> None:
        """Do what a record says."""
        if self.exiting:
            return
        made = self.handlers[index](record)
        if made:
            self.pending.append(made)
            if self.at_once:
                self.flush()

    def handle_batch(self, records: Iterable[tuple[int, bytes]]) -> None:
        """The same for many, and write what they print."""
        for index, record in records:
            self.handle(index, record)
        self.batch_done()

    def batch_done(self) -> None:
        """Write what is pending, unless it is to be written in large pieces and is not large yet."""
        if not self._in_pieces or sum(map(len, self.pending)) >= _MUCH:
            self.flush()

    def flush(self) -> None:
        """Write all that is pending. Raises BrokenPipeError once when nobody reads it any more; then all is dropped."""
        data = b"".join(self.pending)
        self.pending.clear()
        if self._broken:
            return
        try:
            if data:
                self._out.write(data)
            self._out.flush()
        except BrokenPipeError:
            self._broken = True
            raise

    def prepare(self, pids: Iterable[int] = ()) -> None:
        """When all is attached: make ready for naming addresses, if the script wants any named, and look at the
        processes that are traced, so that they may end."""
        if self._remembering is None:
            from bpfwright.facets.trace.output.remembering import Remembering
            self._remembering = Remembering(self.plan, self._maps, self.world)
        self._remembering.prepare(pids)

    def remember(self) -> bool:
        """To be called again and again: looks at the processes whose addresses came into maps meanwhile. Whether there
        are such maps: then it should be soon again."""
        if self._remembering is None or not self._remembering.maps:
            return False
        self._remembering.look()
        return True

    def resume(self) -> None:
        """Handle records again after an exit; the exit code stays."""
        self.exiting = False

    def _stop(self, code: int) -> None:
        self.exiting = True
        self.exit_code = code

    # what is said besides

    def attached(self, probes: int) -> None:
        """How many probes were attached; nothing when it is quiet."""
        if self.quiet:
            return
        if self.json:
            self._object("attached_probes", b'{"probes": %d}' % probes)
        else:
            self.pending.append(b"Attached %d probe%b\n" % (probes, b"" if probes == 1 else b"s"))

    def lost(self, events: int) -> None:
        """How many messages found the ring full since the last time."""
        if self.json:
            self._object("lost_events", b'{"events": %d}' % events)
        else:
            self._complain(b"Lost %d events\n" % events)

    def warning(self, text: str, place: str = "") -> None:
        """A warning about the script."""
        self._report("WARNING", "warning", text.encode("utf-8", "surrogateescape"), place)

    def error(self, text: str, place: str = "") -> None:
        """An error of the running script."""
        self._report("ERROR", "error", text.encode("utf-8", "surrogateescape"), place)

    def benchmarks(self, results: list[tuple[str, int]]) -> None:
        """The average time in ns of each benchmark."""
        if self.json:
            inside = b", ".join([b"%b: %d" % (json_text(name.encode()), time) for name, time in results])
            self._object("benchmark_results", b"{%b}" % inside)
        else:
            from bpfwright.facets.trace.output.benchmarks import table
            self.pending.append(table(results).encode())

    def finish(self) -> None:
        """The end: all maps that have anything, by name, unless the setting print_maps_on_exit says no."""
        if not self.json:
            self.pending.append(b"\n\n")
        if self.world.settings.get("print_maps_on_exit", True):
            for name in sorted(self._by_name):
                if name in self._maps:
                    self.pending.append(self.map_text(name))
        self.flush()
        self.close()

    def close(self) -> None:
        """Close what messages opened."""
        if self._captures is not None:
            self._captures.close()

    def map_text(self, name: str, top: int = 0, divisor: int = 1) -> bytes:
        """A map as it is printed, in the printer's format."""
        printer = self._map_printer(name)
        return printer.json(top, divisor) if self.json else printer.text(top, divisor)

    def _map_printer(self, name: str) -> MapPrinter:
        found = self._printers.get(name)
        if found is None:
            found = self._printers[name] = MapPrinter(self._by_name[name], self._maps[name], self.world)
        return found

    def _object(self, kind: str, data: bytes) -> None:
        self.pending.append(b'{"type": "%b", "data": %b}\n' % (kind.encode(), data))

    def _complain(self, text: bytes) -> None:
        """To stderr, after what was printed before it."""
        self.flush()
        self._errors.write(text)
        self._errors.flush()

    def _report(self, label: str, kind: str, text: bytes, place: str, more: bytes = b"") -> None:
        if not self.json:
            where = place.encode("utf-8", "surrogateescape") + b": " if place else b""
            self._complain(b"%b%b: %b\n" % (where, label.encode(), text))
            return
        parts = b'{"type": "%b", "msg": %b%b' % (kind.encode(), json_text(text), more)
        if place:
            file, line, column = _located(place)
            parts += b', "filename": %b, "line": %d, "col": %d' % (json_text(file.encode()), line, column)
        self._complain(parts + b"}\n")


def _located(place: str) -> tuple[str, int, int]:
    """`file:line:column`, the column perhaps a range."""
    file, line, column = place.rsplit(":", 2) if place.count(":") >= 2 else (place, "0", "0")
    column = column.partition("-")[0]
    return file, int(line) if line.isdigit() else 0, int(column) if column.isdigit() else 0


# ------------------------------------------------------------------------------------------------------------- makers


def _rendered(printer: Printer, message: Message) -> Callable[[bytes], bytes]:
    from bpfwright.facets.trace.output.formats import compile, parse
    return compile(parse(message.texts[0]), message.fields, printer.world, _START)


def _wrapped(printer: Printer, kind: str, render: Callable[[bytes], bytes]) -> Handler:
    """The same as an object of JSON, where that is wanted."""
    if not printer.json:
        return render
    head = b'{"type": "%b", "data": ' % kind.encode()
    return lambda record: head + json_text(render(record)) + b"}\n"


def _printf(printer: Printer, message: Message) -> Handler:
    return _wrapped(printer, "printf", _rendered(printer, message))


def _reported(label: str, kind: str) -> Callable[[Printer, Message], Handler]:
    def make(printer: Printer, message: Message) -> Handler:
        render, place = _rendered(printer, message), message.texts[1]

        def handler(record: bytes) -> None:
            if printer.warnings or label == "ERROR":
                printer._report(label, kind, render(record), place)
        return handler
    return make


def _print(printer: Printer, message: Message) -> Handler:
    type, = message.fields
    end = b"\n" if not message.texts or message.texts[0] == "1" else b""
    world = printer.world
    read: Callable[[bytes, int], bytes]
    if isinstance(type, Aggregate):
        of = json_of if printer.json else text_of

        def gathered(data: bytes, at: int) -> bytes:
            value = merge(type, [data[at:at + type.size]])
            return of(type, world, [Entry(b"", value)])(value)
        read = gathered
    else:
        read = json_reader(type, world) if printer.json else text_reader(type, world)
    if printer.json:
        return lambda record: b'{"type": "value", "data": %b}\n' % read(record, _START)
    return lambda record: read(record, _START) + end


def _print_map(printer: Printer, message: Message) -> Handler:
    name = message.texts[0]
    return lambda record: printer.map_text(name, _WORD(record, 8)[0], _WORD(record, 16)[0])


def _print_entry(printer: Printer, message: Message) -> Handler:
    """Gathered values and those that are no part of the record are read from the map, by the key in the record."""
    shown = printer._map_printer(message.texts[0])
    map = shown.map
    size = map.keys[0].size if len(map.keys) == 1 else Tuple(map.keys, ()).size
    if len(message.fields) == len(map.keys) or isinstance(map.value, Aggregate):
        look = shown.entry_json if printer.json else shown.entry_text
        return lambda record: look(record[_START:_START + size])
    show = shown.value_json if printer.json else shown.value_text
    at = _START + offsets(message.fields)[-1]
    return lambda record: show(record[_START:_START + size], record[at:])


def _of_map(action: Callable[[Map, Handle], None]) -> Callable[[Printer, Message], Handler]:
    def make(printer: Printer, message: Message) -> Handler:
        map = printer._by_name[message.texts[0]]
        return lambda record: action(map, printer._maps[map.name])
    return make


def _time(printer: Printer, message: Message) -> Handler:
    format = message.texts[0]
    return _wrapped(printer, "time", lambda record: printer.world.clock(_host.wall_ns(), format))


def _join(printer: Printer, message: Message) -> Handler:
    between = message.texts[0].encode("utf-8", "surrogateescape")
    parts = [(_START + at, type.length) for at, type in zip(offsets(message.fields), message.fields, strict=True)
             if isinstance(type, Text)]

    def joined(record: bytes) -> bytes:
        words = [record[at:at + length].partition(b"\0")[0] for at, length in parts]
        while words and not words[-1]:
            words.pop()
        return between.join(words)
    return _wrapped(printer, "join", joined) if printer.json else lambda record: joined(record) + b"\n"


def _cat(printer: Printer, message: Message) -> Handler:
    from bpfwright.facets.trace.output.actions import file_text
    path = _rendered(printer, message)
    most = int(printer.world.settings.get("max_cat_bytes", 10_240))

    def read(record: bytes) -> bytes:
        name = path(record)
        try:
            return file_text(name, most)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            printer.error(f"failed to open file '{name.decode('utf-8', 'surrogateescape')}': {why}")
            return b""
    return _wrapped(printer, "cat", read)


def _system(printer: Printer, message: Message) -> Handler:
    from bpfwright.facets.trace.output.actions import shell_text
    command = _rendered(printer, message)

    def run(record: bytes) -> bytes:
        printer.flush()  # what was printed before stands before what the command says on stderr
        return shell_text(command(record))
    return _wrapped(printer, "syscall", run)


def _exit(printer: Printer, message: Message) -> Handler:
    return lambda record: printer._stop(_SIGNED(record, _START)[0] & 0xFF)


def _assertion(printer: Printer, message: Message) -> Handler:
    def failed(record: bytes) -> None:
        printer.error(message.texts[0], message.texts[1])
        printer._stop(1)
    return failed


def _helper(printer: Printer, message: Message) -> Handler:
    from bpfwright.facets.trace.output.actions import helper_problem
    helper, place = message.texts

    def report(record: bytes) -> None:
        result = _SIGNED(record, _START)[0]
        text = helper_problem(helper, result)
        if not printer.warnings:
            return
        if printer.json:
            more = b', "helper": %b, "retcode": %d' % (json_text(helper.encode()), result)
            printer._report("WARNING", "helper_error", text.encode(), place, more)
        else:
            full = f"{text}\nAdditional Info - helper: {helper}, retcode: {result}"
            printer._report("WARNING", "helper_error", full.encode(), place)
    return report


def _division(printer: Printer, message: Message) -> Handler:
    place = message.texts[0]

    def report(record: bytes) -> None:
        if printer.warnings:
            printer._report("WARNING", "division_by_zero", b"division by zero: the result is 1", place)
    return report


def _packet(printer: Printer, message: Message) -> Handler:
    from bpfwright.facets.trace.output.actions import Captures
    from bpfwright.facets.trace.output.values import buffer_at
    path = message.texts[0]
    if printer._captures is None:
        printer._captures = Captures()
    room = message.fields[2].length

    def write(record: bytes) -> None:
        boot_ns, whole = _PACKET(record, _START)
        try:
            printer._captures.write(path, boot_ns + printer.world.boot_to_wall_ns, buffer_at(record, 20, room), whole)
        except OSError as error:
            printer.error(f"failed to write '{path}': {error.strerror}")
    return write


def _unwatched(printer: Printer, message: Message) -> Handler:
    def call(record: bytes) -> None:
        if printer._unwatch is not None:
            printer._unwatch(_WORD(record, _START)[0])
    return call


def _watched(printer: Printer, message: Message) -> Handler:
    program, at = message.texts

    def call(record: bytes) -> None:
        if printer._watch is not None:
            printer._watch(program, int(at), _WORD(record, _START)[0])
    return call


_PACKET = Packed("=QI").unpack_from
_MAKERS: dict[str, Callable[[Printer, Message], Handler]] = {
    "printf": _printf, "warnf": _reported("WARNING", "print_warning"), "errorf": _reported("ERROR", "print_error"),
    "print": _print, "print_map": _print_map, "print_entry": _print_entry, "clear": _of_map(clear),
    "zero": _of_map(zero), "time": _time, "join": _join, "cat": _cat, "system": _system, "exit": _exit,
    "packet": _packet, "assertion": _assertion, "helper": _helper, "division": _division,
    "unwatch": _unwatched, "watch": _watched}

"""What compiling a script leaves for running it: the object, where its programs attach, its maps, and its messages.

A plan goes into the cache as it is: everything in it is a plain value or a type of the language. Kernel programs send
messages by one ring buffer. A record begins with a u32 that is the message's index in the plan, and a u32 of its own
use; the fields follow from byte 8 on, each at its natural alignment (`offsets`). A record may end early, inside its
last field, when that is a text or buffer.
"""
from __future__ import annotations

from bpfwright._typing import NamedTuple
from bpfwright.facets.trace.types import Type

__all__ = ["CHILD", "WATCHED_AT_ONCE", "WATCH_ARGUMENT", "Attachment", "Counter", "Map", "Message", "Plan"]


CHILD = -2
"""A process id: of the command that is started with the script (-c)."""
WATCHED_AT_ONCE = 4
"""Addresses that a program at a function's entry knows to be watched: as many as x86-64 watches."""
WATCH_ARGUMENT = "watch_argument"
"""How a program attaches once an address is known: what `watch` messages bring."""


class Attachment(NamedTuple):
    """One place that a program attaches to. `how` names the way, `where` its arguments: see `attaching.py`.

    `probe` is the attach point written out in full and `function` what `func` says there; `cookie` is what the program
    finds with bpf_get_attach_cookie, 0 where it does not ask.
    """

    program: str
    how: str
    where: tuple[str | int, ...]
    probe: str
    function: str = ""
    cookie: int = 0


class Message(NamedTuple):
    """What user space is to do about a record of this index.

    | kind | fields | texts |
    |---|---|---|
    | printf, warnf, errorf | the arguments | the format; for warnf and errorf then `file:line:column` |
    | print | one value | `1` for a line of its own, as ever |
    | print_map | top u64, divisor u64 | the map's name |
    | print_entry | the map's keys, then the value; what is gathered is read from the map | the map's name |
    | clear, zero | | the map's name |
    | time | | the format of strftime |
    | join | one Text each argument | the delimiter |
    | cat, system | the arguments | the format |
    | exit | code u64 | |
    | packet | u64 boot time ns, u32 whole length, Buffer | the file's name |
    | assertion | | the text, then `file:line:column` |
    | helper | i64 what it returned | the helper's name, then `file:line:column` |
    | unwatch | u64 address | |
    | watch | u64 address | the program, which of its attachments |
    """

    kind: str
    fields: tuple[Type, ...] = ()
    texts: tuple[str, ...] = ()


class Map(NamedTuple):
    """A map of the script. `name` has its `@`; `store` is the map's name in the object.

    `keys` is empty for a map without keys. `value` is the type kept; aggregates and `per_cpu` maps hold one for each
    CPU. A map without keys has one entry in an array whose value begins with a u64 that is 1 when it was ever set (on
    that CPU), the value after it.
    """

    name: str
    store: str
    keys: tuple[Type, ...]
    value: Type
    per_cpu: bool
    max_entries: int


class Counter(NamedTuple):
    """A u64 at `offset` of the map `.data.counters`. `lost`: messages that found no room in the ring; `full`: entries
    that found none in the map `name`; `stack`: stacks that could not be kept; `watched`: no counter, but an address
    that is watched already."""

    kind: str
    name: str
    offset: int


class Plan(NamedTuple):
    """A compiled script. `texts` and `probes` are what tokens index; `settings` the script's configuration.

    `started_ns` is filled in when it runs. `begin`, `end`, `signals` (signal number to programs), `tests` and `benches`
    (label to program) name programs that user space runs itself, in this order. `unwound`: programs, with their raw
    tracepoints (empty: they know them), that tell processes apart for stacks by tables (`dw_ustack`).
    """

    attachments: tuple[Attachment, ...]
    maps: tuple[Map, ...]
    messages: tuple[Message, ...]
    texts: tuple[str, ...] = ()
    probes: tuple[tuple[str, str], ...] = ()
    begin: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    signals: tuple[tuple[int, str], ...] = ()
    tests: tuple[tuple[str, str], ...] = ()
    benches: tuple[tuple[str, str], ...] = ()
    settings: tuple[tuple[str, int | str | bool], ...] = ()
    warnings: tuple[str, ...] = ()
    counters: tuple[Counter, ...] = ()
    unwound: tuple[tuple[str, str], ...] = ()

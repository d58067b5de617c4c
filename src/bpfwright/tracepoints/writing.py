"""Event classes out of tracefs as Python source: the shipped system calls, and `bpfwright types -t 'sched:*'`."""
from __future__ import annotations

import os
import re
from fnmatch import fnmatchcase
from keyword import iskeyword

from bpfwright._typing import Callable, Iterable, Iterator, NamedTuple
from bpfwright.errors import FormatError, PrivilegeError, TargetError
from bpfwright.formats.btf import Btf
from bpfwright.vmlinux.lookup import is_shipped
from bpfwright.vmlinux.writing import import_lines, write_structs

__all__ = ["EventField", "annotation_of", "events_matching", "parse_format", "write_classes", "write_events",
           "write_types"]

TRACEFS = "/sys/kernel/tracing"
_FIELD = re.compile(r"^\tfield:(?P<declaration>[^;]+);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);"
                    r"(?:\s*signed:(?P<signed>[01]);)?", re.MULTILINE)
_DECLARATION = re.compile(r"^(?P<type>.*?)\s*(?P<name>[A-Za-z_]\w*)\s*(?P<array>\[.*\])?$")
_TYPES = ("L", "User", "UserStr", "array", "be16", "be32", "be64", "char", "i16", "i32", "i64", "i8", "ptr", "u16",
          "u32", "u64", "u8")
_CONTEXT_NAMES = frozenset(("event_name", "syscall"))
_BIG = {"__be16": "be16", "__be32": "be32", "__be64": "be64"}
_LOCATED = ("__data_loc", "__rel_loc", "__cpumask_loc")
_DYNAMIC = 128
# What system calls take as text that ends in NUL; the buffers of read, write and getcwd are none.
_TEXT_NAMES = frozenset((
    "_callout_info", "_description", "_fs_name", "_key", "_type", "dev_name", "dir_name", "filename", "from_pathname",
    "name", "new_root", "newname", "oldname", "path", "pathname", "put_old", "special", "specialfile", "to_pathname",
    "type", "u_name", "uname"))
_NAMES_OF = {
    "i8": "char, signed char, __s8", "u8": "unsigned char, u8, __u8", "i16": "short, __s16",
    "u16": "unsigned short, umode_t, old_uid_t, old_gid_t, u16, __u16",
    "i32": "int, pid_t, timer_t, clockid_t, mqd_t, key_t, key_serial_t, rwf_t, __s32",
    "u32": "unsigned int, unsigned, u32, __u32, uint32_t, uid_t, gid_t, qid_t",
    "i64": "long, loff_t, off_t, __s64", "u64": "unsigned long, u64, __u64, size_t, aio_context_t"}
_SCALARS = {name: scalar for scalar, names in _NAMES_OF.items() for name in names.split(", ")}


class EventField(NamedTuple):
    """One field as the `format` file declares it; offset and size in bytes."""

    name: str
    type: str
    is_array: bool
    offset: int
    size: int
    signed: bool


def parse_format(text: str) -> list[EventField]:
    """The fields of a `format` file, the common ones left out. FormatError when the text is no such file."""
    if "format:" not in text:
        raise FormatError("not the format of a tracepoint", why="it has no line `format:`")
    found = []
    for match in _FIELD.finditer(text):
        declared = _DECLARATION.match(match["declaration"].strip())
        if declared is None:
            raise FormatError(f"a tracepoint field that cannot be read: {match['declaration']!r}", offset=match.start())
        # An array of no length marks the record's end; it has no value.
        if not declared["name"].startswith("common_") and match["size"] != "0":
            found.append(EventField(declared["name"], " ".join(declared["type"].split()), bool(declared["array"]),
                                    int(match["offset"]), int(match["size"]), match["signed"] == "1"))
    return found


def annotation_of(field: EventField, syscall: bool, shipped: Callable[[str], bool] = is_shipped) -> str:
    """The Python annotation of a field. What has no fixed length stands elsewhere in the record: 128 bytes of it."""
    kind = field.type.removeprefix("const ")
    if kind.startswith(_LOCATED):
        element = kind.partition(" ")[2].partition("[")[0].strip()
        return f"char[L[{_DYNAMIC}]]" if element in ("char", "const char") else f"array[u8, L[{_DYNAMIC}]]"
    if kind.endswith("*"):
        return _pointer(kind.rstrip("*").strip(), kind.count("*"), field, syscall, shipped)
    if field.is_array or kind.endswith("]"):
        return _array(kind, field)
    if kind in _BIG:
        return _BIG[kind]
    if kind in ("bool", "_Bool") and field.size == 1:
        return "bool"
    if field.size not in (1, 2, 4, 8):
        return f"array[u8, L[{field.size}]]"
    # Arguments of system calls are whole registers, of which only the type's own bits count: an int of -100 (AT_FDCWD)
    # comes with zeros above it.
    if syscall and kind in _SCALARS:
        return _SCALARS[kind]
    return f"{'i' if field.signed else 'u'}{field.size * 8}"


def _pointer(target: str, depth: int, field: EventField, syscall: bool, shipped: Callable[[str], bool]) -> str:
    target = target.removeprefix("const ").removesuffix(" const").strip()
    if not syscall:
        name = target.removeprefix("struct ")
        return f"ptr[{name}]" if depth == 1 and target.startswith("struct ") and shipped(name) else "u64"
    if depth > 1:
        return "User[u64]"
    if target == "char" and field.name in _TEXT_NAMES:
        return "UserStr"
    scalar = "u8" if target == "char" else _SCALARS.get(target)
    return f"User[{scalar}]" if scalar else "u64"


def _array(kind: str, field: EventField) -> str:
    element = re.sub(r"\[.*\]$", "", kind).strip()
    if element == "char":
        return f"char[L[{field.size}]]"
    scalar = _BIG.get(element) or _SCALARS.get(element)
    if scalar is None:
        return f"array[u8, L[{field.size}]]"
    width = int(re.sub(r"\D", "", scalar)) // 8
    return f"array[{scalar}, L[{field.size // width}]]" if field.size >= width else f"array[u8, L[{field.size}]]"


def events_matching(globs: Iterable[str], tracefs_root: str = TRACEFS) -> Iterator[tuple[str, str]]:
    """(category, name) of each event that matches `category:name` or `name`, in order. TargetError for an idle glob."""
    root = os.path.join(tracefs_root, "events")
    try:
        known = sorted((category, name) for category in os.listdir(root) if os.path.isdir(os.path.join(root, category))
                       for name in os.listdir(os.path.join(root, category))
                       if os.path.isdir(os.path.join(root, category, name)))
    except PermissionError as problem:
        raise PrivilegeError(f"cannot read {root}", problem.errno or 13, cure="Run it with sudo.") from None
    except OSError as problem:
        raise TargetError(f"no tracepoints at {root}", why=problem.strerror or "",
                          cure=f"Type: sudo mount -t tracefs tracefs {tracefs_root}") from None
    chosen: set[tuple[str, str]] = set()
    for glob in globs:
        category, colon, name = glob.rpartition(":")
        hits = {(c, n) for c, n in known if (not colon or fnmatchcase(c, category)) and fnmatchcase(n, name)}
        if not hits:
            raise TargetError(f"no tracepoint matches {glob!r}", cure="bpfwright doctor lists the categories.")
        chosen |= hits
    yield from sorted(chosen)


def write_classes(events: Iterable[tuple[str, str, str]], shipped: Callable[[str], bool] = is_shipped) -> str:
    """The imports and classes for (category, name, format text) of each event."""
    events = list(events)
    names = [name for _, name, _ in events]
    classes, borrowed, used = [], set(), set()
    aliases: set[str] = set()
    for category, name, text in events:
        unique = name if names.count(name) == 1 else f"{category}_{name}"
        fields = {field.name: annotation_of(field, category == "syscalls", shipped) for field in parse_format(text)
                  if field.name != "__syscall_nr"}
        left_out = [each for each in fields if iskeyword(each) or each in _CONTEXT_NAMES]
        fields = {each: annotation for each, annotation in fields.items() if each not in left_out}
        words = {word for annotation in fields.values() for word in re.findall(r"[A-Za-z_]\w*", annotation)}
        hidden = words & fields.keys()
        aliases |= hidden
        used |= words
        borrowed |= {word for word in words if word not in _TYPES and word != "bool"}
        body = [f"    {each}: {_aliased(annotation, hidden)}" for each, annotation in fields.items()]
        body += [f"    # {each!r} cannot be a name here" for each in left_out]
        if not fields:
            body.append("    ...")
        head = f'class {unique if unique.isidentifier() else "_" + unique}(Fields, event="{category}:{name}"):'
        classes.append("\n".join([head, *body]))
    imports = [("bpfwright.hooks.tracepoint", "Fields")]
    for module, names_of_it in (("bpfwright.types", used & set(_TYPES)), ("bpfwright.vmlinux", borrowed)):
        imports += [(module, each) for each in names_of_it]
        imports += [(module, f"{each} as _t_{each}") for each in names_of_it & aliases]
    return import_lines(imports) + "\n\n" + "\n\n\n".join(classes) + "\n"


def _aliased(annotation: str, hidden: set[str]) -> str:
    for word in hidden:
        annotation = re.sub(rf"\b{word}\b", f"_t_{word}", annotation)
    return annotation


_USER_HEAD = '''"""Tracepoint events, written by `bpfwright types` from the running kernel."""
from __future__ import annotations

'''


def write_events(globs: Iterable[str], tracefs_root: str = TRACEFS) -> str:
    """A Python module with a class for every event that matches: `write_events(["sched:*", "tcp:tcp_probe"])`.

    TargetError for a glob that matches nothing, PrivilegeError when tracefs may not be read.
    """
    return _USER_HEAD + write_classes(_formats(events_matching(globs, tracefs_root), tracefs_root))


def _formats(events: Iterable[tuple[str, str]], tracefs_root: str) -> Iterator[tuple[str, str, str]]:
    for category, name in events:
        try:
            with open(os.path.join(tracefs_root, "events", category, name, "format"), encoding="utf-8") as file:
                yield category, name, file.read()
        except FileNotFoundError:  # ftrace's own pseudo-events have none
            continue


_BOTH_HEAD = '''"""Kernel types and events, written by `bpfwright types` from the running kernel."""
from __future__ import annotations

'''
_IMPORT = re.compile(r"^from (\S+) import (?:\(([^)]*)\)|(.*))$", re.MULTILINE)


def write_types(globs: Iterable[str], names: Iterable[str], btf: Btf, tracefs_root: str = TRACEFS) -> str:
    """One module with the events that match and the structs and kfuncs of these names: `bpfwright types` prints it."""
    globs, names = list(globs), list(names)
    parts = [write_structs(names, btf)] if names else []
    parts += [write_events(globs, tracefs_root)] if globs else []
    imports: list[tuple[str, str]] = []
    bodies = []
    for part in parts:
        text = part.split("from __future__ import annotations\n", 1)[1]
        for module, in_brackets, plain in _IMPORT.findall(text):
            imports += [(module, each.strip()) for each in (in_brackets or plain).split(",") if each.strip()]
        bodies.append(_IMPORT.sub("", text).strip("\n"))
    return f"{_BOTH_HEAD}{import_lines(imports)}\n\n" + "\n\n\n".join(bodies) + "\n"

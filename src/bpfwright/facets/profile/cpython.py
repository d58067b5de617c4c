"""CPython in processes: which version a process runs, where its interpreter's state is, and what a str's bytes say."""
from __future__ import annotations

from struct import unpack_from

from bpfwright._typing import TYPE_CHECKING, NamedTuple
from bpfwright.errors import BpfwrightError
from bpfwright.facets.profile.model import Frame
from bpfwright.facets.profile.pythons import Code, Layout, Text
from bpfwright.formats.elf.program import PT_LOAD, Program
from bpfwright.stacks.building import close, open_mapping, place_of

if TYPE_CHECKING:
    from bpfwright.symbols import Mapping, ProcessSymbols

__all__ = ["EVALUATOR", "Interpreter", "Interpreters", "code_frame", "read_offsets"]

EVALUATOR = "_PyEval_EvalFrameDefault"
_COOKIE = b"xdebugpy"
_LARGEST_OFFSET = 1 << 22
# By version, the offsets of struct members in its headers (Include/internal: pycore_runtime.h, pycore_interp.h,
# pycore_frame.h; Include/cpython: pystate.h, code.h, unicodeobject.h) on 64-bit machines. From 3.13 on the interpreter
# says them itself (_Py_DebugOffsets).
_LAYOUTS = {
    (3, 11): Layout(interpreters_head=40, interpreter_next=0, threads_head=16, thread_next=8, thread_id=152,
                    current_frame=8, cframe=56, previous=48, executable=32, owner=69, is_entry=68, filename=112,
                    qualname=128, first_line=72, ascii_size=48, compact_size=72),
    (3, 12): Layout(interpreters_head=40, interpreter_next=0, threads_head=72, thread_next=8, thread_id=136,
                    current_frame=0, cframe=56, previous=8, executable=0, owner=70, is_entry=0, filename=112,
                    qualname=128, first_line=68, ascii_size=40, compact_size=56),
}
_OLDEST_THAT_SAYS = (3, 13)
# _Py_DebugOffsets grew in the middle: how many words its blocks about an interpreter and about a frame have had.
_INTERPRETER_WORDS, _FRAME_WORDS = (13, 14, 16), (6, 7, 8)


class Interpreter(NamedTuple):
    """A process's: its version, the address of _PyRuntime, and where things stand in it."""

    version: tuple[int, int]
    runtime: int
    layout: Layout


class Interpreters:
    """Finds the CPython of processes. What a file says is read once, out of the file: its process may have ended."""

    def __init__(self) -> None:
        self._files: dict[object, tuple[Interpreter | None, str]] = {}

    def find(self, symbols: ProcessSymbols) -> tuple[Interpreter | None, str]:
        """The CPython that a process runs, or None, and then why not if it runs one that is not known."""
        for mapping in _candidates(symbols):
            place = place_of(mapping)
            known = self._files.get(place)
            if known is None:
                known = _in_file(symbols, mapping)
                if mapping.path not in symbols.problems:  # else there may be another process that still has it
                    self._files[place] = known
            found, why = known
            if found is not None:
                return found._replace(runtime=found.runtime + mapping.start - mapping.offset), ""
            if why:
                return None, why
        return None, ""


def _candidates(symbols: ProcessSymbols) -> list[Mapping]:
    """What may be an interpreter, each file by its first code: a shared library before a program, which may use it."""
    found: dict[str, Mapping] = {}
    for mapping in symbols.code:
        if mapping.of_file and _name(mapping).startswith(("libpython", "python")):
            found.setdefault(mapping.path, mapping)
    return sorted(found.values(), key=lambda mapping: not _name(mapping).startswith("lib"))


def _name(mapping: Mapping) -> str:
    return mapping.path.rpartition("/")[2]


def _in_file(symbols: ProcessSymbols, mapping: Mapping) -> tuple[Interpreter | None, str]:
    """What a file says of its interpreter; `runtime` counts from where the file's first byte would be in memory."""
    places = symbols.addresses("_PyRuntime", module=_name(mapping))
    if not places:
        return None, ""
    try:
        source = open_mapping(mapping, symbols.pid)
    except (BpfwrightError, OSError) as error:
        return None, f"its interpreter cannot be read: {error}"
    try:
        program = Program(source)
        bias = next(mapping.start - mapping.offset + s.offset - s.address for s in program.segments
                    if s.type == PT_LOAD and s.offset < mapping.offset + 4096 and mapping.offset < s.offset + s.size)
        found, why = _described(program, places[0] - bias, [
            at - bias for at in symbols.addresses("Py_Version", module=_name(mapping))])
    except (BpfwrightError, StopIteration) as error:
        return None, f"its interpreter cannot be read: {error}"
    finally:
        close(source)
    return (found and found._replace(runtime=places[0] - mapping.start + mapping.offset)), why


def _described(program: Program, runtime: int, versions: list[int]) -> tuple[Interpreter | None, str]:
    data = program.at(runtime, 1024)
    if data[:8] == _COOKIE:
        return _self_described(data)
    for at in versions:
        number, = unpack_from("<Q", program.at(at, 8))
        version = (number >> 24 & 0xFF, number >> 16 & 0xFF)
        layout = _LAYOUTS.get(version)
        if layout is not None:
            return Interpreter(version, 0, layout), ""
        return None, f"Python {version[0]}.{version[1]}: its frames are not known here"
    return None, "Python before 3.11: its frames are not known here"


def _self_described(data: bytes) -> tuple[Interpreter | None, str]:
    version = unpack_from("<Q", data, 8)[0]
    name = (version >> 24 & 0xFF, version >> 16 & 0xFF)
    if unpack_from("<Q", data, 16)[0]:
        return None, f"Python {name[0]}.{name[1]} without its lock: its frames are not known here"
    layout = read_offsets(data)
    if layout is None or name < _OLDEST_THAT_SAYS:
        return None, f"Python {name[0]}.{name[1]}: what it says of its frames is not understood"
    return Interpreter(name, 0, layout), ""


def read_offsets(data: bytes) -> Layout | None:
    """The layout out of _Py_DebugOffsets, or None for what is none that we know.

    Its blocks are told by what they must say: a thread begins with three pointers, a code object's names follow one
    another, and everything is within its struct's size.
    """
    words = list(unpack_from(f"<{(len(data) - 8) // 8}Q", data, 8))
    head, interpreter = words[4], 5
    for count in _INTERPRETER_WORDS:
        thread = words[interpreter + count:interpreter + count + 9]
        if len(thread) < 9 or thread[1:4] != [0, 8, 16] or not _inside(thread):
            continue
        frame_at = interpreter + count + 9
        for frame_count in _FRAME_WORDS:
            frame = words[frame_at:frame_at + frame_count]
            code = words[frame_at + frame_count:frame_at + frame_count + 10]
            names = [code[1], code[1] + 8, code[1] + 16] if len(code) == 10 else []
            if names and code[1:4] == names and _inside(code) and _inside(frame):
                return Layout(
                    interpreters_head=head, interpreter_next=words[interpreter + 2],
                    threads_head=words[interpreter + 3], thread_next=thread[2], thread_id=thread[5],
                    current_frame=thread[4], cframe=0, previous=frame[1], executable=frame[2], owner=frame[5],
                    is_entry=0, filename=code[1], qualname=code[3], first_line=code[5], ascii_size=40, compact_size=56)
    return None


def _inside(block: list[int]) -> bool:
    return 0 < block[0] < _LARGEST_OFFSET and all(offset < block[0] for offset in block[1:])


def code_frame(code: Code) -> Frame:
    """A function's frame."""
    name, path = text_of(code.name), text_of(code.file)
    return Frame(name or "[unknown]", "python", "", path, max(code.line, 0))


_DECODERS = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


def text_of(text: Text) -> str:
    """The characters of a str that was copied; an ellipsis stands for a begin that was too long."""
    kind = text.state >> 2 & 7
    if kind not in _DECODERS:
        return ""
    data = bytes(text.data)
    size = text.length * kind
    kept = size if size <= len(data) else size - (size - len(data) & ~3)
    shown = data[:kept].decode(_DECODERS[kind], "replace")
    return shown if size <= len(data) else f"\N{HORIZONTAL ELLIPSIS}{shown}"

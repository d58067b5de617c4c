"""Static tracepoints (USDT): found by name in a file, and a program of its own for each place of one."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import FormatError, TargetError, UsageError
from bpfwright.facets.tools._probes import MOST, library_path, matches, written
from bpfwright.facets.tools._tool import Options
from bpfwright.facets.tools._who import pid, tid, wanted
from bpfwright.helpers import current, now_ns, read_user, user_registers, user_text
from bpfwright.hooks import uprobe
from bpfwright.maps import RingBuf
from bpfwright.types import L, Struct, array, char, i8, i16, i32, i64, u8, u16, u32, u64

if TYPE_CHECKING:
    from bpfwright.formats.elf.usdt import StaticArgument, StaticProbe

__all__ = ["Passed", "arguments", "passed", "programs"]

_ROOM = 12  # arguments that <sys/sdt.h> can pass
_ARM = {"sp": "sp", "rip": "pc"}


class Passed(Struct):
    """A tracepoint was passed: which place, and its arguments."""

    at: u64
    pid: u32
    tid: u32
    place: u32
    comm: char[L[16]]
    words: array[i64, L[12]]
    text: char[L[128]]


passed = RingBuf[Passed](size_bytes=1 << 22)


def programs(options: Options) -> tuple[Any, ...]:
    """A program for each place of the tracepoints that are meant."""
    path, _, name = options.probe.rpartition(":")
    path, _, provider = path.rpartition(":") if path.count(":") else (path, "", "*")
    if not path or not name:
        raise UsageError(f"{options.probe!r} names no static tracepoint", cure="Write FILE:NAME or FILE:PROVIDER:NAME.")
    if not -1 <= options.string < _ROOM:
        raise UsageError(f"there is no argument {options.string}", cure=f"They are 0 to {_ROOM - 1}.")
    path = library_path(path, options.pid)
    known = _known(path)
    options.places = [each for each in known if matches(each.provider, provider) and matches(each.name, name)]
    if not options.places:
        names = sorted({f"{each.provider}:{each.name}" for each in known})
        raise TargetError(f"{path} has no static tracepoint {name!r}",
                          why=f"It has {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}." if names else
                          "It was built without any.")
    if len(options.places) > MOST:
        raise UsageError(f"{options.probe!r} means {len(options.places):,} places", cure="Write more of the name.")
    return tuple(_program(each, number, path, options) for number, each in enumerate(options.places))


def arguments(running: Any, record: Any) -> str:
    """The arguments as they are shown: numbers, one of them as text where it was asked for."""
    place, shown = running.options.places[record.place], running.options.string
    words = [str(record.words[at]) if _expression(text) else "?" for at, text in enumerate(place.arguments[:_ROOM])]
    if 0 <= shown < len(words):
        words[shown] = f'"{record.text}"'
    return " ".join(words)


def _known(path: str) -> list[StaticProbe]:
    from bpfwright.formats.elf.program import FileBytes, Program
    from bpfwright.formats.elf.usdt import static_probes
    with FileBytes(path) as file:
        return static_probes(Program(file))


def _program(place: StaticProbe, number: int, path: str, options: Options) -> Any:
    found = [_expression(text) or "0" for text in place.arguments[:_ROOM]]
    stores = "".join(f"        record.words[{at}] = {expression}\n" for at, expression in enumerate(found))
    if 0 <= options.string < len(found):
        stores += f"        record.text = user_text(u64({found[options.string]}), 128)\n"
    name = f"passed_{number}"
    source = f"""@uprobe.program("file:place")
def {name}(ctx: uprobe.Context) -> None:
    if not wanted():
        return
    regs = user_registers()
    with passed.reserve() as record:
        if record is None:
            return
        record.at = now_ns()
        record.pid = pid()
        record.tid = tid()
        record.place = {number}
        record.comm = current.comm
{stores}"""
    made = written(source, name, globals())
    return made.on(uprobe.Instruction(path, place.offset, pid=options.pid, semaphore=place.semaphore))


def _expression(text: str) -> str:
    """An argument in the dialect; "" for one that programs cannot read."""
    from bpfwright._host import processor
    from bpfwright.formats.elf.usdt import parse_argument
    try:
        found = parse_argument(text, processor())
    except FormatError:
        return ""
    kind = f"{'i' if found.signed else 'u'}{8 * found.size}"
    if found.kind == "constant":
        return str(found.offset)
    if found.kind == "register":
        return f"i64({kind}(u64({_register(found.base)}) >> {found.shift}))"
    if found.kind == "memory":
        return f"i64(read_user({_address(found)}, {kind}) or 0)"
    return ""


def _address(found: StaticArgument) -> str:
    parts = [f"u64({_register(found.base)})"] if found.base else []
    parts += [f"u64({_register(found.index)}) * {found.scale}"] if found.index else []
    return f"({' + '.join(parts) or '0'} + {found.offset & (1 << 64) - 1})"


def _register(name: str) -> str:
    """A register's name as struct pt_regs has it."""
    from bpfwright._host import processor
    if processor() == "x86_64":
        return f"regs.{name if name[1:].isdigit() else name[1:]}"
    return f"regs.{_ARM[name]}" if name in _ARM else f"regs.regs[{name[1:]}]"


_used = (pid, tid, wanted, current, now_ns, read_user, user_registers, user_text, i8, i16, i32, u8, u16)  # by the texts

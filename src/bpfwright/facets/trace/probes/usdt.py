"""User-level static tracepoints: the notes that binaries carry."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import BpfwrightError, FormatError
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.plan import Attachment
from bpfwright.facets.trace.probes.binaries import Binary, binaries_of, traced
from bpfwright.facets.trace.probes.resolve import is_pattern, matching
from bpfwright.facets.trace.probes.sites import Argument, Site
from bpfwright.facets.trace.text import nearest
from bpfwright.facets.trace.types import Integer

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.code import Code
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.probes.resolve import Uses
    from bpfwright.formats.elf.usdt import StaticArgument, StaticProbe

__all__ = ["read", "usdt"]

_X86 = {name: 8 * place for place, name in enumerate(
    ["r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi", "", "rip",
     "", "", "rsp"])}
_ARM = {**{f"x{number}": 8 * number for number in range(31)}, "sp": 248, "rip": 256}
_REGISTERS = {"x86_64": _X86, "aarch64": _ARM}
_MOST = 12
"""So many arguments sys/sdt.h can pass."""


def usdt(host: Host, point: tree.Usdt, uses: Uses) -> list[Site]:
    """`usdt:binary:[provider:]name`: a site for each place where the arguments stand elsewhere."""
    binaries = binaries_of(host, point, point.binary)
    found, known = [], []
    for binary in binaries:
        try:
            probes = binary.static_probes
        except BpfwrightError as problem:
            if len(binaries) == 1:
                raise refuse(point.span, f"{binary.path}: {problem.what}", problem.why) from None
            continue
        known += [f"{probe.provider}:{probe.name}" for probe in probes]
        for probe in probes:
            if _meant(point, probe):
                found.append(_site(host, binary, probe, uses))
    if not found:
        raise _nothing(point, binaries, known)
    return found


def _meant(point: tree.Usdt, probe: StaticProbe) -> bool:
    return bool(matching(point.name, [probe.name])) and \
        (not point.namespace or bool(matching(point.namespace, [probe.provider])))


def _nothing(point: tree.Usdt, binaries: list[Binary], known: list[str]) -> Exception:
    where = f"{binaries[0].path} has" if len(binaries) == 1 else f"{len(binaries)} files have"
    if not known:
        return refuse(point.span, f"{where} no static tracepoints",
                      "It was built without them; `uprobe:binary:function` traces functions.")
    wanted = f"{point.namespace}:{point.name}" if point.namespace else point.name
    names = known if point.namespace else [name.rpartition(":")[2] for name in known]
    close = "" if is_pattern(wanted) else nearest(wanted, names)
    return refuse(point.span, f"{where} no static tracepoint `{wanted}`",
                  f"Did you mean `{close}`?" if close else f"There is {', '.join(sorted(set(known))[:8])}.")


def _site(host: Host, binary: Binary, probe: StaticProbe, uses: Uses) -> Site:
    shown = f"usdt:{binary.shown}:{probe.provider}:{probe.name}"
    where = (binary.path, probe.offset, 0, traced(host), probe.semaphore)
    numbered = tuple(_argument(host, binary, probe, at, text) for at, text in enumerate(probe.arguments)) \
        if uses.numbered or uses.args else ()
    return Site("usdt", "usdt", "uprobe", shown, (Attachment("", "uprobe", where, shown, probe.name),), space="user",
                function=probe.name, numbered=numbered, words=len(probe.arguments), registers=True,
                arguments=numbered if uses.args else ())


def _argument(host: Host, binary: Binary, probe: StaticProbe, at: int, text: str) -> Argument:
    """One argument. What stands at a symbol is found from where the probe's own instruction is."""
    from bpfwright.formats.elf.usdt import parse_argument
    name = f"arg{at}"
    try:
        parsed = parse_argument(text, host.architecture)
    except FormatError:
        return Argument(name, Integer(8, True), "nowhere", detail=f"its note says `{text}`, which is not known here")
    if parsed.kind == "float":
        return Argument(name, Integer(8, True), "nowhere",
                        detail="it is a floating-point number, which kernel programs cannot read")
    type = Integer(parsed.size, parsed.signed)
    if parsed.kind != "symbol":
        return Argument(name, type, "usdt", detail=text)
    address = binary.object_address(parsed.symbol)
    if address is None:
        return Argument(name, type, "nowhere", detail=f"there is no symbol `{parsed.symbol}` in {binary.path}")
    return Argument(name, type, "usdt", address - probe.address, detail=text)


def read(code: Code, argument: Argument, architecture: str) -> int:
    """The code that reads an argument where its note says."""
    from bpfwright.formats.elf.usdt import parse_argument
    parsed = parse_argument(argument.detail, architecture)
    if parsed.kind == "constant":
        return code.narrowed(code.number(parsed.offset), argument.type)
    if parsed.kind == "register":
        value = _register(code, parsed.base, architecture)
        if parsed.shift:
            value = code.op("lshr", "i64", value, code.number(parsed.shift))
        return code.narrowed(value, argument.type)
    word = code.word()
    code.read_far(word, argument.type.size, _address(code, parsed, argument.place, architecture), "user")
    return code.read_memory(argument.type, word)


def _address(code: Code, parsed: StaticArgument, from_probe: int, architecture: str) -> int:
    if parsed.kind == "symbol":
        start = _register(code, "rip", architecture)  # at the probe: its address, wherever the file was loaded
        return code.op("add", "i64", start, code.number(from_probe + parsed.offset))
    address = _register(code, parsed.base, architecture) if parsed.base else code.number(0)
    if parsed.index:
        index = _register(code, parsed.index, architecture)
        scaled = code.op("mul", "i64", index, code.number(parsed.scale)) if parsed.scale > 1 else index
        address = code.op("add", "i64", address, scaled)
    return code.op("add", "i64", address, code.number(parsed.offset)) if parsed.offset else address


def _register(code: Code, name: str, architecture: str) -> int:
    return code.load("i64", code.context(), _REGISTERS[architecture][name], 8)

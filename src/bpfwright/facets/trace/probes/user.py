"""Functions and source lines of programs and libraries: uprobes and uretprobes."""
from __future__ import annotations

import os
import re

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import BpfwrightError, ElfError
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.plan import Attachment
from bpfwright.facets.trace.probes.binaries import Binary, binaries_of, traced
from bpfwright.facets.trace.probes.kernel import registers, result
from bpfwright.facets.trace.probes.resolve import is_pattern, matching, not_too_many
from bpfwright.facets.trace.probes.sites import Site
from bpfwright.facets.trace.text import nearest

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.probes.dwarf import DwarfLayouts, Signature
    from bpfwright.facets.trace.probes.resolve import Uses

__all__ = ["address_of", "function", "layouts_of", "signature_of", "source_line", "symbol_address"]

_EMPTIED = ("libpthread.so", "libdl.so", "librt.so", "libutil.so", "libanl.so")
_EXECUTABLE = 2  # ET_EXEC: stands where its addresses say


def function(host: Host, point: tree.UserFunction, uses: Uses) -> list[Site]:
    """`uprobe:binary:function+offset` and `uretprobe:binary:function`."""
    binaries = binaries_of(host, point, point.binary)
    found: list[Site] = []
    known: list[str] = []
    for binary in binaries:
        try:
            places = _places(point, binary)
            not_too_many(host, point, len(places) + len(found))
            known += binary.functions if point.function and not places else ()
            found += [_site(host, point, binary, name, address, uses) for name, address in places.items()]
        except BpfwrightError as problem:
            if len(binaries) == 1:
                raise refuse(point.span, f"{binary.path}: {problem.what}", problem.cure) from None
    if not found:
        raise _nothing(host, point, binaries, known)
    return found


def _nothing(host: Host, point: tree.UserFunction, binaries: list[Binary], known: list[str]) -> Exception:
    where = binaries[0].path if len(binaries) == 1 else f"none of {len(binaries)} files"
    close = nearest(point.function, known) if not is_pattern(point.function) else ""
    if _moved_to_libc(host, point, binaries):
        cure = f"Since glibc 2.34 it is in libc.so.6: `{point.provider}:libc:{point.function}`."
    elif not known:
        cure = "It is stripped: an address will do, `uprobe:binary:0x1234`, or its debug symbols installed."
    else:
        cure = f"Did you mean `{close}`?" if close else "`bpfwright trace -l 'uprobe:FILE:*'` lists what it has."
    what = f"has no function `{point.function}`" if len(binaries) == 1 else f"has a function `{point.function}`"
    return refuse(point.span, f"{where} {what}", cure)


def _moved_to_libc(host: Host, point: tree.UserFunction, binaries: list[Binary]) -> bool:
    """Whether a library that glibc has emptied is asked for what libc has now."""
    if len(binaries) != 1 or not os.path.basename(binaries[0].path).startswith(_EMPTIED):
        return False
    libc = os.path.join(os.path.dirname(binaries[0].path), "libc.so.6")
    return os.path.exists(libc) and point.function in Binary(libc).functions


def _places(point: tree.UserFunction, binary: Binary) -> dict[str, int]:
    """Addresses by name, the offset not yet added; aliases of one place are one."""
    if not point.function:
        return {"": _address_at(binary, point.offset)}
    names = binary.functions
    if point.language == "cpp":
        chosen = _spoken(point.function, names)
    else:
        chosen = matching(point.function, list(names))
    found: dict[int, str] = {}
    for name in chosen:
        if is_pattern(point.function) and not _executable(binary, names[name]):
            continue
        found.setdefault(names[name], name)
    return {name: address for address, name in found.items()}


def address_of(point: tree.UserFunction, binary: Binary) -> int | None:
    """The address of the first function that is meant, or None."""
    return next(iter(_places(point, binary).values()), None)


def _executable(binary: Binary, address: int) -> bool:
    return any(s.flags & 1 and s.address <= address < s.address + s.size for s in binary.program.segments
               if s.type == 1)


def _address_at(binary: Binary, address: int) -> int:
    """An address that is written out: as the file's symbols have it, or, as ever, an offset in the file."""
    try:
        binary.offset(address)
        return address
    except ElfError:
        for segment in binary.program.segments:
            if segment.type == 1 and segment.offset <= address < segment.offset + segment.size:
                return address - segment.offset + segment.address
        raise


def _spoken(wanted: str, names: dict[str, int]) -> list[str]:
    """The symbols whose C++ name is meant: with its parameters, or without."""
    from bpfwright.symbols import demangle
    part = max(re.findall(r"\w+", wanted.partition("(")[0]), key=len, default="")
    found = []
    for name in names:
        if part in name:
            said = demangle(name)
            name_only = _without_parameters(said)
            if any(matching(wanted, [form]) for form in (said, name_only, _without_result(name_only))):
                found.append(name)
    return found


def _without_parameters(said: str) -> str:
    """`ns::f(int) const` is `ns::f`."""
    end = said.rfind(")")
    depth = 0
    for at in range(end, -1, -1):
        depth += (said[at] == ")") - (said[at] == "(")
        if depth == 0 and said[at] == "(":
            return said[:at]
    return said


def _without_result(name: str) -> str:
    """`int ns::twice<int>` is `ns::twice<int>`: templates' names have their results before them."""
    depth = 0
    for at in range(len(name) - 1, -1, -1):
        depth += (name[at] in ">)") - (name[at] in "<(")
        if name[at] == " " and not depth and "operator" not in name:
            return name[at + 1:]
    return name


def _site(host: Host, point: tree.UserFunction, binary: Binary, name: str, address: int, uses: Uses) -> Site:
    ret = point.provider == "uretprobe"
    label = f"cpp:{name}" if point.language else name
    shown = f"{point.provider}:{binary.shown}:{label or hex(address)}"
    if name and point.offset:
        shown += f"+{point.offset}"
    at = address + (point.offset if name else 0)
    made = Attachment("", "uprobe", (binary.path, binary.offset(at), int(ret), traced(host), 0), shown, name)
    numbered = () if ret else registers(host)
    signature = _asked(host, binary, address, uses, needed=not ret and not point.offset)
    arguments = signature.arguments if signature is not None and not ret and not point.offset else ()
    value = (signature.result if signature is not None and signature.result else result(host)) if ret else None
    return Site(point.provider, "uprobe", "uretprobe" if ret else "uprobe", shown, (made,), space="user",
                function=name, numbered=numbered, words=len(numbered), arguments=arguments, result=value,
                registers=True)


def _asked(host: Host, binary: Binary, address: int, uses: Uses, *, needed: bool) -> Signature | None:
    """The function's signature, where the script asks for arguments or results by type."""
    if not (uses.args and needed) and not (uses.retval and not needed):
        return None
    try:
        return signature_of(host, binary, address)
    except BpfwrightError:
        return None


def layouts_of(host: Host, binary: Binary) -> DwarfLayouts | None:
    """The types of a binary, of which the script may ask from now on; None where it has no DWARF."""
    from bpfwright.facets.trace.probes.dwarf import DwarfLayouts
    known = host.layouts.sources.get(binary.path)
    if known is not None:
        return known  # type: ignore[return-value]  # what stands under a path is this
    if not binary.debug_path:
        return None
    from bpfwright.formats.dwarf.entries import DebugInfo
    debug = binary if binary.debug_path == binary.path else Binary(binary.debug_path)
    info = DebugInfo(debug.data)
    if not info:
        return None
    made = host.layouts.sources[binary.path] = DwarfLayouts(info, binary.path)
    return made


def signature_of(host: Host, binary: Binary, address: int) -> Signature | None:
    """The parameters and result of the function at an address, by DWARF; None where there is none."""
    layouts = layouts_of(host, binary)
    return layouts.signature(address, host.architecture) if layouts is not None else None


# -------------------------------------------------------------------------------------------------------- source lines


def source_line(host: Host, point: tree.SourceLine, uses: Uses) -> list[Site]:
    """`uprobe:binary@file:line:column`: a site for each function that the line was compiled into."""
    found = []
    for binary in binaries_of(host, point, point.binary):
        try:
            layouts = layouts_of(host, binary)
            rows = layouts.info.lines(point.file) if layouts is not None else None
        except BpfwrightError as problem:
            raise refuse(point.span, f"{binary.path}: {problem.what}", problem.cure or problem.why) from None
        if rows is None:
            raise refuse(point.span, f"{binary.path} has no source lines",
                         "Compile it with -g, or install its debug symbols.")
        for address, line, column in _chosen(point, binary, rows):
            place = f"{point.file}:{line}" + (f":{column}" if point.column else "")
            shown = f"uprobe:{binary.shown}@{place}"
            name = _function_at(binary, address)
            where = (binary.path, binary.offset(address), 0, traced(host), 0)
            numbered = registers(host)
            found.append(Site("uprobe", "uprobe", "uprobe", shown, (Attachment("", "uprobe", where, shown, name),),
                              space="user", function=name, numbered=numbered, words=len(numbered), registers=True))
    return found


def _chosen(point: tree.SourceLine, binary: Binary, rows: list[Any]) -> list[tuple[int, int, int]]:
    """The first address of the line in each function."""
    meant = [row for row in rows if row.line == point.line and (not point.column or row.column == point.column)]
    if not rows:
        raise refuse(point.span, f"{binary.path} has no code of `{point.file}`", "Name the file as it was compiled.")
    if not meant:
        lines = sorted({row.line for row in rows})
        after = next((line for line in lines if line > point.line), lines[-1])
        columns = sorted({row.column for row in rows if row.line == point.line})
        if columns:
            raise refuse(point.span, f"no statement begins at column {point.column} of line {point.line}",
                         f"There are columns {', '.join(map(str, columns))}.")
        raise refuse(point.span, f"there is no code at {point.file}:{point.line}", f"The nearest is line {after}.")
    found: dict[str, tuple[int, int, int]] = {}
    for row in sorted(meant, key=lambda row: row.address):
        found.setdefault(_function_at(binary, row.address), (row.address, row.line, row.column))
    return list(found.values())


def _function_at(binary: Binary, address: int) -> str:
    """The function that an address is in: the last one that begins before it."""
    best, name = -1, ""
    for each, start in binary.functions.items():
        if best < start <= address:
            best, name = start, each
    return name


# ----------------------------------------------------------------------------------------------------- symbols of data


def symbol_address(host: Host, site: Site, name: str) -> tuple[int, int, bool] | None:
    """A symbol of the binary that a site is in: address, size, and whether the address counts from the site's own
    instruction, for files that the loader moves. None where there is none."""
    if not site.attachments or site.attachments[0].how != "uprobe":
        return None
    path, offset, ret, pid, _ = site.attachments[0].where
    binary = Binary(str(path))
    found = binary.symbol(name)
    if found is None:
        return None
    address, size = found
    if binary.program.type == _EXECUTABLE:
        return address, size, False
    if not ret:
        return address - binary.address(int(offset)), size, True
    if int(pid) < 0:
        return address, size, True
    return address + load_bias(int(pid), binary), size, False


def load_bias(pid: int, binary: Binary) -> int:
    """How far the loader moved a binary in a process. ElfError when it is not mapped there."""
    from bpfwright.symbols.mappings import read_mappings
    inode = os.stat(binary.path).st_ino
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            mappings = read_mappings(file.read())
    except OSError:
        raise ElfError(f"process {pid} is not there") from None
    for one in mappings:
        if one.inode == inode and one.executable:
            return one.start - binary.address(one.offset)
    raise ElfError(f"process {pid} does not use {binary.path}")



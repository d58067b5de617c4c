"""Types as C declares them, with the names that their sources gave them: for `-lv`."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import BpfwrightError
from bpfwright.facets.trace import tree

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host

__all__ = ["arguments_of", "definition_of", "dwarf_declaration", "record_declarations"]

_DEEPEST = 12


def arguments_of(host: Host, point: tree.AttachPoint) -> list[str]:
    """The arguments of one attach point, `type name` each; none where nothing is known of it."""
    take = _OF.get(type(point))
    try:
        return take(host, point) if take is not None else []
    except (BpfwrightError, OSError):
        return []


def _of_tracepoint(host: Host, point: Any) -> list[str]:
    return record_declarations(host.machine.event_format(point.category, point.event))


def _of_raw(host: Host, point: Any) -> list[str]:
    from bpfwright.facets.trace.probes.tracepoints import prototype_of
    btf = host.machine.types.vmlinux
    return _parameters(btf, prototype_of(btf, point.event))[1:]


def _of_kernel(host: Host, point: Any) -> list[str]:
    from bpfwright.facets.trace.probes.kernel import typed_function
    found = typed_function(host, point.function, point.module)
    if found is None or point.provider == "kretprobe":
        return []
    btf, number = found
    proto = btf.resolve(btf.type_of(number))
    lines = _parameters(btf, proto)
    return [*lines, f"{_spelled(btf, btf.result_of(proto))} retval"] if point.provider == "fexit" else lines


def _parameters(btf: Any, proto: int) -> list[str]:
    return [f"{_spelled(btf, one.type_id)} {one.name or f'arg{at}'}" for at, one in enumerate(btf.parameters(proto))]


def _spelled(btf: Any, number: int) -> str:
    from bpfwright.formats.btf.printing import declaration
    return declaration(btf, number)


def _of_user(host: Host, point: Any) -> list[str]:
    from bpfwright.facets.trace.probes.binaries import binaries_of
    from bpfwright.facets.trace.probes.user import address_of, layouts_of
    from bpfwright.formats.dwarf.entries import name_of, type_entry
    binary = binaries_of(host, point, point.binary)[0]
    layouts = layouts_of(host, binary)
    address = address_of(point, binary)
    entry = layouts.info.function(address) if layouts is not None and address is not None else None
    if entry is None:
        return []
    if point.provider == "uretprobe":
        return [f"{dwarf_declaration(type_entry(entry), '')} retval"]
    parameters = [child for child in entry.iter_children() if child.tag == "DW_TAG_formal_parameter"]
    return [f"{dwarf_declaration(type_entry(child), '')} {name_of(child) or f'arg{at}'}"
            for at, child in enumerate(parameters)]


def _of_usdt(host: Host, point: Any) -> list[str]:
    from bpfwright.facets.trace.probes.resolve import Uses
    from bpfwright.facets.trace.probes.usdt import usdt
    uses = Uses()
    uses.numbered = True
    return [f"{argument.type} {argument.name}" for argument in usdt(host, point, uses)[0].numbered]


_OF: dict[type, Any] = {tree.Tracepoint: _of_tracepoint, tree.RawTracepoint: _of_raw,
                        tree.KernelFunction: _of_kernel, tree.UserFunction: _of_user, tree.Usdt: _of_usdt}


def definition_of(host: Host, keyword: str, name: str) -> str:
    """`struct NAME { ... };` of the kernel, or nothing."""
    from bpfwright.formats.btf import Kind
    from bpfwright.formats.btf.printing import definition
    btf = host.machine.types.vmlinux
    for kind in {"struct": (Kind.STRUCT,), "union": (Kind.UNION,), "enum": (Kind.ENUM, Kind.ENUM64)}[keyword]:
        for number in btf.find_all(name, kind):
            return definition(btf, number)
    return ""


def record_declarations(text: str) -> list[str]:
    """The fields of a tracefs `format` file as they stand there, the common ones left out."""
    found = []
    for line in text.splitlines():
        head, _, _ = line.strip().partition(";")
        if head.startswith("field:"):
            found.append(head[len("field:"):].strip())
    return [one for one in found if not one.split("[")[0].split()[-1].lstrip("*").startswith("common_")]


def dwarf_declaration(entry: Any, name: str) -> str:
    """`const char *name`, from the entry of a type (None: void)."""
    return _dwarf(entry, name, 0)


def _dwarf(entry: Any, inner: str, depth: int) -> str:
    from bpfwright.formats.dwarf.entries import KEYWORDS, name_of, type_entry
    if entry is None or depth > _DEEPEST:
        return _with("void", inner)
    star = {"DW_TAG_pointer_type": "*", "DW_TAG_reference_type": "&", "DW_TAG_rvalue_reference_type": "&&"}
    if entry.tag in star:
        target = type_entry(entry)
        if target is not None and target.tag == "DW_TAG_subroutine_type":
            return _dwarf(type_entry(target), f"({star[entry.tag]}{inner})()", depth + 1)
        return _dwarf(target, f"{star[entry.tag]}{inner}", depth + 1)
    if entry.tag == "DW_TAG_array_type":
        counts = "".join(f"[{_count(child)}]" for child in entry.iter_children()
                         if child.tag == "DW_TAG_subrange_type")
        return _dwarf(type_entry(entry), f"{inner}{counts}", depth + 1)
    if entry.tag in ("DW_TAG_const_type", "DW_TAG_volatile_type"):
        word = "const " if entry.tag == "DW_TAG_const_type" else "volatile "
        return word + _dwarf(type_entry(entry), inner, depth + 1)
    if not name_of(entry) and entry.tag not in KEYWORDS:
        return _dwarf(type_entry(entry), inner, depth + 1)
    return _with(f"{KEYWORDS.get(entry.tag, '')} {name_of(entry) or '{ ... }'}".strip(), inner)


def _with(word: str, inner: str) -> str:
    return f"{word} {inner}".rstrip()


def _count(entry: Any) -> str:
    for name, more in (("DW_AT_count", 0), ("DW_AT_upper_bound", 1)):
        if name in entry.attributes and isinstance(entry.attributes[name].value, int):
            return str(int(entry.attributes[name].value) + more)
    return ""

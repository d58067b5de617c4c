"""Iterators: what the kernel walks, from its own list of them."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.plan import Attachment
from bpfwright.facets.trace.probes.sites import Argument, Site
from bpfwright.facets.trace.text import nearest
from bpfwright.facets.trace.types import Pointer, Struct

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.probes.resolve import Uses

__all__ = ["iterator", "iterator_names"]

_PREFIX = "bpf_iter_"
_NEED_A_MAP = ("bpf_map_elem", "bpf_sk_storage_map")


def iterator_names(host: Host) -> list[str]:
    """Every iterator of this kernel: it has a function `bpf_iter_NAME` and a struct `bpf_iter__NAME`."""
    from bpfwright.formats.btf import Kind
    btf = host.machine.types.vmlinux
    kinds = (Kind.FUNC, Kind.STRUCT)
    found: tuple[set[str], set[str]] = set(), set()
    for number in btf.ids():
        kind = btf.kind(number)
        if kind in kinds:
            name = btf.name(number)
            if name.startswith(_PREFIX):
                found[kinds.index(kind)].add(name[len(_PREFIX):].lstrip("_"))
    return sorted(found[0] & found[1])


def iterator(host: Host, point: tree.Iterator, uses: Uses) -> list[Site]:
    """`iter:task`, `iter:task_file`, `iter:tcp` and whatever else the kernel walks."""
    context = host.layouts.named("struct", f"{_PREFIX}_{point.kind}")
    from bpfwright.formats.btf import Kind
    if host.machine.types.find(f"{_PREFIX}{point.kind}", Kind.FUNC) is None or not isinstance(context, Struct):
        names = iterator_names(host)
        close = nearest(point.kind, names)
        raise refuse(point.span, f"the kernel has no iterator `{point.kind}`",
                     f"Did you mean `iter:{close}`?" if close else f"It has {', '.join(names)}.")
    if point.kind in _NEED_A_MAP:
        raise refuse(point.span, f"`iter:{point.kind}` walks one map, and a script cannot say which",
                     "`bpfwright map dump` shows a map's entries.")
    found = []
    for member in host.layouts.members(context).values():
        how = "pointer" if isinstance(member.type, Pointer) else "context"
        found.append(Argument(member.name, member.type, how, member.offset))
    shown = f"iter:{point.kind}" + (f":{point.pin}" if point.pin else "")
    made = Attachment("", "iter", (point.pin, point.kind), shown)
    return [Site("iter", "iter", f"iter/{point.kind}", shown, (made,), arguments=tuple(found))]

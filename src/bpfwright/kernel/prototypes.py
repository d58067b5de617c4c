"""What the running kernel's functions, tracepoints and security hooks take: names and types of their parameters."""
from __future__ import annotations

from bpfwright._typing import NamedTuple
from bpfwright.errors import BtfError
from bpfwright.formats.btf.reader import Btf, Kind
from bpfwright.kernel.types import KernelTypes

__all__ = ["KernelParameter", "prototype"]


class KernelParameter(NamedTuple):
    """A parameter: its name, and the struct that it points to ("" for numbers and other pointers)."""

    name: str
    struct: str


def prototype(types: KernelTypes, kind: str, name: str) -> list[KernelParameter]:
    """The parameters of a `function`, `lsm` hook or `tp_btf` tracepoint. BtfError when the kernel has none."""
    wanted, btf_kind = {"function": (name, Kind.FUNC), "lsm": (f"bpf_lsm_{name}", Kind.FUNC),
                        "tp_btf": (f"btf_trace_{name}", Kind.TYPEDEF)}[kind]
    found = types.find(wanted, btf_kind)
    if found is None:
        raise BtfError(f"this kernel has no {kind.replace('_', ' ')} {name!r}",
                       why=f"{wanted} is not in its type information")
    number, module = found
    btf = types.module(module) if module else types.vmlinux
    proto = btf.type_of(number)
    if kind == "tp_btf":
        proto = btf.type_of(btf.resolve(proto))
    parameters = btf.parameters(btf.resolve(proto))
    return [KernelParameter(p.name, _struct(btf, p.type_id)) for p in parameters[kind == "tp_btf":]]


def _struct(btf: Btf, type_id: int) -> str:
    number = btf.resolve(type_id)
    if btf.kind(number) != Kind.PTR:
        return ""
    target = btf.resolve(btf.type_of(number))
    return btf.name(target) if btf.kind(target) in (Kind.STRUCT, Kind.UNION, Kind.FWD) else ""

"""Which module has the facet of a section of net.yaml: each is imported when a data path is read."""
from __future__ import annotations

from bpfwright._typing import Any

__all__ = ["FACETS", "facets"]

FACETS: dict[str, str] = {
    "balancer": "bpfwright.facets.balancer.facet", "firewall": "bpfwright.facets.firewall.facet",
    "intrusion": "bpfwright.facets.intrusion.facet", "objects": "bpfwright.datapath.objects",
    "shaper": "bpfwright.facets.shaper.facet",
}
"""A facet's section in net.yaml: the module that has it as FACET."""


def facets() -> dict[str, Any]:
    """The facets by their section."""
    from importlib import import_module
    return {name: import_module(module).FACET for name, module in FACETS.items()}

"""Testing kernel programs: inputs drawn by Hypothesis, one comparison of all machines, and a pytest plugin.

`pip install bpfwright[hypothesis]` brings what the strategies need. The plugin is there as soon as bpfwright is
installed: fixtures `bpf`, `userspace` and `machine`.
"""
from __future__ import annotations

from bpfwright._late import late
from bpfwright._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.testing.contexts import SkbContext, XdpContext
    from bpfwright.testing.loading import Bpf
    from bpfwright.testing.same import Difference, Everywhere, assert_same_everywhere
    from bpfwright.testing.strategies import entries, packets, records, skb_contexts, values, xdp_contexts

__all__ = ["Bpf", "Difference", "Everywhere", "SkbContext", "XdpContext", "assert_same_everywhere", "entries",
           "packets", "records", "skb_contexts", "values", "xdp_contexts"]

_FILES = {"Bpf": "loading", "Difference": "same", "Everywhere": "same", "SkbContext": "contexts",
          "XdpContext": "contexts", "assert_same_everywhere": "same", "entries": "strategies", "packets": "strategies",
          "records": "strategies", "skb_contexts": "strategies", "values": "strategies", "xdp_contexts": "strategies"}

if not TYPE_CHECKING:
    __getattr__, __dir__ = late(__name__, _FILES, __all__)

"""What comes close to a mistake and is none: the compiler lets it through, and this kernel takes it."""
from __future__ import annotations

import linecache
from typing import Any

import pytest

from bpfwright import load
from tests.lang.test_mistakes import HEAD

pytestmark = pytest.mark.kernel
_LOCKED = "e = buckets.get(1)\n    if e is None: return xdp.PASS\n    with e.lock:\n        "

NEAR = {
    "adjusted, then found": "if ctx.adjust_head(-4):\n        h = ctx.find(IPv4)\n        if h is not None: h.ttl = 3",
    "adjusted, and left": "if ctx.length > 100 and ctx.adjust_head(4):\n        return xdp.PASS\n    x = 1",
    "found again by one name": "ok = ctx.adjust_head(-4)\n    ip = ctx.find(IPv4)\n    if ip is None: return xdp.PASS\n"
                               "    ip.ttl = 3",
    "found after a function that adjusts": "if moved_below(ctx):\n        h = ctx.find(IPv4)\n"
                                           "        if h is not None: h.ttl = 2",
    "adjusted, and the loop left": "for i in range(5):\n        if ctx.length > i + 100:\n"
                                   "            ok = ctx.adjust_head(1)\n            break\n        ip.ttl = 3",
    "written whole, at the driver": "with whole_packet(ctx) as view:\n        ok = view.write(0, Blocked(1, 2))\n"
                                    "        counts[1] = ip.ttl",
    "tail call without the record": "with opens.reserve() as r:\n        if r is None:\n"
                                    "            stages.tail_call(ctx, 1)\n            return xdp.DROP\n"
                                    "        r.pid = 1",
    "tail call after the record": "with opens.reserve() as r:\n        if r is not None:\n            r.pid = 1\n"
                                  "    stages.tail_call(ctx, 1)",
    "tail call without the reference": "held = bpf_task_from_pid(1)\n    if held is None:\n"
                                       "        stages.tail_call(ctx, 1)\n        return xdp.DROP\n"
                                       "    counts[1] = u32(held.tgid)",
    "arithmetic in lock": _LOCKED + "e.tokens += min(ctx.length, 5) * u32(e.tokens) + ip.ttl\n"
                                    "        for i in range(5): e.tokens += i\n        totals.seen += 1",
    "inlined in lock": _LOCKED + "e.tokens = two(e.tokens, 5)",
    "left out of a lock": _LOCKED + "if e.tokens > 4: return xdp.DROP\n        e.tokens = 4",
    "eight frames": "if s2(ctx.length) > 7: return xdp.DROP",
}
TC = "with whole_packet(ctx) as view:\n        ok = view.write(0, Blocked(1, 2))\n        h = ctx.find(IPv4)\n" \
     "        if h is not None: counts[1] = h.ttl"


def _loads(hook: str, passing: str, body: str) -> None:
    text = HEAD + f"""
@{hook}.program
def program(ctx: {hook}.Context) -> {hook}.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return {hook}.{passing}
    {body}
    return {hook}.{passing}
"""
    file = f"<near {abs(hash(text))}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    space: dict[str, Any] = {"__name__": "near"}
    exec(compile(text, file, "exec"), space)
    with load(space["program"]):
        pass


@pytest.mark.parametrize("name", NEAR)
def test_it_loads(name: str) -> None:
    _loads("xdp", "PASS", NEAR[name])


def test_a_header_is_found_again_after_writing_in_tc() -> None:
    _loads("tc", "OK", TC)

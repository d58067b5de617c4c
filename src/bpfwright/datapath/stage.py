"""Stages: what a facet does with a packet, as a function that is inlined into the one program of a hook."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.errors import UsageError

__all__ = ["ABORT", "ACCEPT", "CONTINUE", "DROP", "REPLY", "SENT", "Foreign", "Hook", "Stage", "accept", "composed",
           "drop", "reasons_of"]

Hook = str
"""Where a stage runs: "xdp" (frames that come in, at the driver), "ingress" and "egress" (tc)."""

CONTINUE, ACCEPT, DROP, REPLY, SENT, ABORT = range(6)
"""What a stage says, in a verdict's lowest byte: the next stage decides; the packet is taken and no later stage sees
it; it is dropped; it goes out where it came in; the stage has redirected it; something failed. Above it: the reason."""

_REASON = 8


def drop(reason: int) -> int:
    """The verdict that drops for a reason: its number in the stage's `reasons`, from 0."""
    return DROP | reason + 1 << _REASON


def accept(reason: int) -> int:
    """The verdict that lets the packet pass for a reason, past all stages behind."""
    return ACCEPT | reason + 1 << _REASON


class Foreign(NamedTuple):
    """A program of another object (ObjectSpec, ProgramSpec) that is to stand in the place of the function `place` of
    ours; its maps are named behind `prefix`."""

    place: str
    object: Any
    program: Any
    prefix: str


class Stage(NamedTuple):
    """A facet's part in a hook's program.

    `run(ctx, packet) -> verdict` is a function of the dialect: `ctx` is the hook's context, `packet` a `Parsed`.
    `needs` are names of `parsed.NEEDS`; with none of them there is no `packet` to look at. `reasons` are the words that
    `drop` and `accept` count by, at most 200. `rewrites`: it may move headers and still say CONTINUE, so that packets
    are parsed again for the stages behind. `foreign`: a program that is linked in where the stage calls a subprogram of
    that name. `alone`: most of it is a function of its own already, or it is too small to be one (see apart.py).
    """

    name: str
    run: Callable[[Any, Any], Any]
    needs: frozenset[str]
    reasons: tuple[str, ...] = ()
    rewrites: bool = False
    foreign: Foreign | None = None
    alone: bool = False


def reasons_of(stages: list[Stage]) -> list[tuple[str, str]]:
    """(stage, reason) by their number in the counters of a composed program; 0 is what no stage decided."""
    return [("", "passed"), *((stage.name, reason) for stage in stages for reason in stage.reasons)]


def composed(stages: list[Stage], parser: Callable[[frozenset[str]], Any], empty: Callable[[], Any],
             decided: Callable[[Any, Any], None] | None = None,
             memory: Callable[[list[Stage]], tuple[list[Stage], Any]] | None = None) -> Callable[[Any], Any]:
    """One function of a context that runs stages in their order, and gives the verdict with the reason's number in
    `reasons_of`. What is parsed is parsed once, and again behind a stage that rewrites.

    `decided(ctx, verdict)` is called, inlined too, with a verdict that is not CONTINUE. `memory` makes functions of
    their own of stages, and says where what was parsed is put for them (see apart.py).
    """
    blocks: list[list[Stage]] = [[]]
    base: dict[str, int] = {}
    number = 0
    for stage in stages:
        if len(stage.reasons) > 200:
            raise UsageError(f"{stage.name} has {len(stage.reasons)} reasons", cure="200 are the most.")
        if stage.name in base:
            raise UsageError(f"two stages are named {stage.name}")
        base[stage.name] = number
        number += len(stage.reasons)
        blocks[-1].append(stage)
        if stage.rewrites:
            blocks.append([])
    whole = _end
    for block in reversed(blocks):
        if block:
            needs = frozenset().union(*(stage.needs for stage in block))
            plain = _parsed(parser(needs), empty) if needs else _not_parsed
            made, parsed = (block, plain) if memory is None else memory(block)
            whole = _block(parsed, _chain(made, base), whole, decided)
    return whole


def _end(ctx: Any) -> int:
    return CONTINUE


def _no_stage(ctx: Any, packet: Any) -> int:
    return CONTINUE


def _chain(stages: list[Stage], base: dict[str, int]) -> Any:
    chain = _no_stage
    for stage in reversed(stages):
        chain = _before(stage.run, base[stage.name] << _REASON, chain)
    return chain


def _before(run: Any, base: int, behind: Any) -> Any:
    last = behind is _no_stage

    def both(ctx: Any, packet: Any) -> Any:
        verdict = run(ctx, packet)
        if verdict != CONTINUE:
            return verdict if verdict < 1 << _REASON else verdict + base
        return CONTINUE if last else behind(ctx, packet)

    return both


def _not_parsed(ctx: Any) -> int:
    """For stages that need nothing: a record that nobody reads would have to be emptied behind each that rewrites."""
    return 0


def _parsed(parse: Any, empty: Any) -> Any:
    """`parsed(ctx)`: what the parse finds, in registers."""
    def parsed(ctx: Any) -> Any:
        packet = empty()
        parse(ctx, packet)
        return packet

    return parsed


def _block(parsed: Any, chain: Any, behind: Any, decided: Any) -> Any:
    last = behind is _end
    tells = decided is not None

    def run(ctx: Any) -> Any:
        verdict = chain(ctx, parsed(ctx))
        if tells and verdict != CONTINUE:
            decided(ctx, verdict)
        return verdict if last or verdict != CONTINUE else behind(ctx)

    return run

"""Programs of other objects as stages: what somebody compiled runs in the data path, in its place among the facets.

Each is linked into the hook's program as a subprogram. Its action decides: those under `continue-on` go on to the
stages behind, others end here. Its maps are kept while their shapes stay.
"""
from __future__ import annotations


from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.configuration import Section
from bpfwright.datapath.facet import Hooked, Part, Scene
from bpfwright.datapath.stage import ABORT, CONTINUE, REPLY, SENT, Foreign, Stage, accept, drop
from bpfwright.errors import BpfwrightError, TargetError
from bpfwright.helpers import subprogram
from bpfwright.hooks import tc, xdp
from bpfwright.types import u32

__all__ = ["FACET", "Objects"]

_TYPES = {"xdp": 6, "ingress": 3, "egress": 3}  # bpf_prog_type
_XDP_ACTIONS = {"aborted": 0, "drop": 1, "pass": 2, "tx": 3, "redirect": 4}
_TC_ACTIONS = {"next": 0xFFFFFFFF, "ok": 0, "reclassify": 1, "shot": 2, "pipe": 3, "stolen": 4, "redirect": 7}
_RANK = 50  # before our own facets


class _Wanted(NamedTuple):
    """One object as the configuration has it."""

    name: str
    file: str
    program: str
    hook: str
    interfaces: tuple[str, ...]
    rank: int
    continue_on: tuple[int, ...]
    foreign: Foreign


class Objects:
    """Section `objects`: names, each with `file`, and `program`, `hook`, `interfaces`, `rank`, `continue-on`."""

    name = "objects"

    def read(self, section: Section) -> list[_Wanted]:
        """The objects, read and looked into; ConfigurationError at their line."""
        found = []
        for name in section:
            if not name.isidentifier():
                section.wrong("an object is named by letters, digits and _", at=name)
            inside = section.section(name)
            if inside is None:
                section.wrong("an object needs its file", "Write `file: guard.o`.", at=name)
            found.append(_wanted(name, inside))
            inside.done()
        return found

    def build(self, settings: list[_Wanted], scene: Scene) -> Part:
        """One stage an object and hook."""
        stages = []
        for wanted in settings:
            made = _xdp_stage(wanted) if wanted.hook == "xdp" else _tc_stage(wanted)
            for name in wanted.interfaces or tuple(scene.interfaces):
                if name not in scene.interfaces:
                    raise TargetError(f"object {wanted.name} is to run at {name}, which is not among the interfaces",
                                      cure=f"They are {', '.join(scene.interfaces)}.")
                stages.append(Hooked(name, wanted.hook, made, wanted.rank))
        return Part(stages)


def _wanted(name: str, inside: Section) -> _Wanted:
    from bpfwright.objfile import read
    from bpfwright.objfile.splicing import check, program_of
    hook = inside.choice("hook", tuple(_TYPES), "xdp")
    actions = _XDP_ACTIONS if hook == "xdp" else _TC_ACTIONS
    file, content = inside.contents("file")
    program = inside.text("program", "")
    on = [scalar.choice(tuple(actions)) for scalar in inside.scalars("continue-on")]
    try:
        spec = read(content)
        chosen = program_of(spec, program, _TYPES[hook], file)
        check(spec, chosen)
    except BpfwrightError as error:
        inside.wrong(error.what, error.cure or error.why, at="program" if "program" in inside else "file")
    return _Wanted(name, file, program, hook, tuple(scalar.text for scalar in inside.scalars("interfaces")),
                   inside.number("rank", _RANK, high=1000),
                   tuple(actions[word] for word in on or (["pass"] if hook == "xdp" else ["next", "ok", "pipe"])),
                   Foreign(f"foreign_{name}", spec, chosen, f"{name}."))


def _xdp_stage(wanted: _Wanted) -> Stage:
    def place(ctx: xdp.Context) -> u32:
        ctx.adjust_head(0)  # what takes its place may move the packet
        return u32(ctx.rx_queue)

    place.__name__ = place.__qualname__ = wanted.foreign.place
    call: Any = subprogram(place)
    numbers = wanted.continue_on

    def run(ctx: Any, packet: Any) -> Any:
        action = call(ctx)
        if action in numbers:
            return CONTINUE
        if action == 1:
            return drop(0)
        if action == 2:
            return accept(1)
        if action == 3:
            return REPLY
        return SENT if action == 4 else ABORT

    return Stage(wanted.name, run, frozenset(), ("dropped", "passed"), True, wanted.foreign)


def _tc_stage(wanted: _Wanted) -> Stage:
    def place(ctx: tc.Context) -> u32:
        ctx.pull(0)
        return u32(ctx.mark)

    place.__name__ = place.__qualname__ = wanted.foreign.place
    call: Any = subprogram(place)
    numbers = wanted.continue_on

    def run(ctx: Any, packet: Any) -> Any:
        action = call(ctx)
        if action in numbers:
            return CONTINUE
        if action in (2, 4):  # what is stolen does not go on either
            return drop(0)
        return SENT if action == 7 else accept(1)

    return Stage(wanted.name, run, frozenset(), ("dropped", "passed"), True, wanted.foreign)


FACET = Objects()

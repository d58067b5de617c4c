"""A script to a plan and an object: parsed, resolved, checked in passes, lowered, compiled."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.errors import CompileError, CompilerCrash
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling import maps
from bpfwright.facets.trace.compiling.checker import Checker, Spoiled
from bpfwright.facets.trace.compiling.code import Code, Frame
from bpfwright.facets.trace.compiling.host import Host
from bpfwright.facets.trace.compiling.scope import Knowledge
from bpfwright.facets.trace.compiling.syscalls import only_meant
from bpfwright.facets.trace.compiling.typed import Refused
from bpfwright.facets.trace.compiling.unit import Unit
from bpfwright.facets.trace.plan import Attachment, Plan
from bpfwright.facets.trace.probes.sites import Site
from bpfwright.facets.trace.text import Mistakes, Note
from bpfwright.lang import ir
from bpfwright.lang.target import Target

__all__ = ["Body", "lowered", "object_of"]

_MOST_PASSES = 24


class Body(NamedTuple):
    """One program to be made: a probe of the script, at a site. Without a name it is only looked at: its attach points
    are missing."""

    probe: tree.Probe
    site: Site
    name: str
    number: int


class _Checked(NamedTuple):
    body: Body
    checker: Checker
    predicate: Any
    done: Any


def checked(bodies: list[Body], host: Host, known: Knowledge) -> list[_Checked]:
    """All programs, once the types of maps and variables no longer change. Mistakes if any is wrong."""
    for _ in range(_MOST_PASSES):
        known.changed = known.learned = known.waiting = False
        found = [_check(body, host, known) for body in bodies]
        if known.over():
            break
    mistakes = [note for one in found if one.body.name for note in one.checker.mistakes]
    mistakes = mistakes or _never_given(known, found)
    if mistakes:
        raise Mistakes(mistakes)
    known.final = True
    _drop_unused(known)
    return [_check(body, host, known) for body in bodies]


def _check(body: Body, host: Host, known: Knowledge) -> _Checked:
    checker = Checker(known, host, body.site, body.number)
    predicate = None
    if body.probe.predicate is not None:
        try:
            predicate = checker.scalar(body.probe.predicate, "a predicate")
        except Spoiled:
            pass
        except Refused as refused:
            checker.mistakes.append(refused.note)
    return _Checked(body, checker, predicate, checker.block(body.probe.body))


def _never_given(known: Knowledge, found: list[_Checked]) -> list[Note]:
    """Maps without a type. Where a probe that is left out gives them their values, what is wrong there is the reason;
    a map whose value comes from another such map is not spoken of."""
    lacking = [facts for facts in known.maps.values() if facts.value is None and facts.used]
    left_out = [one for one in found if not one.body.name]
    given = {name for one in found for name in _given(one.body.probe)}
    given_there = {name for one in left_out for name in _given(one.body.probe)}
    if reasons := [note for one in left_out for note in one.checker.mistakes if lacking]:
        return reasons
    notes = []
    for facts in [facts for facts in lacking if facts.name not in given] or lacking:
        if facts.name in given_there:
            notes.append(Note(facts.span, f"@{facts.name} gets its value in a probe that is left out",
                              "There is nothing to attach that probe to: see its warning."))
        else:
            notes.append(Note(facts.span, f"@{facts.name} is used, but never given a value",
                              f"Give it one: `@{facts.name} = ...`."))
    return notes


def _given(probe: tree.Probe) -> set[str]:
    """The maps that a probe assigns to."""
    targets = [node.target for node in tree.walk(probe) if isinstance(node, (tree.Assign, tree.Update))]
    bases = [target.object if isinstance(target, tree.Index) else target for target in targets]
    return {base.name for base in bases if isinstance(base, tree.MapName)}


def _drop_unused(known: Knowledge) -> None:
    """Maps that are only declared: there is no telling what they would hold."""
    for facts in [facts for facts in known.maps.values() if facts.value is None]:
        known.warn(facts.span, f"@{facts.name} is declared, but not used", "Take the declaration out.")
        del known.maps[facts.name]


def lowered(bodies: list[Body], host: Host, program: tree.Program, target: Target, ring_bytes: int) -> tuple[Unit,
                                                                                                             Plan]:
    """The unit with every function, and the plan; `program` gives what is declared."""
    known = Knowledge()
    known.indexed = any(body.site.index_by for body in bodies)
    _declare(known, program)
    ready = checked(bodies, host, known)
    unit = Unit(target, ring_bytes, host.cpus, str(host.setting("license")))
    limit = int(host.setting("max_map_keys"))
    for facts in known.maps.values():
        maps.made(unit, facts, limit, host.layouts.whole)
    for one in ready:
        if one.body.name:
            _emit(one, unit, host)
    attachments = tuple(attachment._replace(program=body.name)
                        for body in bodies for attachment in body.site.attachments)
    return unit, _plan(bodies, attachments, unit, host, known)


def _declare(known: Knowledge, program: tree.Program) -> None:
    for declared in program.maps:
        facts = known.map(declared.name, declared.span)
        facts.declared, facts.size, facts.used = declared.kind, declared.size, False


def _emit(one: _Checked, unit: Unit, host: Host) -> None:
    body, checker = one.body, one.checker
    function = ir.Function(body.name, [("ctx", "ptr")], "i32", section=body.site.section,
                           line=body.probe.span.line, file=unit.file(body.probe.span.text.file or "stdin"))
    unit.add(function)
    code = Code(function, unit, f"scratch_{body.number}", reports=host.options.reports,
                frame=Frame() if checker.uses_frame else None)
    code.span = checker.place(code, body.probe.span)
    if body.site.kind == "syscalls":
        only_meant(code, checker)
    if body.site.kind == "iter":
        _only_objects(code, body.site)
    for variable in checker.late:
        code.clear(variable)
    if one.predicate is not None:
        with code.statement(), code.unless(code.truth(one.predicate)):
            code.leave()
    one.done(code)
    code.finish()


def _only_objects(code: Code, site: Site) -> None:
    """An iterator is called once more when all is done, with null."""
    for argument in site.arguments:
        if argument.how == "pointer" and argument.name != "meta":
            pointer = code.context_pointer(argument.place)
            with code.when(code.is_null(pointer)):
                code.leave()
            code.context_pointers[argument.place] = pointer


def _plan(bodies: list[Body], attachments: tuple[Attachment, ...], unit: Unit, host: Host, known: Knowledge) -> Plan:
    def special(provider: str) -> tuple[str, ...]:
        return tuple(body.name for body in bodies if body.site.provider == provider and body.name)

    def labelled(provider: str) -> tuple[tuple[str, str], ...]:
        return tuple((body.site.function, body.name) for body in bodies if body.site.provider == provider)

    settings = {name: host.setting(name) for name in host.settings}
    return Plan(attachments, tuple(unit.maps.values()), tuple(unit.messages), tuple(unit.texts), (),
                special("begin"), special("end"),
                tuple((body.site.index, body.name) for body in bodies if body.site.provider == "self"),
                labelled("test"), labelled("bench"), tuple(sorted(settings.items())),
                tuple(str(note.error()) for note in known.warnings), tuple(unit.counted), unit.unwound)


def object_of(unit: Unit) -> bytes:
    """The ELF object. CompileError, with the line, when LLVM cannot make one."""
    from bpfwright import _llvm
    try:
        return _llvm.compile_bpf(unit.llvm(), cpu=unit.target.cpu, opt=unit.target.opt)
    except CompilerCrash as crash:
        import re
        place = re.search(r"error: (.+?):(\d+):(\d+): in function", crash.diagnostics)
        if "stack limit" not in crash.diagnostics or place is None:
            raise
        raise CompileError("this probe needs more than 512 bytes of stack", file=place[1], line=int(place[2]),
                           column=max(0, int(place[3]) - 1), end_column=int(place[3]), source="",
                           cure="Use fewer variables, or put some of them into a map.") from crash

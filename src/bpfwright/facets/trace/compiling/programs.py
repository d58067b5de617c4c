"""Probes to programs: attach points are resolved, places that one program can serve are put together."""
from __future__ import annotations

from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.compile import Body
from bpfwright.facets.trace.compiling.host import Host
from bpfwright.facets.trace.compiling.typed import Refused
from bpfwright.facets.trace.plan import WATCH_ARGUMENT, Attachment
from bpfwright.facets.trace.probes.perf import entries
from bpfwright.facets.trace.probes.resolve import Uses, resolve, uses_of
from bpfwright.facets.trace.probes.sites import Site
from bpfwright.facets.trace.text import Mistakes, Note

__all__ = ["bodies_of"]

_COOKIED = {"kprobe", "uprobe", "tracepoint", "usdt", "fentry", "fexit"}


def bodies_of(program: tree.Program, host: Host) -> tuple[list[Body], tuple[tuple[str, str], ...], list[Note]]:
    """The programs to be made, what each probe is called (by its index), and warnings. Mistakes for what matches
    nothing,
    unless missing probes are only to be warned about."""
    mistakes: list[Note] = []
    warnings: list[Note] = []
    bodies: list[Body] = []
    probes: list[tuple[str, str]] = []
    missing = host.setting("missing_probes")
    for probe in program.probes:
        probe = _wanted(probe, host.options.tests)
        uses = uses_of(probe)
        sites: list[Site] = []
        for point in probe.points:
            try:
                sites += resolve(host, point, uses)
            except Refused as refused:
                (mistakes if missing == "error" else warnings).append(refused.note)
        if not sites and probe.points and missing != "error":
            bodies.append(Body(probe, _nowhere(host, probe.points[0]), "", len(bodies)))
        for site in _together(sites, uses, host):
            indexed = _indexed(site, probes)
            bodies.append(Body(probe, indexed, _name(indexed, len(bodies)), len(bodies)))
            bodies += _watchers(host, bodies[-1])
    attached = sum(max(1, len(body.site.names) or len(body.site.attachments)) for body in bodies)
    limit = int(host.setting("max_probes"))
    if attached > limit and not mistakes:
        span = program.probes[0].points[0].span if program.probes else program.span
        mistakes.append(Note(span, f"this attaches {attached} probes, more than {limit}",
                             "Choose fewer, or raise it: BPFTRACE_MAX_PROBES."))
    if mistakes:
        raise Mistakes(mistakes)
    return bodies, tuple(probes), warnings if missing == "warn" else []


def _watchers(host: Host, body: Body) -> list[Body]:
    """For watchpoints on what an argument points to: the programs at the functions' entries that find the addresses."""
    made: list[Body] = []
    span = body.probe.span
    for at, one in enumerate(body.site.attachments):
        if one.how != WATCH_ARGUMENT:
            continue
        function, argument, *_, waits = one.where
        told = tree.Call(span, "watch_argument", (
            tree.Name(span, f"arg{argument}"), tree.String(span, f"{body.name} {at}".encode()),
            tree.Boolean(span, bool(waits))))
        setting = tree.Probe(span, (), None, tree.Block(span, (), told))
        for site in entries(host, span, str(function)):
            number = body.number + 1 + len(made)
            made.append(Body(setting, site, _name(site, number), number))
    return made


def _nowhere(host: Host, point: tree.AttachPoint) -> Site:
    """Where a probe stands that is left out: what its body gives to maps and variables is known all the same."""
    from bpfwright.facets.trace.probes.kernel import registers, result
    numbered = registers(host)
    provider = str(getattr(point, "provider", type(point).__name__.lower()))
    return Site(provider, "kprobe", "kprobe", provider, numbered=numbered, words=len(numbered), result=result(host),
                registers=True)


def _wanted(probe: tree.Probe, tests: str) -> tree.Probe:
    """The probe with the attach points that count: tests and benchmarks only where they are asked for, and only
    they."""
    points = tuple(point for point in probe.points
                   if (isinstance(point, tree.Labelled) and point.provider == tests) or
                   (not isinstance(point, tree.Labelled) and not tests))
    return probe if points == probe.points else probe.remade((points, probe.predicate, probe.body))


def _together(sites: list[Site], uses: Uses, host: Host) -> list[Site]:
    """Sites that differ only in where they attach become one. Where the program asks which it is, that takes
    cookies."""
    groups: dict[object, list[Site]] = {}
    for at, site in enumerate(sites):
        one = site.kind in ("special", "iter", "fentry", "fexit", "tp_btf") or (site.names and not site.calls)
        cookies = site.kind in _COOKIED and host.machine_has_cookies
        apart = at if one or uses.addresses or (uses.names and not cookies and not site.calls) else 0
        section = "tracepoint" if site.kind == "tracepoint" else site.section
        key = (apart, site.provider, site.kind, section, site.space, site.arguments, site.numbered, site.result)
        groups.setdefault(key, []).append(site)
    return [group[0] if len(group) == 1 else _joined(group, uses) for group in groups.values()]


def _joined(group: list[Site], uses: Uses) -> Site:
    first = group[0]
    if first.calls:
        return _dispatching(group)
    return first._replace(attachments=tuple(one for site in group for one in site.attachments),
                          index_by="cookie" if uses.names else "")


def _dispatching(group: list[Site]) -> Site:
    """Several groups of system calls as one program: each call once, however many attach points name it."""
    names: dict[int, str] = {}
    for site in group:
        for number, at in site.calls:
            names.setdefault(number, site.names[at])
    first = group[0]
    label = first.attachments[0].probe.partition("_*")[0]
    return first._replace(calls=tuple((number, at) for at, number in enumerate(names)), names=tuple(names.values()),
                          attachments=(first.attachments[0]._replace(probe=f"{label}_* ({len(names)} calls)"),))


def _indexed(site: Site, probes: list[tuple[str, str]]) -> Site:
    """The site with the indices of its probes: in its table of calls, as cookies, or as its only one."""
    base = len(probes)
    if site.names and not site.calls:
        probes += [(name, name.rpartition(":")[2]) for name in site.names]
        return site._replace(attachments=tuple(_first_cookie(one, base) for one in site.attachments)
                             if site.index_by else site.attachments)
    if site.names:
        probes += [(name, "") for name in site.names]
        return site._replace(calls=tuple((number, base + at) for number, at in site.calls))
    named = [(one.probe, one.function) for one in site.attachments] or [(site.shown, site.function)]
    places = {name: at for at, name in reversed(list(enumerate(probes)))}
    for name in named:  # several places of one name are one probe
        if name not in places:
            places[name] = len(probes)
            probes.append(name)
    if site.index_by == "cookie":
        return site._replace(attachments=tuple(_with_cookie(one, places[name])
                                               for one, name in zip(site.attachments, named, strict=True)))
    return site if site.provider == "self" else site._replace(index=places[named[0]])


def _first_cookie(one: Attachment, cookie: int) -> Attachment:
    return one._replace(where=(one.where[0], cookie, *one.where[2:]))


def _with_cookie(one: Attachment, cookie: int) -> Attachment:
    return one._replace(cookie=cookie)


def _name(site: Site, number: int) -> str:
    return f"{site.provider}_{number + 1}"

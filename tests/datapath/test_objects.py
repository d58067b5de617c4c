"""Programs that clang compiled, linked into the data path among its own stages."""
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright.datapath.configuration import read
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.facet import Hooked, Part, Scene
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.datapath.ledger import Ledger
from bpfwright.datapath.objects import FACET
from bpfwright.datapath.stage import CONTINUE, Stage, drop
from bpfwright.errors import ConfigurationError, TargetError
from bpfwright.formats.btf import Btf
from bpfwright.formats.btf.joining import joined
from bpfwright.headers import GRE, TCP, UDP, Ethernet, IPv4
from bpfwright.kernel import Kernel
from bpfwright.userspace import Userspace

from .toy import Toy
from .wire import wired

pytestmark = pytest.mark.kernel

HEAD = """
typedef unsigned int u32; typedef unsigned long long u64;
struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };
struct __sk_buff { u32 len, pkt_type, mark; };
#define SEC(n) __attribute__((section(n), used))
static void *(*lookup)(void *, const void *) = (void *) 1;
static long (*tail_call)(void *, void *, u32) = (void *) 12;
static long (*adjust_head)(void *, int) = (void *) 44;
char _license[] SEC("license") = "GPL";
"""
GUARD = HEAD + """
struct { int (*type)[2]; u32 *key; u64 *value; int (*max_entries)[4]; } seen SEC(".maps");
u64 total = 0;
static __attribute__((noinline)) int count(struct xdp_md *ctx, u32 n) {
    u64 *v = lookup(&seen, &n); if (v) *v += 1; total += 1; return 0; }
SEC("xdp") int guard(struct xdp_md *ctx) {
    unsigned char *d = (void *)(u64)ctx->data, *e = (void *)(u64)ctx->data_end;
    if (d + 24 > e) return 2;
    u32 protocol = d[23];
    count(ctx, protocol == 17);
    return protocol == 17 ? 1 : protocol == 47 ? 3 : 2; }
"""
TAIL = HEAD + """
struct { int (*type)[3]; u32 *key; u32 *value; int (*max_entries)[4]; } more SEC(".maps");
SEC("xdp") int first(struct xdp_md *ctx) { tail_call(ctx, &more, 0); return 2; }
SEC("xdp") int second(struct xdp_md *ctx) { return 2; }
"""
UNTAG = HEAD + """
SEC("xdp") int untag(struct xdp_md *ctx) {
    unsigned char *d = (void *)(u64)ctx->data, *e = (void *)(u64)ctx->data_end;
    if (d + 18 > e || d[12] != 0x81) return 2;
    u64 a = *(u64 *)d; u32 b = *(u32 *)(d + 8); unsigned short kind = *(unsigned short *)(d + 16);
    if (adjust_head(ctx, 4)) return 0;
    d = (void *)(u64)ctx->data; e = (void *)(u64)ctx->data_end;
    if (d + 14 > e) return 0;
    *(u64 *)d = a; *(u32 *)(d + 8) = b; *(unsigned short *)(d + 12) = kind;
    return 2; }
"""
CLASSIFIER = HEAD + """
SEC("tc") int shoot(struct __sk_buff *ctx) {
    u32 n = ctx->len;
    return n == 99 ? 2 : n == 98 ? 0 : n == 96 ? 7 : n == 95 ? 4 : -1; }
"""


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("objects")
    found = {}
    for name, text in (("guard", GUARD), ("tail", TAIL), ("untag", UNTAG), ("shoot", CLASSIFIER)):
        (folder / f"{name}.c").write_text(text)
        subprocess.run(["clang-14", "-O2", "-g", "-target", "bpf", "-c", f"{name}.c", "-o", f"{name}.o"], cwd=folder,
                       check=True)
        found[name] = str(folder / f"{name}.o")
    return found


def settings(text: str) -> Any:
    section = read(text, "net.yaml").section("objects")
    assert section is not None
    return FACET.read(section)


@pytest.fixture(params=["kernel", "userspace"])
def machine(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "kernel":
        with Kernel() as kernel:
            yield kernel
    else:
        yield Userspace()


def test_it_decides_among_our_stages(objects: dict[str, str], machine: Any) -> None:
    def late(ctx: Any, packet: Any) -> Any:
        return drop(0) if packet.protocol == 6 else CONTINUE

    ours = Part([Hooked("lo", "xdp", Stage("late", late, frozenset({"network"}), ("tcp",)), 100)])
    theirs = FACET.build(settings(f"objects:\n  guard: {{file: {objects['guard']}}}\n"), Scene({"lo": None}, machine))
    with Generation.load(plan_of({"objects": theirs, "x": ours}), machine) as generation:
        program = generation.plan.made[0].program
        actions = [generation.session.test_of(program, Ethernet() / IPv4() / above).action.name
                   for above in (UDP(), TCP(), GRE())]
        assert actions == ["DROP", "DROP", "TX"]
        assert [(each.stage, each.reason) for each in generation.counted() if each.packets] == [
            ("", "passed"), ("guard", "dropped"), ("late", "tcp")]
        assert generation.kept() == {"objects.guard.seen": "guard.seen", "objects.guard..bss": "guard..bss"}
        maps = generation.names()
        assert [int.from_bytes(value, "little") for _, value in maps["guard.seen"].items()] == [2, 1, 0, 0]
        assert int.from_bytes(maps["guard..bss"].lookup(bytes(4)), "little") == 3


def test_behind_one_that_moves_the_packet_it_is_parsed_anew(objects: dict[str, str], machine: Any) -> None:
    from bpfwright.headers import Vlan

    def look(ctx: Any, packet: Any) -> Any:
        return drop(0) if packet.network_offset == 14 and packet.protocol == 6 else CONTINUE

    ours = Part([Hooked("lo", "xdp", Stage("late", look, frozenset({"network"}), ("tcp",)), 100)])
    theirs = FACET.build(settings(f"objects:\n  untag: {{file: {objects['untag']}}}\n"), Scene({"lo": None}, machine))
    with Generation.load(plan_of({"objects": theirs, "x": ours}), machine) as generation:
        result = generation.session.test(Ethernet() / Vlan(vid=3) / IPv4() / TCP())  # type: ignore[attr-defined]
        assert result.action.name == "DROP" and len(result.data) == 54


def test_order_and_continuing(objects: dict[str, str], machine: Any) -> None:
    """With a higher rank it runs last; what does not go on ends."""
    def first(ctx: Any, packet: Any) -> Any:
        return drop(0) if packet.protocol == 17 else CONTINUE

    ours = Part([Hooked("lo", "xdp", Stage("first", first, frozenset({"network"}), ("udp",)), 100)])
    theirs = FACET.build(settings(f"objects:\n  guard: {{file: {objects['guard']}, rank: 200, continue-on: [tx]}}\n"),
                         Scene({"lo": None}, machine))
    with Generation.load(plan_of({"objects": theirs, "x": ours}), machine) as generation:
        for above in (UDP(), TCP(), GRE()):
            generation.session.test(Ethernet() / IPv4() / above)  # type: ignore[attr-defined]
        assert [(each.stage, each.reason) for each in generation.counted() if each.packets] == [
            ("", "passed"), ("first", "udp"), ("guard", "passed")]


def test_in_the_stack(objects: dict[str, str], machine: Any) -> None:
    theirs = FACET.build(settings(f"objects:\n  shoot: {{file: {objects['shoot']}, hook: egress}}\n"),
                         Scene({"lo": None}, machine))
    with Generation.load(plan_of({"objects": theirs}), machine) as generation:
        actions = [generation.session.test(bytes(size)).action.name for size in range(95, 100)]  # type: ignore[attr-defined]
        assert actions == ["SHOT", "REDIRECT", "NEXT", "NEXT", "SHOT"]
        assert generation.errors() == 0


def test_a_file_is_looked_for_beside_the_configuration(objects: dict[str, str], tmp_path: Path) -> None:
    folder, name = os.path.split(objects["guard"])
    section = read(f"objects:\n  guard: {{file: {name}}}\n", f"{folder}/net.yaml").section("objects")
    assert section is not None and FACET.read(section)[0].file == objects["guard"]


def test_its_tables_go_on_through_changes(objects: dict[str, str], tmp_path: Path) -> None:
    text = f"interfaces: [uplink]\nobjects:\n  guard: {{file: {objects['guard']}}}\n"
    with wired() as wire, Controller("", {"objects": FACET, "toy": Toy()},
                                     ledger=Ledger(f"object-{os.getpid()}", state=str(tmp_path))) as controller:
        try:
            controller.apply(text)
            assert wire.arrive(3) == 0
            applied = controller.apply(text + "toy: {}\n")
            assert applied.fresh == ["toy.seen"] and wire.arrive(4) == 0
            with controller.generation() as (_, generation):
                seen = list(generation.names()["guard.seen"].items())
            assert int.from_bytes(seen[1][1], "little") == 7
            explained = controller.explain(bytes(Ethernet() / IPv4() / UDP()), "uplink", [Userspace()])[0]
            assert [(step.stage, step.says) for step in explained.steps] == [("guard", "drops")]
        finally:
            controller.remove()


@pytest.mark.parametrize(("text", "said"), [
    ("guard: {file: /none.o}", "objects.guard.file: /none.o cannot be read"),
    ("guard: {file: FILE, program: other}", "objects.guard.program: FILE has no program of this kind named other"),
    ("guard: {file: FILE, hook: egress}", "has no program of this kind"),
    ("guard: {file: FILE, hook: above}", "'above' is none of xdp, ingress, egress"),
    ("guard: {file: FILE, continue-on: [shot]}", "'shot' is none of"),
    ("guard: {file: FILE, rank: 2000}", "not between 0 and 1000"),
    ("guard: {file: FILE, priority: 2}", "there is no such key"),
    ("tail: {file: TAIL, program: first}", "makes tail calls"), ("tail: {file: TAIL}", "has several programs"),
    ("a-b: {file: FILE}", "letters, digits"), ("guard: {file: /dev/null}", "objects.guard.file:"),
    ("guard: {}", "file is missing"),
])
def test_mistakes(objects: dict[str, str], text: str, said: str) -> None:
    def put(line: str) -> str:
        return line.replace("FILE", objects["guard"]).replace("TAIL", objects["tail"])

    with pytest.raises(ConfigurationError) as caught:
        settings(f"objects:\n  {put(text)}\n")
    assert put(said) in caught.value.what and caught.value.line == 2


def test_an_interface_that_is_not_named(objects: dict[str, str]) -> None:
    wanted = settings(f"objects:\n  guard: {{file: {objects['guard']}, interfaces: [eth7]}}\n")
    with pytest.raises(TargetError, match="eth7, which is not among the interfaces"):
        FACET.build(wanted, Scene({"lo": None}, None))


def test_types_of_both_are_there(objects: dict[str, str]) -> None:
    from bpfwright.objfile import read as read_object
    first, second = (read_object(Path(objects[name]).read_bytes()).btf for name in ("guard", "untag"))
    both = joined(first, second)
    whole, a, b = Btf(both.data), Btf(first), Btf(second)
    assert whole.count == a.count + b.count and both.types == a.count
    for type_id in a.ids():
        assert (whole.kind(type_id), whole.name(type_id)) == (a.kind(type_id), a.name(type_id))
    for type_id in b.ids():
        moved = type_id + both.types
        assert (whole.kind(moved), whole.name(moved)) == (b.kind(type_id), b.name(type_id))
        if b.kind(type_id) in (4, 5):
            assert [(m.name, m.type_id and m.type_id - both.types) for m in whole.members(moved)] == [
                (m.name, m.type_id) for m in b.members(type_id)]

"""Variables by name, and the verifier's states, at every instruction of runs."""
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from bench.programs.machines import PROGRAMS
from bench.workloads import PACKETS
from bpfwright import Userspace, u32, u64
from bpfwright.errors import FormatError
from bpfwright.formats.dwarf import read_variables
from bpfwright.headers import IPv4, TCP
from bpfwright.helpers import subprogram
from bpfwright.hooks import xdp
from bpfwright.lang.compile import compile_programs
from bpfwright.lang.target import Target
from bpfwright.maps import Hash
from bpfwright.objfile import read
from bpfwright.userspace.debugger import Debugger
from bpfwright.userspace.view import View

seen = Hash[u32, u64](max_entries=8)


@subprogram
def weighed(number: u32, weight: u32) -> u32:
    product = number * weight
    return product + 1


@xdp.program
def weighing(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    tcp = ctx.find(TCP)
    if ip is None or tcp is None:
        return xdp.PASS
    lifetime = ip.ttl
    heavy = weighed(lifetime, tcp.dport)
    known = seen.get(heavy)
    if known is None:
        seen[heavy] = 1
    else:
        known += 1
    return xdp.DROP


def compiled(program: Any, *, variables: bool) -> bytes:
    with Userspace(memory_bytes=1 << 20) as machine:
        target = Target("v3", machine.target_features)
        return compile_programs([program], target, variables=variables, cached=False).elf


@contextmanager
def viewing(elf: bytes, packet: bytes = PACKETS["tcp"]) -> Iterator[View]:
    spec = read(elf)
    with Userspace(engine="interpreter") as machine, machine.load(spec) as loaded:
        [name] = loaded.programs
        with Debugger(loaded.programs[name], packet) as debugger:
            yield View(debugger, spec, elf)


def positions(view: View) -> Iterator[Any]:
    while not view.debugger.position.ended:
        yield view.debugger.position
        view.debugger.step()


def values(view: View) -> dict[str, str]:
    return {each.name: each.value for each in view.variables()
            if each.since < 0 and each.value not in ("not here", "optimised away")}


@pytest.mark.userspace
def test_variables_of_a_function_and_of_the_one_it_calls() -> None:
    with viewing(compiled(weighing, variables=True)) as view:
        met: dict[str, set[str]] = {}
        for at in positions(view):
            for name, value in values(view).items():
                met.setdefault(name, set()).add(value)
            here = {each.name for each in view.variables()}
            assert here >= ({"number", "weight"} if len(at.frames) > 1 else {"lifetime", "heavy", "known"})
            if len(at.frames) > 1:  # the caller's variables are shown too, and are its own
                assert {each.name for each in view.variables(1)} >= {"lifetime", "ip", "tcp"}
        assert met["lifetime"] == {"64"} and met["number"] == {"64"}
        port = int.from_bytes(PACKETS["tcp"][36:38], "big")
        assert met["weight"] == {str(port)} and met["product"] == {str(64 * port)}
        assert met["heavy"] == {str(64 * port + 1)}
        assert met["tcp is not None"] <= {"True", "False"}
        assert any("packet + 14" in value for value in met["ip"])


@pytest.mark.userspace
def test_what_a_pointer_points_to_and_what_is_kept_no_longer() -> None:
    with viewing(compiled(weighing, variables=True)) as view:
        assert view.names is not None
        fields: dict[str, str] = {}
        kept: dict[str, int] = {}
        for at in positions(view):
            for each in view.variables():
                if each.name == "tcp" and each.part is not None:
                    fields |= {field.name: field.value for field in view.names.inside(each.part)}
                if each.since >= 0:
                    assert each.since < at.count
                    kept[each.name] = each.since
        assert fields["dport"] == str(int.from_bytes(PACKETS["tcp"][36:38], "little"))  # as it lies there
        assert "ip" in kept  # its register has long been used for something else


@pytest.mark.userspace
@pytest.mark.parametrize("program", [*PROGRAMS, weighing], ids=lambda p: p.name)
def test_the_code_is_the_same_with_and_without_names(program: Any) -> None:
    plain, named = (compiled(program, variables=wanted) for wanted in (False, True))
    assert [f.insns for f in read(plain).functions] == [f.insns for f in read(named).functions]
    assert any(read_variables(named).values())


@pytest.mark.userspace
@pytest.mark.parametrize("program", [p for p in (*PROGRAMS, weighing) if p.name not in (
    "longest", "arithmetic", "memory", "checksum")], ids=lambda p: p.name)
def test_the_verifier_knows_something_true_at_every_instruction(program: Any) -> None:
    with viewing(compiled(program, variables=False)) as view:
        fits = total = 0
        for at in positions(view):
            belief = view.belief()
            assert belief is not None, at.instruction
            assert belief.registers[10] == "fp()"
            total += 1
            fits += belief.fits
        verdict = view.beliefs.verdict
        assert verdict is not None and verdict.accepted
        assert fits > 0.5 * total  # the others are covered by states in which a number does not matter
        assert fits == total or any(b.states > 1 for b in [view.beliefs.at(s, (0,) * 11) for s in range(200)] if b)


@pytest.mark.userspace
def test_without_names_it_says_so() -> None:
    with viewing(compiled(weighing, variables=False)) as view:
        assert "lifetime" not in {each.name for each in view.variables()}
        assert "instruction 0" in view.screen()
    spec = read(compiled(weighing, variables=False))
    with Userspace(engine="interpreter") as machine, machine.load(spec) as loaded, \
            Debugger(loaded.programs["weighing"], PACKETS["tcp"]) as debugger:
        view = View(debugger, loaded.spec)
        assert view.variables() == [] and view.no_variables


SOURCE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct pair { unsigned a:3; unsigned b:13; int c; };
enum color { RED, GREEN = 5 };
static __always_inline int twice(int n) { int m = n * 2; return m; }
static __attribute__((noinline)) int big(struct pair *p, int k) {
    for (int i = 0; i < k && i < 10; i++) p->c += i;
    return p->c;
}
SEC("xdp") int prog(struct xdp_md *ctx) {
    void *data = (void *)(long)ctx->data; void *end = (void *)(long)ctx->data_end;
    struct pair p = { .a = 3, .b = 77, .c = -5 };
    enum color color = GREEN;
    char name[6] = "hello";
    if (data + 14 > end) return 1;
    int v = twice(((unsigned char *)data)[3]);
    { long inner = big(&p, v); if (inner == 77) return color; }
    bpf_printk("%s", name);
    return v & 1 ? 2 : 1;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def c_object(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    if not shutil.which("clang-14"):
        pytest.skip("clang-14 is not installed")
    folder = tmp_path_factory.mktemp("c")
    (folder / "p.c").write_text(SOURCE)
    subprocess.run(["clang-14", "-g", "-O2", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu", "-c", "p.c", "-o",
                    "p.o"], cwd=folder, check=True)
    return (folder / "p.o").read_bytes()


@pytest.mark.userspace
def test_structs_bit_fields_enums_and_inlined_functions_of_c(c_object: bytes) -> None:
    packet = PACKETS["tcp"][:3] + b"\x21" + PACKETS["tcp"][4:]
    with viewing(c_object, packet) as view:
        met: dict[str, set[str]] = {}
        for _ in positions(view):
            assert view.names is not None
            for each in view.variables():
                met.setdefault(each.name, set()).add(each.value)
                if each.name == "p" and each.part is not None:
                    met.setdefault("p.fields", set()).add(str([f.value for f in view.names.inside(each.part)]))
        assert "GREEN" in met["color"] and "'hello'" in met["name"]
        assert "['3', '77', '-5']" in met["p.fields"] and "['3', '77', '40']" in met["p.fields"]  # -5 + 0 + ... + 9
        assert "33" in met["n"] and "66" in met["m"]
        assert "40" in met["inner"]


@pytest.mark.userspace
def test_damaged_dwarf_is_one_clear_error(c_object: bytes) -> None:
    random = Random(7)
    refused = 0
    for _ in range(150):
        data = bytearray(c_object)
        for _ in range(random.randrange(1, 12)):
            data[random.randrange(64, len(data))] = random.randrange(256)
        try:
            read_variables(bytes(data))
        except FormatError:
            refused += 1
    assert refused
    with pytest.raises(FormatError):
        read_variables(b"\x7fELF nonsense")


def test_the_terminal_prints_them(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                  monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from bpfwright.cli import main
    file = tmp_path / "weighing.o"
    file.write_bytes(compiled(weighing, variables=True))
    words = "next\nnext\nnext\nnext\nvariables\nprint tcp\nprint lifetime\nprint nothing\nverifier\nquit\n"
    monkeypatch.setattr("sys.stdin", io.StringIO(words))
    with pytest.raises(SystemExit) as ended:
        main(["debug", str(file), "--packet", PACKETS["tcp"].hex()])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert "lifetime = 64" in said and "dport = " in said and "there is no nothing here" in said
    assert "pkt(" in said and ("one of" in said or "its only state here" in said)

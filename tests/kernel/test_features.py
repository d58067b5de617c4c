"""Probes answer what this kernel does, leave nothing behind, and what is loaded can be listed."""
from __future__ import annotations

import os

import pytest

from bpfwright._abi import bpf as B
from bpfwright.errors import NotSupported, PrivilegeError
from bpfwright.kernel import Kernel, listing
from bpfwright.kernel.explain import MAP_TYPES, PROGRAM_TYPES
from bpfwright.kernel.features import ATTACH_TYPES, Features
from tests.kernel.programs import constant, counting

pytestmark = pytest.mark.kernel


def test_probing_everything_leaves_no_descriptor_and_no_program() -> None:
    before = len(os.listdir("/proc/self/fd"))
    features = Features()
    features._known.clear()
    verdicts = [*map(features.program_type, PROGRAM_TYPES), *map(features.map_type, MAP_TYPES),
                *(features.attach_type(*key) for key in ATTACH_TYPES), *map(features.named, features.names())]
    assert len(os.listdir("/proc/self/fd")) == before
    assert all(verdict.why for verdict in verdicts if not verdict.works)
    assert all(verdict.since for verdict in verdicts)
    mine = {holder.pid for holders in listing.holders().values() for holder in holders}
    assert os.getpid() not in mine


def test_what_every_supported_kernel_has() -> None:
    features = Features()
    for kind in (B.BPF_PROG_TYPE_XDP, B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_PROG_TYPE_TRACEPOINT,
                 B.BPF_PROG_TYPE_RAW_TRACEPOINT, B.BPF_PROG_TYPE_CGROUP_SKB, B.BPF_PROG_TYPE_TRACING):
        assert features.program_type(kind).works
    for kind in (B.BPF_MAP_TYPE_HASH, B.BPF_MAP_TYPE_RINGBUF, B.BPF_MAP_TYPE_LPM_TRIE, B.BPF_MAP_TYPE_DEVMAP):
        assert features.map_type(kind).works
    for name in ("BPF links", "XDP links", "cpu v3", "bounded loops", "batch operations", "statistics"):
        assert features.named(name).works
    assert features.helper(B.BPF_PROG_TYPE_XDP, "xdp_adjust_head").works
    assert not features.helper(B.BPF_PROG_TYPE_TRACEPOINT, "xdp_adjust_head").works
    assert not features.map_type(9999).works and not features.program_type(9999).works


def test_a_refused_attach_type_agrees_with_its_probe() -> None:
    spec = constant(0, B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_FENTRY, section="fentry/do_nanosleep",
                    attach_to="do_nanosleep")
    verdict = Features().attach_type(B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_FENTRY)
    with Kernel() as machine:
        if verdict.works:
            with machine.load(spec) as loaded, machine.raw_tracepoint(loaded.programs["main"], ""):
                pass
        else:
            with pytest.raises(NotSupported, match="refuses fentry") as caught:
                machine.load(spec)
            assert caught.value.since == "5.5" and caught.value.why


def test_listing_programs_maps_and_links_with_their_cost() -> None:
    with Kernel() as machine:
        machine.keep_statistics()
        with machine.load(counting(0, B.BPF_PROG_TYPE_RAW_TRACEPOINT)) as loaded:
            program, table = loaded.programs["main"], loaded.maps["counters"]
            with machine.raw_tracepoint(program, "sys_enter"):
                for _ in range(100):
                    os.getppid()
                found = {one.id: one for one in listing.programs()}[program.id]
                links = [one for one in listing.links() if one.program_id == program.id]
                holders = listing.holders()
            assert (found.name, found.type) == ("main", B.BPF_PROG_TYPE_RAW_TRACEPOINT)
            assert found.map_ids == (table.id,)
            assert found.runs >= 100 and found.run_time_ns > 0 and found.compiled_bytes > 0
            assert program.statistics()[0] >= found.runs
            assert [one.target for one in links] == ["sys_enter"]
            assert os.getpid() in {holder.pid for holder in holders["prog", program.id]}
            assert os.getpid() in {holder.pid for holder in holders["map", table.id]}
            assert {one.id: one.name for one in listing.maps()}[table.id] == "counters"


def test_without_privilege_the_missing_capability_is_named() -> None:
    import subprocess
    import sys
    code = ("import os\nfrom bpfwright.kernel import Kernel, explain, features, refusal\n"
            "from bpfwright.errors import PrivilegeError\nfrom tests.kernel.programs import constant\n"
            "Kernel().load(constant(2, 6, 37)).close(); __import__('codecs').lookup('ascii')\n"
            "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "try: Kernel().load(constant(2, 6, 37))\n"
            "except PrivilegeError as error: print(error.why, '|', error.cure)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert "CAP_BPF, CAP_NET_ADMIN" in done.stdout and "sudo" in done.stdout, done.stderr
    assert PrivilegeError.exit_code == 3


def test_a_token_needs_a_delegating_bpffs() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(NotSupported):
        Kernel(token="/proc")
    assert len(os.listdir("/proc/self/fd")) == before

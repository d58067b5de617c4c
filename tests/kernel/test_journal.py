"""What a load tells: maps, references, what became of each program, the verifier's log of good and bad ones."""
from __future__ import annotations

import re

import pytest

from bpfwright._abi import bpf as B
from bpfwright.errors import VerifierError
from bpfwright.kernel import Kernel
from bpfwright.kernel.journal import Journal
from tests.kernel.programs import constant, counting

pytestmark = [pytest.mark.kernel, pytest.mark.usefixtures("no_leaks")]


def test_maps_references_and_what_became_of_the_program() -> None:
    journal = Journal()
    with Kernel() as machine, machine.load(counting(0, B.BPF_PROG_TYPE_RAW_TRACEPOINT), journal=journal) as loaded:
        (name,) = loaded.maps
        assert journal.lines[0].startswith(f"map {name}: ") and f"descriptor {loaded.maps[name].fd}" in journal.lines[0]
        assert re.fullmatch(r"program main \(.*\): \d+ instructions", journal.lines[1])
        assert any(line.endswith(f" {name}") for line in journal.lines[2:])
        assert re.fullmatch(r"  loaded as \d+: \d+ instructions(, \d+ verified)?, \d+ bytes of machine code",
                            journal.lines[-1])
    assert not journal.logs


def test_the_log_of_a_good_program() -> None:
    journal = Journal(verifier=True)
    with Kernel() as machine, machine.load(constant(7, B.BPF_PROG_TYPE_SOCKET_FILTER), journal=journal) as loaded:
        assert loaded.programs["main"].fd >= 0
    assert "exit" in journal.logs["main"] and re.search(r"^processed 2 insns", journal.logs["main"], re.M)


def test_the_log_of_a_bad_one() -> None:
    spec = constant(0, B.BPF_PROG_TYPE_SOCKET_FILTER)
    (main,) = spec.functions
    journal = Journal(verifier=True)
    with Kernel() as machine, pytest.raises(VerifierError):
        machine.load(spec._replace(functions=(main._replace(insns=main.insns[-8:]),)), journal=journal)
    assert "R0 !read_ok" in journal.logs["main"] and journal.lines[-1].startswith("program main ")

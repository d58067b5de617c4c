"""The strictness by which a differential tells whose outcome is its own: addresses that decide."""
from __future__ import annotations

import pytest

from bpfwright.userspace.verifier import Profile, verify
from tests.userspace.machines import XDP, asm
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec

_LOOKUP = "stw [%r10-4], 0\nmov %r2, %r10\nadd %r2, -4\nMAP %r1, cells\ncall 1\n"
_END = "\nmov %r0, 1\nexit\nout: mov %r0, 2\nexit"


@pytest.mark.parametrize(("text", "decides"), [
    (_LOOKUP + "jeq %r0, 0, out" + _END, False), (_LOOKUP + "jne %r0, 0, out" + _END, False),
    (_LOOKUP + "jsle %r0, 0, out" + _END, True), (_LOOKUP + "jgt %r0, 5, out" + _END, True),
    (_LOOKUP + "jeq32 %r0, 0, out" + _END, True), (_LOOKUP + "mov %r1, 3\njge %r1, %r0, out" + _END, True),
    ("jgt %r10, %r1, out" + _END, True), ("call 7\njgt %r0, 5, out" + _END, False),
    ("ldxw %r2, [%r1]\nldxw %r3, [%r1+4]\nadd %r2, 8\njgt %r2, %r3, out" + _END, False),
])
def test_addresses_that_decide(text: str, decides: bool) -> None:
    code, relocations = asm(text)
    spec = ObjectSpec((ProgramSpec("main", "main", "xdp", XDP),), (Function("main", code, relocations),),
                      (MapSpec("cells", 1, 4, 8, 4),))
    assert verify(spec, "main").accepted
    assert verify(spec, "main", profile=Profile(compares_addresses=False)).accepted is not decides

"""What LLVM would do on its own and must not: a stack that is too small, branches where arithmetic was written."""
from __future__ import annotations

from typing import Any

import pytest

from bpfwright import L, Struct, Userspace, char, load, subprogram, u32, u64
from bpfwright.errors import UsageError
from bpfwright.helpers import unknown
from bpfwright.hooks import xdp
from bpfwright.maps import Array, Hash

pytestmark = pytest.mark.userspace


class Large(Struct):
    a: u64
    b: u64
    c: u64
    d: u64
    e: u64
    f: u64
    g: u64
    h: u64


found = Array[u64](max_entries=4)
seen = Hash[Large, u64](max_entries=64)


def test_records_and_registers_that_do_not_fit_together_fit_apart() -> None:
    """Five keys of 64 bytes are within what records may take of the stack; forty numbers that live on are not."""
    fields = [f"n{number}" for number in range(40)]
    kept = type("Kept", (Struct,), {"__annotations__": dict.fromkeys(fields, "u64"), "__module__": __name__})
    numbers = Array[kept](max_entries=1)  # type: ignore[valid-type]
    names: dict[str, Any] = {"numbers": numbers, "seen": seen, "found": found, "Large": Large, "xdp": xdp, "u64": u64}
    lines = ["def wide(ctx: xdp.Context) -> xdp.Action:", "    kept = numbers.get(0)", "    if kept is None:",
             "        return xdp.PASS", *(f"    {name} = kept.{name}" for name in fields)]
    for key in range(5):
        lines += [f"    seen.insert(Large({', '.join(fields[key:key + 8])}), {key})"]
    lines += [f"    found[0] = u64({' + '.join(fields)})", "    return xdp.DROP"]
    from tests.lang.threeway import define
    wide = xdp.program(define("\n".join(lines) + "\n", **names))
    with load(wide, machine=Userspace()) as session:
        handle = session[numbers].handle
        handle.update(bytes(4), b"".join(number.to_bytes(8, "little") for number in range(40)))
        assert session.test(bytes(64)).action == xdp.DROP
        assert session[found][0] == sum(range(40)) and len(session[seen]) == 5


def test_what_is_unknown_to_the_compiler_is_the_same_number() -> None:
    @xdp.program
    def branchless(ctx: xdp.Context) -> xdp.Action:
        length = unknown(u32(ctx.length))
        found[1] = length
        found[2] = u64(60 - length) >> 63
        return xdp.PASS

    with load(branchless, machine=Userspace()) as session:
        for size, longer in ((60, 0), (61, 1), (14, 0)):
            session.test(bytes(size))
            assert (session[found][1], session[found][2]) == (size, longer)
    with pytest.raises(UsageError, match="inside a kernel program"):
        unknown(5)


class Broad(Struct):
    text: char[L[200]]


broad = Hash[u32, Broad](max_entries=8)


@subprogram
def innermost(number: u64) -> u64:
    made = Broad("innermost")
    broad[3] = made
    return number + 1


@subprogram
def between(number: u64) -> u64:
    made = Broad("between")
    found = innermost(number)
    broad[2] = made  # what the function it called made elsewhere has not touched it
    return found + number


@xdp.program
def nested(ctx: xdp.Context) -> xdp.Action:
    made = Broad("outermost")
    found = between(ctx.length)
    broad[1] = made
    return xdp.PASS if found == 2 * ctx.length + 1 else xdp.DROP


@pytest.mark.parametrize("in_kernel", [pytest.param(False, marks=pytest.mark.userspace),
                                       pytest.param(True, marks=pytest.mark.kernel)], ids=["userspace", "kernel"])
def test_records_of_functions_that_call_one_another_are_apart(in_kernel: bool) -> None:
    """624 bytes of stack together: what does not fit stands in the program's own memory, each record by itself."""
    with load(nested, machine=None if in_kernel else Userspace()) as program:
        assert program.test(bytes(64)).action == xdp.PASS
        assert [broad[n].text for n in (1, 2, 3)] == ["outermost", "between", "innermost"]

"""The verdict on a program, and the way to it."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, NamedTuple
from bpfwright.spec.objects import LineInfo, ObjectSpec
from bpfwright.userspace.verifier.profile import Profile
from bpfwright.userspace.verifier.program import Program, prepare
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import State, text
from bpfwright.userspace.verifier.walk import Walk

if TYPE_CHECKING:
    from bpfwright.formats.btf import Btf

__all__ = ["Verdict", "verify"]


class Verdict(NamedTuple):
    """What is said of a program.

    `reason` is its class (see reasons.py), `message` one sentence, `instruction` where in the linked program, `line`
    where in the source; `facts` pairs registers with what was known of them there, `missing` is the fact that would
    have made it pass, `cure` what usually brings it about. `processed` counts instructions walked; `aux` tells of each
    load, store and atomic which kind of pointer it goes through (kinds.py).
    """

    accepted: bool
    reason: str = ""
    message: str = ""
    instruction: int = -1
    line: LineInfo | None = None
    facts: tuple[tuple[str, str], ...] = ()
    missing: str = ""
    cure: str = ""
    processed: int = 0
    aux: dict[int, int] = {}


_default: Profile | None = None


def verify(spec: ObjectSpec, program: str, *, profile: Profile | None = None, kernel_btf: Btf | None = None,
           trace: Callable[[int, State], None] | None = None) -> Verdict:
    """The kernel's verdict on a program, without a kernel.

    `kernel_btf` gives the kernel's types, for programs that ask for them (CO-RE, typed tracepoints, kernel functions):
    without it they raise NotSupported. `trace` is called before each instruction with its number and the state, which
    it must not change.

        >>> verify(objfile.read(data), "firewall").accepted
        True
    """
    global _default
    if profile is None:
        profile = _default = _default or Profile()
    return judge(prepare(spec, program, kernel_btf), profile, trace)


def judge(program: Program, profile: Profile, trace: Callable[[int, State], None] | None = None) -> Verdict:
    """The verdict on a program that was made ready."""
    walk = Walk(program, profile, trace)
    try:
        walk.run()
    except Rejected as refused:
        from bpfwright.userspace.verifier.explain import cure_for
        at = walk.insn if walk.processed else -1
        return Verdict(False, refused.reason, refused.message, at, program.line(at) if at >= 0 else None,
                       _facts(walk, refused), refused.missing, cure_for(refused.reason), walk.processed)
    return Verdict(True, processed=walk.processed, aux=walk.aux)


def _facts(walk: Walk, refused: Rejected) -> tuple[tuple[str, str], ...]:
    if not walk.processed or not walk.state.frames:
        return ()
    regs: list[Any] = walk.state.frames[-1].regs
    names = [number for number in refused.registers if 0 <= number <= 10]
    if not names:
        insn = walk.insns[walk.insn] if walk.insn < len(walk.insns) else None
        if insn is not None:
            names = [number for number in dict.fromkeys((insn.dst, insn.src)) if number <= 10 and regs[number].type]
    return tuple((f"R{number}", text(regs[number])) for number in names)

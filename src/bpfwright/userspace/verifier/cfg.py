"""The program as a graph: where control may go, what is never reached, where states are worth comparing."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.helpers import PROTOTYPES, callback_argument, is_async_callback
from bpfwright.userspace.verifier.program import Insn, Program, Subprogram
from bpfwright.userspace.verifier.reasons import Rejected

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.profile import Profile

__all__ = ["Flow", "check", "check_stack", "check_subprograms"]

_SAVED = 0b111111       # r0 to r5, which calls destroy


class Flow:
    """What the graph says: instructions where states are compared (`prune_points`), always kept (`checkpoints`),
    reached by a jump (`jump_points`); calls that run callbacks; loops (`components`); live registers as masks."""

    __slots__ = ("callback_calls", "checkpoints", "components", "iterators", "jump_points", "live",
                 "live_numbers", "prune_points")

    def __init__(self) -> None:
        self.prune_points: set[int] = set()
        self.jump_points: set[int] = set()
        self.checkpoints: set[int] = set()
        self.callback_calls: set[int] = set()
        self.iterators: set[int] = set()
        self.components: dict[int, int] = {}
        self.live: list[int] = []
        self.live_numbers: list[tuple[int, ...]] = []


def check_subprograms(program: Program, profile: Profile) -> None:
    """Every function must be closed: jumps stay inside, the end is never run over."""
    insns = program.insns
    size = len(insns)
    if not size:
        raise Rejected(R.STRUCTURE, "there are no instructions")
    for index, insn in enumerate(insns):
        if (insn.code == 0x85 and insn.src == 1) or (insn.code == 0x18 and insn.src == 4):
            insn.target = index + insn.imm + 1
            if not 0 <= insn.target < size:
                raise Rejected(R.STRUCTURE, f"instruction {index} calls beyond the program")
    for one in program.subprograms:
        for index in range(one.start, one.end):
            insn = insns[index]
            code = insn.code
            if code == 0x85:
                if insn.src == 0 and insn.imm == 12:
                    one.tail_call = True
                if insn.src == 1:
                    one.calls.append(index)
            if code & 7 == 0 and code & 0xE0 in (0x20, 0x40):
                one.has_ld_abs = True
            target = _jump_target(insn, index)
            if target is not None and not one.start <= target < one.end:
                raise Rejected(R.STRUCTURE, f"the jump of instruction {index} leaves its function")
        last = insns[one.end - 1].code
        if last not in (0x95, 0x05, 0x06):
            raise Rejected(R.STRUCTURE, f"the end of {one.name} can be run over", "an exit at the end of every path")


def _jump_target(insn: Insn, index: int) -> int | None:
    code = insn.code
    if code & 7 not in (5, 6) or code in (0x85, 0x8D, 0x95, 0x0D):
        return None
    return index + 1 + (insn.imm if code == 0x06 else insn.off)


def successors(insns: list[Insn], index: int) -> tuple[int, ...]:
    """Where control goes next within the function."""
    insn = insns[index]
    code = insn.code
    if code == 0x18:
        return (index + 2,)
    if code == 0x95:
        return ()
    target = _jump_target(insn, index)
    if target is None:
        return (index + 1,)
    if code in (0x05, 0x06):
        return (target,)
    return (index + 1, target)


def _reserved_fields(insns: list[Insn], profile: Profile) -> None:
    """Loads, and what old kernels know as atomic, are looked at wherever they stand (resolve_pseudo_ldimm64)."""
    wide = False
    for index, insn in enumerate(insns):
        if wide:
            wide = False
            continue
        wide = insn.code == 0x18
        kind = insn.code & 7
        if (kind == 1 and (insn.imm or (insn.code & 0xE0 == 0x80 and not profile.v4))) or (
                kind == 3 and insn.imm and not profile.atomics):
            raise Rejected(R.STRUCTURE, f"instruction {index} has a field set that means nothing there")


def check(program: Program, profile: Profile) -> Flow:
    """Walk the graph; Rejected for unreachable code and jumps into the middle."""
    flow = Flow()
    insns = program.insns
    size = len(insns)
    _reserved_fields(insns, profile)
    reached = [False] * size
    waiting = [0]
    reached[0] = True
    while waiting:
        index = waiting.pop()
        insn = insns[index]
        code = insn.code
        following = list(successors(insns, index))
        if code == 0x85 or (code == 0x18 and insn.src == 4):
            nxt = following[0]
            if code == 0x85 or insn.src == 4:
                flow.prune_points.add(nxt)
                flow.jump_points.add(nxt)
            if (code == 0x85 and insn.src == 1) or code == 0x18:
                flow.prune_points.add(index)
                following.append(insn.target)
                flow.prune_points.add(insn.target)
                flow.jump_points.add(insn.target)
            else:
                _mark_call(program, profile, flow, index, insn)
        elif code in (0x05, 0x06):
            flow.prune_points.add(following[0])
            flow.jump_points.add(following[0])
        elif len(following) == 2:
            flow.prune_points.add(index)
            flow.prune_points.add(following[1])
            flow.jump_points.add(following[1])
            if code == 0xE5:
                flow.checkpoints.add(index)
        for target in following:
            if not 0 <= target < size:
                raise Rejected(R.STRUCTURE, f"instruction {index} leads out of the program")
            if not reached[target]:
                reached[target] = True
                waiting.append(target)
    place = 0
    while place < size:
        if not reached[place]:
            raise Rejected(R.STRUCTURE, f"no path reaches instruction {place}",
                           "no dead code: remove it, or the condition that is never true")
        if insns[place].code == 0x18:
            if place + 1 < size and reached[place + 1]:
                raise Rejected(R.STRUCTURE, f"a jump leads into the middle of instruction {place}")
            place += 1
        place += 1
    if any(one.has_ld_abs for one in program.subprograms[1:]) and not program.spec.btf:
        raise Rejected(R.STRUCTURE, "old packet loads in functions need type information")
    _live(program, flow)
    _components(program, flow)
    return flow


def _mark_call(program: Program, profile: Profile, flow: Flow, index: int, insn: Insn) -> None:
    if insn.src == 0:
        if is_async_callback(insn.imm):
            flow.prune_points.add(index)
        elif callback_argument(insn.imm):
            flow.callback_calls.add(index)
            flow.checkpoints.add(index)
            flow.prune_points.add(index)
            flow.jump_points.add(index)
    elif insn.src == 2 and program.kernel is not None:
        from bpfwright.userspace.verifier.kfuncs import name_of
        name = name_of(program, insn)
        if name.startswith("bpf_iter_") and name.endswith("_next"):
            flow.iterators.add(index)
            flow.prune_points.add(index)
            flow.checkpoints.add(index)
        elif name.startswith("bpf_rbtree_add"):
            flow.callback_calls.add(index)
            flow.checkpoints.add(index)
            flow.prune_points.add(index)
            flow.jump_points.add(index)


def _uses(insn: Insn) -> tuple[int, int]:
    """Registers that an instruction reads and writes, as masks."""
    code = insn.code
    kind = code & 7
    dst, src = 1 << insn.dst, 1 << insn.src
    if kind in (4, 7):
        if code & 0xF0 == 0xB0:
            return (src if code & 8 else 0), dst
        return (dst | src if code & 8 and code & 0xF0 not in (0x80, 0xD0) else dst), dst
    if kind == 1:
        return src, dst
    if kind == 2:
        return dst, 0
    if kind == 3:
        if code & 0xE0 == 0xC0:
            if insn.imm == 0x100:
                return src, dst
            if insn.imm == 0xF1:
                return dst | src | 1, 1
            return dst | src, src if insn.imm & 1 else 0
        return dst | src, 0
    if kind == 0:
        if code == 0x18:
            return 0, dst
        return 1 << 6 | (src if code & 0xE0 == 0x40 else 0), _SAVED
    if code == 0x85:
        used = 0b111110
        if insn.src == 0 and insn.imm in PROTOTYPES:
            used = (1 << len(PROTOTYPES[insn.imm].arguments) + 1) - 2
        return used, _SAVED
    if code == 0x95:
        return 1, 0
    if code in (0x05, 0x06, 0xE5):
        return 0, 0
    return (dst | src if code & 8 else dst), 0


def _live(program: Program, flow: Flow) -> None:
    """Registers live before each instruction."""
    insns = program.insns
    size = len(insns)
    live = [0] * size
    table = []
    for index, insn in enumerate(insns):
        used, written = _uses(insn)
        table.append((used, ~written, successors(insns, index) if insn.code or index == 0 else ()))
    changed = True
    while changed:
        changed = False
        for index in range(size - 1, -1, -1):
            used, kept, following = table[index]
            out = 0
            for target in following:
                if target < size:
                    out |= live[target]
            now = used | out & kept
            if now != live[index]:
                live[index] = now
                changed = True
    flow.live = live
    flow.live_numbers = [tuple(number for number in range(10) if mask >> number & 1) for mask in live]


def _components(program: Program, flow: Flow) -> None:
    """Loops: the strongly connected parts of the graph with more than one instruction (or a jump to itself)."""
    insns = program.insns
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found = 0
    for one in program.subprograms:
        if one.start in number:
            continue
        work: list[tuple[int, int]] = [(one.start, 0)]
        while work:
            index, position = work.pop()
            if position == 0:
                number[index] = low[index] = len(number)
                stack.append(index)
                on_stack.add(index)
            following = successors(insns, index)
            descended = False
            for at in range(position, len(following)):
                target = following[at]
                if target not in number:
                    work.append((index, at + 1))
                    work.append((target, 0))
                    descended = True
                    break
                if target in on_stack:
                    low[index] = min(low[index], number[target])
            if descended:
                continue
            if low[index] == number[index]:
                members = []
                while True:
                    member = stack.pop()
                    on_stack.discard(member)
                    members.append(member)
                    if member == index:
                        break
                if len(members) > 1 or index in following:
                    found += 1
                    for member in members:
                        flow.components[member] = found
            if work:
                parent = work[-1][0]
                low[parent] = min(low[parent], low[index])


_PRIVATE_STACK = frozenset({2, 5, 7, 17})     # kprobe, tracepoint, perf_event, raw_tracepoint
_MAX_STACK, _MAX_BEFORE_TAIL_CALL, _MAX_FRAMES, _MIN_PRIVATE = 512, 256, 8, 64


def check_stack(program: Program, profile: Profile) -> None:
    """All stacks of a chain of calls together must fit 512 bytes, and calls nest 8 deep."""
    private = profile.private_stack and program.kind in _PRIVATE_STACK and not any(
        one.tail_call for one in program.subprograms)
    for one in program.subprograms:
        if one.index == 0 or one.is_async:
            _depth(program, one, 0, (), private and not one.is_async, profile.stack_rounding)


def _depth(program: Program, one: Subprogram, above: int, chain: tuple[int, ...], private: bool,
           rounding: int) -> None:
    if one.tail_call and one.index and above >= _MAX_BEFORE_TAIL_CALL:
        raise Rejected(R.CALLS, f"{one.name} does a tail call and is called with {above} bytes of stack in use",
                       "less than 256 bytes of stack before a function that does tail calls")
    size = max(one.stack, 1 if rounding > 16 else 0)
    size += -size % rounding
    total = above
    if private and size >= _MIN_PRIVATE:
        if size > _MAX_STACK:
            raise Rejected(R.CALLS, f"the stack of {one.name} takes {size} bytes, of 512")
    else:
        total += size
        if total > _MAX_STACK:
            raise Rejected(R.CALLS, f"the stacks of {len(chain) + 1} nested calls take {total} bytes, of 512",
                           "smaller variables on the stack, or fewer nested calls")
    insns = program.insns
    for index in range(one.start, one.end):
        insn = insns[index]
        if (insn.code == 0x85 and insn.src == 1) or (insn.code == 0x18 and insn.src == 4):
            callee = program.at[insn.target]
            if callee.is_async and insn.code == 0x18:
                continue
            if len(chain) + 1 >= _MAX_FRAMES:
                raise Rejected(R.CALLS, "calls nest more than 8 deep", "calls at most 8 deep, without recursion")
            _depth(program, callee, total, (*chain, one.index), private, rounding)

"""Statements: what holds where. Types flow forward, None must be narrowed, every path returns what it promised."""
from __future__ import annotations

from types import FunctionType

from bpfwright._typing import Any, Callable, NoReturn
from bpfwright.errors import UsageError
from bpfwright.lang import flow as f
from bpfwright.lang import tree as t
from bpfwright.lang.infer import Infer, cut_meaning, without_none
from bpfwright.lang.parse import parse
from bpfwright.lang.scope import Scope
from bpfwright.lang.source import Source, source_of
from bpfwright.lang.using import in_packet
from bpfwright.spec.meaning import (BOOLEAN, NOTHING, NOWHERE, Constant, Integer, Meaning, Nothing, OneOf, Optional,
                                    Reference, TupleOf, describe, join, meaning_of)
from bpfwright.types.ctype import CType, Maybe, RecordType

__all__ = ["Body", "Checker", "Job"]

ROUNDS = 200  # far more than the steps that every variable of a loop can widen by


class Job:
    """One compilation: what is shared by all its functions.

    `target` says for whom (features, hook, options); `functions` collects subprograms and callbacks to be lowered.
    """

    def __init__(self, target: Any, program: Any = None) -> None:
        self.target = target
        self.program = program
        self.moves_packet = False
        self.unfit: tuple[Any, ...] | None = None
        self.instances: dict[tuple[Any, ...], Body] = {}
        self.names: set[str] = set()

    def fresh(self, name: str) -> str:
        """A name that no other function of the object has."""
        made, number = name, 1
        while made in self.names:
            number += 1
            made = f"{name}_{number}"
        self.names.add(made)
        return made


class Body:
    """A checked function: its tree, its parameters' meanings, all variables, and what it gives back."""

    __slots__ = ("flow_off", "frames", "function", "leaves", "moves", "name", "params", "pointers", "result", "source",
                 "tree", "variables")

    def __init__(self, function: FunctionType, name: str, source: Source, tree: Any, params: list[tuple[str, Meaning]],
                 ) -> None:
        self.function = function
        self.name = name
        self.source = source
        self.tree = tree
        self.params = params
        self.variables: dict[str, Meaning] = {}
        self.result: Meaning | None = None
        self.flow_off = True
        self.pointers: tuple[str, tuple[CType, ...]] | None = None
        self.moves = False    # the packet
        self.leaves = False   # by a tail call
        self.frames = 0       # of functions that it calls, one in another


class Checker(Infer):
    """Checks one function's body; expressions are in `Infer`."""

    def __init__(self, job: Job, function: FunctionType, stack: tuple[FunctionType, ...] = ()) -> None:
        self.job = job
        self.function = function
        self.stack = (*stack, function)
        self.source = source_of(function)
        self.scope = Scope(function)
        self.flow: f.Flow | None = {}
        self.variables: dict[str, Meaning] = {}
        self.declared: dict[str, CType] = {}
        self.expected: Meaning | None = None
        self.result_type: CType | None = None
        self.returned: Meaning | None = None
        self.loops: list[dict[str, f.Flow | None]] = []
        self.locks: list[str] = []
        self.kernel_locks = 0
        self.moved: set[str] = set()
        self.moves = 0
        self.held: list[tuple[str, str]] = []
        self.acquired: dict[str, str] = {}
        self.leaves = False
        self.discarded: Any = None
        self.depth = 1
        self.frames = 0

    def run(self, params: list[tuple[str, Meaning]], expected: Meaning | None, name: str) -> Body:
        """Check the body with these parameters. `expected` is what it must return; None: whatever it does."""
        tree = parse(self.source)
        body = Body(self.function, name, self.source, tree, params)
        self.expected = expected
        assert self.flow is not None
        self.local_names = {n for n, _ in params} | self.assigned_names(tree.body)
        for param, meaning in params:
            self.set_variable(param, meaning, tree)
        self.block(tree.body)
        if self.flow is not None:
            if expected is not None and not isinstance(expected, Nothing):
                self.refuse(tree.body[-1] if tree.body else tree,
                            f"{tree.name} may end here without returning {describe(expected)}",
                            "Return a value on every path.")
            self.returned = NOTHING if self.returned is None else self.joined(tree, self.returned, NOTHING)
        body.variables = self.variables
        body.result = expected if expected is not None else (self.returned or NOTHING)
        body.flow_off = self.flow is not None
        body.moves, body.leaves, body.frames = self.moves > 0, self.leaves, self.frames
        if len(self.stack) == 1 and self.job.unfit is not None:
            source, *said = self.job.unfit
            source.refuse(*said)
        return body

    # flow

    def assigned_names(self, statements: list[Any]) -> set[str]:
        from bpfwright.lang.scope import assigned
        return assigned(statements)

    def set_variable(self, name: str, meaning: Meaning, node: Any) -> None:
        """Record an assignment: the variable holds `meaning` from here, and room for it everywhere."""
        assert self.flow is not None
        self.moved.discard(name)
        if isinstance(meaning, Constant) and not isinstance(meaning.value, (str, bytes)):
            known = self.variables.get(name)
            if known is not None and known != meaning:
                self.refuse(node, f"{name} would name different objects", "Use two names.")
        self.flow = {**self.flow, name: meaning}
        room = join(self.variables.get(name), meaning)
        if room is None:
            self.refuse(node, f"{name} was {describe(self.variables[name])} and would become {describe(meaning)}",
                        "Use another name, so that each name holds one type.")
        self.variables[name] = room

    def joined(self, node: Any, a: Meaning, b: Meaning) -> Meaning:
        both = join(a, b)
        if both is None:
            self.refuse(node, f"{describe(a)} on one path and {describe(b)} on another", "Give both paths one type.")
        return both

    def merge(self, node: Any, a: f.Flow | None, b: f.Flow | None) -> f.Flow | None:
        merged, clash = f.merge(a, b, self.variables)
        if clash and a is not None and b is not None:
            self.refuse(node, f"{clash} is {describe(a[clash])} on one path and {describe(b[clash])} on another",
                        "Use two names.")
        return merged

    def block(self, statements: list[Any]) -> None:
        for statement in statements:
            if self.flow is None:
                return
            getattr(self, "do_" + type(statement).__name__.lower())(statement)

    # statements

    def do_pass(self, node: Any) -> None:
        return None

    def do_discard(self, node: Any) -> None:
        self.discarded = node.value
        meaning = self.infer(node.value)
        if isinstance(node.value, (t.Name, t.Constant, t.Compare, t.Binary)):
            self.refuse(node, "this expression has no effect", "Assign it, or remove it.")
        if isinstance(meaning, Constant) and not isinstance(node.value, t.Call):
            self.refuse(node, "this expression has no effect", "Assign it, or remove it.")

    def do_assign(self, node: Any) -> None:
        node.declared = None
        meaning = self.infer(node.value)
        if node.annotation is not None:
            ctype = self.annotated(node.annotation)
            inner = ctype.inner if isinstance(ctype, Maybe) else ctype
            if isinstance(ctype, CType) or isinstance(without_none(meaning), Integer):
                self.fit(node.value, meaning if isinstance(ctype, CType) else without_none(meaning), inner)
                node.declared = inner
            declared = meaning_of(inner, "stack")
            self.declared[node.target.name] = inner
            found = without_none(meaning)
            if isinstance(found, Reference):
                declared = found
            elif isinstance(found, Nothing) and isinstance(inner, RecordType):
                declared = meaning_of(inner, NOWHERE)
            elif isinstance(declared, Integer) and isinstance(found, Integer):
                declared = cut_meaning(found, inner)
            if isinstance(ctype, Maybe):
                declared = join(declared, NOTHING) or declared
            meaning = declared
        elif isinstance(node.target, t.Name) and node.target.name in self.declared:
            ctype = self.declared[node.target.name]
            if isinstance(number := without_none(meaning), Integer):
                self.fit(node.value, number, ctype)
                node.declared = ctype
                meaning = cut_meaning(meaning, ctype)
        self.assign(node.target, meaning, node.value)

    def annotated(self, annotation: Any) -> CType | Maybe:
        try:
            found = self.scope.evaluate(annotation.text)
            return self.scope.ctype(found)
        except UsageError as error:
            self.source.refuse(annotation, error.what, error.cure or "Annotate with u8..u64, i8..i64, bool, a Struct.")

    def assign(self, target: Any, meaning: Meaning, value: Any) -> None:
        if isinstance(target, t.Name):
            if isinstance(meaning, Nothing) and value is not None and not isinstance(value, (t.Constant, t.Conditional,
                                                                                            t.Name)):
                self.refuse(value, "this gives nothing to assign", "Write it as a statement of its own.")
            self.set_variable(target.name, self.stored(meaning), target)
            self.acquires(value, target.name)
            target.meaning = meaning
            target.binding = "local"
        elif isinstance(target, t.Tuple):
            if not isinstance(meaning, TupleOf) or len(meaning.items) != len(target.items):
                self.refuse(target, f"{describe(meaning)} does not unpack into {len(target.items)} names")
            for item, part in zip(target.items, meaning.items, strict=True):
                self.assign(item, part, None)
        elif isinstance(target, t.Attribute):
            self.assign_attribute(target, meaning, value)
        else:
            self.assign_item(target, meaning, value)

    def do_augmented(self, node: Any) -> None:
        self.augment(node)

    def do_return(self, node: Any) -> None:
        meaning = NOTHING if node.value is None else self.infer(node.value)
        node.declared = None
        if self.result_type is not None and isinstance(number := without_none(meaning), Integer):
            self.fit(node.value, number, self.result_type)
            node.declared, meaning = self.result_type, cut_meaning(meaning, self.result_type)
        if self.expected is not None:
            self.returns(node, meaning)
        else:
            self.returned = meaning if self.returned is None else self.joined(node, self.returned, meaning)
        self.flow = None

    def returns(self, node: Any, meaning: Meaning) -> None:
        expected = self.expected
        if isinstance(expected, Nothing):
            if not isinstance(meaning, Nothing):
                self.refuse(node, f"this function returns None, not {describe(meaning)}", "Write a bare `return`.")
        elif isinstance(expected, Integer):
            if not isinstance(meaning, Integer) and not (meaning == BOOLEAN and expected.enum is None):
                self.refuse(node, f"this function returns {describe(expected)}, not {describe(meaning)}",
                            "Return one of the actions." if expected.enum else "")
            if expected.enum is not None and isinstance(meaning, Integer) and meaning.enum is not expected.enum:
                self.refuse(node, f"this function returns {expected.enum.__name__}, not {describe(meaning)}",
                            "Return " + ", ".join(m.name for m in list(expected.enum)[:4]) + " ...")
        elif expected != meaning:
            self.refuse(node, f"this function returns {describe(expected or NOTHING)}, not {describe(meaning)}")

    def do_if(self, node: Any) -> None:
        self.test(node.test)
        before = self.flow
        assert before is not None
        constant = node.truth = self.known_truth(node.test)
        self.flow = None if constant is False else f.narrow(node.test, before, True)
        self.block(node.then)
        after = self.flow
        self.flow = None if constant is True else f.narrow(node.test, before, False)
        self.block(node.other)
        self.flow = self.merge(node, after, self.flow)

    def known_truth(self, test: Any) -> bool | None:
        """The test's value when it is a constant, so that the other branch is never looked at."""
        meaning = test.meaning
        if isinstance(meaning, Constant) and isinstance(meaning.value, (bool, int, str)):
            return bool(meaning.value)
        if isinstance(meaning, Integer) and meaning.constant is not None and isinstance(test, (t.Constant, t.Name)):
            return bool(meaning.constant)
        return None

    def loop(self, node: Any, body: Any) -> f.Flow | None:
        """Run `body()` until the loop's head settles; gives the flow that `break` leaves with."""
        assert self.flow is not None
        head = self.flow
        for round in range(ROUNDS):
            self.flow = dict(head)
            self.loops.append({"break": None, "continue": None})
            body()
            exits = self.loops.pop()
            end = self.merge(node, self.flow, exits["continue"])
            settled, clash = f.settle(head, end, round, self.variables)
            if clash:
                self.refuse(node, f"{clash} is {describe(head[clash])} before this loop and "
                            f"{describe((end or head)[clash])} after a round", "Use two names.")
            if settled == head:
                self.flow = head
                return exits["break"]
            head = settled
        raise AssertionError("a loop's types did not settle")

    def do_while(self, node: Any) -> None:
        if node.other:
            self.refuse(node.other[0], "`else` after a loop cannot be compiled", "Set a flag before `break`.")

        tested: f.Flow = {}

        def body() -> None:
            nonlocal tested
            self.test(node.test)
            assert self.flow is not None
            tested = self.flow
            self.flow = None if self.known_truth(node.test) is False else f.narrow(node.test, self.flow, True)
            self.block(node.body)

        left = self.loop(node, body)
        always = self.known_truth(node.test) is True
        self.flow = self.merge(node, left, None if always else f.narrow(node.test, tested, False))

    def do_for(self, node: Any) -> None:
        if node.other:
            self.refuse(node.other[0], "`else` after a loop cannot be compiled", "Set a flag before `break`.")
        node.plan = self.iteration(node)
        item = node.plan["item"]
        walked = self.walked(node)
        walk = f" walk {id(node)}"
        if in_packet(walked) and self.flow is not None:
            self.flow = {**self.flow, walk: walked}

        def body() -> None:
            self.assign(node.target, item, None)
            self.block(node.body)

        if node.plan["kind"] == "operation" and node.plan["operation"].style == "callback":
            left = self.in_callback(node, lambda: self.loop(node, body))
        else:
            left = self.loop(node, body)
        if in_packet(walked) and self.flow is not None and walk not in self.flow:
            self.refuse(node.iterable, "the packet moves while this is walked",
                        "Leave the loop when it has moved: `break`.")
        self.flow = self.merge(node, self.flow, left)

    def walked(self, node: Any) -> Meaning:
        """What a `for` walks, where that is a value."""
        plan = node.plan
        if plan["kind"] == "operation":
            receiver: Meaning = plan["site"].receiver
            return receiver
        found: Meaning = getattr(plan.get("node", node.iterable), "meaning", NOTHING)
        return found

    def in_callback(self, node: Any, check: Callable[[], f.Flow | None]) -> f.Flow | None:
        """Check a loop whose body becomes a function that the kernel calls: a frame more."""
        self.enters_frame(node.iterable, "the function that this loop's body becomes", 0)
        outside, self.frames = self.frames, 0
        self.depth += 1
        left = check()
        self.depth -= 1
        self.frames = max(outside, self.frames + 1)
        return left

    def do_break(self, node: Any) -> None:
        self._leave(node, "break")

    def do_continue(self, node: Any) -> None:
        self._leave(node, "continue")

    def _leave(self, node: Any, how: str) -> None:
        if not self.loops:
            self.refuse(node, f"`{how}` outside of a loop", "Remove it.")
        exits = self.loops[-1]
        exits[how] = self.merge(node, exits[how], self.flow)
        self.flow = None

    def do_with(self, node: Any) -> None:
        meaning = self.enter(node)
        if node.target is not None:
            self.assign(node.target, meaning, None)
        lock = node.operation.lock
        if lock and lock in self.locks:
            self.refuse(node, "a lock is already held here", "The kernel allows one lock at a time.")
        held = bool(lock) and getattr(node.call.receiver, "space", "") == "map"  # ours, in LRU maps, hinders nothing
        self.locks.append(lock)
        self.kernel_locks += held
        outside = self.held
        if node.operation.holds:
            self.held = [*outside, (node.operation.holds, node.target.name if isinstance(node.target, t.Name) else "")]
        self.block(node.body)
        self.held = outside
        self.kernel_locks -= held
        self.locks.pop()

    def do_delete(self, node: Any) -> None:
        if not isinstance(node.target, t.Index):
            self.refuse(node, "only a map's entry can be deleted", "Remove the statement.")
        self.refuse(node, "`del m[k]` raises KeyError in Python, and the kernel has no exceptions",
                    "Write m.pop(key, None).")

    # match

    def do_match(self, node: Any) -> None:
        subject = self.infer(node.subject)
        name = node.subject.name if isinstance(node.subject, t.Name) else ""
        before, after = self.flow, None
        rest: set[object] | None = self.members(subject)
        open_end = True
        for case in node.cases:
            assert before is not None
            self.flow = dict(before)
            covered = self.pattern(case.pattern, subject, name)
            if case.guard is not None:
                self.test(case.guard)
                before = f.kept(before, self.flow)
                self.flow = f.narrow(case.guard, self.flow, True)
            elif rest is not None and covered is not None:
                rest -= covered
            if case.guard is None and (covered is None or (rest is not None and not rest)):
                open_end = False
            self.block(case.body)
            after = self.merge(node, after, self.flow)
        node.plan = {"exhaustive": not open_end}
        self.flow = self.merge(node, after, before if open_end else None)

    def members(self, subject: Meaning) -> set[object] | None:
        """Everything that a subject can be, when that is a short list."""
        match subject:
            case Optional(inner=inner):
                found = self.members(inner)
                return None if found is None else found | {None}
            case Integer(enum=enum) if enum is not None:
                return set(enum)
            case OneOf(choices=choices):
                return {c.ctype for c in choices if isinstance(c, Reference)}
            case Reference(ctype=ctype):
                return {ctype}
        return None

    def pattern(self, pattern: Any, subject: Meaning, name: str) -> set[object] | None:
        """Check a pattern; gives what it covers for sure (None: everything)."""
        inner = subject.inner if isinstance(subject, Optional) else subject
        match pattern.kind:
            case "any":
                return None
            case "bind":
                self.set_variable(pattern.value, self.stored(subject), pattern)
                return None
            case "none":
                if not isinstance(subject, (Optional, Nothing)):
                    self.refuse(pattern, f"{describe(subject)} is never None", "Remove the case.")
                if name and self.flow is not None:
                    self.flow = {**self.flow, name: NOTHING}
                return {None}
            case "value":
                return self.value_pattern(pattern, inner, name)
            case "or":
                return self.or_pattern(pattern, subject, name)
            case "as":
                covered = self.pattern(pattern.children[0], subject, name)
                chosen = self.chosen(pattern.children[0], inner)
                self.set_variable(pattern.value, self.stored(chosen or subject), pattern)
                return covered
            case "class":
                return self.class_pattern(pattern, inner, name)
        self.refuse(pattern, "a tuple pattern cannot be compiled", "Match one value at a time.")

    def or_pattern(self, pattern: Any, subject: Meaning, name: str) -> set[object] | None:
        covered: set[object] | None = set()
        before, after = self.flow, None
        for child in pattern.children:
            self.flow = dict(before or {})
            part = self.pattern(child, subject, "")
            covered = None if part is None or covered is None else covered | part
            after = self.merge(pattern, after, self.flow)
        self.flow = after
        return covered

    def value_pattern(self, pattern: Any, inner: Meaning, name: str) -> set[object]:
        value = self.infer(pattern.value)
        self.comparable(pattern, "==", inner, value)
        if isinstance(value, Integer) and isinstance(inner, Integer):
            if inner.enum is not None and value.enum is not inner.enum:
                self.refuse(pattern, f"{describe(inner)} is never {describe(value)}",
                            f"Match on members of {inner.enum.__name__}.")
            if name and self.flow is not None:
                self.flow = {**self.flow, name: Integer(value.low, value.high, inner.enum)}
            return {value.enum(value.low)} if value.enum is not None else set()
        return set()

    def chosen(self, pattern: Any, inner: Meaning) -> Meaning | None:
        if pattern.kind != "class":
            return None
        cls = pattern.value.meaning.value
        choices = inner.choices if isinstance(inner, OneOf) else (inner,)
        return next((c for c in choices if isinstance(c, Reference) and getattr(c.ctype, "cls", None) is cls), None)

    def class_pattern(self, pattern: Any, inner: Meaning, name: str) -> set[object]:
        meaning = self.infer(pattern.value)
        if not isinstance(meaning, Constant) or not isinstance(meaning.value, type):
            self.refuse(pattern, "a pattern names a header class or a Struct here")
        chosen = self.chosen(pattern, inner)
        if not isinstance(chosen, Reference):
            self.refuse(pattern, f"{describe(inner)} is never a {meaning.value.__name__}",
                        "Match on the classes that were looked for.")
        if name and self.flow is not None:
            self.flow = {**self.flow, name: chosen}
        for field, child in pattern.keywords:
            part = self.member(pattern, chosen, field)
            self.pattern(child, part, "")
        always = all(child.kind in ("any", "bind") for _, child in pattern.keywords)
        return {chosen.ctype} if always else set()

    def refuse(self, place: Any, what: str, cure: str = "") -> NoReturn:
        self.source.refuse(place, what, cure)

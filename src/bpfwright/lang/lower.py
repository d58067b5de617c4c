"""The checked tree to IR: one pass that only reads what `check` found out."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.lang import ir
from bpfwright.lang import tree as t
from bpfwright.lang.build import Builder, part_names, part_types
from bpfwright.lang.check import Body
from bpfwright.lang.defer import can_wait, only_home
from bpfwright.lang.loops import Loops
from bpfwright.lang.scope import assignments
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import (NOTHING, Integer, Meaning, Nothing, OneOf, Optional, Reference, meaning_of)
from bpfwright.types.ctype import AddressType, CharArray, CType

__all__ = ["Frame", "Lowering"]

UNFINISHED = "unfinished"
"""The counter of `while` loops that the kernel's budget (8,388,608 rounds of may_goto) ended."""


class Frame:
    """One function's variables while it is lowered: its own, or inlined into another."""

    __slots__ = ("_counts", "_members", "after", "body", "file", "inside", "loops", "outer", "result", "result_meaning",
                 "scopes", "slots")

    def __init__(self, body: Body, file: int) -> None:
        self.body = body
        self.file = file
        self.slots: dict[str, list[tuple[int, str]]] = {}
        self.loops: list[dict[str, Any]] = []
        self.scopes: list[Any] = []
        self.after: ir.Block | None = None
        self.result: list[tuple[int, str]] = []
        self.result_meaning: Meaning = NOTHING
        self.inside: str = ""
        self.outer: Frame | None = None
        self._counts: dict[str, int] | None = None
        self._members: set[str] = set()

    def _count(self) -> dict[str, int]:
        if self._counts is None:
            self._counts, self._members = assignments(self.body.tree.body)
            for name, _ in self.body.params:
                self._counts[name] = self._counts.get(name, 0) + 1
        return self._counts

    def set_once(self, name: str) -> bool:
        """Whether a variable is set at one place only, outside of loops."""
        return self._count().get(name, 0) == 1

    def assigns_member(self, name: str) -> bool:
        """Whether anything's member of this name is assigned, or a function is handed what could."""
        self._count()
        return name in self._members


class Lowering(Loops):
    """Lowers one IR function; inlined functions get frames of their own inside it."""

    def __init__(self, sink: Any, out: ir.Function, body: Body) -> None:
        Builder.__init__(self, out, sink)
        self.frame = Frame(body, sink.file(body.source.file))
        self.destination: tuple[CType, int] | None = None
        self.context_value: int = 0
        self.scratch_at: int | None = None
        self.prologue: int | None = None
        self.known_headers: dict[Any, tuple[int, int]] = {}
        self.known_keys: dict[Any, int] = {}
        self.free_slots: dict[tuple[int, int], list[int]] = {}
        self.lent_slots: list[tuple[tuple[int, int], int]] = []
        self.remembered: Any = None
        self.deferred: dict[str, Any] = {}
        self.packet_slots: tuple[int, int] | None = None
        self.walked = 1

    def callback_lowering(self, out: ir.Function) -> Lowering:
        return Lowering(self.sink, out, self.frame.body)

    # variables

    def declare(self, frame: Frame, name: str) -> list[tuple[int, str]]:
        """The slots of a variable, made when it is first met."""
        known = frame.slots.get(name)
        if known is None:
            types = part_types(frame.body.variables[name])
            known = frame.slots[name] = [(self.slot(1 if ty == "i1" else 8, 1 if ty == "i1" else 8, name), ty)
                                         for ty in types]
            for (slot, _), (part, meaning) in zip(known, part_names(frame.body.variables[name], name), strict=True):
                self.out.variables[slot] = ir.Variable(part, meaning, frame.file, frame.body.tree.line)
        return known

    def set(self, name: str, value: Value) -> None:
        room = self.frame.body.variables[name]
        value = self.convert(value, room)
        for (slot, _), part in zip(self.declare(self.frame, name), value.parts, strict=True):
            self.store(slot, part)

    def get(self, name: str, meaning: Meaning) -> Value:
        waiting = self.deferred.pop(name, None)
        if waiting is not None:
            self.remembered = None
            self.do_assign(waiting)
        room = self.frame.body.variables[name]
        parts = [self.load(type, slot) for slot, type in self.declare(self.frame, name)]
        inner = room.inner if isinstance(room, Optional) else room
        if isinstance(inner, Reference) and isinstance(inner.ctype, (AddressType, CharArray)):
            self.alignments[parts[-1]] = 8  # a variable's text has memory of its own
        return self.convert(Value(room, *parts), meaning)

    # function

    def run(self, params: list[Value]) -> None:
        """The whole function: parameters in, statements, one return."""
        frame = self.frame
        for (name, _), value in zip(frame.body.params, params, strict=True):
            if part_types(frame.body.variables[name]):
                self.set(name, value)
        self.block_of(frame.body.tree.body)
        if not self.at.ended:
            self.leave_scopes(0)
            self.give_back(None)
        for block in self.out.blocks:
            if block is not self.entry and not block.ended:
                self.at = block
                self.give_back(None)
        self.entry.ops.append(ir.Op("goto", "void", (1,), -1, ir.Span(0, 0)))

    def give_back(self, value: Value | None) -> None:
        """Return from the IR function."""
        result = self.out.result
        if result == "void":
            self.effect("return")
        elif value is None or not value.parts:
            self.effect("return", self.number(self.sink.default_return, result))
        elif self.sink.separate_results and isinstance(value.meaning, Integer) and value.meaning.enum is not None:
            self.give_back_each(value, value.meaning.enum)
        elif result == "i1" or self.type_of(value.only) == "i1":
            condition = self.as_condition(value)
            self.effect("return", condition if result == "i1" else self.op("zext", result, condition))
        else:
            self.effect("return", self.truncate(value.only, result) if self.type_of(value.only) != result
                        else value.only)

    def give_back_each(self, value: Value, enum: Any) -> None:
        """A return for each member, so that the verifier sees a constant on every path."""
        result = self.out.result
        for member in enum:
            yes, no = self.block(), self.block()
            self.branch(self.op("eq", "i1", value.only, self.number(member.value)), yes, no)
            self.at = yes
            self.effect("return", self.op("opaque", result, self.number(member.value, result)))
            self.at = no
        self.effect("return", self.number(self.sink.default_return, result))

    def block_of(self, statements: list[Any]) -> None:
        known, self.known_headers = self.known_headers, dict(self.known_headers)
        keys, self.known_keys = self.known_keys, dict(self.known_keys)
        lent, self.lent_slots = self.lent_slots, []
        for index, statement in enumerate(statements):
            if self.at.ended:
                break
            if can_wait(statements, index):
                self.deferred[statement.target.name] = statement
                continue
            self.mark(statement)
            self.remembered = statement.value if isinstance(statement, t.Assign) else None
            getattr(self, "do_" + type(statement).__name__.lower())(statement)
        self.known_headers, self.known_keys = known, keys
        for kind, slot in self.lent_slots:
            self.free_slots[kind].append(slot)
        self.lent_slots = lent

    def mark(self, node: Any) -> None:
        """What follows comes from this place of the source."""
        self.span = ir.Span(node.line, node.column, self.frame.file)

    # statements

    def do_pass(self, node: Any) -> None:
        return None

    def do_discard(self, node: Any) -> None:
        self.expression(node.value)

    def do_assign(self, node: Any) -> None:
        self.assign_node(node.target, node.value, node.declared)

    def assign_node(self, target: Any, value: Any, declared: CType | None) -> None:
        if isinstance(target, t.Name):
            home = self.home_of(target.name, value)
            found = self.expression(value)
            if home is not None and found.parts[-1] == home:
                self.set(target.name, found)
                return
            if isinstance(declared, CType):
                found = self.cut(found, declared)
            self.set(target.name, self.own_copy(found, value))
        elif isinstance(target, t.Tuple):
            self.unpack(target, self.expression(value))
        elif isinstance(target, t.Attribute):
            self.assign_attribute(target, value)
        else:
            self.assign_item(target, value)

    def home_of(self, name: str, value: Any) -> int | None:
        """Where a text can be built so that the record it is made for need not copy it; the destination is set."""
        inner = value.meaning.inner if isinstance(value.meaning, Optional) else value.meaning
        if not isinstance(inner, Reference) or not isinstance(inner.ctype, CharArray) or not self.builds(value):
            return None
        found = only_home(self.frame.body.tree.body, name)
        if found is None or found[0].call["record"].size <= 8:
            return None
        call, field_name = found
        record = call.call["record"]
        field = record.cls.__layout__().fields[field_name]
        if field.type != inner.ctype or self.has_gaps(record):
            return None
        place = self.memory(record.size, record.name)
        call.call["place"] = place
        call.call["placed"] = (field_name, place)
        wanted = self.pointer(place, field.offset)
        self.destination = (inner.ctype, wanted)
        return wanted

    def cut(self, value: Value, ctype: CType) -> Value:
        """A value as its declared width leaves it."""
        if isinstance(value.meaning, Optional) and isinstance(value.meaning.inner, Integer):
            number = self.cut(Value(value.meaning.inner, value.parts[1]), ctype)
            return Value(Optional(number.meaning), value.parts[0], *number.parts)
        full = meaning_of(ctype, "stack")
        if not isinstance(full, Integer) or not isinstance(value.meaning, Integer):
            return value
        if full.low <= value.meaning.low and value.meaning.high <= full.high:
            return value
        type = f"i{ctype.size * 8}"
        return Value(full, self.extend(self.truncate(value.only, type), type, full.low < 0))

    def unpack(self, target: Any, value: Value) -> None:
        at = 0
        parts: list[Value] = []
        for item in value.meaning.items:  # type: ignore[attr-defined]
            count = len(part_types(item))
            parts.append(self.own_copy(Value(item, *value.parts[at:at + count]), None))  # all before the first store
            at += count
        for name, part in zip(target.items, parts, strict=True):
            if isinstance(name, t.Tuple):
                self.unpack(name, part)
            elif isinstance(name, t.Name):
                self.set(name.name, part)
            else:
                self.store_into(name, part)

    def do_return(self, node: Any) -> None:
        frame = self.frame
        value = None if node.value is None else self.expression(node.value)
        if value is not None and node.declared is not None:
            value = self.cut(value, node.declared)
        if value is not None and frame.after is not None:
            value = self.convert(self.own_copy(value, node.value), frame.result_meaning)
            for (slot, _), part in zip(frame.result, value.parts, strict=True):
                self.store(slot, part)
        elif value is not None and frame.body.result is not None:
            value = self.convert(value, frame.body.result) if isinstance(frame.body.result, Integer) else value
        self.leave_scopes(0)
        if frame.after is not None:
            self.goto(frame.after)
        else:
            self.give_back(value)

    def leave_scopes(self, depth: int) -> None:
        """Run what leaving `with` blocks down to `depth` asks for."""
        for leave in reversed(self.frame.scopes[depth:]):
            leave()

    def do_if(self, node: Any) -> None:
        then, other, after = self.block(), self.block(), self.block()
        if node.truth is not None:
            # The other way does not exist: what is behind it was never looked at, if this one leaves.
            self.condition(node.test, then, then)
            self.at = then
            self.block_of(node.then if node.truth else node.other)
            return
        self.condition(node.test, then, other if node.other else after)
        self.at = then
        self.block_of(node.then)
        self.goto(after)
        self.at = other
        if node.other:
            self.block_of(node.other)
        self.goto(after)
        self.at = after

    def do_while(self, node: Any) -> None:
        head, body, after = self.block(), self.block(), self.block()
        self.goto(head)
        self.at = head
        self.condition(node.test, body, after)
        self.at = body
        if self.sink.target.has("may_goto"):
            over, on = self.block(), self.block()
            self.branch(self.op("may_goto", "i1"), over, on)
            self.at = over
            self.count_lost(UNFINISHED)
            self.goto(after)
            self.at = on
        self.loop_body(node.body, head, after)
        self.at = after

    def do_break(self, node: Any) -> None:
        self._jump("break")

    def do_continue(self, node: Any) -> None:
        self._jump("continue")

    def _jump(self, how: str) -> None:
        loop = self.frame.loops[-1]
        self.leave_scopes(loop["depth"])
        if callable(loop[how]):
            loop[how]()
        else:
            self.goto(loop[how])

    def do_with(self, node: Any) -> None:
        site = node.call
        site.lowering = self
        value = node.operation.lower(self, site)
        slots = [(self.slot(8, 8, "with"), type) for type in part_types(value.meaning)]
        for (slot, _), part in zip(slots, value.parts, strict=True):
            self.store(slot, part)
        if node.target is not None:
            self.set(node.target.name, value)

        def leave() -> None:
            parts = [self.load(type, slot) for slot, type in slots]
            node.operation.leave(self, site, Value(value.meaning, *parts))

        self.frame.scopes.append(leave)
        self.block_of(node.body)
        self.frame.scopes.pop()
        if not self.at.ended:
            self.mark(node)
            leave()

    # match

    def do_match(self, node: Any) -> None:
        subject = self.expression(node.subject)
        name = node.subject.name if isinstance(node.subject, t.Name) else ""
        after = self.block()
        for case in node.cases:
            body, following = self.block(), self.block()
            self.mark(case)
            self.matches(case.pattern, subject, body, following, name)
            self.at = body
            if case.guard is not None:
                guarded = self.block()
                self.condition(case.guard, guarded, following)
                self.at = guarded
            self.block_of(case.body)
            self.goto(after)
            self.at = following
        if node.plan["exhaustive"]:
            if self.frame.after is not None:
                self.goto(self.frame.after)
            else:
                self.give_back(None)
        self.goto(after)
        self.at = after

    def matches(self, pattern: Any, subject: Value, yes: ir.Block, no: ir.Block, name: str) -> None:
        """Branch to `yes` when the subject matches, binding what the pattern names."""
        match pattern.kind:
            case "any":
                self.goto(yes)
            case "bind":
                self.set(pattern.value, self.own_copy(subject, None))
                self.goto(yes)
            case "none":
                self.branch(self.is_none(subject), yes, no)
            case "value":
                self.value_matches(pattern, subject, yes, no)
            case "or":
                for child in pattern.children[:-1]:
                    following = self.block()
                    self.matches(child, subject, yes, following, "")
                    self.at = following
                self.matches(pattern.children[-1], subject, yes, no, "")
            case "as":
                bound = self.block()
                self.matches(pattern.children[0], subject, bound, no, name)
                self.at = bound
                self.set(pattern.value, self.convert(subject, self.frame.body.variables[pattern.value]))
                self.goto(yes)
            case "class":
                self.class_matches(pattern, subject, yes, no)

    def value_matches(self, pattern: Any, subject: Value, yes: ir.Block, no: ir.Block) -> None:
        meaning = subject.meaning
        if isinstance(meaning, Nothing):
            self.goto(no)
            return
        if isinstance(meaning, Optional):
            present = self.block()
            self.branch(self.is_none(subject), no, present)
            self.at = present
            subject = self.convert(subject, meaning.inner)
        value = self.expression(pattern.value)
        self.branch(self.same(subject, value), yes, no)

    def class_matches(self, pattern: Any, subject: Value, yes: ir.Block, no: ir.Block) -> None:
        cls = pattern.value.meaning.value
        inner = subject.meaning.inner if isinstance(subject.meaning, Optional) else subject.meaning
        found = self.block()
        self.branch(self.is_instance(subject, cls), found, no)
        self.at = found
        choices = inner.choices if isinstance(inner, OneOf) else (inner,)
        chosen = next(c for c in choices if isinstance(c, Reference) and getattr(c.ctype, "cls", None) is cls)
        record = self.convert(subject, chosen)
        for position, (field, child) in enumerate(pattern.keywords):
            following = yes if position == len(pattern.keywords) - 1 else self.block()
            self.matches(child, self.member_value(record, field), following, no, "")
            self.at = following
        if not pattern.keywords:
            self.goto(yes)

"""`for` loops to IR: unrolled, counted, by an open-coded iterator, or as a callback that the kernel calls."""
from __future__ import annotations

from contextlib import contextmanager

from bpfwright._typing import Any, Iterator
from bpfwright.lang import ir
from bpfwright.lang import tree as t
from bpfwright.lang.build import is_pointer, part_types
from bpfwright.lang.expressions import Expressions
from bpfwright.lang.scope import assigned, mentioned, names_in
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import NOTHING, Integer, Meaning, Optional, Reference, TupleOf
from bpfwright.types.ctype import AddressType, CharArray

__all__ = ["Loops"]

SMALL_LOOP = 64       # rounds that the verifier may well walk one by one
BRANCHING_LOOP = 32   # the same where each round has two ways, which double with every round
WALKED_LOOP = 4096    # rounds in all that it may walk where nothing better exists
MEMORY_LOOP = 1 << 20  # rounds whose numbers may index memory


class Loops(Expressions):
    """The `for` half of `Lowering`'s statements."""

    walked: int

    def callback_lowering(self, out: ir.Function) -> Any:
        """Lowers another function of the same body: a loop's callback."""
        raise NotImplementedError

    def declare(self, frame: Any, name: str) -> list[tuple[int, str]]:
        raise NotImplementedError

    def unpack(self, target: Any, value: Value) -> None:
        raise NotImplementedError

    def leave_scopes(self, depth: int) -> None:
        raise NotImplementedError

    def give_back(self, value: Value | None) -> None:
        raise NotImplementedError

    def loop_body(self, statements: list[Any], again: ir.Block, after: ir.Block) -> None:
        self.frame.loops.append({"continue": again, "break": after, "depth": len(self.frame.scopes)})
        self.block_of(statements)
        self.frame.loops.pop()
        self.goto(again)

    def do_for(self, node: Any) -> None:
        getattr(self, "for_" + node.plan["kind"])(node, node.plan)

    def for_range(self, node: Any, plan: dict[str, Any]) -> None:
        start = self.numeric(self.expression(plan["start"]))[0] if plan["start"] is not None else self.number(0)
        stop = self.numeric(self.expression(plan["stop"]))[0]
        if plan["backwards"]:
            start, stop, step = self.turned(start, stop, plan["step"])
        else:
            step = plan["step"]
        rounds = plan["most"]
        target = self.sink.target
        if rounds > BRANCHING_LOOP and _branches(node.body) and (target.has("iter_num") or target.has("bpf_loop")):
            most = 0
        else:
            most = WALKED_LOOP if plan["exact"] else SMALL_LOOP
        if self.sink.target.has("any_loop"):
            self.counted(node, plan, start, stop, step, max(rounds, 1))
        elif rounds * self.walked <= most:
            if not plan["exact"]:
                start, stop = self.seen_bounds(plan, start, stop, step)
            self.counted(node, plan, start, stop, step, max(rounds, 1))
        elif self.sink.target.has("iter_num"):
            self.iterated(node, plan, start, stop, step)
        elif self.sink.target.has("bpf_loop"):
            self.called_back(node, plan, start, stop, step)
        elif rounds * self.walked <= WALKED_LOOP * 16:
            self.counted(node, plan, start, stop, step, rounds)
        else:
            self.frame.body.source.refuse(
                node, "a loop of this length needs bpf_loop or open-coded iterators (Linux 5.17, 6.4)",
                "Bound it by a smaller constant: range(min(n, 1000)).")

    def seen_bounds(self, plan: dict[str, Any], start: int, stop: int, step: int) -> tuple[int, int]:
        """Bounds that the verifier sees too: of `n % 3` it knows nothing, and LLVM would drop a plain comparison."""
        up = step > 0
        if plan["backwards"]:
            item = plan["item"]
            return self.bounded(start, plan["stop"], item.low if up else item.high, most=not up), stop
        if plan["start"] is not None and (plan["signed"] or not up):
            start = self.bounded(start, plan["start"], _limit(plan["start"], not up), most=not up)
        return start, self.bounded(stop, plan["stop"], _limit(plan["stop"], up), most=up)

    def bounded(self, value: int, node: Any, limit: int, *, most: bool) -> int:
        """At most `limit`, or at least; a constant and a mask need no help."""
        if not isinstance(node, (t.Name, t.Binary)) or not isinstance(node.meaning, Integer) or _masked(node):
            return value
        value, end = self.op("opaque", "i64", value), self.number(limit)
        signed = "slt" if node.meaning.low < 0 or not most else "ult"
        inside = self.op(signed, "i1", value, end) if most else self.op(signed, "i1", end, value)
        return self.op("select", "i64", inside, value, end)

    def turned(self, start: int, stop: int, step: int) -> tuple[int, int, int]:
        """The range walked from its other end."""
        size = abs(step)
        span = self.op("sub", "i64", stop, start) if step > 0 else self.op("sub", "i64", start, stop)
        empty = self.op("sle", "i1", span, self.number(0))
        rounds = self.op("udiv", "i64", self.op("add", "i64", span, self.number(size - 1)), self.number(size))
        rounds = self.op("select", "i64", empty, self.number(0), rounds)
        last = self.op("add", "i64", start, self.op("mul", "i64", self.op("sub", "i64", rounds, self.number(1)),
                                                    self.number(step)))
        return last, self.op("sub", "i64", start, self.number(step)), -step

    def counted(self, node: Any, plan: dict[str, Any], start: int, stop: int, step: int, rounds: int) -> None:
        """A plain loop, which the verifier walks."""
        counter = self.slot(8, 8, "counter")
        self.store(counter, start)
        head, body, again, after = self.block(), self.block(), self.block(), self.block()
        self.goto(head)
        self.at = head
        at = self.load("i64", counter)
        signed = plan["signed"] or step < 0
        less = "slt" if signed else "ult"
        self.branch(self.op(less, "i1", at, stop) if step > 0 else self.op(less, "i1", stop, at), body, after)
        self.at = body
        self.set_target(node.target, Value(plan["item"], self.load("i64", counter)))
        self.walked *= rounds
        self.loop_body(node.body, again, after)
        self.walked //= rounds
        self.at = again
        self.store(counter, self.op("add", "i64", self.load("i64", counter), self.number(step)))
        self.goto(head)
        self.at = after

    def rounds_of(self, start: int, stop: int, step: int) -> int:
        """How often a range goes round, as an i64 of at least 0."""
        size = abs(step)
        low, high = (start, stop) if step > 0 else (stop, start)
        some = self.op("slt", "i1", low, high)
        span = self.op("sub", "i64", high, low)
        if size > 1:
            span = self.op("udiv", "i64", self.op("add", "i64", span, self.number(size - 1)), self.number(size))
        return self.op("select", "i64", some, span, self.number(0))

    def iterated(self, node: Any, plan: dict[str, Any], start: int, stop: int, step: int) -> None:
        """An open-coded iterator (bpf_iter_num, since Linux 6.4): the verifier walks the body until it settles."""
        from bpfwright.lang.calls import iter_num
        rounds = self.rounds_of(start, stop, step)
        base = self.slot(8, 8, "start")
        self.store(base, start)
        number = iter_num(self, rounds)
        head, body, after = self.block(), self.block(), self.block()
        self.goto(head)
        self.at = head
        found = number.next()
        self.branch(self.is_null(found), after, body)
        self.at = body
        index = self.extend(self.load("i32", found), "i32")
        if plan["most"] <= MEMORY_LOOP and _has(node.body, (t.Index,)):
            # What the verifier knows of an iterator's number is nothing; where memory is indexed it has to know.
            inside = self.block()
            self.branch(self.op("ult", "i1", index, self.number(plan["most"])), inside, after)
            self.at = inside
        if step != 1:
            index = self.op("mul", "i64", index, self.number(step))
        self.set_target(node.target, Value(plan["item"], self.op("add", "i64", self.load("i64", base), index)))
        self.frame.scopes.append(number.destroy)
        depth = len(self.frame.scopes)
        self.frame.loops.append({"continue": head, "break": after, "depth": depth})
        self.block_of(node.body)
        self.frame.loops.pop()
        self.frame.scopes.pop()
        self.goto(head)
        self.at = after
        number.destroy()

    @contextmanager
    def rounds(self, most: int, walked: int) -> Iterator[tuple[ir.Block, ir.Block]]:
        """`with b.rounds(40, 6) as (head, after):` builds a loop of at most 40 rounds that the verifier settles, or of
        6 that it walks where it has no iterators. What is built goes round; a jump to `after` leaves."""
        from bpfwright.lang.calls import iter_num
        head, after = self.block(), self.block()
        if self.sink.target.has("iter_num"):
            number = iter_num(self, self.number(most))
            self.goto(head)
            self.at = head
            following = self.block()
            self.branch(self.is_null(number.next()), after, following)
            self.at = following
            self.frame.scopes.append(number.destroy)
            yield head, after
            self.frame.scopes.pop()
            self.goto(head)
            self.at = after
            number.destroy()
            return
        counter = self.slot(8, 8, "rounds")
        self.store(counter, self.number(0))
        self.goto(head)
        self.at = head
        count = self.load("i64", counter)
        following = self.block()
        self.branch(self.op("ult", "i1", count, self.number(walked)), following, after)
        self.at = following
        self.store(counter, self.op("add", "i64", count, self.number(1)))
        yield head, after
        self.goto(head)
        self.at = after

    def set_target(self, target: Any, value: Value) -> None:
        if isinstance(target, t.Name):
            self.set(target.name, self.own_copy(value, None))
        else:
            self.unpack(target, value)

    def for_array(self, node: Any, plan: dict[str, Any]) -> None:
        owner = self.expression(node.iterable).only
        self._walk_array(node, plan, owner, lambda index, item: item)

    def for_enumerate(self, node: Any, plan: dict[str, Any]) -> None:
        owner = self.expression(plan["node"]).only
        self._walk_array(node, plan, owner,
                         lambda index, item: Value(plan["item"], index, *item.parts))

    def _walk_array(self, node: Any, plan: dict[str, Any], owner: int, pair: Any) -> None:
        ctype = plan["type"]
        base = self.slot(8, 8, "array")
        self.store(base, owner)
        space = plan["item"].space if isinstance(plan["item"], Reference) else "stack"
        counter = self.slot(8, 8, "counter")
        self.store(counter, self.number(0))
        head, body, again, after = self.block(), self.block(), self.block(), self.block()
        self.goto(head)
        self.at = head
        self.branch(self.op("ult", "i1", self.load("i64", counter), self.number(ctype.length)), body, after)
        self.at = body
        index = self.load("i64", counter)
        place = self.op("index", "ptr", self.load("ptr", base), index, ctype.element.size)
        item = self.read(ctype.element, place, 0, space)
        self.set_target(node.target, pair(index, item))
        self.walked *= ctype.length
        self.loop_body(node.body, again, after)
        self.walked //= ctype.length
        self.at = again
        self.store(counter, self.op("add", "i64", self.load("i64", counter), self.number(1)))
        self.goto(head)
        self.at = after

    def for_tuple(self, node: Any, plan: dict[str, Any]) -> None:
        value = self.expression(node.iterable)
        at = 0
        items = []
        for item in value.meaning.items:  # type: ignore[attr-defined]
            count = len(part_types(item))
            items.append(Value(item, *value.parts[at:at + count]))
            at += count
        self._unrolled(node, plan, items)

    def for_values(self, node: Any, plan: dict[str, Any]) -> None:
        self._unrolled(node, plan, [self.literal(value) for value in plan["values"]])

    def _unrolled(self, node: Any, plan: dict[str, Any], items: list[Value]) -> None:
        after = self.block()
        for item in items:
            again = self.block()
            self.set_target(node.target, self.convert(item, plan["item"]))
            self.loop_body(node.body, again, after)
            self.at = again
        self.goto(after)
        self.at = after

    def for_operation(self, node: Any, plan: dict[str, Any]) -> None:
        site, operation = plan["site"], plan["operation"]
        site.lowering = self
        if operation.style == "inline":
            def each(item: Value, again: ir.Block, after: ir.Block) -> None:
                self.set_target(node.target, item)
                self.loop_body(node.body, again, after)

            operation.lower(self, site, each)
        else:
            self.walked_back(node, plan, lambda function, frame: operation.run(self, site, function, frame),
                             operation.parameters(site), lambda inner, params: operation.lower(inner, site, params))

    def called_back(self, node: Any, plan: dict[str, Any], start: int, stop: int, step: int) -> None:
        """bpf_loop (since Linux 5.17): the body is a function of its own that is called each round."""
        rounds = self.rounds_of(start, stop, step)
        base = self.slot(8, 8, "start")
        self.store(base, start)

        def item(inner: Any, params: list[int]) -> Value:
            index = inner.extend(params[0], "i32")
            if plan["most"] <= MEMORY_LOOP and _has(node.body, (t.Index,)):
                last = inner.number(max(plan["most"] - 1, 0))
                index = inner.op("select", "i64", inner.op("ult", "i1", index, last), index, last)
            if step != 1:
                index = inner.op("mul", "i64", index, inner.number(step))
            first = inner.load("i64", inner.captured_base)
            return Value(plan["item"], inner.op("add", "i64", first, index))

        limited = self.op("select", "i64", self.op("ult", "i1", rounds, self.number(1 << 23)), rounds,
                          self.number(1 << 23))
        self.walked_back(node, plan, lambda function, frame: self.helper(
            181, self.truncate(limited, "i32"), function, frame, self.number(0)), ["i32"], item, base)

    def walked_back(self, node: Any, plan: dict[str, Any], start: Any, parameters: list[str], item: Any,
                    base: int | None = None) -> None:
        """Build the body as a callback; captured variables live in a frame that both sides reach by pointer.

        The frame holds, in 8-byte cells: why the walk ended (0 on, 1 break, 2 return), the returned value's parts, the
        range's start, the context, and every variable that the body mentions.
        """
        frame = self.frame
        names = [n for n in sorted(mentioned(node.body) | set(names_in(node.target)))
                 if n in frame.body.variables and part_types(frame.body.variables[n])]
        result = frame.result_meaning if frame.after is not None else frame.body.result or NOTHING
        returned = list(range(1, 1 + len(part_types(result)) + _null_or_own(result)))
        changed = assigned(node.body) | set(names_in(node.target))
        cells: dict[str, list[int]] = {}
        at = 1 + len(returned) + 2
        for name in names:
            meaning = frame.body.variables[name]
            count = len(part_types(meaning)) + (name in changed and _null_or_own(meaning))
            cells[name] = list(range(at, at + count))
            at += count
        memory = self.slot(at * 8, 8, "frame")
        self.stack_used += at * 8
        self.store(memory, self.number(0))
        for index in range(1, at):
            self.store(memory, self.number(0), index * 8)
        if base is not None:
            self.store(memory, self.load("i64", base), (1 + len(returned)) * 8)
        for name in names:
            if name in frame.slots:
                self.to_cells(memory, cells[name], [self.load(type, slot) for slot, type in frame.slots[name]])
        for name in changed.intersection(names):
            self.must_come_out(node, name, frame.body.variables[name])
            self.make_room(memory, frame.body.variables[name], cells[name], name in frame.slots)
        if _has(node.body, (t.Return,)):
            self.must_come_out(node, "what is returned", result)
            self.make_room(memory, result, returned, False)
        function = self.callback(node, parameters, cells, returned, item, memory)
        start(function, memory)
        for name in names:
            if name not in changed:
                continue
            self.take_cells(memory, cells[name], self.declare(frame, name))
        why = self.load("i64", memory)
        with self.when(self.op("eq", "i1", why, self.number(2))):
            slots = [(self.slot(8, 8, "result"), type) for type in part_types(result)]
            self.take_cells(memory, returned, slots)
            parts = [self.load(type, slot) for slot, type in slots]
            self.leave_scopes(0)
            if frame.after is not None:
                for (slot, _), part in zip(frame.result, parts, strict=True):
                    self.store(slot, part)
                self.goto(frame.after)
            else:
                self.give_back(Value(frame.body.result or NOTHING, *parts) if parts else None)

    def must_come_out(self, node: Any, what: str, meaning: Meaning) -> None:
        """Refuse what neither stays where it is nor can be copied out of the callback."""
        if "mixed" in _spaces(meaning):
            self.frame.body.source.refuse(
                node, f"{what} may be a map's or the program's own: it does not come out of this loop",
                "Make a record of your own in every place, as in `Row(value.number, value.text)`.")
        if isinstance(meaning, TupleOf) and "stack" in _spaces(meaning):
            self.frame.body.source.refuse(
                node, f"{what} is a tuple with a record or a text in it: it does not come out of this loop",
                "Keep each in a variable of its own.")

    def make_room(self, memory: int, meaning: Meaning, places: list[int], filled: bool) -> None:
        """Room on this side for what a variable's bytes are after each round: no pointer comes out of a callback."""
        size, _ = _own_bytes(meaning)
        if not size:
            return
        place = self.memory(size, "kept")
        self.fill(place, size)
        if filled:
            self.copy_present(meaning, memory, places, place, self.load("ptr", memory, places[-1] * 8))
        self.store(memory, place, places[-1] * 8)

    def copy_present(self, meaning: Meaning, memory: int, places: list[int], target: int, source: int) -> None:
        """The variable's bytes, if it has any: whether it is None is a cell of its own."""
        size, align = _own_bytes(meaning)
        if len(places) > 1:
            with self.when(self.from_cell(memory, places[0], "i1")):
                self.copy(target, source, size, 8, align)
        else:
            self.copy(target, source, size, 8, align)

    def to_cells(self, memory: int, places: list[int], parts: list[int]) -> None:
        """A variable's parts. A pointer that may be null has a cell before it that says whether it is not."""
        if len(places) > len(parts):
            parts = [self.op("ne", "i1", parts[0], self.null()), *parts]
        for place, part in zip(places, parts, strict=True):
            self.store(memory, self.cell_value(part), place * 8)

    def take_cells(self, memory: int, places: list[int], slots: list[tuple[int, str]]) -> None:
        """The parts as `to_cells`, or a round, left them."""
        if len(places) > len(slots):
            present, place = self.from_cell(memory, places[0], "i1"), self.load("ptr", memory, places[1] * 8)
            self.store(slots[0][0], self.op("select", "ptr", present, place, self.null()))
            return
        for place, (slot, type) in zip(places, slots, strict=True):
            self.store(slot, self.from_cell(memory, place, type))

    def cell_value(self, value: int) -> int:
        return self.op("zext", "i64", value) if self.type_of(value) == "i1" else value

    def from_cell(self, memory: int, cell: int, type: str) -> int:
        if type == "i1":
            return self.op("trunc", "i1", self.load("i64", memory, cell * 8))
        return self.load(type, memory, cell * 8)

    def callback(self, node: Any, parameters: list[str], cells: dict[str, list[int]], returned: list[int],
                 item: Any, frame: int) -> int:
        """A static function (parameters..., frame) -> 0 to go on, 1 to stop, with the loop's body in it."""
        name = self.sink.fresh(f"{self.frame.body.name}_loop")
        params = [(f"p{i}", type) for i, type in enumerate(parameters)] + [("frame", "ptr")]
        out = ir.Function(name, params, "i64", static=True, line=node.line, file=self.frame.file)
        inner = self.callback_lowering(out)
        inner.sink.add(out)
        inner.span = self.span
        inner.frame.file = self.frame.file
        inner.frame.result_meaning = self.frame.result_meaning
        memory = len(parameters)
        inner.context_cell = inner.pointer(memory, (2 + len(returned)) * 8)
        inner.captured_base = inner.pointer(memory, (1 + len(returned)) * 8)
        for variable, places in cells.items():
            types = part_types(self.frame.body.variables[variable])
            slots = [(inner.slot(8, 8, variable), type) for type in types]
            inner.frame.slots[variable] = slots
            inner.take_cells(memory, places, slots)
        inner.finish_callback(node, memory, cells, returned, item(inner, list(range(len(parameters)))),
                              self.frame.after is not None)
        if inner.asked_context:
            self.store(frame, self.context(), (2 + len(returned)) * 8)
        return self.op("function", "ptr", name)

    captured_base: int = 0

    def finish_callback(self, node: Any, memory: int, cells: dict[str, list[int]], results: list[int],
                        item: Value, inlined: bool) -> None:
        frame = self.frame
        store_back, stop = self.block(), self.block()
        result_meaning = frame.result_meaning if inlined else frame.body.result or NOTHING
        frame.result = [(self.slot(8, 8, "result"), type) for type in part_types(result_meaning)]
        for slot, type in frame.result:
            self.store(slot, self.null() if type == "ptr" else self.number(0, type))
        frame.result_meaning = result_meaning
        status = self.slot(8, 8, "status")
        self.store(status, self.number(0))
        returned = self.block()
        frame.after = returned
        self.set_target(node.target, item)
        frame.loops.append({"continue": store_back, "break": stop, "depth": 0})
        self.block_of(node.body)
        frame.loops.pop()
        self.goto(store_back)
        self.at = stop
        self.store(memory, self.number(1))
        self.store(status, self.number(1))
        self.goto(store_back)
        self.at = returned
        self.leave_cells(memory, result_meaning, results, frame.result)
        self.store(memory, self.number(2))
        self.store(status, self.number(1))
        self.goto(store_back)
        self.at = store_back
        changed = assigned(node.body) | set(names_in(node.target))
        for name, places in cells.items():
            if name not in changed:
                continue
            self.leave_cells(memory, frame.body.variables[name], places, frame.slots[name])
        self.effect("return", self.load("i64", status))
        self.entry.ops.append(ir.Op("goto", "void", (1,), -1, ir.Span(0, 0)))


    def leave_cells(self, memory: int, meaning: Meaning, places: list[int], slots: list[tuple[int, str]]) -> None:
        """A callback's variable to where the other side finds it: bytes of its own are copied there."""
        parts = [self.load(type, slot) for slot, type in slots]
        if not _own_bytes(meaning)[0]:
            self.to_cells(memory, places, parts)
            return
        kept = self.load("ptr", memory, places[-1] * 8)
        if len(places) > 1:
            present = parts[0] if len(parts) > 1 else self.op("ne", "i1", parts[0], self.null())
            self.store(memory, self.cell_value(present), places[0] * 8)
        self.copy_present(meaning, memory, places, kept, parts[-1])


def _limit(node: Any, most: bool) -> int:
    meaning = node.meaning if isinstance(node.meaning, Integer) else Integer(0, 1)
    return meaning.high if most else meaning.low


def _masked(node: Any) -> bool:
    """Whether a number is cut by a mask that LLVM keeps."""
    if not isinstance(node, t.Binary) or node.operator != "&":
        return False
    left, mask = node.left.meaning, node.right.meaning
    return isinstance(left, Integer) and isinstance(mask, Integer) and (left.low < 0 or left.high > mask.high)


def _branches(nodes: Any) -> bool:
    """Whether statements have more than one way through."""
    return _has(nodes, (t.If, t.Conditional, t.While, t.Match, t.BoolOp))


def _has(nodes: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a node of these kinds is among statements or in them."""
    work = list(nodes)
    while work:
        node = work.pop()
        if isinstance(node, kinds):
            return True
        if isinstance(node, (list, tuple)):
            work.extend(node)
        elif isinstance(node, t.Node):
            work.extend(getattr(node, field) for field in getattr(node, "fields", ()))
    return False


def _own_bytes(meaning: Meaning) -> tuple[int, int]:
    """Size and alignment of what a variable points to on its function's own stack; 0 for everything else."""
    inner = meaning.inner if isinstance(meaning, Optional) else meaning
    if not isinstance(inner, Reference) or inner.space != "stack":
        return 0, 1
    return inner.ctype.size, 8 if isinstance(inner.ctype, (CharArray, AddressType)) else inner.ctype.align


def _null_or_own(meaning: Meaning) -> bool:
    """Whether a variable is a null pointer or one to bytes of its own."""
    return isinstance(meaning, Optional) and is_pointer(meaning.inner) and _own_bytes(meaning)[0] > 0


def _spaces(meaning: Meaning) -> set[str]:
    """Where the memory is that a value points to."""
    match meaning:
        case Reference(space=space):
            return {space}
        case Optional(inner=inner):
            return _spaces(inner)
        case TupleOf(items=items):
            return set().union(*map(_spaces, items))
    return set()

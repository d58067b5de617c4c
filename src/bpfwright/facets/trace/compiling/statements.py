"""Statements: assignments, branches, loops."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling import functions, maps
from bpfwright.facets.trace.compiling.arithmetic import operation
from bpfwright.facets.trace.compiling.checker import Checker, Done, Spoiled
from bpfwright.facets.trace.compiling.code import Code, Loop, Variable
from bpfwright.facets.trace.compiling.typed import INT64, UINT64, Typed, is_number, refuse
from bpfwright.facets.trace.types import Aggregate, Integer, Nothing, Pointer, Struct

__all__ = ["conditional", "evaluated", "statement"]

UNSET = Integer(1, False)
"""What a variable holds that is declared without a value: the smallest number, until it is given something."""
_WALKED, _WALKED_EARLIER = 16, 64
"""A loop over a range of at most so many rounds is left to the verifier to walk; before number iterators, of more."""
_WALKED_AT_MOST = 1000
"""How many rounds a loop has where the kernel has no may_goto (before 6.9)."""


def statement(checker: Checker, node: Any) -> Done:
    """One statement."""
    if isinstance(node, tree.Expression):
        return evaluated(checker, node)
    return _STATEMENTS[type(node)](checker, node)


def evaluated(checker: Checker, node: tree.Expression) -> Done:
    """An expression for its effect."""
    match node:
        case tree.Block():
            return checker.block(node)
        case tree.If():
            return conditional(checker, node)
    typed = checker.expression(node)
    if not isinstance(typed.type, Nothing) and not isinstance(node, (tree.Update, tree.Ternary, tree.Call)):
        checker.known.warn(node.span, "this value is not used", "Assign it, or write `_ = ...`.")

    def emit(code: Code) -> None:
        typed.emit(code)
    return emit


def _evaluate(checker: Checker, node: tree.Evaluate) -> Done:
    return evaluated(checker, node.expression)


def _discard(checker: Checker, node: tree.Discard) -> Done:
    typed = checker.expression(node.value)

    def emit(code: Code) -> None:
        typed.emit(code)
    return emit


# ------------------------------------------------------------------------------------------------------- assignments


def _let(checker: Checker, node: tree.Let) -> Done:
    if checker.scopes.here(node.name) is not None:
        raise refuse(node.span, f"`${node.name}` is declared already", "Leave the `let` away, or use another name.")
    fixed = checker.type(node.type) if node.type is not None else None
    typed = checker.value(node.value) if node.value is not None else None
    if isinstance(fixed, Struct):
        raise refuse(node.span, f"a variable cannot be declared as `{fixed}`",
                     "Assign what a pointer points to: `$x = *$p`.")
    if typed is not None:
        typed = checker.as_number(typed)
        variable = checker.declare(node.name, fixed or typed.type, node.span, fixed=fixed is not None)
        checker.widen(variable, typed)
        return _set(variable, typed)
    known = fixed if fixed is not None else UNSET
    variable = checker.declare(node.name, known, node.span, fixed=fixed is not None)
    variable.unset = fixed is None and variable.type == UNSET
    return lambda code: code.clear(variable)


def _set(variable: Variable, typed: Typed) -> Done:
    return lambda code: code.put_variable(variable, typed)


def _assign(checker: Checker, node: tree.Assign) -> Done:
    target = node.target
    if isinstance(target, tree.Variable):
        return _assign_variable(checker, node, target)
    if isinstance(target, tree.MapName) or (isinstance(target, tree.Index) and isinstance(target.object, tree.MapName)):
        return _assign_entry(checker, node, target)
    raise refuse(target.span, "this cannot be assigned to", "Variables (`$x`) and maps (`@x`) can.")


def _assign_variable(checker: Checker, node: tree.Assign, target: tree.Variable) -> Done:
    found = checker.scopes.find(target.name)
    if node.operator != "=":
        if found is None:
            raise checker.unknown_variable(target)
        typed = operation(checker, node.operator[:-1], checker.value(target), checker.value(node.value), node.span)
    else:
        if functions.is_gathering(node.value):
            raise refuse(node.value.span, "what maps gather is kept in a map", f"Write `@{target.name} = ...`.")
        typed = checker.as_number(checker.value(node.value))
    if found is None:
        found = checker.declare(target.name, typed.type, target.span)
    elif found.unset and found.key is not None and found.type != typed.type:
        found.type = checker.known.variables[found.key] = typed.type
        checker.known.changed = True
    found.unset = False
    checker.widen(found, typed)
    return _set(found, typed)


def _assign_entry(checker: Checker, node: tree.Assign, target: tree.Expression) -> Done:
    if functions.is_gathering(node.value):
        if node.operator != "=":
            raise refuse(node.span, f"`{node.operator}` does not go with what maps gather", "Write `=`.")
        made: Done = functions.gathered(checker, maps.entry_of(checker, target), node.value)
        return made
    if node.operator in ("+=", "-="):
        return _added(checker, node, target)
    if node.operator != "=":
        before = checker.value(target)
        typed = operation(checker, node.operator[:-1], before, checker.value(node.value), node.span)
    else:
        typed = checker.value(node.value)
        if isinstance(typed.type, Aggregate) and hasattr(type(typed.type), "counters"):
            raise refuse(node.value.span, f"`{typed.type}` cannot be copied", "Only its map can be printed.")
        typed = checker.as_number(typed)
    entry = maps.entry_of(checker, target)
    if isinstance(entry.facts.value, Aggregate):
        raise refuse(node.span, f"@{entry.facts.name} holds `{entry.facts.value}`, which is not assigned to",
                     "Use another map for plain values.")
    checker.known.valued(entry.facts, typed.type, node.value.span)
    return lambda code: entry.store(code, typed)


def _added(checker: Checker, node: tree.Assign, target: tree.Expression) -> Done:
    """`+=` and `-=` need no reading first, and lose nothing when two CPUs do it at once."""
    amount = checker.as_number(checker.value(node.value))
    entry = maps.entry_of(checker, target)
    known = entry.facts.value
    if isinstance(known, Aggregate):
        raise refuse(node.span, f"@{entry.facts.name} holds `{known}`", f"Write `@{entry.facts.name} = sum(...)`.")
    if isinstance(known, Pointer):
        size = known.to.size
        return lambda code: _drop(maps.added(code, entry, _signed(code, node, code.op(
            "mul", "i64", code.number_of(amount), code.number(max(1, size))))))
    if not is_number(amount.type):
        raise refuse(amount.span, f"`{node.operator}` takes a number, not `{amount.type}`",
                     checker.cure_for(amount.type))
    signed = bool(getattr(amount.type, "signed", False)) or node.operator == "-="
    if known is None:
        checker.known.valued(entry.facts, INT64 if signed else UINT64, node.span)
    elif node.operator == "-=" and known == UINT64:
        checker.known.valued(entry.facts, INT64, node.span)
    elif is_number(known) and known.size < 8:
        checker.known.valued(entry.facts, Integer(8, bool(getattr(known, "signed", False)) or signed), node.span)
    elif not is_number(known):
        raise refuse(node.span, f"@{entry.facts.name} holds `{known}`, to which nothing is added",
                     checker.cure_for(known))
    return lambda code: _drop(maps.added(code, entry, _signed(code, node, code.number_of(amount))))


def _signed(code: Code, node: tree.Assign, amount: int) -> int:
    return amount if node.operator == "+=" else code.op("sub", "i64", code.number(0), amount)


def _drop(value: int) -> None:
    del value


# ---------------------------------------------------------------------------------------------------------- branches


def conditional(checker: Checker, node: tree.If) -> Done:
    """`if`, `else if`, `else`; a condition that is known decides while compiling."""
    arms: list[tuple[Typed, Done]] = []
    spoiled: Spoiled | None = None
    for branch in node.branches:
        try:
            condition = checker.scalar(branch.condition, "a condition")
        except Spoiled as problem:  # the body may say what the condition waits for
            spoiled = problem
            checker.block(branch.body)
            continue
        comptime = isinstance(branch.condition, tree.Comptime)
        if comptime and isinstance(condition.constant, int):
            if condition.constant:
                last = checker.block(branch.body)
                return _arms(arms, last)
            continue
        if condition.constant == 0 and isinstance(condition.constant, int):
            checker.host.unreached += 1
            body = checker.block(branch.body)
            checker.host.unreached -= 1
        else:
            body = checker.block(branch.body)
        arms.append((condition, body))
    otherwise = checker.block(node.other) if node.other is not None else None
    if spoiled is not None:
        raise spoiled
    return _arms(arms, otherwise)


def _arms(arms: list[tuple[Typed, Done]], last: Done | None) -> Done:
    def emit(code: Code) -> None:
        after = code.block()
        for condition, body in arms:
            then, following = code.block(), code.block()
            code.branch(code.truth(condition), then, following)
            code.at = then
            body(code)
            code.goto(after)
            code.at = following
        if last is not None:
            last(code)
        code.goto(after)
        code.at = after
    return emit


def _if(checker: Checker, node: tree.If) -> Done:
    return conditional(checker, node)


# ------------------------------------------------------------------------------------------------------------- loops


def _body(checker: Checker, node: tree.Block) -> Done:
    checker.loops += 1
    try:
        return checker.block(node)
    finally:
        checker.loops -= 1


def _looped(code: Code, body: Done, again: Any, after: Any) -> None:
    """The body of a loop, with what `break` and `continue` do."""
    code.loops.append(Loop(lambda: code.goto(again), lambda: code.goto(after)))
    body(code)
    code.loops.pop()
    code.goto(again)


def _budget(code: Code, after: Any) -> None:
    """At the head of a loop that the verifier cannot walk: the kernel ends it after 8 million rounds."""
    if code.unit.has("may_goto"):
        on, over = code.block(), code.block()
        code.branch(code.op("may_goto", "i1"), over, on)
        code.at = over
        code.count_up("unfinished", "")
        code.goto(after)
        code.at = on
        return
    rounds = code.slot(8, 8, "rounds")
    code.zeroed(rounds)
    count = code.load("i64", rounds)
    on, over = code.block(), code.block()
    code.branch(code.op("ult", "i1", count, code.number(_WALKED_AT_MOST)), on, over)
    code.at = over
    code.count_up("unfinished", "")
    code.goto(after)
    code.at = on
    code.store(rounds, code.op("add", "i64", count, code.number(1)))


def _changed(checker: Checker, *nodes: tree.Node) -> list[Variable]:
    """The numbers of outside that a loop assigns."""
    found: dict[int, Variable] = {}
    for node in nodes:
        for each in tree.walk(node):
            if isinstance(each, (tree.Assign, tree.Update)) and isinstance(each.target, tree.Variable):
                variable = checker.scopes.find(each.target.name)
                if variable is not None:
                    found[id(variable)] = variable
    return list(found.values())


def _forget(code: Code, changed: list[Variable]) -> None:
    """Before the head of a loop: else the verifier walks as many rounds as the variables have values."""
    for variable in changed:
        if is_number(variable.type):
            code.forget(code.variable(variable))


def _while(checker: Checker, node: tree.While) -> Done:
    changed = _changed(checker, node.condition, node.body)
    condition = checker.scalar(node.condition, "a condition")
    body = _body(checker, node.body)

    def emit(code: Code) -> None:
        head, inside, again, after = code.block(), code.block(), code.block(), code.block()
        _forget(code, changed)
        code.goto(head)
        code.at = head
        _budget(code, after)
        code.branch(code.truth(condition), inside, after)
        code.at = inside
        _looped(code, body, again, after)
        code.at = again
        _forget(code, changed)
        code.goto(head)
        code.at = after
    return emit


def _unroll(checker: Checker, node: tree.Unroll) -> Done:
    count = checker.known_number(node.count, "how often `unroll` repeats")
    if not 1 <= count <= 100:
        raise refuse(node.count.span, f"`unroll` repeats from 1 to 100 times, not {count}", "Write `for ($i : 0..n)`.")
    body = _body(checker, node.body)

    def emit(code: Code) -> None:
        after = code.block()
        for _ in range(count):
            following = code.block()
            with code.statement():
                _looped(code, body, following, after)
            code.at = following
        code.goto(after)
        code.at = after
    return emit


def _for(checker: Checker, node: tree.For) -> Done:
    if isinstance(node.over, tree.Range):
        return _for_range(checker, node, node.over)
    return _for_map(checker, node, node.over)


def _for_range(checker: Checker, node: tree.For, over: tree.Range) -> Done:
    start, end = (checker.number(side, "a range's end") for side in (over.start, over.end))
    signed = any(bool(getattr(side.type, "signed", False)) for side in (start, end))
    checker.scopes.enter()
    try:
        variable = checker.declare(node.name, INT64 if signed else UINT64, node.span, fixed=True)
        body = _body(checker, node.body)
    finally:
        checker.scopes.leave()
    changed = _changed(checker, node.body)
    known = None
    if isinstance(start.constant, int) and isinstance(end.constant, int):
        known = end.constant - start.constant
    long = known is None or known > (_WALKED if checker.host.has_feature("iter_num") else _WALKED_EARLIER)
    by_callback = long and not checker.host.has_feature("iter_num") and checker.host.has_feature("bpf_loop")
    checker.uses_frame |= by_callback

    def emit(code: Code) -> None:
        first, end_ = code.number_of(start), code.number_of(end)
        if by_callback:
            from bpfwright.facets.trace.compiling.walking import repeat
            repeat(code, variable, first, end_, signed, body, node)
        elif long and code.unit.has("iter_num"):
            _iterated(code, variable, first, end_, signed, body, changed)
        else:
            _counted(code, variable, first, end_, signed, body, long)
    return emit


def _iterated(code: Code, variable: Variable, first: int, last: int, signed: bool, body: Done,
              changed: list[Variable]) -> None:
    """A range by the kernel's own number iterator: the verifier settles the body, however often it goes round."""
    from bpfwright.lang.calls import iter_num
    some = code.op("slt" if signed else "ult", "i1", first, last)
    rounds = code.op("select", "i64", some, code.op("sub", "i64", last, first), code.number(0))
    base = code.slot(8, 8, "first")
    code.store(base, first)
    numbers = iter_num(code, rounds)
    head, inside, again, after = code.block(), code.block(), code.block(), code.block()
    _forget(code, changed)
    code.goto(head)
    code.at = head
    found = numbers.next()
    code.branch(code.is_null(found), after, inside)
    code.at = inside
    index = code.extend(code.load("i32", found, 0, 4), "i32")
    code.store(code.variable(variable), code.op("add", "i64", code.load("i64", base), index))
    leave = code.leave

    def let_go() -> None:
        numbers.destroy()
        leave()

    code.leave = let_go
    _looped(code, body, again, after)
    code.leave = leave
    code.at = again
    _forget(code, changed)
    code.goto(head)
    code.at = after
    numbers.destroy()


def _counted(code: Code, variable: Variable, first: int, end: int, signed: bool, body: Done, budget: bool) -> None:
    """A range by a counter: the verifier walks it, unless it is told to stop."""
    index, last = code.slot(8, 8, "index"), code.slot(8, 8, "last")
    code.store(index, first)
    code.store(last, end)
    head, inside, again, after = code.block(), code.block(), code.block(), code.block()
    code.goto(head)
    code.at = head
    if budget:
        _budget(code, after)
    now = code.load("i64", index)
    code.branch(code.op("slt" if signed else "ult", "i1", now, code.load("i64", last)), inside, after)
    code.at = inside
    code.store(code.variable(variable), now)
    _looped(code, body, again, after)
    code.at = again
    code.store(index, code.op("add", "i64", code.load("i64", index), code.number(1)))
    code.goto(head)
    code.at = after


def _for_map(checker: Checker, node: tree.For, over: tree.Expression) -> Done:
    if not isinstance(over, tree.MapName):
        raise refuse(over.span, "`for` goes over a map or a range", "Write `for ($kv : @map)` or `for ($i : 0..10)`.")
    from bpfwright.facets.trace.compiling import walking
    return walking.walk(checker, node, over, _body)


def _break(checker: Checker, node: tree.Break) -> Done:
    if not checker.loops:
        raise refuse(node.span, "`break` stands outside of a loop", "It leaves `for`, `while` and `unroll`.")
    return lambda code: code.loops[-1].leave()


def _continue(checker: Checker, node: tree.Continue) -> Done:
    if not checker.loops:
        raise refuse(node.span, "`continue` stands outside of a loop", "It goes on with the next round of a loop.")
    return lambda code: code.loops[-1].again()


def _return(checker: Checker, node: tree.Return) -> Done:
    if node.value is None:
        return lambda code: code.leave()
    typed = checker.value(node.value)
    made: Done = functions.returned(checker, node, typed)
    return made


def _import(checker: Checker, node: tree.Import) -> Done:
    del checker, node
    return lambda code: None


_STATEMENTS: dict[type, Callable[[Checker, Any], Done]] = {
    tree.Evaluate: _evaluate, tree.Discard: _discard, tree.Let: _let, tree.Assign: _assign, tree.If: _if,
    tree.While: _while, tree.Unroll: _unroll, tree.For: _for, tree.Break: _break, tree.Continue: _continue,
    tree.Return: _return, tree.Import: _import,
}

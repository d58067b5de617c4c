"""Functions that the script declares (`fn`): their bodies are put where they are called."""
from __future__ import annotations

from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.checker import Checker, Done
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.scope import Scopes
from bpfwright.facets.trace.compiling.typed import Operand, Typed, is_scalar, refuse
from bpfwright.facets.trace.types import Nothing

__all__ = ["call", "returned"]

_DEEPEST = 16


def call(checker: Checker, node: tree.Call, declared: tree.Function) -> Typed:
    """The call, with parameters as variables of its own."""
    if len(checker.calling) >= _DEEPEST or declared.name in checker.calling:
        raise refuse(node.span, f"`{declared.name}` calls itself",
                     "Programs in the kernel do not recurse: write a loop.")
    given = [checker.as_number(checker.value(argument)) for argument in node.arguments]
    kind = checker.type(declared.result)
    outer, checker.scopes = checker.scopes, Scopes()
    loops, checker.loops = checker.loops, 0
    returns, checker.returns = checker.returns, kind
    checker.calling.append(declared.name)
    try:
        parameters = []
        for parameter, typed in zip(declared.parameters, given, strict=True):
            wanted = checker.type(parameter.type) if parameter.type is not None else typed.type
            variable = checker.declare(parameter.name, wanted, parameter.span, fixed=True)
            checker.widen(variable, typed)
            parameters.append((variable, typed))
        body = checker.block(declared.body)
    finally:
        checker.scopes, checker.loops, checker.returns = outer, loops, returns
        checker.calling.pop()
    result = checker.result_of(declared.name, kind)

    def emit(code: Code) -> Operand:
        for variable, typed in parameters:
            code.put_variable(variable, typed)
        if not isinstance(kind, Nothing):
            place = code.variable(result)
            code.store(place, code.number(0)) if is_scalar(kind) else code.zero(place, kind.size)
        after = code.block()
        leave, code.leave = code.leave, lambda: code.goto(after)
        results, code.result = code.result, result
        body(code)
        code.goto(after)
        code.at = after
        code.leave, code.result = leave, results
        if isinstance(kind, Nothing):
            return Operand()
        place = code.variable(result)
        return Operand(value=code.load("i64", place)) if is_scalar(kind) else Operand(memory=place)
    return Typed(kind, node.span, emit)


def returned(checker: Checker, node: tree.Return, typed: Typed) -> Done:
    """`return value`: of a function, or of a probe, where only tests look at it."""
    if checker.returns is None:
        if not is_scalar(typed.type):
            raise refuse(node.span, f"a probe returns a number, not `{typed.type}`")

        def leave(code: Code) -> None:
            code.leave_with(code.number_of(typed))
        return leave
    kind = checker.returns
    if isinstance(kind, Nothing):
        raise refuse(node.span, "this function returns nothing", "It is declared with `: void`.")

    def emit(code: Code) -> None:
        assert code.result is not None
        code.put_variable(code.result, typed)
        code.leave()
    return emit

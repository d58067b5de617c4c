"""Calls: operations, structs that are made, functions of the script that are inlined, subprograms."""
from __future__ import annotations

from enum import IntEnum
from types import FunctionType

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.lang import builtin
from bpfwright.lang import tree as t
from bpfwright.lang.build import part_types
from bpfwright.lang.fitting import NUMBERS
from bpfwright.lang.members import Members
from bpfwright.lang.scope import MISSING, Scope
from bpfwright.lang.site import CallSite
from bpfwright.spec.dialect import Loop, Operation, Property
from bpfwright.spec.dialect import Scope as ScopeOperation
from bpfwright.spec.meaning import (
    NOTHING,
    Constant,
    ContextOf,
    Meaning,
    Optional,
    Reference,
    describe,
    meaning_of,
)
from bpfwright.types.address import Address
from bpfwright.types.ctype import (
    Bool,
    CType,
    EnumType,
    Int,
    Maybe,
    Opaque,
    RecordType,
)

__all__ = ["Calling", "declared_result"]


class Calling(Members):
    """The part of the checker that calls."""

    job: Any
    scope: Scope
    stack: tuple[FunctionType, ...]

    # calls

    def of_call(self, node: Any) -> Meaning:
        node.operation = node.inlined = node.call = None
        function = node.function
        if isinstance(function, t.Attribute):
            owner = self.infer(function.object)
            operation = self.operation(owner, function.name)
            if operation is not None and not isinstance(operation, Property):
                return self.operate(node, operation, owner, function.object)
            if isinstance(owner, Optional):
                self.refuse(function.object, f"this may be None: {describe(owner)}",
                            "Test it first: `if x is None: return`.")
        meaning = self.infer(function)
        if not isinstance(meaning, Constant):
            self.refuse(node, f"{describe(meaning)} cannot be called", "Call a function of this module, or a helper.")
        return self.call_object(node, meaning.value)

    def operate(self, node: Any, operation: Operation, owner: Meaning, owner_node: Any) -> Meaning:
        if isinstance(operation, ScopeOperation):
            self.refuse(node, "this belongs into a `with` statement", "Write `with ... as name:`.")
        if isinstance(operation, Loop):
            self.refuse(node, "this belongs into a `for` statement", "Write `for ... in ...:`.")
        site = CallSite(self, node, operation, owner, owner_node, node.args, node.keywords)
        node.call = site
        return self.perform(site, operation)

    def call_object(self, node: Any, value: object) -> Meaning:
        operation = getattr(value, "__operation__", None) or builtin.FUNCTIONS.get(_identity(value))
        if isinstance(operation, Operation):
            return self.operate(node, operation, Constant(value), node.function)
        if isinstance(value, Int):
            return self.operate(node, builtin.conversion(value), Constant(value), node.function)
        if isinstance(value, type) and issubclass(value, Address):
            return self.operate(node, builtin.address(value), Constant(value), node.function)
        if isinstance(value, type):
            return self.construct(node, value)
        if isinstance(value, FunctionType):
            return self.call_function(node, value)
        name = getattr(value, "__name__", type(value).__name__)
        self.refuse(node, f"{name}() cannot be called in a kernel program", builtin.CURES.get(name, ""))

    def construct(self, node: Any, cls: type[Any]) -> Meaning:
        if issubclass(cls, IntEnum):
            site = builtin.enumeration(cls)
            return self.operate(node, site, Constant(cls), node.function)
        if not hasattr(cls, "__layout__") or hasattr(cls, "__kernel_name__"):
            self.refuse(node, f"{cls.__name__} cannot be made in a kernel program",
                        builtin.CURES.get(cls.__name__, "Structs, unions and enums can."))
        record = RecordType(cls)
        names = [n for n, field in record.cls.__layout__().fields.items() if not isinstance(field.type, Opaque)]
        if getattr(cls, "__union__", False):
            names = []
        if len(node.args) > len(names):
            self.refuse(node, f"{cls.__name__} takes {len(names)} values, not {len(node.args)}",
                        f"They are: {', '.join(names)}." if names else "Make it empty, then assign one member.")
        given = dict(zip(names, node.args, strict=False))
        for name, value in node.keywords.items():
            if name not in names:
                self.refuse(value, f"{cls.__name__} has no member {name!r}", self.close(name, names))
            if name in given:
                self.refuse(value, f"{name} is given twice", "Remove one of them.")
            given[name] = value
        defaults = getattr(cls, "__defaults__", {})
        for name in names:
            if name in given:
                self.fit(given[name], self.infer(given[name]), self.field(node, record, name).type)
            elif name not in defaults:
                self.refuse(node, f"{cls.__name__}: {name} is missing", f"Write {cls.__name__}({', '.join(names)}).")
        node.call = {"record": record, "given": given, "defaults": {n: defaults[n] for n in names if n not in given}}
        return Reference(record, "stack")

    def call_function(self, node: Any, function: FunctionType) -> Meaning:
        if getattr(function, "__kfunc__", False):
            from bpfwright.lang.calls import check_kfunc
            return check_kfunc(self, node, function)
        if function in self.stack:
            self.refuse(node, f"{function.__name__} calls itself", "Write a loop: the kernel has no recursion.")
        params = self.arguments(node, function)
        if getattr(function, "__subprogram__", False):
            return self.call_subprogram(node, function, params)
        from bpfwright.lang.check import Checker
        inner = Checker(self.job, function, self.stack)
        inner.locks, inner.kernel_locks = list(self.locks), self.kernel_locks
        inner.held, inner.depth = self.still_held(), self.depth
        inner.result_type = declared_result(inner.scope)
        node.inlined = inner.run(params, None, function.__name__)
        self.frames = max(self.frames, node.inlined.frames)
        self.leaves = self.leaves or node.inlined.leaves
        if node.inlined.moves:
            self.move_packet()
        return node.inlined.result or NOTHING

    def arguments(self, node: Any, function: FunctionType) -> list[tuple[str, Meaning]]:
        """Match a call's arguments to a Python function's parameters."""
        code = function.__code__
        names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
        if code.co_flags & 0x0C:
            self.refuse(node, f"{function.__name__} takes *args or **kwargs", "Name each argument.")
        if len(node.args) > code.co_argcount:
            self.refuse(node, f"{function.__name__} takes {code.co_argcount} arguments, not {len(node.args)}",
                        f"They are: {', '.join(names)}.")
        given = dict(zip(names, node.args, strict=False))
        for name, value in node.keywords.items():
            if name not in names:
                self.refuse(value, f"{function.__name__} has no argument {name!r}",
                            self.close(name, names) or f"They are: {', '.join(names)}.")
            given[name] = value
        defaults = dict(zip(names[code.co_argcount - len(function.__defaults__ or ()):code.co_argcount],
                            function.__defaults__ or (), strict=True))
        defaults.update(function.__kwdefaults__ or {})
        node.call = {}
        scope = Scope(function)
        params: list[tuple[str, Meaning]] = []
        moves: dict[str, int] = {}
        for name in names:
            if name in given:
                meaning = self.infer(given[name])
                moves[name] = self.moves
                node.call[name] = given[name]
            elif name in defaults:
                meaning = self.constant(node, defaults[name])
                node.call[name] = defaults[name]
            else:
                self.refuse(node, f"{function.__name__}: the argument {name!r} is missing",
                            f"It takes: {', '.join(names)}.")
            params.append((name, self.declared_parameter(node, given.get(name), scope, name, meaning)))
        for name, meaning in params:
            self.stays(given.get(name, node), meaning, moves.get(name, self.moves))
        return params

    def declared_parameter(self, node: Any, argument: Any, scope: Scope, name: str, meaning: Meaning) -> Meaning:
        """A parameter's meaning: its annotation's width, where it has one, else whatever is passed."""
        annotation = scope.annotation(name)
        if annotation is MISSING or not isinstance(annotation, (CType, Maybe, type)) or annotation is int:
            return meaning
        try:
            ctype = scope.ctype(annotation)
        except UsageError:
            return meaning
        if isinstance(ctype, (Int, Bool, EnumType)) and not isinstance(meaning, Constant):
            self.fit(argument or node, meaning, ctype)
            return meaning_of(ctype, "stack")
        return meaning

    def call_subprogram(self, node: Any, function: FunctionType, params: list[tuple[str, Meaning]]) -> Meaning:
        if sum(len(part_types(m)) for _, m in params) > 5:
            self.refuse(node, "a subprogram takes at most 5 arguments", "Put them into a Struct and pass that.")
        if any(isinstance(m, ContextOf) for _, m in params[1:]):
            self.refuse(node, f"{function.__name__} is a @subprogram, which takes the context first or not at all",
                        f"Write def {function.__name__}(ctx, ...).")
        alone = getattr(function, "__judged_alone__", False)
        if alone and not all(isinstance(m, NUMBERS) or _has_kernel_name(m) for _, m in params):
            self.refuse(node, f"{function.__name__} is @judged_alone, and takes integers only, and a packet's context",
                        "Let it look things up in maps, or make it a @subprogram.")
        scope = Scope(function)
        annotation = scope.annotation("return")
        if annotation is MISSING:
            self.refuse(node, f"{function.__name__} does not say what it returns", "Annotate it: `-> u64`.")
        result: Meaning = NOTHING
        if annotation is not None:
            ctype = scope.ctype(annotation)
            result = meaning_of(ctype, "stack") if isinstance(ctype, CType) else Optional(NOTHING)
            if not isinstance(result, NUMBERS):
                self.refuse(node, f"{function.__name__}: a subprogram returns an integer, a bool or None",
                            "Remove @subprogram: a plain function is inlined and may return anything.")
        node.inlined = None
        if self.kernel_locks:
            self.refuse(node, f"{function.__name__} is a @subprogram, which nothing may call while a spin lock is held",
                        "Remove @subprogram, or call it before the `with`.")
        body = node.operation = self.instance(node, function, [m for _, m in params], result)
        self.enters_frame(node, f"calling {function.__name__}() here", body.frames)
        if body.moves:
            self.move_packet()
        if body.leaves:
            self.leave_program(node)
        return result

    def instance(self, node: Any, function: FunctionType, parameters: list[Meaning], result: Meaning,
                 pointers: Any = None) -> Any:
        """A function of its own in the object: checked once for these parameters.

        `pointers`: (type of a first argument, types that the kernel passes pointers to).
        """
        if not isinstance(function, FunctionType):
            self.refuse(node, "only a function written with `def` can be called back")
        names = function.__code__.co_varnames[:function.__code__.co_argcount]
        if len(names) != len(parameters):
            self.refuse(node, f"{function.__name__} is called with {len(parameters)} arguments, and takes {len(names)}")
        key = (function, tuple(parameters), result, pointers)
        known = self.job.instances.get(key)
        if known is None:
            if function in self.stack:
                self.refuse(node, f"{function.__name__} calls itself", "Write a loop: the kernel has no recursion.")
            from bpfwright.lang.check import Checker
            checker = Checker(self.job, function, self.stack)
            checker.depth = 1 if pointers else self.depth + 1  # what the kernel calls later has a stack of its own
            checker.result_type = declared_result(checker.scope)
            name = self.job.fresh(function.__name__)
            known = self.job.instances[key] = checker.run(list(zip(names, parameters, strict=True)), result, name)
            known.pointers = pointers
        return known


def declared_result(scope: Scope) -> CType | None:
    """The integer or bool that a function says it gives back, be it None as well; None where it says something else."""
    annotation = scope.annotation("return")
    if annotation is MISSING or annotation is None or annotation is int:
        return None
    try:
        found = scope.ctype(annotation)
    except UsageError:
        return None
    ctype = found.inner if isinstance(found, Maybe) else found
    return ctype if isinstance(ctype, (Int, Bool)) else None


def _identity(value: object) -> object:
    """The value as a key of a table; None for what cannot be one."""
    try:
        hash(value)
    except TypeError:
        return None
    return value


def _has_kernel_name(meaning: Meaning) -> bool:
    """Whether it is a context that the kernel knows by its type."""
    return isinstance(meaning, ContextOf) and bool(getattr(meaning.cls, "kernel_name", ""))

"""The dialect's second target: a pure function as native code of this process, called through ctypes."""
from __future__ import annotations

from types import FunctionType

from bpfwright import _cache, _llvm
from bpfwright._native import load_native
from bpfwright._typing import Any, Callable
from bpfwright.errors import UsageError
from bpfwright.lang.capture import Captures
from bpfwright.lang.check import Checker, Job
from bpfwright.lang.compile import compiler_version
from bpfwright.lang.scope import MISSING, Scope
from bpfwright.lang.shapes import shape_of
from bpfwright.lang.target import Target
from bpfwright.lang.unit import Unit
from bpfwright.spec.meaning import NOTHING, Boolean, Integer, meaning_of
from bpfwright.types.ctype import Bool, Int

__all__ = ["library", "native"]


def native(function: Callable[..., Any], *, opt: int = 2) -> Callable[..., int]:
    """Compile a function of integers for this process, with the meaning that it has in the kernel.

    Parameters and result are annotated with integers or bool. It may use everything of the language that needs no
    kernel: no maps, helpers or contexts. Raises CompileError.
    """
    if not isinstance(function, FunctionType):
        raise UsageError(f"{function!r} is not a function")
    scope = Scope(function)
    result = _scalar(scope, function, "return")
    unit = _unit(Captures([function]), opt)
    name, count = _add(unit, function, function.__name__)
    code = load_native(_llvm.compile_native(unit.text(native=True), opt=opt))
    entry = code.words(name, count)

    def call(*arguments: int) -> int:
        passed = [int(a) & ((1 << 64) - 1) for a in arguments]
        return _given_back(entry(*passed), meaning_of(result, "stack"), code)

    return call


def library(functions: dict[str, Callable[..., Any]], *, opt: int = 2) -> bytes:
    """A native object with these functions under the names given; kept in the cache. Raises CompileError.

    Each takes and gives 64-bit words. They may use `spec.memory`: the word `arena` in the loaded object says where that
    memory begins.
    """
    plain: list[Any] = list(functions.values())
    captures = Captures(plain)
    cache = _cache.default()
    key = captures.digest("library", " ".join(functions), str(opt), compiler_version(), _llvm.version())
    found = cache.get(key)
    if found is None:
        unit = _unit(captures, opt)
        for name, function in functions.items():
            _add(unit, function, name)
        found = _llvm.compile_native(unit.text(native=True), opt=opt)
        cache.put(key, found)
    return found


def _unit(captures: Captures, opt: int) -> Unit:
    return Unit(Target(opt=opt, features=frozenset({"any_loop"})), captures.names, captures.configs, shape_of)


def _add(unit: Unit, function: Any, wanted: str) -> tuple[str, int]:
    """Lower a function into the unit; its name there and the number of its parameters."""
    scope = Scope(function)
    names = function.__code__.co_varnames[:function.__code__.co_argcount]
    result = scope.annotation("return")
    job = Job(unit.target)
    job.names = unit.taken
    checker = Checker(job, function)
    checker.result_type = None if result is None else _scalar(scope, function, "return")
    body = checker.run(
        [(name, meaning_of(_scalar(scope, function, name), "stack")) for name in names],
        NOTHING if result is None else meaning_of(_scalar(scope, function, "return"), "stack"), unit.fresh(wanted))
    unit.lower_instance(body)
    unit.module.functions[body.name].static = False
    return body.name, len(names)


def _given_back(word: int, meaning: Any, code: object) -> int:
    del code  # the closure keeps the memory alive
    if isinstance(meaning, Boolean):
        return bool(word)
    assert isinstance(meaning, Integer)
    signed = word - (1 << 64) if word >> 63 else word
    return signed if meaning.low < 0 else word


def _scalar(scope: Scope, function: FunctionType, name: str) -> Int | Bool:
    annotation = scope.annotation(name)
    ctype = None if annotation is MISSING else scope.ctype(annotation)
    if not isinstance(ctype, (Int, Bool)):
        raise UsageError(f"{function.__name__}: {name} must be annotated with an integer or bool",
                         cure="Write `def f(a: u32, b: i64) -> u64:`.")
    return ctype

"""The dialect's second target: a pure function as native code of this process, called through ctypes."""
from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from bpfwright import _llvm
from bpfwright._native import load_native
from bpfwright.errors import UsageError
from bpfwright.lang.capture import Captures
from bpfwright.lang.check import Checker, Job
from bpfwright.lang.scope import MISSING, Scope
from bpfwright.lang.shapes import shape_of
from bpfwright.lang.target import Target
from bpfwright.lang.unit import Unit
from bpfwright.spec.meaning import Boolean, Integer, meaning_of
from bpfwright.types.ctype import Bool, Int

__all__ = ["native"]


def native(function: Callable[..., Any], *, opt: int = 2) -> Callable[..., int]:
    """Compile a function of integers for this process, with the meaning that it has in the kernel.

    Parameters and result are annotated with integers or bool. It may use everything of the language that needs no
    kernel: no maps, helpers or contexts. Raises CompileError.
    """
    if not isinstance(function, FunctionType):
        raise UsageError(f"{function!r} is not a function")
    scope = Scope(function)
    names = function.__code__.co_varnames[:function.__code__.co_argcount]
    types = [_scalar(scope, function, name) for name in names]
    result = _scalar(scope, function, "return")
    captures = Captures([function])
    target = Target(opt=opt)
    unit = Unit(target, captures.names, captures.configs, shape_of)
    job = Job(target)
    job.names = unit.taken
    checker = Checker(job, function)
    checker.result_type = result
    body = checker.run([(n, meaning_of(t, "stack")) for n, t in zip(names, types, strict=True)],
                       meaning_of(result, "stack"), unit.fresh(function.__name__))
    unit.lower_instance(body)
    unit.module.functions[body.name].static = False
    code = load_native(_llvm.compile_native(unit.text(native=True), opt=opt))
    entry = code.words(body.name, len(types))

    def call(*arguments: int) -> int:
        passed = [int(a) & ((1 << 64) - 1) for a in arguments]
        return _given_back(entry(*passed), meaning_of(result, "stack"), code)

    return call


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

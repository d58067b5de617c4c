"""Random trees of whole programs, well formed: what the parser could have made."""
from __future__ import annotations

from hypothesis import strategies as st

from bpfwright.facets.trace import tree
from bpfwright.facets.trace.library import MAP_KINDS
from bpfwright.facets.trace.text import Span, Text
from bpfwright.facets.trace.tree import Block, Expression

AT = Span(Text(""), 0, 0)
"""Spans are no part of what is compared."""

names = st.sampled_from(["a", "b1", "_c", "pid", "AF_INET", "args", "size_of", "ending"])
types: st.SearchStrategy[tree.TypeName] = st.recursive(
    st.builds(tree.NamedType, st.just(AT), st.just(""), st.sampled_from(["uint8", "int64", "string", "unsigned long"]))
    | st.builds(tree.NamedType, st.just(AT), st.sampled_from(["struct", "union", "enum"]), names),
    lambda inner: st.builds(tree.Pointer, st.just(AT), inner)
    | st.builds(tree.Array, st.just(AT), inner, st.none() | st.integers(0, 99)), max_leaves=3)

atoms = (st.builds(tree.Integer, st.just(AT), st.integers(0, (1 << 64) - 1))
         | st.builds(tree.String, st.just(AT), st.binary(max_size=5) | st.text(max_size=4).map(
             lambda text: text.encode("utf-8", "replace")))
         | st.builds(tree.Boolean, st.just(AT), st.booleans())
         | st.builds(tree.Name, st.just(AT), names) | st.builds(tree.Variable, st.just(AT), names)
         | st.builds(tree.MapName, st.just(AT), names | st.just(""))
         | st.builds(tree.Positional, st.just(AT), st.integers(1, 99)) | st.just(tree.PositionalCount(AT)))


def targets(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    """What can be stored in."""
    maps = st.builds(tree.MapName, st.just(AT), names | st.just(""))
    return (st.builds(tree.Variable, st.just(AT), names) | maps
            | st.builds(tree.Index, st.just(AT), maps, st.lists(inner, min_size=1, max_size=2).map(tuple)))


def composed(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    some = st.lists(inner, max_size=3).map(tuple)
    operators = st.sampled_from(["||", "&&", "|", "^", "&", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "+", "-", "*",
                                 "/", "%"])
    # A bare word in `sizeof` may be a type's name: what it is, a later pass tells.
    unclear = types | inner.map(lambda node: tree.Call(AT, "f", (node,)) if isinstance(node, tree.Name) else node)
    fields = st.lists(inner, min_size=1, max_size=3).map(
        lambda values: tuple(tree.Field(AT, name, value) for name, value in zip("abc", values)))
    return (st.builds(tree.Binary, st.just(AT), operators, inner, inner)
            | st.builds(tree.Unary, st.just(AT), st.sampled_from("-!~*&"), inner)
            | st.builds(tree.Update, st.just(AT), st.sampled_from(["++", "--"]), st.booleans(), targets(inner))
            | st.builds(tree.Ternary, st.just(AT), inner, st.none() | inner, inner)
            | st.builds(tree.Cast, st.just(AT), types, inner) | st.builds(tree.Call, st.just(AT), names, some)
            | st.builds(tree.Index, st.just(AT), inner, st.lists(inner, min_size=1, max_size=2).map(tuple))
            | st.builds(tree.Member, st.just(AT), inner, names | st.sampled_from(["for", "if", "struct"]))
            | st.builds(tree.Item, st.just(AT), inner, st.integers(0, 12))
            | st.builds(tree.Tuple, st.just(AT), some) | st.builds(tree.Record, st.just(AT), fields)
            | st.builds(tree.SizeOf, st.just(AT), unclear) | st.builds(tree.TypeInfo, st.just(AT), unclear)
            | st.builds(tree.OffsetOf, st.just(AT), unclear, st.lists(names, min_size=1, max_size=2).map(tuple))
            | st.builds(tree.Comptime, st.just(AT), inner)
            | st.builds(Block, st.just(AT), st.lists(simple(inner), max_size=2).map(tuple), inner)
            | conditionals(inner, st.builds(Block, st.just(AT), st.just(()), inner)))


def conditionals(inner: st.SearchStrategy[Expression], body: st.SearchStrategy[Block]) -> st.SearchStrategy[tree.If]:
    """An `if` with `else`."""
    return st.builds(tree.If, st.just(AT), st.lists(st.builds(tree.Branch, st.just(AT), inner, body), min_size=1,
                                                    max_size=2).map(tuple), body)


def simple(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[tree.Statement]:
    operators = st.sampled_from(["=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "<<=", ">>="])
    return (st.builds(tree.Evaluate, st.just(AT), inner) | st.builds(tree.Discard, st.just(AT), inner)
            | st.builds(tree.Assign, st.just(AT), operators, targets(inner), inner)
            | st.builds(tree.Let, st.just(AT), names, st.none() | types, st.none() | inner)
            | st.builds(tree.Return, st.just(AT), st.none() | inner) | st.just(tree.Break(AT))
            | st.just(tree.Continue(AT)) | st.builds(tree.Import, st.just(AT), st.sampled_from(["a.c", "d/é\".h"])))


expressions = st.recursive(atoms, composed, max_leaves=8)


def blocks(statements: st.SearchStrategy[object]) -> st.SearchStrategy[Block]:
    """Statements, and a value or none."""
    return st.builds(Block, st.just(AT), st.lists(statements, max_size=3).map(tuple), st.none() | expressions)


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    body = blocks(inner)
    ranges = st.builds(tree.Range, st.just(AT), expressions, expressions)
    maps = st.builds(tree.MapName, st.just(AT), names)
    return (conditionals(expressions, body) | body | st.builds(tree.For, st.just(AT), names, ranges | maps, body)
            | st.builds(tree.While, st.just(AT), expressions, body) | st.builds(tree.Unroll, st.just(AT), expressions, body))


bodies = blocks(st.recursive(simple(expressions), nested, max_leaves=4))

words = st.text("abz_09.*?", min_size=1, max_size=6).map(lambda word: "f" + word)
odd = words | st.text("ab :,+{}()<>\"\\", min_size=1, max_size=6).map(lambda word: "f" + word + "x")
paths = st.sampled_from(["/bin/bash", "./a.out", "libc", "/a b/c:d", "*", "/lib/libstdc++.so.6"])
labels = st.just("") | st.sampled_from(["one", "my_probe"])
points: st.SearchStrategy[tree.AttachPoint] = (
    st.builds(tree.Special, st.just(AT), labels, st.sampled_from(["begin", "end"]))
    | st.builds(tree.Labelled, st.just(AT), labels, st.sampled_from(["test", "bench"]), words)
    | st.builds(tree.Signal, st.just(AT), labels, st.just("SIGUSR1"))
    | st.builds(tree.Timer, st.just(AT), labels, st.sampled_from(["interval", "profile"]),
                st.sampled_from(["hz", "s", "ms", "us", "ns"]), st.integers(1, 999) | st.just("$1"))
    | st.builds(tree.Event, st.just(AT), labels, st.just("software"), st.just("page-faults"), st.none() | st.integers(1, 99))
    | st.builds(tree.Tracepoint, st.just(AT), labels, words, words)
    | st.builds(tree.RawTracepoint, st.just(AT), labels, st.just("") | words, words)
    | st.builds(tree.KernelFunction, st.just(AT), labels, st.sampled_from(["kretprobe", "fentry", "fexit"]),
                st.just("") | words, odd, st.just(0))
    | st.builds(tree.KernelFunction, st.just(AT), labels, st.just("kprobe"), st.just(""), names, st.integers(0, 99))
    | st.builds(tree.BpfProgram, st.just(AT), labels, st.just("fexit"), st.none() | st.integers(0, 99), words)
    | st.builds(tree.UserFunction, st.just(AT), labels, st.just("uprobe"), paths, st.sampled_from(["", "cpp"]), odd, st.just(0))
    | st.builds(tree.UserFunction, st.just(AT), labels, st.just("uprobe"), paths, st.just(""), st.just(""), st.integers(0, 1 << 40))
    | st.builds(tree.SourceLine, st.just(AT), labels, paths, st.sampled_from(["a.c", "src/b.c"]), st.integers(1, 99), st.integers(0, 9))
    | st.builds(tree.Usdt, st.just(AT), labels, paths, st.just("") | words, odd)
    | st.builds(tree.Iterator, st.just(AT), labels, st.just("task"), st.sampled_from(["", "list", "/sys/fs/bpf/x"]))
    | st.builds(tree.Watchpoint, st.just(AT), labels, st.just("watchpoint"), st.integers(0, 1 << 60), st.just(""), st.just(0),
                st.sampled_from([1, 2, 4, 8]), st.sampled_from(["r", "rw", "x"]))
    | st.builds(tree.Watchpoint, st.just(AT), labels, st.just("watchpoint"), st.none(), names, st.integers(0, 9), st.just(4),
                st.just("w")))

probes = st.builds(tree.Probe, st.just(AT), st.lists(points, min_size=1, max_size=2).map(tuple), st.none() | expressions, bodies)
macros = st.builds(tree.Macro, st.just(AT), names, st.lists(
    st.builds(tree.Parameter, st.just(AT), st.sampled_from(["", "$", "@"]), names, st.none()), max_size=3,
    unique_by=lambda parameter: (parameter.kind, parameter.name)).map(tuple), bodies)
functions = st.builds(tree.Function, st.just(AT), names, st.lists(
    types, max_size=2).map(lambda given: tuple(tree.Parameter(AT, "$", name, one) for name, one in zip("ab", given))),
    types, bodies)


def several(one: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(one, max_size=2).map(tuple)


programs = st.builds(
    tree.Program, st.just(AT),
    st.sampled_from([(), (tree.Setting(AT, "max_probes", tree.Integer(AT, 5)),)]),
    several(st.just(tree.Import(AT, "x.bt"))),
    several(st.sampled_from(["#include <a.h>", "struct S { int x; };", "enum E { A }", "#define B 1 \\\n 2"]).map(
        lambda text: tree.Definition(AT, text))),
    st.lists(st.builds(tree.MapDeclaration, st.just(AT), names, st.sampled_from(MAP_KINDS), st.integers(1, 1 << 20)),
             max_size=2, unique_by=lambda declared: declared.name).map(tuple),
    several(macros), several(functions), several(probes))

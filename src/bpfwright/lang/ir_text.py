"""The intermediate representation as text, and parsed back: what `trace -d codegen` prints and tests are written in."""
from __future__ import annotations

import json
import re

from bpfwright.errors import FormatError
from bpfwright.lang.ir import Function, Module, Op, Span, operand_kinds

__all__ = ["parse", "render"]


def render(module: Module) -> str:
    """The module as text that `parse` reads back."""
    lines = [f"file {json.dumps(name)}" for name in module.files]
    for function in module.functions.values():
        params = ", ".join(f"{name}: {type}" for name, type in function.params)
        words = [f"function {function.name}({params}) -> {function.result}", f"at {function.file}:{function.line}"]
        words += [f"section {json.dumps(function.section)}"] if function.section else []
        words += ["static"] if function.static else []
        lines.append(" ".join(words))
        for block in function.blocks:
            lines.append(f"^{block.id}")
            lines += ["    " + render_op(op) for op in block.ops]
        lines.append("end")
    return "\n".join(lines) + "\n"


def render_op(op: Op) -> str:
    shown = []
    for kind, arg in operand_kinds(op):
        shown.append({"v": f"%{arg}", "b": f"^{arg}", "n": str(arg)}.get(kind) or json.dumps(arg))
    result = f"%{op.id} = " if op.id >= 0 else ""
    text = f"{result}{op.name} {op.type} {' '.join(shown)}".rstrip()
    return f"{text} @{op.span.file}:{op.span.line}:{op.span.column}" if op.span.line else text


_HEAD = re.compile(r'function (\S+?)\((.*?)\) -> (\w+) at (\d+):(\d+)(?: section ("(?:[^"\\]|\\.)*"))?( static)?$')
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')


def parse(text: str) -> Module:
    """A module out of `render`'s text; FormatError with the line's number when it is not one."""
    module = Module()
    function: Function | None = None
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        try:
            if not line:
                continue
            if line.startswith("file "):
                module.files.append(json.loads(line[5:]))
            elif line.startswith("function "):
                function = _parse_head(line)
                module.functions[function.name] = function
            elif line == "end":
                function = None
            elif function is not None:
                _parse_line(function, line)
            else:
                raise ValueError("outside of a function")
        except (ValueError, KeyError, IndexError) as error:
            raise FormatError(f"line {number}: {line!r}: {error}") from None
    return module


def _parse_head(line: str) -> Function:
    found = _HEAD.match(line)
    if found is None:
        raise ValueError("not a function's head")
    name, params, result, file, at, section, static = found.groups()
    pairs = [(n.strip(), t.strip()) for n, _, t in (p.partition(":") for p in params.split(",") if p.strip())]
    return Function(name, pairs, result, section=json.loads(section) if section else "", static=bool(static),
                    line=int(at), file=int(file))


def _parse_line(function: Function, line: str) -> None:
    if line.startswith("^"):
        if function.block().id != int(line[1:]):
            raise ValueError("blocks out of order")
        return
    words = _WORD.findall(line)
    span = Span(0, 0)
    if words[-1].startswith("@"):
        file, at, column = words.pop()[1:].split(":")
        span = Span(int(at), int(column), int(file))
    id = -1
    if words[0].startswith("%"):
        id = int(words[0][1:])
        words = words[2:]
    name, type = words[0], words[1]
    args = tuple(_parse_word(word) for word in words[2:])
    if id >= 0:
        while len(function.types) <= id:
            function.value("void")
        function.types[id] = type
    function.blocks[-1].ops.append(Op(name, type, args, id, span))


def _parse_word(word: str) -> int | str:
    if word[0] in "%^":
        return int(word[1:])
    return str(json.loads(word)) if word[0] == '"' else int(word)

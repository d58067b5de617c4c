"""The tree back to text, in one canonical form: parsing it again gives the same tree."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.expressions import POWER

__all__ = ["render"]

_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_PLAIN = _WORD | frozenset("-.*?[]$#~%")
_PLAIN_PATH = _PLAIN | frozenset("/+")
_ESCAPED = {ord("\n"): "\\n", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"}
_INDENT = "    "


def render(node: tree.Node) -> str:
    """A program, declaration, attach point, statement, expression or type as text."""
    if isinstance(node, tree.Program):
        return _program(node)
    if isinstance(node, tree.Branch):
        return _branch(node, "")
    return _RULES[type(node)](node) if type(node) in _RULES else _statement(node, "")


# ------------------------------------------------------------------------------------------------------- expressions


def text_of(value: bytes) -> str:
    """A string literal."""
    shown = []
    for character in value.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if code in _ESCAPED:
            shown.append(_ESCAPED[code])
        elif code < 32 or code == 127 or 0xDC80 <= code <= 0xDCFF:
            shown.append(f"\\x{code & 255:02x}")
        else:
            shown.append(character)
    return f'"{"".join(shown)}"'


def _operand(node: tree.Expression, power: int) -> str:
    """An operand of something that binds with `power`; 11 is a prefix's, 12 what stands before `.` and `[`."""
    text: str = _RULES[type(node)](node)
    if isinstance(node, tree.Binary):
        own = POWER[node.operator]
    elif isinstance(node, (tree.Ternary, tree.If, tree.Block)):
        own = 0
    elif isinstance(node, (tree.Unary, tree.Cast, tree.Comptime, tree.Update)):
        own = 11
    else:
        own = 11 if isinstance(node, tree.Integer) else 12
    return f"({text})" if own < power else text


def _unary(node: tree.Unary) -> str:
    operand = _operand(node.operand, 11)
    return f"{node.operator}({operand})" if operand[0] == node.operator and operand[0] in "-&" else \
        f"{node.operator}{operand}"


def _update(node: tree.Update) -> str:
    target = _RULES[type(node.target)](node.target)
    return f"{node.operator}{target}" if node.prefix else f"{target}{node.operator}"


def _binary(node: tree.Binary) -> str:
    power = POWER[node.operator]
    return f"{_operand(node.left, power)} {node.operator} {_operand(node.right, power + 1)}"


def _ternary(node: tree.Ternary) -> str:
    then = "" if node.then is None else f" {_any(node.then)} "
    return f"{_operand(node.condition, 1)} ?{then}: {_any(node.other)}"


def _cast(node: tree.Cast) -> str:
    operand = _operand(node.operand, 11)
    return f"({render(node.type)}){operand}" if operand[0] in _WORD or operand[0] in '"$@(' else \
        f"({render(node.type)})({operand})"


def _any(node: tree.Node) -> str:
    text: str = _RULES[type(node)](node)
    return text


def _list(nodes: tuple[tree.Node, ...]) -> str:
    return ", ".join(map(_any, nodes))


def _inline(node: tree.Block) -> str:
    """A block as one line."""
    inside = [" ".join(line.strip() for line in _statement(statement, "").split("\n")) for statement in node.statements]
    inside += [_leading(node.value)] if node.value is not None else [";"] if _ends_in_value(node) else []
    return f"{{ {' '.join(inside)} }}" if inside else "{ }"


def _inline_if(node: tree.If) -> str:
    parts = [f"if ({_any(branch.condition)}) {_inline(branch.body)}" for branch in node.branches]
    return " else ".join(parts + ([_inline(node.other)] if node.other is not None else []))


def _leading(node: tree.Expression) -> str:
    """An expression where a statement may stand: what begins like a statement is set in brackets."""
    text = _any(node)
    own = text.startswith(("{", "if ")) and not isinstance(node, (tree.If, tree.Block))
    return f"({text})" if own else text


# -------------------------------------------------------------------------------------------------------- statements


def _block(node: tree.Block, indent: str) -> str:
    deeper = indent + _INDENT
    inside = [deeper + _statement(statement, deeper) for statement in node.statements]
    if isinstance(node.value, (tree.If, tree.Block)):
        inside.append(deeper + _statement(node.value, deeper))
    elif node.value is not None:
        inside.append(deeper + _leading(node.value))
    elif _ends_in_value(node):
        inside[-1] += ";"
    return "\n".join(["{", *inside, indent + "}"])


def _ends_in_value(node: tree.Block) -> bool:
    """Whether the last statement would be the block's value if no semicolon followed it."""
    last = node.statements[-1] if node.statements else None
    if isinstance(last, tree.If):
        return last.other is not None and last.other.value is not None and all(
            branch.body.value is not None for branch in last.branches)
    return isinstance(last, tree.Block) and last.value is not None


def _branch(node: tree.Branch, indent: str) -> str:
    return f"if ({_any(node.condition)}) {_block(node.body, indent)}"


def _statement(node: tree.Node, indent: str) -> str:
    if isinstance(node, tree.Block):
        return _block(node, indent)
    if isinstance(node, tree.If):
        parts = [_branch(branch, indent) for branch in node.branches]
        return " else ".join(parts + ([_block(node.other, indent)] if node.other is not None else []))
    if isinstance(node, tree.For):
        return f"for (${node.name} : {_any(node.over)}) {_block(node.body, indent)}"
    if isinstance(node, tree.While):
        return f"while ({_any(node.condition)}) {_block(node.body, indent)}"
    if isinstance(node, tree.Unroll):
        return f"unroll ({_any(node.count)}) {_block(node.body, indent)}"
    return _simple(node) + ";"


def _simple(node: tree.Node) -> str:
    if isinstance(node, tree.Evaluate):
        text = _any(node.expression)
        return f"({text})" if text.startswith(("{", "if ")) else text
    if isinstance(node, tree.Discard):
        return f"_ = {_any(node.value)}"
    if isinstance(node, tree.Let):
        written = f": {render(node.type)}" if node.type is not None else ""
        return f"let ${node.name}{written}" + (f" = {_any(node.value)}" if node.value is not None else "")
    if isinstance(node, tree.Assign):
        return f"{_any(node.target)} {node.operator} {_any(node.value)}"
    if isinstance(node, tree.Return):
        return "return" if node.value is None else f"return {_any(node.value)}"
    if isinstance(node, tree.Import):
        return f"import {text_of(node.path.encode('utf-8', 'surrogateescape'))}"
    return "break" if isinstance(node, tree.Break) else "continue"


# ----------------------------------------------------------------------------------------------------- attach points


def _part(text: str, plain: frozenset[str] = _PLAIN) -> str:
    if all(character in plain for character in text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _joined(node: tree.AttachPoint, *parts: str | int | None) -> str:
    label = f"{node.label}=" if node.label else ""
    return label + ":".join(str(part) for part in parts if part is not None and part != "")


def _kernel(node: tree.KernelFunction) -> str:
    offset = f"+{node.offset:#x}" if node.offset else ""
    return _joined(node, node.provider, _part(node.module), _part(node.function) + offset)


def _user(node: tree.UserFunction) -> str:
    place = f"{node.offset:#x}" if not node.function else \
        _part(node.function) + (f"+{node.offset:#x}" if node.offset else "")
    return _joined(node, node.provider, _part(node.binary, _PLAIN_PATH), node.language, place)


def _source_line(node: tree.SourceLine) -> str:
    column = f":{node.column}" if node.column else ""
    file = _part(node.file, _PLAIN_PATH)
    return _joined(node, "uprobe", f"{_part(node.binary, _PLAIN_PATH)}@{file}:{node.line}{column}")


def _watchpoint(node: tree.Watchpoint) -> str:
    where = f"{_part(node.function)}+arg{node.argument}" if node.address is None else \
        f"{node.address:#x}" if isinstance(node.address, int) else node.address
    return _joined(node, node.provider, where, node.length, node.mode)


def _probe(node: tree.Probe) -> str:
    predicate = ""
    if node.predicate is not None:
        text = _any(node.predicate)
        predicate = f" /({text})/" if text[0] == "*" else f" /{text}/"
    return ",\n".join(map(_any, node.points)) + f"{predicate} {_block(node.body, '')}"


# ----------------------------------------------------------------------------------------------------------- program


def _parameter(node: tree.Parameter) -> str:
    return f"{node.kind}{node.name}" + (f" : {render(node.type)}" if node.type is not None else "")


def _program(node: tree.Program) -> str:
    parts = []
    if node.settings:
        parts.append("\n".join(["config = {", *(f"{_INDENT}{_any(setting)};" for setting in node.settings), "}"]))
    for group in (node.imports, node.definitions, node.maps):
        if group:
            parts.append("\n".join(f"{_any(one)};" if isinstance(one, tree.Import) else _any(one) for one in group))
    parts += [_any(one) for group in (node.macros, node.functions, node.probes) for one in group]
    return "\n\n".join(parts) + "\n" if parts else ""


_RULES: dict[type, Callable[[Any], str]] = {
    tree.NamedType: lambda node: f"{node.kind} {node.name}" if node.kind else node.name,
    tree.Pointer: lambda node: f"{_any(node.of)} *" if not isinstance(node.of, tree.Pointer) else f"{_any(node.of)}*",
    tree.Array: lambda node: f"{_any(node.of)}[{'' if node.size is None else node.size}]",
    tree.TypeOf: lambda node: f"typeof({_any(node.of)})",
    tree.Integer: lambda node: str(node.value),
    tree.String: lambda node: text_of(node.value),
    tree.Boolean: lambda node: "true" if node.value else "false",
    tree.Name: lambda node: node.name,
    tree.Variable: lambda node: f"${node.name}",
    tree.MapName: lambda node: f"@{node.name}",
    tree.Positional: lambda node: f"${node.number}",
    tree.PositionalCount: lambda node: "$#",
    tree.Unary: _unary,
    tree.Update: _update,
    tree.Binary: _binary,
    tree.Ternary: _ternary,
    tree.Cast: _cast,
    tree.Call: lambda node: f"{node.name}({_list(node.arguments)})",
    tree.Index: lambda node: f"{_operand(node.object, 12)}[{_list(node.keys)}]",
    tree.Member: lambda node: f"{_operand(node.object, 12)}.{node.name}",
    tree.Item: lambda node: f"{_operand(node.object, 12)}.{node.index}",
    tree.Tuple: lambda node: f"({_any(node.items[0])},)" if len(node.items) == 1 else f"({_list(node.items)})",
    tree.Field: lambda node: f"{node.name}={_any(node.value)}",
    tree.Record: lambda node: f"({_list(node.items)})",
    tree.SizeOf: lambda node: f"sizeof({_any(node.of)})",
    tree.OffsetOf: lambda node: f"offsetof({_any(node.of)}, {'.'.join(node.path)})",
    tree.TypeInfo: lambda node: f"typeinfo({_any(node.of)})",
    tree.Comptime: lambda node: f"comptime {_operand(node.operand, 11)}",
    tree.Block: _inline,
    tree.If: _inline_if,
    tree.Special: lambda node: _joined(node, node.provider),
    tree.Labelled: lambda node: _joined(node, node.provider, _part(node.name)),
    tree.Signal: lambda node: _joined(node, "self", "signal", _part(node.name)),
    tree.Timer: lambda node: _joined(node, node.provider, node.unit, node.count),
    tree.Event: lambda node: _joined(node, node.provider, _part(node.event), node.count),
    tree.Tracepoint: lambda node: _joined(node, "tracepoint", _part(node.category), _part(node.event)),
    tree.RawTracepoint: lambda node: _joined(node, "rawtracepoint", _part(node.module), _part(node.event)),
    tree.KernelFunction: _kernel,
    tree.BpfProgram: lambda node: _joined(node, node.provider, "bpf", node.id, _part(node.name)),
    tree.UserFunction: _user,
    tree.SourceLine: _source_line,
    tree.Usdt: lambda node: _joined(node, "usdt", _part(node.binary, _PLAIN_PATH), _part(node.namespace),
                                    _part(node.name)),
    tree.Iterator: lambda node: _joined(node, "iter", node.kind, _part(node.pin)),
    tree.Watchpoint: _watchpoint,
    tree.Setting: lambda node: f"{node.name}={_any(node.value)}",
    tree.Definition: lambda node: node.text,
    tree.Import: _simple,
    tree.MapDeclaration: lambda node: f"let @{node.name} = {node.kind}({node.size});",
    tree.Range: lambda node: f"{_any(node.start)}..{_any(node.end)}",
    tree.Macro: lambda node: f"macro {node.name}({_list(node.parameters)}) {_block(node.body, '')}",
    tree.Function: lambda node: f"fn {node.name}({_list(node.parameters)}) : {_any(node.result)} "
                                f"{_block(node.body, '')}",
    tree.Parameter: _parameter,
    tree.Probe: _probe,
}

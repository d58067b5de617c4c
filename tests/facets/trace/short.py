"""A tree in a short text form, independent of how the tree prints itself: operators in brackets, the rest by name."""
from __future__ import annotations

from bpfwright.facets.trace import tree


def short(node: object) -> str:
    """`1 + 2 * $x` is `(1 + (2 * $x))`; `hist(@a[1])` is `hist(@a[1])`; other nodes are `Name(field, ...)`."""
    match node:
        case tree.Integer(_, value) | tree.Boolean(_, value):
            return str(value)
        case tree.String(_, value):
            return repr(value)
        case tree.Name(_, name):
            return name
        case tree.Variable(_, name):
            return f"${name}"
        case tree.MapName(_, name):
            return f"@{name}"
        case tree.Positional(_, number):
            return f"${number}"
        case tree.PositionalCount():
            return "$#"
        case tree.Binary(_, operator, left, right):
            return f"({short(left)} {operator} {short(right)})"
        case tree.Unary(_, operator, operand):
            return f"({operator}{short(operand)})"
        case tree.Call(_, name, arguments):
            return f"{name}({', '.join(map(short, arguments))})"
        case tree.Index(_, value, keys):
            return f"{short(value)}[{', '.join(map(short, keys))}]"
        case tree.Member(_, value, name):
            return f"{short(value)}.{name}"
        case tree.Item(_, value, index):
            return f"{short(value)}.{index}"
        case tree.Cast(_, written, operand):
            return f"<{short(written)}>{short(operand)}"
        case tree.NamedType(_, kind, name):
            return f"{kind} {name}".strip()
        case tree.Pointer(_, of):
            return f"{short(of)}*"
        case tree.Array(_, of, size):
            return f"{short(of)}[{'' if size is None else size}]"
        case tree.Block(_, statements, value):
            inside = [f"{short(one)};" for one in statements] + ([] if value is None else [short(value)])
            return "{" + " ".join(inside) + "}"
        case tree.Evaluate(_, expression):
            return short(expression)
        case tree.Assign(_, operator, target, value):
            return f"{short(target)} {operator} {short(value)}"
        case tree.Node():
            return f"{type(node).__name__}({', '.join(map(short, node.values()))})"
        case tuple():
            return "[" + ", ".join(map(short, node)) + "]"
        case str():
            return node or "''"
        case None:
            return "-"
    return repr(node)

"""Addresses, packets and sockets."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.casts import built
from bpfwright.facets.trace.compiling.functions.process import UINT32, UINT64
from bpfwright.facets.trace.compiling.typed import Operand, Typed, constant, is_number, refuse
from bpfwright.facets.trace.types import Array, Integer, Pointer, Struct, Text, Token

_INET, _INET6 = 2, 10
_SOCKET_COOKIE = 46


def ntop_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    family = checker.number(arguments[0], "an address family") if len(arguments) > 1 else None
    address = checker.value(arguments[-1])
    kind = address.type
    if isinstance(kind, Pointer) and isinstance(kind.to, Array):
        from bpfwright.facets.trace.compiling.expressions import dereferenced
        address = dereferenced(checker, address, arguments[-1].span)
        kind = address.type
    size = kind.size
    if not is_number(kind) and not (isinstance(kind, (Array, Struct)) and size in (4, 16)):
        raise refuse(arguments[-1].span, f"`ntop` takes a number or 4 or 16 bytes, not `{kind}`",
                     "Name the bytes: `$sk.__sk_common.skc_v6_daddr.in6_u.u6_addr8`.")
    if family is None:
        family = constant(_INET6 if size == 16 and not is_number(kind) else _INET, UINT32, node.span)
    known = family

    def into(code: Code, pointer: int, offset: int) -> None:
        code.zero(code.pointer(pointer, offset), 24)
        code.write_memory(UINT32, pointer, offset, code.number_of(known))
        if is_number(kind):
            code.write_memory(UINT32, pointer, offset + 4, code.number_of(address))
        else:
            code.put_operand(address.emit(code), kind, pointer, offset + 4, node.span)
    made = built(Token("inet"), node.span, into)
    made.whole = True
    return made


def pton_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    import _socket
    text = checker.known_text(arguments[0], "an address").decode("utf-8", "surrogateescape")
    family = _socket.AF_INET6 if ":" in text else _socket.AF_INET
    try:
        content = _socket.inet_pton(family, text)
    except (OSError, ValueError):
        raise refuse(arguments[0].span, f"`{text}` is no IP address",
                     'Write `pton("192.0.2.1")` or `pton("2001:db8::1")`.'
                     ) from None

    def emit(code: Code) -> Operand:
        return code.text_constant(content)
    return Typed(Array(Integer(1, False), len(content)), node.span, lambda code: Operand(memory=emit(code).memory))


def macaddr_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    address = checker.value(arguments[0])
    kind = address.type
    if isinstance(kind, Pointer):
        from bpfwright.facets.trace.compiling.expressions import dereferenced
        whole = Typed(Pointer(Array(Integer(1, False), 6), kind.space), address.span, address.emit)
        address = dereferenced(checker, whole, address.span)
        kind = address.type
    if not isinstance(kind, (Array, Text)) or kind.size != 6:
        raise refuse(arguments[0].span, f"`macaddr` takes 6 bytes, not `{kind}`",
                     "Name them: `$dev.perm_addr` and the like.")

    def into(code: Code, pointer: int, offset: int) -> None:
        code.fill(code.pointer(pointer, offset), 8)
        code.put_operand(address.emit(code), kind, pointer, offset, node.span)
    made = built(Token("mac"), node.span, into)
    made.whole = True
    return made


def socket_cookie_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if checker.site.kind not in ("fentry", "fexit", "tp_btf"):
        raise refuse(node.span, f"`{checker.site.provider}` cannot ask for a socket's cookie",
                     "fentry, fexit and rawtracepoint probes can, of a socket among their arguments.")
    socket = checker.scalar(arguments[0], "a socket")

    def emit(code: Code) -> Operand:
        return Operand(value=code.helper(_SOCKET_COOKIE, code.trusted(socket)))
    return Typed(UINT64, node.span, emit)


def skboutput_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    path = checker.known_text(arguments[0], "a file's name").decode("utf-8", "surrogateescape")
    packet = checker.scalar(arguments[1], "a packet")
    length = checker.number(arguments[2], "how many bytes")
    start = checker.number(arguments[3], "where they begin")
    data = _data_of(checker, packet, node)
    room = min(checker.host.text_room * 4, 4096)

    def emit(code: Code) -> Operand:
        from bpfwright.facets.trace.types import Buffer
        types = (UINT64, UINT32, Buffer(room))
        index = code.unit.message("packet", types, (path,))
        result = code.slot(8, 8, "result")
        code.store(result, code.number(0))
        whole = code.number_of(length)
        taken = code.bounded(whole, room)
        record = code.room(16 + 8 + 4 + room)
        code.store(record, code.number(index), 0, 8)
        code.store(record, code.helper(125), 8, 8)
        code.store(record, code.truncate(whole, "i32"), 16, 4)
        code.store(record, code.truncate(taken, "i32"), 20, 4)
        at = code.op("add", "i64", code.number_of(data), code.number_of(start))
        said = code.helper(113, code.pointer(record, 24), taken, at)
        with code.unless(code.op("slt", "i1", said, code.number(0))):
            size = code.op("add", "i64", taken, code.number(24))
            said = code.helper(130, code.op("global", "ptr", "messages"), record, size, code.number(0))
            code.store(result, said)
            with code.when(code.op("slt", "i1", said, code.number(0))):
                code.count_up("lost", "")
        return Operand(value=code.load("i64", result))
    return Typed(Integer(4, True), node.span, emit)


def _data_of(checker: Checker, packet: Typed, node: Any) -> Typed:
    from bpfwright.facets.trace.compiling.expressions import member_of
    kind = packet.type
    if not isinstance(kind, Pointer) or not isinstance(kind.to, Struct) or kind.to.name != "sk_buff":
        found = checker.host.layouts.named("struct", "sk_buff")
        if found is None:
            raise refuse(node.span, "this kernel has no type information, so nothing is known of its packets")
        packet = Typed(Pointer(found, "kernel"), packet.span, packet.emit)
    return member_of(checker, packet, "data", node.span)



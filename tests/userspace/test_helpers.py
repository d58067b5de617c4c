"""Helpers: interpreter, native code and the kernel's test run agree on value, packet, context and memory."""
from __future__ import annotations

import pytest

from bpfwright.errors import VerifierError
from bpfwright.headers import TCP, UDP, Ethernet, IPv4, IPv6
from bpfwright.spec.objects import MapSpec
from tests.userspace.machines import CGROUP, FILTER, TC, XDP, everywhere, program

pytestmark = [pytest.mark.userspace, pytest.mark.kernel]

FOUR = bytes(Ethernet() / IPv4(source="192.0.2.7", destination="192.0.2.8") / TCP(sport=1, dport=80)) + b"payload"
SIX = bytes(Ethernet() / IPv6(source="2001:db8::1", destination="2001:db8::2") / UDP(sport=5, dport=9)) + b"data"
TAGGED = FOUR[:12] + bytes((0x81, 0, 0x20, 5)) + FOUR[12:]
TWICE = FOUR[:12] + bytes((0x88, 0xA8, 0, 7, 0x81, 0, 0x20, 5)) + FOUR[12:]
ODD = bytes(range(14)) + b"\x5a" * 33


def call(number: int, *arguments: int | str, first: str = "mov %r1, %r6") -> str:
    """A helper's call on the context (or what `first` puts into r1): numbers, `fp-N`, or a register."""
    lines = [first] if first else []
    start = 2 if first else 1
    for register, argument in enumerate(arguments, start):
        if isinstance(argument, int):
            wide = not -(1 << 31) <= argument < 1 << 31
            lines.append(f"lddw %r{register}, {argument}" if wide else f"mov %r{register}, {argument}")
        elif argument.startswith("fp"):
            lines += [f"mov %r{register}, %r10", f"add %r{register}, {int(argument[2:])}"]
        else:
            lines.append(f"mov %r{register}, {argument}")
    return "\n".join([*lines, f"call {number}"])


def words(*values: int, at: int = -56) -> str:
    """Put words on the stack."""
    return "\n".join(f"lddw %r1, {value}\nstxdw [%r10{at + 8 * i}], %r1" for i, value in enumerate(values))


XDP_CASES = {
    **{f"adjust_head {n}": call(44, n) for n in (-14, 14, -216, -217, 40, 47, 48, 100, 0)},
    **{f"adjust_tail {n}": call(65, n) for n in (-10, 10, 400, -47, -60, 3500, 4000)},
    **{f"adjust_meta {n}": call(54, n) for n in (-4, -8, -3, -252, -256, -300, 4, 0)},
    "meta moves with the head": call(54, -8) + "\n" + call(44, 14),
    "meta moves back with the head": call(54, -8) + "\n" + call(44, -20),
    "tail after head": call(44, -20) + "\n" + call(65, 30),
    "buff_len": call(188),
    **{f"load_bytes {o} {n}": call(189, o, "fp-56", n) for o, n in ((0, 14), (14, 20), (50, 12), (60, 30), (70000, 1))},
    **{f"store_bytes {o} {n}": words(0x1122334455667788, 5) + "\n" + call(190, o, "fp-56", n)
       for o, n in ((0, 14), (14, 9), (50, 12), (70000, 1))},
    "redirect": call(23, 3, 0, first=""), "redirect with flags": call(23, 3, 1, first=""),
    "csum_diff adds": words(0x1234567890ABCDEF, 0xFFFFFFFF00000001) + "\n" + call(28, 0, 0, "fp-56", 16, 7, first=""),
    "csum_diff takes": words(0x1234567890ABCDEF, 0xFFFFFFFF00000001) + "\n" + call(28, "fp-56", 12, 0, 0, 7, first=""),
    "csum_diff both": words(0x1234567890ABCDEF, 0xFFFFFFFF00000001) + "\n" + call(28, "fp-56", 8, "fp-48", 4, 9,
                                                                                  first=""),
    "csum_diff of nothing": call(28, 0, 0, 0, 0, 0x12345678, first=""),
    "csum_diff of zeros": call(28, 0, 0, "fp-56", 8, 0, first=""),
    **{f"csum_diff odd {n}": words(0x1234567890ABCDEF, -5) + "\n" + call(28, "fp-56", n, "fp-48", m, 0, first="")
       for n, m in ((6, 0), (7, 0), (0, 5), (3, 1))},
}


@pytest.mark.parametrize("name", XDP_CASES)
def test_xdp(name: str) -> None:
    context = bytes(4) + len(FOUR).to_bytes(4, "little") + bytes(4) + (1).to_bytes(4, "little") + bytes(8)
    seen = everywhere(program(XDP, XDP_CASES[name], value="2"), FOUR, context)
    assert seen["interpreter"] == seen["kernel"] and seen["jit"] == seen["kernel"]


def test_xdp_metadata() -> None:
    """Bytes in front of the packet, and a context that says so."""
    body = "ldxw %r1, [%r6+8]\nldxw %r2, [%r6]\nldxw %r3, [%r6+4]\nmov %r0, %r2\nsub %r0, %r1\nsub %r3, %r2\n" \
           "stxdw [%r10-56], %r3"
    context = (8).to_bytes(4, "little") + (8 + len(FOUR)).to_bytes(4, "little") + bytes(4) + (1).to_bytes(4, "little") \
        + bytes(8)
    with_meta = program(XDP, body.replace("mov %r0, %r2\nsub %r0, %r1\nsub %r3, %r2", "mov %r0, 1"), value="2")
    seen = everywhere(with_meta, b"12345678" + FOUR, context, kernel=False)
    assert seen["interpreter"].context == seen["jit"].context == context[:12] + context[12:]
    tail = everywhere(program(XDP, call(65, -4), value="2"), b"12345678" + FOUR, context)
    assert tail["interpreter"] == tail["kernel"] and tail["jit"] == tail["kernel"]


SKB_CASES = {
    **{f"load_bytes {o} {n}": call(26, o, "fp-56", n) for o, n in ((0, 14), (14, 20), (50, 30), (1 << 20, 4))},
    **{f"load_bytes_relative {o} {h}": call(68, o, "fp-56", 4, h) for o, h in ((0, 0), (0, 1), (9, 1), (70000, 1),
                                                                              (60, 1), (0, 2))},
    **{f"pull_data {n}": call(39, n) for n in (0, 20, 61, 62, 5000)},
}
TC_CASES = {
    **SKB_CASES,
    **{f"store_bytes {o} {n} {f}": words(0x1122334455667788, 5) + "\n" + call(9, o, "fp-56", n, f)
       for o, n, f in ((0, 14, 0), (14, 9, 1), (50, 12, 0), (1 << 20, 1, 0), (0, 4, 4), (20, 3, 2))},
    **{f"l3_csum_replace {o} {f}": call(10, o, a, b, f)
       for o, a, b, f in ((24, 0x1234, 0x4321, 2), (24, 0x12345678, 0x9ABCDEF0, 4), (24, 0, 0x55AA1234, 0),
                          (24, 1, 2, 0), (25, 1, 2, 2), (70, 1, 2, 2), (24, 1, 2, 3), (24, 1, 2, 0x12))},
    **{f"l4_csum_replace {o} {f}": call(11, o, a, b, f)
       for o, a, b, f in ((50, 0x1234, 0x4321, 2), (50, 0x12345678, 0x9ABCDEF0, 4), (50, 0, 0x55AA1234, 0),
                          (50, 0x12345678, 0x9ABCDEF0, 0x14), (50, 1, 2, 0x22), (50, 1, 2, 0x62), (51, 1, 2, 2),
                          (70, 1, 2, 2), (50, 1, 2, 3), (50, 1, 2, 0x102), (50, 7, 0, 0x10))},
    **{f"change_tail {n}": call(38, n, 0) for n in (20, 61, 62, 100, 500, 13, 14, 0)},
    "change_tail with flags": call(38, 50, 1),
    **{f"change_head {n}": call(43, n, 0) for n in (0, 4, 14, 100)},
    "change_head with flags": call(43, 4, 1),
    **{f"change_type {n}": call(32, n) + "\nldxw %r1, [%r6+4]\nstxdw [%r10-56], %r1" for n in (0, 1, 3, 4)},
    **{f"change_proto {n:x}": call(31, n, 0) + "\nldxw %r1, [%r6+16]\nstxdw [%r10-56], %r1" for n in (0xDD86, 0x0008)},
    **{f"adjust_room {d} {m}": call(50, d, m, 0) + "\nldxw %r1, [%r6+0]\nstxdw [%r10-56], %r1"
       for d in (8, -8, 20, -20, -30, 5000) for m in (0, 1, 2)},
    **{f"vlan_push {n}": "\n".join([call(18, 0x0081, 5)] * n) + "\nldxw %r1, [%r6+20]\nstxdw [%r10-56], %r1\n"
       "ldxw %r1, [%r6+24]\nstxdw [%r10-48], %r1\nldxw %r1, [%r6+28]\nstxdw [%r10-40], %r1\n"
       "ldxw %r1, [%r6+16]\nstxdw [%r10-32], %r1" for n in (1, 2, 3)},
    **{f"vlan_pop {n}": "\n".join([call(19)] * n) + "\nldxw %r1, [%r6+20]\nstxdw [%r10-56], %r1\n"
       "ldxw %r1, [%r6+24]\nstxdw [%r10-48], %r1\nldxw %r1, [%r6+16]\nstxdw [%r10-32], %r1" for n in (1, 2)},
    "vlan push and pop": call(18, 0xA888, 77) + "\n" + call(18, 0x0081, 5) + "\n" + call(19),
    "set_hash": call(48, 0x1234) + "\n" + call(34), "invalid hash": call(48, 7) + "\n" + call(41),
    "csum_level": call(135, 0), "csum_level up": call(135, 1),
    "csum_level of nothing": call(135, 9), "csum_update": call(40, 5),
    "redirect": call(23, 1, 0, first=""), "redirect in": call(23, 1, 1, first=""),
    "redirect?": call(23, 1, 2, first=""),
    "redirect_peer": call(155, 1, 0, first=""), "redirect_peer?": call(155, 1, 1, first=""),
    "redirect_neigh": call(152, 1, 0, 0, 0, first=""), "redirect_neigh?": call(152, 1, 0, 0, 1, first=""),
    "writes": "\n".join(f"stw [%r6+{at}], {at}" for at in (8, 32, 48, 64)) + "\nmov %r0, 0",
}
MEMBERS = (0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 68)
READ = "\n".join(
    f"ldxw %r1, [%r6+{at}]\nstxw [%r10-{56 - 4 * i}], %r1"
    for i, at in enumerate(MEMBERS)) + "\nmov %r0, 0"


@pytest.mark.parametrize("name", TC_CASES)
@pytest.mark.parametrize("packet", [FOUR, SIX, TAGGED, TWICE], ids=["four", "six", "tagged", "twice"])
def test_tc(name: str, packet: bytes) -> None:
    context = bytes(8) + (0x77).to_bytes(4, "little") + bytes(180)
    seen = everywhere(program(TC, TC_CASES[name], value="0"), packet, context)
    assert seen["interpreter"] == seen["kernel"] and seen["jit"] == seen["kernel"]


@pytest.mark.parametrize("kind", [TC, FILTER, CGROUP])
@pytest.mark.parametrize("packet", [FOUR, SIX, TAGGED, ODD, b"\xff" * 6 + FOUR[6:], b"\1" + FOUR[1:],
                                    b"\2" + FOUR[1:]])
def test_members_of_the_context(kind: int, packet: bytes) -> None:
    context = bytearray(192)
    context[8:12], context[32:36], context[48:52] = b"mark", b"prio", b"cb.."
    text = READ
    if kind == CGROUP:
        text = text.replace("[%r6+44]", "[%r6+0]")
    seen = everywhere(program(kind, text, value="1"), packet, bytes(context))
    assert seen["interpreter"] == seen["kernel"] and seen["jit"] == seen["kernel"]


@pytest.mark.parametrize("kind", [FILTER, CGROUP])
@pytest.mark.parametrize("name", SKB_CASES)
def test_packets_from_their_network_header(kind: int, name: str) -> None:
    if "pull" in name:  # which programs of these types may not call
        return
    seen = everywhere(program(kind, SKB_CASES[name], value="1"), FOUR, bytes(192))
    assert seen["interpreter"] == seen["kernel"] and seen["jit"] == seen["kernel"]


TEXT = int.from_bytes(b" -123abc", "little")
PLAIN_CASES = {
    "pids in a namespace that no file is": words(7, 9) + "\n" + call(120, 0, "fp-56", 8, first="mov %r1, 0"),
    "pids in a namespace of no device": words(7, 9) + "\n" + call(120, 5, "fp-56", 8, first="lddw %r1, 0x100000000"),
    "probe_read of user space": words(0, 5) + "\n" + call(113, "fp-48", 8, 0x7F0000000000, first=""),
    "probe_read of the kernel": words(0, 5) + "\n" + call(113, "fp-48", 8, 0xFFFFFFFF00000010, first=""),
    "probe_read_user": words(0, 5) + "\n" + call(112, "fp-48", 8, 0x10, first=""),
    **{f"strtol {text!r} {base}": words(int.from_bytes(text.ljust(8, b"\0"), "little")) + "\n" +
       call(number, "fp-56", size, base, "fp-40", first="")
       for number in (105, 106)
       for text, size, base in ((b" -123abc", 8, 0), (b"0x1fg", 8, 0), (b"0x1fg", 8, 16), (b"077", 8, 0),
                                (b"077", 8, 10), (b"abc", 8, 10), (b"  ", 2, 0), (b"12345678", 8, 8), (b"99", 1, 10),
                                (b"0x", 8, 0), (b"-", 8, 0), (b"5", 8, 7), (b"0", 8, 0), (b"-0x10", 8, 0))},
    "probe_read": words(0x1122334455667788) + "\n" + call(113, "fp-48", 8, "fp-56", first=""),
    "probe_read of nothing": words(0, 5) + "\n" + call(113, "fp-48", 8, 0x10, first=""),
    "probe_read_str": words(0x0000004142434445) + "\n" + call(115, "fp-48", 16, "fp-56", first=""),
    "probe_read_str cut": words(0x4142434445464748, 0x99) + "\n" + call(115, "fp-40", 5, "fp-56", first=""),
    "probe_read_str of nothing": words(0, 5, 6) + "\n" + call(115, "fp-48", 9, 0x10, first=""),
    "numa": call(42, first=""),
}


@pytest.mark.parametrize("name", PLAIN_CASES)
def test_plain(name: str) -> None:
    seen = everywhere(program(XDP, PLAIN_CASES[name], value="2"), FOUR)
    assert seen["interpreter"].out == seen["kernel"].out and seen["jit"] == seen["interpreter"]


def constant(text: bytes) -> MapSpec:
    """Text that programs only read."""
    return MapSpec("text", 2, 4, 64, 1, 1 << 7, contents=text.ljust(64, b"\0"), frozen=True)


FORMS: list[tuple[bytes, tuple[int, ...]]] = [
    (b"plain", ()), (b"%d %u", (-5, 1 << 33)), (b"%x %X %#x", (0xABCDEF, 0xABCDEF, 5)), (b"%ld|%lu", (-7, 1 << 63)),
    (b"%lld %llu %llx", (-1, 1 << 40, 1 << 44)), (b"%5d|%-5d|%05d", (42, 42, 42)), (b"100%%", ()),
    (b"%hhd %hd", (0x181, 0x18000)), (b"%i", (-3,)), (b"%d", ()), (b"%d %d", (1,)), (b"%q", (1,)), (b"%", ()),
    (b"%c%c", (65, 66)), (b"%px", (0x1234,)), (b"%08x", (0xBEEF,)), (b"%+d", (5,)), (b"% d", (5,)),
    (b"%.3d", (5,)), (b"%10s|", (0,)), (b"%s", (0,)), (b"abc%d" * 12, tuple(range(12))),
]


@pytest.mark.parametrize("form,values", FORMS)
def test_snprintf(form: bytes, values: tuple[int, ...]) -> None:
    """Into r10-56, of which 48 bytes are for the text; arguments stand behind."""
    if len(form) > 60:
        form = form[:60]
    size = 8 * len(values)
    stack = "\n".join(f"lddw %r1, {value}\nstxdw [%r10-{200 - 8 * i}], %r1" for i, value in enumerate(values))
    body = stack + "\nmov %r1, %r10\nadd %r1, -56\nmov %r2, 48\nDATA %r3, text\n"
    body += f"mov %r4, %r10\nadd %r4, -200\nmov %r5, {size}\n" if values else "mov %r4, 0\nmov %r5, 0\n"
    spec = program(XDP, body + "call 165", value="2", maps=(constant(form),))
    try:
        seen = everywhere(spec, FOUR)
    except VerifierError:  # which of the forms are wrong the kernel says at load
        seen = everywhere(spec, FOUR, kernel=False)
        assert seen["interpreter"].out[:8] == seen["jit"].out[:8] == (-22 & (1 << 64) - 1).to_bytes(8, "little")
        return
    assert seen["interpreter"].out == seen["kernel"].out and seen["jit"].out == seen["kernel"].out


@pytest.mark.parametrize("form,values", [(b"ttl %d of %u", (5, 7)), (b"%s", (0,)), (b"%d%%\n", (3,)), (b"%q", (1,)),
                                         (b"%lx %x", (1 << 40, 1 << 40)), (b"nothing", ())])
def test_printk(form: bytes, values: tuple[int, ...]) -> None:
    text = form.ljust(24, b"\0")
    body = "\n".join(f"lddw %r1, {int.from_bytes(text[at:at + 8], 'little')}\nstxdw [%r10-{104 - at}], %r1"
                     for at in (0, 8, 16))
    body += f"\nmov %r1, %r10\nadd %r1, -104\nmov %r2, {len(form) + 1}\n"
    body += "\n".join(f"lddw %r{3 + i}, {value}" for i, value in enumerate((*values, 0, 0, 0)[:3])) + "\ncall 6"
    seen = everywhere(program(XDP, body, value="2"), FOUR)
    assert seen["interpreter"].out == seen["kernel"].out and seen["jit"].out == seen["kernel"].out


@pytest.mark.parametrize("a,b,size", [(b"abc\0", b"abc", 4), (b"abd\0", b"abc", 4), (b"abb\0", b"abc", 4),
                                      (b"ab\0\0", b"abc", 4), (b"abcz", b"abc", 4), (b"abcz", b"abc", 3)])
def test_strncmp(a: bytes, b: bytes, size: int) -> None:
    body = f"stw [%r10-56], {int.from_bytes(a, 'little')}\nmov %r1, %r10\nadd %r1, -56\nmov %r2, {size}\n" \
           "DATA %r3, text\ncall 182"
    seen = everywhere(program(XDP, body, value="2", maps=(constant(b),)), FOUR)
    assert seen["interpreter"].out == seen["kernel"].out and seen["jit"].out == seen["kernel"].out


@pytest.mark.parametrize("offset,size,flags", [(0, 8, 0), (8, 8, 0), (9, 8, 0), (1, 4, 0), (0, 4, 1)])
def test_dynptr_of_a_map(offset: int, size: int, flags: int) -> None:
    """A dynptr of a map's value: written, read and looked into."""
    body = f"""
    stw [%r10-80], 0
    MAP %r1, cells
    mov %r2, %r10
    add %r2, -80
    call 1
    jne %r0, 0, there
    mov %r0, 5
    exit
    there:
    mov %r1, %r0
    mov %r2, 16
    mov %r3, 0
    mov %r4, %r10
    add %r4, -104
    call 197
    stdw [%r10-112], 0x55667788
    mov %r1, %r10
    add %r1, -104
    mov %r2, {offset}
    mov %r3, %r10
    add %r3, -112
    mov %r4, {size}
    mov %r5, {flags}
    call 202
    mov %r8, %r0
    mov %r1, %r10
    add %r1, -56
    mov %r2, {size}
    mov %r3, %r10
    add %r3, -104
    mov %r4, {offset}
    mov %r5, {flags}
    call 201
    stxdw [%r10-40], %r0
    mov %r0, %r8
    """
    seen = everywhere(program(XDP, body, value="2", maps=(MapSpec("cells", 2, 4, 16, 1),)), FOUR)
    assert seen["interpreter"].out == seen["kernel"].out and seen["jit"].out == seen["kernel"].out

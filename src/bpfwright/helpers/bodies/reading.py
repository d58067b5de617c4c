"""Memory that may not be there: reads that fail and leave zeros (kernel/trace/bpf_trace.c), texts compared."""
from __future__ import annotations

from bpfwright.spec.memory import copy, fill, load8, load64, store8, store64
from bpfwright.spec.page import ATTACH_TYPE, PAGE, SHADOW
from bpfwright.spec.shadow import readable
from bpfwright.types import i64, u64

__all__ = ["function_argument", "function_arguments", "function_result", "probe_kernel",
           "probe_kernel_text", "probe_read", "probe_read_text", "strncmp"]

_EFAULT, _EINVAL, _ERANGE, _EOPNOTSUPP = -14, -22, -34, -95
_FEXIT, _MODIFY_RETURN = 25, 26  # bpf_attach_type


def _failure(address: u64) -> i64:
    """What the kernel says of an address that it does not read as its own: -ERANGE of user space's."""
    if address >= 0xFFFF800000000000 or PAGE <= address < load64(SHADOW):
        return _EFAULT
    return _ERANGE


def probe_kernel(to: u64, size: u64, source: u64) -> i64:
    code = probe_read(to, size, source)
    if code < 0:
        return _failure(source)
    return code


def probe_kernel_text(to: u64, size: u64, source: u64) -> i64:
    code = probe_read_text(to, size, source)
    if code < 0:
        return _failure(source)
    return code


def probe_read(to: u64, size: u64, source: u64) -> i64:
    count = size & 0xFFFFFFFF
    if not readable(source, count):
        fill(to, 0, count)
        return _EFAULT
    copy(to, source, count)
    return 0


def probe_read_text(to: u64, size: u64, source: u64) -> i64:
    """Up to a zero byte, which counts; a longer text is cut, with a zero at its end."""
    count = size & 0xFFFFFFFF
    end = load64(SHADOW)
    for index in range(count):
        at = (source + index) & 0xFFFFFFFFFFFFFFFF
        if at >= end or load8(end + at) == 0:
            fill(to, 0, count)
            return _EFAULT
        byte = load8(at)
        store8(to + index, byte)
        if byte == 0:
            return index + 1
    if count != 0:
        store8(to + count - 1, 0)
    return count


def strncmp(a: u64, size: u64, b: u64) -> i64:
    for index in range(size & 0xFFFFFFFF):
        left, right = load8(a + index), load8(b + index)
        if left < right:
            return -1
        if left > right:
            return 1
        if left == 0:
            return 0
    return 0


def function_arguments(ctx: u64) -> u64:
    """How many arguments the traced function has: words in front of its result (kernel/trace/bpf_trace.c)."""
    words = load64(ctx - 8)
    kind = load64(ATTACH_TYPE)
    if kind in (_FEXIT, _MODIFY_RETURN) and words != 0:
        return words - 1
    return words


def function_argument(ctx: u64, index: u64, out: u64) -> i64:
    if (index & 0xFFFFFFFF) >= function_arguments(ctx):
        return _EINVAL
    store64(out, load64(ctx + 8 * (index & 0xFFFFFFFF)))
    return 0


def function_result(ctx: u64, out: u64) -> i64:
    words = load64(ctx - 8)
    count = function_arguments(ctx)
    if count == words:
        return _EOPNOTSUPP
    store64(out, load64(ctx + 8 * count))
    return 0

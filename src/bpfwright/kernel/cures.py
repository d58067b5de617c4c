"""From the verifier's sentence to what usually mends it: patterns, first match wins."""
from __future__ import annotations

import re

__all__ = ["CURES", "cure_for"]

CURES: tuple[tuple[str, str], ...] = (
    (r"map_value_or_null|R\d+ (?:invalid mem access|pointer arithmetic on) '?(?:map_value|mem|sock|ringbuf_mem|ptr)\w*"
     r"_or_null", "Check the pointer for None before using it: a lookup may find nothing."),
    (r"invalid access to packet|outside of the packet",
     "Check that the packet is long enough (pointer + size <= data_end) before reading, in the same expression form."),
    (r"invalid access to map value|min value is outside of the allowed memory range|max value is outside",
     "Bound the index before using it: compare it with the array's length, or mask it."),
    (r"unbounded memory access|R\d+ unbounded|make sure to bounds check",
     "Give the size or index an upper bound before this line, for example with min() or `& mask`."),
    (r"R\d+ min value is negative", "The number may be negative: use an unsigned type, or check that it is >= 0."),
    (r"invalid (?:indirect )?(?:read|access)(?: from)? stack|invalid read from stack",
     "Part of this stack memory was never written: initialise the whole variable, padding included."),
    (r"invalid write to stack|stack depth|invalid stack|off=-?\d+ size=\d+ .*stack",
     "The stack is 512 bytes over all nested calls: keep large data in a map."),
    (r"combined stack size|exceeds? (?:the )?stack|looks like the BPF stack limit|stack limit",
     "The stack is 512 bytes over all nested calls: keep large data in a per-CPU array."),
    (r"unreleased reference|reference (?:has not been|leak)|Unreleased",
     "Something acquired here is not released on every path: release it (or use a with block) before returning."),
    (r"release reference|is expected to be acquired|must be referenced",
     "Only what was acquired can be released, and once."),
    (r"infinite loop detected", "The loop's counter does not move towards its bound on every path."),
    (r"back-edge", "This kernel allows no loops here: bound the loop by a constant so that it is unrolled."),
    (r"program is too large|too many instructions|Processed \d+ insn",
     "The verifier gave up after 1,000,000 steps: bound loops more tightly, or use bpf_loop or a subprogram."),
    (r"sequence of \d+ jumps is too complex|too complex",
     "Too many paths: split the program into global subprograms or tail calls."),
    (r"unreachable insn", "There is code that no path reaches: remove it, or the condition that is always false."),
    (r"last insn is not an exit", "The program must end by returning on every path."),
    (r"R0 !read_ok|R0 .*(?:not|!).*(?:read|init)", "A path returns without a value."),
    (r"At program exit the register R0 has|should have been in|R0 has (?:unknown|value|smin)",
     "The program returns a value that its hook does not allow: return one of the hook's actions."),
    (r"!read_ok", "The value is used before anything was stored in it, or a call before has destroyed it."),
    (r"unknown func|invalid func unknown|program of this type cannot use helper",
     "Programs of this kind may not call this function, or this kernel does not have it."),
    (r"cannot call GPL|GPL-restricted|GPL compatible",
     "The function is for GPL programs: set the program's license to GPL."),
    (r"calling kernel function .* is not allowed|kernel function .* not (?:found|allowed)",
     "Programs of this kind may not call this kernel function."),
    (r"helper call might sleep|might sleep", "It may sleep: mark the program sleepable, or do not call it here."),
    (r"bpf_spin_lock|function calls are not allowed while holding a lock|holding a lock",
     "Between locking and unlocking only plain memory may be touched: make calls before or after."),
    (r"invalid mem access 'scalar'|invalid mem access 'inv'",
     "A number is used as an address: read kernel memory through a helper or a typed pointer."),
    (r"invalid mem access|pointer arithmetic .* prohibited|pointer arithmetic on",
     "This pointer cannot be used so: copy the value first, or get the pointer from a checked lookup."),
    (r"invalid bpf_context access|invalid context access",
     "Programs of this kind cannot read (or write) this field of the context."),
    (r"dereference of modified ctx|modified ctx ptr",
     "The compiler moved the context pointer: access the context's fields directly, not by a computed offset."),
    (r"write into (?:map|mem)|cannot write into|only read|read-only|rdonly",
     "This memory is read-only for the program."),
    (r"misaligned", "The access is not aligned: read the bytes into a variable of the right type."),
    (r"R\d+ type=(\w+) expected=", "An argument of this call has the wrong kind: see what is expected."),
    (r"leaks addr|leak pointer|pointer comparison prohibited",
     "A kernel address would become visible: store numbers, not pointers."),
    (r"tail_call|tail call", "Tail calls need a program array, and no locks or references held."),
    (r"must be a known constant|is not a known const|not a const",
     "This argument must be a constant that is known when the program is loaded."),
    (r"access beyond struct|access beyond|bpf_struct_access",
     "The kernel's struct ends before this: the field is elsewhere in this kernel; let CO-RE find it."),
    (r"attach_btf_id|is not a kernel function|doesn't have BTF",
     "The target is not there in this kernel under this name."),
    (r"bpf2bpf|recursive call|call stack of \d+ frames|frames is too deep",
     "Calls may nest 8 deep and must not recurse."),
    (r"dynptr", "The dynptr must be initialised, checked, and released or submitted on every path."),
    (r"iter(?:ator)?[ _]", "The iterator must be made, used and destroyed in that order, on every path."),
    (r"jump out of range|jump into the middle", "The instructions are damaged: compile the program again."),
    (r"unknown opcode|BPF_.* uses reserved fields|invalid BPF_",
     "This kernel does not know the instruction: build for an older target."),
    (r"fd \d+ is not pointing to valid bpf_map", "A map was closed before the program was loaded."),
)

_COMPILED: list[tuple[re.Pattern[str], str]] = []


def cure_for(reason: str) -> str:
    """The likely cure, or an empty string."""
    if not _COMPILED:
        _COMPILED.extend((re.compile(pattern, re.IGNORECASE), cure) for pattern, cure in CURES)
    return next((cure for pattern, cure in _COMPILED if pattern.search(reason)), "")

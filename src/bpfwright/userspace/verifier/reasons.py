"""Classes of reasons for a rejection, and which class a sentence of the kernel's log belongs to."""
from __future__ import annotations

import re

__all__ = ["Rejected", "classify"]

STRUCTURE = "structure"                 # opcodes, reserved fields, jumps, code that nothing reaches
LOOP = "loop"                           # no progress
TOO_COMPLEX = "too complex"             # the budget ran out
UNINITIALISED = "uninitialised register"
NULL = "null check"
TYPE = "type"                           # the wrong kind of value, for an access, an argument or a comparison
ARITHMETIC = "pointer arithmetic"
PACKET = "packet bounds"
MAP_VALUE = "map value bounds"
MEMORY = "memory bounds"                # other regions: records, helpers' memory
SIZE = "size"                           # a size argument that may be negative, zero or too large
STACK = "stack"
CONTEXT = "context access"
HELPER = "helper not allowed"
REFERENCE = "unreleased reference"
LOCK = "lock"
RETURN = "return value"
READ_ONLY = "read-only memory"
ALIGNMENT = "alignment"
CONSTANT = "constant needed"
CALLS = "calls"                         # depth, recursion, arguments of functions
ITERATOR = "iterator"
DYNPTR = "dynptr"
SLEEP = "sleep"
MAP = "map"                             # a map that does not go with this use
TARGET = "target"                       # what the program is for


class Rejected(Exception):
    """The program is refused: why, in a class and a sentence, and what would have made it pass."""

    def __init__(self, reason: str, message: str, missing: str = "", registers: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.reason, self.message, self.missing, self.registers = reason, message, missing, registers


_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"infinite loop|back-edge", LOOP),
    (r"program is too large|too many instructions|too complex|too many states|Processed \d+ insn", TOO_COMPLEX),
    (r"!read_ok", UNINITIALISED),
    (r"pointer arithmetic on \w*_or_null", NULL),
    (r"helper access to the packet|outside of the packet", PACKET),
    (r"type=\w*_or_null expected|type=scalar expected=\w*fp_or_null", NULL),
    (r"R\d+ type=\S+ expected=", TYPE),
    (r"backtracking misuse|expected pointer to STRUCT|only read from bpf_\w+ is supported|is not a scalar$", TYPE),
    (r"variable ringbuf_mem access|ptr R\d+ off=\S+ disallowed", CONTEXT),
    (r"expects refcounted|still needs to be released|verifier contract: rele", REFERENCE),
    (r"math between|pointer arithmetic|pointer offset|makes .* pointer be out of bounds|"
     r"(?:subtract|subtraction) (?:pointer|from)|pointer s?[-+*/&|^%<>=]+ pointer|bitwise operator|"
     r"partial copy of pointer|sign-extension part of pointer|pointer .= operator|arithmetic.* prohibited|"
     r"operator prohibited",
     ARITHMETIC),
    (r"invalid access to packet|outside of the packet|pointer to packet|Negative offset.*packet", PACKET),
    (r"_or_null'|may be NULL|Possibly NULL|null-check it first|NULL pointer passed|expected to be non-NULL", NULL),
    (r"dereference of modified|invalid bpf_context access|invalid context access|negative offset ctx|"
     r"ctx access var_off|invalid tracepoint access|variable ctx access|invalid network|"
     r"BPF_ATOMIC (?:loads|stores) (?:from|into) R\d+ (?:ctx|pkt|flow_keys|sock)|BPF_ST stores into R\d+ ctx", CONTEXT),
    (r"combined stack size|stack size of \d+|call stack of|frames is too deep|recursive call|"
     r"caller passes invalid args|tail_call.*subprog|Caller passes|global functions?\b.*R0|"
     r"arg#\d+.*(?:reference type|type \w+ in)|bpf to bpf|calling invalid destination|"
     r"Bad return|Global function|invalid BTF|Func#\d+ ", CALLS),
    (r"Unreleased reference|reference leak|reference has not been|would lead to reference leak|"
     r"release.* unacquired|must have zero offset when passed to release|"
     r"must be referenced|arg .* is a released|reference .* not",
     REFERENCE),
    (r"callback function not allowed", MAP),
    (r"spin_lock|holding a lock|lock is|lock-ed region|unlock|rcu_read_lock|non-preemptible|"
     r"preempt|IRQ|lock region|not locked|lock held", LOCK),
    (r"timer|kptr", MAP),
    (r"R0 not a scalar value|At program exit|register R0 has|At subprogram exit|At callback return|"
     r"should have been in|At async callback",
     RETURN),
    (r"\bdynptr\b", DYNPTR),
    (r"\biter_?\w* |iterator", ITERATOR),
    (r"sleep", SLEEP),
    (r"invalid func unknown|cannot use helper|cannot call|unknown func|not allowed|not supported for program|"
     r"GPL|not exported|calling kernel function", HELPER),
    (r"cannot pass map_type|map_type|map type|invalid map_ptr|map_ptr|map_value access|doesn't match map", MAP),
    (r"misaligned (?!stack)", ALIGNMENT),
    (r"misaligned stack|invalid (?:indirect )?(?:variable-offset )?(?:read|write|access) (?:from|to|of) stack|"
     r"invalid stack|stack (?:frame|pointer|access|type)|variable-offset stack|corrupt(?:ed)? spill|"
     r"invalid size of register|invalid (?:zero-size|unbounded|variable).*stack|"
     r"unbounded .*stack|invalid indirect|frame pointer is read only|attempt to corrupt|"
     r"cannot overwrite", STACK),
    (r"write into map|cannot write into|only read|rdonly|read-only|read_only|read from map forbidden|write to map",
     READ_ONLY),
    (r"invalid access to map|map_value pointer .* (?:outside|bounds)", MAP_VALUE),
    (r"invalid access to memory|invalid access beyond|access beyond|outside of the allowed memory|"
     r"invalid buffer access|invalid tracepoint buffer|invalid negative .*buffer|invalid variable buffer|"
     r"invalid (?:access|read|write)? ?(?:off|offset)", MEMORY),
    (r"unbounded memory access|min value is negative|invalid zero-sized|invalid size|unbounded.*size|"
     r"invalid zero-size", SIZE),
    (r"not zero-terminated|must be a known constant|known const|not a const|is not a constant|constant scalar|"
     r"known map", CONSTANT),
    (r"invalid mem access|type=\S+ expected=|expected pointer to|is an integer|pointer comparison|leaks|"
     r"type \S+ is not|expected=|must point to|cannot be accessed|is not a pointer|is ptr_|unsupported reg type|"
     r"arg#\d+|R\d+ is|R\d+ must|expects|Unsupported reg type|same insn cannot be used|is not allowed to point|"
     r"pointer to ", TYPE),
    (r"addr_space_cast|unknown opcode|reserved fields|invalid (?:BPF|bpf)_|unreachable insn|jump out of range|"
     r"last insn is not|"
     r"jump into the middle|invalid insn|div by zero|invalid shift|invalid (?:atomic|ALU)|opcode|"
     r"invalid ldimm64|BPF_\w+ (?:uses|is|insn)|R\d+ is invalid|invalid may_goto|fell off|no subprog|"
     r"insn \d+ was never|unexpected|invalid imm|unrecognized|Invalid insn", STRUCTURE),
    (r"invalid access|R\d+ invalid", MEMORY),
    (r"attach_btf_id|BTF", TARGET),
)
_compiled: list[tuple[re.Pattern[str], str]] = []


def classify(sentence: str) -> str:
    """The class of the verifier's own sentence; empty when it is unknown.

        >>> classify("R0 invalid mem access 'map_value_or_null'")
        'null check'
    """
    if not _compiled:
        _compiled.extend((re.compile(pattern), reason) for pattern, reason in _PATTERNS)
    return next((reason for pattern, reason in _compiled if pattern.search(sentence)), "")

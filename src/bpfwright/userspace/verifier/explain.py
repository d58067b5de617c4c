"""What usually mends a program, by the class of the reason."""
from __future__ import annotations

from bpfwright.userspace.verifier import reasons as R

__all__ = ["cure_for"]

_CURES = {
    R.NULL: "Check the pointer for None before using it: a lookup may find nothing.",
    R.PACKET: "Check that the packet is long enough (pointer + size <= data_end) before reading, in the same "
              "expression form.",
    R.MAP_VALUE: "Bound the index before using it: compare it with the array's length, or mask it.",
    R.SIZE: "Give the size or index bounds before this line, for example with min() or `& mask`, and an unsigned type.",
    R.MEMORY: "Stay within the memory that the pointer was given for.",
    R.UNINITIALISED: "The value is used before anything was stored in it, or a call before has destroyed it.",
    R.REFERENCE: "Something acquired here is not released on every path, or twice: release it once.",
    R.LOCK: "Between locking and unlocking only plain memory may be touched, and every path unlocks.",
    R.RETURN: "Return one of the hook's actions.",
    R.LOOP: "Let the loop's counter move towards its bound on every path.",
    R.TOO_COMPLEX: "Bound the loop by a small constant, use bpf_loop, or split the program into functions.",
    R.STACK: "The stack is 512 bytes over all nested calls; initialise what is read, and keep large data in a map.",
    R.CONTEXT: "Programs of this kind cannot read (or write) this field of the context, and the context pointer must "
               "be used as it came.",
    R.HELPER: "Programs of this kind may not call this function, or this kernel does not have it.",
    R.ARITHMETIC: "Add bounded numbers to pointers only, and never cut or mask a pointer.",
    R.READ_ONLY: "This memory is read-only for the program: copy it first.",
    R.TYPE: "An argument or address is of another kind than expected: see what is.",
    R.CALLS: "Calls nest 8 deep at most, without recursion, and their stacks share 512 bytes.",
    R.STRUCTURE: "The instructions are damaged or for another kernel: compile the program again.",
}


def cure_for(reason: str) -> str:
    """The likely cure, or an empty string."""
    return _CURES.get(reason, "")

"""Instructions as text, in the spelling that the kernel's log and LLVM share."""
from __future__ import annotations

from bpfwright._abi.helpers import HELPER_NAMES
from bpfwright._typing import Iterator
from bpfwright.errors import FormatError
from bpfwright.formats.isa.instructions import Instruction, decode
from bpfwright.formats.isa.opcodes import ATOMICS

__all__ = ["disassemble", "text"]


def disassemble(code: bytes, big_endian: bool = False) -> Iterator[tuple[int, str]]:
    """Slot number and text of each instruction; what is unknown prints as `.insn` and its bytes, never an error."""
    for index, instruction in decode(code, big_endian):
        yield index, text(instruction)


def text(instruction: Instruction) -> str:
    """One instruction.

        >>> text(Instruction(0x61, dst=2, src=1, offset=4))
        'r2 = *(u32 *)(r1 + 4)'
    """
    try:
        row, meaning = instruction.row, instruction.meaning
    except FormatError:
        return f".insn {instruction.opcode:#04x} dst={instruction.dst} src={instruction.src} " \
               f"off={instruction.offset} imm={instruction.imm}"
    names: dict[str, object] = {
        "dst": instruction.dst, "src": instruction.src, "imm": instruction.imm, "width": row.width,
        "reg": "r" if row.width == 64 else "w",
        "place": f"{'-' if instruction.offset < 0 else '+'} {abs(instruction.offset)}",
        "jump": f"{instruction.offset:+d}", "long_jump": f"{instruction.imm:+d}",
    }
    if meaning == "movsx":
        register = "r" if row.width == 64 else "w"
        return f"{register}{instruction.dst} = (s{instruction.offset}){register}{instruction.src}"
    if row.op == "atomic":
        return ATOMICS[instruction.imm][1].format_map(names)
    if row.op == "call":
        names["callee"] = _callee(instruction)
    if row.op == "ldimm64":
        names["wide"] = _wide(instruction)
    line = row.text.format_map(names)
    return line.replace(" /=", " s/=").replace(" %=", " s%=") if meaning in ("sdiv", "smod") else line


def _callee(instruction: Instruction) -> str:
    if instruction.src == 1:
        return f"pc{instruction.imm:+d}"
    if instruction.src == 2:
        return f"kfunc#{instruction.imm}"
    name = HELPER_NAMES.get(instruction.imm)
    return f"bpf_{name}#{instruction.imm}" if name else f"{instruction.imm}"


_PSEUDO = {1: "map[fd:{0}]", 2: "map[fd:{0}][0]+{1}", 3: "btf_id:{0} btf_obj:{1}", 4: "func pc{0:+d}",
           5: "map[idx:{0}]", 6: "map[idx:{0}][0]+{1}"}


def _wide(instruction: Instruction) -> str:
    pseudo = _PSEUDO.get(instruction.src)
    return pseudo.format(instruction.imm, instruction.high) if pseudo else f"{instruction.wide:#x} ll"

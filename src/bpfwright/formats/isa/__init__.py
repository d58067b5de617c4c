"""The eBPF instruction set: opcode table, bytes to instructions and back, text."""
from __future__ import annotations

from bpfwright.formats.isa.disassembler import disassemble, text
from bpfwright.formats.isa.instructions import Instruction, decode, encode, wide_immediate
from bpfwright.formats.isa.opcodes import ATOMICS, OPCODES, Opcode

__all__ = ["ATOMICS", "OPCODES", "Instruction", "Opcode", "decode", "disassemble", "encode", "text", "wide_immediate"]

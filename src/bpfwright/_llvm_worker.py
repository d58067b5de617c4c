"""The compile worker: a script that _llvm.py starts; nothing imports it, and it imports nothing of bpfwright.

Frames on both pipes are a 4-byte little-endian length and that many bytes. A request is target (`b`pf or `n`ative),
optimisation level, lengths of cpu and features, then cpu, features and LLVM IR; an answer is a status byte (0: object,
1: diagnostics) and the bytes. Whatever LLVM prints goes to stderr, which the parent keeps.
"""
from __future__ import annotations

import os
import re
import signal
import struct
import sys
from select import select
from typing import Any

LENGTH = struct.Struct("<I")
REQUEST = struct.Struct("<cBHH")
NAME = r"%[-\w.$]+"
MINIMUM = re.compile(rf"^ +({NAME}) = .*call .*@llvm\.s(min|max)\.", re.MULTILINE)
USE = re.compile(r"^ +(%\S+) = (icmp samesign u|icmp u|zext nneg |zext )(?:\w+ )?(i\d+) .*$", re.MULTILINE)
WARM_UP = 'target triple = "bpfel"\ndefine i32 @f(ptr %p) {\n %v = load i32, ptr %p\n ret i32 %v\n}\n'


def read_exactly(fd: int, count: int) -> bytes:
    """`count` bytes, or fewer when the pipe ends."""
    parts = []
    while count:
        part = os.read(fd, min(count, 1 << 20))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]


def with_signed_minima(text: str) -> str:
    """A module in which no min or max of signed numbers is compared as an unsigned number.

    In loops LLVM's BPF back end makes `a < x and b < x` of `max(a, b) < x`, even where `<` is unsigned and max is not
    (sinkMinMax in LLVM 22): then -5 is above every x. What is frozen it leaves alone.
    """
    return "".join(map(_signed_minima, re.split(r"^(?=define )", text, flags=re.MULTILINE)))


def _signed_minima(function: str) -> str:
    found = dict(MINIMUM.findall(function))

    def use(match: re.Match[str]) -> str:
        line, result, how, type = match[0], *match.groups()
        operands = [name for name in re.findall(NAME, line)[1:] if name in found]
        if len(operands) != 1 or (how == "zext nneg " and found[operands[0]] == "min"):
            return line
        if how == "icmp samesign u":  # of equal signs both comparisons say the same
            return line.replace(how, "icmp s")
        own = f"{result}.frozen"
        return f"  {own} = freeze {type} {operands[0]}\n" + re.sub(rf"{re.escape(operands[0])}(?![-\w.$])", own, line)

    return USE.sub(use, function) if found else function


class Compiler:
    """LLVM, with one target machine per set of options."""

    def __init__(self) -> None:
        import llvmlite.binding as llvm
        self.llvm = llvm
        # A loop's closed form may need 128-bit products, which BPF has not (__multi3 would end this process).
        llvm.set_option("bpfwright", "-replexitval=never")
        # Loop strength reduction adds a packet pointer up in two ways, and uses the one that was not checked.
        llvm.set_option("bpfwright", "-disable-lsr=1")
        # Placed anew, a loop's end may fall through into its head, which Linux 6.1 refuses: "back-edge from insn".
        llvm.set_option("bpfwright", "-disable-block-placement=1")
        if sys.argv[2:] == ["careful"]:  # it may leave a register without its definition (LLVM 22, LiveVariables.cpp)
            llvm.set_option("bpfwright", "-disable-machine-cse=1")
        self.machines: dict[tuple[bytes, int, str, str], Any] = {}
        self.ready: set[bytes] = set()

    def machine(self, target: bytes, opt: int, cpu: str, features: str) -> Any:
        known = self.machines.get((target, opt, cpu, features))
        if known is None:
            llvm = self.llvm
            if target not in self.ready:
                self.ready.add(target)
                if target == b"b":
                    llvm.initialize_all_targets()
                    llvm.initialize_all_asmprinters()
                else:
                    llvm.initialize_native_target()
                    llvm.initialize_native_asmprinter()
            # Native code is ELF everywhere: our own loader places it.
            host = llvm.get_default_triple()
            native = host if "linux" in host else f"{host.split('-')[0]}-unknown-linux-gnu"
            triple = "bpfel" if target == b"b" else native
            if cpu == "host":
                cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
            known = llvm.Target.from_triple(triple).create_target_machine(
                cpu=cpu, features=features, opt=opt, reloc="default" if target == b"b" else "pic", codemodel="default")
            self.machines[target, opt, cpu, features] = known
        return known

    def compile(self, target: bytes, opt: int, cpu: str, features: str, ir: str) -> bytes:
        llvm = self.llvm
        machine = self.machine(target, opt, cpu, features)
        module = llvm.parse_assembly(ir, llvm.create_context())
        if target == b"n":
            module.triple = machine.triple
            module.data_layout = str(machine.target_data)
        module.verify()
        options = llvm.create_pipeline_tuning_options(speed_level=opt)
        # The vectorizers make vector code that the BPF back end scalarises again, badly.
        options.loop_vectorization = options.slp_vectorization = target == b"n" and opt > 1
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
        if target == b"b" and any(re.match(r"llvm\.s(min|max)\.", f.name) for f in module.functions):
            module = llvm.parse_assembly(with_signed_minima(str(module)), llvm.create_context())
        result: bytes = machine.emit_object(module)
        return result


def serve(source: int, sink: int) -> None:
    """Answer requests until the pipe ends, which it does when the parent dies."""
    compiler = Compiler()
    if sys.platform != "win32" and not select([source], [], [], 0)[0]:  # there it looks at sockets only
        compiler.compile(b"b", 2, "v3", "", WARM_UP)
    while True:
        head = read_exactly(source, LENGTH.size)
        if len(head) < LENGTH.size:
            return
        length = LENGTH.unpack(head)[0]
        body = read_exactly(source, length)
        if len(body) < length:
            return
        target, opt, cpu, features = REQUEST.unpack_from(body)
        names = body[REQUEST.size:REQUEST.size + cpu + features].decode()
        ir = body[REQUEST.size + cpu + features:].decode("utf-8", "surrogateescape")
        try:
            answer = b"\0" + compiler.compile(target, opt, names[:cpu], names[cpu:], ir)
        except (RuntimeError, ValueError) as problem:  # what llvmlite raises for IR that does not parse or verify
            answer = b"\1" + str(problem).encode("utf-8", "replace")
        write_all(sink, LENGTH.pack(len(answer)) + answer)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    sys.path.append(sys.argv[1])
    answers = os.dup(1)
    os.dup2(2, 1)  # LLVM must not write between our frames
    try:
        serve(0, answers)
    except BrokenPipeError:
        pass
    sys.stderr.flush()
    os._exit(0)  # tearing LLVM down takes longer than anyone waits for

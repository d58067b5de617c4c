"""The compile worker: a script that _llvm.py starts; nothing imports it, and it imports nothing of bpfwright.

Frames on both pipes are a 4-byte little-endian length and that many bytes. A request is target (`b`pf or `n`ative),
optimisation level, lengths of cpu and features, then cpu, features and LLVM IR; an answer is a status byte (0: object,
1: diagnostics) and the bytes. Whatever LLVM prints goes to stderr, which the parent keeps.
"""
from __future__ import annotations

import gc
import os
import struct
import sys
from _signal import SIG_IGN, SIGINT, signal  # type: ignore[import-not-found]  # signal itself makes enums
from contextlib import contextmanager
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from typing import Any

LENGTH = struct.Struct("<I")
REQUEST = struct.Struct("<cBHH")
NAME = r"%[-\w.$]+"
MINIMUM = rf"(?m)^ +({NAME}) = .*call .*@llvm\.s(min|max)\."
RETURN = rf"(?m)^([-\w.$]+):.*\n  ({NAME}) = phi (i\d+) (.*)\n  ret i\d+ \2(?=[,\n])(.*)\n"
ORIGIN = r"\[ (-?\d+|%[-\w.$]+), %([-\w.$]+) \]"
USE = r"(?m)^ +(%\S+) = (icmp samesign u|icmp u|zext nneg |zext )(?:\w+ )?(i\d+) .*$"
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
    import re
    return "".join(map(_signed_minima, re.split(r"^(?=define )", text, flags=re.MULTILINE)))


def _signed_minima(function: str) -> str:
    import re
    found = dict(re.findall(MINIMUM, function))

    def use(match: re.Match[str]) -> str:
        line, result, how, type = match[0], *match.groups()
        operands = [name for name in re.findall(NAME, line)[1:] if name in found]
        if len(operands) != 1 or (how == "zext nneg " and found[operands[0]] == "min"):
            return line
        if how == "icmp samesign u":  # of equal signs both comparisons say the same
            return line.replace(how, "icmp s")
        own = f"{result}.frozen"
        return f"  {own} = freeze {type} {operands[0]}\n" + re.sub(rf"{re.escape(operands[0])}(?![-\w.$])", own, line)

    return re.sub(USE, use, function) if found else function


def with_own_returns(text: str) -> str:
    """A module whose functions return each constant from a block of its own, at their ends.

    LLVM lets all returns meet in one block; the result's register is then taken before the value is known, and each
    check of a pointer that a helper returned costs two instructions more.
    """
    import re
    return "".join(map(_own_returns, re.split(r"^(?=define )", text, flags=re.MULTILINE)))


def _own_returns(function: str) -> str:
    import re
    met = re.search(RETURN, function)
    if met is None:
        return function
    block, result, type, phi, location = met.groups()
    origins = re.findall(ORIGIN, phi)
    constants = {origin: value for value, origin in origins if not value.startswith("%")}
    if len(origins) != phi.count("[") or len(constants) < 2:
        return function
    others = ", ".join(f"[ {value}, %{origin} ]" for value, origin in origins if origin not in constants)
    rest = f"{block}:\n  {result} = phi {type} {others}\n  ret {type} {result}{location}\n" if others else ""
    label = re.compile(rf"label %{re.escape(block)}(?![-\w.$])")
    parts = re.split(r"(?m)^(?=[-\w.$]+:)", function[:met.start()] + rest + function[met.end():])
    labels = [part.partition(":")[0] for part in parts]
    labels[0] = next(iter(constants.keys() - set(labels)), labels[0])  # a nameless first block has no line of its own
    for number, origin in enumerate(labels):
        if origin in constants:
            # A jump becomes the return, which keeps the jump's line.
            part = parts[number].replace(f"\n  br label %{block},", f"\n  ret {type} {constants[origin]},")
            parts[number] = label.sub(f"label %{block}.{constants[origin]}", part)
    whole = "".join(parts)
    own = "".join(f"{block}.{value}:\n  ret {type} {value}{location}\n" for value in dict.fromkeys(constants.values())
                  if f"label %{block}.{value}" in whole)
    return whole.replace("\n}\n", f"\n{own}}}\n", 1)


class BesideModule(str):
    """The folder of a module, as much of importlib's Traversable as llvmlite asks of it."""

    def __truediv__(self, name: str) -> BesideModule:
        return BesideModule(os.path.join(self, name))


@contextmanager
def as_file(path: str) -> Iterator[str]:
    yield path


def llvm_binding() -> Any:
    """llvmlite.binding. It finds its library by importlib.resources, whose imports take a quarter of this process's
    start, so that name means the little above while llvmlite is imported; should it ask for more, it gets all.
    """
    light = ModuleType("importlib.resources")
    light.__dict__.update(files=lambda name: BesideModule(os.path.dirname(sys.modules[name].__file__ or "")),
                          as_file=as_file)
    sys.modules["importlib.resources"] = light
    try:
        import llvmlite.binding as llvm
    except (ImportError, AttributeError, TypeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "llvmlite"]:
            del sys.modules[name]
        del sys.modules["importlib.resources"]
        import llvmlite.binding as llvm
    else:
        del sys.modules["importlib.resources"]
    return llvm


class Compiler:
    """LLVM, with one target machine per set of options."""

    def __init__(self) -> None:
        llvm = self.llvm = llvm_binding()
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
        if target == b"b" and opt > 0:
            text = str(module)
            better = with_own_returns(text)
            if any(function.name.startswith(("llvm.smin.", "llvm.smax.")) for function in module.functions):
                better = with_signed_minima(better)
            if better != text:
                module = llvm.parse_assembly(better, llvm.create_context())
                module.verify()
        result: bytes = machine.emit_object(module)
        return result


def waiting(source: int) -> bool:
    """Whether a request is there already."""
    if sys.platform == "win32":  # select looks at sockets only
        return True
    from select import select
    return bool(select([source], [], [], 0)[0])


def serve(source: int, sink: int) -> None:
    """Answer requests until the pipe ends, which it does when the parent dies."""
    gc.disable()  # nothing of what is imported is garbage
    compiler = Compiler()
    gc.enable()
    if not waiting(source):
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
    signal(SIGINT, SIG_IGN)  # Ctrl-C is the parent's to handle
    sys.path.append(sys.argv[1])
    answers = os.dup(1)
    os.dup2(2, 1)  # LLVM must not write between our frames
    try:
        serve(0, answers)
    except BrokenPipeError:
        pass
    sys.stderr.flush()
    os._exit(0)  # tearing LLVM down takes longer than anyone waits for

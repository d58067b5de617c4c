"""Attaches the programs of an object where their sections say, or where the command line says."""
from __future__ import annotations


from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Callable
from bpfwright.errors import UsageError
from bpfwright.spec.machine import Link, LoadedProgram

if TYPE_CHECKING:
    import argparse

    from bpfwright.kernel import Kernel

__all__ = ["add_options", "attach"]

Attach = Callable[["Kernel", LoadedProgram, "argparse.Namespace"], Link]


def add_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where to attach, for programs whose section does not say")
    group.add_argument("--interface", "-i", metavar="NAME", help="network interface, for xdp and tc")
    group.add_argument("--xdp-mode", choices=("auto", "native", "generic"), default="auto", help="(auto)")
    group.add_argument("--egress", action="store_true", help="tc: what leaves, not what comes in")
    group.add_argument("--cgroup", metavar="PATH", help="cgroup directory (the root of the cgroup2 tree)")
    group.add_argument("--hz", type=int, default=99, help="samples a second, for perf_event (99)")


def attach(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    """Attach one program; the link says where."""
    how = _BY_TYPE.get(program.spec.type)
    if how is None:
        raise UsageError(f"program {program.spec.name} cannot be attached from here",
                         why=f"A program of section {program.spec.section!r} needs a target that only code can give.",
                         cure="Load it without --attach, or attach it in Python.")
    return how(kernel, program, chosen)


def _need(program: LoadedProgram, value: str | None, option: str) -> str:
    if value:
        return value
    raise UsageError(f"program {program.spec.name} needs a target",
                     why=f"Its section {program.spec.section!r} names none.", cure=f"Add {option}.")


def _xdp(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    return kernel.xdp(program, _need(program, chosen.interface, "--interface NAME"), chosen.xdp_mode)


def _classifier(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    egress = chosen.egress or program.spec.expected_attach_type == B.BPF_TCX_EGRESS
    return kernel.classifier(program, _need(program, chosen.interface, "--interface NAME"), ingress=not egress)


def _tracepoint(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    category, _, name = _need(program, program.spec.attach_to, "a section tracepoint/CATEGORY/NAME").partition("/")
    return kernel.tracepoint(program, category, name)


def _raw_tracepoint(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    return kernel.raw_tracepoint(program, _need(program, program.spec.attach_to, "a section raw_tp/NAME"))


def _tracing(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    if program.spec.expected_attach_type == B.BPF_TRACE_ITER:
        return kernel.link(program, B.BPF_TRACE_ITER)
    return kernel.raw_tracepoint(program, "")


def _lsm(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    if program.spec.expected_attach_type == B.BPF_LSM_CGROUP:
        return _cgroup(kernel, program, chosen)
    return kernel.raw_tracepoint(program, "")


def _cgroup(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    from bpfwright.kernel.mounts import cgroup2
    return kernel.cgroup(program, chosen.cgroup or cgroup2(), program.spec.expected_attach_type)


def _sampling(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    return kernel.sample(program, hz=chosen.hz)


def _probe(kernel: Kernel, program: LoadedProgram, chosen: argparse.Namespace) -> Link:
    prefix = program.spec.section.partition("/")[0].partition(".")[0]
    target = _need(program, program.spec.attach_to, f"a section {prefix}/TARGET")
    ret = prefix.startswith(("kret", "uret"))
    if prefix in ("uprobe", "uretprobe"):
        path, _, offset = target.rpartition(":")
        if not path or not offset.startswith("0x"):
            raise UsageError(f"program {program.spec.name}: {target!r} is not FILE:0xOFFSET",
                             cure="Give the place in the file, or attach it in Python, which finds symbols.")
        return kernel.uprobe(program, path, _number(offset, program), ret=ret)
    function, _, offset = target.partition("+")
    if prefix in ("ksyscall", "kretsyscall"):
        function = f"__x64_sys_{function}"
    return kernel.kprobe(program, function, offset=_number(offset, program) if offset else 0, ret=ret)


def _number(text: str, program: LoadedProgram) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"program {program.spec.name}: {text!r} is not a number of bytes") from None


_BY_TYPE: dict[int, Attach] = {
    B.BPF_PROG_TYPE_XDP: _xdp,
    B.BPF_PROG_TYPE_SCHED_CLS: _classifier,
    B.BPF_PROG_TYPE_TRACEPOINT: _tracepoint,
    B.BPF_PROG_TYPE_RAW_TRACEPOINT: _raw_tracepoint,
    B.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE: _raw_tracepoint,
    B.BPF_PROG_TYPE_TRACING: _tracing,
    B.BPF_PROG_TYPE_LSM: _lsm,
    B.BPF_PROG_TYPE_KPROBE: _probe,
    B.BPF_PROG_TYPE_PERF_EVENT: _sampling,
    B.BPF_PROG_TYPE_CGROUP_SKB: _cgroup,
    B.BPF_PROG_TYPE_CGROUP_SOCK: _cgroup,
    B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR: _cgroup,
    B.BPF_PROG_TYPE_CGROUP_SOCKOPT: _cgroup,
    B.BPF_PROG_TYPE_CGROUP_SYSCTL: _cgroup,
    B.BPF_PROG_TYPE_CGROUP_DEVICE: _cgroup,
    B.BPF_PROG_TYPE_SOCK_OPS: _cgroup,
}

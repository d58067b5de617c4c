"""Attachments on the running kernel: each kind attaches, fires, is replaced where it can be, and leaves nothing."""
from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bpfwright._abi import bpf as B
from bpfwright.errors import KernelError, NotSupported, TargetError, UsageError
from bpfwright.kernel import Kernel, mounts
from bpfwright.kernel.attach import clsact_filter
from bpfwright.kernel.features import Features
from bpfwright.kernel.link import open_link
from bpfwright.kernel.loader import KernelObject
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink, interface_index
from bpfwright.spec.machine import LoadedObject, Machine
from tests.kernel.programs import constant, counting

pytestmark = pytest.mark.kernel

XDP = B.BPF_PROG_TYPE_XDP
CLS = B.BPF_PROG_TYPE_SCHED_CLS


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def machine() -> Iterator[Kernel]:
    before = descriptors()
    with Kernel() as kernel:
        yield kernel
    assert descriptors() == before, "a descriptor was left open"


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[NetworkNamespace, NetworkNamespace]]:
    """Two namespaces and a veth pair between them: 10.77.0.1 on `va`, 10.77.0.2 on `vb`."""
    with NetworkNamespace.create() as near, NetworkNamespace.create() as far:
        with near.entered(), Netlink() as netlink:
            netlink.create_veth("va", "vb")
            netlink.move("vb", far.fd)
        for space, name, address in ((near, "va", "10.77.0.1"), (far, "vb", "10.77.0.2")):
            with space.entered(), Netlink() as netlink:
                netlink.add_address(name, address, 24)
                netlink.set_up(name)
        assert exchange(near, far, 5), "the wire does not carry"
        yield near, far


def exchange(near: NetworkNamespace, far: NetworkNamespace, timeout_s: float = 0.3) -> bool:
    """Whether one of six datagrams from near arrives at far."""
    with far.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind(("10.77.0.2", 7777))
        receiver.settimeout(timeout_s / 6)
    with near.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender:
        for _ in range(6):
            sender.sendto(b"hello", ("10.77.0.2", 7777))
            try:
                return receiver.recv(16) == b"hello"
            except TimeoutError:
                continue
        return False


def count(loaded: KernelObject) -> int:
    return int.from_bytes(loaded.maps["counters"].lookup(bytes(4)) or b"", "little")


def test_the_kernel_is_a_machine(machine: Kernel) -> None:
    protocol: Machine = machine
    loaded: LoadedObject = protocol.load(constant(2, XDP, B.BPF_XDP))
    loaded.close()


@pytest.mark.parametrize("mode", ["native", "generic", "auto"])
def test_xdp_drops_until_it_is_replaced_or_closed(machine: Kernel, mode: str,
                                                  wire: tuple[NetworkNamespace, NetworkNamespace]) -> None:
    near, far = wire
    with machine.load(constant(B.XDP_DROP, XDP, B.BPF_XDP)) as drop, \
            machine.load(counting(B.XDP_PASS, XDP, B.BPF_XDP)) as passes:
        assert exchange(near, far)
        with far.entered(), machine.xdp(drop.programs["main"], "vb", mode) as link:
            assert ("native" if mode == "auto" else mode) in link.description
            assert not exchange(near, far)
            link.update(passes.programs["main"])
            assert exchange(near, far)
            assert count(passes) > 0
        assert exchange(near, far)


def test_a_second_xdp_program_is_told_who_is_there(machine: Kernel,
                                                   wire: tuple[NetworkNamespace, NetworkNamespace]) -> None:
    _, far = wire
    with machine.load(constant(B.XDP_PASS, XDP, B.BPF_XDP)) as loaded, far.entered():
        program = loaded.programs["main"]
        with machine.xdp(program, "vb"), pytest.raises(KernelError, match=f"number {program.id} is there"):
            machine.xdp(program, "vb")


def test_xdp_by_netlink_works_and_removes_only_its_own(machine: Kernel,
                                                       wire: tuple[NetworkNamespace, NetworkNamespace]) -> None:
    from bpfwright.kernel.attach import _xdp_by_netlink
    near, far = wire
    with machine.load(constant(B.XDP_DROP, XDP, B.BPF_XDP)) as drop, \
            machine.load(constant(B.XDP_PASS, XDP, B.BPF_XDP)) as passes, far.entered():
        with _xdp_by_netlink(drop.programs["main"], interface_index("vb"), B.XDP_FLAGS_DRV_MODE, "XDP") as link:
            assert not exchange(near, far)
            link.update(passes.programs["main"])
            assert exchange(near, far)
            with Netlink() as netlink:
                assert netlink.xdp_state(interface_index("vb"))[1] == passes.programs["main"].id
        with Netlink() as netlink:
            assert netlink.xdp_state(interface_index("vb")) == (0, 0)


@pytest.mark.parametrize("ingress", [True, False])
def test_a_classifier_drops_until_closed(machine: Kernel, ingress: bool,
                                         wire: tuple[NetworkNamespace, NetworkNamespace]) -> None:
    near, far = wire
    space, name = (far, "vb") if ingress else (near, "va")
    with machine.load(constant(2, CLS)) as drop, machine.load(counting(0, CLS)) as passes:
        with space.entered(), machine.classifier(drop.programs["main"], name, ingress=ingress) as link:
            assert not exchange(near, far)
            link.update(passes.programs["main"])
            assert exchange(near, far)
        assert count(passes) > 0
        assert exchange(near, far)


def test_a_clsact_filter_is_named_replaced_and_cleaned_up(machine: Kernel,
                                                          wire: tuple[NetworkNamespace, NetworkNamespace]) -> None:
    near, far = wire
    with machine.load(constant(2, CLS)) as drop, machine.load(constant(0, CLS)) as passes, far.entered():
        number = interface_index("vb")
        with clsact_filter(drop.programs["main"], "vb", number, True) as link, Netlink() as netlink:
            assert [name for _, _, name in netlink.filters(number, True)] == ["bpfwright:main"]
            assert not exchange(near, far)
            link.update(passes.programs["main"])
            assert exchange(near, far)
            assert len(netlink.filters(number, True)) == 1
        with Netlink() as netlink:
            assert netlink.add_clsact(number), "the qdisc that we added is still there"


def test_an_interface_that_vanishes_detaches_quietly(machine: Kernel) -> None:
    with machine.load(constant(0, CLS)) as classifier, machine.load(constant(2, XDP, B.BPF_XDP)) as packets:
        with NetworkNamespace.create() as space, space.entered():
            with Netlink() as netlink:
                netlink.create_veth("va", "vb")
            links = [clsact_filter(classifier.programs["main"], "vb", interface_index("vb"), True),
                     machine.xdp(packets.programs["main"], "vb")]
            with Netlink() as netlink:
                netlink.delete_interface("vb")
            for link in links:
                link.close()
            with pytest.raises(TargetError, match="no interface 'vb'"):
                machine.xdp(packets.programs["main"], "vb")


def test_wrong_mode_and_missing_interface(machine: Kernel) -> None:
    with machine.load(constant(2, XDP, B.BPF_XDP)) as loaded:
        with pytest.raises(UsageError, match="'fast' is unknown"):
            machine.xdp(loaded.programs["main"], "lo", "fast")
        with pytest.raises(TargetError, match="no interface 'nowhere0'"):
            machine.xdp(loaded.programs["main"], "nowhere0")
        with pytest.raises(TargetError, match="no interface 'nowhere0'"):
            machine.classifier(loaded.programs["main"], "nowhere0", ingress=True)


def test_raw_tracepoint_sees_system_calls(machine: Kernel) -> None:
    with machine.load(counting(0, B.BPF_PROG_TYPE_RAW_TRACEPOINT)) as loaded:
        with machine.raw_tracepoint(loaded.programs["main"], "sys_enter"):
            os.getppid()
        seen = count(loaded)
        assert seen > 0
        os.getppid()
        assert count(loaded) == seen
        with pytest.raises(TargetError, match="no raw tracepoint 'nonesuch'"):
            machine.raw_tracepoint(loaded.programs["main"], "nonesuch")


def test_btf_raw_tracepoint(machine: Kernel) -> None:
    spec = counting(0, B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_RAW_TP, section="tp_btf/sys_enter", attach_to="sys_enter")
    with machine.load(spec) as loaded, machine.raw_tracepoint(loaded.programs["main"], ""):
        os.getppid()
        assert count(loaded) > 0


def test_perf_tracepoint_with_a_cookie(machine: Kernel) -> None:
    with machine.load(counting(0, B.BPF_PROG_TYPE_TRACEPOINT)) as loaded:
        # A call that nobody else makes: the event is everybody's.
        with machine.tracepoint(loaded.programs["main"], "syscalls", "sys_enter_sched_rr_get_interval", cookie=7):
            for _ in range(5):
                os.sched_rr_get_interval(0)
        assert count(loaded) == 5
        with pytest.raises(TargetError, match="Did you mean") as caught:
            machine.tracepoint(loaded.programs["main"], "syscalls", "sys_enter_getpid_")
        assert "sys_enter_getpid" in caught.value.cure


def test_uprobe_counts_calls_of_a_library_function(machine: Kernel) -> None:
    path, offset = _function_of_libc("getppid")
    with machine.load(counting(0, B.BPF_PROG_TYPE_KPROBE)) as loaded:
        with machine.uprobe(loaded.programs["main"], path, offset, pid=os.getpid()):
            for _ in range(3):
                os.getppid()
        assert count(loaded) == 3
        with machine.uprobe(loaded.programs["main"], path, offset, ret=True):
            os.getppid()
        assert count(loaded) >= 4
        with pytest.raises(TargetError, match="no file"):
            machine.uprobe(loaded.programs["main"], "/nonexistent/file", 0)


def _function_of_libc(name: str) -> tuple[str, int]:
    import ctypes
    where = ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        low, high = (int(part, 16) for part in fields[0].split("-"))
        if low <= where < high:
            return fields[5], where - low + int(fields[2], 16)
    raise AssertionError(name)


def test_kprobe_fires_or_is_named_as_missing(machine: Kernel) -> None:
    with machine.load(counting(0, B.BPF_PROG_TYPE_KPROBE)) as loaded:
        try:
            with machine.kprobe(loaded.programs["main"], "do_sys_openat2"):
                os.close(os.open("/dev/null", os.O_RDONLY))
            assert count(loaded) > 0
        except NotSupported as error:
            assert not Path("/sys/bus/event_source/devices/kprobe").exists()
            assert error.since == "4.17"


def test_sampling_counts(machine: Kernel) -> None:
    with machine.load(counting(0, B.BPF_PROG_TYPE_PERF_EVENT)) as loaded:
        with machine.sample(loaded.programs["main"], hz=500, pid=os.getpid()):
            until = time.monotonic() + 10
            while count(loaded) <= 5 and time.monotonic() < until:
                pass
        assert count(loaded) > 5
        with machine.sample(loaded.programs["main"], hz=99):
            pass
        with pytest.raises(UsageError, match="1000000000 samples a second are refused"):
            machine.sample(loaded.programs["main"], hz=1_000_000_000)
        with pytest.raises(TargetError, match="process 2147483000 is not there"):
            machine.sample(loaded.programs["main"], hz=99, pid=2147483000)


def test_socket_filter_drops(machine: Kernel) -> None:
    left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with left, right, machine.load(constant(0, B.BPF_PROG_TYPE_SOCKET_FILTER)) as drop:
        right.settimeout(0.2)
        with machine.socket_filter(drop.programs["main"], right.fileno()):
            left.send(b"lost")
            with pytest.raises(TimeoutError):
                right.recv(16)
        left.send(b"kept")
        assert right.recv(16) == b"kept"
        with pytest.raises(TargetError, match="no socket"):
            machine.socket_filter(drop.programs["main"], 2147483000)


def test_cgroup_egress_denies(machine: Kernel) -> None:
    path = f"{mounts.cgroup2()}/bpfwright-test-{os.getpid()}"
    os.mkdir(path)
    try:
        with machine.load(constant(0, B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_INET4_CONNECT)) as deny:
            with machine.cgroup(deny.programs["main"], path, B.BPF_CGROUP_INET4_CONNECT):
                code = f"open({path!r} + '/cgroup.procs', 'w').write('0')\nimport socket\n" \
                       "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
                denied = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
                assert "PermissionError" in denied.stderr
            subprocess.run([sys.executable, "-c", code], check=True)
            with pytest.raises(TargetError, match="no cgroup"):
                machine.cgroup(deny.programs["main"], path + "/none", B.BPF_CGROUP_INET4_CONNECT)
            with pytest.raises(TargetError, match="not in a cgroup2 tree"):
                machine.cgroup(deny.programs["main"], "/proc", B.BPF_CGROUP_INET4_CONNECT)
    finally:
        os.rmdir(path)


def test_a_link_is_pinned_and_adopted(machine: Kernel, wire: tuple[NetworkNamespace, NetworkNamespace]) -> None:
    near, far = wire
    path = f"{mounts.bpffs()}/bpfwright-test-{os.getpid()}"
    with machine.load(constant(B.XDP_DROP, XDP, B.BPF_XDP)) as drop, far.entered():
        link = machine.xdp(drop.programs["main"], "vb")
        try:
            link.pin(path)
            link.close()
            assert not exchange(near, far)
            with open_link(path) as adopted:
                adopted.detach()
            assert exchange(near, far)
        finally:
            link.close()
            Path(path).unlink(missing_ok=True)


def test_kill_minus_nine_leaves_nothing_attached(wire: tuple[NetworkNamespace, NetworkNamespace]) -> None:
    near, far = wire
    code = ("import sys, time\nfrom bpfwright.kernel import Kernel\nfrom tests.kernel.programs import constant\n"
            "k = Kernel(); o = k.load(constant(1, 6, 37)); links = [k.xdp(o.programs['main'], 'vb')]\n"
            "print('ready', flush=True); time.sleep(60)")
    with far.entered():
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                                 env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    with child:
        assert child.stdout is not None and child.stdout.readline() == "ready\n"
        assert not exchange(near, far)
        child.send_signal(signal.SIGKILL)
    for _ in range(50):
        if exchange(near, far, 0.1):
            break
    else:
        pytest.fail("the program is still attached")


def test_iterator_lists_tasks_or_maps(machine: Kernel) -> None:
    spec = constant(0, B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_ITER, section="iter/task", attach_to="task")
    with machine.load(spec) as loaded, machine.link(loaded.programs["main"], B.BPF_TRACE_ITER) as link:
        assert machine.iterate(link) == b""


def test_many_uprobes_by_one_link(machine: Kernel) -> None:
    path, first = _function_of_libc("getppid")
    _, second = _function_of_libc("getuid")
    spec = counting(0, B.BPF_PROG_TYPE_KPROBE, B.BPF_TRACE_UPROBE_MULTI)
    if not Features().attach_type(B.BPF_PROG_TYPE_KPROBE, B.BPF_TRACE_UPROBE_MULTI).works:
        with pytest.raises(NotSupported), machine.load(spec) as loaded:
            machine.uprobe_multi(loaded.programs["main"], path, [first])
        return
    with machine.load(spec) as loaded:
        program = loaded.programs["main"]
        with machine.uprobe_multi(program, path, [first, second], pid=os.getpid(), cookies=[1, 2]):
            os.getppid()
            os.getuid()
        assert count(loaded) == 2
        with pytest.raises(UsageError, match="1 cookies for 2 targets"):
            machine.uprobe_multi(program, path, [first, second], cookies=[1])


def test_many_kprobes_attach_or_are_named_as_missing(machine: Kernel) -> None:
    spec = counting(0, B.BPF_PROG_TYPE_KPROBE, B.BPF_TRACE_KPROBE_MULTI)
    try:
        with machine.load(spec) as loaded:
            with machine.kprobe_multi(loaded.programs["main"], ["do_sys_openat2", "do_nanosleep"]):
                os.close(os.open("/dev/null", os.O_RDONLY))
            assert count(loaded) > 0
    except NotSupported as error:
        assert error.since == "5.18" and error.why
        assert not Features().attach_type(B.BPF_PROG_TYPE_KPROBE, B.BPF_TRACE_KPROBE_MULTI).works


def test_netfilter_drops_or_is_named_as_missing(machine: Kernel,
                                                wire: tuple[NetworkNamespace, NetworkNamespace]) -> None:
    near, far = wire
    spec = constant(0, B.BPF_PROG_TYPE_NETFILTER, B.BPF_NETFILTER)
    if not Features().program_type(B.BPF_PROG_TYPE_NETFILTER).works:
        with pytest.raises(NotSupported):
            machine.load(spec)
        return
    with machine.load(spec) as drop, far.entered():
        with machine.netfilter(drop.programs["main"], 2, 1, -128):
            assert not exchange(near, far)
    assert exchange(near, far)


def test_file_systems_are_mounted_when_missing() -> None:
    code = ("import ctypes, os\nfrom bpfwright.kernel import mounts, sys\n"
            "sys.unshare(0x20000)\nlibc = ctypes.CDLL(None)\n"
            "libc.mount(None, b'/', None, 0x44000, None)\n"
            "for kind in ('bpf', 'tracefs'):\n"
            "    for place in mounts.mounted(kind):\n        libc.umount2(place.encode(), 2)\n"
            "assert not mounts.mounted('bpf') and not mounts.mounted('tracefs')\n"
            "print(mounts.bpffs(), os.path.isdir(mounts.tracefs() + '/events'), len(mounts.mounted('bpf')))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert done.stdout.split() == ["/sys/fs/bpf", "True", "1"], done.stderr

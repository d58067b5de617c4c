"""Each line marked E must be an error in both checkers, each marked M in mypy alone, and no other."""
from bpfwright import L, Struct, Userspace, array, attach, char, load, ptr, u32, u64, SpinLock, Config
from bpfwright.headers import IPv4, IPv6, Ethernet, TCP
from bpfwright.hooks import tc, tracepoint, xdp, fentry
from bpfwright.maps import Hash, LpmTrie, ProgArray, RingBuf, PerCpuHash
from bpfwright.tracepoints.syscalls import sys_exit_openat
from bpfwright.vmlinux import task_struct, sock
from bpfwright.vmlinux import task_strct  # E
from bpfwright.tracepoints.syscalls import sys_exit_opnat  # E
class Blocked(Struct):
    packets: u64
class Open(Struct):
    path: char[L[16]]
    nums: array[u64, L[2]]
class Lim(Config):
    n: u64 = 1
lim = Lim()
blocked = LpmTrie[IPv4.Address, Blocked](max_entries=10)
v6 = LpmTrie[IPv6.Address, Blocked](max_entries=10)
table = Hash[u32, Blocked](max_entries=10)
opens = RingBuf[Open](size_bytes=4096)
per = PerCpuHash[u32, u64](max_entries=1)
@xdp.program
def a(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    ip.ttl  # E
    if ip is None:
        return tc.OK  # E
    blocked.get(ip.source).packets += 1  # E
    v6.get(ip.source)  # E
    table.get("x")  # E
    table[1] = 3  # E
    ip.sorce  # E
    entry = table.get(1)
    if entry is None:
        return 2  # E
    entry.packts += 1  # E
    entry.packets = "many"  # E
    lim.n = 3  # E
    with opens.reserve() as event:
        event.path = "x"  # E
    opens.emit(Blocked(0))  # E
    ctx.adjust_hed(4)  # E
    per.local(1) + 1  # E
    with entry.packets:  # E
        pass
    return xdp.PAS  # E
@tc.program
def b(ctx: tc.Context) -> tc.Action:
    return xdp.PASS  # E
@xdp.program  # E
def c(ctx: tc.Context) -> tc.Action:
    return tc.OK
@tracepoint.program
def d(ctx: sys_exit_openat) -> None:
    ctx.rett  # E
@tracepoint.program("x:y")  # E
def d2(ctx: sys_exit_openat) -> None: ...
@tracepoint.program
def d3(ctx: tracepoint.Context) -> None: ...
@fentry.program("x")
def e(ctx: fentry.Context, t: ptr[task_struct], s: ptr[sock]) -> None:
    t.real_parent.tgidd  # E
    t.mm.total_vm.x  # E
    s.sk_state + t.comm  # E
@fentry.program("x", frags=True)  # E
def e2(ctx: fentry.Context) -> None: ...
@xdp.program(sleepable=True)  # E
def f(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS
attach(a, tracepoint.Event("x:y"))  # E
attach(a, "eth0")  # E
attach(a)  # E
attach(d, xdp.Interface("eth0"))  # E
attach(b, xdp.Interface("eth0"))  # E
attach(d, a.on(tc.Ingress("eth0")))  # E
a(xdp.Context())  # E
with load(a, machine=Userspace()) as p:
    p.test(sys_exit_openat(ret=1))  # E
    print(p.test(Ethernet() / IPv4(sorce="x")))  # E
    print(p.test(Ethernet() / TCP(dport="80")))  # E
    print(p.test(Ethernet()).action is tc.OK)  # M
RingBuf[Open](size="1MiB")  # E
Blocked()  # E
Blocked(pakets=1)  # E
Open(5, [1])  # E
Open("x", ["y"])  # E
LpmTrie[IPv4.Address](max_entries=1)  # E
Hash[u32, u64](entries=5)  # E
lock: SpinLock = 0  # E
ProgArray[xdp.Context](max_entries=3)[0] = 5  # E

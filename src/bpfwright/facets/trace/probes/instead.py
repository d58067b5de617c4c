"""What to say when a probe cannot be attached here: which one, why, and the nearest that would work.

Two sources: a table of what sees the same as well-known functions, and a search of this kernel's tracepoints and
functions for similar names. Only what is here, and attaches here, is offered.
"""
from __future__ import annotations

import os
import re
from functools import lru_cache

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.errors import BpfwrightError
from bpfwright.facets.trace.plan import Attachment
from bpfwright.facets.trace.renames import function_now
from bpfwright.facets.trace.text import nearest

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host

__all__ = ["alternatives", "attaches", "explained", "missing_function", "refused_here"]

_SAME: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("tcp_(v[46]_)?connect|inet_stream_connect|tcp_finish_connect", ("sock:inet_sock_set_state",
                                                                     "syscalls:sys_enter_connect")),
    ("inet_csk_accept|tcp_v4_syn_recv_sock", ("sock:inet_sock_set_state", "syscalls:sys_exit_accept4")),
    ("tcp_set_state|inet_csk_destroy_sock|tcp_close|tcp_fin", ("sock:inet_sock_set_state", "tcp:tcp_destroy_sock")),
    ("tcp_retransmit_skb|__tcp_retransmit_skb|tcp_retransmit_timer", ("tcp:tcp_retransmit_skb",)),
    ("tcp_drop|tcp_drop_reason|kfree_skb.*|__kfree_skb|sk_skb_reason_drop", ("skb:kfree_skb",)),
    ("tcp_sendmsg(_locked)?", ("sock:sock_send_length", "tcp:tcp_sendmsg_locked", "syscalls:sys_enter_sendto")),
    ("tcp_recvmsg(_locked)?|tcp_cleanup_rbuf", ("sock:sock_recv_length", "tcp:tcp_rcv_space_adjust")),
    ("tcp_rcv_established|tcp_rcv_state_process|tcp_ack|tcp_update_.*rtt.*", ("tcp:tcp_probe",)),
    ("tcp_v[46]_send_reset|tcp_send_active_reset", ("tcp:tcp_send_reset",)),
    ("tcp_reset", ("tcp:tcp_receive_reset",)),
    ("tcp_v[46]_syn_recv_sock|tcp_conn_request|sk_acceptq.*", ("sock:inet_sock_set_state",
                                                               "sock:sock_rcvqueue_full")),
    ("udpv?6?_sendmsg", ("sock:sock_send_length", "syscalls:sys_enter_sendto")),
    ("udpv?6?_recvmsg|skb_consume_udp", ("sock:sock_recv_length", "syscalls:sys_enter_recvfrom")),
    ("dev_queue_xmit|__dev_queue_xmit|dev_hard_start_xmit", ("net:net_dev_queue", "net:net_dev_xmit")),
    ("netif_receive_skb.*|__netif_receive_skb.*|ip_rcv|ipv6_rcv", ("net:netif_receive_skb",)),
    ("vfs_read(v)?|ksys_read|new_sync_read|__vfs_read", ("syscalls:sys_enter_read", "syscalls:sys_enter_pread64")),
    ("vfs_write(v)?|ksys_write|new_sync_write|__vfs_write", ("syscalls:sys_enter_write",
                                                             "syscalls:sys_enter_pwrite64")),
    ("vfs_fsync(_range)?|do_fsync", ("syscalls:sys_enter_fsync", "syscalls:sys_enter_fdatasync")),
    ("vfs_open|do_sys_open.*|do_filp_open|do_dentry_open|path_openat|vfs_create", ("syscalls:sys_enter_openat",)),
    ("vfs_unlink|do_unlinkat", ("syscalls:sys_enter_unlinkat", "syscalls:sys_enter_unlink")),
    ("vfs_rename|do_renameat2", ("syscalls:sys_enter_renameat2", "syscalls:sys_enter_rename")),
    ("vfs_mkdir|do_mkdirat", ("syscalls:sys_enter_mkdirat", "syscalls:sys_enter_mkdir")),
    ("vfs_rmdir|do_rmdir", ("syscalls:sys_enter_rmdir",)),
    ("vfs_stat(x)?|vfs_fstat.*|vfs_getattr.*|do_statx", ("syscalls:sys_enter_newfstatat", "syscalls:sys_enter_statx")),
    ("lookup_fast|d_lookup|__d_lookup.*|filename_lookup", ("syscalls:sys_enter_openat",
                                                           "syscalls:sys_enter_newfstatat")),
    ("ext4_file_(read|write)_iter|ext4_(file_)?open", ("ext4:ext4_da_write_begin", "syscalls:sys_enter_read")),
    ("ext4_sync_file", ("ext4:ext4_sync_file_enter",)),
    ("xfs_file_(read|write)_iter|xfs_file_.*", ("xfs:xfs_file_buffered_read", "xfs:xfs_file_buffered_write")),
    ("(add_to_page_cache_lru|filemap_add_folio|mark_page_accessed)", ("filemap:mm_filemap_add_to_page_cache",)),
    ("blk_account_io_start|__blk_account_io_start|blk_mq_start_request|blk_start_request",
     ("block:block_io_start", "block:block_rq_issue")),
    ("blk_account_io_(done|completion|merge.*)|__blk_account_io_done", ("block:block_io_done",
                                                                        "block:block_rq_complete")),
    ("blk_.*insert.*|__elv_add_request", ("block:block_rq_insert",)),
    ("submit_bio.*|generic_make_request", ("block:block_bio_queue",)),
    ("bio_endio", ("block:block_bio_complete",)),
    ("md_flush_request", ("block:block_rq_issue",)),
    ("swap_read(page|_folio.*)|swap_readpage", ("vmscan:mm_vmscan_direct_reclaim_begin",
                                                "exceptions:page_fault_user")),
    ("oom_kill_process|out_of_memory", ("oom:mark_victim",)),
    ("handle_mm_fault|do_user_addr_fault|do_page_fault|exc_page_fault|__do_page_fault",
     ("exceptions:page_fault_user",)),
    ("try_to_free_pages|shrink_node|do_try_to_free_pages", ("vmscan:mm_vmscan_direct_reclaim_begin",)),
    ("wakeup_kswapd|balance_pgdat", ("vmscan:mm_vmscan_kswapd_wake",)),
    ("try_to_compact_pages|compact_zone", ("compaction:mm_compaction_begin",)),
    ("__kmalloc.*|kmalloc.*|kmem_cache_alloc.*", ("kmem:kmalloc", "kmem:kmem_cache_alloc")),
    ("kfree|kmem_cache_free", ("kmem:kfree", "kmem:kmem_cache_free")),
    ("__alloc_pages.*|alloc_pages.*", ("kmem:mm_page_alloc",)),
    ("cap_capable|ns_capable.*|capable", ("capability:cap_capable",)),
    ("finish_task_switch.*|__schedule|schedule", ("sched:sched_switch",)),
    ("try_to_wake_up|ttwu_do_wakeup|wake_up_process", ("sched:sched_wakeup",)),
    ("wake_up_new_task", ("sched:sched_wakeup_new",)),
    ("account_process_tick|scheduler_tick|sched_tick", ("sched:sched_stat_runtime",)),
    ("_do_fork|kernel_clone|copy_process", ("sched:sched_process_fork", "task:task_newtask")),
    ("do_execve.*|bprm_execve|begin_new_exec|search_binary_handler", ("sched:sched_process_exec",)),
    ("do_exit|do_group_exit", ("sched:sched_process_exit",)),
    ("do_send_sig.*|__send_signal.*|send_signal.*|complete_signal", ("signal:signal_generate",)),
    ("get_signal", ("signal:signal_deliver",)),
    ("do_nanosleep|hrtimer_nanosleep", ("syscalls:sys_enter_nanosleep", "syscalls:sys_enter_clock_nanosleep",
                                        "timer:hrtimer_start")),
    ("do_futex|futex_wait.*", ("syscalls:sys_enter_futex",)),
    ("mutex_lock.*|__mutex_lock.*|rwsem_down.*|down_.*|queued_spin_lock_slowpath", ("lock:contention_begin",)),
    ("handle_irq_event.*|__handle_irq_event.*|generic_handle_irq", ("irq:irq_handler_entry",)),
    ("__do_softirq|handle_softirqs|do_softirq", ("irq:softirq_entry",)),
    ("process_one_work|queue_work.*|__queue_work", ("workqueue:workqueue_execute_start",
                                                    "workqueue:workqueue_queue_work")),
    ("cgroup_attach_task", ("cgroup:cgroup_attach_task",)),
    ("do_mount|path_mount", ("syscalls:sys_enter_mount",)),
    ("do_init_module|load_module", ("module:module_load", "syscalls:sys_enter_finit_module")),
    ("wb_writeback|__writeback_single_inode", ("writeback:writeback_start", "writeback:writeback_single_inode")),
    ("posix_lock_inode|flock_lock_inode.*|vfs_lock_file", ("filelock:posix_lock_inode", "syscalls:sys_enter_flock")),
)
"""Functions, as a regular expression of the whole name, and the tracepoints that see the same."""
_CALLS = re.compile(r"(?:__(?:x64|arm64|se|do|ia32)_)?(?:ksys|do_sys|sys)_(\w+?)(?:_locked|_common)?")
_STOP = frozenset(("do", "get", "put", "set", "new", "old", "mm", "fs", "sys", "the", "of", "to", "enter", "exit",
                   "x64"))
_MOST = 3


def explained(one: Attachment, problem: BpfwrightError, machine: Any = None) -> BpfwrightError:
    """The same error, with the probe's name, and what would work instead."""
    problem.what = f"{one.probe}: {problem.what}"
    cure = _cure(one, machine)
    if cure:
        problem.cure = cure
    problem.args = (problem.what,)
    return problem


def _cure(one: Attachment, machine: Any) -> str:
    provider = one.probe.partition(":")[0]
    if machine is None or provider not in ("kprobe", "kretprobe", "fentry", "fexit"):
        return ""
    name = one.function or one.probe.rpartition(":")[2].partition("+")[0]
    return _offer(alternatives(machine, provider, name))


def _offer(found: list[str]) -> str:
    if not found:
        return ""
    return f"The nearest that works here: {', '.join(f'`{each}`' for each in found)}."


def refused_here(host: Host, provider: str, name: str) -> tuple[str, str]:
    """What and cure for a provider that this kernel does not have."""
    what = f"`{provider}:{name}` cannot be attached: {_why(host.machine, provider)}"
    return what, _offer(alternatives(host.machine, provider, name)) or \
        "`bpfwright trace --info` shows which kinds of probes work here."


def _why(machine: Any, provider: str) -> str:
    if provider in ("kprobe", "kretprobe"):
        return "this kernel has no kprobes (it was built without them)"
    verdict = machine.features.attach_type(26, 24)
    return f"this kernel refuses {provider} ({verdict.why})" if verdict.why else f"this kernel has no {provider}"


def missing_function(host: Host, provider: str, name: str, module: str = "") -> tuple[str, str]:
    """What and cure for a function that is not there to be traced."""
    from bpfwright.facets.trace.probes.kernel import functions_of, loaded_modules
    known = functions_of()
    if provider in ("fentry", "fexit") and name in known:
        kprobe = "kprobe" if provider == "fentry" else "kretprobe"
        what = f"the kernel's type information has no function `{name}`" + (f" of `{module}`" if module else "")
        if attaches(host.machine, kprobe):
            return what, f"Try `{kprobe}:{name}`: it needs no types."
        return what, _offer(alternatives(host.machine, provider, name)) or "Only functions with types can be traced."
    what = f"the kernel has no function `{name}`"
    now = function_now(name, known)
    close = now or _nearest(name, loaded_modules())
    offered = _offer(_tracepoints_like(name) or (alternatives(host.machine, provider, close) if close and
                                                 not attaches(host.machine, provider) else []))
    meant = f"It is called `{now}` here." if now else f"Did you mean `{close}`?" if close else ""
    return what, f"{meant} {offered}".strip() or "It may be inlined, or called otherwise here."


@lru_cache(maxsize=64)
def _nearest(name: str, modules: str) -> str:
    """The kernel's function that may have been meant: there are tens of thousands to look through."""
    from bpfwright.facets.trace.probes.kernel import functions_of
    return nearest(name, functions_of())


def attaches(machine: Any, provider: str) -> bool:
    """Whether probes of a provider attach here at all: tried, and remembered for the kernel."""
    from bpfwright.session import target_of
    if provider in ("fentry", "fexit"):
        return target_of(machine).has("fentry")
    if provider in ("kprobe", "kretprobe"):
        return os.path.exists("/sys/bus/event_source/devices/kprobe/type")
    if provider == "hardware":
        return os.path.exists("/sys/bus/event_source/devices/cpu/type")
    return True


def alternatives(machine: Any, provider: str, name: str) -> list[str]:
    """Probes that see what a kernel function does, the nearest first: other kinds on the same function where they work,
    then tracepoints that are known to be the same, then those of a similar name."""
    from bpfwright.facets.trace.probes.resolve import is_pattern
    if is_pattern(name):
        return []
    found = [f"{other}:{name}" for other in _OTHERS.get(provider, ()) if attaches(machine, other) and
             (other[0] == "k" or _has_types(machine, name))]
    found += [each for each in _tracepoints_like(name) if each not in found]
    return found[:_MOST]


_OTHERS = {"kprobe": ("fentry",), "kretprobe": ("fexit",), "fentry": ("kprobe",), "fexit": ("kretprobe",)}


def _has_types(machine: Any, name: str) -> bool:
    try:
        return machine.types.find(name, 12) is not None  # Kind.FUNC
    except BpfwrightError:
        return False


def _tracepoints_like(name: str) -> list[str]:
    """The tracepoints for a function's name: those of the table, a system call's, those that are called alike."""
    known = [place for pattern, places in _SAME if re.fullmatch(pattern, name) for place in places]
    call = _CALLS.fullmatch(name)
    if call is not None:
        known.insert(0, f"syscalls:sys_enter_{call[1]}")
    found = [f"tracepoint:{place}" for place in known if _exists(place)]
    return found or _searched(name)


def _exists(place: str) -> bool:
    from bpfwright.kernel import mounts
    category, _, event = place.partition(":")
    try:
        return os.path.isdir(f"{mounts.tracefs()}/events/{category}/{event}")
    except BpfwrightError:
        return False


def _searched(name: str) -> list[str]:
    """Tracepoints whose names share the most words, weighed by how rare a word is."""
    from bpfwright.kernel import tracepoints
    wanted = _words(name)
    if not wanted:
        return []
    try:
        every = [(category, event) for category in tracepoints.categories() if category != "syscalls"
                 for event in tracepoints.events(category)]
    except (BpfwrightError, OSError):
        return []
    words = {place: _words(place[1]) for place in every}
    often: dict[str, int] = {}
    for each in words.values():
        for word in each:
            often[word] = often.get(word, 0) + 1
    least = max(1.2, 0.55 * sum(1 / (1 + often.get(word, 0) / 40) for word in wanted))
    scores = sorted(((sum(1 / (1 + often[word] / 40) for word in wanted & each), -len(each), place)
                     for place, each in words.items() if len(wanted & each) > 1 or name in (place[1], f"__{place[1]}")),
                    reverse=True)
    return [f"tracepoint:{category}:{event}" for score, _, (category, event) in scores[:_MOST]
            if score >= least or event == name]


def _words(name: str) -> frozenset[str]:
    return frozenset(re.split(r"[_.]+", name.strip("_"))) - _STOP

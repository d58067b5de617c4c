"""How helpers behave in the userspace machine, in the dialect: functions of up to five words that give one.

They work on the machine's memory through `spec.memory`; its own page is at 0x1000 (userspace/arena.py says what stands
where). Helpers that call back into a program (tail calls, loops, timers) belong to the engines.
"""
from __future__ import annotations

__all__ = ["BODIES", "KERNEL_FUNCTIONS"]

BODIES: dict[int, str] = {
    4: "reading:probe_read", 5: "machine:ktime", 7: "machine:random", 8: "machine:cpu", 9: "packets:store_bytes",
    10: "checksums:replace_in_network_header", 11: "checksums:replace_in_transport_header", 14: "machine:pid_tgid",
    15: "machine:uid_gid", 16: "machine:comm", 17: "machine:no", 18: "packets:vlan_push", 19: "packets:vlan_pop",
    22: "machine:no_entry", 23: "redirects:redirect", 26: "packets:load_bytes", 28: "checksums:diff",
    31: "packets:change_proto", 32: "packets:change_type", 34: "packets:hash_recalc", 35: "machine:task",
    38: "packets:change_tail", 39: "packets:pull_data", 40: "packets:csum_update", 41: "packets:set_hash_invalid",
    42: "machine:no", 43: "packets:change_head", 44: "xdp:adjust_head", 45: "reading:probe_read_text",
    46: "machine:socket_cookie", 47: "machine:socket_uid", 48: "packets:set_hash", 50: "packets:adjust_room",
    54: "xdp:adjust_meta", 55: "machine:no_entry", 65: "xdp:adjust_tail", 68: "packets:load_bytes_relative",
    79: "machine:cgroup", 80: "machine:cgroup", 83: "machine:skb_ancestor_cgroup", 84: "holding:socket",
    85: "holding:socket", 86: "holding:release_socket", 93: "holding:lock", 94: "holding:unlock",
    95: "machine:no", 96: "machine:no", 98: "machine:no",
    99: "holding:socket", 110: "machine:no_entry", 112: "reading:probe_read", 113: "reading:probe_kernel",
    114: "reading:probe_read_text",
    115: "reading:probe_kernel_text", 118: "machine:jiffies", 119: "machine:not_valid", 120: "objects:namespace_pids",
    123: "machine:ancestor_cgroup", 125: "machine:ktime", 128: "machine:cgroup", 129: "machine:skb_ancestor_cgroup",
    135: "packets:csum_level", 148: "reading:probe_read", 152: "redirects:redirect_neigh", 153: "machine:same",
    154: "machine:same", 155: "redirects:redirect_peer", 158: "machine:task", 160: "machine:ktime",
    173: "machine:function_address", 174: "machine:attach_cookie", 176: "machine:no_entry", 182: "reading:strncmp",
    183: "reading:function_argument", 184: "reading:function_result", 185: "reading:function_arguments",
    186: "objects:get_retval", 187: "objects:set_retval", 188: "xdp:buff_len", 189: "xdp:load_bytes",
    190: "xdp:store_bytes", 191: "reading:probe_read", 194: "objects:exchange", 197: "dynptrs:from_mem",
    201: "dynptrs:read", 202: "dynptrs:write", 203: "dynptrs:data", 208: "machine:ktime",
}
"""`file:function` by helper number."""

KERNEL_FUNCTIONS: dict[str, str] = {
    "bpf_iter_num_new": "iterators:new", "bpf_iter_num_next": "iterators:next_number",
    "bpf_iter_num_destroy": "iterators:destroy",
    "bpf_rcu_read_lock": "holding:start_rcu", "bpf_rcu_read_unlock": "holding:stop_rcu",
    "bpf_preempt_disable": "holding:stop_preemption", "bpf_preempt_enable": "holding:start_preemption",
    "bpf_local_irq_save": "holding:save_interrupts", "bpf_local_irq_restore": "holding:restore_interrupts",
    "bpf_dynptr_from_skb": "dynptrs:from_skb", "bpf_dynptr_from_xdp": "dynptrs:from_xdp",
    "bpf_dynptr_slice": "dynptrs:slice", "bpf_dynptr_slice_rdwr": "dynptrs:slice_rdwr",
    "bpf_dynptr_size": "dynptrs:size", "bpf_dynptr_adjust": "dynptrs:adjust", "bpf_dynptr_clone": "dynptrs:clone",
    "bpf_dynptr_is_null": "dynptrs:is_null", "bpf_dynptr_is_rdonly": "dynptrs:is_rdonly",
    "bpf_task_from_pid": "objects:task_from_pid", "bpf_task_from_vpid": "objects:task_from_pid",
    "bpf_task_acquire": "holding:acquire", "bpf_task_release": "holding:release",
    "bpf_cgroup_acquire": "holding:acquire", "bpf_cgroup_release": "holding:release",
    "bpf_cpumask_create": "objects:cpumask_create",
    "bpf_cpumask_acquire": "holding:acquire", "bpf_cpumask_release": "objects:cpumask_release",
    "bpf_cpumask_set_cpu": "objects:cpumask_set_cpu", "bpf_cpumask_clear_cpu": "objects:cpumask_clear_cpu",
    "bpf_cpumask_test_cpu": "objects:cpumask_test_cpu", "bpf_cpumask_clear": "objects:cpumask_clear",
    "bpf_cpumask_setall": "objects:cpumask_set_all", "bpf_cpumask_weight": "objects:cpumask_weight",
    "bpf_cpumask_first": "objects:cpumask_first", "bpf_cpumask_empty": "objects:cpumask_empty",
    "bpf_cpumask_full": "objects:cpumask_full",
}
"""`file:function` by the name of a kernel function."""

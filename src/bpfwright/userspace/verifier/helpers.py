"""The helpers in ONE table: what each takes, gives and does.

A row is `number name: arguments -> result flags`. Arguments:
`a` anything · `c` the context · `m` a map · `k` a key of it · `v` a value of it · `V` room for one · `r` memory to
read · `w` memory to fill · `W` memory to change · `s` its size · `z` its size or 0 · `n` a constant size · `f` a
callback · `p` a pointer to the stack · `lock` · `timer` · `rec` a ring buffer record · `skc` any socket · `bsk` any
socket, typed ones too · `str` a constant string · `dyn` a dynptr · `dyn0` an empty one · `kptr` a place for a
kernel pointer · `percpu` a per-CPU variable · `fN` exactly N bytes to read · `lN` N bytes to fill, aligned ·
`btf:NAME` a kernel struct. `?` behind one: or null. Results: `int`, `void`, and kinds of pointers.
Flags: `acquire`, `release` (of its first argument), `packet` (the packet may move), `reads` (packet pointers may be
passed), `cast` (the result holds the argument's reference), `sleeps`.
"""
from __future__ import annotations

from bpfwright._typing import NamedTuple

__all__ = ["PROTOTYPES", "Prototype", "callback_argument", "is_async_callback", "variant"]


class Prototype(NamedTuple):
    """One helper."""

    name: str
    arguments: tuple[str, ...]
    result: str
    flags: frozenset[str]


_TABLE = """
1 map_lookup_elem: m k -> map_value? reads
2 map_update_elem: m k v a -> int reads
3 map_delete_elem: m k -> int reads
4 probe_read: w z a -> int
5 ktime_get_ns: -> int
6 trace_printk: r s -> int
7 get_prandom_u32: -> int
8 get_smp_processor_id: -> int
9 skb_store_bytes: c a r s a -> int packet
10 l3_csum_replace: c a a a a -> int packet
11 l4_csum_replace: c a a a a -> int packet
12 tail_call: c m a -> void packet
13 clone_redirect: c a a -> int packet
14 get_current_pid_tgid: -> int
15 get_current_uid_gid: -> int
16 get_current_comm: w s -> int
17 get_cgroup_classid: c -> int
18 skb_vlan_push: c a a -> int packet
19 skb_vlan_pop: c -> int packet
20 skb_get_tunnel_key: c w s a -> int
21 skb_set_tunnel_key: c r s a -> int
22 perf_event_read: m a -> int
23 redirect: a a -> int
24 get_route_realm: c -> int
25 perf_event_output: c m a r z -> int
26 skb_load_bytes: c a w s -> int
27 get_stackid: c m a -> int
28 csum_diff: r? z r? z a -> int reads
29 skb_get_tunnel_opt: c w s -> int
30 skb_set_tunnel_opt: c r s -> int
31 skb_change_proto: c a a -> int packet
32 skb_change_type: c a -> int
33 skb_under_cgroup: c m a -> int
34 get_hash_recalc: c -> int
35 get_current_task: -> int
36 probe_write_user: a r s -> int
37 current_task_under_cgroup: m a -> int
38 skb_change_tail: c a a -> int packet
39 skb_pull_data: c a -> int packet
40 csum_update: c a -> int
41 set_hash_invalid: c -> int
42 get_numa_node_id: -> int
43 skb_change_head: c a a -> int packet
44 xdp_adjust_head: c a -> int packet
45 probe_read_str: w z a -> int
46 get_socket_cookie: c -> int
47 get_socket_uid: c -> int
48 set_hash: c a -> int
49 setsockopt: c a a r s -> int
50 skb_adjust_room: c a a a -> int packet
51 redirect_map: m a a -> int
52 sk_redirect_map: c m a a -> int
53 sock_map_update: c m k a -> int reads
54 xdp_adjust_meta: c a -> int packet
55 perf_event_read_value: m a w s -> int
56 perf_prog_read_value: c w s -> int
57 getsockopt: c a a w s -> int
58 override_return: c a -> int
59 sock_ops_cb_flags_set: c a -> int
60 msg_redirect_map: c m a a -> int
61 msg_apply_bytes: c a -> int
62 msg_cork_bytes: c a -> int
63 msg_pull_data: c a a a -> int packet
64 bind: c r s -> int
65 xdp_adjust_tail: c a -> int packet
66 skb_get_xfrm_state: c a w s a -> int
67 get_stack: c w z a -> int
68 skb_load_bytes_relative: c a w s a -> int
69 fib_lookup: c W s a -> int
70 sock_hash_update: c m k a -> int reads
71 msg_redirect_hash: c m k a -> int
72 sk_redirect_hash: c m k a -> int
73 lwt_push_encap: c a r s -> int packet
74 lwt_seg6_store_bytes: c a r s -> int packet
75 lwt_seg6_adjust_srh: c a a -> int packet
76 lwt_seg6_action: c a r s -> int packet
77 rc_repeat: c -> int
78 rc_keydown: c a a a -> int
79 skb_cgroup_id: c -> int
80 get_current_cgroup_id: -> int
81 get_local_storage: m a -> map_value
82 sk_select_reuseport: c m k a -> int
83 skb_ancestor_cgroup_id: c a -> int
84 sk_lookup_tcp: c r s a a -> sock? acquire reads
85 sk_lookup_udp: c r s a a -> sock? acquire reads
86 sk_release: bsk -> int release
87 map_push_elem: m v a -> int reads
88 map_pop_elem: m V -> int
89 map_peek_elem: m V -> int
90 msg_push_data: c a a a -> int packet
91 msg_pop_data: c a a a -> int packet
92 rc_pointer_rel: c a a -> int
93 spin_lock: lock -> void
94 spin_unlock: lock -> void
95 sk_fullsock: skc -> sock? cast
96 tcp_sock: skc -> tcp_sock? cast
97 skb_ecn_set_ce: c -> int
98 get_listener_sock: skc -> sock?
99 skc_lookup_tcp: c r s a a -> sock_common? acquire reads
100 tcp_check_syncookie: bsk r s r s -> int reads
101 sysctl_get_name: c w s a -> int
102 sysctl_get_current_value: c w s -> int
103 sysctl_get_new_value: c w s -> int
104 sysctl_set_new_value: c r s -> int
105 strtol: r s a l8 -> int
106 strtoul: r s a l8 -> int
107 sk_storage_get: m bsk? v? a -> map_value?
108 sk_storage_delete: m bsk? -> int
109 send_signal: a -> int
110 tcp_gen_syncookie: bsk r s r s -> int reads
111 skb_output: btf:sk_buff m a r z -> int
112 probe_read_user: w z a -> int
113 probe_read_kernel: w z a -> int
114 probe_read_user_str: w z a -> int
115 probe_read_kernel_str: w z a -> int
116 tcp_send_ack: btf:tcp_sock a -> int
117 send_signal_thread: a -> int
118 jiffies64: -> int
119 read_branch_records: c W? z a -> int
120 get_ns_current_pid_tgid: a a w s -> int
121 xdp_output: btf:xdp_buff m a r z -> int
122 get_netns_cookie: c? -> int
123 get_current_ancestor_cgroup_id: a -> int
124 sk_assign: c bsk a -> int
125 ktime_get_boot_ns: -> int
126 seq_printf: btf:seq_file r s r? z -> int
127 seq_write: btf:seq_file r z -> int
128 sk_cgroup_id: bsk -> int
129 sk_ancestor_cgroup_id: bsk a -> int
130 ringbuf_output: m r z a -> int
131 ringbuf_reserve: m n a -> rec? acquire
132 ringbuf_submit: rec a -> void release
133 ringbuf_discard: rec a -> void release
134 ringbuf_query: m a -> int
135 csum_level: c a -> int
136 skc_to_tcp6_sock: bsk -> btf:tcp6_sock? cast
137 skc_to_tcp_sock: bsk -> btf:tcp_sock? cast
138 skc_to_tcp_timewait_sock: bsk -> btf:tcp_timewait_sock? cast
139 skc_to_tcp_request_sock: bsk -> btf:tcp_request_sock? cast
140 skc_to_udp6_sock: bsk -> btf:udp6_sock? cast
141 get_task_stack: btf:task_struct w z a -> int
142 load_hdr_opt: c W s a -> int
143 store_hdr_opt: c r s a -> int packet
144 reserve_hdr_opt: c a a -> int
145 inode_storage_get: m btf:inode? v? a -> map_value?
146 inode_storage_delete: m btf:inode? -> int
147 d_path: btf:path w z -> int
148 copy_from_user: w z a -> int sleeps
149 snprintf_btf: w s r s a -> int
150 seq_printf_btf: btf:seq_file r s a -> int
151 skb_cgroup_classid: c -> int
152 redirect_neigh: a r? z a -> int
153 per_cpu_ptr: percpu a -> percpu?
154 this_cpu_ptr: percpu -> percpu
155 redirect_peer: a a -> int
156 task_storage_get: m btf:task_struct? v? a -> map_value?
157 task_storage_delete: m btf:task_struct? -> int
158 get_current_task_btf: -> btf:task_struct
159 bprm_opts_set: btf:linux_binprm a -> int
160 ktime_get_coarse_ns: -> int
161 ima_inode_hash: btf:inode w s -> int sleeps
162 sock_from_file: btf:file -> btf:socket?
163 check_mtu: c a l4 a a -> int
164 for_each_map_elem: m f p? a -> int
165 snprintf: w z str r? z -> int
166 sys_bpf: a r s -> int sleeps
167 btf_find_by_name_kind: r s a a -> int
168 sys_close: a -> int
169 timer_init: timer m a -> int
170 timer_set_callback: timer f -> int
171 timer_start: timer a a -> int
172 timer_cancel: timer -> int
173 get_func_ip: c -> int
174 get_attach_cookie: c -> int
175 task_pt_regs: btf:task_struct -> btf:pt_regs
176 get_branch_snapshot: w z a -> int
177 trace_vprintk: r s r? z -> int
178 skc_to_unix_sock: bsk -> btf:unix_sock? cast
179 kallsyms_lookup_name: r z a l8 -> int
180 find_vma: btf:task_struct a f p? a -> int
181 loop: a f p? a -> int
182 strncmp: r s str -> int
183 get_func_arg: c a l8 -> int
184 get_func_ret: c l8 -> int
185 get_func_arg_cnt: c -> int
186 get_retval: -> int
187 set_retval: a -> int
188 xdp_get_buff_len: c -> int
189 xdp_load_bytes: c a w s -> int
190 xdp_store_bytes: c a r s -> int
191 copy_from_user_task: w z a btf:task_struct a -> int sleeps
192 skb_set_tstamp: c a a -> int
193 ima_file_hash: btf:file w s -> int sleeps
194 kptr_xchg: kptr owned? -> kptr? acquire release2
195 map_lookup_percpu_elem: m k a -> map_value? reads
196 skc_to_mptcp_sock: skx -> btf:mptcp_sock? cast
197 dynptr_from_mem: w z a dyn0 -> int
198 ringbuf_reserve_dynptr: m a a dyn0 -> int
199 ringbuf_submit_dynptr: dyn a -> void release
200 ringbuf_discard_dynptr: dyn a -> void release
201 dynptr_read: w z dyn a a -> int
202 dynptr_write: dyn a r z a -> int
203 dynptr_data: dyn a n -> slice?
204 tcp_raw_gen_syncookie_ipv4: f20 r z -> int reads
205 tcp_raw_gen_syncookie_ipv6: f40 r z -> int reads
206 tcp_raw_check_syncookie_ipv4: f20 f20 -> int reads
207 tcp_raw_check_syncookie_ipv6: f40 f20 -> int reads
208 ktime_get_tai_ns: -> int
209 user_ringbuf_drain: m f p? a -> int
210 cgrp_storage_get: m btf:cgroup? v? a -> map_value?
211 cgrp_storage_delete: m btf:cgroup? -> int
"""


def _parse(table: str) -> dict[int, Prototype]:
    found = {}
    for line in table.split("\n"):
        if line:
            head, _, rest = line.partition(":")
            arguments, _, result = (" " + rest).partition(" -> ")
            number, name = head.split()
            kind, *flags = result.split()
            found[int(number)] = Prototype(name, tuple(arguments.split()), kind, frozenset(flags))
    return found


PROTOTYPES = _parse(_TABLE)
_SYNC = {164: 1, 180: 2, 181: 1, 209: 1}        # helper -> which argument (from 0) is the callback


def callback_argument(number: int) -> bool:
    """Whether a helper runs a callback before it returns."""
    return number in _SYNC


def is_async_callback(number: int) -> bool:
    """Whether a helper keeps a callback for later."""
    return number == 170


_SKB_KINDS = frozenset({3, 4, 10, 11, 12, 19})
_SOCKET_OPTIONS = frozenset({25, 26, 29})


def variant(number: int, kind: int, prototype: Prototype) -> Prototype:
    """The same number means other arguments for some kinds of programs."""
    arguments = prototype.arguments
    if number == 17 and kind not in _SKB_KINDS:
        arguments = ()
    elif (number == 46 and kind in (26, 29)) or (number in (49, 57) and kind in _SOCKET_OPTIONS):
        arguments = ("bsk", *arguments[1:])
    elif number == 124 and kind == 30:
        arguments = ("c", "sk?", "a")
    else:
        return prototype
    return prototype._replace(arguments=arguments)


# Which kind of map goes with which helpers, and the other way round; others go with the plain ones.
_PROG_ARRAY, _PERF, _STACK_TRACE, _CGROUP_ARRAY, _DEVMAP, _SOCKMAP, _CPUMAP, _XSKMAP, _SOCKHASH = (
    3, 4, 7, 8, 14, 15, 16, 17, 18)
_CGROUP_STORAGE, _REUSEPORT, _PERCPU_CGROUP, _QUEUE, _STACK, _SK_STORAGE, _DEVMAP_HASH = 19, 20, 21, 22, 23, 24, 25
_RINGBUF, _INODE, _TASK, _BLOOM, _USER_RINGBUF, _CGRP, _ARENA = 27, 28, 29, 30, 31, 32, 33
BY_MAP: dict[int, frozenset[int]] = {
    _PROG_ARRAY: frozenset({12}), _PERF: frozenset({22, 25, 55, 111, 121}),
    _RINGBUF: frozenset({130, 131, 134, 198}), _USER_RINGBUF: frozenset({209}), _STACK_TRACE: frozenset({27}),
    _CGROUP_ARRAY: frozenset({33, 37}), _CGROUP_STORAGE: frozenset({81}), _PERCPU_CGROUP: frozenset({81}),
    _DEVMAP: frozenset({51, 1}), _DEVMAP_HASH: frozenset({51, 1}), _CPUMAP: frozenset({51}),
    _XSKMAP: frozenset({51, 1}), 12: frozenset({1}), 13: frozenset({1}),
    _SOCKMAP: frozenset({52, 53, 3, 60, 82, 1, 2}), _SOCKHASH: frozenset({72, 70, 3, 71, 82, 1, 2}),
    _REUSEPORT: frozenset({82}), _QUEUE: frozenset({89, 88, 87}), _STACK: frozenset({89, 88, 87}),
    _SK_STORAGE: frozenset({107, 108, 194}), _INODE: frozenset({145, 146, 194}), _TASK: frozenset({156, 157, 194}),
    _CGRP: frozenset({210, 211, 194}), _BLOOM: frozenset({89, 87}), 26: frozenset(), 34: frozenset(),
}
BY_HELPER: dict[int, frozenset[int]] = {
    12: frozenset({_PROG_ARRAY}), 22: frozenset({_PERF}), 25: frozenset({_PERF}), 55: frozenset({_PERF}),
    111: frozenset({_PERF}), 121: frozenset({_PERF}), 130: frozenset({_RINGBUF}), 131: frozenset({_RINGBUF}),
    134: frozenset({_RINGBUF}), 198: frozenset({_RINGBUF}), 209: frozenset({_USER_RINGBUF}),
    27: frozenset({_STACK_TRACE}), 37: frozenset({_CGROUP_ARRAY}), 33: frozenset({_CGROUP_ARRAY}),
    51: frozenset({_DEVMAP, _DEVMAP_HASH, _CPUMAP, _XSKMAP}), 52: frozenset({_SOCKMAP}), 60: frozenset({_SOCKMAP}),
    53: frozenset({_SOCKMAP}), 72: frozenset({_SOCKHASH}), 71: frozenset({_SOCKHASH}), 70: frozenset({_SOCKHASH}),
    81: frozenset({_CGROUP_STORAGE, _PERCPU_CGROUP}), 82: frozenset({_REUSEPORT, _SOCKMAP, _SOCKHASH}),
    88: frozenset({_QUEUE, _STACK}), 89: frozenset({_QUEUE, _STACK, _BLOOM}),
    87: frozenset({_QUEUE, _STACK, _BLOOM}), 195: frozenset({5, 6, 10}), 107: frozenset({_SK_STORAGE}),
    108: frozenset({_SK_STORAGE}), 145: frozenset({_INODE}), 146: frozenset({_INODE}), 156: frozenset({_TASK}),
    157: frozenset({_TASK}), 210: frozenset({_CGRP}), 211: frozenset({_CGRP}),
}

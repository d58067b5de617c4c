#include "tracing.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, __u64);
} began SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} latencies SEC(".maps");

__u64 lost;

SEC("tracepoint/syscalls/sys_enter_write") int entering(struct sys_enter *ctx)
{
	__u32 tid = current_tid();
	__u64 now = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&began, &tid, &now, BPF_ANY))
		__sync_fetch_and_add(&lost, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_write") int leaving(struct sys_exit *ctx)
{
	__u32 tid = current_tid();
	__u64 *start = bpf_map_lookup_elem(&began, &tid);
	if (!start)
		return 0;
	__u64 at = *start;
	bpf_map_delete_elem(&began, &tid);
	__u32 slot = bit_length(bpf_ktime_get_ns() - at);
	if (slot > 63)
		slot = 63;
	__u64 *count = bpf_map_lookup_elem(&latencies, &slot);
	if (count)
		++*count;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

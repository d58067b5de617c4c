#include "tracing.h"

struct started {
	__u64 at;
	char path[64];
};

struct open {
	__u32 pid;
	__s32 result;
	__u64 latency;
	char comm[16];
	char path[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__type(key, __u32);
	__type(value, struct started);
} started SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 23);
} opens SEC(".maps");

__u64 started_lost, opens_lost;

SEC("tracepoint/syscalls/sys_enter_openat") int opening(struct sys_enter *ctx)
{
	struct started start;
	if (bpf_probe_read_user_str(start.path, sizeof(start.path), (void *)ctx->args[1]) < 0)
		return 0;
	start.at = bpf_ktime_get_ns();
	__u32 tid = current_tid();
	if (bpf_map_update_elem(&started, &tid, &start, BPF_ANY))
		__sync_fetch_and_add(&started_lost, 1);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat") int opened(struct sys_exit *ctx)
{
	__u32 tid = current_tid();
	struct started *start = bpf_map_lookup_elem(&started, &tid);
	if (!start)
		return 0;
	struct open *open = bpf_ringbuf_reserve(&opens, sizeof(*open), 0);
	if (open) {
		open->pid = current_pid();
		open->result = ctx->ret;
		open->latency = bpf_ktime_get_ns() - start->at;
		bpf_get_current_comm(open->comm, sizeof(open->comm));
		__builtin_memcpy(open->path, start->path, sizeof(open->path));
		bpf_ringbuf_submit(open, 0);
	} else {
		__sync_fetch_and_add(&opens_lost, 1);
	}
	bpf_map_delete_elem(&started, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

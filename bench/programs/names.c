#include "tracing.h"

struct {
	__u64 servers;
	__u64 workers;
	__u64 others;
} calls;

SEC("raw_tracepoint/sys_enter") int counting(struct bpf_raw_tracepoint_args *ctx)
{
	char name[16];
	bpf_get_current_comm(name, sizeof(name));
	if (!bpf_strncmp(name, 6, "nginx"))
		__sync_fetch_and_add(&calls.servers, 1);
	else if (!bpf_strncmp(name, 8, "kworker/"))
		__sync_fetch_and_add(&calls.workers, 1);
	else
		__sync_fetch_and_add(&calls.others, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";

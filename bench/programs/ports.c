#include "packets.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u16);
	__type(value, __u64);
} ports SEC(".maps");

__u64 lost;

SEC("xdp") int ports_counter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *next;
	int proto = parse_transport(data, end, &next);
	__u16 port;
	if (proto == IPPROTO_TCP) {
		struct tcphdr *tcp = next;
		if ((void *)(tcp + 1) > end)
			return XDP_PASS;
		port = bpf_ntohs(tcp->dest);
	} else if (proto == IPPROTO_UDP) {
		struct udphdr *udp = next;
		if ((void *)(udp + 1) > end)
			return XDP_PASS;
		port = bpf_ntohs(udp->dest);
	} else {
		return XDP_PASS;
	}
	__u64 *count = bpf_map_lookup_elem(&ports, &port);
	if (!count) {
		__u64 zero = 0;
		bpf_map_update_elem(&ports, &port, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&ports, &port);
		if (!count) {
			__sync_fetch_and_add(&lost, 1);
			return XDP_PASS;
		}
	}
	__sync_fetch_and_add(count, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";

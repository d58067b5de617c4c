#include "programs/packets.h"

// The set of addresses to drop: a hash, or the lines of bpfwright/datapath/prefixes, looked up the same way.
struct count {
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct count);
} dropped SEC(".maps");

static __always_inline int drop(void)
{
	__u32 zero = 0;
	struct count *count = bpf_map_lookup_elem(&dropped, &zero);
	if (count)
		count->packets++;
	return XDP_DROP;
}

#ifdef BY_HASH
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENTRIES);
	__type(key, __u32);
	__type(value, __u32);
} blocked SEC(".maps");

static __always_inline __u32 find(__u32 address)
{
	return bpf_map_lookup_elem(&blocked, &address) != NULL;
}
#else
#define LEADS (1U << 31)
#define FORWARD (1U << 30)
#define MASK ((1U << BITS) - 1)
#define INDIRECT (1U << (BITS - 1))

struct line {
	__u32 words[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1 << BITS);
	__type(key, __u32);
	__type(value, struct line);
} cells SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LINES);
	__type(key, __u32);
	__type(value, struct line);
} lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, WIDE);
	__type(key, __u32);
	__type(value, __u64);
} wide SEC(".maps");

static __always_inline __u32 place_in(struct line *line, __u64 key)
{
	__u64 place = ((__u64)line->words[8] - key) >> 63 << 3;
	place |= ((__u64)line->words[(place + 4) & 15] - key) >> 63 << 2;
	place |= ((__u64)line->words[(place + 2) & 15] - key) >> 63 << 1;
	place |= ((__u64)line->words[(place + 1) & 15] - key) >> 63;
	return place & 15;
}

static __always_inline __u32 find(__u32 raw)
{
	__u32 address = bpf_ntohl(raw), index = address >> (32 - BITS);
	struct line *line = bpf_map_lookup_elem(&cells, &index);
	if (!line)
		return 0;
	__u64 key = (__u32)(address << BITS) | MASK;
	// As ours: what the compiler does not know it makes no branches of, which traffic by chance would guess wrong.
	asm volatile("" : "+r"(key));
	__u32 head = line->words[0];
	if (head) {
#pragma clang loop unroll(disable)
		for (int i = 0; i < 6; i++) {
			__u32 next = head & (FORWARD - 1);
			if (!(head & FORWARD))
				next += place_in(line, key) - 1;
			line = bpf_map_lookup_elem(&lines, &next);
			if (!line)
				return 0;
			head = line->words[0];
			if (!head)
				break;
		}
	}
	__u32 label = line->words[place_in(line, key)] & MASK;
	if (label & INDIRECT) {
		__u32 number = label ^ INDIRECT;
		__u64 *found = bpf_map_lookup_elem(&wide, &number);
		return found ? *found : 0;
	}
	return label;
}
#endif

SEC("xdp") int dropping(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = find_ipv4(data, end);
	if (!ip || !find(ip->saddr))
		return XDP_PASS;
	return drop();
}

char LICENSE[] SEC("license") = "GPL";

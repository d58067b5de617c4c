/* Maps as they were declared before BTF, and section names that say nothing. */
#include "bpf.h"

struct bpf_map_def {
	u32 type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def SEC("maps") old_hash = { MAP_HASH, 4, 8, 16, 0 };
struct bpf_map_def SEC("maps") old_array = { MAP_ARRAY, 4, 4, 1, 0 };

SEC("xdp_old_style") int old(struct xdp_md *ctx)
{
	u32 key = 0, *value = map_lookup(&old_array, &key);
	u64 wide = 9;

	map_update(&old_hash, &key, &wide, 0);
	if (value)
		*value += 1;
	return 2;
}

SEC("whatever") int unknown(struct xdp_md *ctx)
{
	return 33;
}

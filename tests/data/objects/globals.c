/* Global data of every kind, static and global functions, maps of maps, program arrays, a callback. */
#include "bpf.h"

u32 initialised = 40;
u32 zeroed;
const volatile u32 constant = 2;
static u32 hidden = 7;
u64 named[2] SEC(".data.named") = { 11, 13 };
static const u32 table[4] = { 1, 10, 100, 1000 };

struct inner {
	__uint(type, MAP_ARRAY);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} first SEC(".maps"), second SEC(".maps");

struct {
	__uint(type, MAP_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &first, &second } };

struct entry {
	u64 count;
	u32 last;
};

struct {
	__uint(type, MAP_HASH);
	__uint(max_entries, 128);
	__type(key, u32);
	__type(value, struct entry);
} entries SEC(".maps");

int called(struct xdp_md *ctx);

struct {
	__uint(type, MAP_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(struct xdp_md *));
} jumps SEC(".maps") = { .values = { [1] = &called } };

static __noinline u32 local_function(u32 value)
{
	return value * 3 + hidden;
}

__noinline u32 global_function(u32 value)
{
	hidden++;
	return value + table[value & 3];
}

static long callback(u32 index, u64 *sum)
{
	*sum += index;
	return 0;
}

SEC("xdp") int data(struct xdp_md *ctx)
{
	zeroed++;
	return initialised + constant + named[1];	/* 55 */
}

SEC("xdp") int functions(struct xdp_md *ctx)
{
	return global_function(ctx->rx_queue_index + 2) + local_function(ctx->rx_queue_index);	/* 2 + 100 + hidden */
}

SEC("xdp") int maps(struct xdp_md *ctx)
{
	u32 key = 1;
	struct entry fresh = { .count = 5, .last = 9 }, *entry;
	u64 *value;
	void *inner = map_lookup(&outer, &key);

	if (!inner)
		return 101;
	value = map_lookup(inner, &key);
	if (!value)
		return 102;
	*value += 3;
	map_update(&entries, &key, &fresh, 0);
	entry = map_lookup(&entries, &key);
	return entry ? entry->count + entry->last : 103;	/* 14 */
}

SEC("xdp") int called(struct xdp_md *ctx)
{
	return 77;
}

SEC("xdp") int jumping(struct xdp_md *ctx)
{
	tail_call(ctx, &jumps, 1);
	return 1;
}

SEC("xdp") int looping(struct xdp_md *ctx)
{
	u64 sum = 0;

	loop(10, callback, &sum, 0);
	return sum;	/* 45 */
}

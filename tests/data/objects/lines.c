/* A program that the verifier refuses, and on which line. */
#include "bpf.h"

SEC("xdp") int refused(struct xdp_md *ctx)
{
	u8 *data = (u8 *)(u64)ctx->data;

	if (ctx->rx_queue_index == 12345)
		return 1;
	return data[20];	/* line 10 */
}

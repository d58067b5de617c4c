/* A program that is not under the GPL calls a helper that wants it. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

char _license[] SEC("license") = "Proprietary";

SEC("tp_btf/sched_switch")
int closed(__u64 *ctx)
{
    char name[16] = {};
    bpf_probe_read_kernel(name, sizeof name, (void *)ctx[1]);
    return name[0];
}

// What the C tracers of this folder share.
#pragma once
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

// A system call's record: the fields of /sys/kernel/tracing/events/syscalls/*/format.
struct sys_enter {
	__u64 common;
	long number;
	unsigned long args[6];
};

struct sys_exit {
	__u64 common;
	long number;
	long ret;
};

static __always_inline __u32 current_tid(void)
{
	return bpf_get_current_pid_tgid();
}

static __always_inline __u32 current_pid(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

// How many bits a number needs.
static __always_inline __u32 bit_length(__u64 n)
{
	__u32 bits = 0;
	if (n >> 32) {
		n >>= 32;
		bits += 32;
	}
	if (n >> 16) {
		n >>= 16;
		bits += 16;
	}
	if (n >> 8) {
		n >>= 8;
		bits += 8;
	}
	if (n >> 4) {
		n >>= 4;
		bits += 4;
	}
	if (n >> 2) {
		n >>= 2;
		bits += 2;
	}
	if (n >> 1) {
		n >>= 1;
		bits += 1;
	}
	return bits + n;
}

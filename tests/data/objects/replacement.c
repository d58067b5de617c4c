/* A function that takes the place of another program's. */
#include "bpf.h"

SEC("freplace/global_function") u32 replacement(u32 value)
{
	return 1000;
}

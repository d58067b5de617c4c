/* Nine frames: the kernel allows eight. */
#include "reject.h"

#define FRAME(NAME, NEXT) static __noinline int NAME(volatile int *x) { *x += 1; return NEXT(x) + *x; }
static __noinline int frame9(volatile int *x) { return *x; }
FRAME(frame8, frame9)
FRAME(frame7, frame8)
FRAME(frame6, frame7)
FRAME(frame5, frame6)
FRAME(frame4, frame5)
FRAME(frame3, frame4)
FRAME(frame2, frame3)

SEC("xdp")
int deep(struct xdp_md *ctx)
{
    volatile int x = 1;
    return frame2(&x);
}

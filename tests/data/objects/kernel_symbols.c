/* What the kernel supplies: functions, typed and untyped symbols, weak ones that are missing, configuration values. */
#include "bpf.h"

struct task_struct {
	int tgid;
} __core;

extern struct task_struct *bpf_task_from_pid(s32 pid) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern void bpf_no_such_function(void) __ksym __weak;
extern const void no_such_symbol __ksym __weak;
extern const int bpf_prog_active __ksym __weak;
extern const void do_nanosleep __ksym __weak;
extern u32 LINUX_KERNEL_VERSION __kconfig;
extern u32 CONFIG_NO_SUCH_OPTION __kconfig __weak;

u64 found, missing_function, missing_symbol, version, option, typed, address;

SEC("syscall") int ask(void *ctx)
{
	struct task_struct *task = bpf_task_from_pid(2);

	if (task) {
		found = task->tgid;
		bpf_task_release(task);
	}
	if (bpf_no_such_function)
		bpf_no_such_function();
	missing_function = !bpf_no_such_function;
	missing_symbol = !&no_such_symbol;
	version = LINUX_KERNEL_VERSION;
	address = (u64)&do_nanosleep;
	option = CONFIG_NO_SUCH_OPTION;
	return 3;
}

SEC("syscall") int variable(void *ctx)
{
	typed = !!&bpf_prog_active;
	return 4;
}

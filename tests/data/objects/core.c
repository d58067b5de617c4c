/* Every kind of CO-RE relocation, answered into memory that the test reads and compares with the kernel's BTF. */
#include "bpf.h"

struct list_head___ours {
	struct list_head___ours *prev, *next;	/* the other way round than in the kernel */
} __core;

struct task_struct___ours {
	int padding[100];
	int pid;
	int tgid;
	unsigned in_iowait : 1;
	struct task_struct___ours *real_parent;
	struct list_head___ours tasks;
	int no_such_field;
} __core;

struct no_such_struct {
	int x;
} __core;

struct iphdr___short {
	u8 ttl;
	u16 id;
} __core;

enum bpf_map_type___ours {
	BPF_MAP_TYPE_HASH___ours = 77,
	BPF_MAP_TYPE_NEVER___ours = 78,
};

#define FIELD(s, f, kind) __builtin_preserve_field_info(((struct s *)0)->f, kind)

u64 tgid_offset, tgid_size, tgid_signed, tgid_exists, missing_exists, iowait_offset, iowait_lshift, iowait_rshift;
u64 iowait_size, tasks_next_offset, type_exists, type_missing, type_size, local_id, target_id, enum_value, enum_exists;
u64 enum_missing, ttl_offset, id_offset, matches, read_tgid, parent_tgid, in_iowait;

SEC("raw_tp") int fields(void *ctx)
{
	tgid_offset = FIELD(task_struct___ours, tgid, 0);
	tgid_size = FIELD(task_struct___ours, tgid, 1);
	tgid_exists = FIELD(task_struct___ours, tgid, 2);
	tgid_signed = FIELD(task_struct___ours, tgid, 3);
	missing_exists = FIELD(task_struct___ours, no_such_field, 2);
	iowait_offset = FIELD(task_struct___ours, in_iowait, 0);
	iowait_size = FIELD(task_struct___ours, in_iowait, 1);
	iowait_lshift = FIELD(task_struct___ours, in_iowait, 4);
	iowait_rshift = FIELD(task_struct___ours, in_iowait, 5);
	tasks_next_offset = FIELD(task_struct___ours, tasks.next, 0);
	ttl_offset = FIELD(iphdr___short, ttl, 0);
	id_offset = FIELD(iphdr___short, id, 0);
	return 0;
}

SEC("raw_tp") int types(void *ctx)
{
	type_exists = __builtin_preserve_type_info(*(struct task_struct___ours *)0, 0);
	type_missing = __builtin_preserve_type_info(*(struct no_such_struct *)0, 0);
	type_size = __builtin_preserve_type_info(*(struct task_struct___ours *)0, 1);
	local_id = __builtin_btf_type_id(*(struct task_struct___ours *)0, 0);
	target_id = __builtin_btf_type_id(*(struct task_struct___ours *)0, 1);
	enum_exists = __builtin_preserve_enum_value(*(typeof(enum bpf_map_type___ours) *)BPF_MAP_TYPE_HASH___ours, 0);
	enum_missing = __builtin_preserve_enum_value(*(typeof(enum bpf_map_type___ours) *)BPF_MAP_TYPE_NEVER___ours, 0);
	enum_value = __builtin_preserve_enum_value(*(typeof(enum bpf_map_type___ours) *)BPF_MAP_TYPE_HASH___ours, 1);
	return 0;
}

SEC("tp_btf/sched_switch") int direct(u64 *ctx)
{
	struct task_struct___ours *previous = (void *)ctx[1];

	if (previous->tgid) {
		read_tgid = previous->tgid;
		parent_tgid = previous->real_parent->tgid;
	}
	return 0;
}

SEC("raw_tp") int poisoned(void *ctx)
{
	struct task_struct___ours *task = get_current_task();
	int value = 0;

	probe_read_kernel(&value, sizeof(value), &task->no_such_field);
	return value;
}

SEC("raw_tp") int guarded(void *ctx)
{
	struct task_struct___ours *task = get_current_task();
	int value = 5;

	if (FIELD(task_struct___ours, no_such_field, 2))
		probe_read_kernel(&value, sizeof(value), &task->no_such_field);
	return value;
}

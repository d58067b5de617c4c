"""Kernel types by name: the shipped file is found by bisection, the rest in the running kernel."""
from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import TargetError, UsageError
from bpfwright.formats.btf import Btf
from bpfwright.types import KernelStruct
from bpfwright.types.ctype import CharArray, Pointer, RecordType
from bpfwright.vmlinux import lookup
from bpfwright.vmlinux.writing import Record, merge, picture_of, render, render_record, write_structs

NAMES = [line.split("(")[0] for line in bytes(lookup._text()[:]).decode().split("\nclass ")[1:]]


def layout_of(cls: Any) -> dict[str, Any]:
    assert issubclass(cls, KernelStruct)
    return {name: field.type for name, field in cls.__layout__().fields.items()}


def test_names_stand_in_order_and_once() -> None:
    assert sorted(set(NAMES)) == NAMES and len(NAMES) > 10_000


def test_every_shipped_name_is_found() -> None:
    text = bytes(lookup._text()[:])
    for name in NAMES:
        at = lookup._class_at(name)
        assert text[at:].startswith(f"class {name}(".encode())


@given(st.text("abcdefgstk_", max_size=12))
def test_other_names_are_not(name: str) -> None:
    assert (lookup._class_at(name) >= 0) is (name in set(NAMES))


def test_a_sample_of_every_letter_lays_out() -> None:
    for name in NAMES[::37]:
        layout_of(lookup.find(name))


def test_task_struct() -> None:
    from bpfwright.vmlinux import task_struct
    fields = layout_of(task_struct)
    assert isinstance(fields["comm"], CharArray) and fields["comm"].size == 16
    assert isinstance(fields["real_parent"], Pointer) and isinstance(fields["real_parent"].target, RecordType)
    assert fields["real_parent"].target.cls is task_struct
    assert task_struct.__layout__().fields["in_iowait"].width == 1
    assert task_struct.__kernel_name__ == "task_struct"


def test_a_field_named_like_its_type_and_promoted_members() -> None:
    assert layout_of(lookup.find("task_struct"))["thread_info"].cls is lookup.find("thread_info")
    common = layout_of(lookup.find("sock_common"))
    assert common["skc_dport"].name == "be16" and common["skc_daddr"].name == "be32"


def test_kfuncs() -> None:
    from bpfwright.vmlinux import bpf_task_acquire
    assert bpf_task_acquire.__kfunc__  # type: ignore[attr-defined]
    assert bpf_task_acquire.__annotations__ == {"p": "ptr[task_struct]", "return": "task_struct | None"}
    assert bpf_task_acquire.__globals__["task_struct"] is lookup.find("task_struct")
    with pytest.raises(UsageError):
        bpf_task_acquire(None)  # type: ignore[arg-type]


def test_what_is_not_shipped_comes_from_this_kernel() -> None:
    assert not lookup.is_shipped("trace_event_raw_sched_switch")
    assert "prev_comm" in layout_of(lookup.find("trace_event_raw_sched_switch"))


def test_a_typing_mistake_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="tsk_struct"):
        from bpfwright.vmlinux import tsk_struct  # type: ignore[attr-defined]  # noqa: F401


def test_nothing_is_read_at_import() -> None:
    script = ("import bpfwright.vmlinux, sys; sys.exit('bpfwright.vmlinux.lookup' in sys.modules or "
              "'bpfwright.formats' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", script]).returncode == 0


# The writer

@pytest.fixture(scope="module")
def kernel() -> Btf:
    return Btf.open("/sys/kernel/btf/vmlinux")


def test_written_modules_are_modules(kernel: Btf) -> None:
    source = write_structs(["css_set", "cgroup", "bpf_cgroup_from_id"], kernel)
    space: dict[str, Any] = {"__name__": "kernel_types"}
    exec(compile(source, "kernel_types.py", "exec"), space)
    fields = layout_of(space["css_set"])
    assert isinstance(fields["dfl_cgrp"], Pointer) and fields["dfl_cgrp"].target == RecordType(space["cgroup"])
    assert space["bpf_cgroup_from_id"].__kfunc__ and "from bpfwright.vmlinux import" in source
    assert source.count("\nclass ") < 40


def test_written_whole_where_nothing_is_shipped(kernel: Btf) -> None:
    source = write_structs(["list_head", "hlist_bl_node"], kernel, shipped=lambda _: False)
    assert source.count("\nclass ") == 2 and "next: ptr[list_head]" in source


def test_unknown_names(kernel: Btf) -> None:
    with pytest.raises(TargetError, match="no_such_struct"):
        write_structs(["no_such_struct"], kernel)


def test_checkers_accept_what_is_written(kernel: Btf, tmp_path: Any) -> None:
    module = tmp_path / "kernel_types.py"
    module.write_text(write_structs(["css_set", "pid", "sock", "bpf_task_acquire"], kernel, shipped=lambda _: False))
    done = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(module)],
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stdout


def test_hidden_names_get_an_alias() -> None:
    text, hidden = render_record("a", Record(False, {"pid": "i32", "other": "ptr[pid]", "bits": "bits[u32, L[3]]"}))
    assert hidden == {"pid", "bits"} and "other: ptr[_t_pid]" in text and "bits: _t_bits[u32, L[3]]" in text
    picture = {"a": Record(False, {"pid": "i32", "other": "ptr[pid]", "ptr": "ptr[a]"}), "pid": Record(True, {})}
    source = render(picture, head="from __future__ import annotations\n")
    space: dict[str, Any] = {"__name__": "m"}
    exec(source, space)
    assert layout_of(space["a"])["other"].target.cls is space["pid"]


def test_merging_adds_what_only_the_older_has() -> None:
    newest = {"a": Record(False, {"x": "u32"})}
    merge(newest, {"a": Record(False, {"x": "u64", "y": "u8"}), "b": Record(False, {})})
    assert newest["a"].fields == {"x": "u32", "y": "u8"} and "b" in newest


def test_the_shipped_file_holds_this_kernel(kernel: Btf) -> None:
    ours = picture_of(kernel, ["task_struct"])
    shipped = set(NAMES)
    for name, record in ours.items():
        assert name in shipped or name.startswith("trace_event_"), name
        if name in shipped:
            assert set(record.fields) <= set(lookup.find(name).__own__), name

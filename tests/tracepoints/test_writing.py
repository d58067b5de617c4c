"""Event classes out of `format` files: every declaration that kernels use, and the modules that are written."""
from __future__ import annotations

import ast
import os
from pathlib import Path
from typing import Any

import pytest

from bpfwright.errors import FormatError, TargetError
from bpfwright.formats.btf import Btf
from bpfwright.tracepoints import syscalls
from bpfwright.tracepoints.writing import (EventField, annotation_of, events_matching, parse_format, write_classes,
                                           write_events, write_types)

TRACEFS = "/sys/kernel/tracing"
HEAD = """name: thing
ID: 7
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""


def form(*fields: str) -> str:
    return HEAD + "".join(f"\tfield:{field}\n" for field in fields) + '\nprint fmt: "x"\n'


def one(declaration: str, size: int, signed: int = 0, syscall: bool = False) -> str:
    (field,) = parse_format(form(f"{declaration};\toffset:8;\tsize:{size};\tsigned:{signed};"))
    return annotation_of(field, syscall, shipped=lambda name: name == "sk_buff")


@pytest.mark.parametrize(("declaration", "size", "signed", "expected"), [
    ("char prev_comm[16]", 16, 0, "char[L[16]]"), ("char comm[TASK_COMM_LEN]", 16, 0, "char[L[16]]"),
    ("pid_t pid", 4, 1, "i32"), ("u64 ns", 8, 0, "u64"), ("unsigned long x", 8, 0, "u64"), ("long state", 8, 1, "i64"),
    ("bool ok", 1, 0, "bool"), ("__u8 saddr[4]", 4, 0, "array[u8, L[4]]"), ("__be32 addr", 4, 0, "be32"),
    ("unsigned long args[6]", 48, 0, "array[u64, L[6]]"), ("int values[3]", 12, 1, "array[i32, L[3]]"),
    ("__data_loc char[] name", 4, 0, "char[L[128]]"), ("__rel_loc u8[] b", 4, 0, "array[u8, L[128]]"),
     ("dev_t dev", 4, 0, "u32"),
    ("struct sk_buff * skb", 8, 0, "ptr[sk_buff]"), ("struct other * p", 8, 0, "u64"), ("const void * p", 8, 0, "u64"),
    ("struct in6_addr saddr", 16, 0, "array[u8, L[16]]"), ("enum zone_type z", 4, 0, "u32"),
])
def test_annotations(declaration: str, size: int, signed: int, expected: str) -> None:
    assert one(declaration, size, signed) == expected


@pytest.mark.parametrize(("declaration", "expected"), [
    ("const char * filename", "UserStr"), ("char * dev_name", "UserStr"), ("const char * buf", "User[u8]"),
    ("int fd", "i32"), ("unsigned int fd", "u32"), ("umode_t mode", "u16"), ("size_t count", "u64"),
    ("off_t o", "i64"),
    ("u32 * uaddr", "User[u32]"), ("const char *const * argv", "User[u64]"), ("struct sockaddr * a", "u64"),
])
def test_annotations_of_system_calls(declaration: str, expected: str) -> None:
    assert one(declaration, 8, syscall=True) == expected


def test_parse_format() -> None:
    fields = parse_format(form("char a[4];\toffset:8;\tsize:4;\tsigned:0;", "u8 b;\toffset:12;\tsize:1;\tsigned:0;",
                               "u8 end[0];\toffset:13;\tsize:0;\tsigned:0;"))
    assert fields == [EventField("a", "char", True, 8, 4, False), EventField("b", "u8", False, 12, 1, False)]
    with pytest.raises(FormatError):
        parse_format("nothing of the kind")
    with pytest.raises(FormatError):
        parse_format(form("***;\toffset:8;\tsize:4;\tsigned:0;"))


def test_names_that_cannot_be() -> None:
    text = form("int class;\toffset:8;\tsize:4;\tsigned:1;", "int syscall;\toffset:8;\tsize:4;\tsigned:1;",
                "u32 u32;\toffset:12;\tsize:4;\tsigned:0;")
    source = write_classes([("a", "thing", text), ("b", "thing", form()), ("c", "3com", form())])
    ast.parse(source)
    assert 'class a_thing(Fields, event="a:thing"):' in source
    assert "class b_thing" in source and "class _3com" in source
    assert "    class:" not in source and "    syscall:" not in source
    assert "    u32: _t_u32\n" in source and "u32 as _t_u32" in source


def make_event(root: Path, category: str, name: str, text: str) -> None:
    folder = root / "events" / category / name
    folder.mkdir(parents=True)
    (folder / "format").write_text(text)


def test_globs(tmp_path: Path) -> None:
    for category, name in (("sched", "switch"), ("sched", "wakeup"), ("net", "switch")):
        make_event(tmp_path, category, name, form("u64 a;\toffset:8;\tsize:8;\tsigned:0;"))
    root = str(tmp_path)
    assert list(events_matching(["sched:*"], root)) == [("sched", "switch"), ("sched", "wakeup")]
    assert list(events_matching(["switch", "sched:w*"], root)) == [("net", "switch"), ("sched", "switch"),
                                                                   ("sched", "wakeup")]
    assert write_events(["sched:*"], root).count("\nclass ") == 2
    with pytest.raises(TargetError, match="ched:"):
        list(events_matching(["ched:*"], root))
    with pytest.raises(TargetError, match="mount"):
        list(events_matching(["*"], str(tmp_path / "nowhere")))


def test_shipped_system_calls() -> None:
    made: Any = syscalls.sys_enter_openat
    assert made.__event__ == "syscalls:sys_enter_openat"
    assert made.__annotations__ == {"dfd": "i32", "filename": "UserStr", "flags": "i32", "mode": "u16"}
    assert syscalls.sys_enter_openat is made and made.__module__ == "bpfwright.tracepoints.syscalls"
    assert syscalls.sys_exit_openat.__annotations__ == {"ret": "i64"}
    for name in dir(syscalls):
        assert getattr(syscalls, name).__event__ == f"syscalls:{name}"
    with pytest.raises(AttributeError, match="sys_enter_opennat"):
        syscalls.sys_enter_opennat  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.kernel
def test_every_event_of_this_kernel_can_be_written() -> None:
    source = write_events(["*:*"])
    assert source.count("\nclass ") > 1000
    space: dict[str, Any] = {"__name__": "all_events"}
    exec(compile(source, "all_events.py", "exec"), space)
    with open(os.path.join(TRACEFS, "events/sched/sched_switch/format")) as file:
        declared = [field.name for field in parse_format(file.read())]
    assert list(space["sched_switch"].__annotations__) == declared


@pytest.mark.kernel
def test_structs_and_events_in_one_module() -> None:
    source = write_types(["sched:sched_switch", "skb:kfree_skb"], ["css_set", "bpf_cgroup_from_id"],
                         Btf.open("/sys/kernel/btf/vmlinux"))
    space: dict[str, Any] = {"__name__": "types"}
    exec(compile(source, "types.py", "exec"), space)
    assert {"sched_switch", "kfree_skb", "css_set", "bpf_cgroup_from_id"} <= space.keys()
    assert space["kfree_skb"].__annotations__["location"] == "u64"
    assert source.count("from __future__") == 1 and source.startswith('"""')

"""A raw tracepoint with typed arguments."""
from __future__ import annotations

HOOK = "BTF raw tracepoint"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.c_programs import compile_c
    from vmtest.cases.raw_tracepoint import SOURCE
    text = SOURCE.replace("@section@", "tp_btf/sys_enter").replace("@context@", "__u64")
    return compile_c(text.replace("@number@", "ctx[1]"))


def check(files: dict[str, bytes]) -> None:
    from vmtest.cases.raw_tracepoint import watch
    watch(files, "")

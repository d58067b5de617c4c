"""bpftrace's language on kprobes: arguments by number and by name, results, offsets, patterns, names of what fired."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmtest.traced import Scripts

HOOK = "kprobe in a script of bpftrace's language"
SINCE = "5.10"
SCRIPT = """
    kprobe:__x64_sys_getpgid / pid == $1 / { @number[func, probe, ((struct pt_regs *)arg0)->di] = count(); }
    kretprobe:__x64_sys_getpgid / pid == $1 / { @result[retval] = count(); }
    kprobe:iterate_dir / pid == $1 / { @named[str(args.file->f_path.dentry->d_name.name, 32)] = count(); }
    kprobe:__x64_sys_get[ps]*id / pid == $1 / { @pattern[func] = count(); }
    kretprobe:__x64_sys_get[ps]*id / pid == $1 / { @results[probe] = count(); }
    kprobe:vmlinux:do_getpgid / pid == $1 / { @module = count(); }
"""


def build() -> dict[str, bytes]:
    return {"note": b"compiled in the guest"}


def _calls() -> None:
    for _ in range(10):
        os.getpgid(1)
    os.getsid(1)
    os.listdir("/proc/self")


def check(files: dict[str, bytes]) -> None:
    from vmtest.traced import scripts
    with scripts() as here:
        said = here.run(SCRIPT, _calls, words=(str(os.getpid()),))
        wanted = {"@number[__x64_sys_getpgid, kprobe:__x64_sys_getpgid, 1]: 10", f"@result[{os.getpgid(1)}]: 10",
                  "@pattern[__x64_sys_getpgid]: 10", "@pattern[__x64_sys_getsid]: 1",
                  "@results[kretprobe:__x64_sys_getpgid]: 10", "@results[kretprobe:__x64_sys_getsid]: 1",
                  "@module: 10"}
        assert wanted <= set(said.lines), said
        assert any(line.startswith(f"@named[{os.getpid()}]: ") for line in said.lines), said
        _offsets(here)


def _offsets(here: Scripts) -> None:
    """Where an instruction begins behind the entry depends on the build: one of a few places does."""
    from bpfwright.errors import TargetError
    for offset in range(1, 24):
        try:
            said = here.run(f"kprobe:__x64_sys_getpgid+{offset} / pid == {os.getpid()} / {{ @[probe] = count(); }}",
                            _calls)
        except TargetError as problem:
            assert f"__x64_sys_getpgid+{offset:#x}" in str(problem), problem
            continue
        if said.lines == [f"@[kprobe:__x64_sys_getpgid+{offset:#x}]: 10"]:
            return
    raise AssertionError("no offset fired")

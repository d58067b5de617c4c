"""bpftrace's language on trampolines: arguments and results by name, modules, patterns, running BPF programs."""
from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmtest.traced import Scripts

HOOK = "fentry and fexit in a script of bpftrace's language"
SINCE = "5.10"
SCRIPT = """
    fentry:do_getpgid / pid == $1 / { @entry[probe, func, args.pid, arg0] = count(); }
    fexit:vmlinux:do_getpgid / pid == $1 / { @exit[args.pid, retval] = count(); }
    fentry:iterate_dir / pid == $1 / { @named[str(args.file->f_path.dentry->d_name.name, 32)] = count(); }
    fentry:do_getp*id / pid == $1 / { @pattern[func] = count(); }
"""


def build() -> dict[str, bytes]:
    return {"note": b"compiled in the guest"}


def _calls() -> None:
    for _ in range(10):
        os.getpgid(1)
    os.listdir("/proc/self")


def check(files: dict[str, bytes]) -> None:
    from bpfwright.errors import CompileError
    from vmtest.traced import scripts
    with scripts() as here:
        said = here.run(SCRIPT, _calls, words=(str(os.getpid()),))
        assert {"@entry[fentry:vmlinux:do_getpgid, do_getpgid, 1, 1]: 10", f"@exit[1, {os.getpgid(1)}]: 10",
                "@pattern[do_getpgid]: 10"} <= set(said.lines), said
        assert any(line.startswith(f"@named[{os.getpid()}]: ") for line in said.lines), said
        _of_bpf(here)
        for script, expected in (("fentry:do_getpgidd { }", "Did you mean `do_getpgid`?"),
                                 ("fentry:do_getpgid { print(args.pidd); }", "Did you mean `pid`?"),
                                 ("fentry:bpf:no_such_program { }", "`bpfwright ps` lists them")):
            try:
                here.run(script, _calls)
            except CompileError as refused:
                assert expected in str(refused), refused
            else:
                raise AssertionError(script)


def _of_bpf(here: Scripts) -> None:
    """A script that runs is a BPF program, which another script traces."""
    def watched() -> None:
        names = [one.name for one in programs() if "rawtracepoint" in one.name]
        assert len(names) == 1, names
        said = here.run(f"fentry:bpf:{names[0]} / pid == {os.getpid()} / {{ @[probetype] = count(); }}", _calls)
        lines.extend(said.lines)

    from bpfwright.kernel.listing import programs
    lines: list[str] = []
    here.run("rawtracepoint:sys_enter { @ = count(); }", watched)
    assert len(lines) == 1 and lines[0].startswith("@[fentry]: ") and int(lines[0].split()[1]) > 10, lines

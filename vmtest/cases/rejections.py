"""Python programs that the verifier rejects: every error names the Python line, the verifier's reason and a cure."""
from __future__ import annotations

import os

HOOK = ""  # no row of its own
SINCE = "5.10"

# Program -> the oldest of the lab's kernels that accepts it.
ACCEPTED = {"current_in_xdp": (6, 12), "subprogram_under_lock": (6, 12), "nested_calls": (7, 0),
            "timer_in_tracing": (7, 0)}
# They call kernel functions, which older kernels lack: that is said instead.
NEEDS_KFUNCS = {"kfunc_in_socket_filter", "kfunc_with_other_struct", "released_not_acquired", "released_twice"}
KFUNCS = (6, 12)


def build() -> dict[str, bytes]:
    from vmtest.python_rejections import build as built
    return built()


def check(files: dict[str, bytes]) -> None:
    from vmtest.python_rejections import Said, marked, say
    here = tuple(int(part) for part in os.uname().release.split(".")[:2])
    lines, wrong = marked(), []
    for name, data in files.items():
        said = say(data)
        if name in NEEDS_KFUNCS and here < KFUNCS:
            right = said.kind == "NotSupported" and "function" in said.text
        elif here >= ACCEPTED.get(name, (99,)):
            right = said == Said()
        else:
            right = (said.kind == "VerifierError" and said.file.endswith("rejected.py") and said.line in lines[name]
                     and bool(said.reason and said.cure))
        if not right:
            wrong.append(f"{name}: {said.kind or 'accepted'} {said.text}")
    assert not wrong, "\n".join(wrong)

"""Records what real verifiers say about the mistakes in `rejects/`, as test data.

    python -m vmtest.verifier_logs [KERNEL...]      writes tests/data/verifier_logs/KERNEL/NAME.log and SUMMARY.json

The programs are C, compiled here by clang, loaded there by libbpf: neither is what reads the logs in the tests. A
program that a kernel accepts, or that libbpf cannot prepare for it, has no log there; the summary says which.
"""
from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from vmtest import boot, kernels, lab

__all__ = ["main"]

SOURCES = Path(__file__).parent / "rejects"
RECORDS = lab.TOP / "tests" / "data" / "verifier_logs"
CLANG = ("clang-14", "-O2", "-g", "-target", "bpf", "-I/usr/include/x86_64-linux-gnu")
LOG_SIZE = 1 << 24
LOG_LEVEL = 1
KEPT = 30_000  # characters: a loop that runs a million times says the same a million times


class OpenOptions(ctypes.Structure):
    """libbpf 1.x's bpf_object_open_opts."""

    _fields_ = [("size", ctypes.c_size_t), ("object_name", ctypes.c_char_p), ("relaxed_maps", ctypes.c_bool),
                ("pin_root_path", ctypes.c_char_p), ("unused", ctypes.c_uint32), ("kconfig", ctypes.c_char_p),
                ("btf_custom_path", ctypes.c_char_p), ("log_buffer", ctypes.c_void_p), ("log_size", ctypes.c_size_t),
                ("log_level", ctypes.c_uint32)]


def compile_all(folder: Path) -> None:
    for source in sorted(SOURCES.glob("*.c")):
        # A relative name, so that no path of this machine gets into the logs.
        subprocess.run([*CLANG, "-c", source.name, "-o", str(folder / f"{source.stem}.o")], cwd=SOURCES, check=True)


def load_all(folder: Path) -> None:
    """In the guest: one JSON line for each object."""
    libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    libbpf.bpf_object__open_file.restype = ctypes.c_void_p
    libbpf.bpf_object__load.argtypes = libbpf.bpf_object__close.argtypes = [ctypes.c_void_p]
    buffer = ctypes.create_string_buffer(LOG_SIZE)
    for path in sorted(folder.glob("*.o")):
        buffer[0] = b"\0"
        options = OpenOptions(size=ctypes.sizeof(OpenOptions), log_buffer=ctypes.addressof(buffer), log_size=LOG_SIZE,
                              log_level=LOG_LEVEL)
        opened = libbpf.bpf_object__open_file(os.fsencode(path), ctypes.byref(options))
        status = libbpf.bpf_object__load(opened) if opened else -ctypes.get_errno()
        log = buffer.value.decode(errors="replace")
        if log.startswith("magic:"):  # what loading the type information said: the program never got to the verifier
            log = ""
        if opened:
            libbpf.bpf_object__close(opened)
        print(json.dumps({"name": path.stem, "status": status, "log": log}), flush=True)


def _shortened(log: str) -> str:
    """The beginning and the end of a very long log, cut at line ends and marked, as our own retry keeps it."""
    if len(log) <= KEPT:
        return log
    head, tail = log[:KEPT // 2], log[-KEPT // 2:]
    return f"{head[:head.rindex(chr(10))]}\n[... cut ...]\n{tail[tail.index(chr(10)) + 1:]}"


def record(series: str, objects: Path) -> None:
    """Run the loads under `series` (or `host`) and write the logs."""
    command = [sys.executable, "-m", "vmtest.verifier_logs", "--load", str(objects)]
    lines: list[str] = []
    if series == "host":
        release = os.uname().release
        done = subprocess.run(command, cwd=lab.TOP, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              check=True)
        lines = done.stdout.splitlines()
        target = RECORDS / ".".join(release.split(".")[:2])
    else:
        kernel = kernels.get(series)
        release, target = kernel.release, RECORDS / series
        outcome = boot.run(kernel, command, folder=str(lab.TOP), environment={"PYTHONPATH": str(lab.TOP)},
                           timeout_s=300, on_line=lines.append)
        if outcome.status:
            raise kernels.LabError(f"{series}: status {outcome.status}\n{outcome.console}\n{outcome.stderr}")
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("*.log"):
        old.unlink()
    statuses = {}
    for line in lines:
        result = json.loads(line)
        statuses[result["name"]] = {"errno": -result["status"], "logged": bool(result["log"].strip())}
        if result["status"] and result["log"].strip():
            (target / f"{result['name']}.log").write_text(_shortened(result["log"]))
    summary = {"release": release.partition("-")[0].partition("+")[0], "log_level": LOG_LEVEL, "programs": statuses}
    (target / "SUMMARY.json").write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n")
    print(f"{series}: {len(list(target.glob('*.log')))} logs of {len(statuses)} programs", flush=True)


def main(*words: str) -> None:
    if words[:1] == ("--load",):
        load_all(Path(words[1]))
        return
    with tempfile.TemporaryDirectory(prefix="rejects.", dir=kernels.cache_folder()) as scratch:
        compile_all(Path(scratch))
        for series in words or (*kernels.SERIES, "host"):
            record(series, Path(scratch))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""LLVM behind one worker process: IR text in, object bytes out; whatever LLVM does to itself, this process lives on."""
from __future__ import annotations

import atexit
import os
import struct
import sys
from _thread import allocate_lock

from bpfwright._typing import Any
from bpfwright.errors import CompilerCrash, NotSupported

__all__ = ["compile_bpf", "compile_native", "start", "stop", "version"]

_LENGTH = struct.Struct("<I")
_REQUEST = struct.Struct("<cBHH")
_KEPT_DIAGNOSTICS = 64 << 10


class _Worker:
    """The running process and our ends of its pipes."""

    __slots__ = ("child", "code", "notes", "pid", "requests", "results")

    def __init__(self, *, careful: bool = False) -> None:
        here = os.path.dirname(__file__)
        command = [sys.executable, "-I", "-S", os.path.join(here, "_llvm_worker.py"), _site_of_llvmlite(),
                   *["careful"] * careful]
        if not sys.executable:
            raise CompilerCrash("the compile worker cannot start", cure="sys.executable is empty: set it to python3.")
        # stderr goes to memory, not a pipe: a crash report of any length must not block the worker.
        opened: list[int] = []
        try:
            opened.append(os.memfd_create("bpfwright-llvm") if hasattr(os, "memfd_create") else _unnamed_file())
            opened += os.pipe()
            opened += os.pipe()
            self.notes, child_in, self.requests, self.results, child_out = opened
            self.child: Any = None
            if hasattr(os, "posix_spawn"):
                self.pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=[
                    (os.POSIX_SPAWN_DUP2, child_in, 0), (os.POSIX_SPAWN_DUP2, child_out, 1),
                    (os.POSIX_SPAWN_DUP2, self.notes, 2)])
            else:
                import subprocess  # 12 ms
                self.child = subprocess.Popen(command, stdin=child_in, stdout=child_out, stderr=self.notes)
                self.pid = self.child.pid
        except OSError as problem:
            for fd in opened:
                os.close(fd)
            raise CompilerCrash("the compile worker cannot start", diagnostics=str(problem)) from problem
        os.close(child_in)
        os.close(child_out)

    def alive(self) -> bool:
        if self.child is not None:
            return self.child.poll() is None
        try:
            return os.waitpid(self.pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:  # someone else's os.wait() took the status: it is gone
            return False

    def ask(self, request: bytes) -> bytes | None:
        """The answer, or None when the worker died over it."""
        os.ftruncate(self.notes, 0)
        os.lseek(self.notes, 0, os.SEEK_SET)  # the offset is shared with the worker's stderr
        try:
            view = memoryview(_LENGTH.pack(len(request)) + request)
            while view:
                view = view[os.write(self.requests, view):]
        except BrokenPipeError:
            return None
        head = self._read(_LENGTH.size)
        return self._read(_LENGTH.unpack(head)[0]) if head is not None else None

    def _read(self, count: int) -> bytes | None:
        parts = []
        while count:
            part = os.read(self.results, min(count, 1 << 20))
            if not part:
                return None
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def ended(self) -> int:
        """Its exit status, a signal's number below zero; waits for it."""
        if self.pid:
            try:
                self.code = (os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]) if self.child is None
                             else self.child.wait())
            except ChildProcessError:
                self.code = 0
            self.pid = 0
        return self.code

    def killed(self) -> bool:
        """Whether someone ended it: SIGKILL or SIGTERM, which LLVM does not send itself."""
        return self.ended() in (-9, -15)

    def last_words(self) -> str:
        """How it ended, and what it printed."""
        code = self.ended()
        ended = f"killed by signal {-code}" if code < 0 else f"exit {code}"
        os.lseek(self.notes, 0, os.SEEK_SET)  # the worker is over, whose offset this was
        said = os.read(self.notes, _KEPT_DIAGNOSTICS).decode("utf-8", "replace").strip("\0\n ")
        return f"{said}\n({ended})" if said else f"({ended})"

    def forget(self) -> None:
        """Close our ends without touching the process: a forked child must not stop its parent's worker."""
        for fd in (self.requests, self.results, self.notes):
            if fd >= 0:
                os.close(fd)
        self.requests = self.results = self.notes = -1

    def close(self) -> None:
        self.forget()
        if self.pid:
            try:
                if self.child is not None:
                    self.child.kill()
                    self.child.wait()
                    return
                os.kill(self.pid, 9)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


_lock = allocate_lock()
_worker: _Worker | None = None


def _unnamed_file() -> int:
    import tempfile
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _llvmlite_folder() -> str:
    from importlib.machinery import PathFinder
    spec = PathFinder.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        raise NotSupported("compiling needs llvmlite, which is not installed", cure="Type: pip install llvmlite")
    return os.path.dirname(spec.origin)


def _site_of_llvmlite() -> str:
    return os.path.dirname(_llvmlite_folder())


def _after_fork() -> None:
    global _lock, _worker
    if _worker is not None:
        _worker.forget()
    _lock, _worker = allocate_lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def start() -> None:
    """Start the worker if it does not run yet, without waiting: LLVM loads while the caller parses."""
    with _lock:
        _running()


def _running() -> _Worker:
    global _worker
    if _worker is not None and not _worker.alive():
        _worker.forget()
        _worker = None
    if _worker is None:
        _worker = _Worker()
    return _worker


def stop() -> None:
    """End the worker (about 100 MB); the next compilation starts another."""
    global _worker
    with _lock:
        if _worker is not None:
            _worker.close()
            _worker = None


atexit.register(stop)


def _compile(target: bytes, opt: int, cpu: str, features: str, ir: str) -> bytes:
    global _worker
    names = cpu.encode() + features.encode()
    request = _REQUEST.pack(target, opt, len(cpu), len(features)) + names + ir.encode("utf-8", "surrogateescape")
    with _lock:
        worker = _running()
        try:
            answer = worker.ask(request)
            if answer is None and worker.killed():  # by a person or for want of memory, not by what it was asked
                worker.close()
                _worker = None
                worker = _running()
                answer = worker.ask(request)
            if answer is None:
                said = worker.last_words()
                answer = _carefully(request) if worker.ended() < 0 else None
                _worker = None
                worker.close()
            if answer is None:
                raise CompilerCrash(f"LLVM gave up: {_headline(said)}", diagnostics=said)
        except BaseException:  # also Ctrl-C: half an answer may stand in the pipe
            _worker = None
            worker.close()
            raise
    if answer[0]:
        said = answer[1:].decode("utf-8", "replace")
        raise CompilerCrash(f"LLVM refuses the compiler's own output: {_headline(said)}", diagnostics=said)
    return answer[1:]


def _carefully(request: bytes) -> bytes | None:
    """The answer of a worker without the pass that trips LLVM's own assertions once in some thousand programs."""
    worker = _Worker(careful=True)
    try:
        return worker.ask(request)
    finally:
        worker.close()


def _headline(said: str) -> str:
    lines = [line for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower() or "assert" in line.lower()]
    return (telling or lines or ["no word"])[0].strip()


def compile_bpf(ir: str, *, cpu: str = "v3", features: str = "", opt: int = 2) -> bytes:
    """The eBPF ELF object (little-endian) of a module in LLVM IR text; CompilerCrash when LLVM refuses it or dies."""
    return _compile(b"b", opt, cpu, features, ir)


def compile_native(ir: str, *, opt: int = 2, cpu: str = "") -> bytes:
    """A position-independent ELF object for this host.

    The module needs no triple. `cpu` is the architecture's baseline by default, so that a cached object runs on any
    machine that shares the cache; "host" uses all that this processor has.
    """
    return _compile(b"n", opt, cpu, "", ir)


def version() -> str:
    """The version of llvmlite, for cache keys; it is not imported for that."""
    global _version
    if not _version:
        with open(os.path.join(_llvmlite_folder(), "_version.py"), encoding="utf-8") as file:
            _version = next((line.split("'")[1] for line in file if line.startswith("version_version")), "unknown")
    return _version


_version = ""

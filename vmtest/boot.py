"""Boots a kernel in QEMU on this machine's own files and runs one command there, line by line.

Software emulation only: under nested virtualisation stock guest kernels die, and a lab that works everywhere is worth
more than a fast one. The C virtiofsd serves files only as root, out of a chroot, to memory that it shares.
"""
from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vmtest import initramfs
from vmtest.kernels import KernelImage, LabError, cache_folder

__all__ = ["Outcome", "run"]

VIRTIOFSD = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")  # bookworm's; the later one is not tested
LSM = "lsm=lockdown,yama,apparmor,bpf"
BOOT_LINE = f"console=ttyS0 panic=-1 oops=panic quiet mitigations=off nokaslr tsc=reliable {LSM}"
STATUS = re.compile(r"vmtest: exit status (\d+)")


class Outcome(NamedTuple):
    """How a run ended: `status` is the command's, None when the guest died or ran out of time."""

    status: int | None
    timed_out: bool
    stderr: str
    console: str
    seconds: float


def run(kernel: KernelImage, command: Sequence[str], *, folder: str, environment: Mapping[str, str],
        timeout_s: float, on_line: Callable[[str], None], memory: str = "1G") -> Outcome:
    """Run `command` as root under `kernel`; `on_line` gets each line of its stdout as it comes."""
    if os.geteuid() != 0:
        raise LabError("the lab needs root: its file server (virtiofsd) changes root. Try: sudo ./dev vmtest")
    with tempfile.TemporaryDirectory(prefix="run.", dir=cache_folder()) as scratch, contextlib.ExitStack() as stack:
        here = Path(scratch)
        (here / "initrd").write_bytes(initramfs.build(kernel, command, folder=folder, environment=environment))
        stack.enter_context(_file_server(here))
        return _boot(kernel, here, timeout_s, on_line, memory)


@contextlib.contextmanager
def _file_server(here: Path) -> Iterator[None]:
    program = next((path for path in VIRTIOFSD if os.path.exists(path)), None)
    if program is None:
        raise LabError("virtiofsd is missing: apt-get install -y --no-install-recommends qemu-system-x86 "
                       "(virtiofsd itself, where Debian packs it apart)")
    with open(here / "virtiofsd.log", "w") as log:
        server = subprocess.Popen([program, f"--socket-path={here}/fs.sock", "-o", "source=/", "-o", "cache=always",
                                   "-o", "sandbox=chroot", "-o", "xattr", "--thread-pool-size=0"],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        while not (here / "fs.sock").exists():
            if server.poll() is not None:
                raise LabError(f"virtiofsd ended: {(here / 'virtiofsd.log').read_text()[-500:]}")
            time.sleep(0.01)
        yield
    finally:
        server.kill()
        server.wait()


def _qemu(kernel: KernelImage, here: Path, memory: str, out: int, err: int) -> list[str]:
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        raise LabError("QEMU is missing: apt-get install -y --no-install-recommends qemu-system-x86")
    ports = []
    for number, (name, descriptor) in enumerate((("out", out), ("err", err)), 1):
        # QEMU refuses a pipe by name: a descriptor set carries it.
        ports += ["-add-fd", f"fd={descriptor},set={number}",
                  "-chardev", f"file,id={name},path=/dev/fdset/{number},append=on",
                  "-device", f"virtserialport,nr={number},chardev={name},name={name}"]
    # One thread for all CPUs: QEMU before 8.1 may translate code while another CPU patches it, and keeps the half.
    return [program, "-M", "q35", "-accel", "tcg,thread=single", "-cpu", "max", "-m", memory, "-smp", "2",
            "-nodefaults", "-display", "none", "-no-reboot", "-net", "none", "-serial", f"file:{here}/console",
            "-object", f"memory-backend-memfd,id=mem,size={memory},share=on", "-numa", "node,memdev=mem",
            "-chardev", f"socket,id=fs,path={here}/fs.sock", "-device", "vhost-user-fs-pci,chardev=fs,tag=root",
            "-device", "virtio-serial-pci,max_ports=3", *ports,
            "-kernel", str(kernel.image), "-initrd", f"{here}/initrd", "-append", BOOT_LINE]


def _boot(kernel: KernelImage, here: Path, timeout_s: float, on_line: Callable[[str], None], memory: str) -> Outcome:
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    status: list[int] = []
    errors: list[str] = []

    def line(text: str) -> None:
        found = STATUS.fullmatch(text)
        if found:
            status.append(int(found[1]))
        else:
            on_line(text)

    started = time.monotonic()
    try:
        guest = subprocess.Popen(_qemu(kernel, here, memory, out_write, err_write), stdin=subprocess.DEVNULL,
                                 pass_fds=(out_write, err_write))
    except BaseException:
        os.close(out_read)
        os.close(err_read)
        raise
    finally:
        os.close(out_write)
        os.close(err_write)
    readers = [threading.Thread(target=_read, args=pair, daemon=True)
               for pair in ((out_read, line), (err_read, errors.append))]
    try:
        for reader in readers:
            reader.start()
        timed_out = _wait(guest, timeout_s)
    finally:
        guest.kill()
        guest.wait()
        for reader in readers:
            reader.join()
    console = here / "console"
    tail = console.read_text(errors="replace")[-3000:] if console.exists() else ""
    return Outcome(status[-1] if status else None, timed_out, "\n".join(errors), tail, time.monotonic() - started)


def _wait(guest: subprocess.Popen[bytes], timeout_s: float) -> bool:
    try:
        guest.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return True
    return False


def _read(descriptor: int, on_line: Callable[[str], None]) -> None:
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        for text in stream:
            on_line(text.rstrip("\n"))

"""The little file system that a guest starts from: busybox, the modules of its root file system, two shell scripts."""
from __future__ import annotations

import lzma
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from vmtest.kernels import KernelImage, LabError

__all__ = ["build"]

BUSYBOX = Path("/bin/busybox")

# Modules of the older series; where one is missing from modules.dep it is built in.
BOOT_MODULES = ("virtio_pci", "virtio_console", "virtiofs", "overlay")

# This machine's own files, read-only over virtiofs, with a tmpfs above them: what the guest writes stays there.
INIT = r"""#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /sys /dev /host /rw /new
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
for m in $($b cat /modules.list); do $b insmod /$m || echo "vmtest: insmod $m failed"; done
$b mount -t virtiofs root /host || { echo "vmtest: no root file system"; $b poweroff -f; }
$b mount -t tmpfs -o mode=755 tmpfs /rw
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work overlay /new
$b mkdir -p /new/lib/modules/@release@
$b mount --bind /host@modules@ /new/lib/modules/@release@
$b cp /start /new/.vmtest-start
for d in proc sys dev; do $b mount --move /$d /new/$d; done
exec $b switch_root /new /bin/sh /.vmtest-start
"""

START = r"""
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
mount -t tmpfs tmpfs /run
mount -t securityfs sec /sys/kernel/security
mount -t debugfs dbg /sys/kernel/debug
mount -t tracefs trc /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cg /sys/fs/cgroup
ip link set lo up
ulimit -l unlimited
for port in /sys/class/virtio-ports/*; do eval "port_$(cat $port/name)=/dev/${port##*/}"; done
(
@environment@
cd @folder@ && exec @command@
) </dev/null >$port_out 2>$port_err
echo "vmtest: exit status $?" >$port_out
echo 1 >/proc/sys/kernel/sysrq
echo o >/proc/sysrq-trigger
sleep 60
"""


class Entry(NamedTuple):
    name: str
    mode: int
    data: bytes = b""


def build(kernel: KernelImage, command: Iterable[str], *, folder: str, environment: Mapping[str, str]) -> bytes:
    """A cpio archive that boots into `command`, run in `folder` of this machine's files."""
    if not BUSYBOX.exists():
        raise LabError("the lab needs busybox-static: apt-get install -y busybox-static")
    modules = list(_module_files(kernel))
    init = INIT.replace("@release@", kernel.release).replace("@modules@", str(kernel.modules))
    exports = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())
    start = START.replace("@environment@", exports).replace("@folder@", shlex.quote(folder))
    start = start.replace("@command@", shlex.join(command))
    entries = [Entry("bin", 0o040755), Entry("dev", 0o040755), Entry("bin/busybox", 0o100755, BUSYBOX.read_bytes()),
               Entry("init", 0o100755, init.encode()), Entry("start", 0o100644, start.encode()),
               Entry("modules.list", 0o100644, "\n".join(entry.name for entry in modules).encode()), *modules]
    return _cpio(entries)


def _module_files(kernel: KernelImage) -> Iterable[Entry]:
    """What BOOT_MODULES need, dependencies first."""
    dependencies = {}
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        path, _, needs = line.partition(":")
        dependencies[Path(path).name.partition(".ko")[0].replace("-", "_")] = [path, *needs.split()]
    wanted = dict.fromkeys(path for name in BOOT_MODULES for path in reversed(dependencies.get(name, [])))
    for path in wanted:
        data = (kernel.modules / path).read_bytes()
        yield Entry(Path(path).name.partition(".ko")[0] + ".ko", 0o100644,
                    lzma.decompress(data) if path.endswith(".xz") else data)


def _cpio(entries: Iterable[Entry]) -> bytes:
    """The `newc` format: thirteen hexadecimal fields, the name, the data, each padded to four bytes."""
    archive = bytearray()
    for number, entry in enumerate([*entries, Entry("TRAILER!!!", 0)], 1):
        name = entry.name.encode() + b"\0"
        fields = (number, entry.mode, 0, 0, 1, 0, len(entry.data), 0, 0, 0, 0, len(name), 0)
        archive += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        archive += b"\0" * (-len(archive) % 4) + entry.data
        archive += b"\0" * (-len(archive) % 4)
    return bytes(archive)

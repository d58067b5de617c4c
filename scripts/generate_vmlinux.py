"""Writes src/bpfwright/vmlinux/__init__.pyi: the kernel structs and kfuncs of the lab's kernels and of the running one.

    python scripts/generate_vmlinux.py [SERIES...]     # default: every series of the VM lab, and this kernel
"""
from __future__ import annotations

import lzma
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bpfwright.formats.btf import Btf
from bpfwright.vmlinux.writing import kfuncs_of, merge, picture_of, render
from vmtest.kernels import SERIES, get

TARGET = Path(__file__).resolve().parent.parent / "src" / "bpfwright" / "vmlinux" / "__init__.pyi"
HEAD = '''"""Kernel types and kfuncs by name: the union of {kernels}.

Written by scripts/generate_vmlinux.py; at run time a name is looked up in this file (see lookup.py), so the order of
the classes matters. A field that the running kernel lacks is a load-time error unless exists(...) asks first.
"""
# ruff: noqa
# pyright: reportGeneralTypeIssues=false
# So many classes are "too complex to analyze" as a source file; as an import they are not.
'''


_BUFFERS = ("trace_event_raw_", "trace_event_data_offsets_")


def unpack(image: bytes) -> bytes:
    """The ELF file inside a bzImage (Documentation/arch/x86/boot.rst: payload_offset and payload_length)."""
    start = (image[0x1F1] + 1) * 512 + int.from_bytes(image[0x248:0x24C], "little")
    payload = image[start:start + int.from_bytes(image[0x24C:0x250], "little")]
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(payload)
    if payload[:2] == b"\x1f\x8b":
        return zlib.decompressobj(31).decompress(payload)
    if payload[:4] == b"\x28\xb5\x2f\xfd":
        return piped("zstd", payload)
    if payload[:4] == b"\x02\x21\x4c\x18":
        return piped("lz4", payload)
    raise SystemExit(f"unknown compression {payload[:6].hex()}")


def piped(name: str, data: bytes) -> bytes:
    """What the tool makes of `data`. It grumbles at the length behind the packed data, after having unpacked that."""
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"this kernel is packed with {name}: apt-get install {name}")
    return subprocess.run([found, "-dcq"], input=data, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout


def btf_of(elf: bytes) -> bytes:
    """The .BTF section of a 64-bit ELF file."""
    table, size = int.from_bytes(elf[40:48], "little"), int.from_bytes(elf[58:60], "little")
    count, names = int.from_bytes(elf[60:62], "little"), int.from_bytes(elf[62:64], "little")
    headers = [elf[table + i * size:table + (i + 1) * size] for i in range(count)]
    strings = int.from_bytes(headers[names][24:32], "little")
    for header in headers:
        at = strings + int.from_bytes(header[:4], "little")
        if elf[at:elf.index(0, at)] == b".BTF":
            offset, length = int.from_bytes(header[24:32], "little"), int.from_bytes(header[32:40], "little")
            return elf[offset:offset + length]
    raise SystemExit("no .BTF section")


def version_of(release: str) -> tuple[int, int]:
    major, minor = release.split(".")[:2]
    return int(major), int(minor.split("-")[0])


def main() -> None:
    series = sys.argv[1:] or list(SERIES)
    images = [get(name) for name in series]
    kernels = [(version_of(image.release), Btf(btf_of(unpack(image.image.read_bytes())))) for image in images]
    kernels.append((version_of(os.uname().release), Btf.open("/sys/kernel/btf/vmlinux")))
    kernels.sort(key=lambda kernel: kernel[0], reverse=True)
    picture = picture_of(kernels[0][1])
    for _, btf in kernels[1:]:
        merge(picture, picture_of(btf))
    # What tracepoints write into their buffers has classes of its own: see bpfwright.tracepoints.
    picture = {name: record for name, record in picture.items() if not name.startswith(_BUFFERS)}
    assert not any(name.startswith("_t_") for name in picture), "the prefix of aliases is taken"
    kfuncs: dict[str, str] = {}
    for _, btf in kernels:
        kfuncs = {**kfuncs_of(btf, frozenset(picture)), **kfuncs}
    named = ", ".join(f"Linux {major}.{minor}" for (major, minor), _ in reversed(kernels))
    TARGET.write_text(render(picture, head=HEAD.format(kernels=named), kfuncs=kfuncs))
    print(f"{TARGET}: {len(picture)} types, {len(kfuncs)} kfuncs, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()

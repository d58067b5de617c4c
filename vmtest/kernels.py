"""Stock kernels by series: found, fetched and unpacked with apt's own tools into a cache, nothing installed.

apt gets a private state folder, so that this machine's sources and lists stay as they are; the mirror is the one that
its own sources name.
"""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["SERIES", "KernelImage", "LabError", "cache_folder", "get", "headers"]

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class LabError(Exception):
    """The lab cannot work here; the message says what to do."""


class Series(NamedTuple):
    """Where Debian keeps a series: the suite, its archive (the last part of a mirror's address) and the metapackage."""

    suite: str
    archive: str
    meta: str


SERIES = {
    "5.10": Series("bullseye-security", "debian-security", "linux-image-cloud-amd64"),
    "6.1": Series("bookworm-security", "debian-security", "linux-image-cloud-amd64"),
    "6.12": Series("bookworm-security", "debian-security", "linux-image-6.12-cloud-amd64"),
    "7": Series("trixie-backports", "debian", "linux-image-cloud-amd64"),
}


class KernelImage(NamedTuple):
    """An unpacked kernel: `image` boots, `modules` holds modules.dep."""

    series: str
    release: str
    image: Path
    modules: Path


def cache_folder() -> Path:
    """Where kernels are kept: ~/.cache/bpfwright-vmlab, or under XDG_CACHE_HOME.

    Apart from the compile cache, which people empty to measure a cold start.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(base) / "bpfwright-vmlab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()  # a guest cannot follow links that begin at this machine's root


def get(series: str, *, update: bool = False) -> KernelImage:
    """The kernel of `series`, fetched on first use; `update` looks for a newer one."""
    if series not in SERIES:
        raise LabError(f"no kernel series {series}: there are {' '.join(SERIES)}")
    record = cache_folder() / f"{series}.json"
    if not update and record.exists():
        release = json.loads(record.read_text())["release"]
        if (cache_folder() / release / "modules.ready").exists():
            return _image(series, release)
    release = _fetch(series)
    record.write_text(json.dumps({"release": release}))
    return _image(series, release)


def headers(series: str) -> Path:
    """The kernel's headers as one folder: Debian keeps an architecture's apart from those that all share."""
    release = get(series).release
    target = cache_folder() / f"headers-{release}"
    if not target.exists():
        options = _private_apt(SERIES[series])
        with tempfile.TemporaryDirectory(prefix="unpack.", dir=cache_folder()) as scratch:
            common = f"linux-headers-{release.replace('-cloud-amd64', '-common')}"
            _run("apt-get", *options, "-qq", "download", f"linux-headers-{release}", common, cwd=scratch)
            for archive in sorted(Path(scratch).glob("*.deb")):
                _run("dpkg-deb", "-x", str(archive), f"{scratch}/top")
            merged = Path(scratch) / "merged"
            for part in (common, f"linux-headers-{release}"):
                for folder in ("include", "arch"):
                    shutil.copytree(Path(scratch) / "top/usr/src" / part / folder, merged / folder, symlinks=True,
                                    dirs_exist_ok=True)
            os.rename(merged, target)
    return target


def _image(series: str, release: str) -> KernelImage:
    top = cache_folder() / release
    modules = next(top.glob(f"**/lib/modules/{release}"))
    images = [top / "boot" / f"vmlinuz-{release}", modules / "vmlinuz"]
    return KernelImage(series, release, next(path for path in images if path.exists()), modules)


def _fetch(series: str) -> str:
    for tool in ("apt-get", "dpkg-deb", "depmod"):
        if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            raise LabError(f"{tool} is not here: the lab needs a Debian machine with kmod installed")
    options = _private_apt(SERIES[series])
    _run("apt-get", *options, "-qq", "update")
    image = _depends(options, SERIES[series].meta)
    release = image.removeprefix("linux-image-")
    if not (cache_folder() / release / "modules.ready").exists():
        _unpack(release, options, _packages(options, image))
    return release


def _private_apt(series: Series) -> list[str]:
    """apt options that point every piece of state into the cache."""
    state = cache_folder() / "apt" / series.suite
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    source = f"deb [signed-by={KEYRING}] {_mirror(series.archive)} {series.suite} main\n"
    (state / "sources.list").write_text(source)
    settings = {"Dir::Etc::sourcelist": state / "sources.list", "Dir::Etc::sourceparts": "/dev/null",
                "Dir::Etc::preferencesparts": "/dev/null", "Dir::State::lists": state / "lists",
                "Dir::Cache": state / "cache", "APT::Sandbox::User": "root", "Acquire::Languages": "none",
                "Acquire::Retries": "3"}
    return [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]


def _mirror(archive: str) -> str:
    listed = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages")
    for address in listed.split():
        if address.rstrip("/").endswith(f"/{archive}"):
            return address.rstrip("/")
    raise LabError(f"no apt source of this machine ends in /{archive}: add one, the lab uses the same mirror")


def _depends(options: list[str], package: str) -> str:
    """The real image package that the metapackage names today: exact names change with every update."""
    for line in _run("apt-cache", *options, "depends", package).splitlines():
        name = line.partition("Depends:")[2].strip()
        if name.startswith("linux-image-"):
            return name
    raise LabError(f"{package} names no kernel image")


def _packages(options: list[str], image: str) -> list[str]:
    """Since 7.x the image is split: the files of `image` stand in packages that it depends on."""
    release = image.removeprefix("linux-image-")
    split = [f"linux-binary-{release}", f"linux-modules-{release}", f"linux-base-{release}"]
    known = _run("apt-cache", *options, "pkgnames", "linux-").split()
    return [name for name in split if name in known] or [image]


def _unpack(release: str, options: list[str], packages: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="unpack.", dir=cache_folder()) as scratch:
        top = Path(scratch) / "top"
        _run("apt-get", *options, "-qq", "download", *packages, cwd=scratch)
        for archive in sorted(Path(scratch).glob("*.deb")):
            _run("dpkg-deb", "-x", str(archive), str(top))
        if not (top / "lib").exists():  # 7.x keeps modules under usr/lib, depmod looks under lib
            (top / "lib").symlink_to("usr/lib")
        _run("depmod", "-b", str(top), release)  # the package leaves this to its installation script
        (top / "modules.ready").touch()
        target = cache_folder() / release
        shutil.rmtree(target, ignore_errors=True)
        os.rename(top, target)


def _run(*command: str, cwd: str | None = None) -> str:
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env={**os.environ, "PATH": path, "LC_ALL": "C"}, timeout=600, check=False)
    except OSError as problem:
        raise LabError(f"{command[0]} does not start: {problem}") from problem
    if done.returncode:
        raise LabError(f"{' '.join(command[:1] + command[-2:])} failed: {done.stderr.strip()[-600:]}")
    return done.stdout

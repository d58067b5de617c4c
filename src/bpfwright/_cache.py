"""Compiled things on disk, keyed by SHA-256, private to the effective user.

The folder and all that leads to it must belong to this user (or root) and be writable by nobody else, because what it
holds is executed: anything else is refused with CacheError.
"""
from __future__ import annotations

import os
import struct
import zlib

from bpfwright._typing import Any
from bpfwright.errors import CacheError

__all__ = ["Cache", "default", "hasher", "key_of"]

_MAGIC = b"bpfwright cache 1\n"
_CHECK = struct.Struct("<QI")
_HEAD = len(_MAGIC) + _CHECK.size
_WRITABLE_BY_OTHERS = 0o022
_STICKY = 0o1000
_OWNERS = hasattr(os, "geteuid")  # elsewhere the system keeps a user's own folders to that user
_CAREFULLY = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_TYPE, _FOLDER, _REGULAR = 0o170000, 0o040000, 0o100000


def hasher() -> Any:
    """A new SHA-256, without hashlib where Python has it built in: that would load OpenSSL."""
    try:
        from _sha2 import sha256  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        try:
            from _sha256 import sha256  # type: ignore[import-not-found,unused-ignore]
        except ImportError:
            from hashlib import sha256
    return sha256()


def key_of(*parts: bytes) -> str:
    """The key of what was made from `parts`; ("ab", "c") and ("a", "bc") differ."""
    digest = hasher()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    name: str = digest.hexdigest()
    return name


def default() -> Cache:
    """This user's cache: $XDG_CACHE_HOME/bpfwright or ~/.cache/bpfwright.

    Under sudo both may still name another user's folders; then it is root's own home that is meant.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    homes = [named] if os.path.isabs(named) else []
    home = os.environ.get("HOME", "")
    homes += [os.path.join(home, ".cache")] if os.path.isabs(home) else []
    for folder in homes:
        if _is_own(folder):
            return Cache(os.path.join(folder, "bpfwright"))
    return Cache(os.path.join(_home(), ".cache", "bpfwright"))


def _home() -> str:
    """This user's own folder, whatever the environment says."""
    if not _OWNERS:
        return os.path.expanduser("~")
    import pwd
    return pwd.getpwuid(os.geteuid()).pw_dir


def _is_own(folder: str) -> bool:
    """Whether the nearest part of `folder` that exists belongs to the effective user."""
    while _OWNERS:
        try:
            return os.stat(folder).st_uid == os.geteuid()
        except OSError:
            parent = os.path.dirname(folder)
            if parent == folder:
                return False
            folder = parent
    return True


class Cache:
    """Files in `folder`, about `limit_bytes` of them at most; the least recently used go first.

    How many there are is looked at once in `look_every` times that something is put: it takes long where they are many.

    A disk that is full or read-only is no error: nothing is kept then. CacheError is for a folder or file that another
    user could have written.
    """

    __slots__ = ("folder", "limit_bytes", "look_every", "_checked")

    def __init__(self, folder: str, limit_bytes: int = 256 << 20, look_every: int = 64) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.look_every = look_every
        self._checked = False

    def get(self, key: str) -> bytes | None:
        """What was put under `key`, or None; a damaged file counts as absent."""
        if not self._check():
            return None
        path = self._path(key)
        try:
            file = os.open(path, os.O_RDONLY | _CAREFULLY | getattr(os, "O_NONBLOCK", 0))
        except FileNotFoundError:
            return None
        except OSError as problem:
            raise CacheError(f"{path} is not a file of the cache", why=str(problem),
                             cure=f"Remove it: rm -r {self.folder}") from None
        try:
            status = os.fstat(file)
            if status.st_mode & _TYPE != _REGULAR:
                raise CacheError(f"{path} is not a file", cure=f"Remove it: rm -r {self.folder}")
            self._refuse(path, status)
            data = bytearray()
            while part := os.read(file, 1 << 20):
                data += part
        finally:
            os.close(file)
        if data[:len(_MAGIC)] != _MAGIC or len(data) < _HEAD:
            return None
        size, check = _CHECK.unpack_from(data, len(_MAGIC))
        body = bytes(data[_HEAD:])
        if len(body) != size or zlib.crc32(body) != check:
            return None
        self._touch(path)
        return body

    def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`; readers see the old file or the whole new one."""
        if not self._check(make=True):
            return
        path = self._path(key)
        fresh = f"{path}.{os.getpid()}.{os.urandom(4).hex()}"
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o600)
            try:
                view = memoryview(_MAGIC + _CHECK.pack(len(data), zlib.crc32(data)) + data)
                while view:
                    view = view[os.write(file, view):]
                os.close(file)
                file = -1
                os.replace(fresh, path)
            except BaseException:
                if file >= 0:
                    os.close(file)
                os.unlink(fresh)
                raise
        except OSError:  # no room, read-only: the next run compiles again
            return
        if os.urandom(1)[0] % self.look_every == 0:
            self._prune()

    def _path(self, key: str) -> str:
        if len(key) != 64 or key.strip("0123456789abcdef"):
            raise ValueError(f"not a key of key_of(): {key!r}")
        return os.path.join(self.folder, key)

    def _check(self, make: bool = False) -> bool:
        """Whether the folder is there; CacheError unless it, and all above it, is out of others' reach."""
        if self._checked:
            return True
        if make:
            try:
                os.makedirs(os.path.dirname(self.folder), 0o700, exist_ok=True)
                os.mkdir(self.folder, 0o700)
            except FileExistsError:
                pass
            except OSError:
                return False
        try:
            status = os.lstat(self.folder)
        except OSError:
            return False
        if status.st_mode & _TYPE != _FOLDER:
            raise CacheError(f"{self.folder} is not a folder", cure=f"Remove it: rm {self.folder}")
        self._refuse(self.folder, status)
        above = os.path.dirname(os.path.realpath(self.folder))
        while True:
            self._refuse(above, os.lstat(above), above=True)
            if above == os.path.dirname(above):
                break
            above = os.path.dirname(above)
        self._checked = True
        return True

    def _refuse(self, path: str, status: os.stat_result, above: bool = False) -> None:
        if not _OWNERS:
            return
        owners = (os.geteuid(), 0) if above else (os.geteuid(),)
        if status.st_uid not in owners:
            raise CacheError(f"{path} belongs to another user (uid {status.st_uid}), and the cache holds code",
                             cure=f"Remove it, or set XDG_CACHE_HOME to a folder of your own: rm -r {self.folder}")
        if status.st_mode & _WRITABLE_BY_OTHERS and not (above and status.st_mode & _STICKY):
            raise CacheError(f"{path} can be written by others, and the cache holds code",
                             cure=f"Type: chmod go-w {path}")

    @staticmethod
    def _touch(path: str) -> None:
        try:
            os.utime(path)
        except OSError:
            pass

    def _prune(self) -> None:
        try:
            with os.scandir(self.folder) as entries:
                files = [(status.st_mtime_ns, status.st_size, entry.path)
                         for entry in entries if (status := entry.stat(follow_symlinks=False))]
        except OSError:
            return
        excess = sum(size for _, size, _ in files) - self.limit_bytes
        if excess <= 0:
            return
        excess += self.limit_bytes // 4  # so that the next puts need not prune again
        for _, size, path in sorted(files)[:-1]:
            if excess <= 0:
                return
            try:
                os.unlink(path)
            except OSError:
                continue
            excess -= size

"""A cache of the guest's own: the host's has more files than a guest may look at."""
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["own_cache"]


@contextmanager
def own_cache() -> Iterator[str]:
    """A folder that compiled programs are kept in while the block runs; it, and the compiler's process, go then."""
    from bpfwright import _llvm
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            yield folder
        finally:
            _llvm.stop()
            del os.environ["XDG_CACHE_HOME"]

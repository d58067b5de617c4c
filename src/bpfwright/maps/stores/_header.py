"""What every map begins with in the machine's memory: 64 bytes, the last 32 of them the store's own."""
from __future__ import annotations

__all__ = ["BODY", "COUNT", "CPUS", "EEXIST", "EFAULT", "EINVAL", "ENOENT", "ENOSPC", "E2BIG", "EXTRA", "FLAGS",
           "KEY_SIZE", "KIND", "MAX_ENTRIES", "OWN", "STRIDE", "VALUE_SIZE"]

KIND, KEY_SIZE, VALUE_SIZE, MAX_ENTRIES, FLAGS, COUNT, STRIDE, CPUS = 0, 4, 8, 12, 16, 20, 24, 28
OWN = 32  # the store's eight words
EXTRA = OWN + 28  # the last of them holds the specification's map_extra when create() is called
BODY = 64
ENOENT, E2BIG, EFAULT, EEXIST, EINVAL, ENOSPC = -2, -7, -14, -17, -22, -28

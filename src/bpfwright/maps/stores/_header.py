"""What every map begins with in the machine's memory: 64 bytes, the last 32 of them the store's own."""
from __future__ import annotations

__all__ = ["BODY", "COUNT", "EEXIST", "ENOENT", "E2BIG", "EINVAL", "FLAGS", "KEY_SIZE", "KIND", "MAX_ENTRIES",
           "OWN", "VALUE_SIZE"]

KIND, KEY_SIZE, VALUE_SIZE, MAX_ENTRIES, FLAGS, COUNT, STRIDE, CPUS = 0, 4, 8, 12, 16, 20, 24, 28
OWN = 32  # the store's eight words
BODY = 64
ENOENT, E2BIG, EEXIST, EINVAL = -2, -7, -17, -22

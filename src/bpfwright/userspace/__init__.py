"""The userspace machine: programs verified and run without a kernel and without root."""

"""Formats: pure readers and writers of bytes. No system call, no LLVM."""

"""eBPF for Python, whole."""

"""Event classes of tracepoints: those of the system calls are shipped, `bpfwright types -t GLOB` writes the others."""

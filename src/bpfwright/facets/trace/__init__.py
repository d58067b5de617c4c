"""bpftrace's language: its front end. Types and lowering are to stand on it; no command uses it yet."""

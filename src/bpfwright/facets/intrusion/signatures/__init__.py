"""Signatures: Suricata's rules, matched in the kernel up to a depth and judged whole on copies of packets."""

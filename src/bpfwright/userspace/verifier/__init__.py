"""Our own verifier: an abstract interpreter that gives the Linux kernel's verdict on a program, on any system."""
from __future__ import annotations

from bpfwright.userspace.verifier.profile import Profile
from bpfwright.userspace.verifier.state import State
from bpfwright.userspace.verifier.verdict import Verdict, verify

__all__ = ["Profile", "State", "Verdict", "verify"]

"""Who is who in the demo's network."""
from __future__ import annotations

__all__ = ["BLOCKED", "FRIEND", "PORT", "SERVER"]

SERVER, FRIEND, BLOCKED = "10.99.0.1", "10.99.0.2", "10.99.0.3"
PORT = 8080

"""Attach points: what they name on this machine, what each place brings, and how programs get there."""

"""Programs of the cases that are written in Python."""

"""The version: one number that the package, the wheel and the cache of compiled programs read."""

__version__ = "0.1.0"

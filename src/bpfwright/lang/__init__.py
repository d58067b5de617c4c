"""The language: parse, scope, check, lower to IR, passes, emit."""

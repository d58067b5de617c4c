"""Programs that `bpfwright build` makes portable objects of: one file an object, together most of the language."""

"""What the user sees of a running script: formats, values, maps, messages, and what answers to numbers of the world."""

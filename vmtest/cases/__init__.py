"""One file a hook: what it needs, a program, and a check that makes the event happen and looks at what was seen."""

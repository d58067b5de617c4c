"""The shapes everything else agrees on: blueprints of objects, and the protocols of a machine."""

"""From the tree to programs: types of everything, then IR. `compile.py` is the way in, `README.md` the map."""

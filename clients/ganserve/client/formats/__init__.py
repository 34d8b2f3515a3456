"""The forms in which samples lie on disk, each in a module of its own; `table.py` lists them."""

"""The commands `ganserve generate` and `ganserve models`, each in a module of its own."""

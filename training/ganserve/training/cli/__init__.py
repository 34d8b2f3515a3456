"""The commands of training: `ganserve train`, `evaluate` and `data …`, each in a module of its own."""

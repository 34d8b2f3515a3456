"""The commands of training: `ganserve train`, `evaluate`, `data …` and `bench train`, each in a module of its own."""

"""The commands that take samples from a server or a bundle, each in a module of its own."""

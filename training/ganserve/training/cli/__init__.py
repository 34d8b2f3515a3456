"""The commands of training: `ganserve train`, `evaluate` and `data …`, each in a module of its own."""

from ganserve.training.openmp import bound_spinning

# Here, because this runs before the modules of the commands, which import torch.
bound_spinning()

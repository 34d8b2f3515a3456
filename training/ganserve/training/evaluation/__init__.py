"""How good are the samples? Measured with a small classifier of the real data itself, so that nothing is downloaded.

`extractor_for` trains that classifier once for a dataset, `Evaluator` holds samples of a generator against the real
images in the space of its features, and `classification_accuracy_scores` asks what a classifier learns from samples
alone. `runs` does all of it for a finished run.
"""

from .cas import classification_accuracy_scores
from .evaluator import Evaluator
from .extractor import Extractor
from .extractor_cache import extractor_for
from .scores import Scores, print_table

__all__ = ["Evaluator", "Extractor", "Scores", "classification_accuracy_scores", "extractor_for", "print_table"]

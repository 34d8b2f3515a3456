"""How good are the samples? Measured with a small classifier of the real data itself, so that nothing is downloaded.

`feature_extractor_for` trains that classifier once for a dataset, `Evaluator` holds samples of a generator against the
real images in the space of its features, `classification_accuracy_scores` asks what a classifier learns from samples
alone, and `measure_memorisation` whether samples repeat training images. `runs` does all of it for a finished run.
"""

from .cas import classification_accuracy_scores
from .evaluator import Evaluator
from .feature_extractor import FeatureExtractor
from .feature_extractor_cache import feature_extractor_for
from .memorisation import Memorisation, measure_memorisation
from .table import print_table
from .troubles import Trouble, troubles_of

__all__ = [
    "Evaluator",
    "FeatureExtractor",
    "Memorisation",
    "Trouble",
    "classification_accuracy_scores",
    "feature_extractor_for",
    "measure_memorisation",
    "print_table",
    "troubles_of",
]

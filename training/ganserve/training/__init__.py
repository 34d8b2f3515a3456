"""Training: from real images to a run folder with a generator in it.

`training_from_config` trains, `resume_training` goes on with a run, and `load_generator` reads what came of it. The
loop itself is in `loop`.
"""

from .checkpoint import load_generator
from .config import TrainingConfig
from .run import resume_training, training_from_config
from .session import RunSummary

__all__ = ["RunSummary", "TrainingConfig", "load_generator", "resume_training", "training_from_config"]

"""Training: from real images to a run folder with a generator in it.

`training_from_config` trains, `resume_training` continues a run, and `load_generator` reads what came of it. The loop
itself is in `loop`.

Each name is imported from its module when it is first used, because torch takes a second or two to import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .checkpoint import load_generator
    from .config import TrainingConfig
    from .run import resume_training, training_from_config
    from .session import RunSummary

__all__ = ["RunSummary", "TrainingConfig", "load_generator", "resume_training", "training_from_config"]

_MODULES: Final = {
    "RunSummary": "session",
    "TrainingConfig": "config",
    "load_generator": "checkpoint",
    "resume_training": "run",
    "training_from_config": "run",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)

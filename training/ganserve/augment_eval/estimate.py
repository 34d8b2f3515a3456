"""How long a study takes, found by a few of its steps."""

from __future__ import annotations

import time
from typing import Final

from .arms import Arm
from .fitting import Fitter, logits_of
from .learning import learning_set
from .study import Study

_NUM_WARM_UP_STEPS: Final = 3
_NUM_STEPS: Final = 10
_NUM_TESTED: Final = 500
_NUM_SAMPLES: Final = 32


def estimate_s(study: Study) -> float:
    """Seconds of what is left to do, memorisation not counted, found by a few steps that are thrown away."""
    step_ends_s: list[float] = []
    size, real, settings = study.sizes[0], study.real, study.settings
    parts = real.parts(size.per_class, 0, settings.validation)
    quotas = Arm(kind="real").quotas(size.real_counts, [False] * real.training.num_classes)
    learning = learning_set(real, parts.learning, quotas, study.pool, seed=0, most_samples=0)
    num_steps = _NUM_WARM_UP_STEPS + _NUM_STEPS
    fitter = Fitter(
        study.make, num_steps, settings.batch_size, study.device, lambda: step_ends_s.append(time.perf_counter())
    )
    classifier = fitter.fit(learning, Arm(kind="real"), learning_rate=settings.learning_rates[0], seed=0)
    step_s = (step_ends_s[-1] - step_ends_s[_NUM_WARM_UP_STEPS - 1]) / _NUM_STEPS

    start_s = time.perf_counter()
    few = real.test.images[:_NUM_TESTED]
    logits_of(classifier, few, study.device)
    tested_s = (time.perf_counter() - start_s) / len(few) * len(real.test.images)

    num_samples = len(study.seeds_to_draw) * study.pool.num_of_seed
    sample_s = 0.0
    if num_samples:
        study.pool.source.generate(1, seed=0)  # the model may have to be loaded first
        start_s = time.perf_counter()
        study.pool.source.generate(_NUM_SAMPLES, seed=0)
        sample_s = (time.perf_counter() - start_s) / _NUM_SAMPLES
    return study.num_steps_left * step_s + study.num_trainings_left * tested_s + num_samples * sample_s

"""What is shown of a model's life: its loads, what it is and runs on, and how much waits for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnxruntime

from ganserve.runtime.loader import LoadedModel
from ganserve.v1.model_pb2 import Reproducibility

from .batcher import Batcher
from .metrics import Metrics, ModelMetrics


@contextmanager
def counted_load(metrics: Metrics, folder: Path) -> Iterator[None]:
    """Counts the load of the bundle in `folder`, which is `…/<name>/<version>`, and whether it went well."""
    name = folder.parent.name
    # Both are there from the first load on: Prometheus sees no increase where a counter begins.
    loaded, failed = (metrics.model_loads.child(name, outcome) for outcome in ("loaded", "failed"))
    start_s = time.monotonic()
    try:
        yield
    except Exception:
        failed.add()
        raise
    loaded.add()
    metrics.model_load_s.child(name).observe(time.monotonic() - start_s)


def show_model(
    metrics: Metrics, of_model: ModelMetrics, loaded: LoadedModel, batcher: Batcher, fell_back: bool
) -> None:
    """Shows a model for as long as its numbers are kept; `fell_back` where it was to run on another device."""
    labels = of_model.labels
    metrics.queued_rows.show(lambda: batcher.num_queued_rows, *labels)
    metrics.running_rows.show(lambda: batcher.num_running_rows, *labels)
    metrics.queued_rows_limit.show(lambda: batcher.max_queued_rows, *labels)
    metrics.model_serving.show(lambda: of_model.is_serving, *labels)
    metrics.model.child(*labels).update(
        digest=loaded.identity.digest,
        device=loaded.engine.lanes.device,
        provider=loaded.engine.provider,
        fallback=str(fell_back).lower(),
        reproducibility=Reproducibility.Name(loaded.reproducibility).removeprefix("REPRODUCIBILITY_").lower(),
        onnxruntime=onnxruntime.__version__,
    )

"""All that a server counts, by the conventions of Prometheus: https://prometheus.io/docs/practices/naming/.

`Metrics` owns every family. Whoever counts holds the children that it counts into: `ModelMetrics` those of a model,
`MethodMetrics` those of a method. `docs/serving.md` lists the families for operators.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final, TypeVar

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector

from .cuts import Cut
from .scheduler import Priority
from .tallies import Count, CountFamily, Family, GaugeFamily, Histogram, HistogramFamily, InfoFamily

_CALL_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_RUN_S: Final = (0.0001, 0.00025, *_CALL_S[:-2])
_LOAD_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_LAG_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_ROWS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)

_MODEL: Final = ("model", "version")
_CALL: Final = (*_MODEL, "method", "code")
NO_MODEL: Final = ("", "")
"""Labels of what concerns no model."""

AnyFamily = TypeVar("AnyFamily", bound=Family[Any])
Labels = tuple[str, str]


class Metrics:
    """Every metric of one server, in a registry of its own. The event loop counts; any thread may read.

    Attributes:
        registry: what a scrape reads.
        families: of the metrics that are the server's own.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.families: list[Family[Any]] = []
        self._models: dict[Labels, ModelMetrics] = {}
        self._methods: dict[str, MethodMetrics] = {}

        # Calls, of whatever protocol.
        self.calls = self._counts("calls", "Calls that ended, by gRPC status.", _CALL)
        self.call_s = self._histograms("call_seconds", "Time that calls took.", ("method",), _CALL_S)
        self.calls_in_progress = self._gauges("calls_in_progress", "Calls under way.", ("protocol",))
        self.calls_limit = self._gauges("calls_limit", "Most calls at once.", ("protocol",))
        self.request_bytes = self._counts("request_bytes", "Bytes of requests.", ("method",))
        self.reply_bytes = self._counts("reply_bytes", "Bytes of replies.", ("method",))
        self.reply_bytes_promised = self._gauges("reply_bytes_promised", "Bytes of replies that are not yet sent.")
        self.reply_bytes_limit = self._gauges("reply_bytes_limit", "Most bytes of replies that are not yet sent.")
        self.refusals = self._counts("refusals", "Requests refused for now, by what was at its limit.", ("limit",))
        self.encode_s = self._histograms("encode_seconds", "Time until images were files.", ("format",), _RUN_S)

        # Rows, from the queue to their caller.
        self.rows = self._counts("rows", "Rows sent (OK), or asked for and not sent.", _CALL)
        self.queued_rows = self._gauges("queued_rows", "Rows that wait for a lane.", _MODEL)
        self.running_rows = self._gauges("running_rows", "Rows that a lane has.", _MODEL)
        self.queued_rows_limit = self._gauges("queued_rows_limit", "Most rows that wait or run.", _MODEL)
        self.queue_wait_s = self._histograms(
            "queue_wait_seconds", "Time until the first row of a request ran.", (*_MODEL, "priority"), _CALL_S
        )
        self.batch_rows = self._histograms("batch_rows", "Rows of a batch.", _MODEL, _ROWS)
        self.batches = self._counts("batches", "Batches, by what ended them.", (*_MODEL, "cut"))
        self.compute_s = self._histograms("compute_seconds", "Time of a batch on its lane.", _MODEL, _RUN_S)
        self.dropped_rows = self._counts("dropped_rows", "Rows that never ran, by why.", (*_MODEL, "reason"))
        self.late_rows = self._counts(
            "late_rows", "Rows that ran though nobody wanted them any more. Stays 0.", (*_MODEL, "reason")
        )
        self.unclaimed_rows = self._counts("unclaimed_rows", "Rows whose caller left while they ran.", _MODEL)
        self.failed_rows = self._counts("failed_rows", "Rows on which the model failed.", _MODEL)

        # Models and the process.
        self.model = self._infos("model", "What a model is and runs on.", _MODEL)
        self.model_serving = self._gauges("model_serving", "Whether a model takes requests.", _MODEL)
        self.model_loads = self._counts("model_loads", "Models loaded, or not.", ("model", "outcome"))
        self.model_load_s = self._histograms("model_load_seconds", "Time of a load.", ("model",), _LOAD_S)
        self.loop_lag_s = self._histograms("event_loop_lag_seconds", "Delay of the event loop.", (), _LAG_S).child()
        facts = {name: version(name) for name in ("ganserve", "grpcio", "numpy", "pillow")}
        self._infos("server", "What serves.").child().update(facts, python=platform.python_version())

    def of_model(self, name: str, version: int) -> ModelMetrics:
        """What a version of a model counts into, until each who asked has called its `close`."""
        labels = (name, str(version))
        if labels not in self._models:
            self._models[labels] = ModelMetrics(self, labels)
        self._models[labels].num_users += 1
        return self._models[labels]

    def of_method(self, name: str) -> MethodMetrics:
        """What calls of a method count into."""
        if name not in self._methods:
            self._methods[name] = MethodMetrics(
                name=name,
                call_s=self.call_s.child(name),
                request_bytes=self.request_bytes.child(name),
                reply_bytes=self.reply_bytes.child(name),
            )
        return self._methods[name]

    def forget(self, labels: Labels) -> None:
        """Drops all numbers of a version of a model."""
        self._models.pop(labels, None)
        for family in self.families:
            if family.labels[: len(labels)] == _MODEL:
                family.drop(*labels)

    def _counts(self, name: str, text: str, labels: Sequence[str] = ()) -> CountFamily:
        return self._registered(CountFamily(f"ganserve_{name}", text, labels))

    def _gauges(self, name: str, text: str, labels: Sequence[str] = ()) -> GaugeFamily:
        return self._registered(GaugeFamily(f"ganserve_{name}", text, labels))

    def _infos(self, name: str, text: str, labels: Sequence[str] = ()) -> InfoFamily:
        return self._registered(InfoFamily(f"ganserve_{name}", text, labels))

    def _histograms(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> HistogramFamily:
        return self._registered(HistogramFamily(f"ganserve_{name}", text, labels, bounds=bounds))

    def _registered(self, family: AnyFamily) -> AnyFamily:
        self.registry.register(family)
        self.families.append(family)
        return family


@dataclass(frozen=True, kw_only=True, slots=True)
class MethodMetrics:
    """What calls of one method count into."""

    name: str
    call_s: Histogram
    request_bytes: Count
    reply_bytes: Count


class ModelMetrics:
    """What one version of a model counts into.

    Attributes:
        labels: name and version, or empty ones once it is closed, so that what ends later brings nothing back.
        num_users: how often it was asked for and not yet closed.
        is_serving: whether the model takes requests.
    """

    def __init__(self, metrics: Metrics, labels: Labels) -> None:
        self.labels = labels
        self.num_users = 0
        self.is_serving = False
        self._metrics = metrics
        self.queue_wait_s = {
            priority: metrics.queue_wait_s.child(*labels, priority.name.lower()) for priority in Priority
        }
        self.batch_rows = metrics.batch_rows.child(*labels)
        self.batches = {cut: metrics.batches.child(*labels, cut.value) for cut in Cut}
        self.compute_s = metrics.compute_s.child(*labels)
        self.expired_rows, self.cancelled_rows = (
            metrics.dropped_rows.child(*labels, reason) for reason in ("expired", "cancelled")
        )
        self.late_expired_rows, self.late_cancelled_rows = (
            metrics.late_rows.child(*labels, reason) for reason in ("expired", "cancelled")
        )
        self.unclaimed_rows = metrics.unclaimed_rows.child(*labels)
        self.failed_rows = metrics.failed_rows.child(*labels)
        self.refused_rows, self.refused_time = (metrics.refusals.child(limit) for limit in ("queued_rows", "time"))

    def count_rows(self, method: str, code: str, num_rows: int) -> None:
        """Rows of a call were sent, or not."""
        self._metrics.rows.child(*self.labels, method, code).value += num_rows

    def close(self) -> None:
        """Drops its numbers, unless another uses them too."""
        self.num_users -= 1
        if not self.num_users:
            self._metrics.forget(self.labels)
            self.labels = NO_MODEL

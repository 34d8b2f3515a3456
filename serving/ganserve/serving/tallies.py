"""Numbers that one thread counts up, in families that a Prometheus registry reads.

The children of prometheus_client take a lock and several calls for each number, since any thread may use them. Here the
event loop alone counts, thousands of times a second, so these are plain numbers. They may be read from any thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Count:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def add(self, amount: float = 1.0) -> None:
        """Adds an amount that is not negative."""
        self.value += amount


class Histogram:
    """How many values were seen in each bucket, and what they add up to."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the largest values of the buckets, ascending; a last bucket takes what is larger."""
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Counts a value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


Child = TypeVar("Child")


class Family(ABC, Collector, Generic[Child]):
    """Numbers of one name, each with labels of its own."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.labels = tuple(labels)
        self._text = text
        self._children: dict[tuple[str, ...], Child] = {}

    def child(self, *values: str) -> Child:
        """The number whose labels have these values, in the order of the labels."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._make()
        return child

    def drop(self, *values: str) -> None:
        """Forgets the numbers whose first labels have these values."""
        for labels in [labels for labels in self._children if labels[: len(values)] == values]:
            del self._children[labels]

    @abstractmethod
    def _make(self) -> Child:
        """A child that has counted nothing."""

    def _read(self) -> list[tuple[tuple[str, ...], Child]]:
        """All children at one moment."""
        return list(self._children.items())


class CountFamily(Family[Count]):
    """Counters; Prometheus adds `_total` to the name."""

    def _make(self) -> Count:
        return Count()

    def collect(self) -> Iterable[Metric]:
        metric = CounterMetricFamily(self.name, self._text, labels=self.labels)
        for values, count in self._read():
            metric.add_metric(values, count.value)
        yield metric


class HistogramFamily(Family[Histogram]):
    """Histograms over the same buckets."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = (), *, bounds: Sequence[float]) -> None:
        super().__init__(name, text, labels)
        self._bounds = tuple(bounds)

    def _make(self) -> Histogram:
        return Histogram(self._bounds)

    def collect(self) -> Iterable[Metric]:
        metric = HistogramMetricFamily(self.name, self._text, labels=self.labels)
        for values, histogram in self._read():
            buckets, num_up_to = [], 0
            for bound, num in zip((*map(floatToGoString, self._bounds), "+Inf"), tuple(histogram.counts), strict=True):
                num_up_to += num
                buckets.append((bound, num_up_to))
            metric.add_metric(values, buckets, histogram.total)
        yield metric


class Gauge:
    """A number that is asked for when it is read."""

    __slots__ = ("read",)

    def __init__(self) -> None:
        self.read: Callable[[], float] = float


class GaugeFamily(Family[Gauge]):
    """Numbers that go up and down."""

    def show(self, read: Callable[[], float], *values: str) -> None:
        """Has the number with these labels be what `read` gives, on whatever thread."""
        self.child(*values).read = read

    def _make(self) -> Gauge:
        return Gauge()

    def collect(self) -> Iterable[Metric]:
        metric = GaugeMetricFamily(self.name, self._text, labels=self.labels)
        for values, gauge in self._read():
            metric.add_metric(values, gauge.read())
        yield metric


class InfoFamily(Family[dict[str, str]]):
    """Facts, as further labels of a 1; Prometheus adds `_info` to the name."""

    def _make(self) -> dict[str, str]:
        return {}

    def collect(self) -> Iterable[Metric]:
        metric = InfoMetricFamily(self.name, self._text, labels=self.labels)
        for values, facts in self._read():
            metric.add_metric(values, facts)
        yield metric

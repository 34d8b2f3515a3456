from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ganserve.serving.tallies import CountFamily, Family, GaugeFamily, HistogramFamily, InfoFamily


def written(family: Family) -> list[str]:  # type: ignore[type-arg]
    registry = CollectorRegistry()
    registry.register(family)
    return [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("# HELP")]


def test_counters_are_written_with_their_labels() -> None:
    family = CountFamily("eggs", "Eggs.", ("colour",))
    family.child("red").add()
    family.child("red").add(2)
    family.child("blue")
    assert written(family) == [
        "# TYPE eggs_total counter",
        'eggs_total{colour="red"} 3.0',
        'eggs_total{colour="blue"} 0.0',
    ]


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, "1.0"), (1.0, "1.0"), (1.5, "2.0"), (2.0, "2.0"), (2.5, "+Inf"), (100.0, "+Inf")]
)
def test_a_value_counts_in_every_bucket_that_it_does_not_exceed(value: float, bucket: str) -> None:
    family = HistogramFamily("size", "Sizes.", bounds=(1.0, 2.0))
    family.child().observe(value)
    lines = written(family)
    bounds = ["1.0", "2.0", "+Inf"]
    counts = [f'size_bucket{{le="{one}"}} {float(bounds.index(one) >= bounds.index(bucket))}' for one in bounds]
    assert lines == ["# TYPE size histogram", *counts, "size_count 1.0", f"size_sum {value}"]


def test_gauges_are_asked_when_they_are_read() -> None:
    family = GaugeFamily("rows", "Rows.", ("model",))
    rows = [1, 2]
    family.show(lambda: len(rows), "tiny")
    rows.append(3)
    assert written(family) == ["# TYPE rows gauge", 'rows{model="tiny"} 3.0']


def test_facts_are_labels() -> None:
    family = InfoFamily("model", "Models.", ("model",))
    family.child("tiny").update(device="cpu")
    assert written(family) == ["# TYPE model_info gauge", 'model_info{device="cpu",model="tiny"} 1.0']


def test_numbers_are_dropped_by_their_first_labels() -> None:
    family = CountFamily("eggs", "Eggs.", ("farm", "hen"))
    for farm, hen in (("a", "1"), ("a", "2"), ("b", "1")):
        family.child(farm, hen).add()
    family.drop("a")
    assert written(family)[1:] == ['eggs_total{farm="b",hen="1"} 1.0']

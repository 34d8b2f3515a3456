"""What operators are given, held against the metrics that there are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ganserve.serving.metrics import Metrics

ROOT = Path(__file__).resolve().parents[3]
DASHBOARD = ROOT / "deploy" / "grafana" / "ganserve.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
SUFFIXES = {"counter": ("_total",), "gauge": ("",), "info": ("_info",), "histogram": ("_bucket", "_sum", "_count")}
OF_A_SCRAPE = {"instance", "job"}


def series() -> dict[str, set[str]]:
    """The labels of every series, by its name."""
    metrics = Metrics()
    names = {
        sample.name: set(sample.labels)
        for metric in metrics.registry.collect()
        if not metric.name.startswith("ganserve_")
        for sample in metric.samples
    }
    for family in metrics.families:
        (metric,) = family.collect()
        for suffix in SUFFIXES[metric.type]:
            facts = {"digest", "device", "provider", "fallback"} if suffix == "_info" else set()
            names[family.name + suffix] = {*family.labels, *facts, *(("le",) if suffix == "_bucket" else ())}
    return names


def expressions_of_dashboard() -> list[tuple[str, str]]:
    """Each expression with its legend."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [(target["expr"], target["legendFormat"]) for panel in panels for target in panel.get("targets", ())]


def expressions_of_alerts() -> list[tuple[str, str]]:
    """Each expression with the texts that are written from its labels."""
    rules = re.split(r"^      - alert: ", ALERTS.read_text(), flags=re.MULTILINE)[1:]
    return [tuple(rule.split("labels: {severity", 1)) for rule in rules]


def used_series(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each series of an expression, with the labels that it is selected by."""
    for name, selector in re.findall(r"\b((?:ganserve|process)_\w+)(?:\{([^}]*)\})?", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=|!)", selector))


@pytest.mark.parametrize(("expression", "legend"), [*expressions_of_dashboard(), *expressions_of_alerts()])
def test_dashboard_and_alerts_name_only_what_there_is(expression: str, legend: str) -> None:
    known = series()
    labels = set(OF_A_SCRAPE)
    used = list(used_series(expression))
    assert used or "up{" in expression
    for name, selected in used:
        assert name in known
        assert selected <= known[name] | OF_A_SCRAPE
        labels |= known[name]
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(", ")}
    assert grouped <= labels
    shown = set(re.findall(r"\{\{\s*\$labels\.(\w+)", legend)) | set(re.findall(r"\{\{(\w+)\}\}", legend))
    assert shown <= (grouped or labels)


def test_the_dashboard_shows_every_metric_of_the_server() -> None:
    shown = {name for expression, _ in expressions_of_dashboard() for name, _ in used_series(expression)}
    for family in Metrics().families:
        assert any(name.startswith(family.name) for name in shown), family.name


def test_every_alert_is_tested() -> None:
    names = set(re.findall(r"- alert: (\w+)", ALERTS.read_text()))
    tested = set(re.findall(r'alertname="(\w+)"', ALERTS.with_name("alerts_test.yml").read_text()))
    assert names == tested
    assert len(names) >= 8


def test_every_metric_is_documented() -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    section = text.split("\n## Metrics\n")[1].split("\n## ")[0]
    listed = dict(re.findall(r"^\| `(ganserve_\w+)` \|([^|]*)\|", section, re.MULTILINE))
    for family in Metrics().families:
        (metric,) = family.collect()
        name = family.name + ("" if metric.type == "histogram" else SUFFIXES[metric.type][0])
        labels = re.findall(r"`(\w+)`", listed.pop(name))
        assert labels[: len(family.labels)] == list(family.labels)
    assert not listed

"""What a study tells: what it compares, and what came of it, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from ganserve.client import ModelInfo
from ganserve.training.evaluation import Memorisation

from . import classic
from .comparison import TEST
from .findings import SizeFindings
from .study import Study, mirroring
from .table import print_tables
from .verdict import verdict


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known before the first training."""

    model: ModelInfo
    num_parameters: int
    """Of a classifier."""

    warnings: tuple[str, ...]

    def lines(self, study: Study) -> list[str]:
        """For people: what is compared, and what speaks against it."""
        facts = [f"{name:<11} {text}" for name, text in self.of(study).items()]
        return [*facts, *(f"warning: {warning}" for warning in self.warnings)]

    def of(self, study: Study) -> dict[str, str]:
        """What is compared, by a short name."""
        real, settings = study.real, study.settings
        images = real.training.images
        origin = "" if real.held_out is None else f", {real.held_out:.0%} of the source"
        rates = " or ".join(f"{rate:g}" for rate in settings.learning_rates)
        sizes = "; ".join(
            f"{'all' if size.per_class is None else size.per_class} per class, of which {_range(size.real_counts)} to "
            f"learn from, {size.num_steps:,} steps each"
            for size in study.sizes
        )
        return {
            "real": f"{real.training.name}: {len(images):,} images of {real.training.num_classes} classes, "
            f"{'×'.join(map(str, images.shape[1:]))}; tested on {len(real.test.images):,} others{origin}",
            "generator": f"{self.model.name}:{self.model.version}@{self.model.digest[:12]}, trained on "
            f"{self.model.card.dataset.name}",
            "classifier": f"{settings.classifier}, {self.num_parameters:,} parameters; AdamW, learning rate {rates}, "
            f"{settings.batch_size} images a step, {settings.num_seeds} seeds",
            "sizes": sizes,
            "results": str(study.records.path),
        }


def to_dict(
    facts: Facts, study: Study, found: Sequence[SizeFindings], copies: Memorisation | str | None
) -> dict[str, Any]:
    """As JSON holds it."""
    return {
        "facts": facts.of(study),
        "warnings": list(facts.warnings),
        "memorisation": copies.figures._asdict() if isinstance(copies, Memorisation) else copies,
        "test": TEST,
        "sizes": [_size_to_dict(study, each) for each in found],
    }


def print_report(
    study: Study, found: Sequence[SizeFindings], copies: Memorisation | str | None, console: Console
) -> None:
    """Prints the tables and the verdict of each size, and what was found of copies."""
    for each in found:
        print_tables(each, study.real.training.class_names, console)
        _print(console, f"\n* chosen by validation images. Classic augmentation: {describe_classic(study, each)}.")
        _print(console, f"\n{verdict(each)}")
    _print(console, f"\ntest        {TEST}")
    if copies is not None:
        _print(console, f"copies      {describe_copies(copies)}")


def describe_classic(study: Study, found: SizeFindings) -> str:
    """What classic augmentation does, and why it mirrors or does not."""
    text = classic.describe(study.real.training.images.shape[3], mirror=found.mirror)
    if study.settings.mirror is not None:
        return f"{text}; {'' if found.mirror else 'not '}mirrored because --mirror says so"
    plain, mirrored = mirroring(found.of_kind("real")[0])
    return (
        f"{text}; {'' if found.mirror else 'not '}mirrored because classifiers of real images, which have seen no "
        f"mirrored one, tell {plain:.0%} of validation images, and {mirrored:.0%} of them mirrored"
    )


def describe_copies(copies: Memorisation | str) -> str:
    """How near samples lie to real images, beside test images."""
    if isinstance(copies, str):
        return f"not known whether samples are copies of real images: {copies}"
    figures = copies.figures
    return (
        f"{figures.copied:.1%} of samples are nearer to a real image to learn from than the nearest 1 % of test images "
        f"are ({figures.copied_by_chance:.1%} where nothing is copied); the middle one is {figures.nearest_ratio:.2f} "
        "times as far as the middle test image"
    )


def _size_to_dict(study: Study, found: SizeFindings) -> dict[str, Any]:
    comparisons = found.comparisons()
    return {
        "per_class": found.per_class,
        "num_steps": found.num_steps,
        "classic_augmentation": describe_classic(study, found),
        "arms": [each.to_dict(study.real.training.class_names) for each in found.arms],
        "chosen_ratio": comparisons[0].with_samples.arm.ratio,
        "comparisons": [each.to_dict() for each in comparisons],
        "best": found.best.arm.name,
        "verdict": verdict(found),
    }


def _range(counts: Sequence[int]) -> str:
    fewest, most = min(counts), max(counts)
    return f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"


def _print(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, highlight=False, markup=False)

"""Measures what synthetic images bring, for the tables of docs/augment-eval.md.

    python benchmarks/augmentation.py --data path/to/mnist --out runs/augmentation/mnist --preset sndcgan
    python benchmarks/augmentation.py --data path/to/cifar10 --out runs/augmentation/cifar10 --preset hinge-resnet

For each number of real images per class: a generator that has seen (a) those few images only, trained with DiffAugment,
and one that has seen (b) all of them. What is there already is not made again, so it can be stopped and started.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from command import run
from ganserve.augment_eval.table import markdown
from ganserve.flags import Count, Counts
from ganserve.training.datasets import ImageDataset, load, load_test

HEADINGS = ("real images per class", "real", "classic", "synthetic, ratio", "classic + synthetic", "verdict")
SEED = 0


def main(
    *,
    data: str,
    out: Path,
    preset: str = "sndcgan",
    per_class: Counts = (20, 100, 500),
    steps: Count = 4_000,
    steps_on_few: Count = 2_000,
    augment_on_few: str = "translation",
    seeds: Count = 3,
) -> None:
    """Train generators, evaluate them, and print two Markdown tables.

    Parameters
    ----------
    data
        Images with a test split, as `ganserve train --data` takes them.
    out
        Folder for data sets, runs, models and results.
    preset
        Of the generators.
    per_class
        Real images of each class.
    steps
        Of the generator that sees all images.
    steps_on_few
        Of those that see few.
    augment_on_few
        Their --augment; for colour images color,translation,cutout.
    seeds
        Of the classifiers.
    """
    out.mkdir(parents=True, exist_ok=True)
    of_all = generator("all", data, out, ["--preset", preset, "--steps", steps])
    found_all = evaluate("all", data, of_all, out, ["--per-class", ",".join(map(str, per_class)), "--seeds", seeds])
    found_few: list[dict[str, Any]] = []
    for number in per_class:
        few = subset(data, number, out)
        flags = ["--preset", preset, "--steps", steps_on_few, "--augment", augment_on_few]
        model = generator(f"few-{number}", few, out, flags)
        (found,) = evaluate(f"few-{number}", few, model, out, ["--seeds", seeds])
        found_few.append({**found, "per_class": number})
    print("\nA generator of the same few images:\n")
    print(markdown(HEADINGS, [row(size) for size in found_few]))
    print("\nA generator of all images:\n")
    print(markdown(HEADINGS, [row(size) for size in found_all]))


def subset(data: str, number: int, out: Path) -> str:
    """An .npz of the first `number` shuffled training images of each class, and all test images."""
    path = out / f"few-{number}.npz"
    if not path.exists():
        training, test = load(data), load_test(data)
        if test is None:
            sys.exit(f"{data}: has no test images of its own")
        labels, test_labels = labels_of(training), labels_of(test)
        order = np.random.default_rng(SEED).permutation(len(labels))
        rows = np.concatenate([order[labels[order] == label][:number] for label in range(training.num_classes)])
        names = np.array(training.class_names)
        np.savez(
            path,
            x_train=training.images[rows],
            y_train=names[labels[rows]],
            x_test=test.images,
            y_test=names[test_labels],
        )
    return str(path)


def labels_of(dataset: ImageDataset) -> np.ndarray:
    """Of a data set that has to have some."""
    if dataset.labels is None:
        sys.exit(f"{dataset.name}: has no classes")
    return dataset.labels


def generator(name: str, data: str, out: Path, flags: list[object]) -> Path:
    """The bundle of a generator that is trained on `data`."""
    run, bundle = out / "runs" / name, out / "models" / name / "1"
    if not bundle.exists():
        # What a start that was stopped has left may hold no checkpoint yet.
        if (run / "checkpoints" / "last.safetensors").exists():
            if not (run / "finished").exists():
                ganserve("train", "--resume", run)
        else:
            ganserve("train", "--data", data, "--out", run, *flags)
        (run / "finished").touch()
        ganserve("export", run, "--onnx", "--models", out / "models", "--name", name)
    return bundle


def evaluate(name: str, data: str, bundle: Path, out: Path, flags: list[object]) -> list[dict[str, Any]]:
    """What `augment-eval` found, a size each."""
    found = out / f"{name}.json"
    if not found.exists() or not json.loads(found.read_text(encoding="utf-8"))["is_finished"]:
        ganserve("augment-eval", "--real", data, "--bundle", bundle, "--json", found, *flags)
    sizes: list[dict[str, Any]] = json.loads(found.read_text(encoding="utf-8"))["sizes"]
    return sizes


def row(size: dict[str, Any]) -> list[str]:
    """One line of the table: balanced accuracies, and the outcomes alone and on top of classic augmentation."""
    by_kind = {arm["kind"]: arm for arm in size["arms"] if arm["kind"] != "synthetic"}
    chosen = next(arm for arm in size["arms"] if arm["kind"] == "synthetic" and arm["ratio"] == size["chosen_ratio"])
    alone, on_top = (compared["outcome"] for compared in size["comparisons"])
    return [
        "all" if size["per_class"] is None else f"{size['per_class']:,}",
        accuracy(by_kind["real"]),
        accuracy(by_kind["classic"]),
        f"{accuracy(chosen)}, ×{chosen['ratio']:g}",
        accuracy(by_kind["both"]),
        f"{alone}; on top of classic: {on_top}",
    ]


def accuracy(arm: dict[str, Any]) -> str:
    """Mean and standard deviation over seeds."""
    balanced = arm["balanced_accuracy"]
    return f"{balanced['mean']:.1%} ± {100 * balanced['sd']:.1f}"


def ganserve(*words: object) -> None:
    """Runs the command, or ends where it fails."""
    command = [sys.executable, "-m", "ganserve.cli", *map(str, words)]
    print("$ ganserve " + " ".join(command[3:]), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    run(main)

"""Does a score find anomalies? Measured by leaving out one class at a time.

    python benchmarks/anomalies.py --data path/to/mnist --steps 1500 --out runs/anomalies/mnist
    python benchmarks/anomalies.py --data path/to/cifar10 --mirror --steps 2000 --out runs/anomalies/cifar10

A GAN and the evaluation's classifier learn the other classes and then score all test images; those of the class that
was left out are the anomalies. A class that is done has a line in OUT/anomalies.jsonl and is not done again, so it can
be stopped and started. A class takes ten to thirty minutes on a CPU core.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import Tensor

from command import run
from ganserve.augment_eval.settings import parse_numbers
from ganserve.augment_eval.table import markdown
from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.flags import Count
from ganserve.training import checkpoint as checkpoints
from ganserve.training.config import DeviceName
from ganserve.training.datasets import ImageDataset, load, load_test
from ganserve.training.device import choose_device
from ganserve.training.evaluation import FeatureExtractor, feature_extractor_for
from ganserve.training.memory import images_per_batch
from ganserve.training.networks import Discriminator
from ganserve.training.pixels import from_levels
from ganserve.training.rundir import RunDir

HEADINGS = {
    "discriminator": "discriminator, best class",
    "discriminator_linear": "discriminator, linear layer",
    "discriminator_neighbours": "discriminator, neighbours",
    "classifier": "classifier, best class",
    "classifier_neighbours": "classifier, neighbours",
    "pixel_neighbours": "pixels, neighbours",
}
"""How the table names each score."""
MIN_CLASSES = 3
NUM_NEIGHBOURS = 5
MAX_REFERENCES = 10_000
SEED = 0
_ROWS_AT_ONCE = 500


def main(
    *,
    data: str,
    out: Path,
    steps: Count = 2_000,
    classes: str = "",
    mirror: bool = False,
    device: DeviceName = "auto",
) -> None:
    """Leave out one class at a time, score all test images, and print a Markdown table of AUROCs.

    Parameters
    ----------
    data
        Images of several classes with a test split, as `ganserve train --data` takes them.
    out
        Folder for runs and results.
    steps
        Of each GAN.
    classes
        Numbers of those to leave out, such as 0,3,1, in the order given. Empty: all.
    mirror
        Whether the GAN sees images mirrored half of the time.
    device
        Where to train and score. `auto` is CUDA where there is one, else the CPU.
    """
    chosen = choose_device(device)
    training, test = load(data), load_test(data)
    if test is None or test.labels is None or test.class_names != training.class_names:
        raise DatasetError(f"{data}: needs test images of its own, of the classes that the training images have")
    if training.num_classes < MIN_CLASSES:
        raise DatasetError(f"{data}: has {training.num_classes} classes; {MIN_CLASSES} are needed")
    every = range(training.num_classes)
    labels = [int(label) for label in parse_numbers(classes, "--classes", int)] or every
    if unknown := set(labels).difference(every):
        raise ConfigError(f"--classes has {min(unknown)}; {data} has 0 to {training.num_classes - 1}")
    out.mkdir(parents=True, exist_ok=True)
    found = read(out / "anomalies.jsonl", steps)
    for label in labels:
        name = training.class_names[label]
        if name not in found:
            folder = out / f"without-{label}"
            found[name] = leave_out(label, training, test, folder, steps=steps, mirror=mirror, device=chosen)
            with (out / "anomalies.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(found[name]) + "\n")
    print(table([found[name] for name in training.class_names if name in found]))


def read(path: Path, steps: int) -> dict[str, dict[str, Any]]:
    """What was found of the classes that are done, by class. Raises ConfigError for one of other GANs."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = {each["class"]: each for each in map(json.loads, lines)}
    if any(each["steps"] != steps for each in found.values()):
        raise ConfigError(f"--steps {steps}: {path} has results of other GANs; give another --out")
    return found


def leave_out(
    label: int,
    training: ImageDataset,
    test: ImageDataset,
    folder: Path,
    *,
    steps: int,
    mirror: bool,
    device: torch.device,
) -> dict[str, Any]:
    """Learns the other classes in `folder`, and tells by each score how well it ranks them above `label`.

    The AUROC is the share of pairs, one test image of the other classes and one of `label`, in which the former has the
    higher score; ties count half.
    """
    name, began_s = training.class_names[label], time.monotonic()
    source = write_others(label, training, folder)
    train(source, folder / "run", steps=steps, mirror=mirror, device=device)
    trained_s = time.monotonic()
    others = load(str(source))
    classifier = feature_extractor_for(others, device=device)
    learnt_s = time.monotonic()
    rows = np.random.default_rng(SEED).permutation(len(others.images))[:MAX_REFERENCES]
    discriminator = checkpoints.load(RunDir(folder / "run").checkpoint("last")).discriminator().to(device)
    scores = all_scores(discriminator, classifier, others.images[np.sort(rows)], test.images)
    is_normal = test.labels != label
    found = {
        "class": name,
        "steps": steps,
        "auroc": {score: float(roc_auc_score(is_normal, values)) for score, values in scores.items()},
        "classifier_accuracy": classifier.accuracy,
        "seconds": {
            "gan": round(trained_s - began_s),
            "classifier": round(learnt_s - trained_s),
            "scores": round(time.monotonic() - learnt_s),
        },
    }
    source.unlink()
    print(json.dumps(found), file=sys.stderr, flush=True)
    return found


def write_others(label: int, training: ImageDataset, folder: Path) -> Path:
    """An .npz of the training images of all classes but `label`."""
    if training.labels is None:
        raise DatasetError(f"{training.name}: has no classes")
    folder.mkdir(parents=True, exist_ok=True)
    path, is_other = folder / "others.npz", training.labels != label
    names = np.array(training.class_names)
    np.savez(path, x_train=training.images[is_other], y_train=names[training.labels[is_other]])
    return path


def train(source: Path, folder: Path, *, steps: int, mirror: bool, device: torch.device) -> None:
    """Trains a GAN in `folder`, or goes on with the one that is there, by the command and without evaluations."""
    last = RunDir(folder).checkpoint("last")
    if not last.exists():
        flags = ["--steps", steps, "--evaluate-every", 0, "--device", device.type, *(["--mirror"] if mirror else [])]
        ganserve("train", "--data", source, "--out", folder, *flags)
    elif checkpoints.load(last).step < steps:
        ganserve("train", "--resume", folder)


def ganserve(*words: object) -> None:
    """Runs the command, or ends where it fails."""
    command = [sys.executable, "-m", "ganserve.cli", *map(str, words)]
    print("$ ganserve " + " ".join(command[3:]), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def all_scores(
    discriminator: Discriminator,
    classifier: FeatureExtractor,
    references: NDArray[np.uint8],
    images: NDArray[np.uint8],
) -> dict[str, NDArray[np.float32]]:
    """The scores of `images`, float32 (N,) each, by the names that `HEADINGS` has; the higher, the more normal.

    A discriminator's score is its logit, that of the class for which it is largest, or of its linear layer alone; a
    classifier's is the logarithm of its largest probability (Hendrycks and Gimpel, A Baseline for Detecting
    Misclassified and Out-of-Distribution Examples in Neural Networks, 2017). Where neighbours tell, the score is minus
    the distance to the fifth nearest of `references` in the features that the network's last layer reads, or in pixels.

    Args:
        discriminator: a conditional one, in eval mode.
        classifier: on the same device, in eval mode.
        references: real images of the classes that both have learnt, uint8 (M, H, W, C).
        images: uint8 (N, H, W, C).
    """
    trunk_of, traits_of, logits_of, pixels_of = seen(discriminator, classifier, images)
    known_trunk, known_traits, _, known_pixels = seen(discriminator, classifier, references)
    head = discriminator.head
    scores = {
        "discriminator": head.class_logits(trunk_of).amax(dim=1),
        "discriminator_linear": head.linear(trunk_of).squeeze(1),
        "discriminator_neighbours": -neighbour_distances(trunk_of, known_trunk),
        "classifier": logits_of.log_softmax(dim=1).amax(dim=1),
        "classifier_neighbours": -neighbour_distances(traits_of, known_traits),
        "pixel_neighbours": -neighbour_distances(pixels_of, known_pixels),
    }
    return {name: values.cpu().numpy() for name, values in scores.items()}


@torch.no_grad()
def seen(
    discriminator: Discriminator, classifier: FeatureExtractor, levels: NDArray[np.uint8]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What networks see in images, uint8 (N, H, W, C), float32 each.

    The features that the discriminator's head reads (N, F), the classifier's features (N, 128) and logits
    (N, num_classes), and the pixels themselves, (N, H * W * C) in [-1, 1]; all on the discriminator's device.
    """
    parts, device = [], discriminator.head.linear.weight.device
    for some in np.array_split(levels, -(-len(levels) // images_per_batch(*levels.shape[1:3]))):
        images = from_levels(torch.from_numpy(some).to(device))
        parts.append((discriminator.features(images), *classifier(images), images.flatten(1)))
    trunk, features, class_logits, pixels = (torch.cat(each) for each in zip(*parts, strict=True))
    return trunk, features, class_logits, pixels


def neighbour_distances(features: Tensor, references: Tensor) -> Tensor:
    """features: (N, F), references: (M, F) -> Euclidean distance of each to its fifth nearest reference, (N,)."""
    parts = features.chunk(-(-len(features) // _ROWS_AT_ONCE))
    return torch.cat([torch.cdist(part, references).kthvalue(NUM_NEIGHBOURS, dim=1).values for part in parts])


def table(found: list[dict[str, Any]]) -> str:
    """Markdown: the AUROCs of each class that was left out, a row a class, then their mean and range."""
    rows = [[each["class"], *(f"{each['auroc'][score]:.3f}" for score in HEADINGS)] for each in found]
    columns = [[each["auroc"][score] for each in found] for score in HEADINGS]
    rows.append(["mean", *(f"{np.mean(column):.3f}" for column in columns)])
    rows.append(["range", *(f"{min(column):.3f} … {max(column):.3f}" for column in columns)])
    return markdown(["left out", *HEADINGS.values()], rows)


if __name__ == "__main__":
    run(main)

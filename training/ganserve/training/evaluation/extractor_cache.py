"""Extractors are kept from one run to the next: one safetensors file each, in the cache folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from contextlib import suppress
from pathlib import Path

import safetensors
import torch
from safetensors import SafetensorError
from torch import Tensor

from ganserve.contract.errors import ArtifactError
from ganserve.training.datasets import ImageDataset
from ganserve.training.datasets.cache import cache_folder
from ganserve.training.networks.shape import ImageShape
from ganserve.training.tensor_file import on_cpu, write_tensors

from .extractor import Extractor
from .extractor_training import NUM_POSES, ClassifierSettings, OnStep, knows_classes, train_classifier

FORMAT = "ganserve-extractor-1"
"""Goes up whenever the same data and settings would give another network."""


def extractor_for(
    dataset: ImageDataset,
    *,
    device: torch.device,
    on_progress: OnStep | None = None,
    settings: ClassifierSettings | None = None,
) -> Extractor:
    """The extractor of `dataset`, in eval mode on `device`; trained where the cache does not hold it already.

    A file that is torn, altered or foreign is trained anew, and a cache that cannot be written is gone without.
    `on_progress` is told of training steps. Raises DatasetError for fewer than four images.
    """
    _, height, width, channels = dataset.images.shape
    settings = settings or ClassifierSettings.for_images(len(dataset.images), channels)
    blank = Extractor(
        ImageShape(height, width, channels),
        dataset.num_classes if knows_classes(dataset) else NUM_POSES,
        knows_classes=knows_classes(dataset),
    )
    key = _key(blank, dataset, settings)
    path = cache_folder() / "extractors" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.safetensors"
    if _load(blank, path, key):
        return blank.to(device)
    extractor = train_classifier(dataset, settings, device=device, on_progress=on_progress)
    with suppress(ArtifactError):
        _save(extractor, path, key)
    return extractor


def _key(extractor: Extractor, dataset: ImageDataset, settings: ClassifierSettings) -> dict[str, str]:
    return {
        "format": FORMAT,
        "dataset": dataset.digest,
        "num_outputs": str(extractor.num_outputs),
        "settings": json.dumps(dataclasses.asdict(settings), sort_keys=True),
    }


def _save(extractor: Extractor, path: Path, key: dict[str, str]) -> None:
    metadata = {**key, "accuracy": repr(extractor.accuracy), "sha256": extractor.digest}
    write_tensors(path, on_cpu(extractor.state_dict()), metadata)


def _load(extractor: Extractor, path: Path, key: dict[str, str]) -> bool:
    """Fills `extractor` from the file and says whether that was possible; if not, it is of no more use."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if any(metadata.get(name) != value for name, value in key.items()):
            return False
        extractor.load_state_dict(tensors)
        extractor.accuracy = float(metadata["accuracy"])
        if metadata["sha256"] != extractor.digest:
            return False
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return False
    extractor.eval().requires_grad_(False)
    return True

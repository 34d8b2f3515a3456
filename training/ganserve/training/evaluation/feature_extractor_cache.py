"""Feature extractors are kept from one run to the next: one safetensors file each, in the cache folder."""

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

from .classifier_training import NUM_POSES, ClassifierSettings, OnStep, knows_classes, train_classifier
from .feature_extractor import FeatureExtractor

FORMAT = "ganserve-feature-extractor-2"
"""Goes up whenever the same data and settings would give another network, or more is kept of it."""


def feature_extractor_for(
    dataset: ImageDataset,
    *,
    device: torch.device,
    on_progress: OnStep | None = None,
    settings: ClassifierSettings | None = None,
) -> FeatureExtractor:
    """The feature extractor of `dataset`, in eval mode on `device`; trained where the cache does not hold it already.

    A file that is torn, altered or foreign is trained anew, and a cache that cannot be written is gone without.
    `on_progress` is told of training steps. Raises DatasetError for fewer than four images.
    """
    settings = settings or ClassifierSettings.for_dataset(dataset)
    if (kept := kept_feature_extractor(dataset, settings)) is not None:
        return kept.to(device)
    feature_extractor = train_classifier(dataset, settings, device=device, on_progress=on_progress)
    key = _key(feature_extractor, dataset, settings)
    with suppress(ArtifactError):
        _save(feature_extractor, _path(key), key)
    return feature_extractor


def kept_feature_extractor(dataset: ImageDataset, settings: ClassifierSettings) -> FeatureExtractor | None:
    """The feature extractor of `dataset` on the CPU; None where the cache does not hold it."""
    _, height, width, channels = dataset.images.shape
    blank = FeatureExtractor(
        ImageShape(height, width, channels),
        dataset.num_classes if knows_classes(dataset) else NUM_POSES,
        knows_classes=knows_classes(dataset),
    )
    key = _key(blank, dataset, settings)
    return blank if _load(blank, _path(key), key) else None


def _path(key: dict[str, str]) -> Path:
    name = f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.safetensors"
    return cache_folder() / "feature-extractors" / name


def _key(feature_extractor: FeatureExtractor, dataset: ImageDataset, settings: ClassifierSettings) -> dict[str, str]:
    return {
        "format": FORMAT,
        "dataset": dataset.digest,
        "num_outputs": str(feature_extractor.num_outputs),
        "settings": json.dumps(dataclasses.asdict(settings), sort_keys=True),
    }


def _save(feature_extractor: FeatureExtractor, path: Path, key: dict[str, str]) -> None:
    metadata = {
        **key,
        "accuracy": repr(feature_extractor.accuracy),
        "class_accuracies": json.dumps(feature_extractor.class_accuracies),
        "sha256": feature_extractor.digest,
    }
    write_tensors(path, on_cpu(feature_extractor.state_dict()), metadata)


def _load(feature_extractor: FeatureExtractor, path: Path, key: dict[str, str]) -> bool:
    """Fills `feature_extractor` from the file and says whether that was possible; if not, it is of no more use."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if any(metadata.get(name) != value for name, value in key.items()):
            return False
        feature_extractor.load_state_dict(tensors)
        feature_extractor.accuracy = float(metadata["accuracy"])
        feature_extractor.class_accuracies = tuple(json.loads(metadata["class_accuracies"]))
        if metadata["sha256"] != feature_extractor.digest:
            return False
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return False
    feature_extractor.eval().requires_grad_(False)
    return True

"""The model card of a run."""

from __future__ import annotations

from importlib import metadata

from google.protobuf import json_format

from ganserve.contract import card as cards
from ganserve.contract.errors import ConfigError
from ganserve.v1.model_pb2 import ModelCard

from .config import TrainingConfig
from .datasets import ImageDataset

_PACKAGES = ("ganserve", "numpy", "torch")
# Where the run was made is nobody's business but its owner's.
_LOCAL_SETTINGS = ("data", "out", "device")


def build_card(config: TrainingConfig, dataset: ImageDataset) -> ModelCard:
    """The card of the generator that `config` trains on `dataset`, before its first step. Raises ConfigError."""
    if config.conditional and dataset.labels is None:
        raise ConfigError(
            f"--conditional: {dataset.name} has no classes; put its images into one folder for each class, or name the "
            f"classes in a labels.csv of the columns file and class; to train without classes, say --no-conditional"
        )
    card = ModelCard(
        latent_dim=config.latent_dim,
        class_names=dataset.class_names if config.conditional else (),
        architecture=config.arch,
        loss=config.loss,
        versions={package: metadata.version(package) for package in _PACKAGES},
        latent_scheme=cards.LATENT_SCHEME,
    )
    _, card.image.height, card.image.width, card.image.channels = dataset.images.shape
    card.dataset.name = dataset.name
    card.dataset.digest = dataset.digest
    card.dataset.num_images = len(dataset.images)
    card.dataset.image_hashes = dataset.image_hashes
    settings = {name: value for name, value in config.to_dict().items() if name not in _LOCAL_SETTINGS}
    json_format.ParseDict(settings, card.training_config)
    cards.check(card, source=f"the run in {config.out}")
    return card

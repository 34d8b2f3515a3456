"""A finished run, judged: its generator, its own images, and what they say of each other.

The package does not import this module, because the trainer imports the package.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from rich.console import Console
from torch import nn

from ganserve.contract.errors import ConfigError, DatasetError
from ganserve.training import checkpoint as checkpoints
from ganserve.training.config import DeviceName, TrainingConfig
from ganserve.training.datasets import ImageDataset, Resize, absolute, load, load_test
from ganserve.training.device import allow_tf32, choose_device
from ganserve.training.memory import images_per_batch
from ganserve.training.run import load_same_dataset
from ganserve.training.rundir import CheckpointName
from ganserve.training.scores import Scores
from ganserve.training.waiting import shown
from ganserve.v1.model_pb2 import ModelCard

from .cas import classification_accuracy_scores
from .classifier_training import MIN_IMAGES
from .evaluator import Evaluator
from .feature_extractor import FeatureExtractor
from .feature_extractor_cache import feature_extractor_for
from .memorisation import Memorisation, measure_memorisation
from .samples import draw_samples, labels_like

NUM_IMAGES: Final = 10_000
CAS_SEEDS: Final = (0, 1, 2)
_MAX_CAS_IMAGES: Final = 60_000
_MAX_CAS_BYTES: Final = 2**31
# Above every seed of a run, so that no run is scored by latents that chose its best checkpoint.
_FIRST_SEED: Final = 2**63


@dataclass(frozen=True)
class FinishedRun:
    """A generator, on its device and in eval mode, with the images that it learnt from."""

    generator: nn.Module
    card: ModelCard
    config: TrainingConfig
    checkpoint: str
    dataset: ImageDataset
    device: torch.device
    console: Console

    @classmethod
    def open(
        cls,
        run: Path,
        *,
        checkpoint: CheckpointName | None = None,
        data: str | None = None,
        device: DeviceName = "auto",
        console: Console | None = None,
    ) -> FinishedRun:
        """Reads the run in folder `run` and its images.

        `checkpoint` left out is the best where there is one, else the last. `data` is where the images have moved to;
        None is where they were. `console` shows progress; None shows nothing. Raises ArtifactError for a run that
        cannot be read, DatasetError where its images are gone and ConfigError where they are others.
        """
        console = console or Console(quiet=True)
        chosen_device = choose_device(device)
        saved = checkpoints.load_chosen(run, checkpoint)
        generator, card, config = saved.generator(), saved.card, saved.config
        if data is not None:
            config = dataclasses.replace(config, data=absolute(data))
        allow_tf32(config.tf32)
        dataset = load_same_dataset(config, card, console, source=str(run))
        return cls(generator.to(chosen_device), card, config, saved.path.stem, dataset, chosen_device, console)

    def feature_extractor(self) -> FeatureExtractor:
        """The feature extractor of the run's images."""
        with shown(self.console, "learning to judge samples, once for these images") as on_progress:
            return feature_extractor_for(self.dataset, device=self.device, on_progress=on_progress)

    def scores(self, feature_extractor: FeatureExtractor, num_images: int) -> Scores:
        """Scores over `num_images` samples. Raises ConfigError for fewer than two.

        Their latents depend on the run's seed, but are others than the trainer judged by: of many checkpoints `best` is
        the one that those flattered most.
        """
        with self.console.status("looking at real images and samples"):
            evaluator = Evaluator(
                self.dataset,
                feature_extractor,
                latent_dim=self.card.latent_dim,
                conditional=len(self.card.class_names) > 0,
                num_images=num_images,
                seed=_FIRST_SEED + self.config.seed,
                device=self.device,
                balanced=self.config.balance_classes,
            )
            return evaluator.scores(self.generator)

    @property
    def num_cas_images(self) -> int:
        """Samples that `cas` learns from: as many as there are real images, but no more than 60,000 or 2 GiB."""
        most = max(MIN_IMAGES, _MAX_CAS_BYTES // math.prod(self.dataset.images.shape[1:]))
        return min(len(self.dataset.images), _MAX_CAS_IMAGES, most)

    def cas(self, test: ImageDataset) -> list[float]:
        """Accuracy on `test` of classifiers of samples, one for each of `CAS_SEEDS`. Raises what the function does."""
        with shown(self.console, "learning from samples") as on_progress:
            return classification_accuracy_scores(
                self.generator,
                num_classes=len(self.card.class_names),
                latent_dim=self.card.latent_dim,
                test=test,
                num_images=self.num_cas_images,
                seeds=CAS_SEEDS,
                device=self.device,
                on_progress=on_progress,
            )

    def memorisation(
        self, feature_extractor: FeatureExtractor, held_out: ImageDataset, num_images: int
    ) -> Memorisation:
        """How near `num_images` samples, or as many as there are held-out images, lie to training images.

        Raises what `measure_memorisation` does.
        """
        num_images = min(num_images, len(held_out.images))
        seed = _FIRST_SEED + self.config.seed
        labels = None
        if self.card.class_names and self.dataset.labels is not None:
            labels = labels_like(self.dataset.labels, num_images, seed=seed)
        batches = draw_samples(
            self.generator,
            num_images,
            labels=labels,
            latent_dim=self.card.latent_dim,
            seed=seed,
            batch_size=images_per_batch(*self.dataset.images.shape[1:3]),
            device=self.device,
        )
        samples = torch.cat([levels.cpu() for levels in batches]).numpy()
        with shown(self.console, "looking for the nearest training images") as on_progress:
            return measure_memorisation(
                feature_extractor,
                training=self.dataset,
                held_out=held_out,
                samples=samples,
                device=self.device,
                on_progress=on_progress,
            )

    def held_out_images(self, source: str | None) -> ImageDataset | None:
        """Real images that the run did not learn from: those of `source`, of its test split where it has one.

        Without a `source`, those of the test split of the run's own; None where it has none. They are read as the run's
        own were: resized to its size, and without bad ones if it went without. Raises ConfigError where they are what
        the run learnt from, and DatasetError where their shape is another.
        """
        resize = None if self.config.size is None else Resize.parse(self.config.size, self.config.resize_mode)
        with shown(self.console, "decoding") as on_progress:
            skip_bad = self.config.skip_bad
            found = load_test(source or self.config.data, resize=resize, skip_bad=skip_bad, on_progress=on_progress)
            if found is None and source is not None:
                found = load(source, resize=resize, skip_bad=skip_bad, on_progress=on_progress)
        if found is None:
            return None
        if found.digest == self.dataset.digest:
            raise ConfigError(f"--test-data {source}: the run learnt from these images; give others")
        if found.images.shape[1:] != self.dataset.images.shape[1:]:
            raise DatasetError(
                f"{found.name}: its images are {_shape(found)}, those that the run learnt from {_shape(self.dataset)}; "
                "give some of that shape"
            )
        return found

    def test_images(self, source: str | None) -> ImageDataset:
        """Held-out images for `cas`, of the generator's classes. Raises ConfigError and DatasetError without any."""
        if not self.card.class_names:
            raise ConfigError("--cas: the generator draws no classes; CAS needs a conditional one")
        test = self.held_out_images(source)
        if test is None:
            raise ConfigError(f"--cas: {self.config.data} has no test images of its own; give some with --test-data")
        if test.class_names != tuple(self.card.class_names):
            raise DatasetError(
                f"{test.name}: its classes are {', '.join(test.class_names) or 'none'}, "
                f"not the generator's {', '.join(self.card.class_names)}"
            )
        return test


def _shape(dataset: ImageDataset) -> str:
    """As people write it, such as 28x28, 1 channel."""
    _, height, width, channels = dataset.images.shape
    return f"{width}x{height}, {channels} channel{'s' if channels > 1 else ''}"

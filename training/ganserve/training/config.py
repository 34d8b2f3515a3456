"""What a run is made of: every setting of a training run, checked as soon as it is given.

Importing it brings no torch along, so that `ganserve train --help` is quick; checking a config does.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter

from ganserve.contract.card import MAX_LATENT_DIM
from ganserve.contract.errors import ArtifactError, ConfigError

from .scores import READINGS, BestMetric

if TYPE_CHECKING:
    from .losses import Objective
    from .networks import Family

Architecture = Literal["mlp", "dcgan", "resnet", "r3gan"]
"""Each is a file in `networks`."""
LossName = Literal["non-saturating", "lsgan", "hinge", "wgan", "wgan-gp", "rpgan"]
"""Each is a file in `losses`."""
Norm = Literal["batch", "spectral", "none"]
AugmentationName = Literal["color", "translation", "cutout"]
LrSchedule = Literal["constant", "linear", "cosine"]
Precision = Literal["fp32", "bf16"]
ResizeMode = Literal["stretch", "crop", "pad"]
DeviceName = Literal["auto", "cpu", "cuda"]

_MAX_BATCH_SIZE = 65_536
_MAX_BASE_WIDTH = 4_096
_MAX_EVALUATED_IMAGES = 1_000_000
_DEFAULT_STEPS = 4_000
_IMAGES, _NETWORKS, _OBJECTIVE, _OPTIMISATION, _REGULARISATION, _EVALUATION, _RUN = (
    Parameter(group=Group(name, sort_key=order))
    for order, name in enumerate(
        ("Images", "Networks", "Objective", "Optimisation", "Regularisation", "Evaluation", "Run")
    )
)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """All settings of one run; the defaults are the preset `sndcgan`.

    Raises ConfigError, naming the flag and the cure, where a value or a combination cannot be used.
    """

    data: Annotated[str, _IMAGES]
    """Images to learn: `digits`, a folder, a zip, an .npz, a tarball of CIFAR, a Hugging Face dataset, or a URL."""

    conditional: Annotated[bool, _IMAGES] = True
    """Whether the generator is told which class to draw."""

    size: Annotated[str | None, _IMAGES] = None
    """Size to bring the images to, such as 32 or 32x48 (height by width). Left out: they must all have one size."""

    resize_mode: Annotated[ResizeMode, _IMAGES] = "stretch"
    """With --size: stretch, cut out the middle, or add black borders."""

    balance_classes: Annotated[bool, _IMAGES] = False
    """Show every class as often as any other, however many images it has, and let all count alike in evaluations."""

    skip_bad: Annotated[bool, _IMAGES] = False
    """Leave out images that cannot be read, instead of stopping."""

    mirror: Annotated[bool, _IMAGES] = False
    """Show each image mirrored half of the time. Not for digits, letters or anything else with a left and a right."""

    arch: Annotated[Architecture, _NETWORKS] = "dcgan"
    """Network family."""

    discriminator_norm: Annotated[Norm | None, _NETWORKS] = None
    """Norm of the discriminator's layers. Left out: what suits family and loss, mostly `spectral` for `dcgan`."""

    latent_dim: Annotated[int, _NETWORKS] = 64
    """Length of a latent vector."""

    base_width: Annotated[int, _NETWORKS] = 32
    """Channels of the layer next to the pixels, doubled further in. In `mlp`, a quarter of the narrowest layer."""

    loss: Annotated[LossName, _OBJECTIVE] = "hinge"
    """`wgan` clips weights, `rpgan` compares real with generated in pairs."""

    n_critic: Annotated[int | None, _OBJECTIVE] = None
    """Discriminator steps for each generator step. Left out: 5 for `wgan` and `wgan-gp`, else 1."""

    clip_value: Annotated[float, _OBJECTIVE] = 0.01
    """`wgan`: largest magnitude of a discriminator weight."""

    gp_weight: Annotated[float, _OBJECTIVE] = 10.0
    """`wgan-gp`: weight of the gradient penalty."""

    r1_weight: Annotated[float | None, _OBJECTIVE] = None
    """Weight of the discriminator's squared gradient on real images. Left out: 1 for `rpgan`, else 0."""

    r2_weight: Annotated[float | None, _OBJECTIVE] = None
    """Weight of the discriminator's squared gradient on generated images. Left out: 1 for `rpgan`, else 0."""

    penalty_every: Annotated[int, _OBJECTIVE] = 1
    """Steps between two steps with gradient penalties, which then weigh that much more."""

    steps: Annotated[int | None, _OPTIMISATION] = None
    """Generator steps of the whole run, resumed parts included. Left out: 4,000, or as many as --minutes allow."""

    minutes: Annotated[float | None, _OPTIMISATION] = None
    """In place of --steps: minutes of the whole run from its first step on, evaluations included."""

    batch_size: Annotated[int, _OPTIMISATION] = 64
    """Images a step, of all processes together."""

    generator_lr: Annotated[float, _OPTIMISATION] = 5e-4
    """Adam's learning rate for the generator."""

    discriminator_lr: Annotated[float, _OPTIMISATION] = 5e-4
    """Adam's learning rate for the discriminator."""

    lr_schedule: Annotated[LrSchedule, _OPTIMISATION] = "constant"
    """How both rates fall to zero over the whole run, if at all."""

    betas: Annotated[tuple[float, float], _OPTIMISATION, Parameter(negative=())] = (0.0, 0.99)
    """Adam's decay rates, for both networks."""

    clip_grad_norm: Annotated[float | None, _OPTIMISATION] = None
    """Largest norm of a network's gradient. Left out: no limit."""

    precision: Annotated[Precision, _OPTIMISATION] = "fp32"
    """Arithmetic of the networks; weights, losses and penalties stay in fp32."""

    tf32: Annotated[bool, _OPTIMISATION] = False
    """Let CUDA round inputs of matrix products to TF32: faster, a little less exact."""

    augment: Annotated[str, _REGULARISATION] = ""
    """DiffAugment on real and generated images alike: any of `color,translation,cutout`. `translation` suits digits."""

    ema_half_life_images: Annotated[float, _REGULARISATION] = 50_000.0
    """Images after which an old weight counts half in the averaged generator."""

    ema_rampup: Annotated[float, _REGULARISATION] = 0.05
    """The half-life is at most this share of the images seen so far; 0 for no ramp-up."""

    evaluate_every: Annotated[int, _EVALUATION] = 1_000
    """Steps between two evaluations; 0 for none."""

    evaluate_images: Annotated[int, _EVALUATION] = 5_000
    """Samples in an evaluation."""

    best_metric: Annotated[BestMetric, _EVALUATION] = "fid_domain"
    """What the best checkpoint is best in."""

    patience: Annotated[int | None, _EVALUATION] = None
    """Evaluations without a new best after which the run stops. Left out: it trains to its end."""

    out: Annotated[Path, _RUN]
    """Folder of the run; must be new or empty."""

    seed: Annotated[int, _RUN] = 0
    """Seed of the first weights, the order of the images and the latents."""

    device: Annotated[DeviceName, _RUN] = "auto"
    """Where to train: `auto` is CUDA where there is one, else the CPU."""

    report_every: Annotated[int, _RUN] = 50
    """Steps between two lines of `stats.jsonl`."""

    sample_every: Annotated[int, _RUN] = 500
    """Steps between two sample grids."""

    checkpoint_every: Annotated[int, _RUN] = 500
    """Steps between two checkpoints."""

    def __post_init__(self) -> None:
        self._check_types()
        self._check_values()
        self._check_combinations()

    @property
    def objective(self) -> Objective:
        """What `loss` minimises, and its rules."""
        from .losses import objective_of

        return objective_of(self.loss)

    @property
    def family(self) -> Family:
        """The networks of `arch`, and their rules."""
        from .networks import family_of

        return family_of(self.arch)

    @property
    def num_steps(self) -> int | None:
        """Steps of the whole run; None where `minutes` bound it."""
        return None if self.minutes is not None else self.steps or _DEFAULT_STEPS

    def share_done(self, step: int, trained_s: float) -> float:
        """How much of the run is done after so many steps and seconds of training: 1 or more at its end."""
        if self.minutes is not None:
            return trained_s / (60 * self.minutes)
        return step / (self.steps or _DEFAULT_STEPS)

    @property
    def num_discriminator_steps(self) -> int:
        """Discriminator steps for each generator step, with the loss's own default where none was given."""
        if self.n_critic is not None:
            return self.n_critic
        return self.objective.num_discriminator_steps

    @property
    def resolved_discriminator_norm(self) -> Norm:
        """Norm of the discriminator's layers, with what suits family and loss where none was given."""
        if self.discriminator_norm is not None:
            return self.discriminator_norm
        if not self.objective.suits_norms:
            return "none"
        refused = {*self.objective.refused_norms, *(("batch",) if self.has_gradient_penalty else ())}
        return next(norm for norm in (*self.family.norms, "none") if norm not in refused)

    @property
    def penalty_weights(self) -> tuple[float, float]:
        """Weights of R1 and R2, with the loss's own default where none was given."""
        default = self.objective.penalty_weight
        r1_weight, r2_weight = (default if weight is None else weight for weight in (self.r1_weight, self.r2_weight))
        return r1_weight, r2_weight

    @property
    def has_gradient_penalty(self) -> bool:
        """Whether the discriminator's loss holds a gradient."""
        return self.objective.has_gradient_penalty or any(self.penalty_weights)

    @property
    def augmentations(self) -> tuple[AugmentationName, ...]:
        """The parts of `augment`, in its order."""
        return tuple(self.augment.split(",") if self.augment else ())  # type: ignore[arg-type]  # checked when given

    def resolved(self) -> TrainingConfig:
        """The same config with every default that depends on another setting written out."""
        r1_weight, r2_weight = self.penalty_weights
        return dataclasses.replace(
            self,
            steps=self.num_steps,
            discriminator_norm=self.resolved_discriminator_norm,
            n_critic=self.num_discriminator_steps,
            r1_weight=r1_weight,
            r2_weight=r2_weight,
        )

    def to_dict(self) -> dict[str, Any]:
        """The resolved config as plain JSON values."""
        values = dataclasses.asdict(self.resolved())
        return values | {"out": str(self.out), "betas": list(self.betas)}

    def to_json(self) -> str:
        """The resolved config as JSON, one setting a line."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> TrainingConfig:
        """Reads what `to_json` wrote; `source` names the file.

        Raises ArtifactError for a file that is torn or altered, or that another version of ganserve wrote.
        """
        try:
            values: dict[str, Any] = json.loads(text)
            values |= {"out": Path(values["out"]), "betas": tuple(values["betas"])}
        except (ValueError, TypeError, KeyError) as error:
            raise ArtifactError(f"{source}: not the settings of a run; restore that file, or train again") from error
        names = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(values.keys() - names):
            raise ArtifactError(_of_another_version(source, f"it sets {', '.join(unknown)}"))
        try:
            return cls(**values)
        except (ConfigError, TypeError) as error:
            raise ArtifactError(_of_another_version(source, str(error))) from error

    def _check_types(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            if not _is_a(getattr(self, name), hint):
                choices = [str(choice) for kind in (hint, *get_args(hint)) for choice in _choices_of(kind)]
                self._require(False, name, f"give {', '.join(choices) or getattr(hint, '__name__', hint)}")

    def _check_values(self) -> None:
        self._require(self.data != "", "data", "name the images, such as --data digits")
        self._require(
            2 <= self.batch_size <= _MAX_BATCH_SIZE,
            "batch_size",
            f"give 2 to {_MAX_BATCH_SIZE}; batch norm needs two images",
        )
        self._require(
            2 <= self.evaluate_images <= _MAX_EVALUATED_IMAGES,
            "evaluate_images",
            f"give 2 to {_MAX_EVALUATED_IMAGES}, better some thousands",
        )
        self._require(self.base_width <= _MAX_BASE_WIDTH, "base_width", f"give 1 to {_MAX_BASE_WIDTH}")
        self._require(
            1 <= self.latent_dim <= MAX_LATENT_DIM, "latent_dim", f"give 1 to {MAX_LATENT_DIM}; 64 suits small images"
        )
        self._require(0 <= self.seed <= 2**53, "seed", "give a whole number from 0 to 2^53")
        self._require(all(0 <= beta < 1 for beta in self.betas), "betas", "give two numbers from 0 to below 1")
        self._require(
            set(self.augmentations) <= set(get_args(AugmentationName))
            and len(set(self.augmentations)) == len(self.augmentations),
            "augment",
            "give any of color,translation,cutout, each once, separated by commas",
        )
        for name in (
            "steps",
            "base_width",
            "n_critic",
            "penalty_every",
            "patience",
            "report_every",
            "sample_every",
            "checkpoint_every",
        ):
            value = getattr(self, name)
            self._require(value is None or value >= 1, name, "give 1 or more")
        for name in (
            "generator_lr",
            "discriminator_lr",
            "clip_value",
            "gp_weight",
            "clip_grad_norm",
            "ema_half_life_images",
            "minutes",
        ):
            value = getattr(self, name)
            self._require(value is None or (math.isfinite(value) and value > 0), name, "give a number above 0")
        for name in ("r1_weight", "r2_weight", "ema_rampup", "evaluate_every"):
            value = getattr(self, name)
            self._require(value is None or (math.isfinite(value) and value >= 0), name, "give 0 or more")

    def _check_combinations(self) -> None:
        if self.discriminator_norm is not None:
            self._check_norm(self.discriminator_norm)
        if self.minutes is not None:
            self._require(
                self.steps is None, "minutes", f"--steps {self.steps} bounds the run already; give one of both"
            )
        if self.size is None:
            self._require(self.resize_mode == "stretch", "resize_mode", "it says how to reach --size; give that too")
        if self.patience is not None:
            self._require(self.evaluate_every > 0, "patience", "it counts evaluations; give --evaluate-every too")
        if READINGS[self.best_metric].needs_classes and self.evaluate_every:
            self._require(self.conditional, "best_metric", "it needs classes; give another one")

    def _check_norm(self, norm: Norm) -> None:
        self._require(
            norm != "batch" or not self.has_gradient_penalty,
            "discriminator_norm",
            "a gradient penalty is a rule for each sample, and batch norm mixes the samples of a batch; "
            "give none or spectral",
        )
        refused = self.objective.refused_norms
        self._require(norm not in refused, "discriminator_norm", refused.get(norm, ""))
        self._require(
            norm in self.family.norms,
            "discriminator_norm",
            f"the discriminator of {self.arch} takes {' or '.join(self.family.norms)}",
        )

    def _require(self, condition: bool, name: str, cure: str) -> None:
        if not condition:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} is {getattr(self, name)!r}; {cure}")


def _of_another_version(source: str, sign: str) -> str:
    return (
        f"{source}: its settings are not those of this version of ganserve ({sign}); evaluate, export or resume that "
        "run with the version that began it, or train a new one"
    )


def _is_a(value: object, hint: Any) -> bool:
    """Whether `value` is what an annotation of `TrainingConfig` allows; an int will do for a float."""
    if get_origin(hint) in (Union, UnionType):
        return any(_is_a(value, kind) for kind in get_args(hint))
    if get_origin(hint) is Literal:
        return value in get_args(hint)
    if get_origin(hint) is tuple:
        kinds = get_args(hint)
        return isinstance(value, tuple) and len(value) == len(kinds) and all(map(_is_a, value, kinds))
    if hint in (int, float):
        return isinstance(value, int if hint is int else int | float) and not isinstance(value, bool)
    return isinstance(value, hint)


def _choices_of(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) is Literal else ()

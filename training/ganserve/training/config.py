"""What a run is made of: every setting of a training run, checked as soon as it is given."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from ganserve.contract.card import MAX_LATENT_DIM
from ganserve.contract.errors import ArtifactError, ConfigError

Architecture = Literal["mlp", "dcgan"]
LossName = Literal["gan", "wgan", "wgan-gp"]
DeviceName = Literal["auto", "cpu", "cuda"]
Norm = Literal["batch", "none"]

_DEFAULT_N_CRITIC: dict[LossName, int] = {"gan": 1, "wgan": 5, "wgan-gp": 5}
_MAX_BATCH_SIZE = 65_536
_MAX_BASE_WIDTH = 4_096
_NOT_A_FLAG = Parameter(parse=False)


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """All settings of one run. Raises ConfigError, naming the flag and the cure, where a value cannot be used.

    The command line reads it flag by flag, except `steps` and `device`, which a resumed run may change and which the
    command therefore takes itself.
    """

    data: str
    """Images to learn: `digits`, a folder of MNIST-style IDX files, a folder of class folders, or a zip of one."""

    out: Path
    """Folder of the run; must be new or empty."""

    arch: Architecture = "dcgan"
    """Network family."""

    loss: LossName = "gan"
    """`gan` (non-saturating), `wgan` (clipped weights) or `wgan-gp` (gradient penalty)."""

    conditional: bool = True
    """Whether the generator is told which class to draw."""

    steps: Annotated[int, _NOT_A_FLAG] = 4_000
    """Generator steps of the whole run, resumed parts included."""

    batch_size: int = 64
    """Images a step."""

    latent_dim: int = 64
    """Length of a latent vector."""

    base_width: int = 32
    """Channels of the layer next to the pixels, doubled further in. In `mlp`, a quarter of the narrowest layer."""

    generator_lr: float = 5e-4
    """Adam's learning rate for the generator."""

    critic_lr: float = 5e-4
    """Adam's learning rate for the critic."""

    betas: Annotated[tuple[float, float], Parameter(negative=())] = (0.0, 0.99)
    """Adam's decay rates, for both networks."""

    n_critic: int | None = None
    """Critic steps for each generator step; left out: 1 for `gan`, 5 for `wgan` and `wgan-gp`."""

    clip_value: float = 0.01
    """`wgan`: largest magnitude of a critic weight."""

    gp_weight: float = 10.0
    """`wgan-gp`: weight of the gradient penalty."""

    ema_half_life_images: float = 50_000.0
    """Images after which an old weight counts half in the averaged generator."""

    ema_rampup: float = 0.05
    """The half-life is at most this share of the images seen so far; 0 for no ramp-up."""

    seed: int = 0
    """Seed of the first weights, the order of the images and the latents."""

    device: Annotated[DeviceName, _NOT_A_FLAG] = "auto"
    """Where to train: `auto` is CUDA where there is one, else the CPU."""

    report_every: int = 50
    """Steps between two lines of `stats.jsonl`."""

    sample_every: int = 500
    """Steps between two sample grids."""

    checkpoint_every: int = 500
    """Steps between two checkpoints."""

    def __post_init__(self) -> None:
        self._require(self.data != "", "data", "name the images, such as --data digits")
        self._require(
            2 <= self.batch_size <= _MAX_BATCH_SIZE,
            "batch_size",
            f"give 2 to {_MAX_BATCH_SIZE}; batch norm needs two images",
        )
        self._require(self.base_width <= _MAX_BASE_WIDTH, "base_width", f"give 1 to {_MAX_BASE_WIDTH}")
        self._require(
            1 <= self.latent_dim <= MAX_LATENT_DIM, "latent_dim", f"give 1 to {MAX_LATENT_DIM}; 64 suits small images"
        )
        self._require(0 <= self.seed <= 2**53, "seed", "give a whole number from 0 to 2^53")
        self._require(all(0 <= beta < 1 for beta in self.betas), "betas", "give two numbers from 0 to below 1")
        self._require(
            math.isfinite(self.ema_rampup) and self.ema_rampup >= 0, "ema_rampup", "give 0 or more, such as 0.05"
        )
        for name in ("steps", "base_width", "n_critic", "report_every", "sample_every", "checkpoint_every"):
            value = getattr(self, name)
            self._require(value is None or value >= 1, name, "give 1 or more")
        for name in ("generator_lr", "critic_lr", "clip_value", "gp_weight", "ema_half_life_images"):
            value = getattr(self, name)
            self._require(math.isfinite(value) and value > 0, name, "give a number above 0")

    @property
    def num_critic_steps(self) -> int:
        """Critic steps for each generator step, with the loss's own default where none was given."""
        return _DEFAULT_N_CRITIC[self.loss] if self.n_critic is None else self.n_critic

    @property
    def critic_norm(self) -> Norm:
        """Norm of the critic's layers, which the loss decides.

        A gradient penalty is a rule for each sample, and batch norm mixes the samples of a batch (Gulrajani et al.
        2017, section 4), so there is no way to ask for both.
        """
        return "none" if self.loss == "wgan-gp" else "batch"

    def resolved(self) -> TrainingConfig:
        """The same config with every default that depends on another setting written out."""
        return dataclasses.replace(self, n_critic=self.num_critic_steps)

    def to_dict(self) -> dict[str, Any]:
        """The resolved config as plain JSON values."""
        values = dataclasses.asdict(self.resolved())
        return values | {"out": str(self.out), "betas": list(self.betas)}

    def to_json(self) -> str:
        """The resolved config as JSON, one setting a line."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str) -> TrainingConfig:
        """Reads what `to_json` wrote; `source` names the file. Raises ArtifactError."""
        try:
            values: dict[str, Any] = json.loads(text)
            return cls(**values | {"out": Path(values["out"]), "betas": tuple(values["betas"])})
        except (ValueError, TypeError, KeyError, ConfigError) as error:
            raise ArtifactError(f"{source}: the training config cannot be read ({error})") from error

    def _require(self, condition: bool, name: str, cure: str) -> None:
        if not condition:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} is {getattr(self, name)!r}; {cure}")

"""What lies where in the folder of a run.

config.json                    the resolved config
checkpoints/last.safetensors   everything that a resume or an export needs
samples/step-000500.png        the same latents, drawn as training goes on
stats.jsonl                    one line of figures for each report
tensorboard/                   the same figures and grids for TensorBoard
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import new_file

from .config import TrainingConfig


@dataclass(frozen=True)
class RunDir:
    """Paths inside one run's folder."""

    root: Path

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.root / "config.json"

    @property
    def stats(self) -> Path:
        """One JSON object a line."""
        return self.root / "stats.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Folder of event files."""
        return self.root / "tensorboard"

    def checkpoint(self, name: str = "last") -> Path:
        """The checkpoint of that name."""
        return self.root / "checkpoints" / f"{name}.safetensors"

    def sample_grid(self, step: int) -> Path:
        """The sample grid drawn after `step`."""
        return self.root / "samples" / f"step-{step:06d}.png"

    @classmethod
    def create(cls, config: TrainingConfig) -> RunDir:
        """Starts the folder of a new run with its config. Raises ConfigError where something is there already."""
        run_dir = cls(config.out)
        if config.out.exists() and not config.out.is_dir():
            raise ConfigError(f"--out {config.out}: that is a file; give a new folder")
        if config.out.is_dir() and any(config.out.iterdir()):
            cure = f", or go on with its run: --resume {config.out}" if run_dir.checkpoint().is_file() else ""
            raise ConfigError(f"--out {config.out}: that folder is not empty; give a new one{cure}")
        try:
            config.out.mkdir(parents=True, exist_ok=True)
            run_dir.write_config(config)
        except OSError as error:
            raise ConfigError(
                f"--out {config.out}: cannot be written ({error.strerror}); give another folder"
            ) from error
        return run_dir

    @classmethod
    def existing(cls, root: Path) -> RunDir:
        """The folder of a run that has been started. Raises ArtifactError."""
        run_dir = cls(root)
        if not root.is_dir():
            raise ArtifactError(f"{root}: there is no such run folder; train one with: ganserve train --out {root} …")
        if not run_dir.config.is_file():
            raise ArtifactError(f"{root}: not the folder of a run, {run_dir.config.name} is missing")
        return run_dir

    def write_config(self, config: TrainingConfig) -> None:
        """Writes the resolved config."""
        with new_file(self.config) as temporary:
            temporary.write_text(config.to_json(), encoding="utf-8")

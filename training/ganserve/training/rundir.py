"""What lies where in the folder of a run.

.lock                          held by the process that trains, so that no other one does
config.json                    the resolved config
checkpoints/last.safetensors   everything that a resume or an export needs
checkpoints/best.safetensors   the same, as it was after the best evaluation
samples/step-000500.png        the same latents, drawn as training proceeds
stats.jsonl                    one line of figures for each report
evaluations.jsonl              one line of scores for each evaluation
tensorboard/                   the same figures and grids for TensorBoard
nearest.png                    samples beside their nearest training images, as the last `ganserve evaluate` found them
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import new_file

from . import lock
from .config import TrainingConfig

_LOCK_FILE = ".lock"

CheckpointName = Literal["best", "last"]


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
    def evaluations(self) -> Path:
        """One JSON object a line."""
        return self.root / "evaluations.jsonl"

    @property
    def tensorboard(self) -> Path:
        """Folder of event files."""
        return self.root / "tensorboard"

    @property
    def nearest(self) -> Path:
        """Samples beside their nearest training images."""
        return self.root / "nearest.png"

    def checkpoint(self, name: CheckpointName = "last") -> Path:
        """The checkpoint of that name."""
        return self.root / "checkpoints" / f"{name}.safetensors"

    def sample_grid(self, step: int) -> Path:
        """The sample grid drawn after `step`."""
        return self.root / "samples" / f"step-{step:06d}.png"

    def sample_grids(self) -> Iterator[tuple[int, Path]]:
        """The sample grids that there are, each with its step, in no order."""
        for path in self.sample_grid(0).parent.glob("step-*.png"):
            step = path.stem.removeprefix("step-")
            if step.isdecimal():
                yield int(step), path

    @classmethod
    @contextmanager
    def started(cls, config: TrainingConfig) -> Iterator[RunDir]:
        """The folder of a new run, with its config, locked. Raises ConfigError where something is there already."""
        run_dir = cls(config.out)
        run_dir.check_free()
        try:
            config.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"--out {config.out}: cannot be written ({error.strerror}); give another folder"
            ) from error
        with run_dir.locked():
            run_dir.check_free()
            run_dir.clear_partial_files()
            run_dir.write_config(config)
            yield run_dir

    def check_free(self) -> None:
        """Raises ConfigError where a new run cannot have this folder because something is there.

        What a start that failed before its first checkpoint has left does not count: nothing was trained.
        """
        if self.root.exists() and not self.root.is_dir():
            raise ConfigError(f"--out {self.root}: that is a file; give a new folder")
        if self.root.is_dir() and any(self.root.iterdir()) and not self._is_failed_start():
            run = shlex.quote(str(self.root))
            cure = f", or continue its run: ganserve train --resume {run}" if self.checkpoint().is_file() else ""
            raise ConfigError(f"--out {self.root}: that folder is not empty; give a new one{cure}")

    def _is_failed_start(self) -> bool:
        known = {self.root / _LOCK_FILE, self.config, self.checkpoint().parent}
        if any(path not in known and not _is_partial(path) for path in self.root.rglob("*")):
            return False
        try:
            self.read_config()
        except ArtifactError:
            return not self.config.exists()
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps every other process from training in this folder. Raises ConfigError where one does already."""
        with ExitStack() as stack:
            try:
                stack.enter_context(lock.held(self.root / _LOCK_FILE))
            except lock.LockedError as error:
                raise ConfigError(
                    f"{self.root}: {error} trains in this folder; wait until it ends, or stop it"
                ) from None
            except OSError as error:
                raise ArtifactError(f"{self.root}: cannot be written ({error.strerror})") from error
            yield

    @classmethod
    def existing(cls, root: Path) -> RunDir:
        """The folder of a run that has been started. Raises ArtifactError."""
        run_dir = cls(root)
        if not root.is_dir():
            run = shlex.quote(str(root))
            raise ArtifactError(f"{root}: there is no such run folder; train one with: ganserve train --out {run} …")
        if not run_dir.config.is_file():
            raise ArtifactError(f"{root}: not the folder of a run, {run_dir.config.name} is missing")
        return run_dir

    def check_resumable(self) -> None:
        """Raises ArtifactError where nothing was saved yet."""
        if not self.checkpoint().is_file():
            run = shlex.quote(str(self.root))
            raise ArtifactError(
                f"{self.root}: stopped before its first checkpoint, so there is nothing to resume; start it again "
                f"with: ganserve train --preset {shlex.quote(str(self.config))} --out {run}"
            )

    def clear_partial_files(self) -> None:
        """Removes what a process that was killed while it wrote has left. No other may be writing."""
        for path in self.root.rglob("*"):
            if _is_partial(path):
                path.unlink(missing_ok=True)

    def read_config(self) -> TrainingConfig:
        """The config that the run began with. Raises ArtifactError."""
        try:
            text = self.config.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{self.config}: cannot be read ({error})") from error
        return TrainingConfig.from_json(text, source=str(self.config))

    def write_config(self, config: TrainingConfig) -> None:
        """Writes the resolved config."""
        with new_file(self.config) as temporary:
            temporary.write_text(config.to_json(), encoding="utf-8")


def _is_partial(path: Path) -> bool:
    """Whether this is what `new_file` leaves where the process is killed."""
    return path.name.startswith(".") and path.name.endswith(".partial")

"""What each training found, kept in a file as it comes, so that a study can be stopped and gone on with."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.files import new_file

from .arms import Arm

FORMAT: Final = "ganserve-augment-eval/1"


class Key(NamedTuple):
    """Which training of a study."""

    per_class: int | None
    arm: Arm
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What the best classifier of one arm and seed, of those that the learning rates gave, came to."""

    per_class: int | None
    arm: Arm
    seed: int
    learning_rate: float
    num_steps: int
    validation_loss: float
    """Balanced, in nats."""

    validation_accuracy: float
    """Balanced, as all but `accuracy`."""

    mirrored_validation_accuracy: float
    """Where the validation images are shown mirrored."""

    is_right: npt.NDArray[np.bool_]
    """(test images,): which of them it tells."""

    seconds: float

    @property
    def key(self) -> Key:
        """Which training it is."""
        return Key(self.per_class, self.arm, self.seed)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it: a bit a test image, the first the highest of its byte, in base64."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        bits = base64.b64encode(np.packbits(self.is_right).tobytes()).decode()
        return values | {"arm": dataclasses.asdict(self.arm), "is_right": bits}

    @classmethod
    def from_dict(cls, values: dict[str, Any], num_test_images: int) -> Record:
        """Reads what `to_dict` gives. Raises KeyError, TypeError or ValueError for anything else."""
        packed = np.frombuffer(base64.b64decode(values["is_right"], validate=True), np.uint8)
        if len(packed) != math.ceil(num_test_images / 8):
            raise ValueError("another number of test images")
        is_right = np.unpackbits(packed, count=num_test_images).astype(np.bool_)
        return cls(**values | {"arm": Arm(**values["arm"]), "is_right": is_right})


class Records:
    """The trainings that are done, in memory and in the file.

    The file is one JSON object: the settings that count, the records, and what was read out of them. It is replaced as
    a whole each time, so a kill leaves the one before.
    """

    def __init__(self, path: Path, settings: dict[str, Any], num_test_images: int) -> None:
        """Reads those of an earlier start.

        Args:
            path: of the file, which may be missing.
            settings: by flag; those that the records in the file come from must be the same.
            num_test_images: how many answers a record has.

        Raises:
            ArtifactError: the file cannot be read, or is another one.
            ConfigError: it holds records of other settings.
        """
        self.path = path
        self._settings = settings
        self._by_key: dict[Key, Record] = {}
        self._report: dict[str, Any] = {}
        if path.exists():
            self._read(num_test_images)

    def __contains__(self, key: Key) -> bool:
        return key in self._by_key

    def __getitem__(self, key: Key) -> Record:
        return self._by_key[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._by_key)

    def add(self, record: Record) -> None:
        """Keeps one more, on the disk too. Raises ArtifactError where that cannot be written."""
        self._by_key[record.key] = record
        self._report = {}
        self._write()

    def finish(self, report: dict[str, Any]) -> None:
        """Keeps what was read out of the records. Raises ArtifactError where that cannot be written."""
        self._report = report
        self._write()

    def _write(self) -> None:
        content = {
            "format": FORMAT,
            "settings": self._settings,
            "is_finished": bool(self._report),
            **self._report,
            "trainings": [record.to_dict() for record in self._by_key.values()],
        }
        with new_file(self.path) as temporary:
            temporary.write_text(json.dumps(content, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")

    def _read(self, num_test_images: int) -> None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError("another format")
            settings = content["settings"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"--json {self.path}: there is a file, and not one of augment-eval ({error}); give another name"
            ) from error
        if differences := _differences(settings, self._settings):
            raise ConfigError(
                f"--json {self.path}: holds results of other settings ({differences}); give another name, or remove it"
            )
        try:
            records = [Record.from_dict(values, num_test_images) for values in content["trainings"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"--json {self.path}: its results cannot be read ({error}); remove it") from error
        self._by_key = {record.key: record for record in records}


def _differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return "; ".join(f"{name} is {now.get(name)!r}, before {before.get(name)!r}" for name in names)

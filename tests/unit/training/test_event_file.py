"""TensorBoard shows what is written, and a full disk is found out at once."""

from __future__ import annotations

import io
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganserve.training.event_file import EventFile

from ...warm import file_limit, run_command


def shown(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder)).Reload()


@pytest.mark.parametrize("channels", [1, 3])
def test_tensorboard_shows_figures_and_pictures(tmp_path: Path, channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (4, 6, channels), dtype=np.uint8)
    events = EventFile(tmp_path, first_step=1)
    events.add_scalar("training/loss", 0.5, step=3)
    events.add_picture("samples", picture, step=3)
    found = shown(tmp_path)
    events.close()
    assert [(event.step, event.value) for event in found.Scalars("training/loss")] == [(3, 0.5)]
    (image,) = found.Images("samples")
    with Image.open(io.BytesIO(image.encoded_image_string)) as decoded:
        assert np.array_equal(np.asarray(decoded).reshape(picture.shape), picture)


def test_steps_that_are_taken_again_are_shown_once(tmp_path: Path) -> None:
    for first_step, value in ((1, 0.25), (3, 0.5)):
        events = EventFile(tmp_path, first_step=first_step)
        for step in (2, 4):
            if step >= first_step:
                events.add_scalar("loss", value, step=step)
        events.close()
    assert [(event.step, event.value) for event in shown(tmp_path).Scalars("loss")] == [(2, 0.25), (4, 0.5)]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_disk_that_fills_up_while_training_is_one_line(tmp_path: Path) -> None:
    tiny = "--batch-size 4 --latent-dim 4 --base-width 1 --device cpu --evaluate-every 0 --steps 400 --sample-every 1"
    train = ["train", "--data", "digits", "--out", str(tmp_path / "run"), *shlex.split(tiny)]
    done = run_command(train, 60, preexec_fn=file_limit(100 * 1024))
    assert done.returncode == 3, done.stderr
    assert re.fullmatch(r"ganserve: error: .*run: cannot be written \(File too large\)\n", done.stderr)
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").is_file()

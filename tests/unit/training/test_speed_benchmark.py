from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ganserve.contract.errors import ConfigError
from ganserve.training import TrainingConfig
from ganserve.training.batches import Batches
from ganserve.training.card import build_card
from ganserve.training.datasets import ImageDataset
from ganserve.training.loop import train
from ganserve.training.networks import ImageShape
from ganserve.training.state import TrainingState
from training_loops import TrainingSpeed, measure
from training_loops.contestants import (
    OURS,
    PLAIN,
    contestants,
    keep_discriminator_learning,
    put_channels_first,
    unfuse,
)
from training_loops.plain_loop import PlainFigures, PlainTraining, loaded_batches, train_plainly

from ...warm import run_python

CPU = torch.device("cpu")
SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "training.py"

# Python 3.12 and later warn whenever a process with threads, such as those of PyTorch, starts a worker by forking.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

MakeConfig = Callable[..., TrainingConfig]
MakeDataset = Callable[..., ImageDataset]


def start(config: TrainingConfig, num_classes: int) -> PlainTraining:
    return PlainTraining.fresh(config, ImageShape(8, 8, 1), num_classes=num_classes, device=CPU)


def weights(training: PlainTraining | TrainingState) -> list[torch.Tensor]:
    both = itertools.chain(training.generator.parameters(), training.discriminator.parameters())
    return [parameter.detach().clone() for parameter in both]


@pytest.mark.parametrize("conditional", [True, False])
def test_the_plain_loop_trains(make_config: MakeConfig, make_dataset: MakeDataset, conditional: bool) -> None:
    config, dataset = make_config(loss="non-saturating", discriminator_norm="batch"), make_dataset()
    training = start(config, num_classes=3 if conditional else 0)
    before = weights(training)
    figures: list[PlainFigures] = []
    batches = loaded_batches(dataset, config.batch_size, conditional=conditional)
    train_plainly(training, batches, num_steps=3, after_step=figures.append)
    assert len(figures) == 3
    assert np.isfinite([list(vars(each).values()) for each in figures]).all()
    assert not any(torch.equal(*pair) for pair in zip(before, weights(training), strict=True))


def test_the_plain_loop_begins_with_our_networks(make_config: MakeConfig, make_dataset: MakeDataset) -> None:
    config = make_config(discriminator_norm="batch")
    state = TrainingState.fresh(config, build_card(config, make_dataset()), CPU)
    pairs = zip(weights(start(config, num_classes=3)), weights(state), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_the_plain_loop_sees_the_same_images_once_an_epoch(make_dataset: MakeDataset) -> None:
    dataset = make_dataset(num_images=8)
    loaded = loaded_batches(dataset, 4, conditional=True)
    ours = Batches.of(dataset, conditional=True, seed=0, device=CPU)
    for _ in range(2):
        seen = torch.cat([next(loaded)[0] for _ in range(2)])
        expected, _ = ours.at(0, 8)
        torch.testing.assert_close(seen.flatten(1).sort(0).values, expected.flatten(1).sort(0).values)
    images, labels = next(loaded)
    assert (images.dtype, images.shape) == (torch.float32, (4, 1, 8, 8))
    assert labels is not None
    assert labels.dtype == torch.int64
    assert next(loaded_batches(dataset, 4, conditional=False))[1] is None


def test_one_discriminator_step_of_the_plain_loop_by_hand(make_config: MakeConfig) -> None:
    """Losses of networks that answer what they are made to: logit 0 is a probability of a half."""
    training = start(
        make_config(arch="mlp", discriminator_norm="none", conditional=False, generator_lr=1e-9), num_classes=0
    )
    with torch.no_grad():
        for parameter in training.discriminator.parameters():
            parameter.zero_()
    figures: list[PlainFigures] = []
    real = torch.ones(4, 1, 8, 8)
    train_plainly(training, iter([(real, None)]), num_steps=1, after_step=figures.append)
    assert figures[0].discriminator_loss == pytest.approx(2 * np.log(2))
    assert figures[0].real == figures[0].fake == 0.5


def test_every_contestant_goes_on_where_it_was(make_config: MakeConfig, make_dataset: MakeDataset) -> None:
    config, dataset = make_config(loss="non-saturating", discriminator_norm="batch"), make_dataset()
    for contestant in contestants(config, dataset, CPU):
        counter = itertools.count()
        for _ in range(2):
            contestant.take_steps(2, lambda counter=counter: next(counter))  # type: ignore[misc]
        assert next(counter) == 4, contestant.name


@pytest.mark.parametrize("change", [put_channels_first, unfuse, keep_discriminator_learning])
def test_our_measures_leave_the_mathematics_alone(
    make_config: MakeConfig, make_dataset: MakeDataset, change: Callable[[TrainingState], None]
) -> None:
    config, dataset = make_config(loss="non-saturating", discriminator_norm="batch", steps=3), make_dataset()
    taken = []
    for changed in (False, True):
        state = TrainingState.fresh(config, build_card(config, dataset), CPU)
        if changed:
            change(state)
        batches = Batches.of(dataset, conditional=True, seed=0, device=CPU)
        train(state, batches, config, after_step=lambda _: None, should_stop=lambda: False)
        taken.append(weights(state))
    torch.testing.assert_close(*taken)


def test_all_take_turns_and_each_round_has_a_ratio(make_config: MakeConfig, make_dataset: MakeDataset) -> None:
    config = make_config(loss="hinge", n_critic=2, mirror=True)
    turns: list[tuple[int, int]] = []
    speed = measure(
        config,
        make_dataset(),
        preset="mine",
        num_steps=1,
        num_rounds=2,
        on_progress=lambda num_done, total: turns.append((num_done, total)),
    )
    num_loops = len(speed.images_per_s)
    assert next(iter(speed.images_per_s)) == PLAIN
    assert turns == [(turn, 2 * num_loops) for turn in range(2 * num_loops)]
    assert all(len(figures) == 2 and min(figures) > 0 for figures in speed.images_per_s.values())
    assert speed.ratio(PLAIN) == (1, 1, 1)
    assert {"minimises hinge, not cross-entropy", "mirrors images"} < set(speed.differences)


def test_a_ratio_is_between_figures_of_one_round() -> None:
    speed = TrainingSpeed(
        images_per_s={PLAIN: [10.0, 20.0, 40.0], OURS: [20.0, 30.0, 160.0]},
        preset="dcgan",
        shape=(8, 8, 1),
        batch_size=4,
        num_steps=1,
        device="cpu",
        num_threads=1,
        differences=[],
    )
    assert speed.ratio(OURS) == (2.0, 1.5, 4.0)
    assert speed.spread(OURS) == (30.0, 20.0, 160.0)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"num_rounds": 0}, "--rounds is 0; give 1 or more"),
        ({"num_steps": 0}, "--steps is 0; give 1 or more"),
        ({"batch_size": 16}, "--batch-size is 16, and random has 10 images; give a smaller one"),
    ],
)
def test_what_cannot_be_measured_is_refused(
    make_config: MakeConfig, make_dataset: MakeDataset, wrong: dict[str, int], text: str
) -> None:
    config = make_config(batch_size=wrong.pop("batch_size", 4))
    with pytest.raises(ConfigError, match=text):
        measure(config, make_dataset(), **{"preset": "mine", "num_steps": 1, "num_rounds": 1, **wrong})  # type: ignore[arg-type]


def run_script(*flags: object) -> subprocess.CompletedProcess[str]:
    return run_python(SCRIPT, *map(str, flags))


def test_the_script_prints_a_table() -> None:
    tiny = ("--preset", "mlp", "--size", 8, "--channels", 1, "--batch-size", 4, "--steps", 1, "--rounds", 1)
    done = run_script(*tiny, "--device", "cpu")
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert shown.startswith("mlp, 8×8×1, batches of 4; cpu, ")
    for name in (PLAIN, OURS):
        assert re.search(rf"^{name} +[\d,]+ \([\d,]+ to [\d,]+\) +\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)$", shown, re.M)
    assert "Unlike the plain loop, ours averages the generator's weights (EMA)" in shown

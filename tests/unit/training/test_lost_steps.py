"""Evaluations where steps are lost, to a rollback or to what ended the process, and taken again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ganserve.contract.errors import DivergenceError
from ganserve.training import TrainingConfig, checkpoint, loop, resume_training, session, training_from_config
from ganserve.training.evaluation import Evaluator
from ganserve.training.rundir import RunDir
from ganserve.training.scores import Scores
from ganserve.training.state import Best, TrainingState

MakeConfig = Callable[..., TrainingConfig]
MakeScripted = Callable[[Iterable[float]], None]
EVALUATING = {"evaluate_every": 2, "evaluate_images": 20, "checkpoint_every": 5}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> MakeScripted:
    """Makes evaluations find these values of `fid_domain`, one after the other, in place of their own."""
    measure = Evaluator.scores

    def script(values: Iterable[float]) -> None:
        remaining = iter(values)

        def scores(self: Evaluator, generator: nn.Module) -> Scores:
            return dataclasses.replace(measure(self, generator), fid_domain=next(remaining))

        monkeypatch.setattr(Evaluator, "scores", scores)

    return script


@pytest.fixture
def diverge_once(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes every discriminator step from the given one on fail, until the run was rolled back."""

    def diverge(first_step: int) -> None:
        def train(state: TrainingState, *arguments: Any, **keywords: Any) -> None:
            def poison(_discriminator: object, _images: object, logits: torch.Tensor) -> torch.Tensor:
                return logits * float("nan") if state.step >= first_step and state.lr_scale == 1 else logits

            with_poison = state.discriminator.register_forward_hook(poison)
            try:
                loop.train(state, *arguments, **keywords)
            finally:
                with_poison.remove()

        monkeypatch.setattr(session, "train", train)

    return diverge


def kept(run: Path) -> Best | None:
    """The evaluation that checkpoint `best` is of."""
    return checkpoint.load(RunDir(run).checkpoint("best")).progress.best


def weights_of_best(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(RunDir(run).checkpoint("best")).generator().state_dict()


def test_a_worse_evaluation_of_a_repeated_step_leaves_the_best_alone(
    make_config: MakeConfig, script: MakeScripted, diverge_once: Callable[[int], None]
) -> None:
    # Steps 7 to 9 fail, the run goes back to 5, and evaluations of 6 and 8 come again.
    script([9.0, 5.0, 1.0, 7.0, 3.0, 2.0, 4.0])
    diverge_once(6)
    summary = training_from_config(make_config(steps=10, report_every=1, **EVALUATING))
    assert summary.lr_scale == 0.5
    assert summary.best is not None
    assert (summary.best.value, summary.best.step, summary.best.num_since) == (1.0, 6, 2)
    best = checkpoint.load(RunDir(summary.run_dir).checkpoint("best"))
    assert (best.step, best.progress.lr_scale, best.card.metrics["fid_domain"]) == (6, 1.0, 1.0)


def test_patience_counts_no_evaluation_twice(
    make_config: MakeConfig, script: MakeScripted, diverge_once: Callable[[int], None]
) -> None:
    # The best is of step 2. Those of 6 and 8 are lost and come again, so that of 10 is the fourth without a better one.
    script([1.0, *[5.0] * 20])
    diverge_once(6)
    summary = training_from_config(make_config(steps=40, report_every=1, patience=4, **EVALUATING))
    assert (summary.steps, summary.lr_scale) == (10, 0.5)
    assert summary.best is not None
    assert (summary.best.step, summary.best.num_since) == (2, 4)


def test_patience_waits_until_the_steps_before_the_best_are_done_again(
    make_config: MakeConfig, script: MakeScripted, diverge_once: Callable[[int], None]
) -> None:
    # The best is of step 6, and the run goes back to the start.
    script([5.0, 4.0, 1.0, 6.0, 6.0, 6.0, 6.0])
    diverge_once(5)
    config = make_config(steps=40, report_every=1, patience=1, **EVALUATING | {"checkpoint_every": 100})
    summary = training_from_config(config)
    assert summary.best is not None
    assert (summary.best.step, summary.steps, summary.lr_scale) == (6, 8, 0.5)


def test_a_new_best_is_no_way_around_the_limit_of_rollbacks(make_config: MakeConfig, script: MakeScripted) -> None:
    script(1 / number for number in range(1, 100))
    config = make_config(loss="wgan-gp", n_critic=1, steps=40, report_every=1, discriminator_lr=1e30, generator_lr=1e-9)
    with pytest.raises(DivergenceError, match="did not help 3 times"):
        training_from_config(dataclasses.replace(config, evaluate_every=1, evaluate_images=20))


def test_a_run_that_was_killed_after_its_best_does_not_lose_it(make_config: MakeConfig, script: MakeScripted) -> None:
    config = make_config(steps=8, **EVALUATING | {"checkpoint_every": 100})

    def kill_after_seven(state: TrainingState, *arguments: Any, **keywords: Any) -> None:
        loop.train(state, arguments[0], dataclasses.replace(arguments[1], steps=7), **keywords)
        raise KeyboardInterrupt

    script([9.0, 5.0, 1.0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "train", kill_after_seven)
        with pytest.raises(KeyboardInterrupt):
            training_from_config(config)
    assert checkpoint.load(RunDir(config.out).checkpoint("last")).step == 0
    before = weights_of_best(config.out)
    script([9.0, 5.0, 1.5, 2.0])
    summary = resume_training(config.out)
    assert summary.best is not None
    assert (summary.best.value, summary.best.step, summary.best.num_since) == (1.0, 6, 1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of_best(config.out).items())


def test_the_best_is_chosen_anew_where_its_checkpoint_is_gone_or_torn(
    make_config: MakeConfig, script: MakeScripted
) -> None:
    script([1.0, 5.0, 4.0, 3.0])
    run = training_from_config(make_config(steps=2, **EVALUATING)).run_dir
    RunDir(run).checkpoint("best").unlink()
    resume_training(run, steps=4)
    assert kept(run) == Best(5.0, step=4, judge=best_judge(run))
    RunDir(run).checkpoint("best").write_bytes(b"torn")
    resume_training(run, steps=6)
    assert kept(run) == Best(4.0, step=6, judge=best_judge(run))
    resume_training(run, steps=8)
    assert kept(run) == Best(3.0, step=8, judge=best_judge(run))


def best_judge(run: Path) -> str:
    *_, line = RunDir(run).evaluations.read_text().splitlines()
    judge: str = json.loads(line)["feature_extractor"]
    return judge


def test_nothing_of_lost_steps_is_left_behind(make_config: MakeConfig) -> None:
    run = training_from_config(make_config(steps=4, sample_every=2, **EVALUATING)).run_dir
    folder = RunDir(run)
    folder.sample_grid(6).write_bytes(folder.sample_grid(4).read_bytes())
    for lines in (folder.stats, folder.evaluations):
        lines.write_text(lines.read_text() + '{"step": 6}\n')
    resume_training(run, steps=5, sample_every=100, evaluate_every=100)
    assert sorted(step for step, _ in folder.sample_grids()) == [2, 4, 5]
    for lines in (folder.stats, folder.evaluations):
        steps = [json.loads(line)["step"] for line in lines.read_text().splitlines()]
        assert steps == [2, 4, 5], lines.name

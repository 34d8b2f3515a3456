from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from ganserve.contract.errors import DivergenceError
from ganserve.training import TrainingConfig
from ganserve.training.health import Health
from ganserve.training.report import Figures
from ganserve.training.scores import Scores

FIGURES = Figures(
    step=100,
    images_seen=6400,
    images_per_s=1.0,
    discriminator_loss=1.0,
    generator_loss=1.0,
    penalty=0.0,
    real_logit=0.0,
    fake_logit=0.0,
    discriminator_accuracy=0.7,
    num_steps=50,
    num_skipped=0,
)


@pytest.fixture
def health(make_config: Callable[..., TrainingConfig]) -> Health:
    return Health(make_config(loss="hinge"))


def test_a_healthy_run_is_left_in_peace(health: Health, scores: Scores) -> None:
    for _ in range(20):
        assert list(health.check_figures(FIGURES)) == []
        assert list(health.check_scores(scores)) == []


def test_a_few_skipped_steps_are_a_warning_and_many_the_end(health: Health) -> None:
    (warning,) = health.check_figures(dataclasses.replace(FIGURES, num_skipped=20))
    assert warning.startswith("20 updates were skipped")
    with pytest.raises(DivergenceError, match=r"step 100: losses or gradients were not finite in 21 of the last 100"):
        list(health.check_figures(dataclasses.replace(FIGURES, num_skipped=21)))


def test_one_skipped_step_between_two_close_reports_is_no_end(health: Health) -> None:
    short = dataclasses.replace(FIGURES, num_steps=2, num_skipped=1)
    assert len(list(health.check_figures(short))) == 1
    for _ in range(3):
        assert list(health.check_figures(short)) == []
    with pytest.raises(DivergenceError, match="5 of the last 20 updates"):
        list(health.check_figures(short))


def test_a_discriminator_that_has_won_for_long_is_a_warning_once_until_it_is_over(health: Health) -> None:
    won = dataclasses.replace(FIGURES, discriminator_accuracy=0.999)
    warnings = [list(health.check_figures(won)) for _ in range(12)]
    assert [len(texts) for texts in warnings] == [0, 0, 0, 0, 1] + [0] * 7
    assert "try a lower --discriminator-lr" in warnings[4][0]
    assert list(health.check_figures(FIGURES)) == []
    assert sum(len(list(health.check_figures(won))) for _ in range(12)) == 1


def test_a_wasserstein_discriminator_may_win(make_config: Callable[..., TrainingConfig]) -> None:
    health = Health(make_config(loss="wgan-gp"))
    won = dataclasses.replace(FIGURES, discriminator_accuracy=1.0)
    assert not any(list(health.check_figures(won)) for _ in range(12))


def test_a_trouble_of_the_samples_is_a_warning_when_it_begins(health: Health, scores: Scores) -> None:
    collapsed = dataclasses.replace(scores, diversity=0.2)
    (warning,) = health.check_scores(collapsed)
    assert "they lie 20% as far apart as real images do" in warning
    assert list(health.check_scores(collapsed)) == []
    assert list(health.check_scores(scores)) == []
    assert list(health.check_scores(collapsed)) == [warning]

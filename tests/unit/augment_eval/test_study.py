"""A whole study on small pictures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ganserve.augment_eval.arms import Arm
from ganserve.augment_eval.classic import keeps_class_mirrored
from ganserve.augment_eval.classifiers import small_cnn
from ganserve.augment_eval.findings import SizeFindings
from ganserve.augment_eval.fitting import balanced_accuracy, balanced_loss
from ganserve.augment_eval.plot import draw_plot
from ganserve.augment_eval.records import Records
from ganserve.augment_eval.settings import Settings
from ganserve.augment_eval.study import Study
from ganserve.augment_eval.table import HEADINGS, markdown, rows_of
from ganserve.augment_eval.verdict import verdict
from ganserve.contract.errors import ArtifactError, ConfigError

from .conftest import NAMES, BarSource, MakeStudy


def answers(found: list[SizeFindings]) -> list[np.ndarray]:
    return [each.is_right for size in found for each in size.arms]


def test_every_arm_is_trained_and_tested(make_study: MakeStudy) -> None:
    study = make_study()
    steps: list[tuple[int, int]] = []
    (found,) = study.run(lambda num_done, total: steps.append((num_done, total)))
    assert [each.arm.kind for each in found.arms] == [
        "real", "oversampled", "synthetic", "synthetic", "topped up", "synthetic only", "classic", "both",
    ]  # fmt: skip
    assert found.of_kind("both")[0].arm.ratio == found.comparisons()[0].with_samples.arm.ratio
    assert steps[-1] == (8 * 3 * 12, 8 * 3 * 12)
    assert [each.is_right.shape for each in found.arms] == [(3, 60)] * 8
    rows = rows_of(found, NAMES)
    assert rows[0][:3] == ["real", "4–16", "0"]
    assert rows[4][:3] == ["topped up", "4–16", "0–12"]
    assert sum(row[0].endswith(" *") for row in rows) == 1
    assert markdown(HEADINGS, rows).count("\n") == 9
    assert verdict(found).count("95 % interval") == 2
    assert "Best overall, by validation images, is" in verdict(found)
    assert draw_plot([found], "bars").size == (1_000, 44 + 480 + 64 + 22)


def test_the_same_settings_give_the_same_answers(make_study: MakeStudy, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = answers(list(make_study().run()))
    torch.manual_seed(2)
    second = answers(list(make_study(path=tmp_path / "other.json").run()))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


class _StoppedError(Exception):
    pass


def test_a_study_that_was_stopped_goes_on(make_study: MakeStudy, tmp_path: Path) -> None:
    whole = answers(list(make_study(path=tmp_path / "whole.json").run()))

    def stop(num_done: int, _: int) -> None:
        if num_done == 100:
            raise _StoppedError

    with pytest.raises(_StoppedError):
        list(make_study().run(stop))
    source = BarSource()
    resumed = make_study(source)
    assert (resumed.num_trainings_left, len(resumed.seeds_to_draw)) == (24 - 8, 3)
    first_steps: list[int] = []
    found = answers(list(resumed.run(lambda num_done, _: first_steps.append(num_done))))
    assert first_steps[:2] == [12, 24], "what is there is not trained again"
    for one, other in zip(whole, found, strict=True):
        np.testing.assert_array_equal(one, other)
    done = BarSource()
    finished = make_study(done)
    assert (finished.num_trainings_left, finished.seeds_to_draw) == (0, [])
    list(finished.run())
    assert done.num_drawn == 0


def test_more_seeds_sizes_and_ratios_use_what_is_there(make_study: MakeStudy, quick: Settings) -> None:
    list(make_study().run())
    more = dataclasses.replace(quick, num_seeds=4, ratios=(0.5, 1.0, 2.0), per_class=(5,))
    assert make_study(settings=dataclasses.replace(more, per_class=())).num_trainings_left == 4 * 9 - 24
    assert make_study(settings=more).num_trainings_left == 4 * 7


def test_results_of_other_settings_are_not_mixed(make_study: MakeStudy, quick: Settings, tmp_path: Path) -> None:
    list(make_study().run())
    with pytest.raises(ConfigError, match=r"found\.json: holds results of other settings \(--steps is 13, before 12\)"):
        make_study(settings=dataclasses.replace(quick, num_steps=13))
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(ArtifactError, match=r"--json .*other\.json: there is a file, and not one of augment-eval"):
        make_study(path=tmp_path / "other.json")
    content = json.loads((tmp_path / "found.json").read_text())
    content["trainings"][0]["is_right"] = "AAAA"
    (tmp_path / "found.json").write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="its results cannot be read"):
        make_study()


def test_a_seed_begins_with_the_same_weights_in_every_arm(make_study: MakeStudy) -> None:
    first_weights: list[float] = []

    def make() -> nn.Module:
        classifier = small_cnn(3, 1, (8, 8))
        first_weights.append(sum(float(weight.detach().sum()) for weight in classifier.parameters()))
        return classifier

    list(dataclasses.replace(make_study(), make=make).run())
    by_seed = np.reshape(first_weights, (8, 3))
    assert (by_seed == by_seed[0]).all()
    assert len(set(by_seed[0].tolist())) == 3


def test_the_learning_rate_is_chosen_on_validation_images(make_study: MakeStudy, quick: Settings) -> None:
    study = make_study(settings=dataclasses.replace(quick, learning_rates=(1e-9, 0.01)))
    (found,) = study.run()
    assert {record.learning_rate for each in found.arms for record in each.records} == {0.01}


def test_samples_of_the_wrong_class_hurt_and_good_ones_do_not(make_study: MakeStudy, quick: Settings) -> None:
    settings = dataclasses.replace(quick, ratios=(4.0,), num_steps=25)
    source = BarSource(wrong=lambda labels: (labels + 1) % 3)
    (found,) = make_study(source, settings, counts=(20, 20, 20)).run()
    assert found.comparisons()[0].outcome == "hurt"
    assert verdict(found).startswith("Synthetic images hurt: synthetic ×4 (amount chosen on validation images) gets")
    assert found.best.arm.kind in ("real", "classic")


def test_flips_are_decided_by_what_they_do_to_the_class(make_study: MakeStudy, quick: Settings) -> None:
    assert keeps_class_mirrored(0.9, 0.88, 10)
    assert not keeps_class_mirrored(0.9, 0.5, 10)
    assert keeps_class_mirrored(0.3, 0.29, 10)
    settings = dataclasses.replace(quick, num_steps=25)
    (found,) = make_study(settings=settings).run()
    assert found.mirror, "a bar is the same mirrored"
    assert found.of_kind("classic")[0].arm == Arm(kind="classic", mirror=True)
    (told,) = make_study(settings=dataclasses.replace(settings, mirror=False)).run()
    assert not told.mirror


def test_small_classes_count_as_much_as_large_ones() -> None:
    labels = np.array([0, 0, 0, 1])
    assert balanced_accuracy(np.array([True, True, True, False]), labels) == 0.5
    logits = torch.tensor([[2.0, 0], [2, 0], [2, 0], [2, 0]])
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(labels), reduction="none")
    assert balanced_loss(logits, labels) == pytest.approx(float(losses[0] + losses[3]) / 2)


def test_a_classifier_that_came_to_nothing_is_chosen_by_nothing(make_study: MakeStudy, quick: Settings) -> None:
    study = make_study(settings=dataclasses.replace(quick, learning_rates=(1e30, 0.01)))
    (found,) = study.run()
    assert {record.learning_rate for each in found.arms for record in each.records} == {0.01}
    broken = make_study(
        settings=dataclasses.replace(quick, learning_rates=(1e30,)), path=study.records.path.with_name("broken.json")
    )
    list(broken.run())
    assert json.loads(broken.records.path.read_text())["trainings"][0]["validation_loss"] == 1e9


def test_steps_suit_the_real_images() -> None:
    settings = Settings()
    assert [settings.steps_for(number) for number in (160, 800, 4_000, 60_000)] == [200, 200, 800, 938]
    assert Settings(num_steps=7).steps_for(60_000) == 7


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"per_class": (1,)}, "--per-class: give numbers of at least 2"),
        ({"ratios": ()}, "--ratios: give at least one"),
        ({"ratios": (0.0,)}, "--ratios: give numbers above 0"),
        ({"ratios": (1.0, 1.0)}, "--ratios: the same number is given twice"),
        ({"num_seeds": 2}, "--seeds 2: give at least 3"),
        ({"learning_rates": (-1.0,)}, "--learning-rates"),
        ({"num_steps": 0}, "--steps 0"),
        ({"batch_size": 1}, "--batch-size 1"),
        ({"validation": 1.0}, "--validation 1"),
    ],
)
def test_settings_that_make_no_study(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(**flags)


def test_a_kill_leaves_what_was_there(tmp_path: Path, make_study: MakeStudy) -> None:
    study: Study = make_study()
    list(study.run())
    before = study.records.path.read_bytes()
    (tmp_path / ".found.json.deadbeef.partial").write_text("torn")
    assert len(list(Records(study.records.path, study.settings.that_count(), 60))) == 24
    assert study.records.path.read_bytes() == before

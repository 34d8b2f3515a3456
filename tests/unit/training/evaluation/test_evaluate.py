"""`ganserve evaluate`, on a run of two steps."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cyclopts
import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from ganserve.contract.errors import ArtifactError, ConfigError, DatasetError
from ganserve.training import TrainingConfig, training_from_config
from ganserve.training.cli.evaluate import evaluate
from ganserve.training.datasets import ImageDataset
from ganserve.training.evaluation.runs import FinishedRun
from ganserve.training.evaluation.samples import draw_samples
from ganserve.training.rundir import RunDir

pytestmark = pytest.mark.usefixtures("cache")


def command(*arguments: object) -> None:
    app = cyclopts.App(result_action="return_value", exit_on_error=False, print_error=False)
    app.command(evaluate)
    app(["evaluate", *map(str, arguments)])


def write_npz(path: Path, train: ImageDataset, test: ImageDataset | None = None) -> None:
    arrays: dict[str, Any] = {"x_train": train.images, "y_train": train.labels}
    if test is not None:
        arrays |= {"x_test": test.images, "y_test": test.labels}
    np.savez(path, **arrays)


@pytest.fixture
def data(tmp_path: Path, make_bars: Callable[..., ImageDataset]) -> Path:
    """Training and test images."""
    write_npz(tmp_path / "bars.npz", make_bars(60), make_bars(30, seed=1))
    return tmp_path / "bars.npz"


@pytest.fixture
def run(make_config: Callable[..., TrainingConfig], data: Path) -> Path:
    """A conditional run, without a best checkpoint."""
    return training_from_config(make_config(data=str(data), arch="mlp")).run_dir


def test_the_table_and_the_cas(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(run, "--num-images", 40, "--cas", "--device", "cpu")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{run}, checkpoint last: 40 samples"
    assert any(line.startswith("fid_domain") for line in lines)
    assert any(line.startswith("gan_test") for line in lines)
    assert lines[-1].startswith("CAS  ")
    assert "of 30 real test images right, learnt from 60 samples alone  (seed 0: " in lines[-1]


def test_json_is_all_that_is_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(run, "--num-images", 40, "--json", "--device", "cpu")
    found = json.loads(capsys.readouterr().out)
    assert (found["checkpoint"], found["num_images"]) == ("last", 40)
    assert [each["name"] for each in found["classes"]] == ["0", "1", "2"]
    assert {"fid_floor", "judge_accuracy", "gan_test", "gan_test_balanced"} <= found.keys()
    assert any("(mode collapse)" in warning for warning in found["warnings"])
    assert "cas" not in found


def test_a_finished_run_says_the_same(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished = FinishedRun.open(run, device="cpu")
    feature_extractor = finished.feature_extractor()
    scores = finished.scores(feature_extractor, 40)
    command(run, "--num-images", 40, "--json", "--device", "cpu")
    found = json.loads(capsys.readouterr().out)
    assert found.items() >= scores.to_dict().items()
    assert (found["feature_extractor"], found["judge_accuracy"]) == (
        feature_extractor.digest,
        feature_extractor.accuracy,
    )


def test_the_scores_are_of_other_latents_than_chose_the_best(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []

    def watched(*args: Any, seed: int, **options: Any) -> Iterator[Tensor]:
        seeds.append(seed)
        return draw_samples(*args, seed=seed, **options)

    monkeypatch.setattr("ganserve.training.evaluation.evaluator.draw_samples", watched)
    finished = FinishedRun.open(run, device="cpu")
    finished.scores(finished.feature_extractor(), 40)
    (seed,) = seeds
    assert seed % 2**64 > 2**53, "a seed that a run may have"


@pytest.mark.parametrize("num_images", [-1, 1, 10**6 + 1, 10**15])
def test_too_few_and_too_many_samples_are_refused_before_anything_else(tmp_path: Path, num_images: int) -> None:
    with pytest.raises(ConfigError, match=f"--num-images {num_images}: give 2 to 1,000,000"):
        command(tmp_path / "none", f"--num-images={num_images}", "--device", "cpu")


def test_the_best_checkpoint_is_taken_unless_told_otherwise(run: Path) -> None:
    run_dir = RunDir.existing(run)
    shutil.copy(run_dir.checkpoint("last"), run_dir.checkpoint("best"))
    assert FinishedRun.open(run, device="cpu").checkpoint == "best"
    assert FinishedRun.open(run, device="cpu", checkpoint="last").checkpoint == "last"
    run_dir.checkpoint("best").unlink()
    with pytest.raises(ArtifactError, match="best"):
        FinishedRun.open(run, device="cpu", checkpoint="best")


def test_test_images_from_elsewhere(run: Path, tmp_path: Path, make_bars: Callable[..., ImageDataset]) -> None:
    finished = FinishedRun.open(run, device="cpu")
    assert len(finished.test_images(None).images) == 30
    write_npz(tmp_path / "plain.npz", make_bars(24, seed=2))
    assert len(finished.test_images(str(tmp_path / "plain.npz")).images) == 24
    write_npz(tmp_path / "split.npz", make_bars(24, seed=2), make_bars(21, seed=3))
    assert len(finished.test_images(str(tmp_path / "split.npz")).images) == 21


def test_test_images_that_would_prove_nothing_are_refused(
    run: Path, tmp_path: Path, data: Path, make_bars: Callable[..., ImageDataset]
) -> None:
    finished = FinishedRun.open(run, device="cpu")
    write_npz(tmp_path / "same.npz", make_bars(60))
    with pytest.raises(ConfigError, match=r"--test-data .*same\.npz: the run learnt from these images"):
        finished.test_images(str(tmp_path / "same.npz"))
    two = make_bars(60, seed=4)
    assert two.labels is not None
    write_npz(tmp_path / "two.npz", ImageDataset(two.images, two.labels % 2, ("0", "1"), "two"))
    with pytest.raises(DatasetError, match="its classes are 0, 1, not the generator's 0, 1, 2"):
        finished.test_images(str(tmp_path / "two.npz"))
    write_npz(tmp_path / "colour.npz", make_bars(60, seed=4, channels=3))
    with pytest.raises(DatasetError, match="images are 8x8, 3 channels, those that the run learnt from 8x8, 1 channel"):
        finished.test_images(str(tmp_path / "colour.npz"))
    write_npz(data, make_bars(60))
    with pytest.raises(ConfigError, match=r"bars\.npz has no test images of its own; give some with --test-data"):
        finished.test_images(None)


def test_bad_test_images_are_left_out_where_the_run_left_out_bad_ones(
    make_config: Callable[..., TrainingConfig], write_image: Callable[..., None], tmp_path: Path
) -> None:
    for split, num_images in (("train", 12), ("test", 5)):
        for index in range(num_images):
            path = tmp_path / "pets" / split / ["cats", "dogs"][index % 2] / f"{index}.png"
            write_image(path, size=(8, 8), level=10 * index + num_images)
        path.write_bytes(b"no image")
    config = make_config(data=str(tmp_path / "pets"), arch="mlp", skip_bad=True)
    finished = FinishedRun.open(training_from_config(config).run_dir, device="cpu")
    assert (len(finished.dataset.images), len(finished.test_images(None).images)) == (11, 4)
    assert len(finished.test_images(str(tmp_path / "pets")).images) == 4


@pytest.mark.parametrize(("shape", "expected"), [((60, 8, 8, 1), 60), ((70_000, 8, 8, 1), 60_000)])
def test_cas_learns_from_as_many_samples_as_there_are_images_within_reason(
    run: Path, shape: tuple[int, ...], expected: int
) -> None:
    assert with_images(run, shape).num_cas_images == expected


def test_cas_learns_from_no_more_samples_than_memory_holds(run: Path) -> None:
    assert with_images(run, (60_000, 512, 512, 3)).num_cas_images * 512 * 512 * 3 <= 2**31
    assert with_images(run, (60_000, 30_000, 30_000, 3)).num_cas_images == 4


def with_images(run: Path, shape: tuple[int, ...]) -> FinishedRun:
    """The run as if it had learnt from images of that shape."""
    images = np.broadcast_to(np.uint8(0), shape)
    return dataclasses.replace(FinishedRun.open(run, device="cpu"), dataset=ImageDataset(images, None, (), "blank"))


def test_cas_needs_classes(make_config: Callable[..., TrainingConfig], data: Path) -> None:
    run = training_from_config(make_config(data=str(data), arch="mlp", conditional=False)).run_dir
    with pytest.raises(ConfigError, match="--cas: the generator draws no classes"):
        command(run, "--cas", "--device", "cpu")


def test_copies_are_told_by_the_test_images(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command(run, "--num-images", 40, "--json", "--device", "cpu")
    found = json.loads(capsys.readouterr().out)
    assert 0 <= found["copied"] <= 1
    assert found["copied_by_chance"] == pytest.approx(1 / 31)
    assert found["nearest_ratio"] > 0
    assert found["nearest"] == str(run / "nearest.png")
    with Image.open(run / "nearest.png") as picture:
        assert picture.mode == "L"
    command(run, "--num-images", 40, "--device", "cpu")
    output = capsys.readouterr().out
    assert "copied_by_chance" in output
    assert f"nearest: {run / 'nearest.png'} shows" in output


def test_without_test_images_it_says_that_copies_are_not_known(
    run: Path, data: Path, tmp_path: Path, make_bars: Callable[..., ImageDataset], capsys: pytest.CaptureFixture[str]
) -> None:
    write_npz(data, make_bars(60))
    command(run, "--num-images", 40, "--device", "cpu")
    output = capsys.readouterr().out
    assert f"not known whether samples are copies of training images: {data} has no test images" in output
    assert "copied" not in output
    assert not (run / "nearest.png").exists()
    write_npz(tmp_path / "few.npz", make_bars(6, seed=3))
    with pytest.raises(DatasetError, match="6 images that are no training images are too few to tell memorisation by"):
        command(run, "--num-images", 40, "--test-data", tmp_path / "few.npz", "--device", "cpu")
    write_npz(tmp_path / "held.npz", make_bars(20, seed=3))
    command(run, "--num-images", 40, "--test-data", tmp_path / "held.npz", "--device", "cpu", "--json")
    assert json.loads(capsys.readouterr().out)["copied_by_chance"] == pytest.approx(1 / 21)


def test_images_that_are_gone_or_others_are_named(
    run: Path, data: Path, make_bars: Callable[..., ImageDataset]
) -> None:
    write_npz(data, make_bars(60, seed=5))
    with pytest.raises(ConfigError, match=r"bars\.npz holds other images or labels than the run began with"):
        command(run, "--device", "cpu")
    data.unlink()
    with pytest.raises(DatasetError, match=r"bars\.npz: there is no such.*\(images that moved are found with --data\)"):
        command(run, "--device", "cpu")


def test_images_that_moved_are_found(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = data.rename(data.with_name("moved.npz"))
    command(run, "--data", moved, "--num-images", 40, "--device", "cpu")
    assert "fid_domain" in capsys.readouterr().out
    assert len(FinishedRun.open(run, data=str(moved), device="cpu").test_images(None).images) == 30


def test_moved_images_are_checked(run: Path, tmp_path: Path, make_bars: Callable[..., ImageDataset]) -> None:
    write_npz(tmp_path / "others.npz", make_bars(60, seed=5))
    with pytest.raises(ConfigError, match=r"others\.npz holds other images or labels than the run began with"):
        command(run, "--data", tmp_path / "others.npz", "--device", "cpu")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="not the folder of a run"):
        command(tmp_path, "--device", "cpu")

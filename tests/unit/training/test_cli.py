from __future__ import annotations

import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cyclopts
import pytest

from ganserve.cli import main
from ganserve.contract.errors import ConfigError
from ganserve.training import checkpoint, load_generator
from ganserve.training.cli.train import app as train_app
from ganserve.training.evaluation import FeatureExtractor, feature_extractor_for

from ...warm import start_command

TINY = [*["--batch-size", "4", "--latent-dim", "8", "--base-width", "4", "--device", "cpu", "--evaluate-every", "0"]]
EVALUATING = [*TINY[:-1], "2", "--evaluate-images", "20"]
OTHERS = ["--steps", "2", "--betas", "0", "0.9", "--n-critic", "1", "--seed", "7"]


def run(*arguments: object) -> None:
    app = cyclopts.App(result_action="return_value", exit_on_error=False, print_error=False)
    app.command(train_app)
    app(["train", *map(str, arguments)])


def test_flags_reach_the_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "My Run"
    run("--data", "digits", "--out", out, *TINY, "--arch", "mlp", "--loss", "wgan-gp", "--no-conditional", *OTHERS)
    config = checkpoint.load(out / "checkpoints" / "last.safetensors").config
    assert (config.arch, config.loss, config.conditional) == ("mlp", "wgan-gp", False)
    assert (config.steps, config.betas, config.n_critic, config.seed) == (2, (0.0, 0.9), 1, 7)
    printed = capsys.readouterr().out
    assert f"ganserve export '{out}' --onnx --models models --name my-run\n" in printed
    assert str(out / "samples" / "step-000002.png") in printed


def test_resume_needs_the_folder_alone_and_takes_a_new_total(tmp_path: Path) -> None:
    run("--data", "digits", "--out", tmp_path / "run", *TINY, "--steps", 1)
    run("--resume", tmp_path / "run", "--steps", 3)
    _, card = load_generator(tmp_path / "run")
    assert card.images_seen == 12


def test_resume_refuses_other_settings(tmp_path: Path) -> None:
    run("--data", "digits", "--out", tmp_path / "run", *TINY, "--steps", 1)
    with pytest.raises(ConfigError, match="other settings \\(--batch-size is 8, before 4\\); leave these flags out"):
        run("--resume", tmp_path / "run", "--steps", 2, "--batch-size", 8)


def test_no_flags_at_all_gives_an_example() -> None:
    with pytest.raises(ConfigError, match="try: ganserve train --data digits --out runs/digits"):
        run()


def test_bad_values_name_the_flag(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--batch-size is 1"):
        run("--data", "digits", "--out", tmp_path, "--batch-size", 1)
    with pytest.raises(cyclopts.CoercionError, match="--arch"):
        run("--data", "digits", "--out", tmp_path, "--arch", "vgg")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals, exit_code: int) -> None:
    out = tmp_path / "run"
    arguments = ["train", "--data", "digits", "--out", str(out), *TINY, "--steps", "1000000", "--report-every", "1"]
    with start_command(arguments) as process:
        stats = out / "stats.jsonl"
        deadline_s = time.monotonic() + 60
        while not (stats.is_file() and stats.stat().st_size) and time.monotonic() < deadline_s:
            time.sleep(0.05)
        process.send_signal(number)
        printed, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (exit_code, "")
    assert f"ganserve train --resume {out}" in printed
    done = re.search(r"trained +([\d,]+) of 1,000,000 steps, stopped by " + number.name, printed)
    assert done is not None
    saved = checkpoint.load(out / "checkpoints" / "last.safetensors")
    assert f"{saved.step:,}" == done.group(1)


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--resume", "RUN", "--preset", "mlp"], "--preset: not for a run that is there"),
        (["--resume", "RUN", "--out", "elsewhere"], "--out: not for a run that is there"),
        (["--evaluate", "RUN", "--steps", "5"], "--steps: not for a run that is there"),
    ],
)
def test_flags_that_a_run_cannot_obey_are_refused(tmp_path: Path, flags: list[str], text: str) -> None:
    run("--data", "digits", "--out", tmp_path / "run", *TINY, "--steps", 1)
    with pytest.raises(ConfigError, match=text):
        run(*(str(tmp_path / "run") if flag == "RUN" else flag for flag in flags))


def test_the_preset_gives_what_flags_leave_out(tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    preset.write_text(
        'data = "digits"\narch = "mlp"\nbetas = [0.5, 0.9]\nevaluate_every = 0\nsteps = 3\nbase_width = 8\n'
    )
    run("--preset", preset, "--out", tmp_path / "run", "--steps", 1, "--base-width", 4, "--batch-size", 4)
    config = checkpoint.load(tmp_path / "run" / "checkpoints" / "last.safetensors").config
    assert (config.arch, config.betas, config.steps, config.base_width) == ("mlp", (0.5, 0.9), 1, 4)


@pytest.mark.parametrize("preset", [[], ["--preset", "sndcgan"]])
def test_a_preset_is_suggested_where_none_was_given(
    tmp_path: Path, write_image: Callable[..., None], capsys: pytest.CaptureFixture[str], preset: list[str]
) -> None:
    for name in ("cat", "dog"):
        write_image(tmp_path / "pets" / name / "0.png", size=(16, 16), mode="RGB")
    for last in ([], ["--dry-run"]):
        run("--data", tmp_path / "pets", "--out", tmp_path / "run", *TINY, "--steps", 1, *preset, *last)
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition(":")[0] for line in lines] == ([] if preset else ["hint"])
        shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_a_preset_with_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("depth = 3\n")
    with pytest.raises(cyclopts.CycloptsError, match="depth"):
        run("--preset", tmp_path / "mine.toml", "--data", "digits", "--out", tmp_path / "run")


def test_a_dry_run_shows_what_a_run_would_cost_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("--data", "digits", "--out", tmp_path / "run", *TINY, "--dry-run")
    printed = capsys.readouterr().out
    assert '"discriminator_norm": "spectral"' in printed
    for line in (
        "generator +[0-9,]+ parameters",
        "discriminator +[0-9,]+ parameters",
        "time +[0-9:]+ for 4,000 steps",
        "MiB",
    ):
        assert re.search(line, printed), line
    assert not (tmp_path / "run").exists()


def test_a_dry_run_counts_what_the_judge_takes_before_the_first_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSERVE_CACHE", str(tmp_path / "cache"))
    flags = ("--data", "digits", "--out", tmp_path / "run", *EVALUATING)
    run(*flags, "--dry-run")
    assert re.search("judge +0:0[0-9:]+ more before the first step", capsys.readouterr().out)
    run(*flags, "--steps", 1)
    run(*flags, "--dry-run")
    assert "judge      kept from an earlier run" in capsys.readouterr().out
    run("--data", "digits", "--out", tmp_path / "run", *TINY, "--dry-run")
    assert "judge" not in capsys.readouterr().out


def test_learning_to_judge_shows_in_a_log_and_an_interrupt_there_advises_what_is_true(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSERVE_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "run"

    def interrupted(*arguments: Any, on_progress: Callable[[int, int], None], **options: Any) -> FeatureExtractor:
        def interrupt(num_done: int, total: int) -> None:
            if num_done == 3:
                signal.raise_signal(signal.SIGINT)
            on_progress(num_done, total)

        return feature_extractor_for(*arguments, on_progress=interrupt, **options)

    with monkeypatch.context() as patch:
        patch.setattr("ganserve.training.session.feature_extractor_for", interrupted)
        with pytest.raises(SystemExit):
            run("--data", "digits", "--out", out, *EVALUATING)
    printed = capsys.readouterr().out
    assert re.search("learning to judge samples, once for these images: 1 of [0-9]+", printed)
    assert "trained  0 of 4,000 steps, stopped by SIGINT" in printed
    assert f"resume   ganserve train --resume {out}" in printed
    assert "ganserve export" not in printed
    assert "images/s" not in printed
    run("--resume", out, "--steps", 2, "--evaluate-every", 0)
    assert "ganserve export" in capsys.readouterr().out


@pytest.mark.parametrize("setting", ["steps", "batch_size", "n_critic"])
def test_a_whole_number_with_a_fraction_is_refused_in_a_preset_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    (tmp_path / "mine.toml").write_text(f"{setting} = 2.5\n")
    arguments = ["train", "--data", "digits", "--out", str(tmp_path / "run"), "--preset", str(tmp_path / "mine.toml")]
    assert main(arguments) == 2
    assert f"[{setting}]: '2.5' is no whole number" in capsys.readouterr().err

"""Trains every preset on the same images, judges them, and prints the table of docs/training.md.

    python benchmarks/presets.py --data path/to/mnist --out runs/mnist

Runs that are there already are not trained again, so it can be stopped and started. Each run takes up to half an hour
on two CPU cores.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from command import run

STEPS = {
    "sndcgan": 8_000,
    "hinge-resnet": 8_000,
    "r3gan": 5_000,
    "lsgan": 8_000,
    "wgan-clip": 3_000,
    "wgan-gp": 3_000,
}
COLUMNS = ("fid_domain", "kid", "precision", "recall", "density", "coverage", "gan_test", "class_kl", "diversity")


def main(*, data: str, out: Path, presets: tuple[str, ...] = tuple(STEPS), cas: bool = True) -> None:
    """Train presets on one source of images and compare their samples.

    Parameters
    ----------
    data
        Images, as `ganserve train --data` takes them.
    out
        Folder for the runs, one a preset.
    presets
        Which ones.
    cas
        Whether to train classifiers on samples too, some minutes for each run.
    """
    rows = []
    for preset in presets:
        run = out / preset
        if not (run / "finished").exists():
            resume = ["--resume", run] if run.exists() else ["--preset", preset, "--data", data, "--out", run]
            ganserve("train", *resume, "--steps", STEPS[preset])
            (run / "finished").touch()
        rows.append(row(preset, run, judge(run, cas=cas)))
    print("\n".join(table(rows)))


def judge(run: Path, *, cas: bool) -> dict[str, Any]:
    """What `ganserve evaluate` finds; kept beside the run."""
    found = run / ("evaluation-cas.json" if cas else "evaluation.json")
    if not found.exists():
        text = ganserve("evaluate", run, "--json", *(["--cas"] if cas else []))
        found.write_text(text, encoding="utf-8")
    scores: dict[str, Any] = json.loads(found.read_text(encoding="utf-8"))
    return scores


def row(preset: str, run: Path, scores: dict[str, Any]) -> list[str]:
    """One line of the table."""
    stats = [json.loads(line) for line in (run / "stats.jsonl").read_text(encoding="utf-8").splitlines()]
    seconds = sum(
        (line["images_seen"] - before) / line["images_per_s"]
        for line, before in zip(stats, [0, *(line["images_seen"] for line in stats)], strict=False)
    )
    shares = [each["share"] for each in scores["classes"]]
    accuracies = [f"{min(scores['cas']):.1%} … {max(scores['cas']):.1%}"] if "cas" in scores else ["–"]
    return [
        f"`{preset}`",
        f"{stats[-1]['step']:,}",
        f"{seconds / 60:.0f} min",
        f"{stats[-1]['images_seen'] / seconds:,.0f}",
        *(f"{scores[column]:.3g}" for column in COLUMNS),
        f"{min(shares):.1%} … {max(shares):.1%}",
        *accuracies,
    ]


def table(rows: list[list[str]]) -> list[str]:
    """Lines of Markdown."""
    heads = ["preset", "steps", "time", "images/s", *(f"`{column}`" for column in COLUMNS), "class shares", "CAS"]
    return [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *rows)]


def ganserve(*words: object) -> str:
    """Runs the command, its progress on stderr, and returns what it printed."""
    command = [sys.executable, "-m", "ganserve.cli", *map(str, words)]
    print("$ ganserve " + " ".join(command[3:]), file=sys.stderr, flush=True)
    is_json = "--json" in command
    done = subprocess.run(command, stdout=subprocess.PIPE if is_json else sys.stderr, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout or ""


if __name__ == "__main__":
    run(main)

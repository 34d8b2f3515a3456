from __future__ import annotations

import io
import json

from rich.console import Console

from ganserve.training.evaluation import Scores, print_table

SCORES = Scores(
    num_images=100,
    fid_domain=12.345678,
    fid_floor=0.5,
    kid=0.01,
    precision=0.9,
    recall=0.8,
    density=1.1,
    coverage=0.7,
    gan_test=0.95,
    class_kl=0.02,
    class_shares=(0.25, 0.75),
    diversity=0.99,
    fid_inception=None,
)


def printed(scores: object) -> list[str]:
    stream = io.StringIO()
    print_table(scores, Console(file=stream, width=120))  # type: ignore[arg-type]
    return stream.getvalue().splitlines()


def test_the_floor_is_below_its_distance() -> None:
    lines = printed(SCORES)
    (row,) = (index for index, line in enumerate(lines) if line.startswith("fid_domain"))
    assert "12.35" in lines[row]
    assert "lower" in lines[row]
    assert lines[row + 1].split()[:2] == ["floor", "0.5"]
    assert lines[-1] == "classes of samples  25.0%  75.0%"
    assert not any("fid_inception" in line for line in lines)


def test_a_line_of_a_runs_evaluations_will_do() -> None:
    line = json.loads(json.dumps({"step": 5, "images_seen": 320, **SCORES.to_dict()}))
    assert printed(line) == printed(SCORES)


def test_what_is_not_known_is_left_out() -> None:
    assert "fid_inception" not in SCORES.to_dict()
    assert SCORES.to_dict()["class_shares"] == [0.25, 0.75]

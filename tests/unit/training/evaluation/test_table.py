from __future__ import annotations

import dataclasses
import io
import json
import re
from pathlib import Path

from rich.console import Console

from ganserve.training.evaluation import print_table
from ganserve.training.scores import READINGS, Scores


def printed(scores: Scores) -> list[str]:
    stream = io.StringIO()
    print_table(scores, Console(file=stream, width=120))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_each_score_has_its_meaning_and_what_it_is_held_against_below(scores: Scores) -> None:
    lines = printed(scores)
    rows = {line.split()[0]: index for index, line in enumerate(lines) if line}
    assert lines[rows["fid_domain"]].split()[:3] == ["fid_domain", "1", "lower"]
    assert rows["fid_floor"] == rows["fid_domain"] + 1
    assert rows["gan_test_largest"] == rows["gan_test"] + 1
    assert rows["gan_test_chance"] == rows["gan_test_balanced"] + 1
    assert "fid_inception" not in rows


def test_each_class_has_a_line(scores: Scores) -> None:
    *_, heading, a, _, c = printed(scores)
    assert heading.split() == ["class", "target", "samples", "GAN-test", "judge"]
    assert a.split() == ["a", "30.0%", "30.0%", "90.0%", "95.0%"]
    assert c.split()[0] == "c"


def test_names_of_classes_are_no_markup(scores: Scores) -> None:
    odd = dataclasses.replace(scores.classes[0], name="[red]x[/]")
    assert printed(dataclasses.replace(scores, classes=(odd,)))[-1].startswith("[red]x[/] ")


def test_of_many_classes_the_worst_are_shown(scores: Scores) -> None:
    classes = tuple(
        dataclasses.replace(scores.classes[0], name=f"class{number}", gan_test=number / 100)
        for number in range(99, 0, -1)
    )
    lines = printed(dataclasses.replace(scores, classes=classes))
    assert [line.split()[0] for line in lines[-21:-1]] == [f"class{number}" for number in range(1, 21)]
    assert lines[-1] == "the worst 20 of 99 classes"


def test_what_is_not_known_is_left_out(scores: Scores) -> None:
    values = json.loads(json.dumps(scores.to_dict()))
    assert "fid_inception" not in values
    assert values["classes"][2] == {
        "name": "c",
        "target_share": 0.4,
        "share": 0.4,
        "gan_test": 0.9,
        "judge_accuracy": 0.95,
    }
    unlabelled = dataclasses.replace(scores, classes=(), gan_test=None)
    assert not {"classes", "gan_test"} & unlabelled.to_dict().keys()


def test_every_score_but_counts_has_a_reading() -> None:
    fields = {field.name for field in dataclasses.fields(Scores)}
    assert fields - READINGS.keys() == {"num_images", "classes"}
    assert all(reading.beside in {"", *READINGS} for reading in READINGS.values())
    assert all(reading.better in ("lower", "higher") for reading in READINGS.values() if reading.can_choose)


def test_the_documentation_reads_every_score_as_the_code_does() -> None:
    document = (Path(__file__).parents[4] / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]*) \| ([\w ]+) \| (.+) \|$", document, flags=re.MULTILINE)
    expected = [(name, reading.better, reading.range, reading.meaning) for name, reading in READINGS.items()]
    assert [tuple(cell.strip() for cell in row) for row in rows if row[0] in READINGS] == expected

"""The file of aliases: read, written as a whole, and refused where it says nothing that can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from ganserve.contract.errors import ArtifactError
from ganserve.serving.aliases import ALIASES_FILE, read_aliases, with_alias, write_aliases


def test_aliases_survive_in_a_file_that_people_can_read(tmp_path: Path) -> None:
    assert read_aliases(tmp_path) == {}
    aliases = with_alias(with_alias({}, "digits", "stable", 2), "digits", "canary", 3)
    write_aliases(tmp_path, aliases)
    assert read_aliases(tmp_path) == aliases == {"digits": {"stable": 2, "canary": 3}}
    assert (tmp_path / ALIASES_FILE).read_text() == '{\n  "digits": {\n    "canary": 3,\n    "stable": 2\n  }\n}\n'
    write_aliases(tmp_path, with_alias({"digits": {"stable": 2}}, "digits", "stable", None))
    assert read_aliases(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [ALIASES_FILE]


def test_what_was_there_is_not_changed_in_place() -> None:
    before = {"digits": {"stable": 1}, "faces": {"stable": 4}}
    assert with_alias(before, "digits", "stable", 2) == {"digits": {"stable": 2}, "faces": {"stable": 4}}
    assert before["digits"] == {"stable": 1}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "'list' object has no attribute"),
        ('{"digits": 2}', "'int' object has no attribute"),
        ('{"digits": {"stable": "2"}}', "'2' is no version"),
        ('{"digits": {"stable": true}}', "True is no version"),
        ('{"digits": {"stable": 0}}', "0 is no version"),
        ('{"digits": {"2": 2}}', "'2' is no alias"),
        ('{"../digits": {"stable": 2}}', "'../digits' is no model name"),
        ("[" * 5_000, "recursion"),
    ],
)
def test_a_file_that_says_nothing_is_told_with_what_it_should_say(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / ALIASES_FILE).write_text(text)
    with pytest.raises(ArtifactError) as caught:
        read_aliases(tmp_path)
    assert reason in str(caught.value)
    assert 'write it like {"digits": {"stable": 2}}, or remove it' in str(caught.value)

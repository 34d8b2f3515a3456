"""Flags, environment and file, by the command itself."""

from __future__ import annotations

import re
import tomllib
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from ganserve.cli import main
from ganserve.serving.config import ServingConfig
from ganserve.serving.settings_file import Setting, read_settings_file, write_settings

Output = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of settings in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("server.toml")
    path.write_text('lanes = 3\nmax_wait_s = 2\ndevice = "cpu"\n')
    return path


def effective(capsys: Output, *arguments: str) -> tuple[dict[str, object], dict[str, str]]:
    """What `--print-config` says: the settings, and where each comes from."""
    assert main(["serve", "--print-config", *arguments]) == 0
    text = capsys.readouterr().out
    origins = {line.split()[0]: line.rpartition("# ")[2] for line in text.splitlines() if not line.startswith("#")}
    return tomllib.loads(text), origins


def refusal(capsys: Output, *arguments: str) -> str:
    assert main(["serve", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error.removeprefix("ganserve: error: ").rstrip()


def test_without_anything_there_are_the_defaults(capsys: Output) -> None:
    settings, origins = effective(capsys)
    config = ServingConfig()
    given = {field.name: getattr(config, field.name) for field in fields(config)}
    assert settings == {
        name: value if isinstance(value, (bool, int, float)) else str(value)
        for name, value in given.items()
        if value is not None
    }
    assert set(origins.values()) == {"default"}


def test_flags_win_over_the_environment_and_that_over_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("GANSERVE_SERVE_LANES", "4")
    monkeypatch.setenv("GANSERVE_SERVE_DEVICE", "auto")
    settings, origins = effective(capsys, "--config", str(file), "--lanes", "5")
    assert [settings[name] for name in ("lanes", "device", "max_wait_s", "max_batch")] == [5, "auto", 2.0, 32]
    assert [origins[name] for name in ("lanes", "device", "max_wait_s", "max_batch")] == [
        "flag",
        "GANSERVE_SERVE_DEVICE",
        "server.toml",
        "default",
    ]


def test_the_environment_may_name_the_file_and_a_flag_another(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.setenv("GANSERVE_SERVE_CONFIG", str(file))
    Path("other.toml").write_text("lanes = 7\n")
    assert effective(capsys)[0]["lanes"] == 3
    assert effective(capsys, "--config", "other.toml")[0]["lanes"] == 7


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setenv("GANSERVE_SERVE_LANES", "")
    monkeypatch.setenv("GANSERVE_SERVE_CONFIG", "")
    assert effective(capsys)[1]["lanes"] == "default"


def test_what_is_printed_is_a_file_that_gives_the_same(file: Path, capsys: Output) -> None:
    first, _ = effective(capsys, "--config", str(file), "--listen", "unix:a.sock", "--ready-file", 'rea"dy\t\x7fé.txt')
    main(
        [
            "serve",
            "--print-config",
            "--config",
            str(file),
            "--listen",
            "unix:a.sock",
            "--ready-file",
            'rea"dy\t\x7fé.txt',
        ]
    )
    Path("printed.toml").write_text(capsys.readouterr().out)
    again, origins = effective(capsys, "--config", "printed.toml")
    assert again == first
    assert set(origins.values()) == {"printed.toml"}


def test_a_value_that_no_toml_file_can_hold_is_told(capsys: Output) -> None:
    assert refusal(capsys, "--print-config", "--ready-file", "\udcff") == (
        "ready_file is no UTF-8, which a TOML file cannot hold"
    )


def test_where_a_value_comes_from_cannot_end_its_comment(tmp_path: Path) -> None:
    text = write_settings([Setting("lanes", 3, "a\nmax_batch = 1\x1b[2J.toml")])
    (tmp_path / "printed.toml").write_text(text)
    assert read_settings_file(tmp_path / "printed.toml") == {"lanes": "3"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lanes = 0", "--lanes is 0; give 1 to 1,024; --lanes is from server.toml"),
        ('listen = "here"', "--listen here: give host:port, such as 127.0.0.1:50051, where"),
        ("lanes = 1.5", "Invalid value for lanes in server.toml: '1.5' is no whole number"),
        ('device = "gpu"', 'Invalid value "gpu" for device in server.toml. Choose from: "auto", "cpu", "cuda".'),
        ('models = ""', "Invalid value for models in server.toml: an empty text names no file or folder"),
        ("max-batch = 3", "'max-batch' in server.toml is no setting; did you mean max_batch?"),
        ("colour = 3", "'colour' in server.toml is no setting; `ganserve serve --print-config` shows them all"),
        ('config = "a.toml"', "'config' in server.toml is no setting"),
        ("lanes = [1]", "'lanes' in server.toml is no text, number or true or false"),
        ("[serve]", "'serve' in server.toml is no text, number or true or false"),
        ("lanes = ", "--config server.toml is no TOML file: Invalid value (at end of document)"),
        ("\xff", "--config server.toml is no TOML file: "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(file: Path, capsys: Output, line: str, message: str) -> None:
    file.write_bytes(line.encode("latin-1"))
    assert refusal(capsys, "--config", str(file)).startswith(message)


def test_a_file_that_is_not_there_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    assert refusal(capsys, "--config", str(tmp_path)) == f"--config {tmp_path} cannot be read: Is a directory"
    monkeypatch.setenv("GANSERVE_SERVE_CONFIG", "nowhere")
    assert refusal(capsys) == (
        "--config nowhere cannot be read: No such file or directory; --config is from GANSERVE_SERVE_CONFIG"
    )


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LANES", "0", "--lanes is 0; give 1 to 1,024; --lanes is from GANSERVE_SERVE_LANES"),
        ("MAX_BACH", "1", "the environment variable GANSERVE_SERVE_MAX_BACH names no setting; did you mean"),
        ("lanes", "x", 'Invalid value for GANSERVE_SERVE_lanes: unable to convert "x" into int.'),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: Output, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"GANSERVE_SERVE_{variable}", value)
    assert refusal(capsys).startswith(message)


def test_what_is_wrong_only_later_tells_its_source_too(file: Path, capsys: Output) -> None:
    file.write_text('ready_file = "no/such/folder"\n')
    assert refusal(capsys, "--config", str(file)) == (
        "--ready-file no/such/folder: give the name of a file in a folder that exists; --ready-file is from server.toml"
    )


def test_a_ready_file_in_place_of_the_socket_is_refused(file: Path, capsys: Output) -> None:
    file.write_text('ready_file = "server.sock"\n')
    assert refusal(capsys, "--config", str(file), "--listen", "unix:./server.sock") == (
        "--ready-file server.sock is the socket of --listen unix:./server.sock; give one of them another name; "
        "--ready-file is from server.toml"
    )


NUMBERS = [setting for setting in fields(ServingConfig) if setting.type in ("int", "float")]


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_every_number_has_bounds_which_are_told(setting: Field[Any], capsys: Output) -> None:
    flag = f"--{setting.name.replace('_', '-')}"
    absurd = ["-1", "1" + 12 * "0"]
    if setting.type == "float":
        absurd += ["nan", "-inf", "inf"][: 2 if setting.name == "max_connection_age_s" else 3]
    for value in absurd:
        pattern = rf"{flag} is {float(value) if setting.type == 'float' else value}; give (more than )?[01] "
        assert re.match(pattern, refusal(capsys, f"{flag}={value}"))


def test_what_was_asked_for_by_a_slip_is_refused(capsys: Output) -> None:
    assert refusal(capsys, "--lanes", "100000") == "--lanes is 100000; give 1 to 1,024"
    assert refusal(capsys, "--max-batch", "1000000") == "--max-batch is 1000000; give 1 to 4,096"
    assert refusal(capsys, "--max-wait-s", "inf") == "--max-wait-s is inf; give more than 0 and at most 3,600"

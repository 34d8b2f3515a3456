"""What `deploy/` starts servers with, held against the settings and the project that there are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from ganserve.serving.config import ServingConfig
from ganserve.serving.settings_file import read_settings_file

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy"
DOCKERFILE = DEPLOYED / "docker" / "Dockerfile"
UNIT = DEPLOYED / "systemd" / "ganserve.service"
MANIFEST = DEPLOYED / "kubernetes" / "deployment.yaml"
SETTINGS = {field.name for field in fields(ServingConfig)}
STARTERS = (
    DEPLOYED / "compose" / "compose.yaml",
    MANIFEST,
    DEPLOYED / "kubernetes" / "tls" / "deployment.yaml",
    DEPLOYED / "kserve" / "serving-runtime.yaml",
    UNIT,
)


def commands_of(file: Path) -> Iterator[str]:
    """The lines of a file that are no comment and hold a flag."""
    lines = (line.split("#")[0] for line in file.read_text().splitlines())
    return (line for line in lines if re.search(r"(?<![\w-])--[a-z]", line))


def found(pattern: str, text: str) -> str:
    """The first group of where a pattern is found."""
    match = re.search(pattern, text)
    assert match, pattern
    return str(match[1])


def seconds_of(text: str, name: str) -> float:
    """What stands behind a name."""
    return float(found(rf"{name}\D{{1,3}}(\d+)", text))


@pytest.mark.parametrize("file", STARTERS, ids=lambda file: file.parent.name)
def test_every_flag_is_one_of_the_server(file: Path) -> None:
    flags = {flag for line in commands_of(file) for flag in re.findall(r"(?<![\w-])--([a-z][a-z0-9-]*)", line)}
    assert flags
    assert {flag.replace("-", "_") for flag in flags} <= SETTINGS | {"config"}


def test_every_variable_of_the_image_is_a_setting() -> None:
    variables = re.findall(r"GANSERVE_SERVE_(\w+)=", DOCKERFILE.read_text())
    assert variables
    assert {name.lower() for name in variables} <= SETTINGS


def test_the_settings_of_the_unit_are_read() -> None:
    assert set(read_settings_file(DEPLOYED / "systemd" / "server.toml")) <= SETTINGS


def test_the_image_is_built_from_what_there_is() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    roots = {package.partition("/")[0] for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    lines = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    taken = {line[1:] for line in lines if line.startswith("!")}
    assert taken == roots | {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert all((ROOT / name).exists() for name in taken)
    extras = {extra for names in re.findall(r"EXTRAS=([\w,]+)", DOCKERFILE.read_text()) for extra in names.split(",")}
    assert extras
    assert extras <= set(project["project"]["optional-dependencies"])


def test_the_image_runs_the_server_itself_and_not_as_root() -> None:
    final = DOCKERFILE.read_text().rpartition("\nFROM ")[2]
    assert re.search(r"^USER [1-9]\d+:[1-9]\d+$", final, re.MULTILINE)
    assert re.search(r'^ENTRYPOINT \["ganserve", "serve"\]$', final, re.MULTILINE)
    assert found(r'CMD \["test", "-e", "(\S+)"\]', final) in final.partition("HEALTHCHECK")[0]


def test_a_stop_is_given_the_time_that_the_server_takes() -> None:
    manifest, unit, settings = MANIFEST.read_text(), UNIT.read_text(), (UNIT.parent / "server.toml").read_text()
    takes_s = seconds_of(manifest, "--drain-delay-s") + seconds_of(manifest, "--grace-s")
    assert seconds_of(manifest, "terminationGracePeriodSeconds") > takes_s
    takes_s = seconds_of(settings, "drain_delay_s") + seconds_of(settings, "grace_s")
    assert seconds_of(unit, "TimeoutStopSec") > takes_s


def test_what_is_mounted_is_there() -> None:
    compose = DEPLOYED / "compose"
    mounted = re.findall(r"- (\.{1,2}/[\w/.-]+):", (compose / "compose.yaml").read_text())
    assert all((compose / path).exists() for path in mounted if path != "./models")
    kustomization = (DEPLOYED / "kubernetes" / "kustomization.yaml").read_text()
    names = re.findall(r"(?m)- ([\w-]+\.yaml)$", kustomization)
    assert names
    assert all((DEPLOYED / "kubernetes" / name).is_file() for name in names)


def test_the_autoscaler_looks_at_what_the_adapter_tells() -> None:
    autoscaling, adapter = (
        (DEPLOYED / "kubernetes" / name).read_text() for name in ("autoscaling.yaml", "adapter-values.yaml")
    )
    assert found(r"metric:\n\s+name: (\w+)", autoscaling) == found(r"as: (\w+)", adapter)

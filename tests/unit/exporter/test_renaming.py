from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.cli import main
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.manifest import digest_of, read_manifest
from ganserve.exporter import rename
from ganserve.runtime.inspection import inspect_bundle
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.loader import load_model

MakeBundle = Callable[..., Path]


def load(folder: Path) -> tuple[str, int, str]:
    with Lanes("cpu", 1) as lanes:
        model = load_model(folder, lanes=lanes, max_batch=2)
    return model.identity.name, model.identity.version, model.identity.digest


def test_a_renamed_bundle_is_the_same_model_in_other_folders(tmp_path: Path, make_bundle: MakeBundle) -> None:
    bundle = make_bundle(tmp_path, "pets", 3)
    kept = {name: (bundle / name).read_bytes() for name in ("model.onnx", "samples.png")}
    digest = digest_of(read_manifest(bundle))
    place = rename(bundle, "animals")
    assert place == tmp_path / "animals" / "3"
    assert load(place) == ("animals", 3, digest)
    assert {name: (place / name).read_bytes() for name in kept} == kept
    readme = (place / "README.md").read_text()
    assert "# animals, version 3" in readme
    assert "pets:" not in readme
    inspect_bundle(place)
    assert 'name: "animals"' in (tmp_path / "animals" / "config.pbtxt").read_text()
    assert not (tmp_path / "pets").exists()


def test_it_is_what_an_export_under_that_name_writes(tmp_path: Path, make_bundle: MakeBundle) -> None:
    place = rename(make_bundle(tmp_path / "a", "pets", 3), "animals")
    exported = make_bundle(tmp_path / "b", "animals", 3)
    for path in exported.iterdir():
        assert (place / path.name).read_bytes() == path.read_bytes(), path.name


def test_the_other_versions_stay(tmp_path: Path, make_bundle: MakeBundle) -> None:
    first, second = make_bundle(tmp_path, "pets", 1), make_bundle(tmp_path, "pets", 2)
    assert rename(second, "animals", version=7) == tmp_path / "animals" / "7"
    assert load(first)[:2] == ("pets", 1)
    assert 'name: "pets"' in (tmp_path / "pets" / "config.pbtxt").read_text()


def test_a_bundle_that_was_moved_by_hand_takes_the_name_of_its_folders(tmp_path: Path, make_bundle: MakeBundle) -> None:
    moved = tmp_path / "animals" / "4"
    moved.parent.mkdir()
    make_bundle(tmp_path, "pets").rename(moved)
    with pytest.raises(ArtifactError, match=r"holds pets version 1; move it to .*pets/1") as caught:
        load(moved)
    command = str(caught.value).split("`")[1]
    assert main(command.split()[1:]) == 0
    assert load(moved)[:2] == ("animals", 4)


def test_it_can_be_done_again_where_it_was_cut_short(
    tmp_path: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path, "pets")

    def cut_short(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ganserve.exporter.bundle.write_manifest", cut_short)
        with pytest.raises(KeyboardInterrupt):
            rename(bundle, "animals")
    assert rename(tmp_path / "animals" / "1", "animals") == tmp_path / "animals" / "1"
    assert load(tmp_path / "animals" / "1")[:2] == ("animals", 1)


def spoil_the_model(bundle: Path) -> None:
    os.truncate(bundle / "model.onnx", 100)


def spoil_the_samples(bundle: Path) -> None:
    os.truncate(bundle / "samples.png", 100)


def edit_the_readme(bundle: Path) -> None:
    with (bundle / "README.md").open("a") as file:
        file.write("My notes.\n")


@pytest.mark.parametrize("spoil", [spoil_the_model, spoil_the_samples, edit_the_readme])
def test_a_bundle_that_is_not_whole_stays_as_it_is(
    tmp_path: Path, make_bundle: MakeBundle, spoil: Callable[[Path], None]
) -> None:
    bundle = make_bundle(tmp_path, "pets")
    spoil(bundle)
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    with pytest.raises(ArtifactError, match="is torn or altered"):
        rename(bundle, "animals")
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before


def test_a_name_that_is_taken_or_none_is_refused(tmp_path: Path, make_bundle: MakeBundle) -> None:
    pets, animals = make_bundle(tmp_path, "pets"), make_bundle(tmp_path, "animals")
    with pytest.raises(ConfigError, match="animals/1 exists; give another --name or --version"):
        rename(pets, "animals")
    with pytest.raises(ConfigError, match="is no model name"):
        rename(pets, "My Pets")
    with pytest.raises(ConfigError, match="--version is 0"):
        rename(pets, "pets", version=0)
    assert load(pets)[0] == "pets"
    assert load(animals)[0] == "animals"


def test_the_files_get_the_time_that_is_asked_for(
    tmp_path: Path, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    place = rename(make_bundle(tmp_path, "pets"), "animals")
    assert {path.stat().st_mtime for path in place.iterdir()} == {1700000000}


def test_a_bundle_of_the_former_format_is_renewed(tmp_path: Path, make_former_bundle: MakeBundle) -> None:
    bundle = make_former_bundle(tmp_path, "pets")
    assert read_manifest(bundle).format == "ganserve-bundle/1"
    digest = load(bundle)[2]
    assert rename(bundle, "pets") == bundle
    assert read_manifest(bundle).format == "ganserve-bundle/2"
    assert load(bundle) == ("pets", 1, digest)

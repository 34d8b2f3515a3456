"""The samples of a bundle without a server are the bytes that a server sends."""

from __future__ import annotations

import copy
import inspect
import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ganserve.cli import main
from ganserve.client import (
    ArtifactError,
    CallCancelledError,
    Client,
    InvalidRequestError,
    LocalGenerator,
    Samples,
    SampleSource,
)

from ..servers import ServerProcess

LATENTS = np.linspace(-1, 1, 5 * 16, dtype=np.float32).reshape(5, 16)

SOURCE_METHODS = (
    "generate",
    "submit",
    "generate_from",
    "interpolate",
    "stream",
    "batches",
    "pinned",
    "get_model",
    "close",
)


@pytest.fixture(scope="module")
def bundle(models: Path) -> Path:
    return models / "digits" / "2"


CALLS: dict[str, Callable[[Any], Samples]] = {
    "one": lambda source: source.generate(1, seed=7),
    "many": lambda source: source.generate(150, seed=7, first_index=2**40, truncation=0.9),
    "spread": lambda source: source.generate(20, seed=7, truncation=2.0, spread=1.25),
    "weighted": lambda source: source.generate(40, seed=7, labels={3: 1, 4: 2}),
    "counts": lambda source: source.generate(counts={"3": 5, "8": 2}, seed=7),
    "scattered": lambda source: source.generate(indices=[5, 2**50, 5, 0], seed=7, labels="uniform"),
    "png": lambda source: source.generate(9, seed=7, format="png"),
    "latents": lambda source: source.generate_from(LATENTS, labels=[1, 2]),
    "submitted": lambda source: source.submit(70, seed=7, labels="balanced").result(),
    "batches": lambda source: Samples.join(list(source.batches(32, n=75, seed=7, labels=[1, 2, 3], prefetch=3))),
    "interpolated": lambda source: source.interpolate((7, 3), (8, 2**60), 9, labels="3", truncation=1.5),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_bundle_gives_what_a_server_gives(
    call: Callable[[Any], Samples], bundle: Path, server: ServerProcess
) -> None:
    with LocalGenerator(bundle) as local, Client(server.address, model="digits", version=2) as client:
        here, there = call(local), call(client)
    assert here.model == there.model
    assert here.seed == there.seed
    assert list(here.files) == list(there.files)
    for ours, theirs in (
        (here.numpy(), there.numpy()),
        (here.labels, there.labels),
        (here.class_names, there.class_names),
        (here.indices, there.indices),
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_streams_are_the_same_too(bundle: Path, server: ServerProcess) -> None:
    with LocalGenerator(bundle) as local, Client(server.address, model="digits", version=2) as client:
        here, there = (list(itertools.islice(source.stream(seed=3, batch_size=7), 5)) for source in (local, client))
        assert [len(samples) for samples in local.stream(20, batch_size=8)] == [8, 8, 4]
    np.testing.assert_array_equal(Samples.join(here).numpy(), Samples.join(there).numpy())


def test_an_interpolation_ends_in_the_images_of_its_addresses(bundle: Path) -> None:
    with LocalGenerator(bundle) as local:
        between = local.interpolate((7, 3), (8, 5), 6, labels=4).numpy()
        for place, (seed, index) in ((0, (7, 3)), (-1, (8, 5))):
            (image,) = local.generate(1, seed=seed, first_index=index, labels=4).numpy()
            np.testing.assert_array_equal(between[place], image)
        assert len(np.unique(between, axis=0)) == 6


def test_closing_ends_what_was_submitted(bundle: Path) -> None:
    local = LocalGenerator(bundle)
    local.get_model()
    futures = [local.submit(20_000, seed=seed) for seed in range(40)]
    local.close()
    ended = [future for future in futures if not future.cancelled()]
    assert len(ended) < 20
    assert all(isinstance(future.exception(), (CallCancelledError, type(None))) for future in ended)
    with pytest.raises(RuntimeError, match="closed"):
        local.submit(1)


def test_the_methods_take_what_the_clients_take() -> None:
    for name in (*SOURCE_METHODS, "list_models"):
        ours, theirs = (inspect.signature(getattr(kind, name)).parameters for kind in (LocalGenerator, Client))
        assert dict(ours) == {key: value for key, value in theirs.items() if key != "timeout_s"}


def test_both_are_sample_sources() -> None:
    for name in SOURCE_METHODS:
        ours, asked = (inspect.signature(getattr(kind, name)).parameters for kind in (LocalGenerator, SampleSource))
        assert dict(ours) == dict(asked)


def test_what_a_server_would_refuse_is_refused(bundle: Path) -> None:
    with LocalGenerator(bundle) as local:
        with pytest.raises(InvalidRequestError, match="there is no class 'cat'"):
            local.generate(2, labels="cat")
        with pytest.raises(InvalidRequestError, match="this model takes 16"):
            local.generate_from(LATENTS[:, :3], labels=0)
        with pytest.raises(InvalidRequestError, match=r"stream\(\) gives them a few at a time"):
            local.generate(10**15)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with LocalGenerator(tmp_path) as local, pytest.raises(ArtifactError, match="is not a model bundle"):
        local.generate(1)
    with pytest.raises(ArtifactError, match="is not a folder; give that of a bundle"):
        LocalGenerator(tmp_path / "nowhere")


def test_a_copy_for_another_process_loads_the_bundle_there(bundle: Path) -> None:
    with LocalGenerator(bundle) as local:
        expected = local.generate(3, seed=1).numpy()
        with copy.copy(local) as other:
            assert repr(other) == repr(local)
            np.testing.assert_array_equal(other.generate(3, seed=1).numpy(), expected)


def test_a_forked_child_loads_a_model_of_its_own(bundle: Path) -> None:
    with LocalGenerator(bundle) as local:
        expected = local.generate(30, seed=1).numpy()
        stream, batches = local.stream(30, batch_size=5, seed=1), local.batches(5, n=30, seed=1)
        begun, ahead = next(stream), next(batches)
        child = os.fork()
        if child == 0:
            signal.alarm(60)
            made = [
                local.submit(30, seed=1).result().numpy(),
                np.concatenate([begun.numpy(), *(samples.numpy() for samples in stream)]),
                np.concatenate([ahead.numpy(), *(samples.numpy() for samples in batches)]),
            ]
            os._exit(0 if all(np.array_equal(images, expected) for images in made) else 1)
        _, status = os.waitpid(child, 0)
        assert sum(map(len, stream)) == sum(map(len, batches)) == 25
    assert os.waitstatus_to_exitcode(status) == 0


def test_the_command_runs_a_bundle_without_a_server(
    bundle: Path, server: ServerProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here.png", tmp_path / "there.png"
    common = ["-n", "20", "--seed", "7"]
    assert main(["generate", "--bundle", str(bundle), *common, "--out", str(here)]) == 0
    assert main(["generate", "--server", server.address, "--model", "digits:2", *common, "--out", str(there)]) == 0
    assert here.read_bytes() == there.read_bytes()
    assert main(["generate", "--out", str(here)]) == 2
    assert "give --model, for a server's model, or --bundle" in capsys.readouterr().err
    assert main(["generate", "--bundle", str(bundle), "--server", "h:1", "--out", str(here)]) == 2
    assert "--bundle is run here" in capsys.readouterr().err

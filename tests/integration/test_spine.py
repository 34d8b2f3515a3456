"""From a run to samples in the client's hands: the pixels are those that the ONNX file makes in plain ONNX Runtime."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
import pytest

from ganserve.client import AsyncClient, Client
from ganserve.contract.labels import sample_labels
from ganserve.contract.latents import sample_latents
from ganserve.v1.generator_pb2 import GenerateRequest, LabelPolicy, ModelSelector, SampleAddress, SampleQuery
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ModelState, Reproducibility

from ..servers import ServerProcess

CLASSES = [str(digit) for digit in range(10)]


def run_onnx(bundle: Path, latents: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    inputs: dict[str, Any] = {"latents": latents} | ({} if labels is None else {"labels": labels})
    images: np.ndarray = session.run(None, inputs)[0]
    return images


@pytest.mark.parametrize("count", [1, 64, 300])
def test_conditional_samples_are_the_models_own(server: ServerProcess, models: Path, count: int) -> None:
    with Client(server.address, model="digits") as client:
        samples = client.generate(count, seed=7, first_index=5)
    labels = sample_labels(LabelPolicy(), CLASSES, 7, 5, count)
    np.testing.assert_array_equal(samples.labels, labels)
    np.testing.assert_array_equal(samples.indices, np.arange(5, 5 + count, dtype=np.uint64))
    np.testing.assert_array_equal(
        samples.numpy(), run_onnx(models / "digits" / "2", sample_latents(7, 5, count, 16), labels)
    )


def test_unconditional_samples_are_the_models_own(server: ServerProcess, models: Path) -> None:
    with Client(server.address, model="plain") as client:
        samples = client.generate(20, seed=3, truncation=1.2)
    assert samples.labels is None
    np.testing.assert_array_equal(
        samples.numpy(), run_onnx(models / "plain" / "1", sample_latents(3, 0, 20, 16, 1.2), None)
    )


def test_both_clients_get_the_same(server: ServerProcess) -> None:
    async def fetch() -> np.ndarray:
        async with AsyncClient(server.address, model="digits") as client:
            return (await client.generate(40, seed=7, labels="uniform")).numpy()

    with Client(server.address, model="digits") as client:
        np.testing.assert_array_equal(client.generate(40, seed=7, labels="uniform").numpy(), asyncio.run(fetch()))


def test_explicit_latents_give_the_images_of_their_addresses(server: ServerProcess) -> None:
    latents = sample_latents(7, 0, 30, 16)
    with Client(server.address, model="digits") as client:
        by_address = client.generate(30, seed=7, labels=[1, 2, 3])
        by_latents = client.generate_from(latents, labels=[1, 2, 3])
    np.testing.assert_array_equal(by_latents.numpy(), by_address.numpy())
    assert by_latents.seed is None


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_files_hold_the_raw_pixels(server: ServerProcess, image_format: str) -> None:
    with Client(server.address, model="digits") as client:
        raw = client.generate(40, seed=7)
        files = client.generate(40, seed=7, format=image_format)  # type: ignore[arg-type]
    assert len(files.files) == 40
    np.testing.assert_array_equal(files.numpy(), raw.numpy())


def test_without_a_seed_the_samples_say_which_was_drawn(server: ServerProcess) -> None:
    with Client(server.address, model="digits") as client:
        first, second = client.generate(4), client.generate(4)
        assert first.seed is not None
        assert first.seed != second.seed
        np.testing.assert_array_equal(client.generate(4, seed=first.seed).numpy(), first.numpy())


def test_the_server_draws_a_seed_too_and_says_which(server: ServerProcess) -> None:
    query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(count=4))
    with grpc.insecure_channel(server.address) as channel:
        stub = GeneratorServiceStub(channel)
        drawn = stub.Generate(GenerateRequest(query=query), timeout=10).batch
        assert drawn.HasField("seed")
        query.address.seed = drawn.seed
        assert stub.Generate(GenerateRequest(query=query), timeout=10).batch == drawn


def test_the_server_tells_what_it_serves(server: ServerProcess) -> None:
    with Client(server.address, model="digits") as client:
        served = [(model.identity.name, model.identity.version) for model in client.list_models()]
        model = client.get_model()
    assert served == [("digits", 1), ("digits", 2), ("plain", 1)]
    assert model.state == ModelState.MODEL_STATE_SERVING
    assert model.reproducibility == Reproducibility.REPRODUCIBILITY_IDENTICAL
    assert list(model.card.class_names) == CLASSES
    assert model.card.images_seen == 16


def test_versions_and_digests_choose_the_model(server: ServerProcess) -> None:
    with Client(server.address, model="digits", version=1) as client:
        first = client.generate(1, seed=1)
    assert first.model.version == 1
    with Client(server.address, model="digits") as client:
        assert client.generate(1, seed=1).model.digest != first.model.digest
    with Client(server.address, model="digits", digest=first.model.digest) as client:
        again = client.generate(1, seed=1)
    assert again.model == first.model
    np.testing.assert_array_equal(again.numpy(), first.numpy())

"""Models that take another's place under full load: nobody notices, and a bad one changes nothing."""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from ganserve.client import AsyncClient, Client, PreconditionError
from ganserve.client._transport.access import NO_ACCESS
from ganserve.client._transport.administrator import Administrator
from ganserve.contract.files import new_folder
from ganserve.contract.manifest import read_manifest, write_manifest
from ganserve.v1.generator_pb2 import GenerateRequest, ModelSelector, SampleAddress, SampleQuery
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ImageShape, ModelCard

from ..servers import StartServer
from .conftest import DIGITS, MakeBundle, Note, Size
from .process import resident_mib

NUM_CALLERS = 32
NUM_CLIENTS = 4
MOST_GROWTH_MIB = 32
TIMEOUT_S = 60.0
COUNT = 40

Pixels = dict[str, str]
"""Hash of all images of the addresses that callers ask for, by the model's digest."""


def replace(bundle: Path, other: Path) -> None:
    """Puts a bundle in the place of another in one step."""
    with new_folder(bundle, replace=True) as folder:
        shutil.copytree(other, folder, dirs_exist_ok=True)


def hash_of(images: bytes) -> str:
    return hashlib.sha256(images).hexdigest()


def images_by_digest(address: str) -> tuple[str, str]:
    """Digest of the model that serves, and the hash of its images."""
    with Client(address, model="digits", timeout_s=TIMEOUT_S) as client:
        made = client.generate(COUNT, seed=1)
    return made.model.digest, hash_of(made.numpy().tobytes())


class Load:
    """Callers who ask as fast as they can: raw calls, clients, and streams that last over several swaps.

    Attributes:
        outcomes: how often answers were right, mixed (not those of the model that they name), or errors.
    """

    def __init__(self, address: str, pixels: Pixels) -> None:
        self.outcomes: Counter[str] = Counter()
        self._address = address
        self._pixels = pixels
        self._over = asyncio.Event()

    async def run_beside(self, work: Callable[[], None]) -> None:
        """Has them ask for as long as `work` takes, which is done on a thread."""
        self._over.clear()
        async with (
            AsyncClient(self._address, model="digits", timeout_s=TIMEOUT_S) as client,
            grpc.aio.insecure_channel(self._address) as channel,
            asyncio.TaskGroup() as group,
        ):
            stub: Any = GeneratorServiceStub(channel)
            for _ in range(NUM_CALLERS):
                group.create_task(self._call(stub))
            for _ in range(NUM_CLIENTS):
                group.create_task(self._ask(client))
                group.create_task(self._stream(client))
            await asyncio.to_thread(work)
            self._over.set()

    def wait_for_answers(self, count: int) -> None:
        """Until so many more answers have come."""
        wanted = self.outcomes.total() + count
        while self.outcomes.total() < wanted:
            time.sleep(0.01)

    async def _call(self, stub: Any) -> None:
        query = SampleQuery(model=ModelSelector(name="digits"), address=SampleAddress(seed=1, count=COUNT))
        while not self._over.is_set():
            try:
                batch = (await stub.Generate(GenerateRequest(query=query), timeout=TIMEOUT_S)).batch
            except grpc.aio.AioRpcError as error:
                self.outcomes[f"{error.code().name}: {error.details()}"] += 1
            else:
                self._judge(batch.model.digest, batch.pixels)

    async def _ask(self, client: AsyncClient) -> None:
        while not self._over.is_set():
            made = await client.generate(COUNT, seed=1)
            self._judge(made.model.digest, made.numpy().tobytes())

    async def _stream(self, client: AsyncClient) -> None:
        while not self._over.is_set():
            digests = set()
            async for part in client.stream(20_000, seed=1, batch_size=1_000):
                digests.add(part.model.digest)
            self.outcomes["right" if len(digests) == 1 else "mixed"] += 1

    def _judge(self, digest: str, images: bytes) -> None:
        self.outcomes["right" if self._pixels[digest] == hash_of(images) else "mixed"] += 1


def test_hot_swaps_under_full_load(
    make_bundle: MakeBundle, tmp_path: Path, start_server: StartServer, size: Size, note: Note
) -> None:
    num_swaps = size(12, 100)
    models = tmp_path / "models"
    bundle = make_bundle(models, "digits", 1, card=DIGITS)
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(bundle, first)
    shutil.copytree(make_bundle(tmp_path / "others", "digits", 1, card=DIGITS, change=darken), second)
    with start_server(models, "--allow-admin", "--linger-s", "1") as server:
        with Administrator(server.address, NO_ACCESS, TIMEOUT_S) as administrator:

            def swap(number: int) -> None:
                replace(bundle, first if number % 2 else second)
                administrator.load("digits", 1)

            def swap_all(count: int) -> None:
                for number in range(count):
                    swap(number)
                    load.wait_for_answers(NUM_CALLERS)

            pixels = dict([images_by_digest(server.address)])
            for number in range(3):  # so that memory is what it will be
                swap(number)
                pixels.update([images_by_digest(server.address)])
            assert len(pixels) == 2

            load = Load(server.address, pixels)
            asyncio.run(load.run_beside(lambda: swap_all(4)))
            before_mib = resident_mib(server.process.pid)
            asyncio.run(load.run_beside(lambda: swap_all(num_swaps)))
            after_mib = resident_mib(server.process.pid)
        assert server.stop() == 0
    num_right = load.outcomes.pop("right")
    note(
        fault=f"{num_swaps} hot swaps of one version by another bundle",
        load=f"{NUM_CALLERS} closed-loop callers, {NUM_CLIENTS} clients, {NUM_CLIENTS} streams of 20,000 images",
        expected=f"no error, every answer by one model, memory back within {MOST_GROWTH_MIB} MiB",
        seen=f"{num_right:,} answers right, others: {dict(load.outcomes) or 'none'}; "
        f"{before_mib:.0f} MiB before, {after_mib:.0f} MiB after",
    )
    assert not load.outcomes
    assert after_mib - before_mib < MOST_GROWTH_MIB


def darken(model: onnx.ModelProto) -> None:
    """Other weights, so that other images come of the same addresses."""
    set_constant(model, "offset", np.float32(60.0))


def spoil_with_nan(model: onnx.ModelProto) -> None:
    """Weights that are no numbers."""
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    set_constant(model, "weight", np.full(tuple(weight.dims), np.nan, np.float32))


def set_constant(model: onnx.ModelProto, name: str, value: Any) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(value), name))


def tear(bundle: Path) -> None:
    data = (bundle / "model.onnx").read_bytes()
    (bundle / "model.onnx").write_bytes(data[: len(data) // 2])


def flip(bundle: Path) -> None:
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "model.onnx").write_bytes(data)


def empty(bundle: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("torn", "torn or altered"),
        ("flipped", "torn or altered"),
        ("empty", "torn or altered"),
        ("wrong shape", "another signature"),
        ("NaN", "no numbers (NaN)"),
    ],
)
def test_a_bad_model_is_refused_and_the_one_before_goes_on(
    kind: str,
    reason: str,
    make_bundle: MakeBundle,
    tmp_path: Path,
    start_server: StartServer,
    note: Note,
) -> None:
    models = tmp_path / "models"
    bundle = make_bundle(models, "digits", 1, card=DIGITS)
    bad = make_bad(kind, make_bundle, tmp_path / "bad", bundle)
    with start_server(models, "--allow-admin") as server:
        expected = images_by_digest(server.address)
        load = Load(server.address, dict([expected]))
        told: list[str] = []

        def try_swap() -> None:
            with Administrator(server.address, NO_ACCESS, TIMEOUT_S) as administrator:
                replace(bundle, bad)
                load.wait_for_answers(NUM_CALLERS)
                with pytest.raises(PreconditionError) as caught:
                    administrator.load("digits", 1)
                told.append(str(caught.value))
                (model,) = administrator.status().models
                told.append(model.reason)
                load.wait_for_answers(NUM_CALLERS)

        asyncio.run(load.run_beside(try_swap))
        assert images_by_digest(server.address) == expected
        with Client(server.address) as client:
            (model,) = client.list_models()
            told.append(model.state_reason)
        assert server.stop() == 0
    num_right = load.outcomes.pop("right")
    note(
        fault=f"a hot swap to a bundle that is bad: {kind}",
        load=f"{NUM_CALLERS} closed-loop callers, {NUM_CLIENTS} clients, {NUM_CLIENTS} streams",
        expected="it is refused with its reason, and the one before goes on with the same bytes",
        seen=f"{num_right:,} answers right, others: {dict(load.outcomes) or 'none'}; {re.split('[:;]', told[0])[0]}",
    )
    assert not load.outcomes
    assert all(reason in text for text in told)
    assert not [text for text in told if str(tmp_path) in text]


def make_bad(kind: str, make_bundle: MakeBundle, folder: Path, good: Path) -> Path:
    """A bundle that cannot be served."""
    if kind == "wrong shape":
        return lie_of_shape(make_bundle, folder)
    if kind == "NaN":
        return make_bundle(folder, "digits", 1, card=DIGITS, change=spoil_with_nan)
    shutil.copytree(good, folder)
    {"torn": tear, "flipped": flip, "empty": empty}[kind](folder)
    return folder


def lie_of_shape(make_bundle: MakeBundle, folder: Path) -> Path:
    """A bundle whose manifest has another shape of images than its model."""
    other = ModelCard()
    other.CopyFrom(DIGITS)
    other.image.CopyFrom(ImageShape(height=4, width=16, channels=1))
    wrong = make_bundle(folder / "wrong", "digits", 1, card=other)
    right = make_bundle(folder / "right", "digits", 1, card=DIGITS)
    return swap_model(right, wrong)


def swap_model(bundle: Path, other: Path) -> Path:
    """A bundle with the model of another, whose digests its manifest has."""
    manifest, foreign = read_manifest(bundle), read_manifest(other)
    manifest.files["model.onnx"].CopyFrom(foreign.files["model.onnx"])
    shutil.copy(other / "model.onnx", bundle / "model.onnx")
    write_manifest(manifest, bundle)
    return bundle

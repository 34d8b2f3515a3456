"""Chains on a server: rows, limits and quotas of all their models, models that are swapped, and models that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from ganserve.contract.errors import InvalidRequestError, OverloadedError, PreconditionError, RequestError
from ganserve.contract.rows import Rows
from ganserve.contract.textures import sample_textures
from ganserve.runtime.sources import Source
from ganserve.serving.answers import Answer, Answers
from ganserve.serving.batcher import Batcher
from ganserve.serving.call_gate import CallGate
from ganserve.serving.health import Health
from ganserve.serving.model import Model
from ganserve.serving.model_watch import ModelWatch
from ganserve.serving.repository import Repository
from ganserve.serving.row_quota import RowQuota
from ganserve.serving.scheduler import Caller
from ganserve.serving.service import SERVICE_NAME, GeneratorService
from ganserve.v1.bundle_pb2 import Parity
from ganserve.v1.generator_pb2 import (
    BestOf,
    ClassReference,
    ExplicitLatents,
    GenerateManyRequest,
    GenerateRequest,
    ImageEncoding,
    ImageFormat,
    InputImages,
    LabelPolicy,
    ModelSelector,
    SampleAddress,
    SampleQuery,
    StreamSamplesRequest,
    TimedRequest,
)
from ganserve.v1.generator_pb2_grpc import GeneratorServiceStub
from ganserve.v1.model_pb2 import ImageShape, ModelState

from ...scorers import SHAPE, fail_above, make_scorer, scores_of
from ...translators import make_translator

if TYPE_CHECKING:
    from ganserve.v1.generator_pb2_grpc import GeneratorServiceAsyncStub

SCORER = ModelSelector(name="tiny-classifier")
IMAGE_SHAPE = ImageShape(height=SHAPE[0], width=SHAPE[1], channels=SHAPE[2])
MOST_ROWS = 400
BOUND = 4_500
"""No texture of a golden seed has a first number above it, and samples of `tiny` have."""

Story = Callable[["Stage"], Awaitable[None]]
Play = Callable[[Story], None]


class Stage:
    """A repository and its answers, with a stub for them.

    Attributes:
        models: folder of bundles, in which others may be opened.
    """

    def __init__(
        self, models: Path, parity: Parity, repository: Repository, answers: Answers, stub: GeneratorServiceAsyncStub
    ) -> None:
        self.models = models
        self.parity = parity
        self.repository = repository
        self.answers = answers
        self.stub = stub

    async def samples(self, query: SampleQuery, quota: RowQuota | None = None) -> Answer:
        return await self.answers.samples(query, Caller(client="a", quota=quota), lambda act: act())

    async def stream(self, query: SampleQuery, quota: RowQuota | None = None) -> list[Answer]:
        return [answer async for answer in self.answers.stream(query, Caller(client="a", quota=quota), None)]

    async def swap_scorer(self, version: int) -> Model:
        """Puts another version in the place of the scorer."""
        model = await self.repository.open(make_scorer(self.models, self.parity, version=version))
        await self.repository.unload(SCORER.name, version - 1)
        return model


@pytest.fixture
def play(tmp_path: Path, make_bundle: Callable[..., Path], tiny_parity: Parity) -> Play:
    """Plays a story with the models `tiny`, `tiny-classifier` and `blur2x`."""

    async def run(story: Story) -> None:
        repository = Repository(device="cpu", num_lanes=1, max_batch=8, max_queued_rows=MOST_ROWS, max_wait_s=30.0)
        await repository.open(make_bundle(tmp_path))
        await repository.open(make_scorer(tmp_path, tiny_parity))
        await repository.open(make_translator(tmp_path, tiny_parity, tile=SHAPE[:2]))
        with ThreadPoolExecutor(1) as workers:
            watch = ModelWatch(repository, Health(), SERVICE_NAME)
            answers = Answers(repository, workers=workers, max_reply_bytes=2**24, check_model=watch.check)
            answers.state = ModelState.MODEL_STATE_SERVING
            server = grpc.aio.server(interceptors=(CallGate(SERVICE_NAME, max_calls=100, stall_s=60),))
            server.add_generic_rpc_handlers((GeneratorService(answers).rpc_handler(),))
            port = server.add_insecure_port("127.0.0.1:0")
            await server.start()
            try:
                async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                    await story(Stage(tmp_path, tiny_parity, repository, answers, GeneratorServiceStub(channel)))
            finally:
                await server.stop(0)
        await repository.close()

    return lambda story: asyncio.run(asyncio.wait_for(run(story), 60))


def query_of(
    count: int = 5, best_of: int = 0, then: tuple[str, ...] = (), *, scorer: ModelSelector = SCORER, **fields: Any
) -> SampleQuery:
    fields = {"address": SampleAddress(seed=1, count=count)} | fields
    return SampleQuery(
        model=ModelSelector(name="tiny"),
        best_of=BestOf(candidates=best_of, scorer=scorer) if best_of else None,
        then=[ModelSelector(name=name) for name in then],
        **fields,
    )


def scoring(images: np.ndarray, **fields: Any) -> SampleQuery:
    sent = InputImages(shape=IMAGE_SHAPE, pixels=images.tobytes())
    return SampleQuery(**{"model": SCORER, "images": sent, **fields})


def test_rows_of_all_models_count_against_a_quota(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for query, num_rows in (
            (query_of(5), 5),
            (query_of(5, best_of=4), 40),
            (query_of(5, then=("blur2x",)), 10),
            (query_of(5, 4, ("blur2x",)), 45),
        ):
            enough, too_few = (RowQuota("a", 1000, 1e9), RowQuota("b", 1000, 1e9))
            with enough.spent(1000 - num_rows), too_few.spent(1001 - num_rows):
                await stage.samples(query, enough)
                with pytest.raises(OverloadedError, match=f"; {num_rows} more can be made in"):
                    await stage.samples(query, too_few)

    play(story)


def test_the_parts_of_a_stream_count_so_too(play: Play) -> None:
    async def story(stage: Stage) -> None:
        quota = RowQuota("a", 1000, 1e9)
        await stage.stream(query_of(20, 4, ("blur2x",)), quota)
        with quota.spent(1000 - 20 * 9), pytest.raises(OverloadedError), quota.spent(1):
            pass

    play(story)


def test_no_model_runs_more_rows_for_a_request_than_it_would_by_itself(play: Play) -> None:
    async def story(stage: Stage) -> None:
        most = MOST_ROWS // 64
        assert len((await stage.samples(query_of(most, best_of=64))).made.rows) == most
        for refuse in (stage.samples, lambda query: asyncio.to_thread(stage.answers.check, query)):
            with pytest.raises(InvalidRequestError, match=f"cannot hold {most + 1} samples") as caught:
                await refuse(query_of(most + 1, best_of=64))
            assert caught.value.field == "query.address.count"
        parts = await stage.stream(query_of(50, best_of=64))
        assert sum(len(part.made.rows) for part in parts) == 50
        assert max(len(part.made.rows) for part in parts) <= most // 2

    play(story)


def test_the_scorer_chooses_what_the_definition_says_in_parts_of_a_stream_too(play: Play) -> None:
    async def story(stage: Stage) -> None:
        whole = await stage.samples(query_of(30, 3, ("blur2x",)))
        parts = await stage.stream(query_of(30, 3, ("blur2x",)))
        assert len(parts) > 1 or len(parts[0].made.rows) == 30
        for name in whole.made.rows.columns:
            joined = np.concatenate([part.made.rows.columns[name] for part in parts])
            assert np.array_equal(joined, whole.made.rows.columns[name])
        batch = whole.describe()
        assert (batch.best_of, batch.scorer.name, [model.name for model in batch.then]) == (3, SCORER.name, ["blur2x"])
        assert (batch.image.height, batch.image.width) == (12, 10)

    play(story)


def test_a_model_that_is_swapped_during_a_call_answers_it_to_its_end(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    run_now = Batcher.run

    async def run_later(self: Batcher, source: Source, start: int, count: int, admitted: Any) -> Rows:
        rows = await run_now(self, source, start, count, admitted)
        began.set()
        await go_on.wait()
        return rows

    async def story(stage: Stage) -> None:
        query = query_of(6, best_of=3)
        former = await stage.samples(query)
        monkeypatch.setattr(Batcher, "run", run_later)
        under_way = asyncio.create_task(stage.samples(query))
        await began.wait()
        await stage.swap_scorer(2)
        go_on.set()
        batch = (await under_way).describe()
        assert batch == former.describe()
        assert batch.scorer.version == 1
        assert (await stage.samples(query)).describe().scorer.version == 2

    play(story)


def test_a_digest_pins_the_former_scorer_while_it_lingers(play: Play) -> None:
    async def story(stage: Stage) -> None:
        query = query_of(6, best_of=3)
        former = await stage.samples(query)
        query.best_of.scorer.digest = former.describe().scorer.digest
        new = await stage.swap_scorer(2)
        pinned = await stage.samples(query)
        assert pinned.describe() == former.describe()
        assert np.array_equal(pinned.made.rows.columns["images"], former.made.rows.columns["images"])
        assert [part.describe().scorer for part in await stage.stream(query)] == [former.describe().scorer]
        assert (await stage.samples(query_of(6, best_of=3))).describe().scorer == new.identity
        query.best_of.scorer.digest = "0" * 64
        with pytest.raises(PreconditionError, match="no version with the digest 0000") as caught:
            await stage.samples(query)
        assert caught.value.field == "query.best_of.scorer.digest"

    play(story)


def test_a_model_of_a_chain_that_fails_fails_its_calls_alone(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.repository.open(make_scorer(stage.models, stage.parity, "picky", change=fail_above(BOUND)))
        picky, black = ModelSelector(name="picky"), np.zeros((2, *SHAPE), np.uint8)
        query = query_of(40, best_of=8, scorer=picky)
        for ask in (stage.samples, stage.stream):
            with pytest.raises(RequestError):
                await ask(query)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.stub.Generate(GenerateRequest(query=query), timeout=30)
        assert caught.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)
        assert len((await stage.samples(query_of(40, best_of=8))).made.rows) == 40
        assert len((await stage.samples(scoring(black, model=picky))).made.rows) == 2

    play(story)


def test_a_scorer_answers_with_numbers_and_no_images(play: Play) -> None:
    images = sample_textures(3, 0, 11, SHAPE)

    async def story(stage: Stage) -> None:
        batch = (await stage.stub.Generate(GenerateRequest(query=scoring(images)), timeout=30)).batch
        assert (batch.count, batch.model.name, batch.pixels, len(batch.files)) == (11, SCORER.name, b"", 0)
        assert not batch.HasField("image")
        assert not batch.HasField("best_of")
        assert batch.format == ImageFormat.IMAGE_FORMAT_UNSPECIFIED
        assert [score.name for score in batch.scores] == ["realness", "cat", "dog", "emu"]
        assert np.array_equal(np.stack([score.values for score in batch.scores], 1), scores_of(images))
        assert all(len(score.percentiles) == 11 for score in batch.scores)
        streamed = StreamSamplesRequest(query=scoring(images), max_batch_size=4)
        parts = [reply.batch async for reply in stage.stub.StreamSamples(streamed, timeout=30)]
        assert [part.count for part in parts] == [4, 4, 3]
        assert [value for part in parts for value in part.scores[0].values] == list(batch.scores[0].values)

    play(story)


def test_scores_and_chains_come_beside_others_in_one_call(play: Play) -> None:
    images = sample_textures(3, 0, 5, SHAPE)
    queries = [query_of(3), scoring(images), query_of(4, 3, ("blur2x",)), scoring(images[:0]), query_of(2, best_of=99)]

    async def story(stage: Stage) -> None:
        timed = [TimedRequest(request=GenerateRequest(query=query)) for query in queries]
        reply = await stage.stub.GenerateMany(GenerateManyRequest(requests=timed), timeout=30)
        alone = [await stage.stub.Generate(GenerateRequest(query=query), timeout=30) for query in queries[:3]]
        assert [one.response for one in reply.outcomes[:3]] == alone
        assert "neither pixels and files of image are given" in reply.outcomes[3].refusal.message
        assert "best_of is 99; give 2 to 64" in reply.outcomes[4].refusal.message

    play(story)


CAT = LabelPolicy(one=ClassReference(name="cat"))
LATENTS = ExplicitLatents(dim=7, values=np.zeros((2, 7), "<f4").tobytes())


@pytest.mark.parametrize(
    ("query", "field", "text"),
    [
        (query_of(best_of=1), "query.best_of.candidates", "best_of is 1; give 2 to 64"),
        (query_of(best_of=65), "query.best_of.candidates", "best_of is 65; give 2 to 64"),
        (query_of(best_of=2, scorer=ModelSelector()), "query.best_of.scorer", "best_of names no scorer; give one"),
        (
            query_of(best_of=2, address=None, latents=LATENTS, labels=CAT),
            "query.best_of",
            "best_of chooses among the samples of an",
        ),
        (query_of(then=("blur2x",) * 9), "query.then", "9 translators one after the other; give at most 8"),
        (query_of(then=("blur2x", SCORER.name)), "query.then[1]", "tiny-classifier is a scorer; give translators"),
        (
            scoring(sample_textures(0, 0, 2, SHAPE), encoding=ImageEncoding(format=ImageFormat.IMAGE_FORMAT_PNG)),
            "query.encoding.format",
            "a scorer makes numbers and no images; leave the format out",
        ),
        (
            scoring(sample_textures(0, 0, 2, SHAPE), then=[ModelSelector(name="blur2x")]),
            "query.then[0]",
            "a scorer makes no images that a translator could take",
        ),
        (
            scoring(sample_textures(0, 0, 2, SHAPE), best_of=BestOf(candidates=2, scorer=SCORER)),
            "query.best_of",
            "best_of chooses among the samples of an address",
        ),
        (SampleQuery(model=SCORER), "query.images", "this model takes images; give one a sample"),
        (
            SampleQuery(model=SCORER, address=SampleAddress(seed=1, count=2)),
            "query.images",
            "this model takes images; give one a sample",
        ),
        (
            SampleQuery(model=SCORER, images=InputImages(shape=ImageShape(height=5, width=6, channels=3), pixels=b"1")),
            "query.images.shape",
            "the images are 5×6×3, and this model takes 6×5×3",
        ),
    ],
)
def test_what_cannot_be_asked_for_names_its_field(play: Play, query: SampleQuery, field: str, text: str) -> None:
    async def story(stage: Stage) -> None:
        for ask in (stage.samples, stage.stream):
            with pytest.raises(InvalidRequestError, match=text) as caught:
                await ask(query)
            assert caught.value.field == field

    play(story)


def test_latents_of_ones_own_may_be_transformed(play: Play) -> None:
    async def story(stage: Stage) -> None:
        made = await stage.samples(query_of(address=None, latents=LATENTS, labels=CAT, then=("blur2x",)))
        assert made.images is not None
        assert made.images.shape == (2, 12, 10, 3)

    play(story)

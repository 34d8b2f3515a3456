"""Metrics, probes and what the models are."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from ganserve.v1.model_pb2 import ModelState

from .conftest import Play, Stage


def test_metrics_are_read_by_prometheus_own_parser(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.get("/v1/models/tiny/samples/7/0-9.png")
        reply = await stage.get("/metrics")
        assert reply.headers["content-type"].startswith("text/plain; version=")
        assert reply.headers["cache-control"] == "no-store"
        families = {family.name: family for family in text_string_to_metric_families(reply.body.decode())}
        assert families["ganserve_batch_rows"].type == "histogram"
        sums = [sample.value for sample in families["ganserve_batch_rows"].samples if sample.name.endswith("_sum")]
        assert sums == [10]
        assert "process_resident_memory_bytes" in families

    play(story)


def test_openmetrics_is_written_for_who_asks_for_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.get("/metrics", accept="application/openmetrics-text; version=1.0.0")
        assert reply.headers["content-type"].startswith("application/openmetrics-text")
        assert reply.body.endswith(b"# EOF\n")

    play(story)


def test_a_server_is_alive_before_it_is_ready_and_after(play: Play) -> None:
    async def story(stage: Stage) -> None:
        assert (await stage.get("/readyz")).status == 200
        stage.watch.stop()
        reply = await stage.get("/readyz")
        assert (reply.status, reply.json()["code"]) == (503, "UNAVAILABLE")
        assert (await stage.get("/livez")).body == b"alive\n"

    play(story)


def test_while_models_load_clients_are_told_to_come_back(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.answers.state = ModelState.MODEL_STATE_LOADING
        for path in ("/v1/models", "/v1/models/tiny", "/v1/models/tiny/samples/7/0.png"):
            reply = await stage.get(path)
            assert (reply.status, reply.headers["retry-after"]) == (503, "1")
        assert (await stage.get("/")).status == 200

    play(story)


def test_models_are_told_as_their_messages(play: Play) -> None:
    async def story(stage: Stage) -> None:
        listed = (await stage.get("/v1/models")).json()
        (model,) = listed["models"]
        assert listed["grpc_port"] == 50051
        assert model["identity"] == {"name": "tiny", "version": 1, "digest": stage.digest}
        assert model["card"]["class_names"] == ["cat", "dog", "emu"]
        assert model["card"]["image"] == {"height": 6, "width": 5, "channels": 3}
        assert model["max_samples_per_request"] == stage.model.limits.samples_per_request
        assert model["state"] == "MODEL_STATE_SERVING"
        for name in ("tiny", "tiny:1", f"tiny@{stage.digest}"):
            assert (await stage.get(f"/v1/models/{name}")).json() == model

    play(story)

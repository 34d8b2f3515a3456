"""ModelInfer: samples by address and from tensors, in every form, and the same as of our own service."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from ganserve.contract.latents import sample_latents
from ganserve.serving.open_inference.inference_pb2 import (
    InferParameter,
    InferTensorContents,
    ModelInferRequest,
    ModelInferResponse,
)
from ganserve.v1.generator_pb2 import (
    ClassReference,
    GenerateRequest,
    GenerateResponse,
    LabelPolicy,
    ModelSelector,
    SampleAddress,
    SampleBatch,
    SampleQuery,
)

from .conftest import Play, Stage

InferInputTensor = ModelInferRequest.InferInputTensor
LATENTS = sample_latents(7, 3, 5, 7)
LABELS = np.array([2, 0, 1, 1, 0])


def request_of(
    parameters: Mapping[str, Any] | None = None, *, model: str = "tiny", version: str = "", **fields: Any
) -> ModelInferRequest:
    request = ModelInferRequest(model_name=model, model_version=version, **fields)
    for name, value in (parameters or {}).items():
        request.parameters[name].CopyFrom(parameter(value))
    return request


def parameter(value: Any) -> InferParameter:
    match value:
        case InferParameter():
            return value
        case bool():
            return InferParameter(bool_param=value)
        case int():
            return InferParameter(int64_param=value)
        case float():
            return InferParameter(double_param=value)
    return InferParameter(string_param=value)


def typed_latents(latents: Any = LATENTS) -> InferInputTensor:
    return InferInputTensor(
        name="latents",
        datatype="FP32",
        shape=latents.shape,
        contents=InferTensorContents(fp32_contents=latents.ravel().tolist()),
    )


def typed_labels(labels: Any = LABELS) -> InferInputTensor:
    return InferInputTensor(
        name="labels",
        datatype="INT64",
        shape=labels.shape,
        contents=InferTensorContents(int64_contents=labels.ravel().tolist()),
    )


def raw(tensor: InferInputTensor) -> InferInputTensor:
    """The same without contents."""
    return InferInputTensor(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)


def outputs_of(reply: ModelInferResponse) -> dict[str, np.ndarray[Any, Any]]:
    dtypes = {"UINT8": "u1", "INT64": "<i8"}
    return {
        output.name: np.frombuffer(data, dtypes[output.datatype]).reshape(tuple(output.shape))
        for output, data in zip(reply.outputs, reply.raw_output_contents, strict=True)
    }


async def generate(stage: Stage, query: SampleQuery) -> SampleBatch:
    reply: GenerateResponse = await stage.generator.Generate(GenerateRequest(query=query))
    return reply.batch


def test_an_address_is_the_same_samples_as_of_our_own_service(play: Play) -> None:
    async def story(stage: Stage) -> None:
        address = {"seed": 7, "index": 3, "count": 5, "truncation": 0.5, "spread": 1.5}
        reply = await stage.inference.ModelInfer(request_of(address, id="one", version="1"))
        query = SampleQuery(
            model=ModelSelector(name="tiny", version=1),
            address=SampleAddress(seed=7, first_index=3, count=5, truncation=0.5, spread=1.5),
        )
        own = await generate(stage, query)
        assert (reply.model_name, reply.model_version, reply.id) == ("tiny", "1", "one")
        assert reply.parameters["digest"].string_param == own.model.digest
        assert reply.parameters["seed"].int64_param == 7
        assert reply.parameters["index"].int64_param == 3
        outputs = outputs_of(reply)
        assert list(outputs) == ["images", "labels"]
        assert outputs["images"].shape == (5, 6, 5, 3)
        assert outputs["images"].tobytes() == own.pixels
        assert outputs["labels"].shape == (5, 1)
        assert outputs["labels"].ravel().tolist() == list(own.labels)

    play(story)


def test_without_parameters_it_is_one_sample_whose_address_is_told(play: Play) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.inference.ModelInfer(request_of())
        assert reply.model_version == "2"
        seed = reply.parameters["seed"]
        again = await stage.inference.ModelInfer(request_of({"seed": seed, "index": reply.parameters["index"]}))
        assert outputs_of(reply)["images"].shape == (1, 6, 5, 3)
        assert again.raw_output_contents == reply.raw_output_contents

    play(story)


@pytest.mark.parametrize("label", [1, "dog", InferParameter(uint64_param=1)])
def test_a_class_by_number_or_name(play: Play, label: Any) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.inference.ModelInfer(request_of({"seed": 1, "count": 3, "label": label}))
        query = SampleQuery(
            model=ModelSelector(name="tiny"),
            address=SampleAddress(seed=1, count=3),
            labels=LabelPolicy(one=ClassReference(label=1)),
        )
        assert outputs_of(reply)["images"].tobytes() == (await generate(stage, query)).pixels
        assert outputs_of(reply)["labels"].ravel().tolist() == [1, 1, 1]

    play(story)


@pytest.mark.parametrize("seed", [2**64 - 1, 2**63])
def test_the_largest_numbers_go_as_texts_and_as_unsigned(play: Play, seed: int) -> None:
    async def story(stage: Stage) -> None:
        for value in (str(seed), InferParameter(uint64_param=seed)):
            reply = await stage.inference.ModelInfer(request_of({"seed": value, "index": value}))
            assert reply.parameters["seed"].uint64_param == seed
            assert reply.parameters["index"].uint64_param == seed
        query = SampleQuery(
            model=ModelSelector(name="tiny"), address=SampleAddress(seed=seed, first_index=seed, count=1)
        )
        assert outputs_of(reply)["images"].tobytes() == (await generate(stage, query)).pixels

    play(story)


def test_latents_and_labels_typed_and_raw_are_the_samples_of_their_address(play: Play) -> None:
    typed = request_of(inputs=[typed_latents(), typed_labels()])
    contents = [LATENTS.tobytes(), LABELS.tobytes()]
    as_raw = request_of(inputs=[raw(typed_latents()), raw(typed_labels())], raw_input_contents=contents)
    other_order = request_of(inputs=as_raw.inputs[::-1], raw_input_contents=contents[::-1])
    with_axis = request_of(inputs=[typed_latents(), typed_labels(LABELS[:, np.newaxis])])

    async def story(stage: Stage) -> None:
        expected = b""
        for place, label in enumerate(LABELS.tolist()):
            query = SampleQuery(
                model=ModelSelector(name="tiny"),
                address=SampleAddress(seed=7, first_index=3 + place, count=1),
                labels=LabelPolicy(one=ClassReference(label=label)),
            )
            expected += (await generate(stage, query)).pixels
        for request in (typed, as_raw, other_order, with_axis):
            outputs = outputs_of(await stage.inference.ModelInfer(request))
            assert outputs["images"].tobytes() == expected
            assert outputs["labels"].ravel().tolist() == LABELS.tolist()

    play(story)


def test_latents_with_one_class_for_all_rows(play: Play) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.inference.ModelInfer(request_of({"label": "emu"}, inputs=[typed_latents()]))
        address = {"seed": 7, "index": 3, "count": 5, "label": "emu"}
        by_address = await stage.inference.ModelInfer(request_of(address))
        assert reply.raw_output_contents == by_address.raw_output_contents
        assert "seed" not in reply.parameters

    play(story)


def test_an_unconditional_model_has_no_labels(play: Play) -> None:
    async def story(stage: Stage) -> None:
        reply = await stage.inference.ModelInfer(request_of(model="plain", inputs=[typed_latents()]))
        by_address = await stage.inference.ModelInfer(request_of({"seed": 7, "index": 3, "count": 5}, model="plain"))
        assert list(outputs_of(reply)) == ["images"]
        assert reply.raw_output_contents == by_address.raw_output_contents

    play(story)


def test_outputs_are_those_that_are_wanted_in_their_order(play: Play) -> None:
    async def story(stage: Stage) -> None:
        for names in (["labels"], ["images"], ["labels", "images"]):
            reply = await stage.inference.ModelInfer(request_of({"seed": 1}, outputs=[{"name": n} for n in names]))
            assert list(outputs_of(reply)) == names

    play(story)


def test_a_reply_is_the_message_that_protobuf_would_write(play: Play) -> None:
    async def story(stage: Stage) -> None:
        method = "/inference.GRPCInferenceService/ModelInfer"
        call: Any = stage.channel.unary_unary(method)
        data = await call(request_of({"seed": 1, "count": 40}, id="x").SerializeToString())
        reply = ModelInferResponse.FromString(data)
        assert len(data) == reply.ByteSize()
        assert not reply.outputs[0].HasField("contents")

    play(story)


def test_what_clients_send_unasked_is_passed_over(play: Play) -> None:
    unasked = {"triton_enable_empty_final_response": False, "content_type": "np"}

    async def story(stage: Stage) -> None:
        request = request_of({"seed": 1, **unasked}, outputs=[{"name": "images", "parameters": {}}])
        request.outputs[0].parameters["binary_data"].bool_param = True
        assert (await stage.inference.ModelInfer(request)).parameters["seed"].int64_param == 1

    play(story)


def test_a_digest_pins_the_model(play: Play) -> None:
    async def story(stage: Stage) -> None:
        first = await stage.inference.ModelInfer(request_of({"seed": 1}, version="1"))
        pinned = await stage.inference.ModelInfer(request_of({"seed": 1, "digest": first.parameters["digest"]}))
        assert pinned.model_version == "1"
        assert pinned.raw_output_contents == first.raw_output_contents

    play(story)


def test_typed_values_by_the_thousand_are_the_same_as_raw_ones(play: Play) -> None:
    latents = sample_latents(1, 0, 1000, 7)

    async def story(stage: Stage) -> None:
        typed = await stage.inference.ModelInfer(request_of(model="plain", inputs=[typed_latents(latents)]))
        as_raw = await stage.inference.ModelInfer(
            request_of(model="plain", inputs=[raw(typed_latents(latents))], raw_input_contents=[latents.tobytes()])
        )
        assert typed.raw_output_contents == as_raw.raw_output_contents

    play(story)


def with_parameter(tensor: InferInputTensor, name: str) -> InferInputTensor:
    tensor.parameters[name].string_param = "region"
    return tensor


def changed(tensor: InferInputTensor, **fields: Any) -> InferInputTensor:
    for name, value in fields.items():
        if name == "shape":
            del tensor.shape[:]
            tensor.shape.extend(value)
        else:
            setattr(tensor, name, value)
    return tensor


NOT_FINITE = LATENTS.copy()
NOT_FINITE[2, 1] = np.nan
BOTH: dict[str, Any] = {
    "inputs": [typed_latents(), raw(typed_labels())],
    "raw_input_contents": [LATENTS.tobytes(), LABELS.tobytes()],
}
REFUSALS: dict[str, tuple[ModelInferRequest, str, str, str]] = {
    "no model": (
        request_of(model=""),
        "INVALID_ARGUMENT",
        "name a model; this server has 'plain', 'tiny'",
        "model_name",
    ),
    "unknown model": (request_of(model="faces"), "NOT_FOUND", "there is no model 'faces'", ""),
    "unknown version": (request_of(version="9"), "NOT_FOUND", "has no version 9; this server has 1, 2", ""),
    "unknown alias": (request_of(version="latest"), "NOT_FOUND", "has no alias 'latest' on this server", ""),
    "no version": (
        request_of(version="Latest"),
        "INVALID_ARGUMENT",
        "the version is 'Latest'; give a whole number",
        "model_version",
    ),
    "another digest": (
        request_of({"digest": "beef"}),
        "FAILED_PRECONDITION",
        "no version with the digest beef",
        "parameters.digest",
    ),
    "unknown parameter": (
        request_of({"sead": 7}),
        "INVALID_ARGUMENT",
        "there is no parameter 'sead'; this server knows seed, index, count, truncation, spread, label, digest",
        "parameters.sead",
    ),
    "negative seed": (
        request_of({"seed": -1}),
        "INVALID_ARGUMENT",
        "the parameter seed is -1; give a whole number from 0 to 18446744073709551615",
        "parameters.seed",
    ),
    "seed of no number": (request_of({"seed": "abc"}), "INVALID_ARGUMENT", "seed is 'abc'; give", "parameters.seed"),
    "seed beyond all": (request_of({"seed": str(2**64)}), "INVALID_ARGUMENT", "give a whole", "parameters.seed"),
    "seed with a point": (request_of({"seed": 7.0}), "INVALID_ARGUMENT", "seed is 7.0; give", "parameters.seed"),
    "seed yes": (request_of({"seed": True}), "INVALID_ARGUMENT", "seed is True; give", "parameters.seed"),
    "seed without a value": (
        request_of({"seed": InferParameter()}),
        "INVALID_ARGUMENT",
        "the parameter seed is without a value",
        "parameters.seed",
    ),
    "no sample": (request_of({"count": 0}), "INVALID_ARGUMENT", "ask for at least one sample", "parameters.count"),
    "indices beyond the last": (
        request_of({"index": str(2**64 - 1), "count": 2}),
        "INVALID_ARGUMENT",
        "go beyond the last one",
        "parameters.index",
    ),
    "too many samples": (
        request_of({"count": 100_000}),
        "INVALID_ARGUMENT",
        "one reply cannot hold 100,000 samples; this model makes 1 to",
        "parameters.count",
    ),
    "truncation": (request_of({"truncation": -1.0}), "INVALID_ARGUMENT", "truncation is -1.0", "parameters.truncation"),
    "truncation of no number": (
        request_of({"truncation": "much"}),
        "INVALID_ARGUMENT",
        "truncation is 'much'; give a number",
        "parameters.truncation",
    ),
    "spread": (request_of({"spread": 0}), "INVALID_ARGUMENT", "spread is 0.0", "parameters.spread"),
    "unknown class": (
        request_of({"label": "gnu"}),
        "INVALID_ARGUMENT",
        "there is no class 'gnu'; the classes are 'cat', 'dog', 'emu'",
        "parameters.label",
    ),
    "label too large": (
        request_of({"label": 3}),
        "INVALID_ARGUMENT",
        "label 3 is not one of 0 to 2",
        "parameters.label",
    ),
    "label yes": (request_of({"label": True}), "INVALID_ARGUMENT", "label is True; give a class", "parameters.label"),
    "label of no class": (
        request_of({"label": 1}, model="plain"),
        "INVALID_ARGUMENT",
        "this generator is unconditional",
        "parameters.label",
    ),
    "priority": (request_of({"priority": 3}), "INVALID_ARGUMENT", "priority is 3; give 1 or 2", "parameters.priority"),
    "address and latents": (
        request_of({"seed": 1, "label": 1}, inputs=[typed_latents()]),
        "INVALID_ARGUMENT",
        "the parameter seed says which latents to draw",
        "parameters.seed",
    ),
    "label and labels": (
        request_of({"label": 1}, inputs=[typed_latents(), typed_labels()]),
        "INVALID_ARGUMENT",
        "not both",
        "parameters.label",
    ),
    "label and latents of no class": (
        request_of({"label": 1}, model="plain", inputs=[typed_latents()]),
        "INVALID_ARGUMENT",
        "this generator is unconditional",
        "parameters.label",
    ),
    "no labels": (
        request_of(inputs=[typed_latents()]),
        "INVALID_ARGUMENT",
        "the input 'labels' is missing; give int64 [N], or one class for all rows",
        "inputs.labels",
    ),
    "no latents": (
        request_of(inputs=[typed_labels()]),
        "INVALID_ARGUMENT",
        "the input 'latents' is missing; give float32 [N, 7]",
        "inputs.latents",
    ),
    "labels of no class": (
        request_of(model="plain", inputs=[typed_latents(), typed_labels()]),
        "INVALID_ARGUMENT",
        "the model has no input 'labels'; it takes 'latents' (float32 [N, 7])",
        "inputs.labels",
    ),
    "twice": (
        request_of(inputs=[typed_latents(), typed_latents()]),
        "INVALID_ARGUMENT",
        "the input 'latents' comes twice",
        "inputs[1].name",
    ),
    "narrow latents": (
        request_of(inputs=[typed_latents(LATENTS[:, :6]), typed_labels()]),
        "INVALID_ARGUMENT",
        "latents are float32 [5, 6]; this model takes float32 [N, 7]",
        "inputs.latents",
    ),
    "flat latents": (
        request_of(inputs=[typed_latents(LATENTS.ravel()), typed_labels()]),
        "INVALID_ARGUMENT",
        "latents are float32 [35]",
        "inputs.latents",
    ),
    "fewer labels": (
        request_of(inputs=[typed_latents(), typed_labels(LABELS[:4])]),
        "INVALID_ARGUMENT",
        "there are 4 labels for 5 latents",
        "inputs.labels",
    ),
    "label out of range": (
        request_of(inputs=[typed_latents(), typed_labels(LABELS - 1)]),
        "INVALID_ARGUMENT",
        "label -1 of row 1 is not one of 0 to 2",
        "inputs.labels",
    ),
    "not finite": (
        request_of(inputs=[typed_latents(NOT_FINITE), typed_labels()]),
        "INVALID_ARGUMENT",
        "row 2 of the latents holds a value that is not finite",
        "inputs.latents",
    ),
    "another type": (
        request_of(inputs=[changed(typed_latents(), datatype="FP64"), typed_labels()]),
        "INVALID_ARGUMENT",
        "the input 'latents' is 'FP64'; models here take FP32, INT64, UINT8",
        "inputs[0].datatype",
    ),
    "the other's type": (
        request_of(inputs=[typed_latents(), changed(typed_labels(LABELS), datatype="FP32")]),
        "INVALID_ARGUMENT",
        "takes 5 values in fp32_contents, and there are 0",
        "inputs[1].contents.fp32_contents",
    ),
    "no axis": (
        request_of(inputs=[changed(typed_latents(), shape=[])]),
        "INVALID_ARGUMENT",
        "the input 'latents' has the shape []",
        "inputs[0].shape",
    ),
    "negative axis": (
        request_of(inputs=[changed(typed_latents(), shape=[-5, -7])]),
        "INVALID_ARGUMENT",
        "has the shape [-5, -7]",
        "inputs[0].shape",
    ),
    "huge axes": (
        request_of(inputs=[changed(raw(typed_latents()), shape=[2**62, 7])], raw_input_contents=[LATENTS.tobytes()]),
        "INVALID_ARGUMENT",
        "raw bytes, and there are 140",
        "raw_input_contents",
    ),
    "many axes": (
        request_of(inputs=[changed(typed_latents(), shape=[1] * 100_000)]),
        "INVALID_ARGUMENT",
        "give 1 to 8 axes",
        "inputs[0].shape",
    ),
    "torn": (
        request_of(inputs=[raw(typed_latents())], raw_input_contents=[LATENTS.tobytes()[:-1]]),
        "INVALID_ARGUMENT",
        "takes 140 raw bytes, and there are 139",
        "raw_input_contents",
    ),
    "raw and typed": (request_of(**BOTH), "INVALID_ARGUMENT", "both raw and typed contents", "inputs[0].contents"),
    "one raw too few": (
        request_of(inputs=[raw(typed_latents()), raw(typed_labels())], raw_input_contents=[LATENTS.tobytes()]),
        "INVALID_ARGUMENT",
        "1 raw contents for 2 inputs",
        "raw_input_contents",
    ),
    "raw without inputs": (
        request_of(raw_input_contents=[b"x"]),
        "INVALID_ARGUMENT",
        "there are raw contents and no inputs",
        "raw_input_contents",
    ),
    "shared memory": (
        request_of(inputs=[with_parameter(raw(typed_latents()), "shared_memory_region")]),
        "INVALID_ARGUMENT",
        "in shared memory, which this server does not read",
        "inputs[0].parameters",
    ),
    "unknown output": (
        request_of(outputs=[{"name": "image"}]),
        "INVALID_ARGUMENT",
        "there is no output 'image'; this model gives images, labels",
        "outputs[0].name",
    ),
    "an output twice": (
        request_of(outputs=[{"name": "images"}, {"name": "images"}]),
        "INVALID_ARGUMENT",
        "there is one output 'images'",
        "outputs[1].name",
    ),
    "classification": (
        request_of(outputs=[{"name": "images", "parameters": {"classification": InferParameter(int64_param=1)}}]),
        "INVALID_ARGUMENT",
        "is wanted with classification, which is not done here",
        "outputs[0].parameters",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_wrong_request_is_told_what_is_wrong_and_where(play: Play, case: str) -> None:
    request, status, text, field = REFUSALS[case]

    async def story(stage: Stage) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stage.inference.ModelInfer(request)
        assert (caught.value.code().name, "\n" in (caught.value.details() or "")) == (status, False)
        assert text in (caught.value.details() or "")
        assert fields_of(caught.value) == ([field] if field else [])
        assert (await stage.inference.ModelInfer(request_of({"seed": 1}))).outputs

    play(story)


def fields_of(error: grpc.aio.AioRpcError) -> list[str]:
    fields: list[str] = []
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            bad_request = BadRequest()
            Status.FromString(value).details[0].Unpack(bad_request)
            fields += [violation.field for violation in bad_request.field_violations]
    return fields


def test_many_tensor_requests_run_beside_addresses(play: Play) -> None:
    async def story(stage: Stage) -> None:
        by_tensor = request_of({"label": 1}, inputs=[typed_latents()])
        by_address = request_of({"seed": 7, "index": 3, "count": 5, "label": 1})
        replies = await asyncio.gather(*(stage.inference.ModelInfer(one) for one in (by_tensor, by_address) * 20))
        assert len({bytes(reply.raw_output_contents[0]) for reply in replies}) == 1

    play(story)

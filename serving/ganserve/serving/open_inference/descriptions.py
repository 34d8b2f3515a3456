"""What clients of the protocol are told of a model: its tensors, its configuration and its statistics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from ganserve.contract.bundle import LABELS_INPUT, MODEL_FILE, signature_of
from ganserve.contract.card import is_conditional
from ganserve.serving.model import Model
from ganserve.serving.statistics import Total
from ganserve.v1.bundle_pb2 import TensorSpec

from . import inference_pb2
from .inference_pb2 import (
    DataType,
    InferBatchStatistics,
    InferStatistics,
    ModelConfig,
    ModelDynamicBatching,
    ModelInput,
    ModelInstanceGroup,
    ModelMetadataResponse,
    ModelOutput,
    ModelParameter,
    ModelStatistics,
    ModelTensorReshape,
    ModelTransactionPolicy,
    ModelVersionPolicy,
    StatisticDuration,
)
from .parameters import PRIORITIES
from .tensors import DATATYPES

_PLATFORM: Final = "onnxruntime_onnx"
_BACKEND: Final = "onnxruntime"


def metadata(model: Model, versions: Sequence[int]) -> ModelMetadataResponse:
    """What goes into a model and what comes out. The first axis is free, since samples are the rows of a batch."""

    def tensor(spec: TensorSpec) -> ModelMetadataResponse.TensorMetadata:
        return ModelMetadataResponse.TensorMetadata(
            name=spec.name, datatype=DATATYPES[spec.dtype], shape=(-1, *_dims(spec))
        )

    return ModelMetadataResponse(
        name=model.identity.name,
        versions=map(str, versions),
        platform=_PLATFORM,
        inputs=map(tensor, signature_of(model.card).inputs),
        outputs=map(tensor, _outputs(model)),
    )


def config(model: Model) -> ModelConfig:
    """The configuration of a model, as Triton would have it of the same file."""
    served = model.loaded
    on_gpu = served.engine.lanes.device == "cuda"
    facts = {"digest": model.identity.digest, "latent_scheme": model.card.latent_scheme}
    if is_conditional(model.card):
        facts["class_names"] = json.dumps(list(model.card.class_names), ensure_ascii=False)
    return ModelConfig(
        name=model.identity.name,
        platform=_PLATFORM,
        backend=_BACKEND,
        version_policy=ModelVersionPolicy(all=ModelVersionPolicy.All()),
        max_batch_size=model.limits.samples_per_request,
        input=[
            ModelInput(name=spec.name, data_type=_data_type(spec), dims=_dims(spec), reshape=_reshape(spec))
            for spec in signature_of(model.card).inputs
        ],
        output=[
            ModelOutput(name=spec.name, data_type=_data_type(spec), dims=_dims(spec), reshape=_reshape(spec))
            for spec in _outputs(model)
        ],
        instance_group=[
            ModelInstanceGroup(
                name=f"{model.identity.name}_0",
                kind=ModelInstanceGroup.KIND_GPU if on_gpu else ModelInstanceGroup.KIND_CPU,
                count=served.engine.lanes.num_lanes,
            )
        ],
        default_model_filename=MODEL_FILE,
        dynamic_batching=ModelDynamicBatching(priority_levels=len(PRIORITIES), default_priority_level=min(PRIORITIES)),
        parameters={name: ModelParameter(string_value=value) for name, value in facts.items()},
        model_transaction_policy=ModelTransactionPolicy(decoupled=False),
    )


def statistics(model: Model) -> ModelStatistics:
    """What has become of the requests for a model. Drawing latents and making pixels are part of a run."""
    known = model.statistics
    batches = sorted(known.batches.items())
    answered = known.answered.count
    return ModelStatistics(
        name=model.identity.name,
        version=str(model.identity.version),
        last_inference=round((known.last_batch_s or 0) * 1e3),
        inference_count=sum(num_rows * total.count for num_rows, total in batches),
        execution_count=sum(total.count for _, total in batches),
        inference_stats=InferStatistics(
            success=_duration(known.answered),
            fail=_duration(known.failed),
            queue=_duration(known.waited),
            compute_input=StatisticDuration(count=answered),
            compute_infer=_duration(known.ran),
            compute_output=StatisticDuration(count=answered),
        ),
        batch_stats=[
            InferBatchStatistics(
                batch_size=num_rows,
                compute_input=StatisticDuration(count=total.count),
                compute_infer=_duration(total),
                compute_output=StatisticDuration(count=total.count),
            )
            for num_rows, total in batches
        ],
    )


def _outputs(model: Model) -> list[TensorSpec]:
    """The outputs of the model, and the labels of the samples."""
    signature = signature_of(model.card)
    return [*signature.outputs, *(spec for spec in signature.inputs if spec.name == LABELS_INPUT)]


def _dims(spec: TensorSpec) -> tuple[int, ...]:
    """Shape of a row, of which clients of Triton expect one axis at least."""
    return tuple(spec.row_shape) or (1,)


def _reshape(spec: TensorSpec) -> ModelTensorReshape | None:
    return None if spec.row_shape else ModelTensorReshape()


def _data_type(spec: TensorSpec) -> inference_pb2.DataType.ValueType:
    return DataType.Value(f"TYPE_{DATATYPES[spec.dtype]}")


def _duration(total: Total) -> StatisticDuration:
    return StatisticDuration(count=total.count, ns=round(total.seconds * 1e9))

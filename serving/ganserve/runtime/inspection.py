"""What is in a bundle, read and verified but not run."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from onnx.helper import tensor_dtype_to_np_dtype

from ganserve.contract import card as model_card
from ganserve.contract.bundle import MODEL_FILE, Manifest, TensorSpec, check_signature, read_manifest, read_verified
from ganserve.v1.model_pb2 import ModelCard

from .onnx_file import card_of, parse


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A bundle whose files are what its manifest says."""

    manifest: Manifest
    card: ModelCard
    opset: int
    ir_version: int
    operators: Mapping[str, int]
    """How often each operator occurs, in the order of the graph."""
    num_weights: int
    """Numbers in the weights."""
    weight_dtypes: tuple[str, ...]

    def facts(self) -> Iterator[tuple[str, str]]:
        """Line by line, for people: a short name and a text."""
        manifest = self.manifest
        yield "model", f"{manifest.name}:{manifest.version}"
        yield "digest", manifest.digest
        yield "size", f"{manifest.size_bytes / 1024**2:.2f} MiB, {self.num_weights:,} weights of {self._dtypes()}"
        for name, spec in manifest.signature.inputs.items():
            yield f"input {name}", _text(spec)
        for name, spec in manifest.signature.outputs.items():
            yield f"output {name}", _text(spec)
        yield "operators", ", ".join(f"{count} {name}" for name, count in self.operators.items())
        yield "opset", f"{self.opset}, IR version {self.ir_version}"
        yield "parity", manifest.parity.text()
        yield "golden samples", f"{len(manifest.golden.sha256)} of seed {manifest.golden.seed}"
        yield "licences", f"weights {manifest.licences.weights}, data {manifest.licences.data}"
        yield "files", ", ".join(f"{name} {entry.sha256[:12]}" for name, entry in sorted(manifest.files.items()))
        yield from model_card.facts(self.card)

    def to_json(self) -> str:
        """All of it as a JSON object: `manifest`, `card` and `graph`."""
        graph = {
            "opset": self.opset,
            "ir_version": self.ir_version,
            "operators": dict(self.operators),
            "num_weights": self.num_weights,
            "weight_dtypes": self.weight_dtypes,
        }
        card = json.loads(model_card.to_json(self.card))
        return json.dumps({"manifest": asdict(self.manifest), "card": card, "graph": graph}, indent=2)

    def _dtypes(self) -> str:
        return " and ".join(self.weight_dtypes)


def inspect_bundle(folder: Path) -> Inspection:
    """Reads all files of the bundle in `folder`, which may lie anywhere.

    Raises:
        ArtifactError: a file is missing, torn, altered or not regular, or the model is not one that is run here.
    """
    manifest = read_manifest(folder)
    for name in manifest.files.keys() - {MODEL_FILE}:
        read_verified(folder, name, manifest)
    source = str(folder / MODEL_FILE)
    proto = parse(read_verified(folder, MODEL_FILE, manifest), source)
    card = card_of(proto, source)
    check_signature(manifest, card, folder)
    weights = [tensor for tensor in proto.graph.initializer if tensor.dims]
    return Inspection(
        manifest=manifest,
        card=card,
        opset=proto.opset_import[0].version,
        ir_version=proto.ir_version,
        operators=Counter(node.op_type for node in proto.graph.node),
        num_weights=sum(math.prod(tensor.dims) for tensor in weights),
        weight_dtypes=tuple(sorted({str(tensor_dtype_to_np_dtype(tensor.data_type)) for tensor in weights})),
    )


def _text(spec: TensorSpec) -> str:
    return f"{spec.dtype} ({', '.join(map(str, spec.shape))})"

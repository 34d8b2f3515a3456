"""What is in a bundle, read and verified but not run."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from onnx.helper import tensor_dtype_to_np_dtype

from ganserve.contract import card as model_card
from ganserve.contract.bundle import MANIFEST_FILE, MODEL_FILE, axes_of, check_signature, misplacement, read_verified
from ganserve.contract.manifest import describe_parity, digest_of, manifest_to_dict, read_manifest
from ganserve.v1.bundle_pb2 import Manifest, TensorSpec
from ganserve.v1.model_pb2 import ModelCard

from .onnx_file import card_of, parse


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """A bundle whose files are what its manifest says."""

    folder: Path
    manifest: Manifest
    card: ModelCard
    opset: int
    ir_version: int
    operators: Mapping[str, int]
    """How often each operator occurs, in the order of the graph."""
    num_weights: int
    """Numbers in the weights."""
    weight_dtypes: tuple[str, ...]
    other_files: tuple[str, ...]
    """What lies in the folder and is no part of the bundle."""

    def facts(self) -> Iterator[tuple[str, str]]:
        """Line by line, for people: a short name and a text."""
        manifest = self.manifest
        size_bytes = manifest.files[MODEL_FILE].size_bytes
        yield "model", f"{manifest.name}:{manifest.version}"
        if fault := misplacement(manifest, self.folder):
            yield "place", f"a server refuses it: {fault}"
        yield "digest", digest_of(manifest)
        yield (
            "size",
            f"{size_bytes / 1024**2:.2f} MiB, {self.num_weights:,} weights of {' and '.join(self.weight_dtypes)}",
        )
        for tensor in manifest.signature.inputs:
            yield f"input {tensor.name}", _text(tensor)
        for tensor in manifest.signature.outputs:
            yield f"output {tensor.name}", _text(tensor)
        yield "operators", ", ".join(f"{count} {name}" for name, count in self.operators.items())
        yield "opset", f"{self.opset}, IR version {self.ir_version}"
        yield (
            "parity",
            f"{describe_parity(manifest.parity)}; floats were taken for equal within {manifest.parity.tolerance:g}",
        )
        yield "golden samples", f"{len(manifest.golden.sha256)} of seed {manifest.golden.seed}"
        yield "licences", f"weights {manifest.licences.weights}, data {manifest.licences.data}"
        yield "manifest", f"{manifest.format}, {'with' if manifest.checksum else 'without'} a checksum of its own"
        for name, entry in sorted(manifest.files.items()):
            yield f"file {name}", f"{entry.size_bytes:,} bytes, SHA-256 {entry.sha256[:12]}…"
        if self.other_files:
            yield "not of the bundle", ", ".join(self.other_files)
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
        return json.dumps({"manifest": manifest_to_dict(self.manifest), "card": card, "graph": graph}, indent=2)


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
        folder=folder,
        manifest=manifest,
        card=card,
        opset=proto.opset_import[0].version,
        ir_version=proto.ir_version,
        operators=Counter(node.op_type for node in proto.graph.node),
        num_weights=sum(math.prod(tensor.dims) for tensor in weights),
        weight_dtypes=tuple(sorted({str(tensor_dtype_to_np_dtype(tensor.data_type)) for tensor in weights})),
        other_files=tuple(sorted({path.name for path in folder.iterdir()} - {MANIFEST_FILE, *manifest.files})),
    )


def _text(tensor: TensorSpec) -> str:
    return f"{tensor.dtype} ({', '.join(map(str, axes_of(tensor)))})"

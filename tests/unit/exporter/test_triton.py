from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ganserve.v1.model_pb2 import ModelCard

BEGINNING = """\
name: "tiny"
backend: "onnxruntime"
default_model_filename: "model.onnx"
max_batch_size: 64
input [
"""
LATENTS = '  { name: "latents" data_type: TYPE_FP32 dims: [ 7 ] }'
LABELS = ',\n  { name: "labels" data_type: TYPE_INT64 dims: [ 1 ] reshape { shape: [ ] } }'
END = """
]
output [
  { name: "images" data_type: TYPE_UINT8 dims: [ 6, 5, 3 ] }
]
version_policy { all { } }
dynamic_batching { }
"""


@pytest.mark.parametrize("conditional", [True, False])
def test_the_configuration_lies_beside_the_versions(
    tmp_path: Path, make_bundle: Callable[..., Path], tiny_card: ModelCard, conditional: bool
) -> None:
    card = ModelCard()
    card.CopyFrom(tiny_card)
    if not conditional:
        del card.class_names[:]
    bundle = make_bundle(tmp_path, card=card)
    text = (bundle.parent / "config.pbtxt").read_text()
    assert text == BEGINNING + LATENTS + (LABELS if conditional else "") + END

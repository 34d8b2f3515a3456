"""Every family exports, and the exported graph draws what PyTorch draws."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
import torch

from ganserve.contract.card import LATENT_SCHEME
from ganserve.exporter.onnx_graph import to_onnx
from ganserve.exporter.parity import check_parity, reference_of
from ganserve.exporter.tolerance import TOLERANCES
from ganserve.training.config import Architecture
from ganserve.training.networks import ImageShape, build_generator
from ganserve.v1 import model_pb2

LATENT_DIM = 5
NUM_CLASSES = 2


@pytest.mark.parametrize("arch", get_args(Architecture))
@pytest.mark.parametrize("conditional", [False, True])
def test_an_exported_generator_passes_the_parity_check(arch: Architecture, conditional: bool) -> None:
    torch.manual_seed(0)
    shape = ImageShape(15, 10, 3)
    num_classes = NUM_CLASSES if conditional else 0
    generator = build_generator(arch, shape, latent_dim=LATENT_DIM, num_classes=num_classes, base_width=2)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
        for _ in range(20):
            generator(torch.randn(16, LATENT_DIM), torch.arange(16) % NUM_CLASSES if conditional else None)
    card = model_pb2.ModelCard(
        latent_dim=LATENT_DIM,
        image=model_pb2.ImageShape(height=shape.height, width=shape.width, channels=shape.channels),
        class_names=["a", "b"][:num_classes],
        architecture=arch,
        loss="none",
        dataset=model_pb2.DatasetFingerprint(name="none", digest="0" * 64, num_images=1),
        latent_scheme=LATENT_SCHEME,
    )
    generator.eval()
    tolerance = dataclasses.replace(TOLERANCES["fp32"], floats=1e-5)
    check_parity(reference_of(generator), card, to_onnx(generator, card), tolerance)

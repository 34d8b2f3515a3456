"""The README of a bundle: a model card for people, with Hugging Face front matter."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ganserve.contract.bundle import MODEL_FILE, SAMPLES_FILE
from ganserve.contract.card import UNKNOWN, is_conditional, is_translator, kind_of
from ganserve.contract.manifest import describe_parity, digest_of
from ganserve.v1.bundle_pb2 import Manifest, TensorSpec
from ganserve.v1.model_pb2 import ImageShape, ModelCard


def render_readme(card: ModelCard, manifest: Manifest) -> str:
    """Markdown."""
    classes = ", ".join(card.class_names) if is_conditional(card) else "none (unconditional)"
    known = [name for name in (card.architecture, card.loss) if name != UNKNOWN]
    tags = "\n".join(f"- {json.dumps(tag)}" for tag in dict.fromkeys(("gan", "onnx", *known)))
    family = "" if card.architecture == UNKNOWN else f"{card.architecture} "
    seen = f"| images seen in training | {card.images_seen:,} |\n" if card.images_seen else ""
    metrics = "".join(f"| {name} | {value:.4g} |\n" for name, value in sorted(card.metrics.items()))
    warnings = "".join(f"\n> **Warning:** {warning}\n" for warning in card.warnings)
    return f"""\
---
library_name: ganserve
license: {manifest.licences.weights}
pipeline_tag: {"image-to-image" if is_translator(card) else "unconditional-image-generation"}
tags:
{tags}
---

# {manifest.name}, version {manifest.version}

{_kind(card, family)}{_training(card)}.

![{len(manifest.golden.sha256)} samples of seed {manifest.golden.seed}]({SAMPLES_FILE})

| | |
|---|---|
| classes | {classes} |
{_sources(card)}{seen}| digest | `{digest_of(manifest)}` |
| licence of the weights | {manifest.licences.weights} |
| licence of the data | {manifest.licences.data} |
| parity with the {kind_of(card)} | {describe_parity(manifest.parity)} |
{metrics}{warnings}
Serve it, and {"transform images" if is_translator(card) else "fetch samples"}:

```python
from ganserve.client import Client

with Client("127.0.0.1:50051", model="{manifest.name}") as client:
    {_call(card)}
```

`{MODEL_FILE}` also runs in any ONNX runtime. It takes {_tensors(manifest.signature.inputs)}, and gives
{_tensors(manifest.signature.outputs)}.
"""


def _kind(card: ModelCard, family: str) -> str:
    if not is_translator(card):
        return f"A {family}generator of {_size(card.image)} images"
    return f"A {family}translator from {_size(card.inputs[0].shape)} images to {_size(card.image)} ones"


def _size(shape: ImageShape) -> str:
    return f"{shape.height}×{shape.width} {'greyscale' if shape.channels == 1 else 'RGB'}"


def _sources(card: ModelCard) -> str:
    """Rows of the table: what its images are made of."""
    if not is_translator(card):
        return f"| latent size | {card.latent_dim} |\n| sample addressing | {card.latent_scheme} |\n"
    larger = f"in tiles, with a halo of {card.halo} pixels" if card.HasField("halo") else "are not taken"
    return f"| larger images | {larger} |\n"


def _call(card: ModelCard) -> str:
    if not is_translator(card):
        labels = ', labels="balanced"' if is_conditional(card) else ""
        return f"images = client.generate(64, seed=7{labels}).numpy()"
    masks = ', masks=["mask.png"]' if len(card.inputs) > 1 else ""
    return f'(image,) = client.transform(["photo.png"]{masks})'


def _tensors(tensors: Iterable[TensorSpec]) -> str:
    axes = ((tensor, ", ".join(map(str, ("N", *tensor.row_shape)))) for tensor in tensors)
    return " and ".join(f"`{tensor.name}`, {tensor.dtype} ({shape})" for tensor, shape in axes)


def _training(card: ModelCard) -> str:
    """What is known of it; nothing, for a generator from elsewhere."""
    if not card.dataset.num_images:
        return ""
    return f",\ntrained with the {card.loss} loss on {card.dataset.num_images:,} images of `{card.dataset.name}`"

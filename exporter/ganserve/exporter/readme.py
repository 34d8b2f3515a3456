"""The README of a bundle: a model card for people, with Hugging Face front matter."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from ganserve.contract.bundle import MODEL_FILE, SAMPLES_FILE
from ganserve.contract.card import UNKNOWN, is_conditional, is_scorer, is_translator, kind_of, larger_images
from ganserve.contract.manifest import describe_parity, digest_of
from ganserve.v1.bundle_pb2 import Manifest, TensorSpec
from ganserve.v1.model_pb2 import ImageShape, ModelCard

_PIPELINES: Final = {
    "generator": "unconditional-image-generation",
    "translator": "image-to-image",
    "scorer": "image-classification",
}
_USES: Final = {"generator": "fetch samples", "translator": "transform images", "scorer": "score images"}


def render_readme(card: ModelCard, manifest: Manifest) -> str:
    """Markdown."""
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
pipeline_tag: {_PIPELINES[kind_of(card)]}
tags:
{tags}
---

# {manifest.name}, version {manifest.version}

{_kind(card, family)}{_training(card)}.

![{_picture(card, manifest)}]({SAMPLES_FILE})

| | |
|---|---|
{_sources(card)}{seen}| digest | `{digest_of(manifest)}` |
| licence of the weights | {manifest.licences.weights} |
| licence of the data | {manifest.licences.data} |
| parity with the {kind_of(card)} | {describe_parity(manifest.parity)} |
{metrics}{warnings}
Serve it, and {_USES[kind_of(card)]}:

```python
from ganserve.client import Client

with Client("127.0.0.1:50051", model="{manifest.name}") as client:
    {_call(card)}
```

`{MODEL_FILE}` also runs in any ONNX runtime. It takes {_tensors(manifest.signature.inputs)}, and gives
{_tensors(manifest.signature.outputs)}.
"""


def _picture(card: ModelCard, manifest: Manifest) -> str:
    count, seed = len(manifest.golden.sha256), manifest.golden.seed
    return f"{count} textures of seed {seed}, which it scores" if is_scorer(card) else f"{count} samples of seed {seed}"


def _kind(card: ModelCard, family: str) -> str:
    if is_scorer(card):
        kind = family if family == "classifier " else f"{family}discriminator "
        return f"A {kind}that scores {_size(card.inputs[0].shape)} images"
    if not is_translator(card):
        return f"A {family}generator of {_size(card.image)} images"
    return f"A {family}translator from {_size(card.inputs[0].shape)} images to {_size(card.image)} ones"


def _size(shape: ImageShape) -> str:
    return f"{shape.height}×{shape.width} {'greyscale' if shape.channels == 1 else 'RGB'}"


def _sources(card: ModelCard) -> str:
    """Rows of the table: what it makes of what."""
    if is_scorer(card):
        return f"| scores | {', '.join(score.name for score in card.scores)} |\n"
    classes = f"| classes | {', '.join(card.class_names) if is_conditional(card) else 'none (unconditional)'} |\n"
    if not is_translator(card):
        return f"{classes}| latent size | {card.latent_dim} |\n| sample addressing | {card.latent_scheme} |\n"
    return f"{classes}| larger images | {larger_images(card)} |\n"


def _call(card: ModelCard) -> str:
    if is_scorer(card):
        return 'print(client.score(["photo.png"]).percentile)'
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

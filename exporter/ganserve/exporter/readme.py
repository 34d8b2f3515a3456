"""The README of a bundle: a model card for people, with Hugging Face front matter."""

from __future__ import annotations

import json

from ganserve.contract.bundle import MODEL_FILE, SAMPLES_FILE
from ganserve.contract.card import UNKNOWN, image_shape, is_conditional
from ganserve.contract.manifest import describe_parity, digest_of
from ganserve.v1.bundle_pb2 import Manifest
from ganserve.v1.model_pb2 import ModelCard


def render_readme(card: ModelCard, manifest: Manifest) -> str:
    """Markdown."""
    height, width, channels = image_shape(card)
    colour = "greyscale" if channels == 1 else "RGB"
    classes = ", ".join(card.class_names) if is_conditional(card) else "none (unconditional)"
    labels = ', labels="balanced"' if is_conditional(card) else ""
    known = [name for name in (card.architecture, card.loss) if name != UNKNOWN]
    tags = "\n".join(f"- {json.dumps(tag)}" for tag in dict.fromkeys(("gan", "onnx", *known)))
    family = "" if card.architecture == UNKNOWN else f"{card.architecture} "
    label_input = " and its input `labels` int64 (N,)" if is_conditional(card) else ""
    seen = f"| images seen in training | {card.images_seen:,} |\n" if card.images_seen else ""
    metrics = "".join(f"| {name} | {value:.4g} |\n" for name, value in sorted(card.metrics.items()))
    warnings = "".join(f"\n> **Warning:** {warning}\n" for warning in card.warnings)
    return f"""\
---
library_name: ganserve
license: {manifest.licences.weights}
pipeline_tag: unconditional-image-generation
tags:
{tags}
---

# {manifest.name}, version {manifest.version}

A {family}generator of {height}×{width} {colour} images{_training(card)}.

![{len(manifest.golden.sha256)} samples of seed {manifest.golden.seed}]({SAMPLES_FILE})

| | |
|---|---|
| classes | {classes} |
| latent size | {card.latent_dim} |
{seen}| sample addressing | {card.latent_scheme} |
| digest | `{digest_of(manifest)}` |
| licence of the weights | {manifest.licences.weights} |
| licence of the data | {manifest.licences.data} |
| parity with the generator | {describe_parity(manifest.parity)} |
{metrics}{warnings}
Serve it, and fetch samples:

```python
from ganserve.client import Client

with Client("127.0.0.1:50051", model="{manifest.name}") as client:
    images = client.generate(64, seed=7{labels}).numpy()
```

`{MODEL_FILE}` also runs in any ONNX runtime. Its input `latents` is float32 (N, {card.latent_dim}){label_input};
its output `images` is uint8 (N, {height}, {width}, {channels}).
"""


def _training(card: ModelCard) -> str:
    """What is known of it; nothing, for a generator from elsewhere."""
    if not card.dataset.num_images:
        return ""
    return f",\ntrained with the {card.loss} loss on {card.dataset.num_images:,} images of `{card.dataset.name}`"

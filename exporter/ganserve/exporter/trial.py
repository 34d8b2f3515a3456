"""A generator of the caller's own, called before it is traced: does it take and give what it must, and if not, why?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ganserve.contract.card import image_shape, is_conditional
from ganserve.contract.errors import ConfigError
from ganserve.contract.latents import sample_latents
from ganserve.contract.text import first_line
from ganserve.v1.model_pb2 import ModelCard

FREE_BATCH: Final = (
    "its code fixes the batch size, as len(z) and int(z.shape[0]) do where it is traced; write z.shape[0] or -1 instead"
)
_SEED: Final = 0
_BATCH_SIZE: Final = 3


def check_module(generator: object) -> None:
    """Raises ConfigError where `generator` is no module of PyTorch, as a function is none."""
    if isinstance(generator, type) and issubclass(generator, nn.Module):
        raise ConfigError(f"the generator is the class {generator.__name__}; give a module, {generator.__name__}(…)")
    if not isinstance(generator, nn.Module):
        raise ConfigError(
            f"the generator is {'None' if generator is None else f'a {type(generator).__name__}'}; give a "
            "torch.nn.Module, whose forward(latents, labels) gives the images"
        )


def check_generator(generator: nn.Module, card: ModelCard) -> None:
    """Calls `generator`, in eval mode, as it will be called, the first and the last label among its labels.

    Raises:
        ConfigError: it is not on the CPU, cannot be called so, or does not give float images of the card's shape; the
            text says how to adapt it.
    """
    _check_device(generator)
    latents, labels = _inputs(card)
    try:
        with torch.inference_mode():
            images = generator(latents, labels)
    except Exception as error:
        raise ConfigError(_why_it_fails(generator, card, latents, labels, error)) from error
    _check_images(images, card)


def _check_device(generator: nn.Module) -> None:
    devices = {str(tensor.device) for tensor in (*generator.parameters(), *generator.buffers())} - {"cpu"}
    if devices:
        raise ConfigError(f"the generator is on {', '.join(sorted(devices))}; move it to the CPU with generator.cpu()")


def _inputs(card: ModelCard) -> tuple[Tensor, Tensor | None]:
    """Latents (N, latent_dim), and labels (N,) from the first to the last where there are classes."""
    latents = torch.from_numpy(sample_latents(_SEED, 0, _BATCH_SIZE, card.latent_dim))
    if not is_conditional(card):
        return latents, None
    return latents, torch.from_numpy(np.linspace(0, len(card.class_names) - 1, _BATCH_SIZE).astype(np.int64))


def _why_it_fails(
    generator: nn.Module, card: ModelCard, latents: Tensor, labels: Tensor | None, error: Exception
) -> str:
    arguments = f"latents {tuple(latents.shape)}, {'None' if labels is None else f'labels {labels.tolist()}'}"
    fails = f"generator({arguments}) fails: {first_line(error)}"
    if labels is not None and _works(generator, latents, torch.zeros_like(labels)):
        return f"{fails}; with the first label it does not, so it knows fewer classes than the card's {_classes(card)}"
    if other := sorted({str(dtype) for dtype in _float_types(generator)} - {"torch.float32"}):
        return (
            f"{fails}; its weights are {', '.join(other)}, and latents are float32: call generator.float() first, and "
            "to compute in half precision export with dtype='fp16'"
        )
    for count in range(1, _BATCH_SIZE):
        if _works(generator, latents[:count], None if labels is None else labels[:count]):
            return f"{fails}; with {count} of them it does not, so {FREE_BATCH}"
    for way, arguments_of_way in _other_ways(card, latents, labels):
        if _works(generator, *arguments_of_way):
            return (
                f"{fails}; it takes {way}, so wrap it in a module whose forward(latents, labels) calls it that way, as "
                "docs/exporting.md shows under Adapters"
            )
    return f"{fails}; the card has latent_dim {card.latent_dim} and {_classes(card)}"


def _float_types(generator: nn.Module) -> set[torch.dtype]:
    """Of its weights."""
    tensors = (*generator.parameters(), *generator.buffers())
    return {tensor.dtype for tensor in tensors if tensor.is_floating_point()}


def _other_ways(
    card: ModelCard, latents: Tensor, labels: Tensor | None
) -> Iterator[tuple[str, tuple[Tensor | None, ...]]]:
    """How else generators are called, in words, and the arguments."""
    spatial = latents[:, :, None, None]
    text = f"latents (N, {card.latent_dim}, 1, 1)"
    yield "latents alone", (latents,)
    yield text, (spatial, labels)
    yield f"{text} alone", (spatial,)
    if labels is not None:
        rows = F.one_hot(labels, len(card.class_names)).float()
        yield "labels as one-hot rows", (latents, rows)
        yield f"{text} and labels as one-hot rows", (spatial, rows)


def _works(generator: nn.Module, *arguments: Tensor | None) -> bool:
    with suppress(Exception), torch.inference_mode():
        generator(*arguments)
        return True
    return False


def _check_images(images: Any, card: ModelCard) -> None:
    if not isinstance(images, Tensor):
        raise ConfigError(f"the generator gives a {type(images).__name__}; have it return its images alone, one tensor")
    if not images.is_floating_point():
        raise ConfigError(
            f"the generator gives images of {images.dtype}; it must give floats in [-1, 1], as in images / 127.5 - 1"
        )
    if images.dtype != torch.float32:
        raise ConfigError(f"the generator gives images of {images.dtype}; they must be float32: return images.float()")
    height, width, channels = image_shape(card)
    shape, expected = tuple(images.shape), (_BATCH_SIZE, channels, height, width)
    if shape == expected:
        return
    if shape == (_BATCH_SIZE, height, width, channels):
        cure = "have it return images.permute(0, 3, 1, 2)"
    elif shape == (_BATCH_SIZE, channels * height * width):
        cure = f"have it return images.unflatten(1, {expected[1:]})"
    elif shape[1:] == expected[1:]:
        cure = FREE_BATCH
    else:
        cure = "correct the card's image, or the generator"
    raise ConfigError(
        f"the generator gives images {shape} of {_BATCH_SIZE} latents, not (N, C, H, W) {expected}; {cure}"
    )


def _classes(card: ModelCard) -> str:
    return f"{len(card.class_names)} classes" if is_conditional(card) else "no classes"

"""`ganserve import`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from ganserve.contract.card import UNKNOWN
from ganserve.contract.errors import ConfigError
from ganserve.exporter.foreign import Convention, import_onnx
from ganserve.exporter.foreign.convention import Channels, LabelsAs, Layout, Noise

from .bundle_flags import BundleFlags
from .report import run_and_report

_FILE = Group("File", sort_key=0)
_INPUTS = Group("Its inputs", sort_key=1)
_IMAGES = Group("Its images", sort_key=2)
_MOST_CLASSES = 100_000
_NUMBER = re.compile(r"[+-]?[\d.]+")
_SIZE = re.compile(r"(\d{1,6})[x×](\d{1,6})")
_IMAGE = re.compile(r"(\d{1,6})[x×](\d{1,6})[x×](\d{1,6})")


def import_(
    file: Annotated[Path, Parameter(group=_FILE)],
    *,
    latents: Annotated[str, Parameter(group=_INPUTS, show_default=False)] = "",
    latents_distribution: Annotated[
        tuple[Literal["uniform"], float, float] | None, Parameter(negative="", group=_INPUTS)
    ] = None,
    classes: Annotated[str, Parameter(group=_INPUTS, show_default=False)] = "",
    labels_as: Annotated[LabelsAs, Parameter(group=_INPUTS)] = "index",
    constant: Annotated[list[str] | None, Parameter(negative="", group=_INPUTS)] = None,
    noise: Annotated[Noise, Parameter(group=_INPUTS)] = "refuse",
    mask: Annotated[str, Parameter(group=_INPUTS, show_default=False)] = "",
    size: Annotated[str, Parameter(group=_INPUTS, show_default=False)] = "",
    input_range: Annotated[tuple[float, float] | None, Parameter(negative="", group=_INPUTS)] = None,
    output: Annotated[str, Parameter(group=_IMAGES, show_default=False)] = "",
    layout: Annotated[Layout, Parameter(group=_IMAGES)] = "nchw",
    image: Annotated[str, Parameter(group=_IMAGES, show_default=False)] = "",
    channels: Annotated[Channels, Parameter(group=_IMAGES)] = "all",
    value_range: Annotated[tuple[float, float], Parameter(negative="", group=_IMAGES)] = (-1.0, 1.0),
    architecture: Annotated[str, Parameter(group=_FILE)] = UNKNOWN,
    dataset: Annotated[str, Parameter(group=_FILE)] = UNKNOWN,
    atol: Annotated[float | None, Parameter(group=_FILE)] = None,
    bundle: BundleFlags = BundleFlags(),  # noqa: B008 - it is frozen
) -> None:
    """Bring a generator or a translator that was not trained here into a folder of models.

    The file of a generator has one float input, latents of a standard normal distribution; that of a translator has one
    image, and perhaps a mask. Either may have one integer input, labels, and has one output, images.

    Flags say where it differs. Weights beside the file are taken in, and a batch size that it fixes is freed. It is
    wrapped so that it ends in uint8 pixels, and compared with the file itself at batch 1, 2, 7 and 64 with every label.
    How far a translator sees beyond the edges of a tile is measured.

    Example: ganserve import stylish.onnx --name stylish --value-range 0 1 --classes cat,dog

    Args:
        file: ONNX file; weights may lie beside it.
        latents: Names of the inputs that are latents, with commas between. Each of several gets a slice of one latent.
        latents_distribution: What its latents are drawn from, as in uniform -1 1. The default is standard normal.
        classes: Names of its classes in label order, with commas between, or how many there are.
        labels_as: Whether it takes a label as a number, or as a vector with a one at the label's place.
        constant: Value of an input that is neither latents nor labels, as in psi=0.7; may be given several times.
        noise: What becomes of noise that is drawn inside the graph; zero puts its mean in its place.
        mask: Name of the input of an inpainting model that says where to paint; the rest is kept as it came.
        size: Height and width of the images that it takes, as in 256x256, where the file takes any.
        input_range: The values of black and white in the images that it takes. The default is --value-range.
        output: Name of the output that is the images, where there are several.
        layout: Order of the axes of its images.
        image: Height, width and channels of its images, where they are flat, as in 28x28x1.
        channels: Which channels are served; rgb drops the fourth one of RGBA.
        value_range: Its values of black and white. Images of uint8 need none.
        architecture: Network family, for its card.
        dataset: Name of the images that it was trained on, for its card.
        atol: Largest difference of a float from the file's own, with pixels from -1 to 1. The default is 1e-4, and 2e-2
            for weights in fp16.
    """
    target = bundle.target(file.stem)
    convention = Convention(
        latents=tuple(name.strip() for name in latents.split(",")) if latents else (),
        uniform_latents=latents_distribution[1:] if latents_distribution else None,
        labels_as=labels_as,
        class_names=_class_names(classes),
        constants=_constants(constant or ()),
        noise=noise,
        mask=mask,
        size=_size(size),
        input_range=input_range,
        output=output,
        layout=layout,
        image=_image(image),
        channels=channels,
        value_range=value_range,
        architecture=architecture,
        dataset=dataset,
    )
    run_and_report(
        "wrapping and comparing with the file",
        bundle.models,
        lambda on_progress: import_onnx(file, target, convention, atol=atol, on_progress=on_progress),
    )


def _class_names(text: str) -> tuple[str, ...]:
    """`cat,dog` as two names, `10` as the names 0 to 9."""
    if text.isdecimal():
        if int(text) > _MOST_CLASSES:
            raise ConfigError(f"--classes is {text}; more than {_MOST_CLASSES:,} are not supported")
        return tuple(map(str, range(int(text))))
    names = tuple(part.strip() for part in text.split(",")) if text else ()
    if "" in names or len(set(names)) < len(names) or _NUMBER.fullmatch(text):
        raise ConfigError(
            f"--classes is {text!r}; give names that differ, as in cat,dog, or how many there are, as in 10"
        )
    return names


def _constants(texts: Sequence[str]) -> dict[str, float]:
    """`psi=0.7` as a name and a number."""
    constants: dict[str, float] = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = None
        if not name or value is None or name in constants:
            raise ConfigError(f"--constant is {text!r}; give the name of an input and its value once, as in psi=0.7")
        constants[name] = value
    return constants


def _size(text: str) -> tuple[int, int] | None:
    """`256x256` as two numbers."""
    if not text:
        return None
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ConfigError(f"--size is {text!r}; give height and width, as in 256x256")
    height, width = map(int, match.groups())
    return height, width


def _image(text: str) -> tuple[int, int, int] | None:
    """`28x28x1` as three numbers."""
    if not text:
        return None
    match = _IMAGE.fullmatch(text)
    if match is None:
        raise ConfigError(f"--image is {text!r}; give height, width and channels, as in 28x28x1")
    height, width, num_channels = map(int, match.groups())
    return height, width, num_channels

"""Finds out which input of a foreign graph is what, and says all that speaks against them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import TensorProto

from ganserve.contract.card import MAX_LATENT_DIM
from ganserve.contract.errors import ArtifactError, ConfigError

from .convention import Convention
from .ports import FLOATS, INTEGERS, NUMBERS, Port, Roles, batch_sizes, listed

Fault = ArtifactError | ConfigError
"""What speaks against a file, told as what the file does; a ConfigError where a flag that was given is wrong.

What the file leaves open, and a flag may tell, is an ArtifactError."""


def find_roles(graph: onnx.GraphProto, convention: Convention) -> tuple[Roles | None, list[Fault]]:
    """Which input and output is what, or all that speaks against them."""
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [Port.of(value) for value in graph.input if value.name not in weights]
    outputs = [Port.of(value) for value in graph.output]
    by_name = {port.name: port for port in inputs}
    constants = [(by_name[name], value) for name, value in convention.constants.items() if name in by_name]
    named = [by_name[name] for name in convention.latents if name in by_name]
    rest = [port for port in inputs if port.name not in {*convention.latents, *convention.constants}]
    mask = next((port for port in rest if port.name == convention.mask), None)
    image = next((port for port in rest if port is not mask and _is_image(port, convention)), None)
    rest = [port for port in rest if port is not mask and port is not image]
    labels = _labels(rest, convention)
    rest = [port for port in rest if port is not labels]
    floats = [port for port in rest if port.element in FLOATS]
    latents = named if convention.latents else [port for port in floats if len(port.axes) > 1] or floats
    rest = [port for port in rest if port not in latents]
    images = [port for port in outputs if port.name == convention.output or not convention.output]
    input_faults: list[Fault] = list(_name_faults(inputs, convention)) or [
        *_labels_faults(labels, inputs, convention),
        *_image_faults(image, mask, convention),
        *_latents_faults(latents, labels, inputs, convention, is_translator=image is not None),
        *_rest_faults(rest),
        *_constants_faults(constants),
    ]
    faults = [*input_faults, *_images_faults(images, outputs, convention)]
    given = [port for port in (labels, image, mask) if port is not None]
    sizes = batch_sizes([*latents, *given])
    if len(sizes) > 1:
        faults.append(ArtifactError(f"has inputs of the batch sizes {', '.join(map(str, sizes))}; all must have one"))
    if faults:
        return None, faults
    roles = Roles(
        latents=tuple(latents), labels=labels, image=image, mask=mask, constants=tuple(constants), images=images[0]
    )
    return roles, []


def _name_faults(inputs: Sequence[Port], convention: Convention) -> Iterator[Fault]:
    names = [port.name for port in inputs]
    for flag, told in (("--latents", convention.latents), ("--constant", tuple(convention.constants))):
        if missing := [name for name in told if name not in names]:
            yield ConfigError(f"has no input {missing[0]!r}, which {flag} names; its inputs are {listed(inputs)}")
    told = (*convention.latents, *convention.constants)
    if twice := [name for name in dict.fromkeys(told) if told.count(name) > 1]:
        yield ConfigError(f"has one input {twice[0]!r}; --latents and --constant name it twice")


def _labels(ports: Sequence[Port], convention: Convention) -> Port | None:
    """The input that is the labels, if there is just one that can be."""
    if convention.labels_as == "one-hot":
        fitting = [port for port in ports if _is_one_hot(port, convention)]
        return fitting[0] if len(fitting) == 1 else None
    integers = [port for port in ports if port.element in INTEGERS]
    if integers or not convention.class_names:
        return integers[0] if integers else None
    # as Keras has it, where the input of an embedding is a float unless told otherwise
    floats = [port for port in ports if port.element in FLOATS and port.has_rows and port.row_size == 1]
    return floats[0] if len(floats) == 1 else None


def _is_one_hot(port: Port, convention: Convention) -> bool:
    num_classes = len(convention.class_names)
    return port.element in (*FLOATS, *INTEGERS) and port.has_rows and port.row_size == num_classes > 0


def _labels_faults(labels: Port | None, inputs: Sequence[Port], convention: Convention) -> Iterator[Fault]:
    num_classes = len(convention.class_names)
    if convention.labels_as == "one-hot" and not num_classes:
        sizes = [str(port.row_size) for port in _vectors(inputs, convention)]
        advice = f", as in --classes {' or '.join(dict.fromkeys(sizes))}" if sizes else ""
        yield ConfigError(
            f"takes labels as vectors, by --labels-as; say with --classes how many classes there are{advice}"
        )
    elif convention.labels_as == "one-hot" and labels is None:
        fitting = [port for port in inputs if _is_one_hot(port, convention)]
        if fitting:
            yield ArtifactError(
                f"takes {listed(fitting)}, any of which may be the labels; name the others in --latents"
            )
        else:
            yield ConfigError(f"takes {listed(inputs)}, and no labels of {num_classes} values; is --classes right?")
    elif labels is None and num_classes:
        yield ConfigError(f"takes no labels, and --classes names some; it takes {listed(inputs)}")
    elif labels is not None and not num_classes:
        yield ArtifactError(
            f"takes labels, {labels.text}; say with --classes how many classes there are, or their names"
        )
    elif labels is not None and convention.labels_as == "index" and not (labels.has_rows and labels.row_size == 1):
        yield ArtifactError(
            f"takes labels that are {labels.text}, not (N,) or (N, 1); where they are vectors of zeros and a one, say "
            f"--labels-as one-hot{f' --classes {labels.row_size}' if labels.has_rows else ''}"
        )
    elif labels is not None and convention.labels_as == "index" and num_classes > _num_exact(labels):
        yield ConfigError(f"takes labels that are {labels.text}, too small a type for {num_classes:,} classes")


def _vectors(ports: Sequence[Port], convention: Convention) -> list[Port]:
    """Those that may be labels as vectors: of floats, and not the largest one, which will be the latents."""
    floats = [port for port in ports if port.element in FLOATS and port.has_rows and len(port.axes) > 1]
    largest = max(floats, key=lambda port: port.row_size, default=None)
    told = (*convention.latents, *convention.constants)
    return [port for port in floats if port.row_size > 1 and port is not largest and port.name not in told]


def _num_exact(port: Port) -> int:
    """How many whole numbers from 0 on its type holds."""
    if port.element in INTEGERS:
        return int(np.iinfo(port.dtype).max) + 1
    return int(2 ** (np.finfo(port.dtype).nmant + 1))


def _latents_faults(
    latents: Sequence[Port],
    labels: Port | None,
    inputs: Sequence[Port],
    convention: Convention,
    *,
    is_translator: bool,
) -> Iterator[Fault]:
    is_sorted_out = convention.latents or (convention.labels_as == "one-hot" and labels is None)
    if not latents and not convention.latents and not is_translator:
        yield ArtifactError(f"takes {listed(inputs)}; a generator takes latents, one tensor of floats")
    if len(latents) > 1 and not is_sorted_out:
        one_hot = "".join(
            f", --labels-as one-hot --classes {port.row_size} where {port.name} is a class as a vector"
            for port in _vectors(latents, convention)
        )
        yield ArtifactError(
            f"takes {listed(latents)}; a generator takes latents, one tensor of floats. Say what each is: --latents "
            f"{','.join(port.name for port in latents)} for parts of one latent{one_hot}, or --constant "
            f"{latents[-1].name}=VALUE for what always has one value"
        )
    shape_faults = [fault for port in latents for fault in _shape_faults(port, is_named=bool(convention.latents))]
    yield from shape_faults
    num_values = sum(port.row_size for port in latents)
    if num_values > MAX_LATENT_DIM and not shape_faults:
        yield ArtifactError(f"takes latents of {num_values:,} values; more than {MAX_LATENT_DIM:,} are not served")


def _is_image(port: Port, convention: Convention) -> bool:
    """Whether an input is an image, by its axes."""
    if port.element not in (*FLOATS, TensorProto.UINT8) or len(port.axes) != 4 or port.name in convention.latents:
        return False
    num_channels, *sides = _channels_and_sides(port, convention)
    return num_channels in (1, 3) and any(side != 1 for side in sides)


def _channels_and_sides(port: Port, convention: Convention) -> tuple[int | None, int | None, int | None]:
    _, first, second, third = port.axes
    return (first, second, third) if convention.layout == "nchw" else (third, first, second)


def _image_faults(image: Port | None, mask: Port | None, convention: Convention) -> Iterator[Fault]:
    if convention.mask and (mask is None or image is None):
        missing = f"input {convention.mask!r}, which --mask names" if mask is None else "image beside its mask"
        yield ConfigError(f"has no {missing}")
    if convention.size and image is None:
        yield ConfigError("takes no images, and --size says how large they are")
    for port in (image, mask):
        if port is None:
            continue
        if len(port.axes) != 4:
            yield ArtifactError(f"takes {port.text}; images have four axes")
            continue
        _, *sides = _channels_and_sides(port, convention)
        if None in sides and convention.size is None:
            yield ArtifactError(
                f"takes images of any size, {port.text}; say with --size which one it is to be run at, as in 256x256"
            )
        elif convention.size is not None and any(
            side not in (None, wanted) for side, wanted in zip(sides, convention.size, strict=True)
        ):
            yield ConfigError(f"takes {port.text}, and --size is {'x'.join(map(str, convention.size))}")


def image_shape_of(port: Port, convention: Convention) -> tuple[int, int, int]:
    """Height, width and channels in which an image is taken."""
    num_channels, *sides = _channels_and_sides(port, convention)
    height, width = (side or size for side, size in zip(sides, convention.size or (0, 0), strict=True))
    return height, width, num_channels or 1


def _shape_faults(port: Port, *, is_named: bool) -> Iterator[Fault]:
    """Of one input that is latents, perhaps because the user names it so."""
    if not is_named and sum(size != 1 for size in port.axes[1:]) > 1:
        yield ArtifactError(
            f"takes {port.text}, which is {'images' if len(port.axes) > 3 else 'images or sequences'} and not one "
            "latent vector; images have 1 or 3 channels in the layout that --layout says. If these are latents, say so "
            f"with --latents {port.name}{f'; if it is a mask, with --mask {port.name}' if len(port.axes) > 3 else ''}"
        )
    elif port.element not in FLOATS or len(port.axes) < 2 or not port.has_rows:
        yield ArtifactError(
            f"takes the latents {port.text}; latents are floats, and all their axes but the batch must have a size"
        )


def _rest_faults(rest: Sequence[Port]) -> Iterator[Fault]:
    for port in rest:
        value = f"--constant {port.name}=VALUE"
        if port.element in FLOATS and len(port.axes) > 1:
            classes = f" --classes {port.row_size}" if port.has_rows else ""
            yield ArtifactError(
                f"takes {port.text} too; name it in --latents, take it for labels with --labels-as one-hot{classes}, "
                f"or give it a value with {value}"
            )
        elif port.element in NUMBERS:
            yield ArtifactError(f"takes {port.text} too; give it a value with {value}{_usual_value(port)}")
        else:
            yield ArtifactError(f"takes {port.text}, which is neither latents nor labels")


def _usual_value(port: Port) -> str:
    """A hint for single floats, which are truncations most often; 0 would be the worst of values."""
    return f", such as {port.name}=0.7 for a truncation" if port.element in FLOATS else ""


def _constants_faults(constants: Sequence[tuple[Port, float]]) -> Iterator[Fault]:
    for port, value in constants:
        if port.element not in NUMBERS or None in port.axes[1:]:
            yield ArtifactError(f"takes {port.text}; only numbers of a known size can be given a value")
        elif not np.isfinite(value) or (port.element not in FLOATS and not float(value).is_integer()):
            yield ConfigError(f"takes {port.text}, which cannot be {value:g}, as --constant has it")


def _images_faults(images: Sequence[Port], outputs: Sequence[Port], convention: Convention) -> Iterator[Fault]:
    if not outputs:
        yield ArtifactError("has no outputs; a generator has one, its images")
    elif not images:
        yield ConfigError(f"has no output {convention.output!r}; its outputs are {listed(outputs)}")
    elif len(images) > 1:
        likeliest = max(images, key=_likeness_to_images)
        yield ArtifactError(
            f"has the outputs {listed(outputs)}; say which is the images, as in --output {likeliest.name}"
        )


def _likeness_to_images(port: Port) -> tuple[bool, bool, int]:
    """Whether it has the axes of images, and their channels, and how large they are."""
    has_axes = len(port.axes) == 4
    has_channels = has_axes and any(size in (1, 3, 4) for size in (port.axes[1], port.axes[3]))
    return has_axes, has_channels, port.row_size if has_axes else 0

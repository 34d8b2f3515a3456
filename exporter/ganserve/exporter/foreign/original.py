"""The foreign file itself in ONNX Runtime, fed with our latents and labels: what its bundle must equal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto

from ganserve.contract.bundle import IMAGE_INPUT, LABELS_INPUT, LATENTS_INPUT, MASK_ABOVE, MASK_INPUT
from ganserve.contract.errors import ArtifactError, ConfigError
from ganserve.contract.text import one_line
from ganserve.exporter.parity import Inputs, num_rows_of, open_session
from ganserve.v1.model_pb2 import ImageInput, ImageRole, ImageShape

from .convention import Convention
from .ports import Port, Roles
from .roles import image_shape_of

_PROBED_ROWS: Final = 2
_RGB: Final = 3


@dataclass(frozen=True, kw_only=True)
class ImageForm:
    """What the file's images are like."""

    axes: tuple[int, int, int]
    """Of one image as the file has it, channels that are not served included."""
    is_flat: bool
    """Whether the file's own axes are others."""
    is_uint8: bool
    """Whether they are pixels already."""


class Original:
    """Runs the file on any number of rows: as many at once as it takes.

    Attributes:
        batch_size: rows that it takes at once; None where any number will do.
        images: what it makes.
    """

    def __init__(self, proto: onnx.ModelProto, roles: Roles, convention: Convention, source: str) -> None:
        """Loads it, and runs it on two rows.

        Raises:
            ArtifactError: ONNX Runtime cannot load or run it, or it makes no images.
            ConfigError: the convention does not fit what it makes.
        """
        self._roles = roles
        self._convention = convention
        self._source = source
        self._session = open_session(proto.SerializeToString(), source=source)
        self.batch_size = roles.batch_size
        made = self._probe()
        self.images = _image_form(made, convention, source, self._told(len(made)))

    @property
    def inputs(self) -> list[ImageInput]:
        """The images that it takes."""
        roles = (
            (IMAGE_INPUT, ImageRole.IMAGE_ROLE_IMAGE, self._roles.image),
            (MASK_INPUT, ImageRole.IMAGE_ROLE_MASK, self._roles.mask),
        )
        shapes = [(name, role, image_shape_of(port, self._convention)) for name, role, port in roles if port]
        return [
            ImageInput(name=name, role=role, shape=ImageShape(height=height, width=width, channels=channels))
            for name, role, (height, width, channels) in shapes
        ]

    @property
    def takes_any_size(self) -> bool:
        """Whether images of other heights and widths can be run."""
        return self._roles.image is not None and self._roles.image.axes.count(None) >= 2 + (self.batch_size is None)

    def run(self, inputs: Inputs) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Its images as pixels (N, H, W, C), and as the floats that they come from, in its own layout, in [-1, 1]."""
        images = self._run_all(inputs)
        if self.images.is_flat:
            images = images.reshape(-1, *self.images.axes)
        channels_axis = 1 if self._convention.layout == "nchw" else 3
        if self._convention.channels == "rgb":
            images = np.take(images, range(_RGB), axis=channels_axis)
        scale, offset = self._convention.level_scale(is_uint8=self.images.is_uint8)
        moved = images.astype(np.float32) * scale + offset
        if not self.images.is_uint8:
            with np.errstate(invalid="ignore"):  # numbers that are not finite are found and told of by the comparison
                images = np.clip(moved, 0, 255).astype(np.uint8)
        floats = (moved - np.float32(128)) / np.float32(127.5)
        pixels = np.moveaxis(images, channels_axis, 3)
        if self._roles.mask is not None:
            pixels = np.where(inputs[MASK_INPUT] > MASK_ABOVE, pixels, inputs[IMAGE_INPUT])
        return pixels, floats

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image as it is served."""
        first, second, third = self.images.axes
        height, width, channels = (second, third, first) if self._convention.layout == "nchw" else self.images.axes
        return height, width, _RGB if self._convention.channels == "rgb" else channels

    def example(self) -> dict[str, NDArray[Any]]:
        """What the file is fed for as many rows as it takes at once."""
        last = len(self._convention.class_names) - 1
        return self._feed(self._probe_inputs(self.batch_size or _PROBED_ROWS, last))

    def _feed(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """What the file is fed for our latents (N, latent_dim), labels (N,) and images (N, H, W, C)."""
        latents = inputs.get(LATENTS_INPUT, np.zeros((num_rows_of(inputs), 0), np.float32))
        if self._convention.uniform_latents is not None:
            middle, half = self._convention.latent_middle_and_half()
            shares = torch.special.ndtr(torch.from_numpy(latents).double()).numpy()
            latents = middle + half * (2 * shares - 1)
        feed: dict[str, NDArray[Any]] = {}
        for port in self._roles.latents:
            own, latents = latents[:, : port.row_size], latents[:, port.row_size :]
            feed[port.name] = own.reshape(-1, *port.row_shape).astype(port.dtype)
        if self._roles.labels is not None:
            labels = inputs[LABELS_INPUT]
            if self._convention.labels_as == "one-hot":
                labels = np.eye(len(self._convention.class_names))[labels]
            own_shape, dtype = self._roles.labels.row_shape, self._roles.labels.dtype
            feed[self._roles.labels.name] = labels.reshape(-1, *own_shape).astype(dtype)
        if self._roles.image is not None:
            feed[self._roles.image.name] = self._own_image(inputs[IMAGE_INPUT], self._roles.image)
        if self._roles.mask is not None:
            mask = (inputs[MASK_INPUT] > MASK_ABOVE).astype(self._roles.mask.dtype)
            feed[self._roles.mask.name] = self._in_layout(mask)
        for port, value in self._roles.constants:
            shape = [num_rows_of(inputs) if size is None else size for size in port.axes]
            feed[port.name] = np.full(shape, value, port.dtype)
        return feed

    def _own_image(self, images: NDArray[np.uint8], port: Port) -> NDArray[Any]:
        if port.element == TensorProto.UINT8:
            return self._in_layout(images)
        scale, offset = self._convention.input_scale()
        return self._in_layout(images.astype(np.float32) * scale + offset).astype(port.dtype)

    def _in_layout(self, images: NDArray[Any]) -> NDArray[Any]:
        return np.moveaxis(images, 3, 1) if self._convention.layout == "nchw" else images

    def _run_all(self, inputs: Inputs) -> NDArray[Any]:
        """Its images of all rows. Where it takes a fixed number, the last rows are filled up with the very last one."""
        if self.batch_size is None:
            return self._run(inputs)
        num_rows = num_rows_of(inputs)
        rows = np.minimum(np.arange(-(-num_rows // self.batch_size) * self.batch_size), num_rows - 1)
        chunks = rows.reshape(-1, self.batch_size)
        images = [self._run({name: value[chunk] for name, value in inputs.items()}) for chunk in chunks]
        return np.concatenate(images)[:num_rows]

    def _run(self, inputs: Inputs) -> NDArray[Any]:
        num_rows = num_rows_of(inputs)
        try:
            images: NDArray[Any] = self._session.run([self._roles.images.name], self._feed(inputs))[0]
        except Exception as error:  # ONNX Runtime's errors have no common base but Exception
            raise ArtifactError(f"{self._source} cannot be run on {self._told(num_rows)}: {one_line(error)}") from error
        if images.ndim == 0 or len(images) != num_rows:
            raise ArtifactError(
                f"{self._source} makes {images.dtype} {images.shape} of {self._told(num_rows)}, not one each"
            )
        return images

    def _told(self, num_rows: int) -> str:
        return f"{num_rows} {'latents' if self._roles.image is None else 'images'}"

    def _probe(self) -> NDArray[Any]:
        """What it makes of the last class and the first. Finds out, too, whether its batch is fixed inside."""
        last = len(self._convention.class_names) - 1
        if self.batch_size is None:
            runs = [self._can_run(self._probe_inputs(num_rows, last)) for num_rows in (1, 2)]
            if runs.count(True) == 1:
                self.batch_size = 1 + runs.index(True)
        try:
            return self._run_all(self._probe_inputs(_PROBED_ROWS, last))
        except ArtifactError as error:
            if last > 0 and self._can_run(self._probe_inputs(self.batch_size or 1, 0)):
                raise ConfigError(f"--classes: {self._source} knows no class number {last}; it has fewer") from error
            raise

    def _probe_inputs(self, num_rows: int, last: int) -> Inputs:
        inputs: Inputs = {}
        if self._roles.latents:
            inputs[LATENTS_INPUT] = np.zeros((num_rows, self._roles.latent_dim), np.float32)
        if last >= 0:
            inputs[LABELS_INPUT] = np.resize([last, 0], num_rows)
        for entry in self.inputs:
            shape = (num_rows, entry.shape.height, entry.shape.width, entry.shape.channels)
            inputs[entry.name] = np.zeros(shape, np.uint8)
        return inputs

    def _can_run(self, inputs: Inputs) -> bool:
        try:
            self._run(inputs)
        except ArtifactError:
            return False
        return True


def _image_form(made: NDArray[Any], convention: Convention, source: str, told: str) -> ImageForm:
    """What images the file has, from what it made of what is `told`; files often leave their shape open."""
    described = f"{source} makes {made.dtype} {made.shape} of {told}"
    if made.dtype not in (np.uint8, np.float32, np.float16, np.float64):
        raise ArtifactError(f"{described}; images are floats or uint8")
    own = made.shape[1:]
    axes = own
    if convention.image is not None:
        height, width, num_channels = convention.image
        axes = (num_channels, height, width) if convention.layout == "nchw" else convention.image
        if made[0].size != np.prod(axes) or (len(own) == len(axes) and own != axes):
            num_values, num_found = height * width * num_channels, made[0].size
            differ = f", {num_found} values each and not {num_values}" if num_found != num_values else ""
            raise ConfigError(
                f"--image {height}x{width}x{num_channels}: {described}{differ}, in the layout {convention.layout}"
            )
    if len(axes) in (1, 2):
        advice = f"as in --image {'x'.join(map(str, (*own, 1)))}" if len(own) == 2 else _flat_advice(own[0])
        raise ArtifactError(f"{described}; say what shape these images have, {advice}")
    if len(axes) != 3:
        raise ArtifactError(f"{described}; an image has three axes, or is flat")
    _check_channels(axes, convention, described)
    return ImageForm(axes=axes, is_flat=axes != own, is_uint8=made.dtype == np.uint8)


def _flat_advice(num_values: int) -> str:
    """How to tell the shape of flat images: that of a square one, where it is that many values."""
    for num_channels in (1, _RGB):
        side = math.isqrt(num_values // num_channels)
        if side * side * num_channels == num_values:
            return f"as in --image {side}x{side}x{num_channels}"
    return f"with --image HEIGHTxWIDTHxCHANNELS, which must be {num_values} values"


def _check_channels(axes: tuple[int, ...], convention: Convention, described: str) -> None:
    of_layout = {"nchw": axes[0], "nhwc": axes[2]}
    num_channels = of_layout.pop(convention.layout)
    ((other, num_other),) = of_layout.items()
    if convention.channels == "rgb":
        if num_channels != _RGB + 1:
            raise ConfigError(f"--channels rgb: {described}, and RGBA has 4 channels where these have {num_channels}")
    elif num_channels not in (1, _RGB):
        cure = "where they are RGBA, --channels rgb serves them without the fourth"
        if num_channels != _RGB + 1 or num_other in (1, _RGB):
            cure = f"are they {other}?" if num_other in (1, _RGB, _RGB + 1) else "images have 1 or 3"
        raise ConfigError(f"--layout {convention.layout}: {described}, which would be {num_channels} channels; {cure}")

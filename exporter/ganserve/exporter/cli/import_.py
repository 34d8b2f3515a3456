"""`ganserve import`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ganserve.contract.card import UNKNOWN
from ganserve.contract.errors import ConfigError
from ganserve.exporter.foreign import import_onnx
from ganserve.exporter.wrapping import Convention, Layout

from .bundle_flags import BundleFlags
from .report import run_and_report

_FILE = Group("File", sort_key=1)
_MOST_CLASSES = 100_000
_NUMBER = re.compile(r"[+-]?[\d.]+")


def import_(
    file: Annotated[Path, Parameter(group=_FILE)],
    *,
    layout: Annotated[Layout, Parameter(group=_FILE)] = "nchw",
    value_range: Annotated[tuple[float, float], Parameter(negative="", group=_FILE)] = (-1.0, 1.0),
    classes: Annotated[str, Parameter(group=_FILE, show_default=False)] = "",
    architecture: Annotated[str, Parameter(group=_FILE)] = UNKNOWN,
    dataset: Annotated[str, Parameter(group=_FILE)] = UNKNOWN,
    atol: Annotated[float | None, Parameter(group=_FILE)] = None,
    bundle: BundleFlags = BundleFlags(),  # noqa: B008 - it is frozen
) -> None:
    """Bring a generator that was not trained here into a folder of models.

    The file has one float input, latents of a standard normal distribution with a free batch axis; perhaps one integer
    input, labels; and one output, images. Its graph is wrapped so that it ends in uint8 pixels, and compared with the
    file itself at batch 1, 2, 7 and 64 with every label.

    Example: ganserve import stylish.onnx --name stylish --value-range 0 1 --classes cat,dog

    Args:
        file: ONNX file, all in one.
        layout: Order of the axes of its images.
        value_range: Its values of black and white. Images of uint8 need none.
        classes: Names of its classes in label order, with commas between, or how many there are.
        architecture: Network family, for its card.
        dataset: Name of the images that it was trained on, for its card.
        atol: Largest difference of a float from the file's own, with pixels from -1 to 1. The default is 1e-4, and 2e-2
            for weights in fp16.
    """
    target = bundle.target(file.stem)
    convention = Convention(
        layout=layout,
        value_range=value_range,
        class_names=_class_names(classes),
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

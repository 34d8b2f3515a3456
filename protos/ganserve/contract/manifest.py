"""The manifest of a bundle: the message `Manifest` as JSON that carries a checksum of its own.

The former format, `ganserve-bundle/1`, had no checksum, and is still read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

from google.protobuf import json_format

from ganserve.contract.bundle import (
    BATCH_AXIS,
    IMAGES_OUTPUT,
    LABELS_INPUT,
    LATENTS_INPUT,
    MANIFEST_FILE,
    MODEL_FILE,
    MODEL_NAME,
    SAMPLES_FILE,
    Dtype,
    sha256,
)
from ganserve.contract.errors import ArtifactError
from ganserve.contract.files import new_file, read_regular_file
from ganserve.contract.text import counted, one_line
from ganserve.v1.bundle_pb2 import Manifest, Parity

FORMAT: Final = "ganserve-bundle/2"
FORMER_FORMAT: Final = "ganserve-bundle/1"

_CHECKSUM: Final = "checksum"
_PARTS: Final = ("signature", "golden", "parity", "licences")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_MAX_BYTES: Final = 16 * 1024**2
_MOST_NAMED: Final = 5


def manifest_to_dict(manifest: Manifest) -> dict[str, Any]:
    """A manifest as plain JSON values."""
    return json_format.MessageToDict(
        manifest, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Writes `manifest.json` into the bundle's folder, with format and checksum, which `manifest` is given too."""
    manifest.format = FORMAT
    manifest.checksum = _checksum(manifest_to_dict(manifest))
    text = json.dumps(manifest_to_dict(manifest), indent=2, sort_keys=True)
    with new_file(folder / MANIFEST_FILE) as path:
        path.write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Reads and checks the manifest of a bundle's folder. One of the former format is brought to the present one.

    Raises:
        ArtifactError: it is missing, torn, altered, or no manifest.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        raise ArtifactError(f"{path} is missing; {folder} is not a model bundle{_bundles_below(folder)}")
    try:
        return _parse(json.loads(read_regular_file(path, _MAX_BYTES), parse_constant=_refuse_constant))
    except KeyError as error:
        reason = f"it has no {error}"
    except (TypeError, AttributeError):
        reason = "a part of it is of another type than it should be"
    except (ValueError, RecursionError, json_format.ParseError) as error:
        reason = one_line(error)
    raise ArtifactError(f"{path} is torn, altered or not a {FORMAT} manifest: {reason}; export the model again")


def digest_of(manifest: Manifest) -> str:
    """SHA-256 of the ONNX file: the model's digest."""
    return manifest.files[MODEL_FILE].sha256


def dtype_of(manifest: Manifest) -> Dtype:
    """What the model computes in."""
    return "fp16" if manifest.parity.dtype == "fp16" else "fp32"


def describe_parity(parity: Parity) -> str:
    """One line for people."""
    compared = f"{counted(parity.num_images, 'image')} in {parity.dtype}"
    if not parity.num_values:  # of a scorer
        return f"{compared}: numbers within {parity.max_float_error:.2g}"
    levels = "1 level" if parity.max_levels_off == 1 else f"{parity.max_levels_off} levels"
    return (
        f"{compared}: floats within {parity.max_float_error:.2g}, "
        f"{parity.num_values_off:,} of {parity.num_values:,} values off, by {levels} at most"
    )


def _bundles_below(folder: Path) -> str:
    """The bundles in a folder of versions or of models, for people who meant one of them."""
    found = [path.parent for pattern in ("*", "*/*") for path in folder.glob(f"{pattern}/{MANIFEST_FILE}")]
    if not found:
        return ""
    found.sort(key=lambda path: (path.parent, int(path.name) if path.name.isdecimal() else 0, path.name))
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"; name one that lies below it: {', '.join(map(str, found[:_MOST_NAMED]))}{more}"


def _parse(content: Any) -> Manifest:
    """Raises KeyError, ValueError, TypeError, AttributeError or ParseError where it is no manifest."""
    if not isinstance(content, dict):
        raise ValueError("it holds no object of JSON, {…}")
    is_former = content["format"] == FORMER_FORMAT
    if not is_former and content["format"] != FORMAT:
        raise ValueError(f"its format is {content['format']!r}")
    if (not is_former or _CHECKSUM in content) and content[_CHECKSUM] != _checksum(content):
        raise ValueError("its checksum does not fit the rest of it")
    if is_former:
        content = content | {"signature": {side: _renew(content["signature"][side]) for side in ("inputs", "outputs")}}
    manifest = json_format.ParseDict(content, Manifest(), ignore_unknown_fields=True)
    for fault in _faults(manifest):
        raise ValueError(fault)
    return manifest


def _checksum(content: dict[str, Any]) -> str:
    rest = {name: value for name, value in content.items() if name != _CHECKSUM}
    return sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())


def _renew(tensors: dict[str, Any]) -> list[dict[str, Any]]:
    """Inputs or outputs as the former format had them: by name, with the batch axis in their shapes."""
    renewed = []
    for name in (LATENTS_INPUT, LABELS_INPUT, IMAGES_OUTPUT):
        if name in tensors:
            batch_axis, *row_shape = tensors[name]["shape"]
            if batch_axis != BATCH_AXIS:
                raise ValueError(f"the first axis of {name} is {batch_axis!r}")
            renewed.append({"name": name, "dtype": tensors[name]["dtype"], "row_shape": row_shape})
    return renewed


def _faults(manifest: Manifest) -> Iterator[str]:
    """What no manifest that was written here has."""
    yield from (f"it has no {part}" for part in _PARTS if not manifest.HasField(part))
    yield from (f"it does not list {name}" for name in (MODEL_FILE, SAMPLES_FILE) if name not in manifest.files)
    yield from (f"it lists a file {name!r}" for name in manifest.files if not _FILE_NAME.fullmatch(name))
    if not MODEL_NAME.fullmatch(manifest.name) or not manifest.version:
        yield f"its name is {manifest.name!r}, its version {manifest.version}"
    if not manifest.golden.sha256:
        yield "it has no golden samples"
    digests = (*manifest.golden.sha256, *(entry.sha256 for entry in manifest.files.values()))
    yield from (f"{digest!r} is no SHA-256" for digest in digests if not _SHA256.fullmatch(digest))
    if manifest.parity.dtype not in get_args(Dtype):
        yield f"its dtype is {manifest.parity.dtype!r}"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")

"""Bundles that are whole, by their manifest, and hold a model that must not be run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ganserve.contract.bundle import MANIFEST_FILE, MODEL_FILE, SAMPLES_FILE, sha256
from ganserve.contract.manifest import read_manifest, write_manifest


def external_data(model: onnx.ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "../../../secret.bin"), ("offset", "0"), ("length", "2520")):
        tensor.external_data.add(key=key, value=value)


def custom_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[0].domain = "com.microsoft"


def wrong_signature(model: onnx.ModelProto) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT


def control_flow(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="Loop", output=["x"])
    node.attribute.append(helper.make_attribute("body", helper.make_graph([], "body", [], [])))


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Destroy"


def other_weights(model: onnx.ModelProto) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    values = numpy_helper.to_array(tensor) + np.float32(0.5)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


HOSTILE: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "external": (external_data, "keeps the tensor 'weight' in another file"),
    "custom": (custom_domain, "domain 'com.microsoft'"),
    "signature": (wrong_signature, "signature"),
    "loop": (control_flow, "control flow"),
    "unknown": (unknown_operator, "cannot load the model"),
    "weights": (other_weights, "does not make its golden samples"),
}


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 60\n%%EndComments\nshowpage\n"
"""A picture for which Pillow would start Ghostscript."""


def rewrite(bundle: Path, change: Callable[[onnx.ModelProto], None]) -> None:
    """Changes a bundle's model and has its manifest agree."""
    path = bundle / MODEL_FILE
    model = onnx.ModelProto.FromString(path.read_bytes())
    change(model)
    claim(bundle, model.SerializeToString())


def claim(bundle: Path, data: bytes, name: str = MODEL_FILE) -> None:
    """Replaces a file and has the manifest agree."""
    (bundle / name).write_bytes(data)
    manifest = read_manifest(bundle)
    manifest.files[name].sha256, manifest.files[name].size_bytes = sha256(data), len(data)
    write_manifest(manifest, bundle)


def test_hostile_models_are_refused_and_nothing_outside_their_folders_is_opened(
    tmp_path: Path, make_bundle: Callable[..., Path]
) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(2520))
    models = tmp_path / "models"
    folders = {
        name: make_bundle(models, name) for name in ("good", *HOSTILE, "torn", "oversized", "postscript", "claims")
    }
    for name, (change, _) in HOSTILE.items():
        rewrite(folders[name], change)
    claim(folders["torn"], (folders["torn"] / MODEL_FILE).read_bytes()[:-20])
    os.truncate(folders["oversized"] / MODEL_FILE, 2**31 + 1)
    claim(folders["postscript"], POSTSCRIPT, SAMPLES_FILE)
    manifest = read_manifest(folders["claims"])
    manifest.signature.inputs[0].row_shape[:] = [999]
    write_manifest(manifest, folders["claims"])
    script = Path(__file__).with_name("audited_loads.py")
    done = subprocess.run(
        [sys.executable, script, *folders.values()], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    messages = {name: message for name, (_, message) in HOSTILE.items()}
    messages |= {"torn": "torn", "oversized": "not a regular file of at most"}
    messages |= {"postscript": "not a readable image", "claims": "another signature than the model's card"}
    for name, folder in folders.items():
        loaded = found[str(folder)]
        assert messages.get(name, "") in loaded["reason"], name
        assert bool(loaded["reason"]) == (name != "good"), name
        outside = [path for path in loaded["opened"] if not Path(path).is_relative_to(folder)]
        assert not outside, name
        assert str(folder / MANIFEST_FILE) in loaded["opened"]

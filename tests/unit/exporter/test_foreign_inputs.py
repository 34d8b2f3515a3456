"""Inputs and outputs of foreign files that are not one latent, one label and one image."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ganserve.cli import main
from ganserve.contract.errors import ArtifactError, ConfigError, GanserveError
from ganserve.contract.latents import sample_latents
from ganserve.exporter import Convention, Target, import_onnx
from ganserve.runtime.inspection import inspect_bundle

HEIGHT, WIDTH = 6, 5
CLASSES = ("cat", "dog", "emu")
Axes = Sequence[int | str]


@dataclass(frozen=True, kw_only=True)
class Mixed:
    """images = tanh of a linear map of all inputs side by side, (channels, 6, 5)."""

    inputs: tuple[tuple[str, Axes], ...] = (("z", ("N", 7)),)
    types: tuple[int, ...] = (TensorProto.FLOAT,) * 3
    image_axes: tuple[int, ...] = (3, HEIGHT, WIDTH)
    noise: onnx.NodeProto | None = None
    also: str = ""
    """Another output."""

    def to_onnx(self) -> onnx.ModelProto:
        rng = np.random.default_rng(0)
        nodes, parts, num_inputs = [], [], 0
        for name, axes in self.inputs:
            size = int(np.prod([axis for axis in axes[1:] if isinstance(axis, int)]))
            num_inputs += size
            nodes.append(helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT))
            flat = numpy_helper.from_array(np.array([-1, size]), "")
            nodes.append(helper.make_node("Constant", [], [f"{name}_shape"], value=flat))
            nodes.append(helper.make_node("Reshape", [f"{name}_float", f"{name}_shape"], [f"{name}_flat"]))
            parts.append(f"{name}_flat")
        weight = rng.standard_normal((num_inputs, int(np.prod(self.image_axes)))).astype(np.float32)
        nodes += [
            helper.make_node("Concat", parts, ["joined"], axis=1),
            helper.make_node("MatMul", ["joined", "weight"], ["mapped"]),
            *([helper.make_node("Add", ["mapped", "noise"], ["noisy"])] if self.noise else []),
            helper.make_node("Tanh", ["noisy" if self.noise else "mapped"], ["tanh"]),
            helper.make_node("Reshape", ["tanh", "shape"], ["images"]),
        ]
        if self.noise:
            at = next(number for number, node in enumerate(nodes) if node.op_type == "Add")
            nodes.insert(at, self.noise)
        ports = [
            helper.make_tensor_value_info(name, element, axes)
            for (name, axes), element in zip(self.inputs, self.types, strict=False)
        ]
        outputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, None)]
        if self.also:
            outputs.insert(0, helper.make_tensor_value_info(self.also, TensorProto.FLOAT, None))
        constants = [
            numpy_helper.from_array(weight, "weight"),
            numpy_helper.from_array(np.array([-1, *self.image_axes]), "shape"),
        ]
        graph = helper.make_graph(nodes, "mixed", ports, outputs, constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def make(self, feed: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
        """What the file itself makes, as it puts it out."""
        session = onnxruntime.InferenceSession(self.to_onnx().SerializeToString(), providers=["CPUExecutionProvider"])
        images: NDArray[np.float64] = session.run(["images"], feed)[0].astype(np.float64)
        return images


def importing(model: onnx.ModelProto, convention: Convention, folder: Path) -> Path:
    """Imports a model from a file, and gives the bundle's folder."""
    (folder / "f.onnx").write_bytes(model.SerializeToString())
    return import_onnx(folder / "f.onnx", Target(models=folder / "models", name="f"), convention).folder


def levels(floats: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels (N, H, W, C) of images (N, C, H, W) in [-1, 1]."""
    return np.floor(floats.transpose(0, 2, 3, 1) * 127.5 + 128)


def uniform(latents: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """What a standard normal is mapped to by its distribution function."""
    shares = torch.special.ndtr(torch.from_numpy(latents).double()).numpy()
    return np.asarray(low + (high - low) * shares, np.float32)


NUM = 12
LABELS = np.arange(NUM) % len(CLASSES)
ONE_HOT = np.eye(len(CLASSES), dtype=np.float32)[LABELS]
Z7, Z9 = sample_latents(0, 0, NUM, 7), sample_latents(0, 0, NUM, 9)
CLASSES_AS_VECTORS = Convention(class_names=CLASSES, labels_as="one-hot")


@pytest.mark.parametrize(
    ("mixed", "convention", "feed"),
    [
        (Mixed(inputs=(("z", ("N", 7)), ("c", ("N", 3)))), CLASSES_AS_VECTORS, {"z": Z7, "c": ONE_HOT}),
        (
            Mixed(inputs=(("z", (1, 7, 1, 1)), ("c", (1, 3, 1, 1)))),
            CLASSES_AS_VECTORS,
            {"z": Z7[:, :, None, None], "c": ONE_HOT[:, :, None, None]},
        ),
        (
            Mixed(inputs=(("c", ("N", 3)), ("z", ("N", 3))), types=(TensorProto.DOUBLE, TensorProto.FLOAT)),
            replace(CLASSES_AS_VECTORS, latents=("z",)),
            {"z": Z7[:, :3], "c": ONE_HOT.astype(np.float64)},
        ),
        (
            Mixed(inputs=(("z", ("N", 7)), ("y", ("N", 1)))),
            Convention(class_names=CLASSES),
            {"z": Z7, "y": LABELS[:, None].astype(np.float32)},
        ),
        (
            Mixed(inputs=(("code", ("N", 2)), ("z", ("N", 7)))),
            Convention(latents=("z", "code")),
            {"z": Z9[:, :7], "code": Z9[:, 7:]},
        ),
        (
            Mixed(
                inputs=(("z", ("N", 7)), ("psi", ("N", 1)), ("training", ("N", 1))),
                types=(TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BOOL),
            ),
            Convention(constants={"psi": 0.75, "training": 1}),
            {"z": Z7, "psi": np.full((NUM, 1), 0.75, np.float16), "training": np.ones((NUM, 1), bool)},
        ),
        (
            Mixed(inputs=(("z", (4, 7)), ("psi", (4, 1)))),
            Convention(constants={"psi": 0.5}),
            {"z": Z7, "psi": np.full((NUM, 1), 0.5, np.float32)},
        ),
        (
            Mixed(
                inputs=(("z", (1, 7)), ("y", (1,)), ("map", (1, 2, 3, 1))),
                types=(TensorProto.FLOAT, TensorProto.INT8, 1),
            ),
            Convention(class_names=CLASSES, constants={"map": -1.0}),
            {"z": Z7, "y": LABELS.astype(np.int8), "map": np.full((NUM, 2, 3, 1), -1.0, np.float32)},
        ),
        (Mixed(), Convention(uniform_latents=(-1.0, 1.0)), {"z": uniform(Z7, -1, 1)}),
        (Mixed(), Convention(uniform_latents=(0.0, 3.0)), {"z": uniform(Z7, 0, 3)}),
        (Mixed(also="tanh"), Convention(output="images"), {"z": Z7}),
        (Mixed(inputs=(("z", ("N", 7, 1, 1)),)), Convention(), {"z": Z7[:, :, None, None]}),
        (Mixed(inputs=(("z", ("N", 3, 1, 3)),)), Convention(latents=("z",)), {"z": Z9.reshape(-1, 3, 1, 3)}),
    ],
)
def test_what_the_flags_say_is_what_the_file_is_fed(
    mixed: Mixed,
    convention: Convention,
    feed: dict[str, NDArray[Any]],
    tmp_path: Path,
    run_bundle: Callable[..., NDArray[np.uint8]],
) -> None:
    folder = importing(mixed.to_onnx(), convention, tmp_path)
    latents = Z9 if inspect_bundle(folder).card.latent_dim == 9 else Z7
    inputs: dict[str, NDArray[Any]] = {"latents": latents[:, : inspect_bundle(folder).card.latent_dim]}
    if convention.class_names:
        inputs["labels"] = LABELS
    free = replace(mixed, inputs=tuple((name, ("N", *axes[1:])) for name, axes in mixed.inputs))
    expected = levels(free.make(feed))
    images = run_bundle(folder, **inputs)
    assert images.shape == (NUM, HEIGHT, WIDTH, 3)
    assert np.abs(images - expected).max() <= 1
    assert (images != expected).mean() < 2e-3


@pytest.mark.parametrize(
    ("image_axes", "convention", "shape"),
    [
        ((HEIGHT * WIDTH,), Convention(image=(HEIGHT, WIDTH, 1)), (1, HEIGHT, WIDTH)),
        ((3 * HEIGHT * WIDTH,), Convention(image=(HEIGHT, WIDTH, 3)), (3, HEIGHT, WIDTH)),
        ((HEIGHT, WIDTH), Convention(image=(HEIGHT, WIDTH, 1)), (1, HEIGHT, WIDTH)),
        ((4, HEIGHT, WIDTH), Convention(channels="rgb"), (4, HEIGHT, WIDTH)),
        ((4 * HEIGHT * WIDTH,), Convention(image=(HEIGHT, WIDTH, 4), channels="rgb"), (4, HEIGHT, WIDTH)),
    ],
)
def test_flat_images_and_rgba_become_images(
    image_axes: tuple[int, ...],
    convention: Convention,
    shape: tuple[int, ...],
    tmp_path: Path,
    run_bundle: Callable[..., NDArray[np.uint8]],
) -> None:
    mixed = Mixed(image_axes=image_axes)
    images = run_bundle(importing(mixed.to_onnx(), convention, tmp_path), latents=Z7)
    expected = levels(mixed.make({"z": Z7}).reshape(-1, *shape)[:, :3])
    assert np.abs(images - expected).max() <= 1
    nhwc = replace(convention, layout="nhwc")
    if convention.image:
        images = run_bundle(importing(mixed.to_onnx(), nhwc, tmp_path), latents=Z7)
        floats = mixed.make({"z": Z7}).reshape(-1, *shape[1:], shape[0])[..., :3]
        assert np.abs(images - np.floor(floats * 127.5 + 128)).max() <= 1


NOISES = (
    (helper.make_node("RandomNormalLike", ["mapped"], ["noise"]), 0.0),
    (helper.make_node("RandomNormal", [], ["noise"], shape=[1, 90], mean=0.25, dtype=TensorProto.FLOAT), 0.25),
    (helper.make_node("RandomUniformLike", ["mapped"], ["noise"], low=-1.0, high=0.0), -0.5),
    (helper.make_node("RandomUniform", [], ["noise"], shape=[1, 90]), 0.5),
)


@pytest.mark.parametrize(("noise", "mean"), NOISES)
def test_noise_is_refused_and_can_be_taken_out(
    noise: onnx.NodeProto, mean: float, tmp_path: Path, run_bundle: Callable[..., NDArray[np.uint8]]
) -> None:
    model = Mixed(noise=noise).to_onnx()
    with pytest.raises(ArtifactError, match=rf"1 {noise.op_type}\).*noise_mode='const'.*--noise zero"):
        importing(model, Convention(), tmp_path)
    folder = importing(model, Convention(noise="zero"), tmp_path)
    quiet = Mixed().make({"z": Z7})
    expected = levels(np.tanh(np.arctanh(np.clip(quiet, -1 + 1e-7, 1 - 1e-7)) + mean))
    assert (np.abs(run_bundle(folder, latents=Z7) - expected) <= 1).mean() > 0.99
    assert "noise" in dict(inspect_bundle(folder).card.training_config)


def test_all_that_speaks_against_a_file_is_told_at_once(tmp_path: Path) -> None:
    mixed = Mixed(
        inputs=(("picture", ("N", 3, 8, 8)), ("y", ("N",)), ("mask", ("N", 1))),
        types=(TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL),
        noise=NOISES[0][0],
        also="tanh",
    )
    model = mixed.to_onnx()
    on = numpy_helper.from_array(np.array(True), "on")
    model.graph.initializer.append(on)
    model.graph.node.append(helper.make_node("Dropout", ["images", "", "on"], ["x"]))
    with pytest.raises(ArtifactError) as caught:
        importing(model, Convention(), tmp_path)
    first, *reasons = str(caught.value).splitlines()
    assert first.endswith("f.onnx cannot be used, for 5 reasons:")
    for reason, words in zip(
        reasons,
        (
            "draws noise",
            "Dropout as in training",
            "--classes",
            "--constant mask=VALUE",
            "--output tanh",
        ),
        strict=True,
    ):
        assert words in reason
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("mixed", "convention", "error", "message"),
    [
        (
            Mixed(inputs=(("x", ("N", 3, 256, 256)),)),
            Convention(),
            ArtifactError,
            "of 6×5 of those of 256×256; a transl",
        ),
        (Mixed(inputs=(("x", ("N", 4, "H", "W")),)), Convention(), ArtifactError, "images have 1 or 3 channels in the"),
        (Mixed(inputs=(("x", (1, 1, 32, 32)),)), Convention(), ArtifactError, "of 6×5 of those of 32×32; a translator"),
        (Mixed(inputs=(("w", ("N", 14, 16)),)), Convention(), ArtifactError, "say so with --latents w"),
        (
            Mixed(inputs=(("z", ("N", 7)), ("c", ("N", 3)))),
            Convention(),
            ArtifactError,
            "--labels-as one-hot --classes 3 where c is .*--constant c=VALUE",
        ),
        (
            Mixed(inputs=(("z", ("N", 7)), ("c", ("N", 3)))),
            Convention(labels_as="one-hot"),
            ConfigError,
            "say with --classes how many .*--classes 3",
        ),
        (Mixed(inputs=(("z", (1, 7)), ("psi", (1,)))), Convention(), ArtifactError, "--constant psi=VALUE, .*psi=0.7"),
        (Mixed(inputs=(("z", (1, 7)), ("psi", ()))), Convention(), ArtifactError, "f.onnx takes psi float .* too"),
        (
            Mixed(inputs=(("z", ("N", 7)), ("c", ("N", 4)))),
            CLASSES_AS_VECTORS,
            ConfigError,
            r"takes z float \(N, 7\), c float \(N, 4\), and no labels of 3 values",
        ),
        (Mixed(inputs=(("z", ("N", 3)), ("c", ("N", 3)))), CLASSES_AS_VECTORS, ArtifactError, "name the others"),
        (Mixed(), Convention(labels_as="one-hot"), ConfigError, "say with --classes"),
        (Mixed(), Convention(latents=("w",)), ConfigError, r"has no input 'w', which --latents names; .* z float"),
        (Mixed(), Convention(constants={"psi": 1.0}), ConfigError, "has no input 'psi', which --constant names"),
        (Mixed(), Convention(latents=("z",), constants={"z": 1.0}), ConfigError, "name it twice"),
        (
            Mixed(inputs=(("z", ("N", 7)), ("k", ("N", 1))), types=(TensorProto.FLOAT, TensorProto.INT64)),
            Convention(constants={"k": 0.5}),
            ConfigError,
            "cannot be 0.5",
        ),
        (
            Mixed(inputs=(("z", (2, 7)), ("k", (3, 1))), types=(TensorProto.FLOAT, TensorProto.INT64)),
            Convention(class_names=CLASSES),
            ArtifactError,
            "batch sizes 2, 3",
        ),
        (
            Mixed(inputs=(("z", ("N", 7)), ("y", ("N",))), types=(TensorProto.FLOAT, TensorProto.INT8)),
            Convention(class_names=tuple(map(str, range(200)))),
            ConfigError,
            "too small a type for 200 classes",
        ),
        (Mixed(also="tanh"), Convention(), ArtifactError, "has the outputs tanh .*, images .*--output tanh"),
        (Mixed(), Convention(output="pixels"), ConfigError, "no output 'pixels'; its outputs are images"),
        (Mixed(image_axes=(90,)), Convention(), ArtifactError, r"float32 \(2, 90\) of 2 latents; .* 90 values"),
        (Mixed(image_axes=(64,)), Convention(), ArtifactError, "as in --image 8x8x1"),
        (Mixed(image_axes=(192,)), Convention(), ArtifactError, "as in --image 8x8x3"),
        (Mixed(image_axes=(64,)), Convention(image=(28, 28, 1)), ConfigError, "64 values each and not 784"),
        (Mixed(image_axes=(90,)), Convention(image=(6, 6, 3)), ConfigError, "--image 6x6x3"),
        (Mixed(), Convention(image=(5, 6, 3)), ConfigError, "--image 5x6x3"),
        (Mixed(image_axes=(1, 3, 6, 5)), Convention(), ArtifactError, "an image has three axes, or is flat"),
        (Mixed(image_axes=(4, 6, 7)), Convention(), ConfigError, "4 channels; .*--channels rgb"),
        (Mixed(image_axes=(2, 6, 7)), Convention(), ConfigError, "2 channels; images have 1 or 3"),
        (Mixed(), Convention(channels="rgb"), ConfigError, "--channels rgb: .*RGBA has 4 channels where these have 3"),
        (Mixed(), Convention(uniform_latents=(1.0, -1.0)), ConfigError, "--latents-distribution is uniform 1 -1"),
        (Mixed(), Convention(uniform_latents=(0.0, float("inf"))), ConfigError, "--latents-distribution"),
        (Mixed(), Convention(image=(0, 1, 1)), ConfigError, "--image is 0x1x1"),
    ],
)
def test_a_refusal_names_its_cause_and_the_flag_that_mends_it(
    mixed: Mixed, convention: Convention, error: type[GanserveError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        importing(mixed.to_onnx(), convention, tmp_path)
    assert re.search(message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_of_several_outputs_the_one_like_images_is_proposed(tmp_path: Path) -> None:
    model = Mixed(also="mapped").to_onnx()
    for value, axes in zip(model.graph.output, (("N", 90), ("N", 3, HEIGHT, WIDTH)), strict=True):
        value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, axes))
    with pytest.raises(ArtifactError, match="--output images"):
        importing(model, Convention(), tmp_path)


@pytest.mark.parametrize(("psi", "is_told"), [(0, True), (0.7, False)])
def test_a_constant_that_wipes_out_the_latents_is_told_of(psi: float, is_told: bool, tmp_path: Path) -> None:
    model = Mixed(inputs=(("z", ("N", 7)),)).to_onnx()
    model.graph.input.append(helper.make_tensor_value_info("psi", TensorProto.FLOAT, [1]))
    model.graph.node.insert(0, helper.make_node("Mul", ["z", "psi"], ["truncated"]))
    model.graph.node[1].input[0] = "truncated"
    (tmp_path / "f.onnx").write_bytes(model.SerializeToString())
    convention = Convention(constants={"psi": psi})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = import_onnx(tmp_path / "f.onnx", Target(models=tmp_path, name="f"), convention)
    assert [str(warning.message) for warning in caught] == list(made.warnings)
    assert any("different latents give one image" in warning for warning in made.warnings) == is_told


def test_more_classes_than_the_file_knows_are_told_of(tmp_path: Path) -> None:
    rows = numpy_helper.from_array(np.eye(3, 90, dtype=np.float32), "rows")
    model = Mixed().to_onnx()
    model.graph.input.append(helper.make_tensor_value_info("y", TensorProto.INT64, ["N"]))
    model.graph.initializer.append(rows)
    at = next(number for number, node in enumerate(model.graph.node) if node.op_type == "Tanh")
    model.graph.node.insert(at, helper.make_node("Gather", ["rows", "y"], ["row"]))
    model.graph.node.insert(at + 1, helper.make_node("Add", ["mapped", "row"], ["shifted"]))
    model.graph.node[at + 2].input[0] = "shifted"
    with pytest.raises(ConfigError, match="knows no class number 3; it has fewer"):
        importing(model, Convention(class_names=(*CLASSES, "yak")), tmp_path)
    importing(model, Convention(class_names=CLASSES), tmp_path)


def test_the_command_takes_what_the_file_does_not_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = Mixed(inputs=(("z", ("N", 7)), ("c", ("N", 3)), ("code", ("N", 2))), image_axes=(4 * 30,), also="tanh")
    (tmp_path / "f.onnx").write_bytes(mixed.to_onnx().SerializeToString())
    words = ["import", str(tmp_path / "f.onnx"), "--models", str(tmp_path / "models"), "--output", "images"]
    words += ["--latents", "z,code", "--latents-distribution", "uniform", "-1", "1", "--classes", "3"]
    words += ["--labels-as", "one-hot", "--image", "6x5x4", "--channels", "rgb"]
    assert main(words) == 0
    card = inspect_bundle(tmp_path / "models" / "f" / "1").card
    assert (card.latent_dim, len(card.class_names), card.image.channels) == (9, 3, 3)
    words[words.index("z,code")] = "z"
    assert main([*words, "--constant", "code=0.5"]) == 0
    assert inspect_bundle(tmp_path / "models" / "f" / "2").card.latent_dim == 7
    capsys.readouterr()
    plain = words[:4]
    for flaw in (["--constant", "code"], ["--constant", "=1"], ["--constant", "code=x"], ["--image", "28"]):
        assert main([*plain, *flaw]) == 2
        assert f"{flaw[0]} is {flaw[1]!r}" in capsys.readouterr().err

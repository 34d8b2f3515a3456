"""Generators from elsewhere, as PyTorch's tutorials and other tools write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from ganserve.cli import main
from ganserve.contract.bundle import IMAGES_OUTPUT
from ganserve.contract.errors import ArtifactError, ConfigError, ParityError
from ganserve.contract.latents import sample_latents
from ganserve.contract.rows import Rows
from ganserve.exporter import Convention, Licences, Target, import_onnx
from ganserve.runtime.inspection import inspect_bundle
from ganserve.runtime.lanes import Lanes
from ganserve.runtime.loader import load_model

CONTROL_FLOW = helper.make_node("If", ["images"], ["x"], then_branch=helper.make_graph([], "then", [], []))
HEIGHT, WIDTH, LATENT_DIM, NUM_CLASSES = 6, 5, 7, 3


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """How a generator of 6×5 images was written."""

    channels: int = 3
    layout: str = "nchw"
    value_range: tuple[float, float] = (-1.0, 1.0)
    latent_axes: tuple[int, ...] = (LATENT_DIM,)
    batch: int | str = "N"
    float_dtype: int = TensorProto.FLOAT
    label_dtype: int | None = None
    label_axes: tuple[int, ...] = ()
    uint8: bool = False
    opset: int = 17
    frozen_inside: bool = False
    extra_nodes: tuple[onnx.NodeProto, ...] = field(default=())

    def to_onnx(self) -> onnx.ModelProto:
        """images = a tanh of a linear map, moved to the value range; a label adds a row of its own."""
        rng = np.random.default_rng(0)
        dtype = helper.tensor_dtype_to_np_dtype(self.float_dtype)
        shape = (self.channels, HEIGHT, WIDTH) if self.layout == "nchw" else (HEIGHT, WIDTH, self.channels)
        num_values = int(np.prod(shape))
        black, white = (0.0, 255.0) if self.uint8 else self.value_range
        constants = {
            "weight": rng.standard_normal((LATENT_DIM, num_values)).astype(dtype),
            "rows": rng.standard_normal((NUM_CLASSES, num_values)).astype(dtype),
            "flat": np.array([-1, LATENT_DIM]),
            "one_axis": np.array([-1]),
            "shape": np.array([2 if self.frozen_inside else -1, *shape]),
            "scale": np.array((white - black) / 2, dtype),
            "middle": np.array((white + black) / 2, dtype),
        }
        nodes = [
            helper.make_node("Reshape", ["z", "flat"], ["flat_z"]),
            helper.make_node("MatMul", ["flat_z", "weight"], ["mapped"]),
        ]
        mapped = "mapped"
        inputs = [helper.make_tensor_value_info("z", self.float_dtype, [self.batch, *self.latent_axes])]
        if self.label_dtype is not None:
            mapped = "shifted"
            nodes += [
                helper.make_node("Reshape", ["y", "one_axis"], ["flat_y"]),
                helper.make_node("Gather", ["rows", "flat_y"], ["row"]),
                helper.make_node("Add", ["mapped", "row"], [mapped]),
            ]
            inputs.append(helper.make_tensor_value_info("y", self.label_dtype, [self.batch, *self.label_axes]))
        nodes += [
            helper.make_node("Tanh", [mapped], ["tanh"]),
            helper.make_node("Mul", ["tanh", "scale"], ["scaled"]),
            helper.make_node("Add", ["scaled", "middle"], ["moved"]),
            *([helper.make_node("Cast", ["moved"], ["levels"], to=TensorProto.UINT8)] if self.uint8 else []),
            helper.make_node("Reshape", ["levels" if self.uint8 else "moved", "shape"], ["images"]),
            *self.extra_nodes,
        ]
        output_dtype = TensorProto.UINT8 if self.uint8 else self.float_dtype
        graph = helper.make_graph(
            nodes,
            "foreign",
            inputs,
            [helper.make_tensor_value_info("images", output_dtype, [self.batch, None, None, None])],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
            doc_string="exported by /home/somebody/train.py",
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="pytorch")

    def convention(self) -> Convention:
        """What its author would tell of it."""
        return Convention(
            layout="nchw" if self.layout == "nchw" else "nhwc",
            value_range=self.value_range,
            class_names=("cat", "dog", "emu") if self.label_dtype is not None else (),
        )

    def expected(self, latents: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Its images as pixels, by hand, and as if its batch were free."""
        free = replace(self, batch="N", frozen_inside=False).to_onnx().SerializeToString()
        session = onnxruntime.InferenceSession(free, providers=["CPUExecutionProvider"])
        dtype = helper.tensor_dtype_to_np_dtype(self.float_dtype)
        feed: dict[str, NDArray[Any]] = {"z": latents.astype(dtype).reshape(-1, *self.latent_axes)}
        if self.label_dtype is not None:
            label_dtype = helper.tensor_dtype_to_np_dtype(self.label_dtype)
            feed["y"] = labels.astype(label_dtype).reshape(-1, *self.label_axes)
        images = session.run(None, feed)[0]
        if self.layout == "nchw":
            images = images.transpose(0, 2, 3, 1)
        if self.uint8:
            return np.asarray(images)
        black, white = self.value_range
        levels: NDArray[np.uint8] = np.floor((images.astype(np.float64) - black) / (white - black) * 255 + 0.5).astype(
            np.uint8
        )
        return levels


def write(foreign: Foreign, folder: Path) -> Path:
    path = folder / "foreign.onnx"
    onnx.save(foreign.to_onnx(), path)
    return path


@pytest.mark.parametrize(
    "foreign",
    [
        Foreign(),
        Foreign(channels=1, layout="nhwc", value_range=(0.0, 1.0)),
        Foreign(value_range=(0.0, 255.0), latent_axes=(LATENT_DIM, 1, 1)),
        Foreign(value_range=(1.0, -1.0)),
        Foreign(uint8=True, layout="nhwc"),
        Foreign(uint8=True),
        Foreign(label_dtype=TensorProto.INT64),
        Foreign(label_dtype=TensorProto.INT32, label_axes=(1,), opset=20),
        Foreign(float_dtype=TensorProto.DOUBLE),
        Foreign(float_dtype=TensorProto.FLOAT16),
        Foreign(opset=11),
        Foreign(batch=1, label_dtype=TensorProto.INT64),
        Foreign(batch=-1),
        Foreign(batch=5),
        Foreign(frozen_inside=True),
        Foreign(batch=2, frozen_inside=True, layout="nhwc"),
    ],
    ids=repr,
)
def test_what_a_file_makes_is_what_its_bundle_serves(foreign: Foreign, tmp_path: Path, lanes: Lanes) -> None:
    path = write(foreign, tmp_path)
    result = import_onnx(path, Target(models=tmp_path / "models", name="foreign"), foreign.convention())
    model = load_model(result.folder, lanes=lanes, max_batch=8)
    latents, labels = sample_latents(3, 0, 20, LATENT_DIM), np.arange(20) % NUM_CLASSES
    rows = Rows({"latents": latents, "labels": labels} if model.card.class_names else {"latents": latents})
    images = model.engine.run_all(rows).columns[IMAGES_OUTPUT]
    expected = foreign.expected(latents, labels)
    assert images.shape == expected.shape
    assert np.abs(images.astype(np.int16) - expected).max() <= 1
    assert (images != expected).mean() < 1e-3
    assert b"somebody" not in (result.folder / "model.onnx").read_bytes()
    assert model.card.latent_dim == LATENT_DIM
    assert dict(model.card.versions) == {"pytorch": ""}


def test_lists_of_operators_that_it_does_not_use_do_no_harm(tmp_path: Path) -> None:
    model = Foreign().to_onnx()
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    model.opset_import[0].domain = "ai.onnx"
    for node in model.graph.node:
        node.domain = "ai.onnx"
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    import_onnx(tmp_path / "foreign.onnx", Target(models=tmp_path, name="foreign"), Convention())


def test_no_path_of_its_author_is_kept(tmp_path: Path) -> None:
    model = Foreign().to_onnx()
    constant = helper.make_attribute("value", helper.make_tensor("/home/somebody/x", TensorProto.FLOAT, [], [0.0]))
    constant.doc_string = constant.t.doc_string = "/home/somebody/train.py"
    model.graph.node.insert(0, helper.make_node("Constant", [], ["zero"]))
    model.graph.node[0].attribute.append(constant)
    last = next(node for node in model.graph.node if node.op_type == "Add" and "middle" in node.input)
    last.input[1] = "zero"
    onnx.save(model, tmp_path / "foreign.onnx")
    result = import_onnx(tmp_path / "foreign.onnx", Target(models=tmp_path, name="foreign"), Convention())
    assert b"somebody" not in (result.folder / "model.onnx").read_bytes()


def test_the_command_imports_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(Foreign(value_range=(0.0, 1.0), label_dtype=TensorProto.INT64), tmp_path)
    models = tmp_path / "models [b]"
    words = ["import", str(path), "--models", str(models), "--value-range", "0", "1"]
    assert main([*words, "--classes", "cat, dog,emu", "--licence", "cc0-1.0"]) == 0
    text = capsys.readouterr().out
    assert f"Next: ganserve serve --models '{models}'" in text
    inspection = inspect_bundle(models / "foreign" / "1")
    assert list(inspection.card.class_names) == ["cat", "dog", "emu"]
    assert inspection.manifest.licences == Licences(weights="cc0-1.0", data="unknown")
    readme = (models / "foreign" / "1" / "README.md").read_text()
    assert "license: cc0-1.0" in readme
    assert "trained with" not in readme
    assert main([*words, "--classes", "3", "--name", "numbered"]) == 0
    assert list(inspect_bundle(models / "numbered" / "1").card.class_names) == ["0", "1", "2"]
    for flaws, code in ((("--classes", "9999999999"), 2), (("--classes", "3", "--licence", "a: b"), 2), ((), 3)):
        assert main([*words, *flaws]) == code
        assert capsys.readouterr().err.startswith("ganserve: error: ")


def test_names_of_its_own_that_are_also_ours_do_no_harm(tmp_path: Path) -> None:
    model = Foreign().to_onnx()
    for node in model.graph.node:
        node.input[:] = ["latents" if name == "z" else name for name in node.input]
        node.input[:] = ["floats" if name == "tanh" else name for name in node.input]
        node.output[:] = ["floats" if name == "tanh" else name for name in node.output]
    model.graph.input[0].name = "latents"
    onnx.save(model, tmp_path / "foreign.onnx")
    import_onnx(tmp_path / "foreign.onnx", Target(models=tmp_path, name="foreign"), Convention())


def no_images(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("mapped", TensorProto.FLOAT, None))


def two_latents(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, ["N", 3]))


def open_latents(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "D"


def four_channels(model: onnx.ModelProto) -> None:
    shape = next(tensor for tensor in model.graph.initializer if tensor.name == "shape")
    shape.CopyFrom(numpy_helper.from_array(np.array([-1, 5, 6, 3]), "shape"))


def three_axes(model: onnx.ModelProto) -> None:
    shape = next(tensor for tensor in model.graph.initializer if tensor.name == "shape")
    shape.CopyFrom(numpy_helper.from_array(np.array([-1, 18, 5]), "shape"))


def mean_of_the_batch(model: onnx.ModelProto) -> None:
    """As a batch norm in training mode would, it looks at all rows."""
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Tanh")
    model.graph.node.insert(at, helper.make_node("ReduceMean", ["mapped"], ["mean"], axes=[0], keepdims=1))
    model.graph.node.insert(at + 1, helper.make_node("Sub", ["mapped", "mean"], ["centred"]))
    model.graph.node[at + 2].input[0] = "centred"


def noise(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("RandomNormalLike", ["images"], ["noise"], scale=1e-6))


def huge_latents(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2**40


def unknown_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 99


def no_text(model: onnx.ModelProto) -> None:
    node = model.graph.node.add()
    node.MergeFromString(b"\x1a\x02\xff\xfe")


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (mean_of_the_batch, ParityError, "must not depend on the others in its batch"),
        (noise, ArtifactError, r"draws noise inside \(1 RandomNormalLike\).*--noise zero"),
        (huge_latents, ArtifactError, "more than 65,536"),
        (unknown_type, ArtifactError, r"takes z \? \(N, 7\)"),
        (no_text, ArtifactError, "not UTF-8"),
        (no_images, ArtifactError, r"has the outputs images float \(N, \?, \?, \?\), mapped.*--output images"),
        (two_latents, ArtifactError, r"takes z float \(N, 7\), w float \(N, 3\); .*--latents z,w"),
        (open_latents, ArtifactError, "all their axes but the batch must have a size"),
        (four_channels, ConfigError, "--layout nchw: .* 5 channels; are they nhwc"),
        (three_axes, ArtifactError, r"makes float32 \(2, 18, 5\) of 2 latents; .*--image 18x5x1"),
    ],
)
def test_files_that_are_no_generators_are_refused(
    tmp_path: Path, spoil: Callable[[onnx.ModelProto], None], error: type[Exception], message: str
) -> None:
    model = Foreign().to_onnx()
    spoil(model)
    # not onnx.save, which would check
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(error, match=message):
        import_onnx(tmp_path / "foreign.onnx", Target(models=tmp_path / "models", name="foreign"), Convention())
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("foreign", "convention", "error", "message"),
    [
        (Foreign(label_dtype=TensorProto.INT64), Convention(), ArtifactError, "say with --classes"),
        (Foreign(), Convention(class_names=("cat",)), ConfigError, "takes no labels"),
        (Foreign(), Convention(value_range=(1.0, 1.0)), ConfigError, "--value-range"),
        (
            Foreign(label_dtype=TensorProto.INT64, label_axes=(4,)),
            Convention(class_names=("cat", "dog", "emu")),
            ArtifactError,
            r"not \(N,\) or \(N, 1\)",
        ),
        (
            Foreign(
                extra_nodes=(helper.make_node("If", ["images"], ["x"], then_branch=helper.make_graph([], "t", [], [])),)
            ),
            Convention(),
            ArtifactError,
            "control flow",
        ),
    ],
)
def test_conventions_that_do_not_fit_are_refused(
    tmp_path: Path, foreign: Foreign, convention: Convention, error: type[Exception], message: str
) -> None:
    path = tmp_path / "foreign.onnx"
    path.write_bytes(foreign.to_onnx().SerializeToString())
    with pytest.raises(error, match=message):
        import_onnx(path, Target(models=tmp_path / "models", name="foreign"), convention)
    assert not (tmp_path / "models").exists()


def test_an_empty_file_is_told_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "f.onnx").touch()
    with pytest.raises(ArtifactError, match=r"f\.onnx is empty"):
        import_onnx(tmp_path / "f.onnx", Target(models=tmp_path, name="foreign"), Convention())


def test_a_file_that_is_torn_or_missing_is_named(tmp_path: Path) -> None:
    path = write(Foreign(), tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    for file in (path, tmp_path / "nowhere.onnx"):
        with pytest.raises(ArtifactError, match=file.name):
            import_onnx(file, Target(models=tmp_path, name="foreign"), Convention())


@pytest.mark.parametrize("ir_version", [onnx.IR_VERSION, 4])
def test_any_version_of_the_file_format_comes_in(tmp_path: Path, ir_version: int) -> None:
    model = Foreign(opset=21).to_onnx()
    model.ir_version = ir_version
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    result = import_onnx(tmp_path / "foreign.onnx", Target(models=tmp_path, name="foreign"), Convention())
    assert result.manifest.parity.max_levels_off <= 1


def test_no_tolerance_lets_an_image_depend_on_its_batch(tmp_path: Path) -> None:
    model = Foreign().to_onnx()
    mean_of_the_batch(model)
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ParityError, match="must not depend on the others in its batch"):
        import_onnx(
            tmp_path / "foreign.onnx", Target(models=tmp_path / "models", name="foreign"), Convention(), atol=1.9
        )


@pytest.mark.parametrize("classes", ["-3", "1.5", "cat,cat", "cat,,dog", ","])
def test_impossible_classes_are_refused(tmp_path: Path, classes: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(Foreign(label_dtype=TensorProto.INT64), tmp_path)
    assert main(["import", str(path), "--models", str(tmp_path / "models"), f"--classes={classes}"]) == 2
    assert f"--classes is '{classes}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "told", "warning"),
    [
        ((-1.0, 1.0), (-1.0, 1.0), ""),
        ((0.0, 255.0), (-1.0, 1.0), "what lies beyond is clipped"),
        ((0.0, 1.0), (-1.0, 1.0), "half of the range is not used"),
        ((0.0, 1.0), (0.0, 1.0), ""),
    ],
)
def test_a_value_range_that_looks_wrong_is_told_of(
    tmp_path: Path,
    written: tuple[float, float],
    told: tuple[float, float],
    warning: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(Foreign(value_range=written), tmp_path)
    flags = ["--models", str(tmp_path / "models"), "--value-range", *map(str, told)]
    assert main(["import", str(path), *flags]) == 0
    shown = capsys.readouterr().out
    assert ("warning: the generator's values go from" in shown) == bool(warning)
    assert warning in shown
    readme = (tmp_path / "models" / "foreign" / "1" / "README.md").read_text()
    assert "A generator of 6×5 RGB images." in readme
    assert '"unknown"' not in readme


@pytest.mark.parametrize(
    ("factor", "error", "text"),
    [
        (np.nan, ArtifactError, r"foreign\.onnx holds weights that are no numbers \(NaN\), in 'weight'"),
        (np.inf, ParityError, "batch of 1: the generator itself makes numbers that are not finite"),
    ],
)
def test_a_generator_of_numbers_that_are_none_is_refused(
    factor: float, error: type[ArtifactError], text: str, tmp_path: Path
) -> None:
    model = Foreign().to_onnx()
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "weight")
    signs = np.sign(numpy_helper.to_array(weight)).astype(np.float32)
    weight.CopyFrom(numpy_helper.from_array(signs * np.float32(factor), "weight"))
    (tmp_path / "foreign.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(error, match=text):
        import_onnx(tmp_path / "foreign.onnx", Target(models=tmp_path / "models", name="foreign"), Convention())

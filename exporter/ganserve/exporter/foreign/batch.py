"""Frees a batch axis that a file fixes, as exporters do unless they are told otherwise.

The file is run once at its own batch, to see what shapes its constants stand for. Where a constant holds the size of
the batch, it is put right. That is a good guess and no proof: whoever calls compares with the file itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from ganserve.contract.errors import ArtifactError
from ganserve.exporter.parity import open_session
from ganserve.runtime.onnx_faults import attribute_of

from .ports import Roles

_WEIGHTS_OF: Final = {
    "Conv": slice(1, None),
    "ConvTranspose": slice(1, None),
    "BatchNormalization": slice(1, None),
    "InstanceNormalization": slice(1, None),
}
"""The inputs of operators that one run takes one of, however many rows it has."""
_SHAPES_OF: Final = {"Reshape": 1, "Expand": 1, "Resize": 3, "Slice": 2}
"""The input that may hold the size of the batch."""
_ROW_BY_ROW: Final = frozenset({"Add", "Concat", "Div", "Max", "Min", "Mul", "Pow", "Sub", "Sum", "Where"})
"""Operators that bring rows together with constants, which may have been written out once a row."""
_BATCH: Final = "ganserve/batch"
_TO_THE_END: Final = np.iinfo(np.int64).max


def batch_faults(proto: onnx.ModelProto, roles: Roles, batch_size: int) -> list[ArtifactError]:
    """Why the batch of a graph that takes `batch_size` rows cannot be freed, as far as the graph tells."""
    varying = _varying(proto.graph, roles)
    fixed = [node.op_type for node in proto.graph.node if varying.intersection(_weights(node))]
    if not fixed:
        return []
    return [
        ArtifactError(
            f"has a batch that is fixed at {batch_size}, and cannot be freed: it has {fixed[0]} with weights that are "
            "made of the latents, as StyleGAN2 has where groups = batch. Export it again with the modulation outside "
            f"the weights (in NVIDIA's code fused_modconv=False, in rosinality's fused=False) {how_to_export(roles)}"
        )
    ]


def free_batch(
    proto: onnx.ModelProto, roles: Roles, batch_size: int, feed: dict[str, NDArray[Any]], source: str
) -> onnx.ModelProto:
    """A copy of the graph whose constants are no more those of one batch size.

    Args:
        proto: the graph, without `batch_faults`.
        roles: of its inputs.
        batch_size: rows that it takes.
        feed: that many rows.
        source: the file's path, for messages.
    """
    varying = _varying(proto.graph, roles)
    freed = onnx.ModelProto()
    freed.CopyFrom(proto)
    nodes = list(freed.graph.node)
    seen = _values(proto, [*_wanted(nodes, varying)], feed, source)
    mender = _Mender(batch_size=batch_size, varying=varying, seen=seen, first_input=roles.rows[0].name)
    mended = [new for node in nodes for new in (*mender.nodes_before(node), node)]
    del freed.graph.node[:]
    freed.graph.node.extend([*mender.batch_nodes(), *mended])
    freed.graph.initializer.extend(mender.constants)
    return freed


def how_to_export(roles: Roles) -> str:
    """The line that exports such a generator with a free batch axis, for people."""
    ports = [*roles.rows, *(port for port, _ in roles.constants)]
    names = [port.name if port.name.isidentifier() else f"input_{number}" for number, port in enumerate(ports)]
    axes = ['{0: "batch"}' if port.axes else "None" for port in ports]
    return (
        f"with a free batch axis, from examples of two rows: torch.onnx.export(generator, ({', '.join(names)},), "
        f'"model.onnx", dynamic_shapes=({", ".join(axes)},))'
    )


def _varying(graph: onnx.GraphProto, roles: Roles) -> set[str]:
    """Names of all tensors that differ from row to row."""
    varying = {port.name for port in roles.rows}
    for node in graph.node:
        if varying.intersection(node.input):
            varying.update(name for name in node.output if name)
    return varying


def _weights(node: onnx.NodeProto) -> Iterable[str]:
    return node.input[_WEIGHTS_OF[node.op_type]] if node.op_type in _WEIGHTS_OF else ()


def _wanted(nodes: Iterable[onnx.NodeProto], varying: set[str]) -> Iterator[str]:
    """The tensors whose values and shapes the mending looks at."""
    for node in nodes:
        if shape := _fixed_shape(node, varying):
            yield shape
            yield node.output[0]
        if node.op_type == "Slice":
            yield from (name for name in node.input[1:4] if name and name not in varying)
        yield from _constants_beside_rows(node, varying)


def _fixed_shape(node: onnx.NodeProto, varying: set[str]) -> str:
    """The constant that says what shape the node makes of something that has rows; nothing where there is none."""
    at = _SHAPES_OF.get(node.op_type)
    if at is None or len(node.input) <= at or node.input[0] not in varying or node.input[at] in varying:
        return ""
    return str(node.input[at])


def _constants_beside_rows(node: onnx.NodeProto, varying: set[str]) -> list[str]:
    """The inputs that are the same for all rows, where others are not."""
    if node.op_type not in _ROW_BY_ROW or not varying.intersection(node.input):
        return []
    return [name for name in node.input if name and name not in varying]


def _values(
    proto: onnx.ModelProto, names: list[str], feed: dict[str, NDArray[Any]], source: str
) -> dict[str, NDArray[Any]]:
    """What those tensors are when the file is run at its own batch."""
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    values = {name: numpy_helper.to_array(constants[name]) for name in names if name in constants}
    values |= {name: feed[name] for name in names if name in feed}
    computed = list(dict.fromkeys(name for name in names if name not in values))
    if computed:
        twin = onnx.ModelProto()
        twin.CopyFrom(proto)
        del twin.graph.output[:]
        twin.graph.output.extend(onnx.ValueInfoProto(name=name) for name in computed)
        session = open_session(twin.SerializeToString(), source=source)
        needed = {value.name for value in session.get_inputs()}
        found = session.run(computed, {name: value for name, value in feed.items() if name in needed})
        values.update(zip(computed, found, strict=True))
    return values


@dataclass(kw_only=True)
class _Mender:
    """Puts the constants of one graph right, node by node."""

    batch_size: int
    varying: set[str]
    seen: dict[str, NDArray[Any]]
    first_input: str
    constants: list[onnx.TensorProto] = field(default_factory=list)

    def batch_nodes(self) -> list[onnx.NodeProto]:
        """Nodes that give the size of the batch, as a vector of one."""
        zero = self._constant("first_axis", np.array([0]))
        shape = "ganserve/input_shape"
        return [
            helper.make_node("Shape", [self.first_input], [shape]),
            helper.make_node("Gather", [shape, zero], [_BATCH]),
        ]

    def nodes_before(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Mends a node in place, and gives the nodes that it now needs."""
        if constants := _constants_beside_rows(node, self.varying):
            return [new for name in constants for new in self._free_constant(node, name)]
        name = _fixed_shape(node, self.varying)
        if not name:
            return []
        shape, made = self.seen[name], self.seen[node.output[0]].shape
        match node.op_type:
            case "Reshape":
                self._free_reshape(node, shape, made)
            case "Expand" if len(shape) == len(made) and shape[0] == self.batch_size:
                node.input[1] = self._constant(f"{node.output[0]}/shape", np.array([1, *shape[1:]]))
            case "Resize" if len(shape) == len(made) and shape[0] == self.batch_size:
                return self._with_batch(node, 3, f"{node.output[0]}/sizes", shape[1:])
            case "Slice" if all(name in self.seen for name in node.input[1:4] if name):
                self._free_slice(node)
        return []

    def _free_reshape(self, node: onnx.NodeProto, shape: NDArray[Any], made: tuple[int, ...]) -> None:
        """The batch lies outermost, so whatever a row becomes, the first axis is as long as need be."""
        frees_itself = shape.size == 0 or shape[0] in (0, -1) or (-1 in shape and shape[0] != self.batch_size)
        if frees_itself or 0 in made:
            return
        node.input[1] = self._constant(f"{node.output[0]}/shape", np.array([-1, *made[1:]]))

    def _free_slice(self, node: onnx.NodeProto) -> None:
        """A slice of all rows is one to the end."""
        starts, ends = self.seen[node.input[1]], self.seen[node.input[2]].copy()
        has_axes = len(node.input) > 3 and node.input[3]
        axes = self.seen[node.input[3]] if has_axes else np.arange(len(starts))
        of_batch = (axes == 0) & (starts == 0) & (ends == self.batch_size)
        if of_batch.any():
            ends[of_batch] = np.iinfo(ends.dtype).max
            node.input[2] = self._constant(f"{node.output[0]}/ends", ends)

    def _free_constant(self, node: onnx.NodeProto, name: str) -> list[onnx.NodeProto]:
        """Of a constant with one row written out for each image, one will do; to be joined, as many as there are."""
        value, is_joined = self.seen[name], node.op_type == "Concat"
        if (
            value.ndim < 2
            or len(value) != self.batch_size
            or not np.array_equal(value, np.broadcast_to(value[:1], value.shape))
        ):
            return []
        nodes: list[onnx.NodeProto] = []
        row, at = name, list(node.input).index(name)
        if self.batch_size > 1:
            row = f"ganserve/{node.output[0]}/row_{at}"
            nodes.append(
                helper.make_node("Gather", [name, self._constant(f"{node.output[0]}/first_{at}", np.array([0]))], [row])
            )
        if is_joined and attribute_of(node, "axis").i not in (0, -value.ndim):
            expand = helper.make_node("Expand", [row, ""], [f"ganserve/{node.output[0]}/rows_{at}"])
            nodes += [*self._with_batch(expand, 1, f"{node.output[0]}/shape_{at}", np.array(value.shape[1:])), expand]
            row = expand.output[0]
        node.input[at] = row
        return nodes

    def _with_batch(self, node: onnx.NodeProto, at: int, name: str, row_shape: NDArray[Any]) -> list[onnx.NodeProto]:
        """Makes an input of `node` the size of the batch and then `row_shape`."""
        row = self._constant(f"{name}/row", row_shape)
        node.input[at] = f"ganserve/{name}"
        return [helper.make_node("Concat", [_BATCH, row], [node.input[at]], axis=0)]

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.append(numpy_helper.from_array(value, f"ganserve/{name}"))
        return self.constants[-1].name

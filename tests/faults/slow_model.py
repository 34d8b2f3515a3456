"""A generator that takes its time."""

from __future__ import annotations

from typing import Final

import numpy as np
import onnx
from onnx import helper, numpy_helper

_SIDE: Final = 256
_NUM_PRODUCTS: Final = 3


def slow_down(model: onnx.ModelProto) -> None:
    """Has a linear generator do some milliseconds of work for every row, which change nothing in its images."""
    nodes = model.graph.node
    place = next(place for place, node in enumerate(nodes) if node.op_type == "Add")
    nodes[place].input[0] = "worked"
    # (N, values) → (N, side, values) → (N, side, side), which is multiplied by itself again and again.
    work = [
        helper.make_node("Unsqueeze", ["mapped", "row_axis"], ["lines"]),
        helper.make_node("MatMul", ["column", "lines"], ["spread"]),
        helper.make_node("Transpose", ["spread"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["spread", "turned"], ["product0"]),
    ]
    for number in range(_NUM_PRODUCTS):
        work += [
            helper.make_node("Tanh", [f"product{number}"], [f"bounded{number}"]),
            helper.make_node("MatMul", [f"bounded{number}"] * 2, [f"product{number + 1}"]),
        ]
    work += [
        helper.make_node("Tanh", [f"product{_NUM_PRODUCTS}"], ["done"]),
        helper.make_node("ReduceMax", ["done", "inner_axes"], ["largest"], keepdims=0),
        helper.make_node("Mul", ["largest", "zero"], ["nothing"]),
        helper.make_node("Unsqueeze", ["nothing", "row_axis"], ["nothing_each"]),
        helper.make_node("Add", ["mapped", "nothing_each"], ["worked"]),
    ]
    for node in reversed(work):
        nodes.insert(place, node)
    constants = {
        "row_axis": np.array([1]),
        "inner_axes": np.array([1, 2]),
        "column": np.full((_SIDE, 1), 0.1, np.float32),
        "zero": np.float32(0.0),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )

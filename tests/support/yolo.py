"""A tiny YOLO as ONNX, built node by node, that finds one red person and one blue car by colour, without weights.

It answers in each layout that YOLO networks have, with inputs of any size or of one only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Layout = Literal["columns", "rows", "ready"]
NAMES = {0: "person", 1: "car"}


class _Graph:
    """Nodes in a row; each method gives the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, *values: float, kind: type = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(values, kind), name))
        return name

    def run(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def channel(self, image: str, index: int) -> str:
        ends = (self.constant(index + k, kind=np.int64) for k in (0, 1))
        return self.run("Slice", image, *ends, self.constant(1, kind=np.int64))

    def mask(self, strong: str, weak: str) -> str:
        """1.0 where a pixel is of the one colour and not of the other."""
        is_strong = self.run("Greater", strong, self.constant(0.6))
        is_weak = self.run("Less", weak, self.constant(0.35))
        return self.run("Cast", self.run("And", is_strong, is_weak), to=TensorProto.FLOAT)

    def largest(self, values: str) -> str:
        """(B, 1, 1) of (B, 1, H, W)."""
        top = self.run("ReduceMax", values, axes=[1, 2, 3], keepdims=1)
        return self.run("Squeeze", top, self.constant(3, kind=np.int64))

    def extent(self, mask: str, axis: int) -> tuple[str, str]:
        """Where the mask begins and ends along an axis, in pixels."""
        ones = self.run("Add", self.run("Mul", mask, self.constant(0)), self.constant(1))
        place = self.run("CumSum", ones, self.constant(axis, kind=np.int64))
        total = self.run("ReduceMax", place, axes=[0, 1, 2, 3], keepdims=1)
        end = self.largest(self.run("Mul", mask, place))
        back = self.run("Sub", self.run("Add", total, self.constant(1)), place)
        whole = self.run("Squeeze", total, self.constant(3, kind=np.int64))
        return self.run("Sub", whole, self.largest(self.run("Mul", mask, back))), end

    def half(self, value: str) -> str:
        return self.run("Mul", value, self.constant(0.5))


def write_yolo(path: Path, layout: Layout = "columns", size: tuple[int, int] | None = None, names: bool = True) -> Path:
    """``size``: width and height of the only input it takes, one frame at a time; None: any."""
    graph = _Graph()
    red, blue = graph.channel("images", 0), graph.channel("images", 2)
    boxes = [
        _box(graph, mask, label, layout) for label, mask in enumerate((graph.mask(red, blue), graph.mask(blue, red)))
    ]
    output = graph.run("Concat", *boxes, axis=2)  # (B, values, boxes)
    if layout != "columns":
        output = graph.run("Transpose", output, perm=[0, 2, 1])
    batch, height, width = (1, size[1], size[0]) if size else ("batch", "height", "width")
    inputs = helper.make_tensor_value_info("images", TensorProto.FLOAT, [batch, 3, height, width])
    outputs = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    made = helper.make_graph(graph.nodes, "yolo", [inputs], [outputs], graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if names:
        helper.set_model_props(model, {"names": str(NAMES)})
    onnx.save(model, str(path))
    return path


def _box(graph: _Graph, mask: str, label: int, layout: Layout) -> str:
    """(B, values, 1): the box around a mask, in the order of the layout."""
    (left, right), (top, bottom) = graph.extent(mask, 3), graph.extent(mask, 2)
    seen = graph.run("Mul", graph.largest(mask), graph.constant(0.9))
    none = graph.run("Mul", seen, graph.constant(0))
    if layout == "ready":
        return graph.run(
            "Concat", left, top, right, bottom, seen, graph.run("Add", none, graph.constant(label)), axis=1
        )
    centre = [graph.half(graph.run("Add", left, right)), graph.half(graph.run("Add", top, bottom))]
    sides = [graph.run("Sub", right, left), graph.run("Sub", bottom, top)]
    one = graph.run("Add", none, graph.constant(1))
    scores = [seen if other == label else none for other in NAMES]
    if layout == "rows":  # objectness, then how sure it is of each class
        scores = [seen, *(one if other == label else none for other in NAMES)]
    return graph.run("Concat", *centre, *sides, *scores, axis=1)

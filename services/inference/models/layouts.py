"""What YOLO networks answer, brought to one layout: the raw output of a network in, (4 + classes, boxes) out. Pure.

| layout | raw, without the batch | where from |
|---|---|---|
| columns | (4 + classes, boxes): centre, size, a score for each class | YOLOv8, 9, 11, 12 |
| rows | (boxes, 5 + classes): centre, size, objectness, a score for each class | YOLOv5, v7 |
| ready | (boxes, 6): corners, score, class; already without doubles | YOLOv10, 26, exports with `nms` |
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_READY = 6


class UnknownLayout(ValueError):
    """No layout of a YOLO network that we know."""


def boxes_of(output: Floats, classes: int | None) -> Floats:
    """(4 + classes, boxes) of one frame; ``classes``: how many the network has, None where it does not say."""
    if output.ndim != 2:
        raise UnknownLayout(f"it answers {output.ndim + 1} dimensions, boxes have 3")
    rows, columns = output.shape
    if classes is not None:
        if rows == 4 + classes:
            return output
        if columns == 5 + classes and not (columns == _READY and classes == 1 and _looks_ready(output)):
            return _from_rows(output)
        if columns == _READY:
            return _from_ready(output, classes)
        raise UnknownLayout(f"it answers ({rows}, {columns}), which fits no YOLO of {classes} classes")
    if columns == _READY:
        return _from_ready(output, int(output[:, 5].max(initial=0)) + 1)
    return output if rows < columns else _from_rows(output)


def _from_rows(output: Floats) -> Floats:
    return np.ascontiguousarray(np.hstack([output[:, :4], output[:, 4:5] * output[:, 5:]]).T)


def _from_ready(output: Floats, classes: int) -> Floats:
    corners, scores = output[:, :4], output[:, 4]
    labels = np.clip(output[:, 5].astype(np.int64), 0, classes - 1)
    boxes = np.zeros((4 + classes, len(output)), np.float32)
    boxes[:2] = ((corners[:, :2] + corners[:, 2:]) / 2).T
    boxes[2:4] = (corners[:, 2:] - corners[:, :2]).T
    boxes[4 + labels, np.arange(len(output))] = scores
    return boxes


def _looks_ready(output: Floats) -> bool:
    """Six columns and one class: the last is the class (all 0), not a score."""
    return not output[:, 5].any()

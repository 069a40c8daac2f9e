"""Finds plates in frames: BGR frames in, `Detection`s in pixels of the frame out.

Rules
- `Detector` is the port. `OnnxDetector` runs it on the CPU without torch,
  `torch_detector.UltralyticsDetector` runs the same network on CUDA. Both share all of this file but the
  forward pass, so they agree.
- Frames of a batch may differ in size: those that need the same input run together; the order stays.
- The input is a rectangle: the longest side is `input_size`, the other is rounded up to 32 (16:9 at 640
  runs as 640 x 384).
- Shipped weights are checked against the SHA-256 of their model card before they are loaded.
"""

from __future__ import annotations

import ast
import hashlib
import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from services.inference.core.boxes import FILLS, Letterbox, suppress, up
from services.inference.core.motion import Place
from services.inference.models.layouts import UnknownLayout, boxes_of
from services.inference.models.openvino_network import OpenVinoNetwork
from services.runtime.errors import Stop

Frame = NDArray[np.uint8]
WEIGHTS_FOLDER = Path(__file__).parent.parent / "weights"
DETECTOR_ONNX = WEIGHTS_FOLDER / "detector.onnx"
INPUT_SIZE = 640
CONFIDENCE = 0.25
IOU = 0.5
SAME_PLATE = 0.6
"""A box with so much of itself, or of the other, in common with a better one is the same plate: plates do not overlap,
and around small ones a network likes to give two boxes."""
ROOM = 0.5
"""Of its size, what a picture that its plate fills gets on each side. The network has seen none, and makes the plate
about 0.7 wide."""
PARTS = ((0.5, 0.5), (1.0, 0.5), (0.5, 1.0), (0.75, 0.75))
"""Of a frame's width and height, the parts that may be looked at alone: few, since each is a shape of input for which
a network is compiled."""
_PAD = 114  # the grey that the network was trained with beyond the picture


@dataclass(frozen=True, slots=True)
class Detection:
    """One box: top left corner and size in pixels of the frame, inside it; the detector's score in 0..1."""

    x: float
    y: float
    w: float
    h: float
    score: float
    label: str = "plate"


def is_plate(label: str) -> bool:
    """Whether a class of the detector is read; all others are only followed."""
    return "plate" in label.lower()


class Detector(Protocol):
    def detect(self, frames: Sequence[Frame], places: Sequence[Place | None] = ()) -> list[list[Detection]]:
        """Per frame (h, w, 3, BGR) its boxes in pixels of the frame, best score first. ``places``: of each frame, the
        part that is looked at, in the same scale as the whole; None, or none given: the whole. ValueError for an array
        that is no frame."""
        ...

    def parts(self, width: int, height: int) -> Sequence[tuple[int, int]]:
        """Widths and heights of parts of such a frame that cost less to look at than the whole, the cheapest first."""
        ...


class LetterboxDetector(ABC):
    """All of detection but the forward pass, which a subclass gives as `forward`."""

    def __init__(self, confidence: float, iou: float, input_size: int) -> None:
        if input_size <= 0 or input_size % 32:
            raise ValueError(f"input_size must be a positive multiple of 32, not {input_size}")
        self._confidence, self._iou, self._size = confidence, iou, input_size
        self._fixed: tuple[int, int] | None = None
        """Width and height, where the network takes inputs of one size only."""
        self.names: Mapping[int, str] = {0: "plate"}

    @abstractmethod
    def forward(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(B, H, W, 3) BGR -> (B, 4 + classes, anchors): centre x, y, width, height in pixels, scores."""

    def outputs(self, inputs: Sequence[Frame]) -> list[NDArray[np.float32]]:
        """`forward` of each input (H, W, 3); those of one shape run together."""
        found: dict[int, NDArray[np.float32]] = {}
        for indices in _by_shape(inputs):
            found |= zip(indices, self.forward(np.stack([inputs[i] for i in indices])), strict=True)
        return [found[i] for i in range(len(inputs))]

    def detect(self, frames: Sequence[Frame], places: Sequence[Place | None] = ()) -> list[list[Detection]]:
        places = places or [None] * len(frames)
        found = self._seen(frames, places)
        for i, (frame, place, detections) in enumerate(zip(frames, places, found, strict=True)):
            if place is None and any(is_plate(one.label) and one.w > FILLS * frame.shape[1] for one in detections):
                found[i] = self._seen_with_room(frame) or detections
        return found

    def _seen_with_room(self, frame: Frame) -> list[Detection]:
        """A plate that fills its picture has no surroundings, and so no right edges: it is given some, for a while."""
        height, width = frame.shape[:2]
        down, across = round(height * ROOM), round(width * ROOM)
        roomy = np.asarray(cv2.copyMakeBorder(frame, down, down, across, across, cv2.BORDER_REPLICATE), np.uint8)
        (detections,) = self._seen([roomy], [None])
        inside = []
        for one in detections:
            x1, x2 = (min(max(value - across, 0.0), width) for value in (one.x, one.x + one.w))
            y1, y2 = (min(max(value - down, 0.0), height) for value in (one.y, one.y + one.h))
            if x2 > x1 and y2 > y1:
                inside.append(replace(one, x=round(x1, 2), y=round(y1, 2), w=round(x2 - x1, 2), h=round(y2 - y1, 2)))
        return inside

    def parts(self, width: int, height: int) -> Sequence[tuple[int, int]]:
        if self._fixed is not None:
            return ()
        whole = Letterbox.fit(width, height, self._size)
        scale, found = self._size / max(width, height), []
        for across, down in PARTS:
            wide, high = up(round(whole.input_width * across)), up(round(whole.input_height * down))
            if (wide, high) != (whole.input_width, whole.input_height):
                found.append((min(width, round(wide / scale)), min(height, round(high / scale))))
        return found

    def _seen(self, frames: Sequence[Frame], places: Sequence[Place | None]) -> list[list[Detection]]:
        letterboxes = [self._letterbox(frame, place) for frame, place in zip(frames, places, strict=True)]
        inputs = [
            _draw(_part(frame, place), letterbox)
            for frame, place, letterbox in zip(frames, places, letterboxes, strict=True)
        ]
        return [
            _moved(self._detections(output, letterbox), place)
            for output, letterbox, place in zip(self.outputs(inputs), letterboxes, places, strict=True)
        ]

    def _letterbox(self, frame: Frame, place: Place | None) -> Letterbox:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
            raise ValueError(f"a frame must be (height, width, 3) uint8, not {frame.shape} {frame.dtype}")
        height, width = frame.shape[:2]
        wide, high = (width, height) if place is None else place[2:]
        if self._fixed is not None:
            return Letterbox.within(wide, high, *self._fixed)
        return Letterbox.part(wide, high, self._size / max(width, height))

    def _detections(self, output: NDArray[np.float32], letterbox: Letterbox) -> list[Detection]:
        scores, classes = output[4:].max(axis=0), output[4:].argmax(axis=0)
        chosen = scores >= self._confidence
        centres, sizes = output[:2, chosen].T, output[2:4, chosen].T
        corners = np.hstack([centres - sizes / 2, centres + sizes / 2])
        scores, classes = scores[chosen], classes[chosen]
        # A shift per class keeps boxes of different classes from suppressing each other.
        shift = classes[:, None] * np.float32(4 * max(letterbox.input_width, letterbox.input_height))
        inside = np.array([SAME_PLATE if is_plate(self._name(int(label))) else 1.0 for label in classes])
        kept = suppress(corners + shift, scores, self._iou, inside)
        boxes = letterbox.into_frame(corners[kept])
        return [self._detection(box, float(scores[k]), int(classes[k])) for box, k in zip(boxes, kept, strict=True)]

    def _detection(self, corners: NDArray[np.float64], score: float, label: int) -> Detection:
        x1, y1, x2, y2 = (round(float(value), 2) for value in corners)
        return Detection(x1, y1, round(x2 - x1, 2), round(y2 - y1, 2), round(score, 4), self._name(label))

    def _name(self, label: int) -> str:
        return self.names.get(label, f"class {label}")


class OnnxDetector(LetterboxDetector):
    """The detector on ONNX Runtime, CPU. `threads` 0 lets ONNX Runtime take all cores."""

    def __init__(
        self,
        weights: Path = DETECTOR_ONNX,
        threads: int = 0,
        confidence: float = CONFIDENCE,
        iou: float = IOU,
        input_size: int = INPUT_SIZE,
    ) -> None:
        super().__init__(confidence, iou, input_size)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would eat the decoder's
        self._session = _session(weights, options)
        self._weights = weights
        given = self._session.get_inputs()[0]
        self._input, self._half = given.name, given.type == "tensor(float16)"
        batch, _, height, width = given.shape if len(given.shape) == 4 else (None,) * 4
        self._batch = batch if isinstance(batch, int) else None
        if isinstance(width, int) and isinstance(height, int):
            self._fixed = width, height
        names = self._session.get_modelmeta().custom_metadata_map.get("names")
        self._classes = None
        if names:
            self.names = {int(key): str(value) for key, value in ast.literal_eval(names).items()}
            self._classes = len(self.names)

    def forward(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        step = self._batch or len(inputs)
        outputs = [self._run(inputs[start : start + step], step) for start in range(0, len(inputs), step)]
        try:
            return np.stack([boxes_of(one, self._classes) for output in outputs for one in output])
        except UnknownLayout as error:
            raise Stop(f"{self._weights} is no YOLO detector: {error}; name another file") from error

    def _run(self, inputs: NDArray[np.uint8], step: int) -> NDArray[np.float32]:
        missing = step - len(inputs)  # a network of a fixed batch takes no fewer
        planes = network_input(np.concatenate([inputs, inputs[-1:].repeat(missing, 0)]) if missing else inputs)
        output = self._session.run(None, {self._input: planes.astype(np.float16) if self._half else planes})[0]
        return np.asarray(output, dtype=np.float32)[: len(inputs)]


class OpenVinoDetector(LetterboxDetector):
    """The shipped detector on OpenVINO. Other weights may name other classes: those are `OnnxDetector`'s."""

    def __init__(
        self,
        weights: Path = DETECTOR_ONNX,
        threads: int = 0,
        confidence: float = CONFIDENCE,
        iou: float = IOU,
        input_size: int = INPUT_SIZE,
    ) -> None:
        super().__init__(confidence, iou, input_size)
        self._network = OpenVinoNetwork(checked(weights), weights, threads, pictures=True)

    def forward(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack(self.outputs(list(inputs)))

    def outputs(self, inputs: Sequence[Frame]) -> list[NDArray[np.float32]]:
        return [output[0] for output, *_ in self._network.run([one[None] for one in inputs])]


def _session(weights: Path, options: Any) -> Any:
    content = checked(weights)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the run-time has an exception type of its own for each way in which a file is wrong
        raise Stop(f"{weights} is no ONNX network that runs here; name another file: {error}") from error


def network_input(inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(B, H, W, 3) BGR bytes -> (B, 3, H, W) RGB in 0..1."""
    planes = np.ascontiguousarray(inputs[..., ::-1].transpose(0, 3, 1, 2))
    return planes.astype(np.float32) * np.float32(1 / 255)


def checked(weights: Path) -> bytes:
    """The bytes of a weights file; Stop where it is missing or, shipped, is not what its model card says."""
    try:
        content = weights.read_bytes()
    except OSError as error:
        raise Stop(f"cannot read the weights {weights}: {error.strerror}; name a readable file") from error
    if weights.resolve().parent == WEIGHTS_FOLDER:
        _check_card(weights, content)
    return content


def _check_card(weights: Path, content: bytes) -> None:
    card = weights.with_suffix(".json")
    try:
        expected = json.loads(card.read_bytes())["sha256"][weights.name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Stop(f"the model card {card} names no SHA-256 for {weights.name}; install plateflow again") from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise Stop(f"{weights} is not the file its model card describes (SHA-256 differs); install plateflow again")


def _part(frame: Frame, place: Place | None) -> Frame:
    if place is None:
        return frame
    x, y, width, height = place
    return frame[y : y + height, x : x + width]


def _moved(detections: list[Detection], place: Place | None) -> list[Detection]:
    """Of a part, in pixels of the frame."""
    if place is None:
        return detections
    return [replace(one, x=round(one.x + place[0], 2), y=round(one.y + place[1], 2)) for one in detections]


def _by_shape(inputs: Sequence[Frame]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for i, one in enumerate(inputs):
        groups[one.shape].append(i)
    return list(groups.values())


def _draw(frame: Frame, letterbox: Letterbox) -> Frame:
    size = letterbox.scaled_width, letterbox.scaled_height
    canvas = np.full((letterbox.input_height, letterbox.input_width, 3), _PAD, dtype=np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)
    return canvas

"""The detector: boxes in the right place, whatever the size of the frame, the batch and the network's
input."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.inference.core.boxes import Letterbox, areas, overlaps, suppress
from services.inference.core.evaluation import Found, PictureResult, evaluate
from services.inference.core.truth import parse_truth
from services.inference.models import detector as detector_module
from services.inference.models.detector import SAME_PLATE, Detection, Frame, LetterboxDetector, OnnxDetector, checked
from services.inference.models.factory import create_detector, why_no_cuda
from services.inference.training.plates import render_plate
from services.inference.training.truth import detection_rows, write_truth
from services.runtime.errors import Stop

needs_torch = pytest.mark.skipif(
    not (find_spec("torch") and find_spec("ultralytics")),
    reason="torch or ultralytics is not installed; pip install 'plateflow[gpu]'",
)

sides = st.integers(1, 4000)
coordinates = st.floats(0, 1)


class PaintedBoxes(LetterboxDetector):
    """A network whose answer is known: it finds the bounding box of the pure red pixels of its input."""

    shape: tuple[int, ...] = ()
    """Of the last input."""

    def fix(self, width: int, height: int) -> None:
        """As a network is that takes one size only."""
        self._fixed = width, height

    def forward(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.shape = inputs.shape[1:3]
        return np.stack([self._red(one) for one in inputs])

    def _red(self, picture: Frame) -> NDArray[np.float32]:
        rows, columns = np.nonzero((picture[..., 2] > 200) & (picture[..., 1] < 60))
        if not len(rows):
            return np.zeros((5, 1), np.float32)
        x1, y1, x2, y2 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        box = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0.9]
        return np.array(box, np.float32)[:, None]


class FixedOutput(LetterboxDetector):
    """A network that answers every frame with the same raw rows (x, y, w, h, scores per class)."""

    def __init__(self, rows: list[list[float]], confidence: float = 0.25) -> None:
        super().__init__(confidence, 0.5, 640)
        self._rows = np.array(rows, np.float32).T

    def forward(self, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([self._rows] * len(inputs))


def grey(width: int, height: int) -> Frame:
    return np.full((height, width, 3), 90, np.uint8)


def street_with_plate(width: int, height: int, plate_width: int) -> Frame:
    """A plain dark car back with one drawn plate in the middle."""
    frame = grey(width, height)
    frame[height // 4 : height * 9 // 10, width // 4 : width * 3 // 4] = (60, 40, 30)
    plate = render_plate("A123BC77", height=112).image
    tall = round(plate_width * plate.shape[0] / plate.shape[1])
    x, y = (width - plate_width) // 2, height * 6 // 10
    frame[y : y + tall, x : x + plate_width] = cv2.resize(plate, (plate_width, tall), interpolation=cv2.INTER_AREA)
    return frame


@given(sides, sides, coordinates, coordinates, st.sampled_from([320, 416, 640, 1280]))
def test_letterbox_maps_there_and_back(width: int, height: int, u: float, v: float, size: int) -> None:
    letterbox = Letterbox.fit(width, height, size)
    box = np.array([[u * width * 0.5, v * height * 0.5, u * width, v * height]])

    assert np.allclose(letterbox.into_frame(letterbox.into_input(box)), box, atol=1e-6)


@given(sides, sides, st.sampled_from([320, 416, 640]))
def test_letterbox_input_holds_the_frame_and_suits_the_stride(width: int, height: int, size: int) -> None:
    letterbox = Letterbox.fit(width, height, size)

    assert letterbox.input_width % 32 == letterbox.input_height % 32 == 0
    assert 0 <= letterbox.input_width - letterbox.scaled_width < 32
    assert 0 <= letterbox.input_height - letterbox.scaled_height < 32
    assert max(letterbox.scaled_width, letterbox.scaled_height) == size


def test_a_wide_frame_becomes_a_wide_input() -> None:
    letterbox = Letterbox.fit(1920, 1080, 640)

    assert (letterbox.input_width, letterbox.input_height) == (640, 384)


def test_boxes_beyond_the_frame_are_clipped_to_it() -> None:
    letterbox = Letterbox.fit(1000, 500, 640)

    clipped = letterbox.into_frame(np.array([[-50.0, -9.0, 900.0, 900.0]]))

    assert clipped.tolist() == [[0, 0, 1000, 500]]


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [1, 0, 11, 10], [30, 0, 40, 10]])

    assert suppress(boxes, np.array([0.6, 0.9, 0.7]), 0.5).tolist() == [1, 2]


def test_two_boxes_around_one_plate_are_one_and_two_persons_one_before_the_other_stay_two() -> None:
    """As a network gives them around a small plate: one too high, half of each beside the other."""
    boxes = np.array([[473.0, 174, 501, 184], [472, 168, 503, 181.4], [520, 174, 548, 184]])
    scores = np.array([0.46, 0.45, 0.4])

    assert overlaps(boxes[:1], boxes[1:2])[0, 0] < 0.5
    assert suppress(boxes, scores, 0.5, np.full(3, SAME_PLATE)).tolist() == [0, 2]
    assert suppress(boxes, scores, 0.5).tolist() == [0, 1, 2]


@given(st.lists(st.tuples(*[st.integers(0, 60)] * 4, st.integers(0, 100)), max_size=12))
def test_suppressed_boxes_overlap_a_better_kept_one(rows: list[tuple[int, ...]]) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in rows], float).reshape(-1, 4)
    scores = np.array([row[4] for row in rows], float)

    kept = suppress(boxes, scores, 0.5).tolist()

    mutual = overlaps(boxes, boxes)
    assert all(mutual[a, b] <= 0.5 for a in kept for b in kept if a != b)
    lost = set(range(len(rows))) - set(kept)
    assert all(any(mutual[i, k] > 0.5 and scores[k] >= scores[i] for k in kept) for i in lost)


def test_a_box_overlaps_itself_wholly_and_an_empty_box_nothing() -> None:
    boxes = np.array([[2.0, 3, 12, 8], [5, 5, 5, 5]])

    assert overlaps(boxes, boxes).tolist() == [[1, 0], [0, 0]]
    assert areas(boxes).tolist() == [50, 0]


def test_a_box_is_found_where_it_is_in_the_frame() -> None:
    frame = grey(1920, 1080)
    frame[600:660, 300:600] = (0, 0, 255)

    ((box,),) = PaintedBoxes(0.25, 0.5, 640).detect([frame])

    assert (box.x, box.y, box.w, box.h) == pytest.approx((300, 600, 300, 60), abs=3)


def test_frames_of_different_sizes_answer_in_the_order_asked() -> None:
    frames = [grey(640, 360), grey(300, 500), grey(640, 360), grey(1920, 1080)]
    for number, frame in enumerate(frames):
        frame[40 : 60 + number * 20, 50:150] = (0, 0, 255)
    network = PaintedBoxes(0.25, 0.5, 640)

    assert network.detect(frames) == [network.detect([frame])[0] for frame in frames]


def test_a_part_of_a_frame_is_looked_at_in_the_scale_of_the_whole() -> None:
    frame = grey(1920, 1080)
    frame[600:660, 300:600] = (0, 0, 255)
    frame[100:160, 1500:1800] = (0, 0, 255)
    network = PaintedBoxes(0.25, 0.5, 640)

    assert network.parts(1920, 1080) == [(960, 576), (1920, 576), (960, 1080), (1440, 864)]
    assert network.parts(640, 640)[0] == (320, 320)
    for (width, height), shape in zip(
        network.parts(1920, 1080), [(192, 320), (192, 640), (384, 320), (288, 480)], strict=True
    ):
        ((box,),) = network.detect([frame], [(0, 1080 - height, width, height)])
        assert (box.x, box.y, box.w, box.h) == pytest.approx((300, 600, 300, 60), abs=3)
        assert network.shape == shape


def test_the_shipped_network_sees_in_a_part_what_it_sees_in_the_whole() -> None:
    frame, network = street_with_plate(1280, 720, 180), OnnxDetector(threads=1)

    ((whole, *_),) = network.detect([frame])
    for width, height in network.parts(1280, 720):
        ((part, *_),) = network.detect(
            [frame], [(320 if width < 960 else 160 if width < 1280 else 0, 720 - height, width, height)]
        )
        assert numbers(part)[:4] == pytest.approx(numbers(whole)[:4], abs=4)


def test_a_network_of_one_size_of_input_gains_nothing_by_parts() -> None:
    network = PaintedBoxes(0.25, 0.5, 640)
    network.fix(640, 384)

    assert network.parts(1920, 1080) == ()


def test_boxes_that_reach_out_of_the_frame_are_clipped_and_rounded() -> None:
    ((box,),) = FixedOutput([[10, 10, 100.123, 40, 0.87654]]).detect([grey(640, 640)])

    assert box == Detection(0, 0, 60.06, 30, 0.8765, "plate")


def test_unsure_boxes_are_left_out_and_the_others_come_best_first() -> None:
    rows = [[100, 100, 50, 20, 0.5], [300, 300, 50, 20, 0.9], [500, 500, 50, 20, 0.2]]

    (boxes,) = FixedOutput(rows).detect([grey(640, 640)])

    assert [box.score for box in boxes] == [0.9, 0.5]


def test_overlapping_boxes_of_different_classes_both_stay() -> None:
    network = FixedOutput([[100, 100, 50, 20, 0.9, 0.1], [101, 100, 50, 20, 0.1, 0.8]])
    network.names = {0: "plate", 1: "car"}

    (boxes,) = network.detect([grey(640, 640)])

    assert [box.label for box in boxes] == ["plate", "car"]


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((0, 10, 3), np.uint8),
        np.zeros((10, 10, 3), np.float32),
    ],
    ids=["grey", "four channels", "empty", "floats"],
)
def test_an_array_that_is_no_frame_is_refused(frame: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"a frame must be \(height, width, 3\) uint8"):
        PaintedBoxes(0.25, 0.5, 640).detect([frame])


def test_an_input_size_that_does_not_suit_the_network_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        PaintedBoxes(0.25, 0.5, 600)


def test_no_frames_give_no_answers() -> None:
    assert OnnxDetector(threads=1).detect([]) == []


def test_the_shipped_network_finds_a_drawn_plate() -> None:
    ((box, *_),) = OnnxDetector(threads=1).detect([street_with_plate(1280, 720, 180)])

    assert box.label == "plate"
    found = np.array([[box.x, box.y, box.x + box.w, box.y + box.h]])
    assert overlaps(found, np.array([[550.0, 432, 730, 471]])).item() >= 0.5


def test_the_shipped_network_finds_nothing_on_a_plain_wall() -> None:
    assert OnnxDetector(threads=1).detect([grey(1280, 720)]) == [[]]


def test_the_shipped_network_answers_a_mixed_batch_as_it_answers_each_frame() -> None:
    frames = [
        street_with_plate(1280, 720, 180),
        street_with_plate(640, 480, 120),
        street_with_plate(1280, 720, 90),
    ]
    network = OnnxDetector(threads=1)

    together, alone = network.detect(frames), [network.detect([frame])[0] for frame in frames]

    assert [len(boxes) for boxes in together] == [len(boxes) for boxes in alone]
    for some, others in zip(together, alone, strict=True):
        for one, other in zip(some, others, strict=True):
            assert numbers(one) == pytest.approx(numbers(other), abs=0.05)


def numbers(box: Detection) -> tuple[float, ...]:
    return box.x, box.y, box.w, box.h, box.score


def test_shipped_weights_that_differ_from_their_card_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector_module, "WEIGHTS_FOLDER", tmp_path)
    weights = tmp_path / "detector.onnx"
    weights.write_bytes(b"right")
    card = {"sha256": {"detector.onnx": hashlib.sha256(b"right").hexdigest()}}
    (tmp_path / "detector.json").write_text(json.dumps(card))

    assert checked(weights) == b"right"
    weights.write_bytes(b"wrong")
    with pytest.raises(Stop, match="SHA-256 differs"):
        checked(weights)


def test_shipped_weights_without_a_card_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_module, "WEIGHTS_FOLDER", tmp_path)
    (tmp_path / "detector.onnx").write_bytes(b"anything")

    with pytest.raises(Stop, match=r"detector\.json names no SHA-256"):
        checked(tmp_path / "detector.onnx")


def test_missing_weights_are_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(Stop, match=r"none\.onnx: No such file"):
        OnnxDetector(tmp_path / "none.onnx")


def test_a_file_that_is_no_network_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_bytes(b"no network")

    with pytest.raises(Stop, match=r"text\.onnx is no ONNX network"):
        OnnxDetector(tmp_path / "text.onnx")


def test_every_shipped_weight_file_of_the_detector_is_what_its_card_says() -> None:
    card = json.loads((detector_module.WEIGHTS_FOLDER / "detector.json").read_text())

    for name in card["sha256"]:
        assert checked(detector_module.WEIGHTS_FOLDER / name)


def test_the_cpu_is_taken_when_asked_for() -> None:
    assert isinstance(create_detector("cpu", threads=1, runtime="onnxruntime"), OnnxDetector)


@pytest.mark.skipif(not why_no_cuda(), reason="this machine has CUDA")
def test_cuda_where_there_is_none_says_what_to_do_and_auto_takes_the_cpu() -> None:
    with pytest.raises(Stop, match=r"PLATEFLOW_DEVICE=cuda, but .*(pip install|nvidia-smi)"):
        create_detector("cuda")
    assert isinstance(create_detector("auto", threads=1, runtime="onnxruntime"), OnnxDetector)


@pytest.mark.slow
def test_at_least_nine_in_ten_plates_of_the_validation_photos_are_found(shared_data: Path, tmp_path: Path) -> None:
    photos = shared_data / "plates" / "det"
    write_truth(tmp_path / "val.csv", detection_rows(photos / "images" / "val", photos / "labels" / "val"))
    truth = parse_truth((tmp_path / "val.csv").read_text().splitlines(), "val.csv")
    network = OnnxDetector(threads=1)
    results = []
    for file, plates in truth.items():
        boxes = network.detect([photo(photos / "images" / "val" / file)])[0]
        found = [Found((box.x, box.y, box.w, box.h), box.score) for box in boxes]
        results.append(PictureResult(plates, [""] * len(plates), found))

    recall = evaluate(results).recall

    assert recall.whole == 71
    assert recall.value is not None
    assert recall.value >= 0.90


@pytest.mark.parametrize("text", ["A123BC77", "K456MX199", "M789OP78"])
def test_a_plate_that_fills_its_picture_is_found_from_edge_to_edge(text: str) -> None:
    plate = render_plate(text, height=30).image
    width = plate.shape[1]
    picture = cv2.copyMakeBorder(plate, 4, 4, 8, 8, cv2.BORDER_CONSTANT, value=(60, 40, 30))

    (found,) = create_detector("cpu", runtime="onnxruntime").detect([np.asarray(picture, np.uint8)])

    assert found[0].w == pytest.approx(width, abs=0.1 * width)
    assert found[0].x == pytest.approx(8, abs=0.1 * width)


@given(st.integers(60, 300), st.integers(20, 200), st.floats(0.65, 1.0))
def test_boxes_of_a_picture_that_was_given_room_are_boxes_of_the_picture(width: int, height: int, share: float) -> None:
    frame, wide = grey(width, height), round(width * share)
    frame[height // 4 : height * 3 // 4, :wide] = (0, 0, 255)

    ((one,),) = PaintedBoxes(0.25, 0.5, 640).detect([frame])

    assert 0 <= one.x <= one.x + one.w <= width
    assert 0 <= one.y <= one.y + one.h <= height
    assert one.w == pytest.approx(wide, abs=4)


@pytest.mark.torch
@needs_torch
def test_torch_and_onnx_runtime_agree_on_real_photos(shared_data: Path) -> None:
    from services.inference.models.torch_detector import UltralyticsDetector

    photos = shared_data / "plates" / "det" / "images" / "val"
    frames = [photo(path) for path in sorted(photos.glob("*.jpg"))[::16]]

    on_torch = UltralyticsDetector(device="cpu").detect(frames)
    on_onnx = OnnxDetector(threads=1).detect(frames)

    assert sum(map(len, on_onnx)) > 0
    for some, others in zip(on_torch, on_onnx, strict=True):
        assert [numbers(box)[:4] for box in some] == [pytest.approx(numbers(box)[:4], abs=2.0) for box in others]
        assert [box.score for box in some] == pytest.approx([box.score for box in others], abs=0.02)


def photo(path: Path) -> Frame:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_COLOR), dtype=np.uint8)

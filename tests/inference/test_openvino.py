"""The networks on OpenVINO: the same answers as on ONNX Runtime, from any thread, for any size."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from services.inference.models import openvino_network
from services.inference.models.detector import DETECTOR_ONNX, OnnxDetector, OpenVinoDetector, checked
from services.inference.models.factory import create_detector, create_recogniser
from services.inference.models.openvino_network import KEPT, OpenVinoNetwork
from services.inference.models.recogniser import WEIGHTS as RECOGNISER_ONNX
from services.inference.models.recogniser import OnnxRecogniser, OpenVinoRecogniser
from services.inference.training.plates import plate_text, render_plate
from services.runtime.errors import Stop

needs_openvino = pytest.mark.skipif(not openvino_network.available(), reason="openvino is not installed (x86 only)")


def street(width: int, height: int, plate_width: int) -> NDArray[np.uint8]:
    frame = np.full((height, width, 3), 96, np.uint8)
    frame[height // 3 :, width // 4 : 3 * width // 4] = (60, 40, 30)
    plate = render_plate("A123BC77", height=112).image
    tall = round(plate_width * plate.shape[0] / plate.shape[1])
    x, y = width // 2 - plate_width // 2, height * 3 // 5
    frame[y : y + tall, x : x + plate_width] = cv2.resize(plate, (plate_width, tall))
    return frame


@needs_openvino
def test_both_run_times_find_the_same_plates_in_frames_of_several_sizes() -> None:
    frames = [street(1280, 720, 180), street(640, 480, 120), street(1280, 720, 90), street(600, 800, 130)]
    one, other = (network.detect(frames) for network in (OpenVinoDetector(threads=1), OnnxDetector(threads=1)))

    for found, expected in zip(one, other, strict=True):
        assert len(found) == len(expected) == 1
        assert found[0].label == expected[0].label == "plate"
        near = (found[0].x, found[0].y, found[0].w, found[0].h)
        assert near == pytest.approx((expected[0].x, expected[0].y, expected[0].w, expected[0].h), abs=3)
        assert found[0].score == pytest.approx(expected[0].score, abs=0.05)
    assert OpenVinoDetector(threads=1).detect([]) == []


@needs_openvino
@pytest.mark.parametrize("count", [0, 1, 7, 8, 19])
def test_both_run_times_read_the_same_texts(count: int) -> None:
    rng = np.random.default_rng(42)
    crops = [render_plate(plate_text("ru_private", rng), seed=rng).image for _ in range(count)]
    one, other = (network.read(crops) for network in (OpenVinoRecogniser(threads=1), OnnxRecogniser(threads=1)))

    assert [reading.text for reading in one] == [reading.text for reading in other]
    for reading, expected in zip(one, other, strict=True):
        assert reading.confidences == pytest.approx(expected.confidences, abs=0.05)
        assert reading.plate == pytest.approx(expected.plate, abs=0.05)


@needs_openvino
def test_threads_that_use_one_network_at_a_time_get_their_own_answers() -> None:
    network = OpenVinoDetector(threads=2)
    frames = [street(640, 480, width) for width in (90, 120, 150, 180)]
    alone = [network.detect([frame])[0] for frame in frames]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda k: network.detect([frames[k % 4]] * 3), range(12)))

    for k, answer in enumerate(answers):
        assert answer == [alone[k % 4]] * 3


@needs_openvino
@pytest.mark.parametrize("threads", [1, 2, 8])
def test_items_of_mixed_shapes_get_their_own_answers_in_their_own_order(threads: int) -> None:
    network = OpenVinoNetwork(checked(DETECTOR_ONNX), DETECTOR_ONNX, threads, pictures=True)
    wide, high = street(128, 64, 40), street(64, 128, 30)
    items = [np.roll(one, 16 * k, axis=1)[None] for k in range(4) for one in (wide, high, wide)]
    alone = [network.run([item])[0] for item in items]

    for found, expected in zip(network.run(items), alone, strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@needs_openvino
def test_what_fails_within_a_call_keeps_nothing_from_the_next_one() -> None:
    network = OpenVinoNetwork(checked(DETECTOR_ONNX), DETECTOR_ONNX, 1, pictures=True)
    good, empty = street(128, 64, 40)[None], np.zeros((1, 0, 64, 3), np.uint8)
    (expected,) = network.run([good])

    for _ in range(3):
        with pytest.raises(Exception):  # noqa: B017 - the run-time's own
            network.run([good, empty])

    np.testing.assert_array_equal(network.run([good])[0][0], expected[0])


@needs_openvino
def test_threads_that_want_several_shapes_in_any_order_wait_for_each_other_in_no_circle() -> None:
    network = OpenVinoNetwork(checked(DETECTOR_ONNX), DETECTOR_ONNX, 1, pictures=True)
    items = [street(128, 64, 40)[None], street(64, 128, 30)[None]]
    alone = [network.run([item])[0][0] for item in items]

    with ThreadPoolExecutor(4) as pool:
        orders = [(0, 1), (1, 0), (0, 0, 1), (1, 1, 0)] * 10
        answers = list(pool.map(lambda order: network.run([items[k] for k in order]), orders, timeout=100))

    for order, answer in zip(orders, answers, strict=True):
        for k, (found, *_) in zip(order, answer, strict=True):
            np.testing.assert_array_equal(found, alone[k])


@needs_openvino
def test_only_the_shapes_used_last_are_kept_compiled() -> None:
    network = OpenVinoNetwork(checked(DETECTOR_ONNX), DETECTOR_ONNX, 1, pictures=True)
    for width in range(64, 64 + 32 * (KEPT + 2), 32):
        network.run([np.zeros((1, 64, width, 3), np.uint8)])

    assert len(network._pools) == KEPT


@needs_openvino
def test_a_signal_finds_the_process_alive_after_networks_came_and_went() -> None:
    """OpenVINO's object for a process changes the stack on which signals are handled."""
    code = """if True:
        import gc, os, signal
        import numpy as np
        from services.inference.models.detector import DETECTOR_ONNX, checked
        from services.inference.models.openvino_network import OpenVinoNetwork

        def network():
            made = OpenVinoNetwork(checked(DETECTOR_ONNX), DETECTOR_ONNX, 1, pictures=True)
            made.run([np.zeros((1, 64, 64, 3), np.uint8)])
            return made

        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append("handled"))
        first, second = network(), network()
        del first
        gc.collect()
        del second
        gc.collect()
        signal.raise_signal(signal.SIGTERM)
        print(told[0])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)

    assert (done.returncode, done.stdout.strip()) == (0, "handled"), done.stderr


@needs_openvino
def test_threads_that_bring_the_first_pictures_of_a_process_at_once_all_get_answers() -> None:
    code = """if True:
        import sys, threading
        import numpy as np
        from services.inference.models.detector import DETECTOR_ONNX, checked
        from services.inference.models.openvino_network import OpenVinoNetwork

        sys.setswitchinterval(1e-6)  # threads take turns far more often than they usually do
        network = OpenVinoNetwork(checked(DETECTOR_ONNX), DETECTOR_ONNX, 4, pictures=True)
        network._pool((1, 64, 64, 3))
        together = threading.Barrier(4)

        def first():
            together.wait()
            network.run([np.zeros((1, 64, 64, 3), np.uint8)])

        threads = [threading.Thread(target=first) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    """
    for _ in range(3):
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@needs_openvino
def test_what_is_no_network_is_told(tmp_path: Path) -> None:
    with pytest.raises(Stop, match="is no network that OpenVINO reads"):
        OpenVinoNetwork(b"no network", tmp_path / "text.onnx", 1, pictures=True)


@needs_openvino
def test_the_shipped_networks_run_on_openvino_and_weights_of_others_on_onnx_runtime(tmp_path: Path) -> None:
    copy = tmp_path / "yolo.onnx"
    copy.write_bytes(DETECTOR_ONNX.read_bytes())

    assert isinstance(create_detector("cpu"), OpenVinoDetector)
    assert isinstance(create_detector("cpu", copy), OnnxDetector)
    assert isinstance(create_detector("cpu", copy, runtime="openvino"), OnnxDetector)
    assert isinstance(create_recogniser(), OpenVinoRecogniser)
    assert isinstance(create_recogniser(RECOGNISER_ONNX, runtime="openvino"), OnnxRecogniser)
    assert isinstance(create_recogniser(runtime="onnxruntime"), OnnxRecogniser)


def test_where_openvino_is_not_installed_auto_does_without_and_asking_for_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino_network, "available", lambda: False)

    assert isinstance(create_detector("cpu"), OnnxDetector)
    assert isinstance(create_recogniser(), OnnxRecogniser)
    with pytest.raises(Stop, match="PLATEFLOW_CPU_RUNTIME=openvino, but openvino is not installed"):
        create_detector("cpu", runtime="openvino")

"""RapidOCR's reader behind the recogniser's port: the texts that the package itself reads, in our alphabet."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from services.inference.models import rapid_recogniser
from services.inference.models.factory import create_recogniser
from services.inference.models.rapid_recogniser import RapidRecogniser
from services.inference.models.recogniser import ALPHABET, WEIGHTS, Image
from services.inference.training.plates import plate_text, render_plate
from services.runtime.errors import Stop

needs_rapidocr = pytest.mark.skipif(
    not rapid_recogniser.available(), reason="rapidocr is not installed: pip install 'plateflow[rapidocr]'"
)


def _crops(count: int) -> list[Image]:
    """Drawn plates of several heights, the last one wider than the network's least input."""
    rng = np.random.default_rng(7)
    crops = [render_plate(plate_text("ru_private", rng), seed=rng, height=30 + 9 * k).image for k in range(count)]
    return [*crops, np.asarray(cv2.resize(crops[-1], (500, 60)), np.uint8)]


@needs_rapidocr
def test_a_drawn_plate_is_read_and_its_probabilities_are_those_of_the_chosen_characters() -> None:
    (reading,) = create_recogniser(threads=1, engine="rapidocr").read([render_plate("A123BC77", height=96).image])

    assert reading.text == "A123BC77"
    assert reading.probabilities.shape == (8, len(ALPHABET))
    assert min(reading.confidences) > 0.5
    assert bool((reading.probabilities.sum(axis=1) <= 1 + 1e-4).all())
    assert (reading.region, reading.corners, reading.plate, reading.rows) == ("", None, 1.0, 1)


@needs_rapidocr
def test_the_texts_and_scores_are_those_that_the_package_itself_gives() -> None:
    from rapidocr import RapidOCR

    theirs: Any = RapidOCR(params={"Global.use_det": False, "Global.use_cls": False, "Global.log_level": "critical"})
    crops = _crops(8)  # all at least 30 pixels high: smaller ones it enlarges first
    for crop, reading in zip(crops, RapidRecogniser(threads=1).read(crops), strict=True):
        output = theirs(crop, use_det=False, use_cls=False, use_rec=True)
        plain = "".join(letter for letter in output.txts[0].upper() if letter in ALPHABET)

        assert reading.text == plain
        if plain == output.txts[0]:
            assert np.mean(reading.confidences) == pytest.approx(output.scores[0], abs=0.02)


@needs_rapidocr
def test_a_crop_reads_the_same_alone_and_among_others() -> None:
    model, crops = RapidRecogniser(threads=1), _crops(4)

    together = model.read(crops)

    assert model.read([]) == []
    for crop, reading in zip(crops, together, strict=True):
        (alone,) = model.read([crop])
        assert (alone.text, alone.confidences) == (reading.text, reading.confidences)


@needs_rapidocr
def test_a_grey_crop_reads_as_the_same_in_three_channels() -> None:
    grey = np.asarray(cv2.cvtColor(render_plate("A123BC77", height=96).image, cv2.COLOR_BGR2GRAY), np.uint8)

    one, other = RapidRecogniser(threads=1).read([grey, np.dstack([grey] * 3)])

    assert one.text == other.text == "A123BC77"
    assert one.confidences == other.confidences


@needs_rapidocr
def test_a_blank_crop_and_a_crop_of_one_pixel_have_no_text_and_an_empty_one_is_refused() -> None:
    model = RapidRecogniser(threads=1)
    blank, dot = np.full((40, 160, 3), 128, np.uint8), np.zeros((1, 1, 3), np.uint8)

    assert [reading.text for reading in model.read([blank, dot])] == ["", ""]
    with pytest.raises(ValueError, match="empty crop"):
        model.read([np.zeros((0, 5, 3), np.uint8)])


@needs_rapidocr
def test_small_and_wide_letters_count_as_those_of_the_alphabet_and_signs_as_none() -> None:
    place = rapid_recogniser._place

    assert [place(one) for one in ("A", "a", "Ａ", "7", "７")] == [10, 10, 10, 7, 7]
    assert [place(one) for one in ("-", "京", " ", "ß", "")] == [-1] * 5


@needs_rapidocr
def test_it_reads_without_a_network_and_says_nothing() -> None:
    program = """
import socket
def refuse(*arguments, **options): raise AssertionError("a connection was asked for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from services.inference.models.factory import create_recogniser
from services.inference.training.plates import render_plate
(reading,) = create_recogniser(engine="rapidocr").read([render_plate("A123BC77", height=96).image])
assert reading.text == "A123BC77", reading.text
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=100)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_the_package_is_missing_or_another_release_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(Stop, match=r"not installed: pip install 'plateflow\[rapidocr\]'"):
        create_recogniser(engine="rapidocr")

    other = importlib.machinery.ModuleSpec("rapidocr", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: other)
    with pytest.raises(Stop, match=r"PP-OCRv6_rec_small.onnx, so it is another release: pip install"):
        create_recogniser(engine="rapidocr")


def test_our_weights_are_not_for_rapidocr() -> None:
    with pytest.raises(Stop, match="brings its own weights"):
        create_recogniser(WEIGHTS, engine="rapidocr")

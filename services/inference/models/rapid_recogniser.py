"""RapidOCR's reader of text lines (PP-OCRv6 small, Apache-2.0) behind the recogniser's port: what a general reader
makes of the same crops.

Rules. Of the package only its weights are used, which it carries: nothing is fetched, nothing is logged. Crops are
scaled as RapidOCR scales them, one at a time, so that no crop changes what another says. Of its 18,710 classes those
that stand for a character of ALPHABET are added up, the rest counts as no character. It reads one line, so of a plate
of two rows at best one; whether a crop shows a plate, and where its corners are, it does not say.
"""

from __future__ import annotations

import importlib.util
import math
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from services.inference.models.recogniser import ALPHABET, CharacterReading, Image, decode
from services.runtime.errors import Stop

_WEIGHTS = "models/PP-OCRv6_rec_small.onnx"
_HEIGHT, _LEAST_WIDTH = 48, 320  # of its input; a wider crop makes it wider
_REMEDY = "pip install 'plateflow[rapidocr]'"


def available() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("rapidocr") is not None


class RapidRecogniser:
    """On ONNX Runtime, CPU. `threads` 0 leaves the number to the run-time. Stop where the package is not installed, or
    is not the release whose weights this file knows."""

    def __init__(self, threads: int = 0) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would eat the decoder's
        self._session = ort.InferenceSession(str(_weights()), options, providers=["CPUExecutionProvider"])
        classes = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        places = [(number, place) for number, one in enumerate(classes, start=1) if (place := _place(one)) >= 0]
        self._classes = np.array([number for number, _ in places])  # class 0 is the blank
        self._letters = np.eye(len(ALPHABET), dtype=np.float32)[[place for _, place in places]]

    def read(self, crops: Sequence[Image]) -> list[CharacterReading]:
        """Read BGR crops of any size. ValueError for an empty one."""
        return [decode(self._probabilities(crop)[None]) for crop in crops]

    def _probabilities(self, crop: Image) -> NDArray[np.float32]:
        """(columns, 1 + 36), the first being the blank."""
        (output,) = self._session.run(None, {self._session.get_inputs()[0].name: _prepare(crop)[None]})
        letters = np.asarray(output)[0][:, self._classes] @ self._letters
        return np.hstack([1 - letters.sum(axis=1, keepdims=True), letters])


def _weights() -> Path:
    package = importlib.util.find_spec("rapidocr")
    if package is None or package.origin is None:
        raise Stop(f"the engine rapidocr is not installed: {_REMEDY}")
    weights = Path(package.origin).parent / _WEIGHTS
    if not weights.is_file():
        raise Stop(f"the installed rapidocr has no {weights.name}, so it is another release: {_REMEDY}")
    return weights


def _place(character: str) -> int:
    """In ALPHABET, also of small and of wide letters; -1 for all else."""
    plain = unicodedata.normalize("NFKC", character).upper()
    return ALPHABET.index(plain) if len(plain) == 1 and plain in ALPHABET else -1


def _prepare(crop: Image) -> NDArray[np.float32]:
    """A BGR or grey crop as (3, 48, width) BGR in -1..1: the crop on the left, grey beside it up to the least width."""
    if crop.size == 0:
        raise ValueError("an empty crop cannot be read: give a picture of at least one pixel")
    colour = cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR) if crop.ndim == 2 else crop
    height, width = crop.shape[:2]
    whole = max(_LEAST_WIDTH, int(_HEIGHT * width / height))
    scaled = cv2.resize(colour, (min(whole, math.ceil(_HEIGHT * width / height)), _HEIGHT))
    prepared = np.zeros((3, _HEIGHT, whole), np.float32)
    prepared[:, :, : scaled.shape[1]] = scaled.transpose(2, 0, 1) * np.float32(2 / 255) - 1
    return prepared

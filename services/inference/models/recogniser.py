"""Reads plate crops: in come BGR pictures of plates, out come characters with their probabilities. No torch
here.

Rules. A crop of any size becomes one grey picture of INPUT_SIZE by `preprocess`, which training uses too, so
the two cannot differ. The network (ONNX) straightens the plate itself and gives a CTC distribution per column of
its upper and its lower row; `decode` turns them into one text greedily, and rows that are read unsurely are looked
at once more (`read_all`). The model file carries alphabet, input size and steps in its metadata; its model card
beside it (`recogniser.json`) carries its SHA-256. Where either disagrees, nothing is read and the error says what
to do.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from services.inference.models.openvino_network import OpenVinoNetwork
from services.inference.models.rows import row_pictures, together, unsure
from services.runtime.errors import Stop

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
INPUT_SIZE = (64, 192)  # height, width of the grey picture that the network takes
ROWS, COLUMNS = 2, 40  # of the network's answer: rows of a plate, places of a row
_TOGETHER = 8
MARGIN = 0.06
"""Of a plate's box, how much of what surrounds it is read on each side."""
WEIGHTS = Path(__file__).parent.parent / "weights" / "recogniser.onnx"

Image = NDArray[np.uint8]
Answer = tuple[NDArray[np.float32], NDArray[np.float32], float]
"""What the network says of one crop: probabilities (ROWS, COLUMNS, 37), corners (4, 2), whether it shows a plate."""
Run = Callable[[Sequence[Image]], list[Answer]]
"""Pictures of `preprocess` in, an answer each out, in the same order."""


class WrongWeights(Stop):
    """The weights are not the ones this code and their model card describe."""


@dataclass(frozen=True, slots=True)
class CharacterReading:
    """One decoded reading of one crop.

    `text`: characters of ALPHABET. `probabilities`: (len(text), 36) float32, the distribution over ALPHABET
    at each decoded character; the mass of the blank is left out, so a row sums to at most 1.
    """

    text: str
    probabilities: NDArray[np.float32]
    plate: float = 1.0
    """Probability that the crop shows a plate at all."""
    rows: int = 1
    """Rows of characters on the plate."""
    region: str = ""
    """Where plates look like this one ("RU", "EU"); empty: unknown."""
    corners: NDArray[np.float32] | None = None
    """(4, 2) in units of the crop, clockwise from top left; None where the engine finds none."""

    @property
    def confidences(self) -> tuple[float, ...]:
        """Probability of each chosen character, rounded to 4 digits so that decisions repeat exactly."""
        return tuple(
            round(float(row[ALPHABET.index(char)]), 4) for char, row in zip(self.text, self.probabilities, strict=True)
        )


class Recogniser(Protocol):
    """Anything that reads plates: BGR crops of any size in, one reading per crop out, in the same order."""

    def read(self, crops: Sequence[Image]) -> list[CharacterReading]: ...


def crop_plate(frame: Image, box_xywh: Sequence[float], margin: float = MARGIN) -> Image:
    """The part of `frame` (h, w, 3) that the recogniser expects: the detector's box (pixels) grown by
    `margin` of its size on each side, cut at the frame's edges. Raises ValueError for a box that lies outside
    the frame."""
    x0, y0, x1, y1 = crop_place(frame, box_xywh, margin)
    return frame[y0:y1, x0:x1]


def crop_place(frame: Image, box_xywh: Sequence[float], margin: float = MARGIN) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of `crop_plate` in the frame's pixels."""
    x, y, width, height = box_xywh
    rows, columns = frame.shape[:2]
    x0, y0 = max(int(x - width * margin), 0), max(int(y - height * margin), 0)
    x1 = min(int(np.ceil(x + width * (1 + margin))), columns)
    y1 = min(int(np.ceil(y + height * (1 + margin))), rows)
    if x0 >= x1 or y0 >= y1:
        raise ValueError(f"the box {tuple(box_xywh)} lies outside the frame of {columns}x{rows} pixels")
    return x0, y0, x1, y1


def preprocess(crop: Image) -> Image:
    """A BGR or grey crop of any size as grey uint8 of INPUT_SIZE, stretched. Raises ValueError for an empty
    crop."""
    if crop.size == 0:
        raise ValueError("an empty crop cannot be read: give a picture of at least one pixel")
    grey = crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    return cv2.resize(grey, INPUT_SIZE[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def decode_all(
    probabilities: NDArray[np.float32], corners: NDArray[np.float32], plates: NDArray[np.float32]
) -> list[CharacterReading]:
    """One reading for each crop: (N, ROWS, COLUMNS, 37), (N, 4, 2) and (N,), as the network gives them."""
    return [decode(*one) for one in zip(probabilities, corners, plates, strict=True)]


def decode(
    probabilities: NDArray[np.float32], corners: NDArray[np.float32] | None = None, plate: float = 1.0
) -> CharacterReading:
    """The reading of one crop: its rows, the upper first, put together. `probabilities`: (ROWS, COLUMNS, 37)."""
    return _reading([_decode_row(row) for row in probabilities], corners, plate)


def _reading(
    rows: Sequence[NDArray[np.float32]], corners: NDArray[np.float32] | None, plate: float
) -> CharacterReading:
    found = np.concatenate(rows)
    text = "".join(ALPHABET[int(index)] for index in found.argmax(axis=1))
    count = sum(len(row) > 0 for row in rows)
    return CharacterReading(text, found, round(float(plate), 4), max(count, 1), corners=corners)


def read_all(crops: Sequence[Image], run: Run) -> list[CharacterReading]:
    """One reading for each crop by the network that `run` runs; the rows of unsure plates of two rows are looked at
    once more (`services.inference.models.rows`)."""
    pictures = [preprocess(crop) for crop in crops]
    answers = run(pictures)
    found = [[_decode_row(row) for row in probabilities] for probabilities, _, _ in answers]
    again = [index for index, rows in enumerate(found) if unsure(rows)]
    looks = run([row for index in again for row in row_pictures(pictures[index], answers[index][1])])
    alone = iter([_decode_row(probabilities[0]) for probabilities, _, _ in looks])
    for index in again:
        found[index] = [together(whole, next(alone), ALPHABET) for whole in found[index]]
    return [_reading(rows, corners, plate) for rows, (_, corners, plate) in zip(found, answers, strict=True)]


def _decode_row(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Greedy CTC decoding (Graves et al. 2006) of (COLUMNS, 1 + 36) probabilities, class 0 being the blank: the
    distribution over ALPHABET of each character.

    Adjacent columns of one class are one character; its distribution is taken at the column where it is
    surest.
    """
    best = probabilities.argmax(axis=1)
    starts = np.flatnonzero((best != 0) & np.diff(best, prepend=0).astype(bool))
    columns = [_surest(probabilities[:, best[start]], best, int(start)) for start in starts]
    return probabilities[columns, 1:].astype(np.float32).reshape(len(columns), len(ALPHABET))


def _surest(confidence: NDArray[np.float32], best: NDArray[np.intp], start: int) -> int:
    end = start
    while end < len(best) and best[end] == best[start]:
        end += 1
    return start + int(confidence[start:end].argmax())


class OnnxRecogniser:
    """The recogniser on ONNX Runtime, CPU. `threads` 0 leaves the number to the run-time.

    Raises WrongWeights if the file is missing, is not the one its model card names, or was made for another
    alphabet or input size than this code's.
    """

    def __init__(self, weights: Path = WEIGHTS, threads: int = 0, batch: int = 32) -> None:
        check_hash(weights)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads would eat the decoder's
        self._session = ort.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map
        check_metadata(weights, self.metadata)
        self._batch = batch

    def read(self, crops: Sequence[Image]) -> list[CharacterReading]:
        """Read BGR crops of any size, `batch` of them at a time."""
        return read_all(crops, self._run)

    def _run(self, pictures: Sequence[Image]) -> list[Answer]:
        answers: list[Answer] = []
        for start in range(0, len(pictures), self._batch):
            crops = np.stack(pictures[start : start + self._batch])[:, None]
            outputs: Any = self._session.run(["probabilities", "corners", "plate"], {"crops": crops})
            answers += zip(*outputs, strict=True)
        return answers


class OpenVinoRecogniser:
    """The shipped network on OpenVINO. Raises WrongWeights where its file is missing or not the card's."""

    def __init__(self, weights: Path = WEIGHTS, threads: int = 0) -> None:
        check_hash(weights)
        self._network = OpenVinoNetwork(weights.read_bytes(), weights, threads, pictures=False)

    def read(self, crops: Sequence[Image]) -> list[CharacterReading]:
        """Read BGR crops of any size, eight at a time; the last few one by one."""
        return read_all(crops, self._run)

    def _run(self, pictures: Sequence[Image]) -> list[Answer]:
        crops = np.array(pictures, np.uint8).reshape(-1, 1, 1, *INPUT_SIZE)
        eights = len(crops) - len(crops) % _TOGETHER
        batches = [crops[start : start + _TOGETHER, 0] for start in range(0, eights, _TOGETHER)]
        outputs = [self._network.run(part) for part in (batches, list(crops[eights:])) if part]
        return [answer for part in outputs for one in part for answer in zip(*one, strict=True)]


def check_hash(weights: Path) -> None:
    """Compare the file with the SHA-256 in the model card beside it (same name, `.json`)."""
    card = weights.with_suffix(".json")
    for needed in (weights, card):
        if not needed.is_file():
            raise WrongWeights(
                f"{needed} is missing: restore it from the repository, or train it with `plateflow train recogniser`"
            )
    stated = json.loads(card.read_text())["sha256"]
    found = hashlib.sha256(weights.read_bytes()).hexdigest()
    if found != stated:
        raise WrongWeights(
            f"{weights} has SHA-256 {found[:12]}…, its model card {card.name} says {stated[:12]}…: "
            "restore both from the same commit, or export them again together"
        )


def check_metadata(weights: Path, metadata: dict[str, str]) -> None:
    """WrongWeights where the file was made for another alphabet or input size than this code's."""
    expected = {"alphabet": ALPHABET, "input_size": f"{INPUT_SIZE[0]}x{INPUT_SIZE[1]}"}
    for key, value in expected.items():
        if metadata.get(key) != value:
            raise WrongWeights(
                f"{weights} was made for {key} {metadata.get(key)!r}, this version needs {value!r}: "
                "use the weights of the same release, or export them again"
            )

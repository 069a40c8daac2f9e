"""Stand-ins for the two networks that are pure functions of the picture: plates are rectangles of a telling
colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import cv2
import numpy as np

from services.inference.core.motion import Place
from services.inference.models.detector import Detection
from services.inference.models.recogniser import ALPHABET, CharacterReading
from tests.support.video import Image, road

BLUE, RED, GREEN = (255, 0, 0), (0, 0, 255), (0, 255, 0)
TEXTS: Mapping[tuple[int, int, int], str] = {BLUE: "A123BC77", RED: "K777KK77", GREEN: "M555MM99"}


def scene(*plates: tuple[tuple[int, int, int], float, float], width: int = 320, height: int = 240) -> Image:
    """A road with plates (colour, centre x, centre y) of 60 x 16 pixels."""
    image = road(width, height)
    for colour, x, y in plates:
        left, top = round(x) - 30, round(y) - 8
        cv2.rectangle(image, (left, top), (left + 59, top + 15), colour, -1)
        for column in range(left + 6, left + 54, 8):  # strokes, so that sharpness means something
            cv2.line(image, (column, top + 4), (column, top + 11), tuple(c // 2 for c in colour), 2)
    return image


class ColourDetector:
    """Finds rectangles of strong colour."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.pixels = 0
        """That were looked at."""

    def detect(self, frames: Sequence[Image], places: Sequence[Place | None] = ()) -> list[list[Detection]]:
        self.batches.append(len(frames))
        found = []
        for frame, place in zip(frames, places or [None] * len(frames), strict=True):
            x, y, width, height = place or (0, 0, frame.shape[1], frame.shape[0])
            boxes = self._boxes(frame[y : y + height, x : x + width])
            found.append([replace(box, x=box.x + x, y=box.y + y) for box in boxes])
            self.pixels += width * height
        return found

    def parts(self, width: int, height: int) -> list[tuple[int, int]]:
        return [(width // 2, height // 2), (width, height // 2)]

    def _boxes(self, frame: Image) -> list[Detection]:
        coloured = (frame.max(axis=2).astype(int) - frame.min(axis=2) > 60).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(coloured)
        return [Detection(float(x), float(y), float(w), float(h), 0.9) for x, y, w, h, area in stats[1:] if area > 100]


class ColourReader:
    """Reads the text that belongs to the colour in the middle of a crop."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.sizes: set[tuple[int, int]] = set()
        """Width and height of the crops."""

    def read(self, crops: Sequence[Image]) -> list[CharacterReading]:
        self.batches.append(len(crops))
        return [self._reading(crop) for crop in crops]

    def _reading(self, crop: Image) -> CharacterReading:
        height, width = crop.shape[:2]
        self.sizes.add((width, height))
        middle = crop[height // 4 : -(height // 4) or None, width // 4 : -(width // 4) or None]
        channels = middle.reshape(-1, 3).mean(axis=0)
        text = next(text for colour, text in TEXTS.items() if int(np.argmax(colour)) == int(channels.argmax()))
        probabilities = np.full((len(text), len(ALPHABET)), 0.001, np.float32)
        for row, character in enumerate(text):
            probabilities[row, ALPHABET.index(character)] = 0.96
        return CharacterReading(text, probabilities)

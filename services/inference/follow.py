"""What is known of one plate while its clip runs: its observations, the pictures kept for reading, and what
was read.

Rules
- A picture is the plate with some of its surroundings, copied out of the frame, so that the frame can go.
- How clear a picture is: sharpness (variance of the Laplacian, Pech-Pacheco et al., ICPR 2000, at one common
  height, so that large and small plates compare) times width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from services.contracts.messages import Box, Observation, Quad, Reading
from services.inference.core.alignment import UNDECIDED, compatible
from services.inference.core.fusion import Sight, fuse
from services.inference.core.spread import Spread
from services.inference.core.stitch import divide
from services.inference.core.vote import Read, VoteOptions, vote, weigh
from services.inference.models.detector import Detection
from services.inference.models.recogniser import (
    ALPHABET,
    INPUT_SIZE,
    MARGIN,
    CharacterReading,
    crop_place,
    crop_plate,
    preprocess,
)
from services.inference.result import Shot

Image = NDArray[np.uint8]
Reader = Callable[[Image], CharacterReading]
"""Reads one picture."""
MOST_MARGIN = _SURROUNDINGS = 0.5  # of the box's width and height, on each side
_COMMON_HEIGHT = 32
_JPEG_QUALITY = 92
_SURE = 0.5  # a reading with a character below this says nothing about which vehicle it is
_CLEAR = 0.95  # a vote of this confidence needs no fused picture
_FEWEST = 3  # pictures that are worth fusing
_FUSED = 2.0  # a fused picture counts so much of the picture that counts most


@dataclass(frozen=True, slots=True)
class Picture:
    """A plate cut from a frame: ``image`` holds some of its surroundings, ``box`` is in pixels of the
    image."""

    observation: int
    """Number of the observation in its track."""
    image: Image
    box: Box
    sharpness: float
    margin: float
    """Of the box, how much of what surrounds it is read on each side; MOST_MARGIN at most."""

    @property
    def crop(self) -> Image:
        """What the recogniser reads."""
        return crop_plate(self.image, self.box, self.margin)

    def quad(self, seen: Box, read: CharacterReading) -> Quad | None:
        """The corners that the recogniser found, in pixels of the frame in which the box is ``seen``."""
        if read.corners is None:
            return None
        left, top, right, bottom = crop_place(self.image, self.box, self.margin)
        moved = (left + seen[0] - self.box[0], top + seen[1] - self.box[1])
        corners = read.corners.astype(np.float64) * (right - left, bottom - top) + moved
        a, b, c, d = ((round(float(x), 2), round(float(y), 2)) for x, y in corners)
        return a, b, c, d


@dataclass(frozen=True, slots=True)
class Shown:
    """A reading of one picture, and how clearly it shows the plate."""

    text: str
    weight: float
    shot: Shot


@dataclass
class Followed:
    """One track of the clip that is being processed."""

    number: int
    label: str
    pictures: Spread[Picture]
    margin: float = MARGIN
    """Of its pictures."""
    observations: list[Observation] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    reading: Reading = field(default_factory=lambda: Reading("", "", 0.0))
    best: Shown | None = None

    def see(self, time_ms: int, frame: int, detection: Detection, image: Image) -> None:
        """Notes a box in a frame (h, w, 3), and keeps its picture where that is among the clearest."""
        box = (detection.x, detection.y, detection.w, detection.h)
        self.observations.append(Observation(time_ms, frame, box, detection.score))
        sharp = sharpness(crop_plate(image, box))
        number = len(self.observations) - 1
        self.pictures.offer(time_ms, sharp * detection.w, lambda: _cut(image, box, number, sharp, self.margin))

    def read(
        self, readings: Sequence[tuple[Picture, CharacterReading]], options: VoteOptions, reader: Reader
    ) -> list[Followed]:
        """Takes in what was read in its pictures, in order of time, votes, and lets go of all pictures but
        the best. ``reader`` reads the fused picture of a plate that the vote leaves unsure.

        Usually itself; several where the readings show that it took over another vehicle.
        """
        sure = [one for one in readings if min(one[1].confidences, default=0.0) >= _SURE]
        cut = divide([read.text for _, read in sure])
        if cut is None:
            self._take(readings, options, reader)
            return [self]
        place = sure[cut][0].observation
        first, second = self._parted(place)
        later = [
            (replace(one, observation=one.observation - place), read)
            for one, read in readings
            if one.observation >= place
        ]
        earlier = [(one, read) for one, read in readings if one.observation < place]
        return [*first.read(earlier, options, reader), *second.read(later, options, reader)]

    def leave_unread(self) -> None:
        """For what is no plate: its clearest picture is its best."""
        kept = max(self.pictures.kept(), key=lambda one: one.value, default=None)
        if kept is not None:
            seen = self.observations[kept.item.observation]
            self.best = Shown("", kept.value, Shot(_jpeg(kept.item.image), seen.time_ms, seen.box))
        self.pictures = Spread(0)

    def _parted(self, place: int) -> tuple[Followed, Followed]:
        first, second = self.observations[:place], self.observations[place:]
        return replace(self, observations=first), replace(self, observations=second, reads=[])

    def _take(self, readings: Sequence[tuple[Picture, CharacterReading]], options: VoteOptions, reader: Reader) -> None:
        sharpest = max((one.sharpness for one, _ in readings), default=0.0) or 1.0
        for picture, read in readings:
            seen = self.observations[picture.observation]
            self.observations[picture.observation] = _with_text(seen, read, picture.quad(seen.box, read))
            weight = weigh(seen.detection, read.confidences, picture.sharpness / sharpest, seen.box[2])
            weight = weight if read.plate >= options.min_plate else 0.0
            self.reads.append(Read(read.text, read.probabilities, weight))
        looks = [(picture.crop, read) for picture, read in readings]
        self.reading, together = settle(looks, self.reads, options, reader)
        self.best = self._clearest([picture for picture, _ in readings])
        self.reads += together
        self.pictures = Spread(0)

    def _clearest(self, pictures: Sequence[Picture]) -> Shown | None:
        """The picture of most weight among those that say what the track says, else among all."""
        ranked = max(
            zip(pictures, self.reads, strict=True),
            key=lambda pair: (compatible(pair[1].text, self.reading.text), pair[1].weight, pair[0].sharpness),
            default=None,
        )
        if ranked is None:
            return None
        picture, read = ranked
        seen = self.observations[picture.observation]
        return Shown(read.text, read.weight, Shot(_jpeg(picture.image), seen.time_ms, seen.box))


def settle(
    looks: Sequence[tuple[Image, CharacterReading]], reads: Sequence[Read], options: VoteOptions, reader: Reader
) -> tuple[Reading, list[Read]]:
    """The vote over the pictures of one plate and, where it is unsure, over what they show fused, too: that reading is
    the second value. ``looks``: crop and reading of each, ``reads`` what each counts."""
    reading = vote(reads, ALPHABET, options)
    sights = [  # by the root of their weights: also a picture read badly adds to the average
        Sight(preprocess(crop), seen.corners, math.sqrt(read.weight))
        for (crop, seen), read in zip(looks, reads, strict=True)
        if seen.corners is not None and seen.text and read.weight > 0
    ]
    clear = UNDECIDED not in reading.text and reading.confidence >= _CLEAR
    if clear or len(sights) < _FEWEST:
        return reading, []
    seen = reader(fuse(sights, INPUT_SIZE))
    if not seen.text or seen.plate < options.min_plate:
        return reading, []
    together = Read(seen.text, seen.probabilities, _FUSED * max(one.weight for one in reads))
    return vote([*reads, together], ALPHABET, options), [together]


def alone(read: CharacterReading, options: VoteOptions) -> Reading:
    """The reading of a plate that is seen once; empty where the picture shows none."""
    weight = 1.0 if read.plate >= options.min_plate else 0.0
    return vote([Read(read.text, read.probabilities, weight)], ALPHABET, options)


def join(pieces: Sequence[Followed], options: VoteOptions) -> Followed:
    """One track out of the pieces of one, in order of time."""
    if len(pieces) == 1:
        return pieces[0]
    reads = [read for piece in pieces for read in piece.reads]
    reading = vote(reads, ALPHABET, options)
    shown = [piece.best for piece in pieces if piece.best is not None]
    best = max(shown, key=lambda one: (compatible(one.text, reading.text), one.weight), default=None)
    observations = _one_a_frame(one for piece in pieces for one in piece.observations)
    return replace(pieces[0], observations=observations, reads=reads, reading=reading, best=best)


def _one_a_frame(observations: Iterable[Observation]) -> list[Observation]:
    """In order of time; of two in one frame the one that the detector is surer of."""
    best: dict[int, Observation] = {}
    for one in observations:
        held = best.get(one.frame)
        if held is None or one.detection > held.detection:
            best[one.frame] = one
    return [best[frame] for frame in sorted(best)]


def _with_text(seen: Observation, read: CharacterReading, quad: Quad | None) -> Observation:
    return msgspec.structs.replace(seen, text=read.text, confidences=read.confidences, quad=quad)


def sharpness(crop: Image) -> float:
    """Variance of the Laplacian of the grey crop, brought to one common height; whole numbers."""
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)
    width = max(1, round(grey.shape[1] * _COMMON_HEIGHT / grey.shape[0]))
    small = cv2.resize(grey, (width, _COMMON_HEIGHT), interpolation=cv2.INTER_AREA)
    return float(round(cv2.Laplacian(small, cv2.CV_32F).var()))


def _cut(image: Image, box: Box, observation: int, sharp: float, margin: float) -> Picture:
    x, y, w, h = box
    left, top = max(0, int(x - w * _SURROUNDINGS)), max(0, int(y - h * _SURROUNDINGS))
    right, bottom = int(x + w * (1 + _SURROUNDINGS)) + 1, int(y + h * (1 + _SURROUNDINGS)) + 1
    return Picture(observation, image[top:bottom, left:right].copy(), (x - left, y - top, w, h), sharp, margin)


def _jpeg(image: Image) -> bytes:
    written, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not written:
        raise ValueError(f"OpenCV cannot write a picture of {image.shape} as JPEG")
    return bytes(data)

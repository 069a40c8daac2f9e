"""Feeds the training: in come fonts and photographs, out come batches of drawn crops, made by one child process.

Rules. The child is started anew (never forked) and draws from its own seed, so which crops there are depends on the
seed alone. No text of a real plate is shown: photographs only stand behind, those of the real crops' cars left out.
"""

from __future__ import annotations

import multiprocessing as mp
import queue
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.models.recogniser import ALPHABET
from services.inference.training.crops import Crop, Studio, backdrops
from services.inference.training.fonts import training_fonts

BATCH = 32
LONGEST = 12  # characters

Batch = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where pictures come from: the font cache, plate fonts given by hand, and the shared data (each may be
    absent)."""

    fonts: Path | None
    plate_fonts: tuple[Path, ...]
    shared: Path | None

    def studio(self, seed: Sequence[int], held_out: bool = False) -> Studio:
        """A studio with the training fonts, or with the held-out ones and no plate font."""
        road = () if held_out else self.plate_fonts
        return Studio(np.random.default_rng(seed), training_fonts(self.fonts, held_out), road, backdrops(self.photos()))

    def photos(self) -> list[Path]:
        """Training photographs to stand behind plates; those of the real crops' cars (ru_) are left out."""
        if self.shared is None:
            return []
        found = sorted((self.shared / "data/plates/det/images/train").glob("*.jpg"))
        return [path for path in found if not path.name.startswith("ru_")][::2]


def stacked(crops: Sequence[Crop]) -> Batch:
    """Images (N, 1, 64, 192), corners (N, 4, 2), targets (N, LONGEST) of classes 1..36, lengths (N)."""
    targets = np.zeros((len(crops), LONGEST), np.int64)
    for row, crop in zip(targets, crops, strict=True):
        row[: len(crop.text)] = [ALPHABET.index(char) + 1 for char in crop.text]
    return (
        np.stack([crop.image for crop in crops])[:, None],
        np.stack([crop.corners for crop in crops]),
        targets,
        np.array([len(crop.text) for crop in crops]),
    )


def paint_forever(sources: Sources, seed: tuple[int, int], hardness: Any, batches: Any) -> None:
    """The child that draws: puts batches into the queue until it is ended."""
    cv2.setNumThreads(1)
    studio = sources.studio(seed)
    while True:
        studio.hardness = hardness.value
        batches.put(stacked([studio.crop() for _ in range(BATCH)]))


class Feed:
    """Batches drawn by one child process, started anew (never forked); `hardness` may be turned meanwhile."""

    def __init__(self, sources: Sources, seed: tuple[int, int]) -> None:
        context = mp.get_context("spawn")
        self.hardness = context.Value("d", 0.3)
        self._batches = context.Queue(16)
        self._child = context.Process(
            target=paint_forever, args=(sources, seed, self.hardness, self._batches), daemon=True
        )
        self._child.start()

    def __iter__(self) -> Iterator[Batch]:
        while True:
            try:
                yield self._batches.get(timeout=10)
            except queue.Empty:
                if self._child.is_alive():
                    continue
                raise SystemExit(
                    "the drawing process stopped: see its error above, mend it, and use --resume"
                ) from None

    def close(self) -> None:
        self._child.kill()
        self._child.join()

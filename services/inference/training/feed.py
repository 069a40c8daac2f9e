"""Feeds the training: in come fonts and photographs, out come batches of drawn crops, made by child processes.

Rules. Each child is started anew (never forked) and draws from a seed of its own, so which crops there are depends on
seed and number of children alone. No text of a real plate is shown: photographs only stand behind, their labelled
plates blotted out, those of the real crops' cars left out.
"""

from __future__ import annotations

import argparse
import multiprocessing as mp
import queue
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.models.recogniser import ALPHABET, ROWS
from services.inference.training.crops import UNSEEN_ALPHABETS, Crop, Studio, backdrops
from services.inference.training.fonts import training_fonts

BATCH = 64
LONGEST = 12  # characters of a row

Batch = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Sources:
    """Where pictures come from: the font cache, plate fonts given by hand, and the shared data (each may be
    absent). `two_rows`, `dark` and `stacked` are those of the `Studio` that is trained from; what is held out knows
    none of them."""

    fonts: Path | None
    plate_fonts: tuple[Path, ...]
    shared: Path | None
    two_rows: float | None = None
    dark: float = 0.0
    stacked: float = 0.0

    def studio(self, seed: Sequence[int], held_out: bool = False) -> Studio:
        """A studio with the training fonts and alphabets, or with the held-out ones and no plate font."""
        road = () if held_out else self.plate_fonts
        studio = Studio(
            np.random.default_rng(seed), training_fonts(self.fonts, held_out), road, backdrops(self.photos())
        )
        if held_out:
            studio.alphabets = UNSEEN_ALPHABETS
        else:
            studio.two_rows, studio.dark, studio.stacked = self.two_rows, self.dark, self.stacked
        return studio

    def photos(self) -> list[Path]:
        """Training photographs to stand behind plates; those of the real crops' cars (ru_) are left out."""
        if self.shared is None:
            return []
        found = sorted((self.shared / "data/plates/det/images/train").glob("*.jpg"))
        return [path for path in found if not path.name.startswith("ru_")][::2]


def share_of(word: str) -> float:
    """An argument from 0 to 1."""
    share = float(word)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"a share is from 0 to 1, not {word}")
    return share


def stacked(crops: Sequence[Crop]) -> Batch:
    """Images (N, 1, 64, 192), corners (N, 4, 2), targets (N, ROWS, LONGEST) of classes 1..36, lengths (N, ROWS)."""
    targets = np.zeros((len(crops), ROWS, LONGEST), np.int64)
    lengths = np.zeros((len(crops), ROWS), np.int64)
    for target, length, crop in zip(targets, lengths, crops, strict=True):
        for number, text in enumerate(crop.rows):
            target[number, : len(text)] = [ALPHABET.index(char) + 1 for char in text]
            length[number] = len(text)
    return (
        np.stack([crop.image for crop in crops])[:, None],
        np.stack([crop.corners for crop in crops]),
        targets,
        lengths,
    )


def paint_forever(sources: Sources, seed: Sequence[int], hardness: Any, batches: Any) -> None:
    """The child that draws: puts batches into the queue until it is ended."""
    cv2.setNumThreads(1)
    studio = sources.studio(seed)
    while True:
        studio.hardness = hardness.value
        batches.put(stacked([studio.crop() for _ in range(BATCH)]))


class Feed:
    """Batches drawn by child processes; `hardness` may be turned meanwhile."""

    def __init__(self, sources: Sources, seed: tuple[int, int], workers: int = 1) -> None:
        context = mp.get_context("spawn")
        self.hardness = context.Value("d", 0.3)
        self._batches = context.Queue(8 + 4 * workers)
        self._children = [
            context.Process(
                target=paint_forever, args=(sources, (*seed, number), self.hardness, self._batches), daemon=True
            )
            for number in range(workers)
        ]
        for child in self._children:
            child.start()

    def take(self, wait: bool) -> Batch | None:
        """The next batch; None where there is none yet and it should not be waited for."""
        while True:
            try:
                batch: Batch = self._batches.get(wait, timeout=10 if wait else None)
                return batch
            except queue.Empty:
                if not all(child.is_alive() for child in self._children):
                    raise SystemExit(
                        "a drawing process stopped: see its error above, mend it, and use --resume"
                    ) from None
                if not wait:
                    return None

    def close(self) -> None:
        for child in self._children:
            child.kill()
        for child in self._children:
            child.join()

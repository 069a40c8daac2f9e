"""Follows plates through one clip: the boxes of one frame after the other in, a track number for each box
out.

Rules
- Pure and new for every clip; all waiting is in milliseconds of the clip, so 4 and 30 frames a second behave
  alike.
- A track moves on at constant speed. A box may belong to it where it lies near the predicted place (in
  widths of the plate, the allowance grows with the time since the track was last seen), has about its size,
  and its label. At a low frame rate the boxes of one plate do not overlap, so overlap is a bonus and no
  condition.
- All boxes and tracks of a frame are matched at once, at the least total cost (Hungarian method); leaving a
  track without a box has a cost too, so that a plate that left is not handed its neighbour's box, and that
  one the next one's.
- Boxes that the detector doubts continue tracks but start none, are matched after the others (Zhang et al.,
  ByteTrack, ECCV 2022) and must lie nearer: else a vehicle that left goes on as any sign or window.
- The answer does not depend on the order of the boxes in a frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

_FORBIDDEN = 1e6


@dataclass(frozen=True, slots=True, order=True)
class TrackBox:
    """A detected box: top left corner and size in pixels, score in 0..1."""

    x: float
    y: float
    w: float
    h: float
    score: float
    label: str = "plate"


@dataclass(frozen=True, slots=True)
class TrackerOptions:
    start_score: float = 0.4
    """A box below this score starts no track."""
    max_gap_ms: int = 1500
    """A track not seen for longer has ended."""
    reach: float = 1.0
    """How far a box may lie from the predicted place, in widths of the plate ..."""
    reach_per_s: float = 8.0
    """... plus this many widths per second since the track was last seen ..."""
    first_reach_per_s: float = 16.0
    """... or this many while its speed is unknown, after its first box."""
    doubtful_reach: float = 0.35
    """Share of the reach within which a doubtful box may continue a track."""
    max_growth: float = 2.2
    """A box may be this many times as large or small as the last one."""
    agility: float = 0.6
    """How much of a deviation from the predicted place is taken as a change of speed."""


@dataclass(slots=True)
class _Track:
    number: int
    box: TrackBox
    time_ms: int
    boxes: int = 1
    vx: float = 0.0
    """Speed of the centre, pixels per millisecond."""
    vy: float = 0.0

    def predicted(self, time_ms: int) -> tuple[float, float]:
        elapsed = time_ms - self.time_ms
        return (
            self.box.x + self.box.w / 2 + self.vx * elapsed,
            self.box.y + self.box.h / 2 + self.vy * elapsed,
        )

    def follow(self, box: TrackBox, time_ms: int, agility: float) -> None:
        elapsed = time_ms - self.time_ms
        x, y = self.predicted(time_ms)
        share = 1.0 if self.boxes == 1 else agility
        self.vx += share * (box.x + box.w / 2 - x) / elapsed
        self.vy += share * (box.y + box.h / 2 - y) / elapsed
        self.box, self.time_ms = box, time_ms
        self.boxes += 1


class Tracker:
    """The tracks of one clip. Numbers count from 0 in order of appearance, within a frame from left to
    right."""

    def __init__(self, options: TrackerOptions | None = None) -> None:
        self._options = options or TrackerOptions()
        self._tracks: list[_Track] = []
        self._next = 0
        self._time_ms = -1

    def update(self, time_ms: int, boxes: Sequence[TrackBox]) -> list[int | None]:
        """The track number of each box of the frame at ``time_ms``; None for a doubtful box that no track
        claims.

        Times must rise: ValueError.
        """
        if time_ms <= self._time_ms:
            raise ValueError(f"frames must come in order of time: {time_ms} ms after {self._time_ms} ms")
        self._time_ms = time_ms
        self._tracks = [one for one in self._tracks if time_ms - one.time_ms <= self._options.max_gap_ms]
        order = sorted(range(len(boxes)), key=lambda i: boxes[i])
        sure = [i for i in order if boxes[i].score >= self._options.start_score]
        doubtful = [i for i in order if boxes[i].score < self._options.start_score]
        numbers: list[int | None] = [None] * len(boxes)
        for group in (sure, doubtful):
            self._match(time_ms, boxes, group, numbers)
        for i in sure:
            if numbers[i] is None:
                numbers[i] = self._start(time_ms, boxes[i])
        return numbers

    def living(self) -> set[int]:
        """Numbers of the tracks that may still get boxes."""
        return {one.number for one in self._tracks}

    def _match(self, time_ms: int, boxes: Sequence[TrackBox], group: list[int], numbers: list[int | None]) -> None:
        tracks = [one for one in self._tracks if one.time_ms < time_ms]  # not matched in this frame yet
        if not tracks or not group:
            return
        costs = np.array([[self._cost(one, boxes[i], time_ms) for i in group] for one in tracks])
        for row, column in _assignment(costs):
            tracks[row].follow(boxes[group[column]], time_ms, self._options.agility)
            numbers[group[column]] = tracks[row].number

    def _start(self, time_ms: int, box: TrackBox) -> int:
        track = _Track(self._next, box, time_ms)
        self._tracks.append(track)
        self._next += 1
        return track.number

    def _cost(self, track: _Track, box: TrackBox, time_ms: int) -> float:
        """0 for the very place and size, below 1 within reach; overlap lowers it."""
        growth = math.log(max(box.w, 1e-6) / max(track.box.w, 1e-6))
        limit = math.log(self._options.max_growth)
        if box.label != track.box.label or abs(growth) > limit:
            return _FORBIDDEN
        x, y = track.predicted(time_ms)
        distance = math.hypot(box.x + box.w / 2 - x, box.y + box.h / 2 - y) / self._reach(track, box, time_ms)
        if distance > 1:
            return _FORBIDDEN
        # Squares, since twice the deviation is far less likely than two single ones.
        return (distance**2 + 0.5 * (growth / limit) ** 2) * (1 - 0.5 * _overlap(track.box, box, x, y))

    def _reach(self, track: _Track, box: TrackBox, time_ms: int) -> float:
        options = self._options
        rate = options.first_reach_per_s if track.boxes == 1 else options.reach_per_s
        share = 1.0 if box.score >= options.start_score else options.doubtful_reach
        width = (track.box.w + box.w) / 2
        return max(share * width * (options.reach + rate * (time_ms - track.time_ms) / 1000), 1e-6)


def _overlap(last: TrackBox, box: TrackBox, x: float, y: float) -> float:
    """Intersection over union of ``box`` and the track's last box moved to the centre (x, y)."""
    wide = min(box.x + box.w, x + last.w / 2) - max(box.x, x - last.w / 2)
    high = min(box.y + box.h, y + last.h / 2) - max(box.y, y - last.h / 2)
    if wide <= 0 or high <= 0:
        return 0.0
    return wide * high / (box.w * box.h + last.w * last.h - wide * high)


def _assignment(costs: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (row, column) of least total cost, where a row left alone costs 1: (tracks, boxes) -> pairs."""
    alone = np.full((costs.shape[0], costs.shape[0]), _FORBIDDEN)
    np.fill_diagonal(alone, 1.0)
    rows, columns = linear_sum_assignment(np.hstack([costs, alone]))
    return [(int(row), int(column)) for row, column in zip(rows, columns, strict=True) if column < costs.shape[1]]

"""Small clips for the faults: 640 x 360, four frames in two seconds; a few are rendered, the rest are copies of them.

A copy is the same file under the name of another start, so what a copy must give is known: the tracks of its original.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from services.simulator import traffic
from services.simulator.clips import file_name, key_of, render
from services.simulator.scene import Recording

FRAMES_MS = (0, 500, 1000, 1500)
INTO_MS = 1000
"""So long after the start of the demo's recording: the vehicle is near then."""
APART_MS = 4000
"""From one copy to the next: a passage may go on from one to the other."""


@dataclass(frozen=True, slots=True)
class Small:
    """A file, the name it is uploaded under, and the key that it gets."""

    file: Path
    name: str
    key: str
    original: str
    """Key of the rendered one."""


def rendered(out: Path, seed: int) -> list[Recording]:
    """Renders the originals of two calibrated cameras into ``out``, with the camera file beside."""
    recordings = [_small(recording) for recording in traffic.timetable(seed, cameras=2)]
    render(recordings, out, seed)
    return recordings


def _small(recording: Recording) -> Recording:
    view = recording.camera.view
    camera = replace(
        recording.camera, fps=2.0, view=replace(view, width=640, height=360, focal_px=view.focal_px * 0.75)
    )
    return replace(
        recording, camera=camera, start_ms=recording.start_ms + INTO_MS, frame_ms=FRAMES_MS, duration_ms=2000
    )


def copies(originals: Sequence[Recording], out: Path) -> Iterator[Small]:
    """First each original itself, then copies without end, further and further on in time."""
    number = 0
    while True:
        for original in originals:
            shifted = replace(original, start_ms=original.start_ms + number * APART_MS)
            yield Small(out / key_of(original), file_name(shifted), key_of(shifted), key_of(original))
        number += 1

"""Which frames of a clip are looked at: presentation times in, a choice out. Pure; one `Sampler` per clip.

Rules
- Time decides, unless every n-th frame was asked for: a 4 fps clip gives all its frames at 15 fps, a 25 fps clip 15 of
  25, and a clip of variable frame rate at most 15 in any second.
- Times that repeat or go backwards are left out, so the chosen times rise strictly.
"""

from __future__ import annotations

from fractions import Fraction

_PHASE = 0.3
"""Where in its slot a frame of exactly the sampled rate falls. Times are whole milliseconds, so a frame that
lay on the border (phase 0, or 0.5 for a clip of twice the rate) would fall to either side; 0.3 suits 12.5 to
60 fps at 15."""

_PHASE_S = 0.02
"""At lower rates, so many seconds of a slot at most: else the second frame lay nearer to the first than the others."""


class Sampler:
    """Takes the first frame of each slot of 1/fps seconds; ``fps`` 0 takes every frame. With ``nth`` it takes the first
    frame and every ``nth`` after it instead."""

    def __init__(self, fps: float, nth: int = 0) -> None:
        if fps < 0:
            raise ValueError(f"the frame rate to sample at must be 0 (all) or above, not {fps}")
        self._fps, self._nth, self._count = fps, nth, -1
        self._phase = min(_PHASE, _PHASE_S * fps)
        self._time_ms = -1
        self._slot = -1

    def takes(self, time_ms: int) -> bool:
        """Whether the frame at ``time_ms`` is chosen; frames are asked for in the order they are shown."""
        if time_ms <= self._time_ms:
            return False
        self._time_ms = time_ms
        self._count += 1
        if self._nth:
            return self._count % self._nth == 0
        if self._fps == 0:
            return True
        slot = int(time_ms * self._fps / 1000 + self._phase)
        if slot <= self._slot:
            return False
        self._slot = slot
        return True


def relative_ms(pts: int, first_pts: int, time_base: Fraction) -> int:
    """Milliseconds from the first video frame to the frame at ``pts``."""
    return round((pts - first_pts) * time_base * 1000)

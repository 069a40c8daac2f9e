"""Finds pictures that show the same: pictures in, numbers of 64 bits out, and groups of numbers that are near. Pure.

The number is the perceptual hash of C. Zauner (2010): the 8 × 8 lowest frequencies of the cosine transform of the grey
picture at 32 × 32, each above or below their median. Copies that were made smaller, saved again or lightened differ in
few bits; other pictures in about 32.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

NEAR = 4
"""Bits in which the hashes of duplicates differ at most."""


def perceptual_hash(image: NDArray[np.uint8]) -> int:
    """Of a BGR or grey picture."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small: Any = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].flatten()
    bits = low > np.median(low[1:])
    bits[0] = False  # the mean light says nothing
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def distance(a: int, b: int) -> int:
    return (a ^ b).bit_count()


def groups(hashes: Sequence[int], near: int = NEAR) -> list[list[int]]:
    """Indices of what belongs together, each group in order; groups of one are left out.

    Each member is near the group's first, so that a chain of small steps does not join what differs. Only numbers that
    share one of `near` + 1 stretches of bits can be near, so few are compared."""
    stretches = _stretches(near + 1)
    firsts: dict[tuple[int, int], list[int]] = defaultdict(list)
    members: dict[int, list[int]] = {}
    for index, value in enumerate(hashes):
        keys = [(number, (value >> shift) & mask) for number, (shift, mask) in enumerate(stretches)]
        candidates = sorted({first for key in keys for first in firsts[key]})
        first = next((one for one in candidates if distance(hashes[one], value) <= near), None)
        if first is None:
            members[index] = [index]
            for key in keys:
                firsts[key].append(index)
        else:
            members[first].append(index)
    return [group for group in members.values() if len(group) > 1]


def _stretches(count: int) -> list[tuple[int, int]]:
    edges = [64 * index // count for index in range(count + 1)]
    return [(low, (1 << (high - low)) - 1) for low, high in pairwise(edges)]

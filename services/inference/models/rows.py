"""Reads the rows of a two-row plate once more, each as a plate of its own. Pure: pictures and distributions in and out.

Rules. Where the whole was read surely, nothing is read again. A row is cut out by the plate's corners, a little of the
other row and of what surrounds the plate with it, as wide as the network expects a plate of one row to stand. Both
looks are at the same pixels: together they may say another character, but never count as two (`vote.joined`).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from services.inference.core.vote import Read, joined

_SURE = 0.8
"""Probability of all characters together from which a plate is not read again."""
_REACH = ((-0.1, 0.58), (0.45, 1.1))
"""Where the upper and the lower row begin and end, in parts of the plate's height ..."""
_BESIDE = 0.3
"""... and how much of what is beside the plate is seen with them on each side, in parts of its width."""
_TRUST = 0.5
"""How much the look at a row counts against that at the whole plate: alone it is wrong more often."""


def unsure(rows: list[NDArray[np.float32]]) -> bool:
    """Whether a plate should be read again, by the distributions (characters, letters) of each of its rows."""
    both = all(len(row) for row in rows)
    return both and float(np.prod([row.max(axis=1).prod() for row in rows])) < _SURE


def row_pictures(picture: NDArray[np.uint8], corners: NDArray[np.float32]) -> list[NDArray[np.uint8]]:
    """The upper and the lower row of the plate in a grey `picture` (h, w), each straightened and as large as it.
    `corners`: (4, 2) in units of the picture, clockwise from top left."""
    high, wide = picture.shape
    target = np.array([[0, 0], [wide, 0], [wide, high], [0, high]], np.float32)
    rows = []
    for top, bottom in _REACH:
        ends = ((-_BESIDE, top), (1 + _BESIDE, top), (1 + _BESIDE, bottom), (-_BESIDE, bottom))
        source = np.array([_point(corners, u, v) * (wide, high) for u, v in ends], np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        row = cv2.warpPerspective(picture, matrix, (wide, high), borderMode=cv2.BORDER_REPLICATE)
        rows.append(np.asarray(row, np.uint8))
    return rows


def _point(corners: NDArray[np.float32], u: float, v: float) -> NDArray[np.float32]:
    upper, lower = corners[0] + u * (corners[1] - corners[0]), corners[3] + u * (corners[2] - corners[3])
    point: NDArray[np.float32] = upper + v * (lower - upper)
    return point


def together(whole: NDArray[np.float32], alone: NDArray[np.float32], alphabet: str) -> NDArray[np.float32]:
    """What a row (characters, letters) is by both looks: within the `whole` plate and `alone`."""
    return joined([_read(whole, 1.0, alphabet), _read(alone, _TRUST, alphabet)], alphabet)


def _read(row: NDArray[np.float32], trust: float, alphabet: str) -> Read:
    """An unsure look is wrong about more than it says, hence the fourth power, as in `vote.weigh`."""
    mean = float(row.max(axis=1).mean()) if len(row) else 0.0
    return Read("".join(alphabet[int(index)] for index in row.argmax(axis=1)), row, trust * mean**4)

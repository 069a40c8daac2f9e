"""How likely a reading is if the plate says a given text, and which of its characters stand for which. Pure.

The best alignment by probabilities (Needleman and Wunsch 1970, with the logarithms of the recogniser's own
distributions as scores): a character of the reading may stand for a letter of the text, at the logarithm of that
letter's probability, or be nothing, at the logarithm of its being blank; a letter that the reading lacks costs ``gap``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pairs = tuple[tuple[int | None, int | None], ...]
"""Places in the text and in the reading that belong together, in order; None for a gap."""


def evidence(logs: NDArray[np.float64], letters: Sequence[int], gap: float) -> tuple[float, Pairs]:
    """``logs``: (characters of the reading, letters of the alphabet + 1), the last column for a blank; ``letters``: the
    text as columns of it. The logarithm of the likelihood of the best alignment, and that alignment; of equally good
    ones the one that pairs characters at the end."""
    columns = len(logs)
    blank = logs[:, -1].tolist()
    scores = logs[:, list(letters)].T.tolist()
    table = [[0.0] * (columns + 1)]
    for j in range(columns):
        table[0][j + 1] = table[0][j] + blank[j]
    for score in scores:
        above, row = table[-1], [table[-1][0] + gap]
        for j in range(columns):
            row.append(max(above[j] + score[j], above[j + 1] + gap, row[j] + blank[j]))
        table.append(row)
    return table[-1][-1], tuple(reversed(_walk_back(table, scores, gap)))


def _walk_back(table: list[list[float]], scores: list[list[float]], gap: float) -> list[tuple[int | None, int | None]]:
    pairs: list[tuple[int | None, int | None]] = []
    i, j = len(table) - 1, len(table[0]) - 1
    while i or j:
        if i and j and table[i][j] == table[i - 1][j - 1] + scores[i - 1][j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and (not j or table[i][j] == table[i - 1][j] + gap):
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs

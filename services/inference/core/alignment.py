"""How alike two readings are, character by character. Pure."""

from __future__ import annotations

from functools import lru_cache

UNDECIDED = "#"


@lru_cache(maxsize=4096)
def align(first: str, second: str) -> tuple[tuple[int | None, int | None], ...]:
    """Pairs of positions that belong together, None for a gap: Needleman and Wunsch 1970, with unit costs.

    Among equally good alignments the one that pairs characters (rather than gaps) at the end is taken.
    """
    rows, columns = len(first) + 1, len(second) + 1
    cost = [[i + j if not i or not j else 0 for j in range(columns)] for i in range(rows)]
    for i in range(1, rows):
        for j in range(1, columns):
            cost[i][j] = min(
                cost[i - 1][j - 1] + _differ(first[i - 1], second[j - 1]),
                cost[i - 1][j] + 1,
                cost[i][j - 1] + 1,
            )
    return tuple(reversed(_walk_back(first, second, cost)))


def _walk_back(first: str, second: str, cost: list[list[int]]) -> list[tuple[int | None, int | None]]:
    pairs: list[tuple[int | None, int | None]] = []
    i, j = len(first), len(second)
    while i or j:
        if i and j and cost[i][j] == cost[i - 1][j - 1] + _differ(first[i - 1], second[j - 1]):
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif i and cost[i][j] == cost[i - 1][j] + 1:
            i -= 1
            pairs.append((i, None))
        else:
            j -= 1
            pairs.append((None, j))
    return pairs


def distance(first: str, second: str) -> int:
    """Edits that turn one reading into the other; an undecided character equals any (Levenshtein 1965)."""
    return sum(i is None or j is None or _differ(first[i], second[j]) for i, j in align(first, second))


def compatible(first: str, second: str, decided: int = 4) -> bool:
    """Equal, or of equal length with `#` the only difference and at least ``decided`` characters decided in
    both."""
    if first == second:
        return True
    if len(first) != len(second) or any(_differ(a, b) for a, b in zip(first, second, strict=True)):
        return False
    return sum(UNDECIDED not in pair for pair in zip(first, second, strict=True)) >= decided


def _differ(a: str, b: str) -> int:
    return int(a != b and UNDECIDED not in (a, b))

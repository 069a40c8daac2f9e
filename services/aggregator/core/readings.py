"""When two readings are one plate, and an index that finds the readings which are the same plate as a given
one.

Equal readings are one plate; so are readings of equal length with at least four decided characters in common,
where ``#`` (undecided) is the only difference.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

UNDECIDED = "#"
COMMON = 4
"""Decided characters that two readings need in common when they are not equal."""

T = TypeVar("T")


def same_plate(a: str, b: str) -> bool:
    return a == b or alike(a, b)


def alike(a: str, b: str) -> bool:
    """Equal length, nothing but ``#`` differs, at least four decided characters in common."""
    if len(a) != len(b):
        return False
    common = 0
    for x, y in zip(a, b, strict=True):
        if x == UNDECIDED or y == UNDECIDED:
            continue
        if x != y:
            return False
        common += 1
    return common >= COMMON


class PlateIndex(Generic[T]):
    """A value per reading, and for each reading the values of all others that are the same plate.

    Most readings are decided throughout: they are found by equality. Only where a ``#`` takes part are
    readings of equal length compared, once, when a reading is new.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._values: dict[str, T] = {}
        self._alike: dict[str, dict[str, T]] = {}
        """For each reading, the values of the others that are the same plate."""
        self._by_length: dict[int, dict[str, None]] = {}
        self._undecided: dict[int, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._values)

    def items(self) -> Iterator[tuple[str, T]]:
        yield from self._values.items()

    def of(self, text: str) -> tuple[T, Collection[T]]:
        """The value of ``text`` (made where it is new), and those of the other readings that are the same plate."""
        value = self._values.get(text)
        if value is None:
            value = self.put(text, self._make())
        return value, self._alike[text].values()

    def put(self, text: str, value: T) -> T:
        """Adds a reading that is not in the index yet."""
        undecided = UNDECIDED in text
        others = (self._by_length if undecided else self._undecided).get(len(text), ())
        friends = [other for other in others if alike(text, other)]
        self._alike[text] = {friend: self._values[friend] for friend in friends}
        for friend in friends:
            self._alike[friend][text] = value
        self._values[text] = value
        self._by_length.setdefault(len(text), {})[text] = None
        if undecided:
            self._undecided.setdefault(len(text), {})[text] = None
        return value

    def keep(self, wanted: Callable[[T], bool]) -> None:
        """Forgets the readings whose value is not wanted any more."""
        for text in [text for text, value in self._values.items() if not wanted(value)]:
            del self._values[text], self._by_length[len(text)][text]
            self._undecided.get(len(text), {}).pop(text, None)
            for friend in self._alike.pop(text):
                self._alike[friend].pop(text, None)

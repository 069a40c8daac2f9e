"""Looks at a dataset: texts against patterns of formats, and statistics. Pictures and sizes in, findings out. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from services.inference.datasets.layout import Picture, Plate

CHILE = (
    r"[BCDFGHJKLPRSTVWXYZ]{4}[0-9]{2}",
    r"[ABCDEFGHKLNPRSTUVXYZWMO][ABCDEFGHIJKLNPRSTUVXYZ][0-9]{4}",
)
RUSSIA = (r"[ABEKMHOPCTYX][0-9]{3}[ABEKMHOPCTYX]{2}[0-9]{2,3}",)
NAMED = {"chile": CHILE, "chile-new": CHILE[:1], "chile-old": CHILE[1:], "russia": RUSSIA}
TWO_ROWS, ONE_ROW = 2.0, 2.6
"""Width by height: below the first a plate most likely has two rows, above the second one."""


def compiled(patterns: Iterable[str]) -> list[re.Pattern[str]]:
    """ValueError for what is no regular expression."""
    found = []
    for pattern in patterns:
        try:
            found.append(re.compile(pattern))
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
    return found


def valid(text: str, patterns: Sequence[re.Pattern[str]]) -> bool:
    """Whether all of the text matches one; `#` stands for any character that makes it match."""
    return any(pattern.fullmatch(filled) for pattern in patterns for filled in _fillings(text))


def wrong_texts(pictures: Iterable[Picture], patterns: Sequence[re.Pattern[str]]) -> list[tuple[str, str]]:
    """File and text of each text that matches no pattern."""
    return [
        (picture.file, plate.text)
        for picture in pictures
        for plate in picture.plates
        if plate.text and not valid(plate.text, patterns)
    ]


def shape(plate: Plate) -> str:
    """`one row`, `two rows`, or `unclear`, by width and height alone."""
    ratio = plate.box[2] / plate.box[3]
    return "one row" if ratio >= ONE_ROW else "two rows" if ratio <= TWO_ROWS else "unclear"


def statistics(pictures: Sequence[Picture], sizes: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """Counts, sizes, lengths, characters. `sizes` of the pictures that were looked at."""
    plates = [plate for picture in pictures for plate in picture.plates]
    texts = [plate.text for plate in plates if plate.text]
    return {
        "pictures": len(pictures),
        "without_plate": sum(not picture.plates for picture in pictures),
        "plates": len(plates),
        "texts": len(texts),
        "vehicles": len(set(texts)),
        "undecided": sum("#" in text for text in texts),
        "splits": _counts(picture.split or "none" for picture in pictures),
        "sources": _counts(picture.source or "none" for picture in pictures),
        "picture_width": _spread([sizes[one.file][0] for one in pictures if one.file in sizes]),
        "picture_height": _spread([sizes[one.file][1] for one in pictures if one.file in sizes]),
        "plate_width": _spread([plate.box[2] for plate in plates]),
        "plate_height": _spread([plate.box[3] for plate in plates]),
        "plate_shape": _counts(map(shape, plates)),
        "text_length": _counts(len(text) for text in texts),
        "characters": _counts("".join(texts)),
    }


def warnings(pictures: Sequence[Picture], figures: Mapping[str, Any]) -> list[str]:
    """What a person should look at before training on it."""
    found = []
    if figures["without_plate"] == figures["pictures"]:
        found.append("no picture shows a plate")
    small = sum(plate.box[2] < 20 or plate.box[3] < 6 for picture in pictures for plate in picture.plates)
    if small:
        found.append(f"{small} plates are narrower than 20 or lower than 6 pixels: nobody can read those")
    if figures["splits"].get("none") and len(figures["splits"]) > 1:
        found.append(f"{figures['splits']['none']} pictures belong to no split")
    rare = [char for char, count in figures["characters"].items() if count < 5]
    if rare and figures["texts"] >= 50:
        found.append(f"characters that occur fewer than five times: {' '.join(sorted(rare))}")
    return found


def _fillings(text: str) -> Iterable[str]:
    """The text, or with each `#` as a letter or digit that common patterns take; at most four are tried."""
    if "#" not in text:
        return [text]
    if text.count("#") > 4:
        return []
    fillings = [""]
    for char in text:
        fillings = [begun + one for begun in fillings for one in ("ABEHKX0159" if char == "#" else char)]
    return fillings


def _counts(values: Iterable[object]) -> dict[str, int]:
    counted = Counter(str(value) for value in values)
    return {key: counted[key] for key in sorted(counted, key=lambda key: (-counted[key], key))}


def _spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    names = ("least", "quarter", "median", "three_quarters", "most")
    marks = np.percentile(np.array(values, dtype=np.float64), [0, 25, 50, 75, 100])
    return {name: round(float(mark), 1) for name, mark in zip(names, marks, strict=True)}

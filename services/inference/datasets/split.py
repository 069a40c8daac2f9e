"""Splits pictures into train, val and test so that no vehicle is in two of them: pictures in, pictures out. Pure.

Rules
- What belongs together: the same text on any of the plates, the same `group`, the same part of the file's name where a
  pattern says so. Pictures that are tied by one of these, also through others, stay together.
- Texts that differ in undecided characters (`#`) alone count as the same vehicle.
- Vehicles come in an order drawn by the seed from their pictures' names, those with many pictures first; each goes to
  the part that lacks most of its share. So the same pictures and seed give the same split, in whatever order.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace

from services.inference.datasets.layout import Picture


def assigned(pictures: Sequence[Picture], shares: Mapping[str, float], seed: int, pattern: str = "") -> list[Picture]:
    """The pictures with their split. `pattern`: a regular expression whose first group (or whole match) ties files."""
    wanted = {name: share / sum(shares.values()) * len(pictures) for name, share in shares.items()}
    have: Counter[str] = Counter()
    chosen: dict[str, str] = {}
    for vehicle in _drawn(vehicles(pictures, pattern), seed):
        # The part that lacks most of its share: big vehicles first go where they fit.
        part = max(wanted, key=lambda name: (wanted[name] - have[name]) / max(wanted[name], 1e-9))
        have[part] += len(vehicle)
        chosen.update((picture.file, part) for picture in vehicle)
    return [replace(picture, split=chosen[picture.file]) for picture in pictures]


def vehicles(pictures: Sequence[Picture], pattern: str = "") -> list[list[Picture]]:
    """Pictures that must not be torn apart, in the order of their first ones."""
    parent = list(range(len(pictures)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    seen: dict[Hashable, int] = {}
    for index, keys in enumerate(_keys(pictures, pattern)):
        for key in keys:
            a, b = sorted((root(index), root(seen.setdefault(key, index))))
            parent[b] = a
    found: dict[int, list[Picture]] = defaultdict(list)
    for index, picture in enumerate(pictures):
        found[root(index)].append(picture)
    return list(found.values())


def leaks(pictures: Iterable[Picture], pattern: str = "") -> list[str]:
    """Sentences about vehicles that are in more than one split."""
    sentences = []
    for vehicle in vehicles([picture for picture in pictures if picture.split], pattern):
        splits = sorted({picture.split for picture in vehicle})
        if len(splits) > 1:
            first = {split: next(one.file for one in vehicle if one.split == split) for split in splits}
            sentences.append("the same vehicle: " + ", ".join(f"{file} in {split}" for split, file in first.items()))
    return sentences


def _keys(pictures: Sequence[Picture], pattern: str) -> list[list[Hashable]]:
    texts = sorted({plate.text for picture in pictures for plate in picture.plates if plate.text})
    same = _same_plates(texts)
    keys: list[list[Hashable]] = []
    for picture in pictures:
        own: list[Hashable] = [("text", text) for plate in picture.plates for text in same.get(plate.text, ())]
        if picture.group:
            own.append(("group", picture.source, picture.group))
        if pattern and (match := re.search(pattern, picture.file)):
            own.append(("name", match.group(1) if match.groups() else match.group()))
        keys.append(own)
    return keys


def _same_plates(texts: Sequence[str]) -> dict[str, list[str]]:
    """Per text itself, and the texts with `#` that it may be."""
    open_texts = [text for text in texts if "#" in text]
    return {text: [text, *(one for one in open_texts if one != text and _may_be(one, text))] for text in texts}


def _may_be(a: str, b: str) -> bool:
    """At least four decided characters in common, and `#` the only difference."""
    pairs = list(zip(a, b, strict=False))
    decided = sum("#" not in pair for pair in pairs)
    return len(a) == len(b) and decided >= 4 and all(x == y or "#" in (x, y) for x, y in pairs)


def _drawn(found: Iterable[list[Picture]], seed: int) -> list[list[Picture]]:
    def draw(vehicle: list[Picture]) -> bytes:
        return hashlib.sha256(f"{seed}/{min(picture.file for picture in vehicle)}".encode()).digest()

    return sorted(found, key=lambda vehicle: (-len(vehicle) if len(vehicle) > 1 else 0, draw(vehicle)))

"""Joins folders in our layout into one, without what they show twice.

Rules
- Duplicates are found by perceptual hash. Pictures with different texts are never duplicates: plates of one format look
  alike. Of duplicates the one with most texts stays, then with most plates, then the biggest, then the first.
- A picture keeps its name below a folder that is named after its set; two sets of one name get numbers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from services.inference.datasets.duplicates import distance, groups, perceptual_hash
from services.inference.datasets.layout import IMAGES, Dataset, Picture, load
from services.inference.datasets.pictures import Unreadable, read_picture


@dataclass(frozen=True, slots=True)
class Candidate:
    """A picture that might be taken over."""

    path: Path
    picture: Picture
    hash: int
    pixels: int


@dataclass(slots=True)
class Merged:
    dataset: Dataset
    duplicates: list[tuple[str, str, int]] = field(default_factory=list)
    """What stays, what was dropped, in how many bits they differ."""
    counts: dict[str, int] = field(default_factory=dict)
    """Pictures that each folder had."""


def merge(folders: Sequence[Path], out: Path, near: int, told: Callable[[], None] = lambda: None) -> Merged:
    """Copies what stays into `out`; the dataset is not saved yet. DataError for a folder that is none of ours."""
    merged = Merged(Dataset())
    candidates: list[Candidate] = []
    for name, folder in zip(_names(folders), folders, strict=True):
        dataset = load(folder)
        merged.counts[name] = len(dataset.pictures)
        merged.dataset.faults += dataset.faults
        merged.dataset.sources |= dataset.sources
        for picture in dataset.pictures:
            told()
            candidate = _candidate(folder, name, picture, merged.dataset.faults)
            candidates += [candidate] if candidate else []
    dropped = _dropped(candidates, near, merged)
    for index, one in enumerate(candidates):
        if index not in dropped:
            target = out / IMAGES / one.picture.file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(one.path, target)
            merged.dataset.pictures.append(one.picture)
    return merged


def duplicates(candidates: Sequence[Candidate], near: int) -> list[list[int]]:
    """Groups of indices that show the same, the one that stays first."""

    def rank(index: int) -> tuple[int, int, int, int]:
        plates = candidates[index].picture.plates
        return -sum(bool(one.text) for one in plates), -len(plates), -candidates[index].pixels, index

    found = []
    for group in groups([one.hash for one in candidates], near):
        while len(group) > 1:
            best, *rest = sorted(group, key=rank)
            same = [one for one in rest if not _differ(candidates[best].picture, candidates[one].picture)]
            found += [[best, *same]] if same else []
            group = [one for one in rest if one not in same]
    return found


def _dropped(candidates: Sequence[Candidate], near: int, merged: Merged) -> set[int]:
    dropped = set()
    for stays, *others in duplicates(candidates, near):
        for other in others:
            dropped.add(other)
            a, b = candidates[stays], candidates[other]
            merged.duplicates.append((a.picture.file, b.picture.file, distance(a.hash, b.hash)))
    return dropped


def _candidate(folder: Path, name: str, picture: Picture, faults: list[str]) -> Candidate | None:
    path = folder / IMAGES / picture.file
    try:
        image = read_picture(path)
    except Unreadable as error:
        faults.append(str(error))
        return None
    return Candidate(
        path, replace(picture, file=f"{name}/{picture.file}"), perceptual_hash(image), image.shape[0] * image.shape[1]
    )


def _differ(a: Picture, b: Picture) -> bool:
    one, other = ({plate.text for plate in picture.plates if plate.text} for picture in (a, b))
    return bool(one and other and one != other)


def _names(folders: Sequence[Path]) -> list[str]:
    names: list[str] = []
    for folder in folders:
        name = folder.resolve().name
        names.append(name if name not in names else f"{name}-{len(names) + 1}")
    return names

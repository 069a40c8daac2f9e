"""Adds a person's own crops, sorted into folders that are named after the plate, to a folder in our layout."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.inference.core.truth import normalise
from services.inference.datasets.layout import IMAGES, Dataset, Picture, Plate, Source
from services.inference.datasets.pictures import Unreadable, pictures_below, read_picture

CROP = "[A-Z0-9#]{3,12}"
"""What a text must look like, where no other pattern is given."""


@dataclass(slots=True)
class Counts:
    added: int = 0
    duplicates: int = 0
    """Crops whose bytes are there already."""
    invalid: int = 0
    broken: int = 0
    faults: list[str] = field(default_factory=list)


def add_crops(
    dataset: Dataset,
    folder: Path,
    crops: Path,
    split: str,
    pattern: re.Pattern[str],
    source: Source,
    told: Callable[[], None] = lambda: None,
) -> Counts:
    """Copies crops to images/<source>/<TEXT>_<file> and enters them; `dataset` is not saved yet."""
    counts = Counts()
    known = {_digest(path) for path in pictures_below(folder / IMAGES)}
    names = {picture.file for picture in dataset.pictures}
    dataset.sources.setdefault(source.name, source)
    for path in pictures_below(crops):
        told()
        text = normalise(path.parent.name) if path.parent != crops else ""
        if not pattern.fullmatch(text):
            counts.invalid += 1
            counts.faults.append(f"{path}: its folder's name is no plate that matches {pattern.pattern}")
            continue
        digest = _digest(path)
        if digest in known:
            counts.duplicates += 1
            continue
        try:
            image = read_picture(path)
        except Unreadable as error:
            counts.broken += 1
            counts.faults.append(str(error))
            continue
        known.add(digest)
        file = _free(f"{source.name}/{text}_{path.name}", names, digest)
        target = folder / IMAGES / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        whole = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
        dataset.pictures.append(Picture(file, (Plate(whole, text),), text, split, source.name))
        counts.added += 1
    return counts


def _free(file: str, names: set[str], digest: str) -> str:
    """The name, with some of the digest where another picture has it."""
    if file in names:
        path = Path(file)
        file = f"{path.parent}/{path.stem}_{digest[:8]}{path.suffix}"
    names.add(file)
    return file


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

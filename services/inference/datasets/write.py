"""Exports a folder in our layout into the formats of others. Pictures are copied as they are.

Rules
- A split becomes a folder (yolo: images/train, nomeroff: train/img); a picture without one lies in none.
- Two files of one name in different folders stay two: the folders are kept, or written as `__` where theirs has none.
- What a format cannot say is left out: texts in yolo and kitti, corners in all but via. Nothing else is lost.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from services.inference.core.truth import COLUMNS as TRUTH_COLUMNS
from services.inference.datasets.annotations import (
    write_ibm,
    write_kitti,
    write_nomeroff,
    write_via,
    write_voc,
    write_yolo,
)
from services.inference.datasets.layout import IMAGES, Dataset, Picture, Plate, plate_rows, write_table
from services.inference.datasets.pictures import Image, Unreadable, crop, read_picture, write_picture

Told = Callable[[], None]
Size = tuple[int, int]


def export_folder(kind: str, dataset: Dataset, folder: Path, out: Path, told: Told = lambda: None) -> list[str]:
    """Writes `out`; the faults. Raises OSError."""
    faults: list[str] = []
    WRITERS[kind](dataset, folder, out, _Pictures(dataset, folder, faults, told))
    return faults


class _Pictures:
    """The pictures of a dataset with their sizes; those that do not decode are faults, and left out."""

    def __init__(self, dataset: Dataset, folder: Path, faults: list[str], told: Told) -> None:
        self._dataset, self._folder, self._faults, self._told = dataset, folder, faults, told

    def __iter__(self) -> Iterator[tuple[Picture, Path, Size]]:
        for picture in self._dataset.pictures:
            self._told()
            path = self._folder / IMAGES / picture.file
            try:
                image = read_picture(path)
            except Unreadable as error:
                self._faults.append(str(error))
                continue
            yield picture, path, (image.shape[1], image.shape[0])


def _yolo(dataset: Dataset, folder: Path, out: Path, pictures: _Pictures) -> None:
    names = _labels(dataset)
    splits: set[str] = set()
    taken: set[Path] = set()
    for picture, path, size in pictures:
        splits.add(picture.split)
        place = Path(picture.split, _without_split(picture))
        if place in taken:
            place = Path(picture.split, flat(picture.file))
        taken.add(place)
        _copy(path, out / IMAGES / place)
        _write((out / "labels" / place).with_name(f"{place.stem}.txt"), write_yolo(picture.plates, size, names))
    roles = {split: split for split in splits if split} or {"train": "", "val": ""}
    by_role = "".join(f"{role}: {IMAGES}/{place}\n" for role, place in sorted(roles.items()))
    classes = "".join(f"  {index}: {name}\n" for index, name in enumerate(names))
    _write(out / "data.yaml", f"# paths are relative to this file\n{by_role}nc: {len(names)}\nnames:\n{classes}")


def _kitti(dataset: Dataset, folder: Path, out: Path, pictures: _Pictures) -> None:
    for picture, path, _ in pictures:
        place = Path(picture.file)
        _copy(path, out / IMAGES / place)
        _write((out / "labels" / place).with_name(f"{place.stem}.txt"), write_kitti(picture.plates))


def _voc(dataset: Dataset, folder: Path, out: Path, pictures: _Pictures) -> None:
    for picture, path, size in pictures:
        name = flat(picture.file)
        _copy(path, out / IMAGES / name)
        _write(out / "annotations" / f"{Path(name).stem}.xml", write_voc(name, picture.plates, size))


def _ibm(dataset: Dataset, folder: Path, out: Path, pictures: _Pictures) -> None:
    known: dict[str, tuple[tuple[Plate, ...], Size]] = {}
    for picture, path, size in pictures:
        name = flat(picture.file)
        _copy(path, out / name)
        known[name] = (picture.plates, size)
    _write(out / "_annotations.json", write_ibm(known))


def _via(dataset: Dataset, folder: Path, out: Path, pictures: _Pictures) -> None:
    """One folder with its via_region_data.json per split, as nomeroff has them."""
    by_split: dict[str, dict[str, tuple[Plate, ...]]] = {}
    for picture, path, _ in pictures:
        name = flat(picture.file)
        _copy(path, out / picture.split / name)
        by_split.setdefault(picture.split, {})[name] = picture.plates
    for split, known in by_split.items():
        sizes = {file: (out / split / file).stat().st_size for file in known}
        _write(out / split / "via_region_data.json", write_via(known, sizes.__getitem__))


def _nomeroff(dataset: Dataset, folder: Path, out: Path, pictures: _Pictures) -> None:
    for picture, path, _ in pictures:
        for name, plate, image in _crops(picture, path):
            place = out / picture.split
            write_picture(place / "img" / f"{name}.png", image)
            size = (image.shape[1], image.shape[0])
            _write(place / "ann" / f"{name}.json", write_nomeroff(name, plate.text, size))


def _labels_tsv(dataset: Dataset, folder: Path, out: Path, pictures: _Pictures) -> None:
    rows: dict[str, list[str]] = {}
    for picture, path, _ in pictures:
        for name, plate, image in _crops(picture, path):
            write_picture(out / picture.split / "img" / f"{name}.png", image)
            rows.setdefault(picture.split, []).append(f"img/{name}.png\t{plate.text}\n")
    for split, lines in rows.items():
        _write(out / split / "labels.tsv", "".join(lines))


def _truth(dataset: Dataset, folder: Path, out: Path, pictures: _Pictures) -> None:
    """A truth file for `plateflow evaluate plates --images DIR/images`, and no copy of the pictures."""
    known = [picture for picture, _, _ in pictures]
    write_table(out / "truth.csv", TRUTH_COLUMNS, (row[: len(TRUTH_COLUMNS)] for row in plate_rows(known)))


Writer = Callable[[Dataset, Path, Path, _Pictures], None]
WRITERS: dict[str, Writer] = {
    "yolo": _yolo,
    "kitti": _kitti,
    "voc": _voc,
    "ibm": _ibm,
    "via": _via,
    "nomeroff": _nomeroff,
    "labels": _labels_tsv,
    "truth": _truth,
}


def flat(file: str) -> str:
    """A name for a format without folders."""
    return file.replace("/", "__")


def _crops(picture: Picture, path: Path) -> Iterator[tuple[str, Plate, Image]]:
    """The plates with a text, cut out; one that fills its picture is the picture."""
    named = [plate for plate in picture.plates if plate.text]
    image = read_picture(path) if named else None
    for index, plate in enumerate(named):
        stem = flat(str(Path(picture.file).with_suffix("")))
        if image is not None:
            yield stem if len(picture.plates) == 1 else f"{stem}_{index}", plate, crop(image, plate, 0.0)


def _without_split(picture: Picture) -> Path:
    """The file without a folder that only says its split, and without `images`."""
    parts = [part for part in Path(picture.file).parts[:-1] if part not in (picture.split, IMAGES)]
    return Path(*parts, Path(picture.file).name)


def _labels(dataset: Dataset) -> list[str]:
    return sorted({plate.label for picture in dataset.pictures for plate in picture.plates}) or ["plate"]


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")

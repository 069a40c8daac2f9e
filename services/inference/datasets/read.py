"""Imports what others wrote: a folder (or zip) of theirs in, a folder in our layout out.

Rules
- Pictures are copied byte by byte and decoded once, so that none enters that is broken; boxes are cut at their edges.
- A label file with a broken line, a picture that is missing or broken: one fault each, and the rest is imported.
- `train`, `val` (or `valid`) and `test` among the folders of a path name its split.
- Nothing outside the source folder is read: a name that leads out of it is a fault.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from services.inference.core.truth import normalise
from services.inference.datasets.annotations import (
    Size,
    parse_ibm,
    parse_kitti,
    parse_labels,
    parse_nomeroff,
    parse_via,
    parse_voc,
    parse_yolo,
)
from services.inference.datasets.layout import (
    IMAGES,
    DataError,
    Dataset,
    Picture,
    Plate,
    Source,
    inside,
    safe_file,
    table_rows,
)
from services.inference.datasets.pictures import Unreadable, pictures_below, read_picture

_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_LABEL_FILES = ("labels.csv", "labels.tsv", "annotations.txt", "manifest.csv", "manifest.tsv")


@dataclass(frozen=True, slots=True)
class Found:
    """A picture of theirs. `plates` gives its plates once its size is known; ValueError where they are broken."""

    path: Path
    plates: Callable[[Size], Sequence[Plate]]
    origin: str
    """The label file, for error texts."""


Reader = Callable[[Path], Iterator[Found | str]]


def import_folder(
    kind: str, folder: Path, out: Path, source: Source, labels: frozenset[str] = frozenset(),
    told: Callable[[], None] = lambda: None,
) -> Dataset:  # fmt: skip
    """Copies pictures into `out`; the dataset is not saved yet. Only `labels` are taken for plates; empty: all.
    `told` hears of each picture. DataError where there is nothing of that kind."""
    dataset = Dataset(sources={source.name: source})
    for found in READERS[kind](folder):
        told()
        if isinstance(found, str):
            dataset.faults.append(found)
            continue
        try:
            dataset.pictures.append(_imported(found, folder, out, source.name, labels))
        except Unreadable as error:
            dataset.faults.append(str(error))
        except ValueError as error:
            dataset.faults.append(f"{found.origin}, {error}")
    if not dataset.pictures and not dataset.faults:
        raise DataError(f"{folder} holds nothing of the kind {kind}: {WANTED[kind]}")
    return dataset


def _imported(found: Found, folder: Path, out: Path, source: str, labels: frozenset[str]) -> Picture:
    image = read_picture(found.path)
    height, width = image.shape[:2]
    plates = [plate for plate in found.plates((width, height)) if not labels or plate.label in labels]
    kept = tuple(replace(plate, box=inside(plate.box, width, height), label="plate") for plate in plates)
    file = safe_file(found.path.relative_to(folder).as_posix())
    target = out / IMAGES / file
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(found.path, target)
    return Picture(file, kept, split=split_of(found.path.relative_to(folder)), source=source)


def split_of(path: Path) -> str:
    return next((_SPLITS[part.lower()] for part in reversed(path.parts[:-1]) if part.lower() in _SPLITS), "")


def read_yolo(folder: Path) -> Iterator[Found | str]:
    names = class_names(folder)
    yield from _beside_labels(folder, lambda text, size: parse_yolo(text, size, names))


def read_kitti(folder: Path) -> Iterator[Found | str]:
    yield from _beside_labels(folder, lambda text, _size: parse_kitti(text))


def read_voc(folder: Path) -> Iterator[Found | str]:
    by_name = {path.name: path for path in pictures_below(folder)}
    by_stem = {path.stem: path for path in by_name.values()}
    for path in sorted(folder.rglob("*.xml")):
        try:
            file, plates = parse_voc(_text(path))
        except ValueError as error:
            yield f"{path}, {error}"
            continue
        picture = _near(path, Path(file).name) or by_name.get(Path(file).name) or by_stem.get(path.stem)
        yield _found(picture, plates, path) if picture else f"{path}, filename: there is no picture {file!r}"


def read_ibm(folder: Path) -> Iterator[Found | str]:
    for path in sorted(folder.rglob("*annotations.json")):
        try:
            document = parse_ibm(_text(path), lambda file, path=path: _size(_within(path.parent, file)))  # type: ignore[misc]
        except ValueError as error:
            yield f"{path}, {error}"
            continue
        yield from _by_file(path, document)


def read_via(folder: Path) -> Iterator[Found | str]:
    for path in sorted(folder.rglob("*via_*.json")):
        try:
            document = parse_via(_text(path))
        except ValueError as error:
            yield f"{path}, {error}"
            continue
        yield from _by_file(path, document)


def read_nomeroff(folder: Path) -> Iterator[Found | str]:
    for path in sorted(folder.rglob("ann/*.json")):
        try:
            name, text = parse_nomeroff(_text(path))
        except ValueError as error:
            yield f"{path}, {error}"
            continue
        images = path.parent.parent / "img"
        picture = _stem_in(images, path.stem) or (_stem_in(images, name) if name and name == Path(name).name else None)
        if picture is None:
            yield f"{path}, line 1: there is no picture {images / path.stem}.*"
        elif not text:
            yield f"{path}, line 1: the description is empty"
        else:
            yield _whole(picture, text, str(path))


def read_labels(folder: Path) -> Iterator[Found | str]:
    for path in sorted(path for name in _LABEL_FILES for path in folder.rglob(name)):
        faults: list[str] = []
        for line, file, text in label_rows(path, faults):
            try:
                picture = _within(path.parent, file)
            except ValueError as error:
                yield f"{path}, line {line}: {error}"
                continue
            yield _whole(picture, text, f"{path}, line {line}")
        yield from faults


def label_rows(path: Path, faults: list[str]) -> Iterator[tuple[int, str, str]]:
    """Line, file and text of a table of labels: CSV with the columns file and text, else `file<TAB>text` lines."""
    text = _text(path)
    if path.suffix == ".csv":
        for number, row in table_rows(csv_lines(text), str(path), ("file", "text"), faults):
            if normalise(row["text"]):
                yield number, row["file"].strip(), normalise(row["text"])
        return
    for number, line in enumerate(text.splitlines(), start=1):
        rows, wrong = parse_labels(line)
        yield from ((number, file, plate) for file, plate in rows)
        faults.extend(f"{path}, line {number}: {fault.partition(': ')[2]}" for fault in wrong)


def csv_lines(text: str) -> Sequence[str]:
    return text.splitlines(keepends=True)


def read_names(folder: Path) -> Iterator[Found | str]:
    """The text is the file's name up to the first `_`, `-`, blank or bracket."""
    for path in pictures_below(folder):
        text = normalise(path.stem.split("_")[0].split("-")[0].split(" ")[0].split("(")[0])
        yield _whole(path, text, str(path)) if text.isalnum() else f"{path}: its name begins with no plate"


def read_folders(folder: Path) -> Iterator[Found | str]:
    """The text is the name of the folder that the crop lies in."""
    for path in pictures_below(folder):
        text = normalise(path.parent.name)
        if path.parent == folder:
            yield f"{path}: it lies in no folder that is named after its plate"
        elif text.isalnum():
            yield _whole(path, text, str(path))
        else:
            yield f"{path}: its folder's name {path.parent.name!r} is no plate"


READERS: dict[str, Reader] = {
    "yolo": read_yolo,
    "kitti": read_kitti,
    "voc": read_voc,
    "ibm": read_ibm,
    "via": read_via,
    "nomeroff": read_nomeroff,
    "labels": read_labels,
    "names": read_names,
    "folders": read_folders,
}
WANTED = {
    "yolo": "pictures, with labels/<name>.txt for images/<name>.*, or beside them",
    "kitti": "pictures, with labels/<name>.txt for images/<name>.*, or beside them",
    "voc": "*.xml files and the pictures they name",
    "ibm": "_annotations.json and the pictures it names",
    "via": "via_region_data.json and the pictures it names",
    "nomeroff": "ann/<name>.json and img/<name>.*",
    "labels": f"{', '.join(_LABEL_FILES)}",
    "names": "pictures whose names begin with the plate",
    "folders": "folders named after the plate, with pictures in them",
}


def class_names(folder: Path) -> dict[int, str]:
    """From data.yaml or classes.txt; a class without a name is called by its number."""
    for path in sorted(folder.rglob("*.yaml")):
        try:
            names = (yaml.safe_load(_text(path)) or {}).get("names")
        except (yaml.YAMLError, AttributeError) as error:
            raise DataError(f"{path} is no YAML with `names`: {' '.join(str(error).split())}") from error
        if isinstance(names, list | dict):
            return {int(k): str(v) for k, v in (names.items() if isinstance(names, dict) else enumerate(names))}
    classes = next(iter(sorted(folder.rglob("classes.txt"))), None)
    return dict(enumerate(_text(classes).split())) if classes else {}


def _beside_labels(folder: Path, parse: Callable[[str, Size], Sequence[Plate]]) -> Iterator[Found | str]:
    used = set()
    for path in pictures_below(folder):
        label = _label_of(path, folder)
        used.add(label)
        yield Found(path, lambda size, label=label: _parsed(label, size, parse), str(label))  # type: ignore[misc]
    for label in sorted(folder.rglob("labels/**/*.txt")):
        if label not in used and label.name != "classes.txt":
            yield f"{label}, line 1: there is no picture of that name"


def _parsed(label: Path, size: Size, parse: Callable[[str, Size], Sequence[Plate]]) -> Sequence[Plate]:
    """A picture without a label file shows no plate."""
    return parse(_text(label), size) if label.is_file() else []


def _label_of(picture: Path, folder: Path) -> Path:
    """labels/…/name.txt for images/…/name.jpg (the last `images` counts), else beside it."""
    parts = list(picture.relative_to(folder).parts)
    places = [index for index, part in enumerate(parts[:-1]) if part == IMAGES]
    if places:
        parts[places[-1]] = "labels"
    elif (beside := folder.parent / "labels") and folder.name == IMAGES and beside.is_dir():
        return beside.joinpath(*parts).with_suffix(".txt")
    return folder.joinpath(*parts[:-1], f"{picture.stem}.txt")


def _by_file(path: Path, document: dict[str, list[Plate] | ValueError]) -> Iterator[Found | str]:
    for file, plates in document.items():
        if isinstance(plates, ValueError):
            yield f"{path}, {plates}"
            continue
        try:
            yield _found(_within(path.parent, file), plates, path, f" {file}:")
        except ValueError as error:
            yield f"{path}, {error}"


def _within(folder: Path, file: str) -> Path:
    """The picture of that name, in the folder or in its images/. ValueError where there is none."""
    name = safe_file(file)
    for path in (folder / name, folder / IMAGES / name):
        if path.is_file():
            return path
    raise ValueError(f"there is no picture {folder / name}")


def _near(path: Path, name: str) -> Path | None:
    """The picture beside a label file, or in one of the folders that hold pictures by custom."""
    parent = path.parent
    places = (parent, parent.parent / IMAGES, parent.parent / "JPEGImages")
    return next((place / name for place in places if name and (place / name).is_file()), None)


def _stem_in(folder: Path, stem: str) -> Path | None:
    return next((path for suffix in sorted(PICTURE_SUFFIXES) if (path := folder / f"{stem}{suffix}").is_file()), None)


PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


def _found(picture: Path, plates: Sequence[Plate], origin: Path, what: str = "") -> Found:
    return Found(picture, lambda _size: plates, f"{origin},{what}" if what else str(origin))


def _whole(picture: Path, text: str, origin: str) -> Found:
    return Found(picture, lambda size: [Plate((0.0, 0.0, float(size[0]), float(size[1])), text)], origin)


def _size(path: Path) -> Size:
    image = read_picture(path)
    return image.shape[1], image.shape[0]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 (byte {error.start})") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error

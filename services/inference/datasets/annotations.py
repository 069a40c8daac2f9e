"""How others write down boxes: the text of one file in, plates out, and back. Pure.

Rules
- Coordinates of ours are pixels. `size` is width and height of the picture that the text is about.
- A broken line or object is a ValueError that says where: `line 3: …`, `object 2: …`, `region 1 of a.jpg: …`.
- Labels are kept as they are; which of them are plates is the importer's business.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

from services.inference.core.truth import normalise
from services.inference.datasets.layout import Plate, bounding, boxed, clockwise, number

Size = tuple[int, int]
_KITTI_FIELDS = 15


def parse_yolo(text: str, size: Size, names: Mapping[int, str]) -> list[Plate]:
    """`class cx cy w h`; with four key points behind (8 numbers, or 12 with visibility); `class` and four corners."""
    width, height = size

    def plate(words: list[str]) -> Plate:
        label = names.get(int(words[0]), words[0])
        numbers = [float(word) for word in words[1:]]
        if len(numbers) not in (4, 8, 12, 16):
            raise ValueError(f"5 numbers are needed (or 9, 13, 17 with corners), not {len(words)}")
        points = _points(numbers)
        corners = clockwise([(x * width, y * height) for x, y in points]) if points else ()
        if len(numbers) == 8:
            return Plate(bounding(corners), corners=corners, label=label)
        cx, cy, w, h = numbers[:4]
        box = boxed((cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height)
        return Plate(box, corners=corners, label=label)

    return _lines(text, plate)


def write_yolo(plates: Iterable[Plate], size: Size, names: Sequence[str]) -> str:
    width, height = size
    rows = []
    for plate in plates:
        x, y, w, h = plate.box
        parts = ((x + w / 2) / width, (y + h / 2) / height, w / width, h / height)
        rows.append(f"{names.index(plate.label)} {' '.join(f'{part:.6f}' for part in parts)}\n")
    return "".join(rows)


def parse_kitti(text: str) -> list[Plate]:
    """15 fields (16 with a score); the box's corners are fields 4 to 7, counted from 0."""

    def plate(words: list[str]) -> Plate:
        if len(words) not in (_KITTI_FIELDS, _KITTI_FIELDS + 1):
            raise ValueError(f"{_KITTI_FIELDS} fields are needed, not {len(words)}")
        x1, y1, x2, y2 = (float(word) for word in words[4:8])
        return Plate(boxed(x1, y1, x2 - x1, y2 - y1), label=words[0])

    return _lines(text, plate)


def write_kitti(plates: Iterable[Plate]) -> str:
    rows = []
    for plate in plates:
        x, y, w, h = plate.box
        rest = " ".join(["0.00"] * 7)
        rows.append(f"{_word(plate.label)} 0.00 0 0.00 {x:.2f} {y:.2f} {x + w:.2f} {y + h:.2f} {rest}\n")
    return "".join(rows)


def parse_voc(text: str) -> tuple[str, list[Plate]]:
    """The picture's file name and its objects. Corners are taken as they stand."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"line {error.position[0]}: no XML: {error.msg.split(':')[0]}") from error
    plates = []
    for index, one in enumerate(root.iter("object"), start=1):
        try:
            x1, y1, x2, y2 = (
                float(one.findtext(f"bndbox/{name}") or "nan") for name in ("xmin", "ymin", "xmax", "ymax")
            )
            text = normalise(one.findtext("plate") or "")
            plates.append(Plate(boxed(x1, y1, x2 - x1, y2 - y1), text, label=one.findtext("name") or "plate"))
        except ValueError as error:
            raise ValueError(f"object {index}: {error}") from error
    return root.findtext("filename") or "", plates


def write_voc(file: str, plates: Iterable[Plate], size: Size) -> str:
    root = ElementTree.Element("annotation")
    _child(root, "filename", file)
    about = _child(root, "size", "")
    for name, pixels in zip(("width", "height", "depth"), (*size, 3), strict=True):
        _child(about, name, str(pixels))
    for plate in plates:
        one = _child(root, "object", "")
        _child(one, "name", plate.label)
        if plate.text:
            _child(one, "plate", plate.text)
        box = _child(one, "bndbox", "")
        x, y, w, h = plate.box
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + w, y + h), strict=True):
            _child(box, name, number(value))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def parse_ibm(text: str, size_of: Callable[[str], Size]) -> dict[str, list[Plate] | ValueError]:
    """IBM Cloud Annotations. A document in which nothing lies beyond 1 is in parts of its pictures. A picture that
    cannot be understood has its error in the place of its plates."""
    document = _document(text)
    by_file = document.get("annotations")
    if not isinstance(by_file, dict):
        raise ValueError("no `annotations`; this is no export of IBM Cloud Annotations")
    values = [one.get(key) for found in by_file.values() if isinstance(found, list) for one in found
              if isinstance(one, dict) for key in ("x", "y", "x2", "y2")]  # fmt: skip
    parts = all(isinstance(value, int | float) and value <= 1 for value in values)

    def plates(file: str, found: Any) -> list[Plate]:
        wide, high = size_of(file) if parts else (1, 1)

        def plate(one: Any) -> Plate:
            x1, y1, x2, y2 = (float(one[key]) for key in ("x", "y", "x2", "y2"))
            return Plate(
                boxed(x1 * wide, y1 * high, (x2 - x1) * wide, (y2 - y1) * high), label=str(one.get("label") or "plate")
            )

        return _each(f"annotation of {file}", found, plate)

    return {file: _or_error(plates, file, found) for file, found in by_file.items()}


def write_ibm(pictures: Mapping[str, tuple[Sequence[Plate], Size]]) -> str:
    """Coordinates in parts of the picture, as IBM Cloud Annotations itself writes them."""
    annotations = {
        file: [
            {
                "x": round(plate.box[0] / width, 6),
                "y": round(plate.box[1] / height, 6),
                "x2": round((plate.box[0] + plate.box[2]) / width, 6),
                "y2": round((plate.box[1] + plate.box[3]) / height, 6),
                "label": plate.label,
            }
            for plate in plates
        ]
        for file, (plates, (width, height)) in pictures.items()
    }
    labels = sorted({plate.label for plates, _ in pictures.values() for plate in plates})
    document = {"version": "1.0", "type": "localization", "labels": labels, "annotations": annotations}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def parse_via(text: str) -> dict[str, list[Plate] | ValueError]:
    """VGG Image Annotator, as nomeroff writes it: rectangles, or polygons, whose corners are kept where they are four.
    The text is the region's `np` or `text`, the label its `class` or `label`."""
    document = _document(text)
    entries = document.get("_via_img_metadata", document)
    if not isinstance(entries, dict) or not all(
        isinstance(one, dict) and "filename" in one for one in entries.values()
    ):
        raise ValueError("no `filename` in every entry; this is no file of the VGG Image Annotator")

    def plates(file: str, entry: Any) -> list[Plate]:
        regions = entry.get("regions") or []
        return _each(f"region of {file}", list(regions.values()) if isinstance(regions, dict) else regions, _region)

    return {str(one["filename"]): _or_error(plates, str(one["filename"]), one) for one in entries.values()}


def write_via(pictures: Mapping[str, Sequence[Plate]], bytes_of: Callable[[str], int]) -> str:
    document = {
        f"{file}{bytes_of(file)}": {
            "filename": file,
            "size": bytes_of(file),
            "regions": [
                {
                    "shape_attributes": _shape(plate),
                    "region_attributes": {"label": plate.label, "class": plate.label, "np": plate.text},
                }
                for plate in plates
            ],
            "file_attributes": {},
        }
        for file, plates in pictures.items()
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def parse_nomeroff(text: str) -> tuple[str, str]:
    """One `ann/*.json` of a nomeroff OCR set: its picture's name (may be empty) and text."""
    document = _document(text)
    if not isinstance(document.get("description"), str):
        raise ValueError("no `description`, which is the plate's text")
    return str(document.get("name") or ""), normalise(document["description"])


def write_nomeroff(name: str, text: str, size: Size) -> str:
    document = {"description": text, "name": name, "size": {"width": size[0], "height": size[1]}}
    return json.dumps(document, ensure_ascii=False) + "\n"


def parse_labels(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Lines `file<TAB>text`, or `file text` as labelerJS writes; of `file,text,…` see the layout's table reader. The
    second list are the faults. A blank within the file's name is fine: the text is the last word."""
    rows: list[tuple[str, str]] = []
    faults: list[str] = []
    for index, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        file, _, plate = line.partition("\t") if "\t" in line else line.strip().rpartition(" ")
        if file.strip() and normalise(plate):
            rows.append((file.strip(), normalise(plate)))
        else:
            faults.append(f"line {index}: a file and a text are needed, with a tab between, not {line.strip()!r}")
    return rows, faults


def _region(region: Any) -> Plate:
    shape, about = region["shape_attributes"], region.get("region_attributes") or {}
    text = normalise(str(about.get("np") or about.get("text") or ""))
    label = str(about.get("class") or about.get("label") or "plate")
    if shape.get("name") == "rect":
        box = boxed(*(float(shape[key]) for key in ("x", "y", "width", "height")))
        return Plate(box, text, label=label)
    points = list(zip(map(float, shape["all_points_x"]), map(float, shape["all_points_y"]), strict=True))
    corners = clockwise(points) if len(points) == 4 else ()
    return Plate(bounding(value for point in points for value in point), text, corners, label)


def _shape(plate: Plate) -> dict[str, Any]:
    if plate.corners:
        xs, ys = list(plate.corners[::2]), list(plate.corners[1::2])
        return {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
    return {"name": "rect"} | dict(zip(("x", "y", "width", "height"), plate.box, strict=True))


def _points(numbers: Sequence[float]) -> list[tuple[float, float]]:
    if len(numbers) == 8:
        return list(zip(numbers[::2], numbers[1::2], strict=True))
    step = (len(numbers) - 4) // 4
    return [(numbers[4 + step * n], numbers[5 + step * n]) for n in range(4)] if step else []


def _lines(text: str, plate: Callable[[list[str]], Plate]) -> list[Plate]:
    plates = []
    for index, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                plates.append(plate(line.split()))
            except ValueError as error:
                raise ValueError(f"line {index}: {error}") from error
    return plates


def _each(what: str, found: Any, plate: Callable[[Any], Plate]) -> list[Plate]:
    plates = []
    for index, one in enumerate(found, start=1):
        try:
            plates.append(plate(one))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            detail = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{what}, number {index}: {detail}") from error
    return plates


def _or_error(plates: Callable[[str, Any], list[Plate]], file: str, found: Any) -> list[Plate] | ValueError:
    try:
        return plates(file, found)
    except ValueError as error:
        return error
    except TypeError as error:
        return ValueError(f"{file}: not what was expected: {error}")


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: no JSON: {error.msg}") from error
    if not isinstance(document, dict):
        raise ValueError("line 1: a JSON object is needed")
    return document


def _child(parent: ElementTree.Element, name: str, text: str) -> ElementTree.Element:
    child = ElementTree.SubElement(parent, name)
    child.text = text or None
    return child


def _word(text: str) -> str:
    """KITTI's fields have no blanks."""
    return "_".join(text.split()) or "plate"

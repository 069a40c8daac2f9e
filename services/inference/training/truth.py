"""Makes truth files for `plateflow evaluate plates` from the shared plates: labels in, CSV out.

    python -m services.inference.training.truth --shared ../shared/data --out build/truth

`detection-val.csv` (and `-train`) names the labelled photos, with texts where the crops have them: measure with
`--images ../shared/data/plates/det/images/val`. `recognition.csv` names the crops, each box the whole picture, so that
only its figures on true boxes mean anything: measure with `--images ../shared/data/plates/ocr`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from PIL import Image

from services.inference.core.truth import COLUMNS

Row = tuple[str, object, object, object, object, str]


def detection_rows(images: Path, labels: Path, texts: Mapping[str, str] | None = None) -> Iterator[Row]:
    """A row per labelled plate, or one row without a box for a photo that has none.

    `texts` gives the text of box n of photo `name.jpg` under `name_n`; a box that it does not name has none.
    """
    known = texts or {}
    for image in sorted(images.glob("*.jpg")):
        with Image.open(image) as picture:
            width, height = picture.size
        label = labels / f"{image.stem}.txt"
        lines = label.read_text().split("\n") if label.exists() else []
        boxes = [yolo_box(line, width, height) for line in lines if line.strip()]
        yield from ((image.name, *box, known.get(f"{image.stem}_{n}", "")) for n, box in enumerate(boxes))
        if not boxes:
            yield image.name, "", "", "", "", ""


def yolo_box(line: str, width: int, height: int) -> tuple[float, float, float, float]:
    """A label line `class cx cy w h`, in parts of the picture, as x, y, w, h in pixels."""
    cx, cy, w, h = (float(value) for value in line.split()[1:5])
    x, y = (cx - w / 2) * width, (cy - h / 2) * height
    return round(x, 2), round(y, 2), round(w * width, 2), round(h * height, 2)


def recognition_rows(labels: Path) -> Iterator[Row]:
    """A row per crop; the box is the whole crop."""
    with labels.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield row["file"], 0, 0, row["width"], row["height"], row["text"]


def crop_texts(labels: Path) -> dict[str, str]:
    """The texts of the labelled crops by the crops' names: photo and number of the box."""
    return {Path(file).stem: text for file, *_, text in recognition_rows(labels)}


def write_truth(path: Path, rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def write_all(shared: Path, out: Path) -> None:
    """Writes the three truth files for the shared plates into `out`."""
    plates = shared / "plates"
    out.mkdir(parents=True, exist_ok=True)
    texts = crop_texts(plates / "ocr" / "labels.csv")
    for split in ("train", "val"):
        rows = detection_rows(plates / "det" / "images" / split, plates / "det" / "labels" / split, texts)
        write_truth(out / f"detection-{split}.csv", rows)
    write_truth(out / "recognition.csv", recognition_rows(plates / "ocr" / "labels.csv"))


def main() -> None:
    parser = argparse.ArgumentParser(description="Make truth files for `plateflow evaluate plates`.")
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds plates/")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the CSV files into")
    args = parser.parse_args()
    write_all(args.shared, args.out)


if __name__ == "__main__":
    main()

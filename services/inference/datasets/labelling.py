"""The state of a person who types the texts of plates: a folder in, a table that is always up to date out.

Rules
- A folder in our layout: its plates are typed into plates.csv. Any other folder: each picture in it is a crop of one
  plate, and the texts go to labels.csv (file,text) beside them.
- Every text is on the disk when `put` returns, in one piece; what was typed earlier, also by labelerJS
  (annotations.txt), is there again. An empty text takes one away.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from threading import Lock

from services.inference.core.truth import normalise
from services.inference.datasets.layout import IMAGES, PLATES, DataError, Dataset, load, save, write_table
from services.inference.datasets.pictures import Image, crop, pictures_below, read_picture
from services.inference.datasets.read import label_rows

LABELS, OLD_LABELS = "labels.csv", "annotations.txt"
MARGIN = 0.15
"""What of the surroundings a person sees."""


class Labelling:
    """The plates of a folder, by number. Several threads may call it."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder; name the one that holds the crops")
        self._folder, self._lock = folder, Lock()
        self._dataset = load(folder) if (folder / PLATES).is_file() else None
        if self._dataset is not None and self._dataset.faults:  # saving would lose the broken lines
            raise DataError(f"{self._dataset.faults[0]}; mend the file first")
        if self._dataset is not None:
            self._places = [
                (index, number)
                for index, picture in enumerate(self._dataset.pictures)
                for number in range(len(picture.plates))
            ]
        else:
            self._files = [path.relative_to(folder).as_posix() for path in pictures_below(folder)]
            self._texts = self._earlier()
        if not len(self):
            raise DataError(f"{folder} holds no plates: neither pictures nor a {PLATES} with boxes")

    def __len__(self) -> int:
        return len(self._files if self._dataset is None else self._places)

    @property
    def target(self) -> Path:
        """The file that the texts go to."""
        return self._folder / (LABELS if self._dataset is None else PLATES)

    def name(self, number: int) -> str:
        if self._dataset is None:
            return self._files[number]
        index, plate = self._places[number]
        picture = self._dataset.pictures[index]
        return picture.file if len(picture.plates) == 1 else f"{picture.file} ({plate + 1} of {len(picture.plates)})"

    def text(self, number: int) -> str:
        if self._dataset is None:
            return self._texts.get(self._files[number], "")
        index, plate = self._places[number]
        return self._dataset.pictures[index].plates[plate].text

    def texts(self) -> list[str]:
        with self._lock:
            return [self.text(number) for number in range(len(self))]

    def image(self, number: int) -> Image:
        """Raises Unreadable, or ValueError for a box outside its picture."""
        if self._dataset is None:
            return read_picture(self._folder / self._files[number])
        index, plate = self._places[number]
        picture = self._dataset.pictures[index]
        image = read_picture(self._folder / IMAGES / picture.file)
        return crop(image, picture.plates[plate], MARGIN)

    def put(self, number: int, text: str) -> str:
        """Writes a text down; how it is written."""
        typed = normalise(text)
        with self._lock:
            if self._dataset is None:
                self._put_label(self._files[number], typed)
            else:
                self._put_plate(self._dataset, number, typed)
        return typed

    def _put_label(self, file: str, text: str) -> None:
        self._texts[file] = text
        rows = ((name, self._texts[name]) for name in self._files if self._texts.get(name))
        write_table(self.target, ("file", "text"), rows)

    def _put_plate(self, dataset: Dataset, number: int, text: str) -> None:
        index, plate = self._places[number]
        picture = dataset.pictures[index]
        plates = list(picture.plates)
        plates[plate] = replace(plates[plate], text=text)
        dataset.pictures[index] = replace(picture, plates=tuple(plates))
        save(dataset, self._folder)

    def _earlier(self) -> dict[str, str]:
        """DataError for a broken line: it would be lost with the next text."""
        path = next((one for name in (LABELS, OLD_LABELS) if (one := self._folder / name).is_file()), None)
        if path is None:
            return {}
        faults: list[str] = []
        found = {file: text for _, file, text in label_rows(path, faults)}
        if faults:
            raise DataError(f"{faults[0]}; mend the file first")
        unknown = sorted(set(found) - set(self._files))
        if unknown:
            raise DataError(f"{path} names {unknown[0]}, which is no picture in {self._folder}; move it out first")
        return found

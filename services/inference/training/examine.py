"""Examines a recogniser on drawn plates in fonts and alphabets that no training saw: weights in, a table and JSON out.

    python -m services.inference.training.examine --fonts .cache/fonts [--shared ../shared] [--weights FILE]
        [--engine rapidocr]

| set | what it shows |
|---|---|
| all kinds | every style at middling hardness, one picture each, through the vote with its formats |
| two rows | the two-row styles, the same way |
| low light | one row, 40 to 60 pixels wide, in a tenth to a third of the light, seven pictures each: one vote a track |
| no plates | badges, signs, pieces of photographs: how many get a reading that would be published |

The JSON also says, of the sets with plates, how many right and wrong readings would be published at several
`min_confidence`; `#` stands for any character there.

Everything comes of seeds: the same weights give the same figures. The fonts: `services.inference.training.fonts`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from services.contracts.formats import shipped
from services.contracts.messages import Reading
from services.inference.core.alignment import compatible
from services.inference.core.evaluation import read_report
from services.inference.core.reliability import Outcome, reliability
from services.inference.core.shares import Share, as_flat
from services.inference.core.stitch import KeepOptions, keep
from services.inference.core.vote import Read, VoteOptions, vote, weigh
from services.inference.follow import alone
from services.inference.models.factory import Engine, create_recogniser
from services.inference.models.recogniser import ALPHABET, CharacterReading, Recogniser
from services.inference.training.crops import Crop, Studio
from services.inference.training.feed import Sources
from services.inference.training.styles import STYLES, TWO_ROWS

SHOTS = 7  # pictures of a low-light track
NARROW = (40.0, 60.0)  # pixels of its plates
FLOORS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Values of `KeepOptions.min_confidence` that are compared."""
_HARDNESS = 0.6
_OPTIONS = VoteOptions(formats=shipped())


def all_kinds(recogniser: Recogniser, studio: Studio, count: int) -> dict[str, Any]:
    """Exact plates, characters and confidence of single pictures."""
    studio.no_plate, studio.hardness = 0.0, _HARDNESS
    crops = [studio.crop() for _ in range(count)]
    readings = [alone(one, _OPTIONS) for one in _read(recogniser, crops)]
    return _figures([(crop.text, reading) for crop, reading in zip(crops, readings, strict=True)])


def two_rows(recogniser: Recogniser, studio: Studio, count: int) -> dict[str, Any]:
    studio.styles = TWO_ROWS
    return all_kinds(recogniser, studio, count)


def low_light(recogniser: Recogniser, studio: Studio, count: int) -> dict[str, Any]:
    """The vote of each track of SHOTS dark, narrow pictures."""
    studio.no_plate, studio.hardness = 0.0, _HARDNESS / 2  # light and width are hard enough
    studio.styles = [name for name in STYLES if name not in TWO_ROWS]
    voted = []
    for _ in range(count):
        crops = studio.track(SHOTS, NARROW)
        reads = [_weighed(one) for one in _read(recogniser, crops)]
        voted.append((crops[0].text, vote(reads, ALPHABET, _OPTIONS)))
    return _figures(voted)


def no_plates(recogniser: Recogniser, studio: Studio, count: int) -> dict[str, Any]:
    """Of crops without a plate, those whose reading would be published, however sure the detector was."""
    studio.no_plate = 1.0
    readings = [alone(one, _OPTIONS) for one in _read(recogniser, [studio.crop() for _ in range(count)])]
    return {"crops": count} | as_flat("published", Share(sum(keep(one, [1.0]) for one in readings), count))


EXAMINATIONS = {
    "all kinds": (all_kinds, 1),
    "two rows": (two_rows, 2),
    "low light": (low_light, 5),
    "no plates": (no_plates, 1),
}
"""Each with the part of `--count` that it takes."""


def _read(recogniser: Recogniser, crops: Sequence[Crop]) -> list[CharacterReading]:
    return recogniser.read([crop.image for crop in crops])


def _weighed(read: CharacterReading) -> Read:
    """As the pipeline does, but for what drawn crops do not say: detection score, sharpness and size are alike."""
    weight = weigh(1.0, read.confidences, 1.0, NARROW[1]) if read.plate >= _OPTIONS.min_plate else 0.0
    return Read(read.text, read.probabilities, weight)


def _figures(pairs: Sequence[tuple[str, Reading]]) -> dict[str, Any]:
    report = read_report([(true, reading.text) for true, reading in pairs])
    sure: list[Outcome] = [(reading.confidence, reading.text == true) for true, reading in pairs if reading.text]
    rate = None if report.cer is None else round(report.cer, 4)
    return {
        "plates": len(pairs),
        **as_flat("exact", report.exact),
        "cer": rate,
        "confidence": reliability(sure).as_json(),
        "floors": {f"{floor:g}": _published(pairs, KeepOptions(min_confidence=floor)) for floor in FLOORS},
    }


def _published(pairs: Sequence[tuple[str, Reading]], options: KeepOptions) -> dict[str, int]:
    fits = [compatible(reading.text, true) for true, reading in pairs if keep(reading, [1.0], options)]
    return {"right": sum(fits), "wrong": len(fits) - sum(fits)}


def _line(name: str, figures: dict[str, Any]) -> str:
    key = "published" if "published" in figures else "exact"
    (part, whole), (low, high) = figures[f"{key}_counts"], figures[f"{key}_interval"]
    line = f"{name:10} {key} {part:4} of {whole:4}  {figures[key]:.3f} ({low:.3f} to {high:.3f})"
    if "confidence" in figures:
        stated = figures["confidence"]
        right, sure = stated["right_counts"]
        line += (
            f"  CER {figures['cer']:.4f}  ECE {stated['ece']:.4f}  at confidence 0.95 or more {right} of {sure} right"
        )
    return line


def main() -> int:
    parser = argparse.ArgumentParser(description="Examine a recogniser on drawn plates that no training saw.")
    parser.add_argument("--fonts", type=Path, help="cache of services.inference.training.fonts; else DejaVu alone")
    parser.add_argument("--shared", type=Path, help="folder of the shared data: photographs to stand behind")
    parser.add_argument("--weights", type=Path, help="another recogniser (.onnx beside its .json)")
    parser.add_argument("--engine", choices=get_args(Engine), default="plateflow", help="what reads")
    parser.add_argument(
        "--count", type=int, default=1000, help="pictures without tracks; two rows a half, tracks a fifth"
    )
    parser.add_argument("--only", choices=tuple(EXAMINATIONS), action="append", help="one set alone; repeatable")
    options = parser.parse_args()
    sources = Sources(options.fonts, (), options.shared)
    recogniser = create_recogniser(options.weights, threads=1, runtime="onnxruntime", engine=options.engine)
    found = {}
    for number, (name, (examine, part)) in enumerate(EXAMINATIONS.items()):
        if options.only and name not in options.only:
            continue
        studio = sources.studio((881, number), held_out=True)
        found[name] = examine(recogniser, studio, max(1, options.count // part))
        sys.stdout.write(_line(name, found[name]) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    sys.exit(main())

"""Examines a recogniser on drawn plates in fonts and alphabets that no training saw: weights in, a table and JSON out.

    python -m services.inference.training.examine --fonts .cache/fonts [--shared ../shared] [--weights FILE]
        [--engine rapidocr] [--second rapidocr] [--hardness 0.3] [--each-kind]

| set | what it shows |
|---|---|
| all kinds | every style at middling hardness, one picture each, through the vote with its formats |
| two rows | the two-row styles, the same way |
| low light | one row, 40 to 60 pixels wide, in a tenth to a third of the light, seven pictures each: one vote a track |
| no plates | badges, signs, pieces of photographs: how many get a reading that would be published |

Of the plates that are not exact, `alike` would be if 0 were O and 1 were I: few fonts tell these apart, and a random
text does not either.

The JSON also says, of the sets with plates, how many right and wrong readings would be published at several
`min_confidence`; `#` stands for any character there.

With `--each-kind` the kinds of plates are examined one by one instead, as "all kinds" does it. `--hardness` says how
far distance, angle, light, blur, noise and compression go.

With `--second` another engine is asked about each plate whose reading has a `#`: where it agrees with every decided
character, its characters take the places of `#`; what that makes right and wrong is counted.

Everything comes of seeds: the same weights give the same figures. The fonts: `services.inference.training.fonts`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np

from services.contracts.formats import shipped
from services.contracts.messages import Reading
from services.inference.core.alignment import UNDECIDED, compatible
from services.inference.core.evaluation import read_report
from services.inference.core.reliability import Outcome, reliability
from services.inference.core.shares import Share, as_flat
from services.inference.core.stitch import KeepOptions, keep
from services.inference.core.vote import Read, VoteOptions, weigh
from services.inference.follow import Image, alone, settle
from services.inference.models.factory import Engine, create_recogniser
from services.inference.models.recogniser import CharacterReading, Recogniser
from services.inference.training.crops import Crop, Studio
from services.inference.training.feed import Sources, share_of
from services.inference.training.styles import STYLES, TWO_ROWS, USUAL

SHOTS = 7  # pictures of a low-light track
NARROW = (40.0, 60.0)  # pixels of its plates
FLOORS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Values of `KeepOptions.min_confidence` that are compared."""
_HARDNESS = 0.6
_ALIKE = str.maketrans("OI", "01")
_OPTIONS = VoteOptions(formats=shipped())


Examination = Callable[["Engines", Studio, int], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Engines:
    """What reads, and what is asked about plates that stay undecided."""

    first: Recogniser
    second: Recogniser | None = None


def all_kinds(engines: Engines, studio: Studio, count: int) -> dict[str, Any]:
    """Exact plates, characters and confidence of single pictures."""
    studio.no_plate = 0.0
    return _figures(engines, [[studio.crop()] for _ in range(count)])


def two_rows(engines: Engines, studio: Studio, count: int) -> dict[str, Any]:
    studio.styles = TWO_ROWS
    return all_kinds(engines, studio, count)


def low_light(engines: Engines, studio: Studio, count: int) -> dict[str, Any]:
    """The vote of each track of SHOTS dark, narrow pictures."""
    studio.no_plate, studio.hardness = 0.0, studio.hardness / 2  # light and width are hard enough
    studio.styles = [name for name in USUAL if name not in TWO_ROWS]
    return _figures(engines, [studio.track(SHOTS, NARROW) for _ in range(count)])


def no_plates(engines: Engines, studio: Studio, count: int) -> dict[str, Any]:
    """Of crops without a plate, those whose reading would be published, however sure the detector was."""
    studio.no_plate, studio.hardness = 1.0, 1.0
    readings = _readings(engines.first, [[studio.crop()] for _ in range(count)])
    return {"crops": count} | as_flat("published", Share(sum(keep(one, [1.0]) for one in readings), count))


EXAMINATIONS = {
    "all kinds": (all_kinds, 1),
    "two rows": (two_rows, 2),
    "low light": (low_light, 5),
    "no plates": (no_plates, 1),
}
"""Each with the part of `--count` that it takes."""


def one_kind(engines: Engines, studio: Studio, count: int, style: str) -> dict[str, Any]:
    studio.styles = [style]
    return all_kinds(engines, studio, count)


def _examinations(only: Sequence[str] | None, each_kind: bool) -> dict[str, tuple[Examination, int]]:
    if each_kind:
        return {style: (partial(one_kind, style=style), 10) for style in STYLES}
    return {name: one for name, one in EXAMINATIONS.items() if not only or name in only}


def _readings(recogniser: Recogniser, plates: Sequence[Sequence[Crop]]) -> list[Reading]:
    """What it makes of each plate, given the pictures of each."""
    reads = iter(recogniser.read([crop.image for crops in plates for crop in crops]))
    return [_reading(recogniser, [(crop.image, next(reads)) for crop in crops]) for crops in plates]


def _reading(recogniser: Recogniser, looks: Sequence[tuple[Image, CharacterReading]]) -> Reading:
    if len(looks) == 1:
        return alone(looks[0][1], _OPTIONS)
    reading, _ = settle(looks, [_weighed(read) for _, read in looks], _OPTIONS, lambda one: recogniser.read([one])[0])
    return reading


def _weighed(read: CharacterReading) -> Read:
    """As the pipeline does, but for what drawn crops do not say: detection score, sharpness and size are alike."""
    weight = weigh(1.0, read.confidences, 1.0, NARROW[1]) if read.plate >= _OPTIONS.min_plate else 0.0
    return Read(read.text, read.probabilities, weight)


def _figures(engines: Engines, plates: Sequence[Sequence[Crop]]) -> dict[str, Any]:
    readings = _readings(engines.first, plates)
    pairs = [(crops[0].text, reading) for crops, reading in zip(plates, readings, strict=True)]
    report = read_report([(true, reading.text) for true, reading in pairs])
    sure: list[Outcome] = [(reading.confidence, reading.text == true) for true, reading in pairs if reading.text]
    figures = {
        "plates": len(pairs),
        **as_flat("exact", report.exact),
        "alike": sum(differs_alike(true, reading) for true, reading in pairs),
        "cer": None if report.cer is None else round(report.cer, 4),
        "confidence": reliability(sure).as_json(),
        "floors": {f"{floor:g}": _published(pairs, KeepOptions(min_confidence=floor)) for floor in FLOORS},
    }
    if engines.second is not None:
        figures["second"] = _second_opinion(engines.second, plates, [reading.text for reading in readings])
    return figures


def differs_alike(true: str, reading: Reading) -> bool:
    """Whether a reading is not the true text, but would be if 0 were O, and 1 were I; `#` in their places, too."""
    if reading.text == true or reading.raw.translate(_ALIKE) != true.translate(_ALIKE):
        return False
    return all(char == found or char in "0O1I" for char, found in zip(true, reading.text, strict=True))


def _second_opinion(engine: Recogniser, plates: Sequence[Sequence[Crop]], texts: Sequence[str]) -> dict[str, int]:
    """Of the plates with a `#`, how many it makes right and how many wrong; the others stay undecided."""
    undecided = [(crops, text) for crops, text in zip(plates, texts, strict=True) if UNDECIDED in text]
    others = _readings(engine, [crops for crops, _ in undecided])
    settled = [(crops[0].text, filled(text, one.text)) for (crops, text), one in zip(undecided, others, strict=True)]
    right = sum(text == true for true, text in settled)
    wrong = sum(UNDECIDED not in text for _, text in settled) - right
    return {"undecided": len(undecided), "right": right, "wrong": wrong}


def filled(text: str, other: str) -> str:
    """`text` with the characters of `other` in the places of `#`, if they agree in all that `text` has decided."""
    agree = len(text) == len(other) and all(mine in (UNDECIDED, its) for mine, its in zip(text, other, strict=True))
    return other if agree else text


def _published(pairs: Sequence[tuple[str, Reading]], options: KeepOptions) -> dict[str, int]:
    fits = [compatible(reading.text, true) for true, reading in pairs if keep(reading, [1.0], options)]
    return {"right": sum(fits), "wrong": len(fits) - sum(fits)}


def _line(name: str, figures: dict[str, Any]) -> str:
    key = "published" if "published" in figures else "exact"
    (part, whole), (low, high) = figures[f"{key}_counts"], figures[f"{key}_interval"]
    line = f"{name:14} {key} {part:4} of {whole:4}  {figures[key]:.3f} ({low:.3f} to {high:.3f})"
    if "confidence" in figures:
        stated = figures["confidence"]
        right, sure = stated["right_counts"]
        line += (
            f"  alike {figures['alike']}  CER {figures['cer']:.4f}  ECE {stated['ece']:.4f}"
            f"  at confidence 0.95 or more {right} of {sure} right"
        )
    if "second" in figures:
        line += "  second opinion: of {undecided} undecided {right} right, {wrong} wrong".format(**figures["second"])
    return line


def main() -> int:
    parser = argparse.ArgumentParser(description="Examine a recogniser on drawn plates that no training saw.")
    parser.add_argument("--fonts", type=Path, help="cache of services.inference.training.fonts; else DejaVu alone")
    parser.add_argument("--shared", type=Path, help="folder of the shared data: photographs to stand behind")
    parser.add_argument("--weights", type=Path, help="another recogniser (.onnx beside its .json)")
    parser.add_argument("--engine", choices=get_args(Engine), default="plateflow", help="what reads")
    parser.add_argument("--second", choices=get_args(Engine), help="what is asked about plates that stay undecided")
    parser.add_argument(
        "--count",
        type=int,
        default=1000,
        help="pictures without tracks; two rows a half, tracks a fifth, a kind a tenth",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", choices=tuple(EXAMINATIONS), action="append", help="one set alone; repeatable")
    which.add_argument("--each-kind", action="store_true", help="the kinds of plates one by one")
    parser.add_argument("--hardness", type=share_of, default=_HARDNESS, help="of the pictures, 0 to 1 (default 0.6)")
    parser.add_argument("--seed", type=int, default=881, help="other plates of the same kinds")
    options = parser.parse_args()
    sources = Sources(options.fonts, (), options.shared)
    engines = Engines(
        create_recogniser(options.weights, threads=1, runtime="onnxruntime", engine=options.engine),
        create_recogniser(threads=1, runtime="onnxruntime", engine=options.second) if options.second else None,
    )
    found = {}
    seeds = {name: number for number, name in enumerate([*EXAMINATIONS, *STYLES])}
    for name, (examine, part) in _examinations(options.only, options.each_kind).items():
        studio = sources.studio((options.seed, seeds[name]), held_out=True)
        studio.hardness = options.hardness
        found[name] = examine(engines, studio, max(1, options.count // part))
        sys.stdout.write(_line(name, found[name]) + "\n")
        sys.stdout.flush()
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    sys.exit(main())

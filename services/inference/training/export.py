"""Writes the trained recogniser out: in comes the network, out come `recogniser.onnx`, its model card and `.json`.

Every figure in the card is measured on the written file itself, through the same code that the services use.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from services.inference.core.evaluation import TextReport, read_report
from services.inference.models.recogniser import ALPHABET, INPUT_SIZE, WEIGHTS, OnnxRecogniser
from services.inference.training.network import Exported, Reader

OPSET = 17
LICENCE = "AGPL-3.0-or-later"


@dataclass(frozen=True, slots=True)
class Measure:
    """Preprocessed crops (N, 1, 64, 192) with their true texts."""

    name: str
    images: NDArray[np.uint8]
    truth: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class History:
    """What the card tells of the training."""

    steps: int
    plates: int
    calls: Sequence[tuple[str, float]]
    fonts: int
    backdrops: int


def export(reader: Reader, measures: Sequence[Measure], history: History, weights: Path = WEIGHTS) -> None:
    """Write weights, then `<name>.json` with the hash, then measure, then both cards with the figures."""
    write_onnx(reader, weights, history.steps)
    facts: dict[str, Any] = {
        "model": weights.name,
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "bytes": weights.stat().st_size,
        "parameters": sum(weight.numel() for weight in reader.parameters()),
        "alphabet": ALPHABET,
        "input_size": list(INPUT_SIZE),
        "steps": history.steps,
        "plates": history.plates,
        "minutes": round(sum(minutes for _, minutes in history.calls), 1),
        "commands": [f"{command}  # {minutes:.1f} minutes" for command, minutes in history.calls],
        "fonts": history.fonts,
        "backdrops": history.backdrops,
        "licence": LICENCE,
    }
    card = weights.with_suffix(".json")
    card.write_text(json.dumps(facts, indent=2) + "\n")
    recogniser = OnnxRecogniser(weights, threads=1)
    facts["figures"] = {measure.name: _figures(recogniser, measure) for measure in measures}
    facts["cpu_ms_per_plate"] = {str(size): _cost(recogniser, size) for size in (1, 32)}
    card.write_text(json.dumps(facts, indent=2) + "\n")
    weights.with_suffix(".md").write_text(_words(facts))


def write_onnx(reader: Reader, path: Path, steps: int) -> None:
    """The network with scaling and softmax, batch size free, and what the recogniser checks in its metadata."""
    names = ("crops", "probabilities", "corners")
    example = torch.zeros((2, 1, *INPUT_SIZE), dtype=torch.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        Exported(reader).eval(),
        (example,),
        str(path),
        opset_version=OPSET,
        dynamo=False,
        input_names=[names[0]],
        output_names=list(names[1:]),
        dynamic_axes={name: {0: "plates"} for name in names},
    )
    model = onnx.load(str(path))
    size = f"{INPUT_SIZE[0]}x{INPUT_SIZE[1]}"
    onnx.helper.set_model_props(model, {"alphabet": ALPHABET, "input_size": size, "steps": str(steps)})
    onnx.save(model, str(path))


def _figures(recogniser: OnnxRecogniser, measure: Measure) -> dict[str, Any]:
    texts = [reading.text for reading in recogniser.read(list(measure.images[:, 0]))]
    report: TextReport = read_report(list(zip(measure.truth, texts, strict=True)))
    low, high = report.exact.interval or (0.0, 0.0)
    return {
        "plates": report.exact.whole,
        "exact": report.exact.part,
        "share": round(report.exact.value or 0.0, 4),
        "interval_95": [round(low, 4), round(high, 4)],
        "character_error_rate": round(report.cer or 0.0, 4),
    }


def _cost(recogniser: OnnxRecogniser, size: int) -> float:
    """Processor milliseconds per plate of 60 x 200 pixels, preprocessing and decoding included; best of five."""
    crops = list(np.random.default_rng(0).integers(0, 256, (size, 60, 200, 3), dtype=np.uint8))
    recogniser.read(crops)
    spent = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(32 // size):
            recogniser.read(crops)
        spent.append(time.process_time() - began)
    return round(min(spent) / 32 * 1e3, 2)


def _words(facts: dict[str, Any]) -> str:
    """The card for people."""
    rows = [
        f"| {name} | {one['plates']} | {one['exact']} | {one['share']:.3f} | "
        f"{one['interval_95'][0]:.3f}–{one['interval_95'][1]:.3f} | {one['character_error_rate']:.4f} |"
        for name, one in facts["figures"].items()
    ]
    cost = facts["cpu_ms_per_plate"]
    return _CARD.format(
        table="\n".join(rows),
        calls="\n".join(f"    {call}" for call in facts["commands"]),
        one=cost["1"],
        many=cost["32"],
        cores=os.cpu_count(),
        **facts,
    )


_CARD = """\
# Model card: plate recogniser

`{model}`, {bytes:,} bytes, {parameters:,} parameters, SHA-256 `{sha256}`.
Licence: {licence}. The facts below are also in the `.json` beside this file, which the program checks.
Written by `services/inference/training/export.py`; do not edit.

## What it does
Reads one row of characters `{alphabet}` on the crop of a number plate, any country with Latin letters or
Russian plates (whose letters are written as their Latin look-alikes). Input `crops`: (N, 1, 64, 192) grey uint8, the
detector's box with a margin of about 6 %, stretched. Outputs: `probabilities` (N, 36, 37), CTC with class 0 as blank,
and `corners` (N, 4, 2), the plate's corners in units of the crop, clockwise from top left.
A localiser finds the corners, a bilinear sampler straightens the plate, a residual network with CTC reads it.

## What it was trained on
Only plates that this project draws itself (`services/inference/training/plates.py`, `crops.py`, `camera.py`):
{plates:,} plates in {steps:,} steps, {minutes} minutes on one shared core; {fonts} font files under free licences
(DejaVu, packages of Fontsource, a font of the Russian plate standard where one was given). {backdrops} photographs
stood behind the drawn plates, their labels unused. No real plate with its text was ever trained on.
Calls, one after the other:

{calls}

## What was measured
| set | plates | exact | share | 95 % (Wilson) | character error rate |
| --- | --- | --- | --- | --- | --- |
{table}

`rendered`: drawn plates in font families that training never saw, at full hardness: about half of the
misread ones no person could read either, and many others differ in 0 and O alone.
`real`: crops of photographs of Russian cars, never trained on. The renderer was improved with an eye on what was
misread in them, so this figure flatters a little; it says nothing of other countries.
Cost: {one} ms of processor time per plate one by one, {many} ms in batches of 32, one thread, on a shared machine
with {cores} cores; preprocessing and decoding included.

## What to beware of
Two-row plates are not read. 0 and O, or 1 and I, are told apart by their shape, and by the pattern on Russian plates;
where a country's font draws them alike, correct by its format. Scripts other than Latin are not read. Small print on a
dealer's frame is left out by training, not by rule.
"""

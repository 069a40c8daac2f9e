"""CPU milliseconds a plate of the recogniser by run-time, precision, batch and threads, and of RapidOCR's, from crop to
text.

INT8 (`benchmarks.quantised`) has its accuracy beside it: drawn plates read exactly, of as many in full precision.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks import quantised
from benchmarks.harness import alternate, last_line, medians, table
from services.inference.models import openvino_network, rapid_recogniser
from services.inference.models.rapid_recogniser import RapidRecogniser
from services.inference.models.recogniser import OnnxRecogniser, OpenVinoRecogniser, Recogniser
from services.inference.training.plates import plate_text, render_plate


def _reading(model: Recogniser, batch: int) -> Callable[[], float]:
    rng = np.random.default_rng(5)
    crops = [render_plate(plate_text("ru_private", rng), seed=rng, height=60).image for _ in range(batch)]
    rounds = max(1, 32 // batch)

    def once() -> float:
        began = time.process_time()
        for _ in range(rounds):
            model.read(crops)
        return (time.process_time() - began) * 1e3 / batch / rounds

    return once


def _exact(count: int) -> dict[str, int]:
    pictures, texts = quantised.plates(count, 7)
    models = {"float32": OnnxRecogniser(), "int8": OnnxRecogniser(quantised.recogniser())}
    read = {name: [one.text for one in model.read(pictures)] for name, model in models.items()}
    return {"plates": count} | {name: sum(map(str.__eq__, found, texts)) for name, found in read.items()}


def run(quick: bool) -> str:
    """The table and the JSON line."""
    makers: dict[str, Callable[[int], Recogniser]] = {"ONNX Runtime": lambda threads: OnnxRecogniser(threads=threads)}
    if openvino_network.available():
        makers["OpenVINO"] = lambda threads: OpenVinoRecogniser(threads=threads)
    makers["ONNX Runtime in INT8"] = lambda threads: OnnxRecogniser(quantised.recogniser(), threads)
    if rapid_recogniser.available():
        makers["RapidOCR"] = lambda threads: RapidRecogniser(threads=threads)
    skipped = [
        f"{name}: pip install 'plateflow[{name.lower()}]'" for name in ("OpenVINO", "RapidOCR") if name not in makers
    ]
    runs = {
        f"{name}, {threads} threads, batch {batch}": _reading(make(threads), batch)
        for name, make in makers.items()
        for threads in ((1,) if quick else (1, 2))
        for batch in (1, 8, 32)
    }
    figures = alternate(runs, 1 if quick else 9)
    middle = medians(figures)
    fields: dict[str, object] = {"cpu_ms": {name: round(value, 2) for name, value in middle.items()}}
    fields["exact"] = _exact(20 if quick else 1000)
    fields["least"] = min(middle, key=lambda name: middle[name])
    if skipped:
        fields["skipped"] = "; ".join(skipped)
    return "\n".join([table("recogniser", "ms of CPU/plate", figures), last_line("recogniser", fields)])

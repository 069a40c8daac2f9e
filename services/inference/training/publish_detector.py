"""Makes the shipped detector of a training folder, that of `detector` or of `finetune`: checkpoints in; ONNX,
half-precision .pt and model cards out.

The figures of the card are measured with the ONNX file through the code that production runs. Machine
paths, which ultralytics writes into checkpoints and ONNX metadata, are left out of what is shipped.

    python -m services.inference.training.publish_detector --out build/detector --shared ../shared/data
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from services.inference.core.evaluation import Found, PictureResult, evaluate
from services.inference.core.truth import TruePlate, parse_truth
from services.inference.models.detector import CONFIDENCE, INPUT_SIZE, WEIGHTS_FOLDER, OnnxDetector
from services.inference.training.truth import detection_rows, write_truth

PHASE_NAMES = ("photos", "mixed", "settle")
FINETUNED = "training.json"
"""What `finetune` says of a run, in its folder."""
SOURCES = {
    "kag_": "web pictures, mixed countries",
    "rl_": "Romanian dashcam",
    "ru_": "photos, Russian plates",
}
COMMAND = "python -m services.inference.training.detector --shared ../shared/data --out build/detector"
METADATA = {"names": "{0: 'plate'}", "task": "detect", "stride": "32", "license": "AGPL-3.0-or-later"}


def publish(out: Path, shared: Path, weights_folder: Path = WEIGHTS_FOLDER) -> dict[str, Any]:
    """Exports the newest phase of `out`, or what was trained further there, into `weights_folder`, measured and
    described. The card of what was trained further keeps what it says of the detector there before."""
    phases = [name for name in PHASE_NAMES if (out / name / "weights" / "last.pt").exists()]
    if (out / FINETUNED).exists():
        checkpoint = out / "detector.pt"
        before = json.loads((weights_folder / "detector.json").read_text())
        history = {"phases": before["phases"], "finetuned": json.loads((out / FINETUNED).read_text())}
    elif phases:
        checkpoint = out / phases[-1] / "weights" / "last.pt"
        history = {"phases": [phase_facts(out / name) for name in phases]}
    else:
        raise SystemExit(f"{out} holds no checkpoint; run services.inference.training.detector or finetune first")
    weights_folder.mkdir(exist_ok=True)
    work = out / "export"
    work.mkdir(exist_ok=True)
    export(checkpoint, work)
    card = describe(work, history, shared)
    for name in ("detector.onnx", "detector.pt"):
        shutil.copyfile(work / name, weights_folder / name)
    (weights_folder / "detector.json").write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    (weights_folder / "detector.md").write_text(as_markdown(card))
    return card


def export(checkpoint: Path, work: Path) -> None:
    """Writes `detector.onnx` (opset 17, dynamic batch and size) and `detector.pt` (half precision)."""
    import onnx
    import torch
    from ultralytics import YOLO

    model = YOLO(str(checkpoint)).model
    model.args, model.pt_path = {"task": "detect", "imgsz": INPUT_SIZE}, "detector.pt"
    shipped = {
        "model": model.half(),
        "ema": None,
        "train_args": dict(model.args),
        "license": METADATA["license"],
    }
    torch.save(shipped, work / "detector.pt")
    exported = YOLO(str(work / "detector.pt")).export(
        format="onnx", opset=17, dynamic=True, simplify=True, imgsz=INPUT_SIZE, device="cpu"
    )
    network = onnx.load(exported)
    store_halved(network)
    del network.metadata_props[:]
    for key, value in METADATA.items():
        network.metadata_props.add(key=key, value=value)
    network.doc_string = ""
    onnx.save(network, work / "detector.onnx")


def store_halved(network: Any, least: int = 256) -> None:
    """Stores large weights in half precision, half the file; ONNX Runtime widens them when it loads it."""
    from onnx import TensorProto, helper, numpy_helper

    graph = network.graph
    for tensor in list(graph.initializer):
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= least:
            halved = f"{tensor.name}.half"
            widen = helper.make_node("Cast", [halved], [tensor.name], to=TensorProto.FLOAT)
            graph.initializer.remove(tensor)
            graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), halved))
            graph.node.insert(0, widen)


def describe(work: Path, history: dict[str, Any], shared: Path) -> dict[str, Any]:
    """The model card as data. `history`: what it was trained in."""
    results = {size: measure(work / "detector.onnx", shared, size) for size in (416, INPUT_SIZE)}
    return {
        "name": "plate detector",
        "architecture": "YOLO11n, one class (plate)",
        "license": METADATA["license"],
        "sha256": {name: sha256(work / name) for name in ("detector.onnx", "detector.pt")},
        "start_weights": "YOLO11n trained on COCO (Ultralytics, AGPL-3.0)",
        "command": COMMAND,
        **history,
        "confidence": CONFIDENCE,
        "input_size": INPUT_SIZE,
        "validation": {f"{size}": by_source(found) for size, found in results.items()},
    }


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def phase_facts(folder: Path) -> dict[str, Any]:
    """Epochs, minutes and last losses of a phase, from the log that ultralytics keeps."""
    with (folder / "results.csv").open(newline="") as file:
        rows = [{key.strip(): value.strip() for key, value in row.items()} for row in csv.DictReader(file)]
    last = rows[-1]
    losses = {name: float(last[f"train/{name}_loss"]) for name in ("box", "cls", "dfl")}
    return {
        "name": folder.name,
        "epochs": len(rows),
        "minutes": round(float(last["time"]) / 60, 1),
        "loss": losses,
    }


def measure(weights: Path, shared: Path, size: int) -> dict[str, PictureResult]:
    """What the exported network finds on the validation photos, by file name."""
    photos = shared / "plates" / "det" / "images" / "val"
    table = weights.parent / "val.csv"
    write_truth(table, detection_rows(photos, shared / "plates" / "det" / "labels" / "val"))
    truth = parse_truth(table.read_text().splitlines(), table.name)
    detector = OnnxDetector(weights, threads=1, input_size=size)
    return {file: _measure_one(detector, photos / file, plates) for file, plates in truth.items()}


def by_source(results: dict[str, PictureResult]) -> dict[str, Any]:
    """Detection figures of all photos and of each source."""
    report = {"all": evaluate(list(results.values())).as_json()["detection"]}
    for prefix, name in SOURCES.items():
        chosen = [result for file, result in results.items() if file.startswith(prefix)]
        report[name] = evaluate(chosen).as_json()["detection"]
    return report


def as_markdown(card: dict[str, Any]) -> str:
    phases = "\n".join(
        f"| {phase['name']} | {phase['epochs']} | {phase['minutes']} | {phase['loss']['box']:.3f} |"
        for phase in card["phases"]
    )
    hashes = "\n".join(f"- `{name}`: `{digest}`" for name, digest in card["sha256"].items())
    figures = "\n".join(_figure_rows(card["validation"]))
    sections = (
        "# Plate detector",
        f"{card['architecture']}. Finds number plates of any country in a frame; gives boxes, reads nothing.\n"
        "`detector.onnx` runs on ONNX Runtime (opset 17, dynamic batch and size; large weights are stored in half\n"
        "precision), `detector.pt` (half precision) on torch. Both are one network.\n"
        f"Licence: {card['license']}, since it was fine-tuned with ultralytics from\n{card['start_weights']}.",
        hashes,
        "## Training",
        f"`{card['command']}`",
        "788 labelled photos with 926 plates (web pictures of mixed countries, CC0; Romanian dashcam by day and\n"
        "night, MIT; photos of Russian plates, from a GPL-3.0 collection) and, from the phase `mixed` on, 980\n"
        "pictures that the project draws: made-up plates pasted into training photos, drawn streets and vehicles,\n"
        "the simulator's streets from made-up cameras, close-ups, pictures with signs but without plates.\n"
        "No photo is shipped.\n"
        "480 pixels, batches of 16, AdamW, cosine schedule, one CPU core.",
        f"| phase | epochs | minutes | box loss at the end |\n| --- | --- | --- | --- |\n{phases}",
        *_finetuned(card.get("finetuned")),
        "## Figures",
        "67 validation photos with 71 labelled plates, none of them trained on; IoU 0.5, score at least\n"
        f"{card['confidence']}, measured with `detector.onnx`; 95 % Wilson intervals. By default the longest side\n"
        f"of the input is {card['input_size']} pixels.",
        f"| input | photos | recall | precision |\n| --- | --- | --- | --- |\n{figures}",
        "In the dashcam only near plates are labelled, and in the Russian photos plates in the background often\n"
        "are not, so precision looks lower than it is.",
        *card.get("notes", ()),  # what a person saw and added to detector.json by hand
        "## Limits",
        "Trained on few photos. Plates narrower than about 12 pixels in the network's input were not measured;\n"
        "motorcycles and lorries are hardly in the data. Writing that looks like a plate may be found as one.",
    )
    return "\n\n".join(sections) + "\n"


def _finetuned(facts: dict[str, Any] | None) -> Iterable[str]:
    if facts is not None:
        yield (
            f"Then trained further: {facts['seconds'] / 60:.1f} minutes on {facts['device']}, {facts['steps']} steps,\n"
            f"{facts['pictures']} pictures, of {facts['photos']} photos and {facts['drawn']} drawn ones\n"
            "(`python -m services.inference.training.finetune`)."
        )


def _measure_one(detector: OnnxDetector, photo: Path, plates: list[TruePlate]) -> PictureResult:
    frame = np.asarray(cv2.imread(str(photo), cv2.IMREAD_COLOR), dtype=np.uint8)
    found = [Found((one.x, one.y, one.w, one.h), one.score) for one in detector.detect([frame])[0]]
    return PictureResult(plates, [""] * len(plates), found)


def _figure_rows(validation: dict[str, Any]) -> Iterable[str]:
    for size, sources in validation.items():
        for source, figures in sources.items():
            cells = (_cell(figures, name) for name in ("recall", "precision"))
            yield f"| {size} | {source} | {' | '.join(cells)} |"


def _cell(figures: dict[str, Any], name: str) -> str:
    part, whole = figures[f"{name}_counts"]
    low, high = figures[f"{name}_interval"]
    return f"{figures[name]:.3f} ({low:.3f} … {high:.3f}), {part} of {whole}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Export, measure and describe the trained detector.")
    parser.add_argument("--shared", type=Path, required=True, help="folder that holds plates/det")
    parser.add_argument("--out", type=Path, required=True, help="the training folder")
    parser.add_argument("--weights-folder", type=Path, default=WEIGHTS_FOLDER)
    args = parser.parse_args()
    from services.inference.training.detector import keep_offline

    keep_offline(args.out)
    publish(args.out, args.shared, args.weights_folder)


if __name__ == "__main__":
    main()

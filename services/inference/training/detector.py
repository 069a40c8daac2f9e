"""Trains the plate detector: COCO start weights and labelled photos in, `detector.onnx` and its card out.

Three phases, each ultralytics' own loop started from the phase before: `photos` (labelled photos, mosaics), `mixed`
(also photos with drawn plates pasted in, drawn and simulated streets, pictures without any plate), `settle` (the same
without mosaics, at a low learning rate). A phase that ended leaves `<phase>/done`; one that was cut off goes on from
its last epoch, so the one command can be stopped and repeated at any time. The validation photos are looked at once,
at the end, and never choose anything.

    plateflow train detector --shared ../shared/data --out build/detector
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.inference.training.logbook import draw_curve
from services.inference.training.scenes import make_pictures


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of training: its share of the minutes, the data it sees, and how it sees them."""

    name: str
    share: float
    data: str
    mosaic: float
    lr0: float
    lrf: float  # the last learning rate as a part of the first


PHASES = (
    Phase("photos", 0.33, "photos.yaml", mosaic=1.0, lr0=1e-3, lrf=0.1),
    Phase("mixed", 0.47, "mixed.yaml", mosaic=0.8, lr0=8e-4, lrf=0.1),
    Phase("settle", 0.20, "mixed.yaml", mosaic=0.0, lr0=2e-4, lrf=0.05),
)
IMAGE_SIZE = 480
AUGMENTATION: dict[str, Any] = {
    "hsv_h": 0.03, "hsv_s": 0.6, "hsv_v": 0.5, "degrees": 6.0, "translate": 0.15, "scale": 0.6,
    "shear": 4.0, "perspective": 0.0004, "fliplr": 0.5, "mixup": 0.0,
}  # fmt: skip


def train_phase(phase: Phase, start: Path, out: Path, minutes: float) -> Path:
    """Runs or resumes one phase; gives the weights it ends with."""
    from ultralytics import YOLO

    folder = out / phase.name
    last = folder / "weights" / "last.pt"
    if (folder / "done").exists():
        return last
    if last.exists():
        YOLO(str(last)).train(resume=True, exist_ok=True)
    else:
        YOLO(str(start)).train(
            data=str(out / phase.data), project=str(out), name=phase.name, exist_ok=True,
            time=minutes * phase.share / 60, epochs=100, imgsz=IMAGE_SIZE, batch=16, nbs=16, patience=0,
            optimizer="AdamW", lr0=phase.lr0, lrf=phase.lrf, cos_lr=True, weight_decay=5e-4,
            warmup_epochs=0.5, warmup_bias_lr=0.0, mosaic=phase.mosaic, close_mosaic=0, **AUGMENTATION,
            workers=0, cache="ram", device="cpu", amp=False, plots=False, val=False, seed=7, verbose=True,
        )  # fmt: skip
    (folder / "done").touch()
    _draw_curve(folder)
    return last


def _draw_curve(folder: Path) -> None:
    """The losses that ultralytics noted, an epoch a point."""
    with (folder / "results.csv").open(newline="") as file:
        rows = [{key.strip(): float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    losses = [{f"{name} loss": row[f"train/{name}_loss"] for name in ("box", "cls", "dfl")} for row in rows]
    points = [
        {"step": row["epoch"], "score": -sum(loss.values())} | loss for row, loss in zip(rows, losses, strict=True)
    ]
    draw_curve(points, folder / "curve.png", f"Detector, phase {folder.name} (epochs)")


def keep_offline(out: Path) -> None:
    """Points ultralytics at a settings folder of its own that already holds the font it would download."""
    settings = (out / "settings").resolve()
    settings.mkdir(parents=True, exist_ok=True)
    os.environ["YOLO_CONFIG_DIR"] = str(settings)
    os.environ["YOLO_OFFLINE"] = "1"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    import matplotlib

    font = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    for folder in (settings, settings / "Ultralytics"):
        folder.mkdir(exist_ok=True)
        shutil.copyfile(font, folder / "Arial.ttf")


def prepare_data(shared: Path, out: Path) -> None:
    """Copies the labelled photos, as ultralytics writes caches beside labels, and draws the rest."""
    data = (out / "data").resolve()
    if not (data / "images" / "train").exists():
        shutil.copytree(shared / "plates" / "det", data, dirs_exist_ok=True)
    if not (data / "images" / "drawn").exists():
        make_pictures(data, data)
    if not (data / "images" / "simulated").exists():
        # As a command, not an import: the simulator stands above inference.
        simulate = [sys.executable, "-m", "services.simulator.training_pictures", "--out", str(data)]
        subprocess.run(simulate, check=True)
    write_data_file(out / "photos.yaml", data, ["images/train"])
    write_data_file(out / "mixed.yaml", data, ["images/train", "images/drawn", "images/simulated"])


def write_data_file(path: Path, root: Path, train: list[str]) -> None:
    folders = "".join(f"  - {folder}\n" for folder in train)
    path.write_text(f"path: {root}\ntrain:\n{folders}val: images/val\nnc: 1\nnames:\n  0: plate\n")


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="plateflow train detector",
        description="Train the plate detector. Stopped at any time, the same command goes on from the last epoch.",
    )
    parser.add_argument("--shared", type=Path, required=True, help="folder with plates/det and plates/weights")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints, logs and data copies")
    parser.add_argument("--minutes", type=float, default=95.0, help="wall time for all phases together")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--until", choices=[phase.name for phase in PHASES], default=PHASES[-1].name)
    args = parser.parse_args(words)
    missing = [name for name in ("plates/det", "plates/weights") if not (args.shared / name).is_dir()]
    if missing:
        sys.stderr.write(
            f"plateflow train: {args.shared} has no {' and no '.join(missing)}; name the folder with --shared\n"
        )
        return 2
    keep_offline(args.out)
    import torch

    from services.inference.training.publish_detector import publish

    torch.set_num_threads(args.threads)
    prepare_data(args.shared, args.out)
    weights = args.shared / "plates" / "weights" / "yolo11n_from_int8.pt"
    for phase in PHASES:
        weights = train_phase(phase, weights, args.out, args.minutes)
        if phase.name == args.until:
            break
    publish(args.out, args.shared)
    return 0


if __name__ == "__main__":
    sys.exit(main())

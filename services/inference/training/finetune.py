"""Trains the plate detector further within a given time, on a GPU or CPU: start weights and labelled photos in,
`detector.pt`, a log and `training.json` out.

The network and its loss are ultralytics'; the loop is ours, as it needs no download, no cache file and no second look
at the photos, and ends by the clock. Other processes draw new pictures (`scenes.stream`) and write them to their
standard output; `gallery.py` cuts the batches on the device. The rate falls with the time that is left; for the last
part there are no mosaics. What is shipped is the running mean of the weights, written every minute and at the end, so
that a run that is cut off leaves a usable file. The validation photos are never read.

    python -m services.inference.training.finetune train build/photos --out build/finetuned --seconds 480
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import cv2
import numpy as np

from services.inference.training.fonts import training_fonts
from services.inference.training.scenes import Sample, read_photo, stream

WEIGHTS = Path(__file__).parent.parent / "weights" / "detector.pt"
_SIDES = (480, 512, 576, 640, 640, 640, 640, 704, 768, 960)
_GAINS = {"box": 7.5, "cls": 0.5, "dfl": 1.5}
_SAVE_EVERY = 60.0
_TO_SAVE = 6.0  # seconds left for the last file


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run learns."""

    seconds: float
    batch: int = 64  # pictures of 640 pixels; larger ones fewer
    rate: float = 1e-3
    decay: float = 5e-4
    mosaics: float = 0.6
    drawn: float = 0.45
    calm: float = 0.2  # of the time at the end, without mosaics
    room: int = 3000
    mean: float = 0.9995
    seed: int = 17


@dataclass(slots=True)
class Painters:
    """Processes that draw pictures without an end. Each writes to its standard output; a thread reads it here."""

    photos: Path
    fonts: Path
    count: int
    seed: int
    pictures: queue.Queue[Sample] = field(default_factory=lambda: queue.Queue(maxsize=64))
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Painters:
        for number in range(self.count):
            command = [sys.executable, "-m", "services.inference.training.finetune", "paint", str(self.photos)]
            command += ["--fonts", str(self.fonts), "--seed", str(self.seed + number)]
            one = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
            self._running.append(one)
            threading.Thread(target=self._receive, args=(one.stdout,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._running:
            one.kill()
            one.wait()

    def _receive(self, pipe: IO[bytes]) -> None:
        while (sample := read_sample(pipe)) is not None:
            self.pictures.put(sample)


def write_sample(sample: Sample, pipe: IO[bytes]) -> None:
    rows, columns = sample.image.shape[:2]
    head = np.array([rows, columns, len(sample.boxes)], np.int32)
    pipe.write(head.tobytes() + sample.image.tobytes() + sample.boxes.astype(np.float64).tobytes())
    pipe.flush()


def read_sample(pipe: IO[bytes]) -> Sample | None:
    """The next one; None where the pipe ends."""
    head = pipe.read(12)
    if len(head) < 12:
        return None
    rows, columns, count = (int(value) for value in np.frombuffer(head, np.int32))
    pixels, boxes = pipe.read(rows * columns * 3), pipe.read(count * 32)
    if len(pixels) < rows * columns * 3 or len(boxes) < count * 32:
        return None
    image = np.frombuffer(pixels, np.uint8).reshape(rows, columns, 3)
    return Sample(image, np.frombuffer(boxes, np.float64).reshape(count, 4))


def read_photos(folder: Path) -> list[Sample]:
    """All pictures below `folder`/images/* with their labels. Raises ValueError where there are none."""
    files = sorted(path for path in (folder / "images").glob("*/*") if path.parent.name != "val")
    if not files:
        raise ValueError(f"{folder}/images holds no folder of pictures: name a folder with images/… and labels/…")
    return [read_photo(file, folder / "labels" / file.parent.name / f"{file.stem}.txt") for file in files]


def load(weights: Path) -> Any:
    """The network of an ultralytics checkpoint, in full precision, with what its loss asks for."""
    os.environ.setdefault("YOLO_OFFLINE", "true")
    import torch

    checkpoint = torch.load(weights, map_location="cpu", weights_only=False)
    network = (checkpoint.get("ema") or checkpoint["model"]).float()
    network.args = SimpleNamespace(**_GAINS)
    for parameter in network.parameters():
        parameter.requires_grad_(True)
    fixed = network.model[-1].dfl
    for parameter in fixed.parameters():
        parameter.requires_grad_(False)
    return network


def optimiser(network: Any, plan: Plan) -> Any:
    import torch

    decayed = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": plan.decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.999))


def rate_at(plan: Plan, share: float, step: int) -> float:
    """Warm for 200 steps, then a cosine of the share of the time that is gone."""
    return plan.rate * min(1.0, (step + 1) / 200) * (0.02 + 0.98 * (1 + math.cos(math.pi * min(share, 1.0))) / 2)


def wide(outputs: Any) -> Any:
    """The network's outputs in full precision: boxes cannot be told apart in half."""
    import torch

    if isinstance(outputs, torch.Tensor):
        return outputs.float()
    if isinstance(outputs, dict):
        return {key: wide(value) for key, value in outputs.items()}
    return type(outputs)(wide(value) for value in outputs)


def save(network: Any, path: Path) -> None:
    """Half precision, without what only training needs; the old file stays until the new one is whole."""
    import torch

    shipped = copy.deepcopy(network).half()
    shipped.criterion = None
    shipped.args, shipped.pt_path = {"task": "detect", "imgsz": 640}, "detector.pt"
    content = {"model": shipped, "ema": None, "train_args": dict(shipped.args), "license": "AGPL-3.0-or-later"}
    torch.save(content, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def train(plan: Plan, weights: Path, photos_folder: Path, fonts: Path, out: Path, painters: int, began: float) -> None:
    """Runs until `plan.seconds` after `began` (monotonic)."""
    import torch

    from services.inference.training.gallery import Gallery

    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(plan.seed)
    torch.backends.cudnn.benchmark = True
    log = Log(out, began)
    with Painters(photos_folder, fonts, painters, plan.seed) as painting:
        photos = read_photos(photos_folder)
        gallery = Gallery(photos, plan.room, device, np.random.default_rng(plan.seed))
        network = load(weights).to(device).train()
        log.say(f"{len(photos)} photos, {painters} painters, {device}, {plan}")
        mean = copy.deepcopy(network).eval()
        steps, taught = 0, optimiser(network, plan)
        rng = np.random.default_rng(plan.seed + 1)
        start, saved = time.monotonic(), time.monotonic()
        end = began + plan.seconds - _TO_SAVE
        pictures, sums = 0, np.zeros(3)
        while time.monotonic() < end and not stopped.is_set():
            hang_new(gallery, painting.pictures)
            share = (time.monotonic() - start) / max(end - start, 1e-9)
            for group in taught.param_groups:
                group["lr"] = rate_at(plan, share, steps)
            side = int(rng.choice(_SIDES))
            count = max(2, round(plan.batch * (640 / side) ** 2))
            batch = gallery.batch(count, side, plan.mosaics if share < 1 - plan.calm else 0.0, plan.drawn)
            labels = {"batch_idx": batch.owner, "cls": torch.zeros_like(batch.owner), "bboxes": batch.boxes}
            with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                outputs = network(batch.images)
            losses, _ = network.loss({**labels, "img": batch.images}, wide(outputs))
            taught.zero_grad(set_to_none=True)
            (losses.sum() / count).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
            taught.step()
            steps, pictures = steps + 1, pictures + count
            follow(mean, network, min(plan.mean, (1 + steps) / (20 + steps)))
            if steps % 50 == 1:
                sums = (losses.detach() / count).float().cpu().numpy()
                if not np.isfinite(sums).all():
                    raise RuntimeError(f"the loss is {sums} after {steps} steps: lower the rate")
                log.row(steps, pictures, gallery.drawn, share, sums)
            if time.monotonic() - saved > _SAVE_EVERY:
                save(mean, out / "detector.pt")
                saved = time.monotonic()
        save(mean, out / "detector.pt")
    seconds = time.monotonic() - start
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    log.end(
        {
            "device": name,
            "torch": torch.__version__,
            "plan": asdict(plan),
            "photos": len(photos),
            "steps": steps,
            "pictures": pictures,
            "drawn": gallery.drawn,
            "seconds": round(seconds, 1),
            "pictures_per_second": round(pictures / max(seconds, 1e-9), 1),
            "epochs_of_photos": round(pictures * (1 - plan.drawn) / len(photos), 1),
        }
    )


def hang_new(gallery: Any, pictures: queue.Queue[Sample]) -> None:
    for _ in range(16):
        try:
            gallery.add(pictures.get_nowait())
        except queue.Empty:
            return


def follow(mean: Any, network: Any, keep: float) -> None:
    """Moves the mean a little towards the network; batch statistics too."""
    import torch

    with torch.no_grad():
        ours, theirs = mean.state_dict(), network.state_dict()
        floats = [key for key, value in ours.items() if value.dtype.is_floating_point]
        torch._foreach_lerp_([ours[key] for key in floats], [theirs[key] for key in floats], 1 - keep)


@dataclass(slots=True)
class Log:
    """`log.txt` for people and `training.json` for the model card."""

    out: Path
    began: float
    rows: list[dict[str, float]] = field(default_factory=list)

    def say(self, text: str) -> None:
        line = f"{time.monotonic() - self.began:7.1f} s  {text}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        with (self.out / "log.txt").open("a") as file:
            file.write(line + "\n")

    def row(self, steps: int, pictures: int, drawn: int, share: float, losses: np.ndarray[Any, Any]) -> None:
        seconds = time.monotonic() - self.began
        box, cls, dfl = (round(float(value), 4) for value in losses)
        self.rows.append({"steps": steps, "seconds": round(seconds, 1), "box": box, "cls": cls, "dfl": dfl})
        self.say(f"step {steps}, {share:.0%}, {pictures} pictures, {drawn} drawn; box {box}, cls {cls}, dfl {dfl}")

    def end(self, facts: dict[str, Any]) -> None:
        (self.out / "training.json").write_text(json.dumps({**facts, "losses": self.rows}, indent=1) + "\n")
        self.say(f"done: {json.dumps(facts)}")


def paint(folder: Path, fonts: Path, seed: int) -> None:
    """Writes samples to standard output until nobody reads them."""
    cv2.setNumThreads(1)
    drawn: Iterator[Sample] = stream(read_photos(folder), np.random.default_rng(seed), training_fonts(fonts))
    try:
        for sample in drawn:
            write_sample(sample, sys.stdout.buffer)
    except BrokenPipeError:
        os._exit(0)


def main() -> None:
    began = time.monotonic()
    parser = argparse.ArgumentParser(description="Train the plate detector further within a given time.")
    commands = parser.add_subparsers(dest="command", required=True)
    learn = commands.add_parser("train")
    learn.add_argument("photos", type=Path, help="folder with images/… and labels/…")
    learn.add_argument("--out", type=Path, required=True)
    learn.add_argument("--weights", type=Path, default=WEIGHTS, help="checkpoint to start from")
    learn.add_argument("--seconds", type=float, default=480.0, help="wall time, loading and saving included")
    learn.add_argument("--painters", type=int, default=6, help="processes that draw pictures")
    learn.add_argument("--batch", type=int, default=64)
    learn.add_argument("--room", type=int, default=3000, help="drawn pictures kept at a time")
    drawing = commands.add_parser("paint")
    drawing.add_argument("photos", type=Path)
    drawing.add_argument("--seed", type=int, default=0)
    for one in (learn, drawing):
        one.add_argument("--fonts", type=Path, default=Path(".cache/fonts"))
    args = parser.parse_args()
    if args.command == "paint":
        paint(args.photos, args.fonts, args.seed)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(seconds=args.seconds, batch=args.batch, room=args.room)
    train(plan, args.weights, args.photos, args.fonts, args.out, args.painters, began)


if __name__ == "__main__":
    main()

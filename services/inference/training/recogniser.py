"""Trains the plate recogniser on rendered plates and exports it. One command, which also resumes:

    python -m services.inference.training.recogniser --out DIR --minutes 60 [--fonts CACHE]
        [--plate-font FILE] [--shared DIR] [--resume] [--export]

No real plate is trained on: photographs of the shared data only stand behind rendered plates, and its real
crops are read to measure. `--out` takes checkpoint and log; `--export` writes the ONNX file and its model
card into the repository.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from services.inference.models.recogniser import decode, preprocess
from services.inference.training.export import History, Measure, export
from services.inference.training.feed import BATCH, Batch, Feed, Sources, stacked
from services.inference.training.fonts import training_fonts
from services.inference.training.network import Reader, standardised

HELD_OUT = 600  # rendered plates, in fonts that training never sees


class Trainer:
    """Network, its running average (what is measured and exported), optimiser and what it has been through."""

    def __init__(self) -> None:
        self.reader = Reader().to(memory_format=torch.channels_last)
        self.average = Reader().eval()
        self.average.load_state_dict(self.reader.state_dict())
        self.optimiser = torch.optim.AdamW(self.reader.parameters(), lr=1e-3, weight_decay=1e-2)
        self.steps = 0
        self.plates = 0
        self.calls: list[tuple[str, float]] = []  # every command with the minutes that it trained

    @property
    def minutes(self) -> float:
        return sum(minutes for _, minutes in self.calls)

    def step(self, batch: Batch, rate: float) -> float:
        """One step at learning rate `rate`; returns the loss. CTC on half of the plates straightened by their
        true corners (slightly moved), half by the network's own; smooth L1 on the corners of crops that show
        a plate."""
        images, corners, targets, lengths = (torch.from_numpy(part) for part in batch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            x = standardised(images)
            found = self.reader.localiser(x)
            logits = self.reader.read(self.reader.straighten(x, _half_true(found.detach(), corners)))
        reading = functional.ctc_loss(
            logits.float().log_softmax(-1).transpose(0, 1),
            targets,
            torch.full((len(x),), logits.shape[1]),
            lengths,
            zero_infinity=True,
        )
        placing = functional.smooth_l1_loss(found[lengths > 0], corners[lengths > 0], beta=0.02)
        loss = reading + 10 * placing
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.reader.parameters(), 5.0)
        self.optimiser.step()
        self.steps += 1
        self.plates += len(x)
        self._follow()
        return float(reading.detach())

    def _follow(self) -> None:
        """Let the average follow, quickly at first."""
        keep = min(0.998, self.steps / (self.steps + 20))
        with torch.no_grad():
            for mean, now in zip(self.average.state_dict().values(), self.reader.state_dict().values(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(now, 1 - keep)
                else:
                    mean.copy_(now)

    def save(self, path: Path) -> None:
        temporary = path.with_suffix(".tmp")
        torch.save(
            {
                "reader": self.reader.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "steps": self.steps,
                "calls": self.calls,
                "plates": self.plates,
            },
            temporary,
        )
        temporary.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.reader.load_state_dict(state["reader"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps, self.plates = state["steps"], state["plates"]
        self.calls = state["calls"]


def _half_true(found: Tensor, true: Tensor) -> Tensor:
    moved = true + torch.randn_like(true) * 0.012
    own = torch.rand(len(true), 1, 1) < 0.5
    return torch.where(own, found, moved)


def rate_at(progress: float, peak: float) -> float:
    """Warm up over 3 % of the run, then fall as a half cosine to a fiftieth of the peak. `progress`: 0..1."""
    if progress < 0.03:
        return peak * max(progress / 0.03, 0.05)
    return peak * (0.02 + 0.98 * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)


def read_all(reader: Reader, images: NDArray[np.uint8]) -> list[str]:
    """Texts of preprocessed crops (N, 1, 64, 192)."""
    texts = []
    with torch.inference_mode():
        for start in range(0, len(images), BATCH):
            logits, _ = reader(standardised(torch.from_numpy(images[start : start + BATCH])))
            texts += [decode(columns).text for columns in logits.softmax(-1).numpy()]
    return texts


def held_out(sources: Sources) -> Measure:
    """Rendered plates in unseen fonts, the same ones every time."""
    studio = sources.studio((777,), held_out=True)
    crops = [studio.crop() for _ in range(HELD_OUT)]
    return Measure("rendered", stacked(crops)[0], tuple(crop.text for crop in crops))


def real(shared: Path | None) -> list[Measure]:
    """The real crops of the shared data, where there is any."""
    if shared is None or not (shared / "data/plates/ocr/labels.csv").is_file():
        return []
    folder = shared / "data/plates/ocr"
    with (folder / "labels.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    images = np.stack([preprocess(np.asarray(cv2.imread(str(folder / row["file"])), np.uint8)) for row in rows])[
        :, None
    ]
    return [Measure("real", images, tuple(row["text"] for row in rows))]


def train(trainer: Trainer, sources: Sources, options: argparse.Namespace) -> None:
    """Train for `options.minutes`, measure and save every `options.every` minutes."""
    measures = [held_out(sources), *real(sources.shared)]
    feed = Feed(sources, (options.seed, trainer.steps))
    fresh, began, seen, losses = trainer.steps == 0, time.monotonic(), time.monotonic(), []
    try:
        for batch in feed:
            spent = (time.monotonic() - began) / 60
            progress = spent / options.minutes
            feed.hardness.value = min(0.25 + progress * 5, 1.0) if fresh else 1.0
            losses.append(trainer.step(batch, rate_at(progress, options.rate)))
            trainer.calls[-1] = (trainer.calls[-1][0], spent)
            if time.monotonic() - seen > options.every * 60 or progress >= 1:
                _report(trainer, measures, losses)
                trainer.save(options.out / "last.pt")
                seen, losses = time.monotonic(), []
            if progress >= 1:
                return
    finally:
        feed.close()


def _exact(texts: Sequence[str], truth: Sequence[str]) -> int:
    return sum(text == true for text, true in zip(texts, truth, strict=True))


def _report(trainer: Trainer, measures: Sequence[Measure], losses: Sequence[float]) -> None:
    scores = []
    for measure in measures:
        texts = read_all(trainer.average, measure.images)
        scores.append(f"{measure.name} {_exact(texts, measure.truth)}/{len(texts)}")
    line = f"step {trainer.steps}  minutes {trainer.minutes:.1f}  loss {np.mean(losses):.4f}  {'  '.join(scores)}\n"
    sys.stdout.write(line)
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Train the plate recogniser on rendered plates.")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint and log, outside git")
    parser.add_argument("--minutes", type=float, default=60, help="how long to train")
    parser.add_argument("--every", type=float, default=3, help="minutes between measurements")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="cores for the training steps")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--fonts", type=Path, help="cache of services.inference.training.fonts; else DejaVu alone")
    parser.add_argument(
        "--plate-font",
        type=Path,
        action="append",
        default=[],
        help="a font of a plate standard (default: the shared data's)",
    )
    parser.add_argument("--shared", type=Path, help="folder of the shared data, for backgrounds and real crops")
    parser.add_argument("--export", action="store_true", help="only write ONNX and model card from the checkpoint")
    return parser


def _plate_fonts(options: argparse.Namespace) -> tuple[Path, ...]:
    """Those named, else those of the shared data."""
    if options.plate_font or options.shared is None:
        return tuple(options.plate_font)
    return tuple(sorted((options.shared / "data/plates/fonts").glob("*.ttf")))


def _command(words: Sequence[str]) -> str:
    """The call as the card may tell it: of paths the last part only."""
    told = (Path(word).name if "/" in word else word for word in words)
    return " ".join(("python -m services.inference.training.recogniser", *told))


def main() -> None:
    options = arguments().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    sources = Sources(options.fonts, _plate_fonts(options), options.shared)
    trainer, checkpoint = Trainer(), options.out / "last.pt"
    if options.resume or options.export:
        if not checkpoint.is_file():
            raise SystemExit(f"{checkpoint} is missing: train first, without --resume or --export")
        trainer.load(checkpoint)
    if not options.export:
        trainer.calls.append((_command(sys.argv[1:]), 0.0))
        train(trainer, sources, options)
    history = History(
        trainer.steps,
        trainer.plates,
        trainer.calls,
        len(training_fonts(options.fonts)) + len(sources.plate_fonts),
        len(sources.photos()),
    )
    export(trainer.average, [held_out(sources), *real(options.shared)], history)


if __name__ == "__main__":
    main()

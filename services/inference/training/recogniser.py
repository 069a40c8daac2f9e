"""Trains the plate recogniser on rendered plates and exports it. One command, which also resumes:

    python -m services.inference.training.recogniser --out DIR --minutes 60 [--fonts CACHE]
        [--plate-font FILE] [--shared DIR] [--resume] [--export]

This command trains on no text of a real plate: photographs of the shared data only stand behind rendered plates, and
its real crops are read to measure. What the committed weights saw besides is in their card. `--out` takes checkpoint
and log; `--export` writes the ONNX file and its model card into the repository.
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

from services.inference.models.recogniser import ALPHABET, INPUT_SIZE, CharacterReading, decode_all, preprocess
from services.inference.training.crops import Studio
from services.inference.training.export import History, Measure, export
from services.inference.training.feed import Feed, Sources, stacked
from services.inference.training.fonts import training_fonts
from services.inference.training.network import WIDTHS, Reader, standardised
from services.inference.training.replay import Replay, Tensors
from services.inference.training.styles import TWO_ROWS

HELD_OUT = 1000  # rendered plates, in fonts and alphabets that training never sees
_MEASURED = 256  # plates at a time when measuring
_CHARACTERS = 7.0  # of a usual plate, so that the loss is one of a character


class Trainer:
    """Network, its running average (what is measured and exported), optimiser and what it has been through."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.reader = Reader().to(self.device).to(memory_format=torch.channels_last)
        self.average = Reader().eval().to(self.device)
        self.average.load_state_dict(self.reader.state_dict())
        self.optimiser = torch.optim.AdamW(self.reader.parameters(), lr=1e-3, weight_decay=1e-2)
        self.steps = 0
        self.plates = 0
        self.calls: list[tuple[str, float]] = []  # every command with the minutes that it trained

    @property
    def minutes(self) -> float:
        return sum(minutes for _, minutes in self.calls)

    def step(self, batch: Tensors, rate: float) -> Tensor:
        """One step at learning rate `rate`; returns the reading loss. CTC for each row, on half of the plates
        straightened by their true corners (slightly moved), half by the network's own; smooth L1 on the corners, where
        they are known (not NaN), and cross entropy on whether there is a plate."""
        images, corners, targets, lengths = batch
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        shows = lengths.sum(1) > 0
        known = shows & corners.isfinite().all(2).all(1)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            x = standardised(images)
            found = self.reader.localiser(x)
            logits, plate = self.reader.read(self.reader.straighten(x, _half_true(found.detach(), corners, known)))
        reading = ctc(logits, targets, lengths)
        placing = functional.smooth_l1_loss(found[known], corners[known], beta=0.02)
        judging = functional.binary_cross_entropy_with_logits(plate.float(), shows.float())
        loss = reading + 10 * placing + 0.3 * judging
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.reader.parameters(), 5.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.steps += 1
        self.plates += len(x)
        self._follow()
        return reading.detach()

    def _follow(self) -> None:
        """Let the average follow, quickly at first."""
        keep = min(0.999, self.steps / (self.steps + 20))
        means, values = list(self.average.state_dict().values()), list(self.reader.state_dict().values())
        with torch.no_grad():
            floats = [(mean, now) for mean, now in zip(means, values, strict=True) if mean.is_floating_point()]
            torch._foreach_lerp_([mean for mean, _ in floats], [now for _, now in floats], 1 - keep)
            for mean, now in zip(means, values, strict=True):
                if not mean.is_floating_point():
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
                "config": {"alphabet": ALPHABET, "widths": list(WIDTHS), "input_size": list(INPUT_SIZE)},
            },
            temporary,
        )
        temporary.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.reader.load_state_dict(state["reader"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps, self.plates = state["steps"], state["plates"]
        self.calls = state["calls"]


def _half_true(found: Tensor, true: Tensor, known: Tensor) -> Tensor:
    moved = true + torch.randn_like(true) * 0.012
    own = (torch.rand(len(true), 1, 1, device=true.device) < 0.5) | ~known[:, None, None]
    return torch.where(own, found, moved)


def ctc(logits: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    """Mean loss of a plate: the rows' CTC losses added; a row without text has to stay blank all along."""
    rows = logits.float().log_softmax(-1).flatten(0, 1).transpose(0, 1)
    columns = torch.full((rows.shape[1],), rows.shape[0], device=rows.device)
    count = lengths.flatten()
    spelt = functional.ctc_loss(
        rows, targets.flatten(0, 1).clamp(min=1), columns, count.clamp(min=1), reduction="none", zero_infinity=True
    )
    loss = torch.where(count == 0, -rows[:, :, 0].sum(0), spelt)
    return loss.sum() / len(logits) / _CHARACTERS


def rate_at(progress: float, peak: float) -> float:
    """Warm up over 3 % of the run, then fall as a half cosine to a fiftieth of the peak. `progress`: 0..1."""
    if progress < 0.03:
        return peak * max(progress / 0.03, 0.05)
    return peak * (0.02 + 0.98 * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)


def read_all(reader: Reader, images: NDArray[np.uint8]) -> list[CharacterReading]:
    """Readings of preprocessed crops (N, 1, 64, 192)."""
    device = next(reader.parameters()).device
    readings = []
    with torch.inference_mode():
        for start in range(0, len(images), _MEASURED):
            crops = torch.from_numpy(images[start : start + _MEASURED]).to(device)
            logits, corners, plate = reader(standardised(crops))
            outputs = (logits.softmax(-1), corners, plate.sigmoid())
            readings += decode_all(*(output.float().cpu().numpy() for output in outputs))
    return readings


def held_out(sources: Sources) -> list[Measure]:
    """Rendered plates in unseen fonts and alphabets, the same ones every time: all kinds, and two rows alone."""
    everything = sources.studio((777,), held_out=True)
    two_rows = sources.studio((778,), held_out=True)
    two_rows.hardness, two_rows.styles = 0.4, TWO_ROWS
    return [_measure("rendered", everything, HELD_OUT), _measure("two rows", two_rows, HELD_OUT // 2)]


def _measure(name: str, studio: Studio, count: int) -> Measure:
    studio.no_plate = 0.0
    crops = [studio.crop() for _ in range(count)]
    return Measure(name, stacked(crops)[0], tuple(crop.text for crop in crops))


def no_plates(sources: Sources) -> NDArray[np.uint8]:
    """Crops (N, 1, 64, 192) that show no plate, the same ones every time."""
    studio = sources.studio((779,), held_out=True)
    studio.no_plate = 1.0
    return stacked([studio.crop() for _ in range(HELD_OUT // 2)])[0]


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
    return [Measure("russian", images, tuple(row["text"] for row in rows))]


def train(trainer: Trainer, sources: Sources, options: argparse.Namespace) -> None:
    """Train for `options.minutes`, measure and save every `options.every` minutes."""
    measures = [*held_out(sources), *real(sources.shared)]
    feed = Feed(sources, (options.seed, trainer.steps), options.workers)
    replay = Replay(options.replay, trainer.device, options.seed)
    fresh, began, seen, losses = trainer.steps == 0, time.monotonic(), time.monotonic(), []
    try:
        fill(feed, replay, options.batch)
        while True:
            spent = (time.monotonic() - began) / 60
            progress = spent / options.minutes
            feed.hardness.value = min(0.3 + progress * 4, 1.0) if fresh else 1.0
            fill(feed, replay, 0)
            batch = replay.draw(options.batch, options.batch // 4)
            losses.append(trainer.step(batch, rate_at(progress, options.rate)))
            trainer.calls[-1] = (trainer.calls[-1][0], spent)
            if time.monotonic() - seen > options.every * 60 or progress >= 1:
                report(trainer, measures, [float(loss) for loss in losses])
                trainer.save(options.out / "last.pt")
                seen, losses = time.monotonic(), []
            if progress >= 1:
                return
    finally:
        feed.close()


def fill(feed: Feed, replay: Replay, least: int) -> None:
    """Add all that was drawn meanwhile; wait until there are at least `least` crops."""
    while (batch := feed.take(wait=len(replay) < least)) is not None:
        replay.add(batch)


def _exact(texts: Sequence[str], truth: Sequence[str]) -> int:
    return sum(text == true for text, true in zip(texts, truth, strict=True))


def report(trainer: Trainer, measures: Sequence[Measure], losses: Sequence[float]) -> None:
    """Print a line: how far it is, and how many of each measure's plates are read exactly."""
    scores = []
    for measure in measures:
        texts = [reading.text for reading in read_all(trainer.average, measure.images)]
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
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes that draw plates")
    parser.add_argument("--batch", type=int, default=128, help="plates a step, a quarter of them new")
    parser.add_argument("--replay", type=int, default=100_000, help="plates kept on the device to be shown again")
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
    trainer, checkpoint = Trainer(options.device), options.out / "last.pt"
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
    export(trainer.average.cpu(), [*held_out(sources), *real(options.shared)], no_plates(sources), history)


if __name__ == "__main__":
    main()

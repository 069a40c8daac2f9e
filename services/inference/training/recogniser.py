"""Trains the plate recogniser on rendered plates and exports it. One command, which also resumes:

    plateflow train recogniser --out DIR --minutes 60 [--fonts CACHE] [--plate-font FILE] [--shared DIR]
        [--real FOLDER] [--start FILE.onnx] [--two-rows SHARE] [--dark SHARE] [--stacked SHARE]
        [--patience N] [--resume] [--export]

Without `--real` this command trains on no text of a real plate: photographs of the shared data only stand behind
rendered plates, and its real crops are read to measure. What the committed weights saw is in their card. `--out` takes
what `logbook` keeps: the last and the best checkpoint, the log, its curve. Ctrl+C keeps the state at hand; `--resume`
goes on from it. `--export` writes the ONNX file of the best one and its model card into the repository.
"""

from __future__ import annotations

import argparse
import csv
import math
import pickle
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from services.inference.datasets.layout import DataError
from services.inference.models.recogniser import ALPHABET, INPUT_SIZE, CharacterReading, decode_all, preprocess
from services.inference.training.crops import Studio
from services.inference.training.export import History, Measure, export
from services.inference.training.feed import Feed, Sources, share_of, stacked
from services.inference.training.fonts import training_fonts
from services.inference.training.logbook import BEST, LAST, Logbook, StopAsked, check_config
from services.inference.training.network import WIDTHS, Reader, standardised
from services.inference.training.real import load_real, mixed
from services.inference.training.replay import Replay, Tensors
from services.inference.training.styles import TWO_ROWS
from services.inference.training.warm import load_onnx
from services.runtime.errors import Stop

HELD_OUT = 1000  # rendered plates, in fonts and alphabets that training never sees
_MEASURED = 256  # plates at a time when measuring
CONFIG = {"alphabet": ALPHABET, "widths": list(WIDTHS), "input_size": list(INPUT_SIZE)}
"""What a checkpoint must have been trained for."""
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

    def start(self, weights: Path, studio: Studio) -> None:
        """Begin with the weights of an ONNX file; `studio` draws what they are measured on. Stop where it is none."""
        crops = torch.from_numpy(stacked([studio.crop() for _ in range(_MEASURED)])[0])
        load_onnx(self.reader, weights, crops.to(self.device))
        self.average.load_state_dict(self.reader.state_dict())

    def save(self, path: Path) -> None:
        torch.save(
            {
                "reader": self.reader.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "steps": self.steps,
                "calls": self.calls,
                "plates": self.plates,
                "config": CONFIG,
            },
            path,
        )

    def load(self, path: Path) -> None:
        """Stop where it is no checkpoint of this network and alphabet."""
        try:
            state = torch.load(path, weights_only=True, map_location=self.device)
            config = state.get("config")
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, AttributeError, ValueError) as error:
            raise Stop(f"{path} is no checkpoint of a training: {str(error).splitlines()[0]}") from error
        check_config(config, CONFIG, path)
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


def held_out(sources: Sources, count: int = HELD_OUT) -> list[Measure]:
    """Rendered plates in unseen fonts and alphabets, the same ones every time: all kinds, and two rows alone."""
    everything = sources.studio((777,), held_out=True)
    two_rows = sources.studio((778,), held_out=True)
    two_rows.hardness, two_rows.styles = 0.4, TWO_ROWS
    return [_measure("rendered", everything, count), _measure("two rows", two_rows, count // 2)]


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


def train(trainer: Trainer, sources: Sources, options: argparse.Namespace) -> bool:
    """Train for `options.minutes`, measure every `options.every` minutes; False where Ctrl+C came first."""
    measures = [*held_out(sources, options.held_out), *real(sources.shared)]
    plates, rng = load_real(options.real, options.seed), np.random.default_rng((options.seed, trainer.steps))
    if options.real:
        tell(f"{len(plates)} real plates, {plates.left_out} left out (other split, no text, two rows)")
    share = round(options.batch * options.real_share) if len(plates) else 0
    book = Logbook(options.out, options.patience, options.resume)
    feed = Feed(sources, (options.seed, trainer.steps), options.workers)
    replay = Replay(options.replay, trainer.device, options.seed)
    fresh = trainer.steps == 0 and options.start is None
    began, seen, losses = time.monotonic(), time.monotonic(), list[Tensor]()
    try:
        with StopAsked() as stop:
            fill(feed, replay, options.batch)
            while not stop.asked:
                spent = (time.monotonic() - began) / 60
                progress = spent / options.minutes
                feed.hardness.value = min(0.3 + progress * 4, 1.0) if fresh else 1.0
                fill(feed, replay, 0)
                batch = replay.draw(options.batch, options.batch // 4)
                if share:
                    batch = mixed(batch, plates.draw(share, rng, trainer.device))
                losses.append(trainer.step(batch, rate_at(progress, options.rate)))
                trainer.calls[-1] = (trainer.calls[-1][0], spent)
                if time.monotonic() - seen > options.every * 60 or progress >= 1:
                    values = report(trainer, measures, [float(loss) for loss in losses])
                    book.measured(trainer.steps, values, score_of(values), trainer.save)
                    seen, losses = time.monotonic(), []
                if progress >= 1 or book.done:
                    return True
        book.keep(trainer.save)
        tell(f"stopped; {options.out / LAST} holds the state at hand, --resume goes on from it")
        return False
    finally:
        feed.close()


def score_of(values: Mapping[str, float]) -> float:
    """What the best checkpoint is best at: the mean of the sets' exact shares."""
    shares = [value for name, value in values.items() if name != "loss"]
    return sum(shares) / len(shares)


def fill(feed: Feed, replay: Replay, least: int) -> None:
    """Add all that was drawn meanwhile; wait until there are at least `least` crops."""
    while (batch := feed.take(wait=len(replay) < least)) is not None:
        replay.add(batch)


def _exact(texts: Sequence[str], truth: Sequence[str]) -> int:
    return sum(text == true for text, true in zip(texts, truth, strict=True))


def report(trainer: Trainer, measures: Sequence[Measure], losses: Sequence[float]) -> dict[str, float]:
    """Tell how far it is; the loss, and each measure's share of plates that are read exactly."""
    values = {"loss": float(np.mean(losses))}
    counts = []
    for measure in measures:
        texts = [reading.text for reading in read_all(trainer.average, measure.images)]
        exact = _exact(texts, measure.truth)
        values[measure.name] = exact / len(texts)
        counts.append(f"{measure.name} {exact}/{len(texts)}")
    tell(f"step {trainer.steps}  minutes {trainer.minutes:.1f}  loss {values['loss']:.4f}  {'  '.join(counts)}")
    return values


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plateflow train recogniser",
        description="Train the plate recogniser on rendered plates, and on real ones where they are given. --out then "
        "holds last.pt, best.pt, log.jsonl and curve.png.",
    )
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
    parser.add_argument(
        "--real",
        type=Path,
        action="append",
        default=[],
        help="a folder in the layout of docs/data.md whose texts may be trained on; repeatable",
    )
    parser.add_argument("--real-share", type=share_of, default=0.05, help="share of each batch that is real")
    parser.add_argument("--held-out", type=int, default=HELD_OUT, help="drawn plates to measure on meanwhile")
    parser.add_argument("--patience", type=int, default=0, help="measurements without a better one; 0: no end")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--start", type=Path, help="begin with the weights of this ONNX file, not with random ones")
    parser.add_argument("--two-rows", type=share_of, help="share of drawn plates of two rows (default: about a tenth)")
    parser.add_argument("--dark", type=share_of, default=0.0, help="share of drawn pictures narrow and in low light")
    parser.add_argument("--stacked", type=share_of, default=0.0, help="share of drawn plates that begin in two rows")
    parser.add_argument("--fonts", type=Path, help="cache of services.inference.training.fonts; else DejaVu alone")
    parser.add_argument(
        "--plate-font",
        type=Path,
        action="append",
        default=[],
        help="a font of a plate standard (default: the shared data's)",
    )
    parser.add_argument("--shared", type=Path, help="folder of the shared data, for backgrounds and real crops")
    parser.add_argument("--export", action="store_true", help="only write ONNX and model card of the best")
    return parser


def _plate_fonts(options: argparse.Namespace) -> tuple[Path, ...]:
    """Those named, else those of the shared data."""
    if options.plate_font or options.shared is None:
        return tuple(options.plate_font)
    return tuple(sorted((options.shared / "data/plates/fonts").glob("*.ttf")))


def _command(words: Sequence[str]) -> str:
    """The call as the card may tell it: of paths the last part only."""
    told = (Path(word).name if "/" in word else word for word in words)
    return " ".join(("plateflow train recogniser", *told))


def main(words: Sequence[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    options = arguments().parse_args(words)
    try:
        return _run(options, words)
    except (Stop, DataError) as error:
        sys.stderr.write(f"plateflow train: {error}\n")
        return 2


def _run(options: argparse.Namespace, words: Sequence[str]) -> int:
    if options.start is not None and (options.resume or options.export):
        raise Stop("--start begins a new training: leave it out with --resume or --export")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    fonts = _plate_fonts(options)
    sources = Sources(options.fonts, fonts, options.shared, options.two_rows, options.dark, options.stacked)
    trainer = Trainer(options.device)
    if options.resume or options.export:
        checkpoint = options.out / (BEST if options.export and (options.out / BEST).is_file() else LAST)
        if not checkpoint.is_file():
            raise Stop(f"{checkpoint} is missing: train first, without --resume or --export")
        trainer.load(checkpoint)
    elif options.start is not None:
        trainer.start(options.start, sources.studio((options.seed, 0)))
    if not options.export:
        trainer.calls.append((_command(words), 0.0))
        return 0 if train(trainer, sources, options) else 130
    history = History(
        trainer.steps,
        trainer.plates,
        trainer.calls,
        len(training_fonts(options.fonts)) + len(sources.plate_fonts),
        len(sources.photos()),
        _seen_real(trainer.calls),
    )
    export(trainer.average.cpu(), [*held_out(sources), *real(options.shared)], no_plates(sources), history)
    return 0


def _seen_real(calls: Sequence[tuple[str, float]]) -> str:
    """What the card tells about real plates."""
    if any("--start" in command for command, _ in calls):
        return (
            "The training began with written weights: what those had seen is in their card, the calls below name them."
        )
    if any("--real" in command for command, _ in calls):
        return (
            "Real plates with their texts were trained on too, from the folders that the calls below name with --real."
        )
    return "No real plate with its text was trained on."


if __name__ == "__main__":
    sys.exit(main())

"""What every training keeps in its folder, whatever it trains: no torch here.

    last.pt       the newest state, at every measurement and at Ctrl+C; what a resumed training goes on from
    best.pt       the state with the best score so far
    log.jsonl     one line per measurement: step, score, every figure
    curve.png     the figures over the steps, drawn again at every measurement

How a trainer uses it:

    book = Logbook(folder, patience=10)                      # resume=False (the default) begins a new log
    with StopAsked() as stop:
        while not book.done and not stop.asked:
            ...one step...
            if it is time to measure:
                book.measured(step, {"loss": 0.4, "exact": 0.93}, score=0.93, save=trainer.save)
    if stop.asked:
        book.keep(save=trainer.save)                         # nothing of the last minutes is lost

`save` is called with a path and writes the checkpoint there; the logbook makes it appear under its name in one piece.
Put `config` (alphabet, sizes, the command) into the checkpoint and hand the one found to `check_config` when loading.
The higher score is the better one. Patience counts measurements since the best; 0 is without end. A resumed training
knows the best score and its patience from the log.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from services.runtime.errors import Stop

LAST, BEST, LOG, CURVE = "last.pt", "best.pt", "log.jsonl", "curve.png"
Save = Callable[[Path], object]
INK, PALE_INK = "#1b2333", "#5a6475"
LINES = ("#1f5fa8", "#c4462d", "#0f8a5f", "#8250b5", "#b58900", "#4c566a")


@dataclass
class Logbook:
    """The folder of one training."""

    folder: Path
    patience: int = 0
    resume: bool = False
    rows: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / LOG
        if self.resume and log.exists():
            self.rows = read_log(log)
        else:
            log.unlink(missing_ok=True)

    @property
    def best_score(self) -> float | None:
        return max((row["score"] for row in self.rows), default=None)

    @property
    def since_best(self) -> int:
        """Measurements after the first one with the best score."""
        scores = [row["score"] for row in self.rows]
        return len(scores) - 1 - scores.index(max(scores)) if scores else 0

    @property
    def done(self) -> bool:
        """Whether patience is at its end."""
        return 0 < self.patience <= self.since_best

    def measured(self, step: int, values: Mapping[str, float], score: float, save: Save) -> bool:
        """Writes everything down; whether this is the best so far."""
        best = self.best_score is None or score > self.best_score
        self.keep(save)
        if best:
            written(self.folder / BEST, save)
        row = {"step": step, "score": score} | {name: round(float(value), 6) for name, value in values.items()}
        self.rows.append(row)
        with (self.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps(row) + "\n")
        draw_curve(self.rows, self.folder / CURVE)
        return best

    def keep(self, save: Save) -> None:
        """The newest state, where there is nothing to measure."""
        written(self.folder / LAST, save)


class StopAsked:
    """Within the `with` block the first Ctrl+C only sets `asked`, so that a step is never cut in two; the second one
    stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Self:
        self._former = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._former)

    def _handle(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def written(path: Path, save: Save) -> None:
    """`save` under another name first, so that `path` is never half a file."""
    temporary = path.with_name(f".{path.name}.tmp")
    save(temporary)
    temporary.replace(path)


def check_config(found: Mapping[str, Any] | None, needed: Mapping[str, Any], checkpoint: Path) -> None:
    """Stop where a checkpoint was trained for something else than what this training needs."""
    for name, value in needed.items():
        stated = (found or {}).get(name)
        if stated != value:
            raise Stop(
                f"{checkpoint} was trained for {name} {_shown(stated)}, this training needs {_shown(value)}: "
                "name another --out, or start anew there without --resume"
            )


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a log; a last line that was cut off in the middle is left out. Stop for any other broken line."""
    lines = path.read_text(encoding="utf-8").split("\n")
    rows: list[dict[str, float]] = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            row = json.loads(line)
            row["step"], row["score"] = int(row["step"]), float(row["score"])
        except (ValueError, KeyError, TypeError) as error:
            raise Stop(f"{path}, line {number} is no line of a training's log: remove it, or train anew") from error
        rows.append(row)
    if lines[-1]:
        path.write_text("".join(f"{line}\n" for line in lines[:-1]), encoding="utf-8")
    return rows


def draw_curve(rows: Sequence[Mapping[str, float]], out: Path, title: str = "Training") -> None:
    """Losses above, the other figures below, over the steps; the best score is marked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in ("step", "score")]
    losses = [name for name in names if "loss" in name]
    groups = [group for group in (losses, [name for name in names if name not in losses] or ["score"]) if group]
    figure = Figure(figsize=(9, 3.2 * len(groups) + 0.5), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.02, ha="left", fontsize=14, fontweight="bold", color=INK)
    panels = figure.subplots(len(groups), 1, squeeze=False)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        for colour, name in zip(LINES * len(group), group, strict=False):
            points = [(row["step"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), color=colour, lw=1.6, marker="o", ms=2.5, label=name)
        axes.set_ylabel("loss" if group is losses else "share", color=PALE_INK)
        axes.grid(color="#e4e8ef", lw=0.8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(colors=PALE_INK)
        axes.legend(frameon=False, fontsize=9, loc="best", labelcolor=INK)
    _mark_best(panels[-1], rows)
    panels[-1].set_xlabel("steps", color=PALE_INK)
    temporary = out.with_name(f".{out.name}")
    figure.savefig(temporary, dpi=110, format="png")
    temporary.replace(out)


def _mark_best(axes: Any, rows: Sequence[Mapping[str, float]]) -> None:
    best = max(rows, key=lambda row: row["score"])
    axes.axvline(best["step"], color=PALE_INK, lw=1, ls=":")
    axes.set_title(f"best at step {int(best['step']):,}: {best['score']:.4f}", fontsize=10, loc="right", color=PALE_INK)


def _shown(value: object) -> str:
    return "that it does not name" if value is None else repr(value)

"""Which outputs were asked for, and how they are made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from services.aggregator.core.config import Config
from services.cli.inputs import Source
from services.cli.live import Live
from services.cli.outputs_crops import Crops
from services.cli.outputs_drawn import Drawn
from services.cli.outputs_events import EventLines, Latency
from services.cli.outputs_port import Output, Outputs
from services.cli.outputs_text import EventTable, EveryReading, Positions, QuadFiles
from services.cli.window import Window
from services.inference.models.recogniser import Recogniser
from services.runtime.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options of `plateflow run` that say what to write beside the folder."""

    csv: Path | None = None
    quads: Path | None = None
    positions: Path | None = None
    crops: Path | None = None
    crops_min_conf: float = 0.0
    crops_limit: int = 0
    frames: Path | None = None
    annotate: Path | None = None
    debug: Path | None = None
    events: bool = False
    latency: bool = False
    show: bool = False

    @property
    def paths(self) -> dict[str, Path]:
        """Per option, what it writes to."""
        named = {
            "--csv": self.csv, "--quads": self.quads, "--positions": self.positions, "--crops": self.crops,
            "--frames": self.frames, "--annotate": self.annotate, "--debug": self.debug,
        }  # fmt: skip
        return {option: path for option, path in named.items() if path is not None}


def check(wishes: Wishes, sources: Iterable[Source]) -> None:
    """SettingsError where an output would overwrite an input, or cannot be what it is to be."""
    read = {path.resolve() for source in sources for path in (source.photos or (source.path,))}
    for option, path in wishes.paths.items():
        if path.resolve() in read:
            raise SettingsError(f"{option}: {path} is one of the inputs; name another file")
        folder = option in ("--crops", "--frames", "--annotate")
        if folder and path.exists() and not path.is_dir():
            raise SettingsError(f"{option}: {path} is a file; name a folder")
        if not folder and option != "--quads" and path.is_dir():
            raise SettingsError(f"{option}: {path} is a folder; name a file")


def build(
    wishes: Wishes,
    recogniser: Recogniser,
    margin: float,
    config: Config,
    inputs: int,
    append: bool,
    say: Callable[[str], None],
    window: Window | None,
    interrupts: Callable[[], int],
) -> Outputs:
    outputs: list[Output] = []
    if wishes.events:
        outputs.append(EventLines(say))
    if wishes.csv is not None:
        outputs.append(EventTable(wishes.csv, config.options.window_ms, append))
    if wishes.quads is not None:
        outputs.append(QuadFiles(wishes.quads, inputs, append))
    if wishes.positions is not None:
        outputs.append(Positions(wishes.positions, config, append))
    if wishes.debug is not None:
        outputs.append(EveryReading(wishes.debug, recogniser, margin, append))
    if wishes.crops is not None:
        outputs.append(Crops(wishes.crops, wishes.crops_min_conf, wishes.crops_limit))
    if wishes.annotate is not None or wishes.frames is not None:
        outputs.append(Drawn(wishes.annotate, wishes.frames, interrupts))
    if wishes.latency:
        outputs.append(Latency())
    if window is not None:
        outputs.append(Live(recogniser, window.show, margin))
    return Outputs(outputs)

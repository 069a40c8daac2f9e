"""Recording after recording through the pipeline into the folder: what `plateflow run` does with its inputs.

In: a `Job`, the settings. Out: a `Tally`, the folder of `services.cli.outputs`, and the outputs that were wished for.

Rules
- One input that cannot be read is named and counted; the rest is read.
- Ctrl+C (or closing the window) ends the recording at hand where it is: what was seen of it is a recording, kept and
  closed like all before it, and ``--append`` goes on there. A second Ctrl+C gives up the recording at hand.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.aggregator.core.config import Config
from services.cli import outputs_build
from services.cli.background import decoded
from services.cli.inputs import Found, Kind, Source, Starts, find
from services.cli.interrupt import Interrupt
from services.cli.outputs import Earlier, Folder, check_folder, earlier_results, picture_path, writable
from services.cli.outputs_build import Wishes
from services.cli.outputs_port import Outputs
from services.cli.reader import Reader
from services.cli.run_show import RunShow
from services.cli.window import NoDisplay, Window
from services.contracts.messages import Passage
from services.inference.build import Inference, build_inference
from services.inference.gates import Gates
from services.inference.settings import PipelineSettings
from services.runtime.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Job:
    """What to read and where to."""

    names: Sequence[str]
    out: Path | None
    camera: str | None = None
    first_ms: int | None = None
    """``--start``"""
    kind: Kind = "auto"
    separate: bool = False
    """Each photo is a recording of its own."""
    max_width: int = 0
    append: bool = False
    give_up_s: float = 60.0
    for_s: float | None = None
    """So long a stream is watched."""
    wishes: Wishes = field(default_factory=Wishes)
    gates: Gates = field(default_factory=Gates)
    """Which plates count at which camera."""


@dataclass(slots=True)
class Tally:
    """What it came to."""

    recordings: int = 0
    frames: int = 0
    failed: int = 0
    interrupted: bool = False
    passages: list[Passage] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    """A line for each output."""

    @property
    def exit_code(self) -> int:
        return 130 if self.interrupted else 1 if self.failed else 0


def read_all(job: Job, settings: PipelineSettings, config: Config) -> Tally:
    """Reads all there is. SettingsError where the folder is not fit; Stop where models or disk are not."""
    tally = Tally()
    with Interrupt() as interrupt, RunShow() as show, _folder(job) as out:
        try:
            with interrupt.allowed():
                there = check_folder(out)
                times_in_names = job.first_ms is None
                found = find(job.names, job.camera, times_in_names, job.kind, job.separate)
                outputs_build.check(job.wishes, found.sources)
                _tell(found, config, show)
                tally.failed = len(found.faults)
                if not found.sources:
                    return tally
                show.begin(len(found.sources))
                models = build_inference(settings)
        except KeyboardInterrupt:
            tally.interrupted = True
            return tally
        if there and not job.append:
            show.say(f"the results of an earlier run in {out} are replaced")
        with closing(models):
            earlier = earlier_results(out) if job.append else None
            _Run(job, out, models, settings, config, earlier, tally, show, interrupt).read(found.sources)
    return tally


@contextmanager
def _folder(job: Job) -> Iterator[Path]:
    """Where the results go; for nobody to see, where no folder was named."""
    if job.out is not None:
        yield job.out
        return
    if job.append:
        raise SettingsError("--append continues the results of an earlier run: name their folder with --out")
    with tempfile.TemporaryDirectory(prefix="plateflow-") as folder:
        yield Path(folder, "results")


def _tell(found: Found, config: Config, show: RunShow) -> None:
    """What is wrong with the inputs, and how well the ground of their cameras is known."""
    for fault in found.faults:
        show.fault(fault.name, fault.reason)
    for note in found.notes:
        show.say(note, "yellow")
    cameras = sorted({source.camera for source in found.sources})
    if cameras and config.cameras and not config.cameras.keys() & cameras:
        show.say(f"the camera file knows none of these cameras: {', '.join(cameras)}", "yellow")
    for name in cameras:
        if ground := config.camera(name).ground:
            fit = f"{ground.inliers} of {ground.pairs} point pairs, rms error {ground.rms:g} plan units"
            show.say(f"{name}: ground plane from {fit}")


@dataclass(slots=True)
class _Run:
    """One run, once its models are loaded."""

    job: Job
    out: Path
    models: Inference
    settings: PipelineSettings
    config: Config
    earlier: Earlier | None
    tally: Tally
    show: RunShow
    interrupt: Interrupt
    window: Window | None = None

    def read(self, sources: Sequence[Source]) -> None:
        self.window = self._window()
        with closing(Folder(self.out, self.config, self.earlier)) as folder:
            with writable(self.out):
                outputs = self._outputs(len(sources))
            reader = self._reader(folder, outputs)
            try:
                for source in sources:
                    reader.read(source)
                    if self._stopped():
                        raise KeyboardInterrupt
            except KeyboardInterrupt:
                self.tally.interrupted = True
                self.show.say("stopped: what was read before is kept", "yellow")
            finally:
                with writable(self.out):
                    self.tally.written += outputs.close().splitlines()
        if self.job.out is not None:
            for camera, label in reader.seen:
                self.show.last(f"drawing the heatmap of {camera}")
                draw(self.out, camera, label, reader.scenes[camera])
        if self.window is not None:
            if not self.window.closed and not self.interrupt.asked:
                self.show.say("done: press q in the window to close it")
                self.window.wait(lambda: self.interrupt.asked)
            self.window.destroy()

    def _stopped(self) -> bool:
        return self.interrupt.asked or (self.window is not None and self.window.closed)

    def _window(self) -> Window | None:
        if not self.job.wishes.show:
            return None
        try:
            return Window("plateflow")
        except NoDisplay as error:
            self.show.say(f"--show is off: {error}", "yellow")
            return None

    def _outputs(self, inputs: int) -> Outputs:
        say, recogniser = self.show.event, self.models.recogniser
        return outputs_build.build(
            self.job.wishes,
            recogniser,
            self.settings.crop_margin,
            self.config,
            inputs,
            self.job.append,
            say,
            self.window,
            lambda: self.interrupt.count,
        )

    def _reader(self, folder: Folder, outputs: Outputs) -> Reader:
        ends = self.earlier.ends_ms if self.earlier is not None else None
        starts = Starts(self.job.first_ms or 0, ends)
        return Reader(
            self.job, self.models, self.settings.sample_fps, self.settings.sample_nth, folder, outputs, starts,
            self.earlier or Earlier(), self.tally, self.show, self.interrupt, self._stopped,
        )  # fmt: skip


def draw(out: Path, camera: str, label: str, scene: bytes) -> None:
    """The heatmaps of a camera from the Parquet in ``out``, one picture for each plane that it has; ``scene``: a JPEG
    of what it sees."""
    from services.aggregator import picture  # not before it is needed: matplotlib takes a second

    planes: tuple[picture.Plane, ...] = ("image", "ground")
    for plane in planes:
        try:
            heatmap = picture.load(out, camera, plane=plane, label=label)
        except picture.NothingToDraw:
            continue
        over = decoded(scene) if plane == "image" else None
        if over is not None and over.shape[:2] != (round(heatmap.height), round(heatmap.width)):
            over = None  # of another size than the frames of the newest hour
        with writable(out):
            picture.draw_heatmap(heatmap, picture_path(out, camera, plane, label), background=over)

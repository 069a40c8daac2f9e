"""Recording after recording through the pipeline into the folder: what `plateflow run` does with its inputs.

In: a `Job`, the settings. Out: a `Tally`, and the folder of `services.cli.outputs`. One input that cannot be read is
named and counted; the rest is read. Ctrl+C gives up the recording at hand; all before it is kept and closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from services.aggregator.core.config import Config
from services.cli.background import Picture, first_frame
from services.cli.inputs import Found, Source, Starts, find
from services.cli.interrupt import Interrupt
from services.cli.outputs import Outputs, check_folder, picture_path, writable
from services.cli.run_show import RunShow
from services.contracts.identity import clip_id, recording_id
from services.contracts.messages import Clip, Passage
from services.inference.build import Inference, build_inference
from services.inference.settings import PipelineSettings
from services.runtime.errors import Reject

RESULTS = 1
"""Version of the results: a folder holds one."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to read and where to."""

    names: Sequence[str]
    out: Path
    camera: str | None
    first_ms: int | None
    """``--start``"""


@dataclass(slots=True)
class Tally:
    """What it came to."""

    recordings: int = 0
    frames: int = 0
    failed: int = 0
    interrupted: bool = False
    passages: list[Passage] = field(default_factory=list)
    videos: dict[str, Path] = field(default_factory=dict)
    """Per camera with a passage, a video that shows what it looks at."""

    @property
    def exit_code(self) -> int:
        return 130 if self.interrupted else 1 if self.failed else 0


def read_all(job: Job, settings: PipelineSettings, config: Config) -> Tally:
    """Reads all there is. SettingsError where the folder is not fit; Stop where models or disk are not."""
    tally = Tally()
    with Interrupt() as interrupt, RunShow() as show:
        try:
            with interrupt.allowed():
                earlier = check_folder(job.out)
                found = find(job.names, job.camera, times_in_names=job.first_ms is None)
                _tell(found, config, show)
                tally.failed = len(found.faults)
                if not found.sources:
                    return tally
                show.begin(len(found.sources))
                models = build_inference(settings)
        except KeyboardInterrupt:
            tally.interrupted = True
            return tally
        if earlier:
            show.say(f"the results of an earlier run in {job.out} are replaced")
        with closing(models):
            _read(job, found.sources, models, config, tally, show, interrupt)
    return tally


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


def _read(
    job: Job,
    sources: Sequence[Source],
    models: Inference,
    config: Config,
    tally: Tally,
    show: RunShow,
    interrupt: Interrupt,
) -> None:
    starts = Starts(job.first_ms or 0)
    with closing(Outputs(job.out, config)) as outputs:
        reader = _Reader(models, outputs, starts, tally, show)
        for source in sources:
            try:
                reader.read(source, interrupt)
            except KeyboardInterrupt:
                tally.interrupted = True
                show.say("stopped: what was read before is kept", "yellow")
                break
    for camera, video in tally.videos.items():
        show.last(f"drawing the heatmap of {camera}")
        draw(job.out, camera, _background(models, video))


@dataclass(frozen=True, slots=True)
class _Reader:
    models: Inference
    outputs: Outputs
    starts: Starts
    tally: Tally
    show: RunShow

    def read(self, source: Source, interrupt: Interrupt) -> None:
        """One recording. Raises KeyboardInterrupt, while nothing of it is written."""
        self.show.start(source.path.name)
        start_ms = self.starts.of(source)
        try:
            with interrupt.allowed():
                result = self.models.pipeline.process(source.path, start_ms, self.show.progress)
        except (Reject, OSError) as error:
            self.tally.failed += 1
            self.show.fail(str(source.path), error.detail if isinstance(error, Reject) else _gone(source.path))
            return
        self.starts.ended(source, start_ms + result.duration_ms)
        passages = self.outputs.add(_clip(source, start_ms), result, self.models.models)
        self._count(source, result.frames, passages)
        self.show.finish(str(source.path), result.frames, len(passages), result.note)

    def _count(self, source: Source, frames: int, passages: list[Passage]) -> None:
        self.tally.recordings += 1
        self.tally.frames += frames
        self.tally.passages += passages
        if passages:
            self.tally.videos.setdefault(source.camera, source.path)


def _clip(source: Source, start_ms: int) -> Clip:
    """The recording as a clip message; size and digest stay out, since nobody fetches it."""
    recording = recording_id(source.key)
    return Clip(
        id=clip_id(RESULTS, recording),
        results=RESULTS,
        recording_id=recording,
        camera=source.camera,
        key=source.key,
        source="local",
        start_ms=start_ms,
        path=str(source.path),
        size=0,
        sha256="",
    )


def _gone(path: Path) -> str:
    return "it was removed meanwhile" if not path.exists() else "it is no file, or may not be read"


def _background(models: Inference, video: Path) -> Picture | None:
    """A picture of what the camera sees; none where the video has gone meanwhile."""
    try:
        return first_frame(models.decoder, video)
    except (Reject, OSError):
        return None


def draw(out: Path, camera: str, background: Picture | None) -> None:
    """The heatmaps of a camera from the Parquet in ``out``, one picture for each plane that it has."""
    from services.aggregator import picture  # not before it is needed: matplotlib takes a second

    planes: tuple[picture.Plane, ...] = ("image", "ground")
    for plane in planes:
        try:
            heatmap = picture.load(out, camera, plane=plane)
        except picture.NothingToDraw:
            continue
        over = background if plane == "image" else None
        with writable(out):
            picture.draw_heatmap(heatmap, picture_path(out, camera, plane), background=over)

"""The whole of the aggregator as a function: (state of a camera, a `Track` message, its configuration) ->
what comes of it.

Rules that hold here
- Handled again from the same state, a message gives the same sightings, passages and cells (rule 3).
- A track waits until all its parts are there, then gives its sightings and its one passage.
- Tracks of another run of a known recording are dropped: `admit` asks the ledger (rule 4).
- A recording that starts more than the horizon behind its camera's newest knows only itself (rule 6).

`replay` runs all of it over a log of tracks: what a disturbed system must come to as well.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass, field

import msgspec
import numpy as np

from services.aggregator.core import grid, homography, passages
from services.aggregator.core.config import Camera, Config, Ground, Options
from services.aggregator.core.dedup import Dedup, Published
from services.aggregator.core.grid import Cells, Layer
from services.aggregator.core.passages import Open, OpenPassages
from services.contracts import identity
from services.contracts.messages import GroundPosition, Observation, Passage, Plate, Run, Track

LATE_KEPT = 16
"""Recordings behind the horizon that are remembered per camera, so that their tracks know each other."""
WAITING_KEPT = 64
"""Incomplete tracks that are kept per camera; the oldest gives way."""


class WorldState(msgspec.Struct):
    """Plain data of a `World`."""

    plates: dict[str, Published] = {}
    passages: dict[str, list[Open]] = {}


class World:
    """What is known of one camera's recordings that can touch each other."""

    def __init__(self, state: WorldState | None = None) -> None:
        self.dedup = Dedup(state.plates if state else None)
        self.passages = OpenPassages(state.passages if state else None)

    def snapshot(self) -> WorldState:
        return WorldState(self.dedup.snapshot(), self.passages.snapshot())


class Snapshot(msgspec.Struct):
    """Plain data of a `CameraState`."""

    newest_ms: int | None = None
    pruned_ms: int | None = None
    recent: WorldState = msgspec.field(default_factory=WorldState)
    late: dict[str, WorldState] = {}
    waiting: dict[str, list[Track]] = {}


class CameraState:
    """All that decides about the next track of a camera, in one results version."""

    def __init__(self, snapshot: Snapshot | None = None) -> None:
        given = snapshot or Snapshot()
        self.newest_ms = given.newest_ms
        self.pruned_ms = given.pruned_ms
        self.recent = World(given.recent)
        self.late = {recording: World(world) for recording, world in given.late.items()}
        self.waiting = {track: list(parts) for track, parts in given.waiting.items()}

    def snapshot(self) -> Snapshot:
        return Snapshot(
            self.newest_ms,
            self.pruned_ms,
            self.recent.snapshot(),
            {recording: world.snapshot() for recording, world in self.late.items()},
            {track: list(parts) for track, parts in self.waiting.items()},
        )

    def world_of(self, track: Track, options: Options) -> World:
        """Where the recording belongs: with the recent ones, or alone because it comes late."""
        start = track.start_ms
        if self.newest_ms is None or start > self.newest_ms:
            self.newest_ms = start
            self._prune(start, options)
        if start >= self.newest_ms - options.horizon_ms:
            return self.recent
        world = self.late.pop(track.recording_id, None) or World()
        self.late[track.recording_id] = world
        if len(self.late) > LATE_KEPT:
            del self.late[next(iter(self.late))]
        return world

    def _prune(self, newest_ms: int, options: Options) -> None:
        """Now and then, not each time: state stays within one and a quarter horizons."""
        if self.pruned_ms is not None and newest_ms - self.pruned_ms < options.horizon_ms // 4:
            return
        self.pruned_ms = newest_ms
        behind = newest_ms - options.horizon_ms
        self.recent.dedup.prune(behind - max(options.window_ms, options.stationary_ms))
        self.recent.passages.prune(behind - options.gap_ms)

    def whole(self, part: Track) -> list[Track] | None:
        """All parts of the track in order, once the last of them is here."""
        if part.of == 1:
            return [part]
        name = identity.track_id(part.results, part.recording_id, part.track)
        parts = [known for known in self.waiting.pop(name, []) if known.part != part.part]
        parts.append(part)
        if len(parts) >= part.of:
            return sorted(parts, key=lambda known: known.part)
        self.waiting[name] = parts
        return None

    def give_up(self) -> Track | None:
        """The first part of the incomplete track that waits longest, if too many do."""
        if len(self.waiting) <= WAITING_KEPT:
            return None
        return self.waiting.pop(next(iter(self.waiting)))[0]


@dataclass(slots=True)
class Result:
    """What one track leads to."""

    plates: list[Plate] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    cells: dict[tuple[Layer, int], Cells] = field(default_factory=dict)
    """Increments per layer and hour (its start, ms)."""
    off_plan: dict[int, int] = field(default_factory=dict)
    """Sightings beyond the horizon or off the plan, per hour; only of cameras with a homography."""
    ground: Layer | None = None
    near: int = 0
    """Observations suppressed because a sighting is near in time."""
    resting: int = 0
    """Observations suppressed by the stationary rule."""
    given_up: Track | None = None
    """A part of an incomplete track that gave way to another."""
    late: bool = False
    """Its recording starts more than the horizon behind its camera's newest."""


def admit(ledger: MutableMapping[str, Run], track: Track) -> bool:
    """Does the track belong to the run that counts? The first run of a recording is written into the ledger."""
    return ledger.setdefault(track.recording_id, track.run) == track.run


def apply(state: CameraState, track: Track, camera: Camera, options: Options) -> Result:
    """Takes a track that the ledger admits into the state, and says what comes of it."""
    world = state.world_of(track, options)
    parts = state.whole(track)
    if parts is None:
        return Result(given_up=state.give_up())
    observations = [observation for part in parts for observation in part.observations]
    if not observations:
        return Result()
    observations.sort(key=_time)
    result = _Reckoning(parts[0], observations, world, camera, options).result()
    result.late = world is not state.recent
    return result


def _time(observation: Observation) -> int:
    return observation.time_ms


class _Reckoning:
    """One whole track on its way through the rules."""

    def __init__(
        self, track: Track, observations: list[Observation], world: World, camera: Camera, options: Options
    ) -> None:
        self.track, self.observations, self.world = track, observations, world
        self.camera, self.options = camera, options
        self.times = [observation.time_ms for observation in observations]
        self.boxes = [observation.box for observation in observations]
        boxes = np.array(self.boxes, dtype=np.float64)  # (n, 4): x, y, width, height
        self.x = homography.rounded(boxes[:, 0] + boxes[:, 2] * 0.5)
        self.y = homography.rounded(boxes[:, 1] + boxes[:, 3] * 0.5)
        self.centers = list(zip(self.x.tolist(), self.y.tolist(), strict=True))
        self.passage_id = identity.passage_id(track.results, track.recording_id, track.track)
        self.track_id = identity.track_id(track.results, track.recording_id, track.track)
        ground = camera.ground
        self.on_plan: list[bool] = []
        if ground is not None:
            self.gx, self.gy, self.on = homography.ground_points(ground, boxes, track.frame_width, track.frame_height)
            self.plan = list(zip(self.gx.tolist(), self.gy.tolist(), strict=True))
            self.on_plan = self.on.tolist()

    def result(self) -> Result:
        options = self.options
        text = self.track.reading.text or self.track_id  # what is not read is like nothing but itself
        chosen, resting = self.world.dedup.select(text, self.times, self.centers, options)
        opened = Open(self.passage_id, self.times[0], self.times[-1])
        continues = self.world.passages.link(text, opened, options.gap_ms)
        result = Result(
            [self._plate(index) for index in chosen],
            [self._passage(len(chosen), continues)],
            near=len(self.times) - len(chosen) - resting,
            resting=resting,
        )
        self._image(result, chosen, continues is None)
        if self.camera.ground is not None:
            self._ground(result, self.camera.ground, chosen, continues is None)
        return result

    def _image(self, result: Result, chosen: list[int], vehicle: bool) -> None:
        track, k = self.track, self.camera.cell
        cells = grid.image_cells(self.x, self.y, track.frame_width, track.frame_height, k)
        hours = grid.tally(self.times, cells, chosen, vehicle, self.options.dwell_cap_ms)
        layer = grid.image_layer(track, k)
        result.cells.update(((layer, hour), added) for hour, added in hours.items())

    def _ground(self, result: Result, ground: Ground, chosen: list[int], vehicle: bool) -> None:
        cells = grid.ground_cells(self.gx, self.gy, self.on, ground.cell)
        hours = grid.tally(self.times, cells, chosen, vehicle, self.options.dwell_cap_ms)
        result.ground = grid.ground_layer(ground.version, ground.cell, self.track.label)
        result.cells.update(((result.ground, hour), added) for hour, added in hours.items())
        for index in chosen:
            if not self.on_plan[index]:
                hour = self.times[index] - self.times[index] % grid.HOUR_MS
                result.off_plan[hour] = result.off_plan.get(hour, 0) + 1

    def _plate(self, index: int) -> Plate:
        track, observation, reading = self.track, self.observations[index], self.track.reading
        ground = self.camera.ground
        on = ground is not None and self.on_plan[index]
        return Plate(
            id=identity.plate_id(track.results, track.recording_id, track.track, observation.time_ms),
            trace_id=track.trace_id,
            results=track.results,
            recording_id=track.recording_id,
            camera=track.camera,
            key=track.key,
            run=track.run,
            track_id=self.track_id,
            passage_id=self.passage_id,
            time_ms=observation.time_ms,
            plate=reading.text,
            raw=reading.raw,
            confidence=reading.confidence,
            box=observation.box,
            center=self.centers[index],
            frame_width=track.frame_width,
            frame_height=track.frame_height,
            detection=observation.detection,
            ground=GroundPosition(*self.plan[index], ground.version) if ground is not None and on else None,
            off_plan=ground is not None and not on,
            label=track.label,
            best=track.best,
            country=reading.country,
        )

    def _passage(self, sightings: int, continues: str | None) -> Passage:
        track, reading = self.track, self.track.reading
        heading, speed = self._motion()
        return Passage(
            id=self.passage_id,
            trace_id=track.trace_id,
            results=track.results,
            recording_id=track.recording_id,
            camera=track.camera,
            key=track.key,
            run=track.run,
            track_id=self.track_id,
            plate=reading.text,
            raw=reading.raw,
            confidence=reading.confidence,
            confidences=reading.confidences,
            first_seen_ms=self.times[0],
            last_seen_ms=self.times[-1],
            observations=len(self.times),
            sightings=sightings,
            first_box=self.boxes[0],
            last_box=self.boxes[-1],
            direction=passages.direction(self.boxes),
            heading_deg=heading,
            speed_mps=speed,
            continues=continues,
            label=track.label,
            best=track.best,
            country=reading.country,
        )

    def _motion(self) -> tuple[float | None, float | None]:
        """Heading and speed on the plan, between the mean of the first and of the last few points on it."""
        ground = self.camera.ground
        on = [index for index, is_on in enumerate(self.on_plan) if is_on]
        if ground is None or len(on) < 2:
            return None, None
        n = min(passages.ENDS, len(on) // 2)
        first, start_ms = self._mean_point(on[:n])
        last, end_ms = self._mean_point(on[-n:])
        heading = passages.heading_deg(first, last) if passages.moved(self.boxes) else None
        return heading, passages.speed_mps(first, last, end_ms - start_ms, ground.metres_per_unit)

    def _mean_point(self, indices: list[int]) -> tuple[tuple[float, float], float]:
        n = len(indices)
        x = sum(self.plan[index][0] for index in indices) / n
        y = sum(self.plan[index][1] for index in indices) / n
        return (x, y), sum(self.times[index] for index in indices) / n


@dataclass(slots=True)
class Outcome:
    """What a whole log of tracks leads to."""

    plates: list[Plate] = field(default_factory=list)
    passages: list[Passage] = field(default_factory=list)
    cells: dict[tuple[int, str, Layer, int], Cells] = field(default_factory=dict)
    """Per results version, camera, layer and hour (its start, ms)."""
    off_plan: int = 0
    dropped: int = 0
    """Tracks of another run of a known recording."""


def replay(tracks: Iterable[Track], config: Config) -> Outcome:
    """The reference: tracks in the order of the log (of each partition) to all that must come of them."""
    states: dict[tuple[int, str], CameraState] = {}
    ledgers: dict[tuple[int, str], dict[str, Run]] = {}
    outcome = Outcome()
    for track in tracks:
        name = (track.results, track.camera)
        if not admit(ledgers.setdefault(name, {}), track):
            outcome.dropped += 1
            continue
        state = states.setdefault(name, CameraState())
        result = apply(state, track, config.camera(track.camera), config.options)
        outcome.plates += result.plates
        outcome.passages += result.passages
        outcome.off_plan += sum(result.off_plan.values())
        for (layer, hour), cells in result.cells.items():
            grid.add(outcome.cells.setdefault((*name, layer, hour), {}), cells)
    return outcome

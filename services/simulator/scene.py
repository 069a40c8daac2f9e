"""What a made-up scene is: cameras, vehicles on their way, recordings, and the truth about what is to be seen. Pure.

`services.simulator.traffic` makes up recordings, `services.simulator.frames` paints them.

Rules
- A camera's plan is in metres: x to the right from the plan's left edge, y *down* the plan towards the camera.
- Point pairs for the homography lie at the height of the plates' middles, so the centre of a plate's box projects to
  where the plate is.
- Times are integer milliseconds of event time: start of the recording + PTS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from services.contracts.kerberos import Generation
from services.simulator import vehicles
from services.simulator.backdrop import Light, Place
from services.simulator.geometry import Array, Pinhole, apply

PLAN_SIZE_M = (14.0, 34.0)
"""Width and length of every camera's plan; its lower edge runs through the camera's foot."""
READABLE_PX = 56.0
"""From this width on a plate that is whole in the picture must be read; narrower ones may be."""


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of the demo. ``name`` is what the agent puts into file names."""

    name: str
    view: Pinhole
    place: Place
    light: Light
    fps: float
    naming: Generation
    """Whose file names it writes."""
    codec: str = "h264"
    fragmented: bool = False
    calibrated: bool = True
    jitter_ms: int = 0
    """Frames come up to so many milliseconds late: a variable frame rate."""

    def plan(self, world: Array) -> Array:
        """World (N, 2) to plan metres."""
        return np.column_stack([world[:, 0] + PLAN_SIZE_M[0] / 2, PLAN_SIZE_M[1] - world[:, 1]])

    def pairs(self) -> list[tuple[tuple[float, float], tuple[float, float]]]:
        """Eight pixels with the plan points they show, at the height of the plates."""
        world = np.array([(x, y) for y in (9.0, 13.0, 20.0, 32.0) for x in (-2.6, 2.6)])
        points = np.column_stack([world, np.full(len(world), vehicles.PLATE_HEIGHT_M)])
        pixels, _ = self.view.project(points)
        rounded = zip(np.round(pixels, 2), np.round(self.plan(world), 3), strict=True)
        return [((float(p[0]), float(p[1])), (float(q[0]), float(q[1]))) for p, q in rounded]

    def ground(self, pixels: Array) -> Array:
        """Plan positions (N, 2) of plates seen at ``pixels`` (N, 2)."""
        return self.plan(apply(self.view.homography(vehicles.PLATE_HEIGHT_M), pixels))


@dataclass(frozen=True, slots=True)
class Vehicle:
    """A car on its way: where its shown plate is at ``at_ms`` of event time, and how it moves."""

    plate: str
    body: str
    colour: tuple[int, int, int]
    x_m: float
    y_m: float
    speed_mps: float
    """Along the road; approaching cars come towards the camera at this speed."""
    approaching: bool
    at_ms: int
    seed: int
    drift_mps: float = 0.0
    """Across the road."""

    def plate_at(self, time_ms: float) -> tuple[float, float]:
        """World (x, y) of the middle of the plate that the camera can see."""
        passed = (time_ms - self.at_ms) / 1000.0
        along = -self.speed_mps if self.approaching else self.speed_mps
        return self.x_m + self.drift_mps * passed, self.y_m + along * passed


@dataclass(frozen=True, slots=True)
class Recording:
    """One clip to be: camera, start, frame times and who drives through."""

    camera: Camera
    start_ms: int
    frame_ms: tuple[int, ...]
    """PTS of each frame in milliseconds, from 0."""
    duration_ms: int
    vehicles: tuple[Vehicle, ...]
    seed: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A plate that is whole in the picture, in one frame."""

    time_ms: int
    frame: int
    box: tuple[float, float, float, float]
    ground: tuple[float, float]
    """Plan metres."""


@dataclass(frozen=True, slots=True)
class PassageTruth:
    """One vehicle in one recording: what a perfect reader reports."""

    plate: str
    first_ms: int
    last_ms: int
    readable_first_ms: int
    readable_last_ms: int
    direction: str
    speed_mps: float
    continues: bool
    """The vehicle was in the camera's recording just before, too."""
    seen: tuple[Seen, ...] = field(repr=False, default=())


def see(recording: Recording, vehicle: Vehicle) -> tuple[Seen, ...]:
    """Every frame in which the vehicle's plate is whole in the picture."""
    view = recording.camera.view
    seen = []
    for frame, pts in enumerate(recording.frame_ms):
        time_ms = recording.start_ms + pts
        x, y = vehicle.plate_at(time_ms)
        pixels, depths = view.project(_plate_in_world(vehicle, x, y))
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        whole = depths.min() > 1 and low.min() >= 0 and high[0] <= view.width and high[1] <= view.height
        if whole and high[0] - low[0] >= 12:
            box = tuple(round(float(value), 2) for value in (*low, *(high - low)))
            plan = recording.camera.plan(np.array([[x, y]]))[0]
            position = (round(float(plan[0]), 3), round(float(plan[1]), 3))
            seen.append(Seen(time_ms, frame, (box[0], box[1], box[2], box[3]), position))
    return tuple(seen)


def passages(recording: Recording, before: Recording | None = None) -> tuple[PassageTruth, ...]:
    """All passages of a recording; ``before`` is the camera's recording that ends where this one starts."""
    earlier = {vehicle.plate for vehicle in before.vehicles} if before and _adjacent(before, recording) else set()
    found = []
    for vehicle in recording.vehicles:
        seen = see(recording, vehicle)
        readable = [one for one in seen if one.box[2] >= READABLE_PX]
        if readable:
            found.append(PassageTruth(
                plate=vehicle.plate, first_ms=seen[0].time_ms, last_ms=seen[-1].time_ms,
                readable_first_ms=readable[0].time_ms, readable_last_ms=readable[-1].time_ms,
                direction="approaching" if vehicle.approaching else "receding",
                speed_mps=math.hypot(vehicle.speed_mps, vehicle.drift_mps),
                continues=vehicle.plate in earlier, seen=seen,
            ))  # fmt: skip
    return tuple(found)


def _adjacent(before: Recording, after: Recording) -> bool:
    return before.camera.name == after.camera.name and abs(before.start_ms + before.duration_ms - after.start_ms) < 2000


def _plate_in_world(vehicle: Vehicle, x: float, y: float) -> Array:
    half_w, half_h = vehicles.PLATE_SIZE_M[0] / 2, vehicles.PLATE_SIZE_M[1] / 2
    z = vehicles.PLATE_HEIGHT_M
    return np.array([[x + dx, y, z + dz] for dx, dz in
                     ((-half_w, half_h), (half_w, half_h), (half_w, -half_h), (-half_w, -half_h))])  # fmt: skip

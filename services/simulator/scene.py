"""Made-up cameras, their traffic and the truth about it. A seed in; recordings, frames and truth out. Pure.

Rules
- The same seed gives the same pictures and the same truth.
- A camera's plan is in metres: x to the right from the road's left edge of the plan, y *down* the plan towards the camera.
- Point pairs for the homography lie at the height of the plates' middles, so the centre of a plate's box projects to
  where the plate is.
- Times are integer milliseconds of event time: start of the recording + PTS.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from services.contracts.kerberos import Generation
from services.inference.training.plates import plate_text, render_plate
from services.simulator import vehicles
from services.simulator.backdrop import DAY, DUSK, OVERCAST, Light, Place, draw, glow
from services.simulator.geometry import Pinhole, apply
from services.simulator.raster import Array, Picture, Quads, paint

PLAN_SIZE_M = (16.0, 48.0)
"""Width and length of every camera's plan; its lower edge runs through the camera's foot."""
READABLE_PX = 56.0
"""From this width on a plate that is whole in the picture must be read; narrower ones may be."""
_SUPERSAMPLE = 2


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


def truth(recording: Recording, before: Recording | None = None) -> tuple[PassageTruth, ...]:
    """All passages of a recording; ``before`` is the camera's recording that ends where this one starts."""
    earlier = {vehicle.plate for vehicle in before.vehicles} if before and _adjacent(before, recording) else set()
    passages = []
    for vehicle in recording.vehicles:
        seen = see(recording, vehicle)
        readable = [one for one in seen if one.box[2] >= READABLE_PX]
        if readable:
            passages.append(PassageTruth(
                plate=vehicle.plate, first_ms=seen[0].time_ms, last_ms=seen[-1].time_ms,
                readable_first_ms=readable[0].time_ms, readable_last_ms=readable[-1].time_ms,
                direction="approaching" if vehicle.approaching else "receding",
                speed_mps=math.hypot(vehicle.speed_mps, vehicle.drift_mps),
                continues=vehicle.plate in earlier, seen=seen,
            ))  # fmt: skip
    return tuple(passages)


def _adjacent(before: Recording, after: Recording) -> bool:
    return before.camera.name == after.camera.name and abs(before.start_ms + before.duration_ms - after.start_ms) < 2000


def _plate_in_world(vehicle: Vehicle, x: float, y: float) -> Array:
    half_w, half_h = vehicles.PLATE_SIZE_M[0] / 2, vehicles.PLATE_SIZE_M[1] / 2
    z = vehicles.PLATE_HEIGHT_M
    return np.array([[x + dx, y, z + dz] for dx, dz in
                     ((-half_w, half_h), (half_w, half_h), (half_w, -half_h), (-half_w, -half_h))])  # fmt: skip


# ---- pictures -----------------------------------------------------------------------------------------------


def frames(recording: Recording) -> Iterator[Picture]:
    """The recording's frames, RGB (H, W, 3)."""
    camera = recording.camera
    rng = np.random.default_rng(recording.seed)
    still = backdrop(camera)
    sheet = rng.normal(0, camera.light.noise, (still.shape[0] + 256, still.shape[1] + 256, 1)).astype(np.int8)
    sheet = np.repeat(sheet, 3, axis=2)
    for pts in recording.frame_ms:
        picture = still.copy()
        time_ms = recording.start_ms + pts
        for vehicle in sorted(recording.vehicles, key=lambda one: -one.plate_at(time_ms)[1]):
            _drive(picture, camera, vehicle, *vehicle.plate_at(time_ms))
        row, column = (int(value) for value in rng.integers(0, 256, 2))
        noise = sheet[row : row + still.shape[0], column : column + still.shape[1]]
        yield np.asarray(cv2.add(picture, noise, dtype=cv2.CV_8U), dtype=np.uint8)


@functools.lru_cache(maxsize=8)
def backdrop(camera: Camera) -> Picture:
    """The camera's picture without traffic; do not write into it."""
    picture = draw(camera.view, camera.place, camera.light, seed=sum(camera.name.encode()))
    picture.flags.writeable = False
    return picture


def _drive(picture: Picture, camera: Camera, vehicle: Vehicle, x: float, y: float) -> None:
    """Paints one vehicle whose visible plate is at world (x, y)."""
    lights_on = camera.light.lamps
    model = vehicles.build(vehicle.body, vehicle.colour, lights_on, vehicle.seed)
    reach = model.body.front_y + 0.02 if vehicle.approaching else -(model.body.rear_y - 0.03)
    middle = np.array([x, y + reach, 0.0])
    if middle[1] < 3.0 or middle[1] > 90:
        return
    turn = vehicles.rotation(math.pi if vehicle.approaching else 0.0)
    plate = model.front_plate if vehicle.approaching else model.rear_plate
    faces = [*model.faces, *vehicles.plate_face(_plate_picture(vehicle.plate, vehicle.seed), plate)]
    quads = _project(camera, faces, turn, middle)
    if len(quads.textures):
        _shadow(picture, camera, (model.footprint @ turn.T + middle)[:, :2])
        _paint_supersampled(picture, quads)
        if lights_on:
            _lamps(picture, camera, vehicle, model, turn, middle)


def _project(camera: Camera, faces: list[vehicles.Face], turn: Array, middle: Array) -> Quads:
    """The faces as the camera sees them. The last two are the plate's holder and the plate."""
    corners = np.stack([face.corners for face in faces]) @ turn.T + middle
    pixels, depths = camera.view.project(corners.reshape(-1, 3))
    pixels, depths = pixels.reshape(-1, 4, 2), depths.reshape(-1, 4)
    distance = depths.mean(axis=1) - np.array([0.0] * (len(faces) - 2) + [1.5, 1.55])  # a plate is never hidden
    shade = _shade(corners, np.array(camera.light.sun)) * float(np.mean(camera.light.ground))
    shade[-2:] = float(np.mean(camera.light.ground)) ** 0.75  # plates throw light back
    ahead = np.flatnonzero(depths.min(axis=1) > 0.4)
    uv = np.stack([face.uv for face in faces])
    textures = [faces[index].texture for index in ahead]
    return Quads(textures, uv[ahead], pixels[ahead], distance[ahead], shade[ahead])


def _shade(corners: Array, sun: Array) -> Array:
    """How brightly the sun lights each face (N, 4, 3): Lambert's law over a floor of sky light."""
    first, second = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    normal = np.cross(second, first)
    length = np.linalg.norm(normal, axis=1) * np.linalg.norm(sun)
    return np.asarray(0.74 + 0.36 * np.clip(normal @ sun / np.maximum(length, 1e-9), 0, 1))


def _paint_supersampled(picture: Picture, quads: Quads) -> None:
    """Paints on a doubled copy of the region and shrinks it back, which smooths all edges."""
    every = quads.xy.reshape(-1, 2)
    low = np.maximum(np.floor(every.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(every.max(axis=0)).astype(int) + 3, (picture.shape[1], picture.shape[0]))
    if (high - low < 2).any():
        return
    region = picture[low[1] : high[1], low[0] : high[0]]
    size = (region.shape[1], region.shape[0])
    doubled = (size[0] * _SUPERSAMPLE, size[1] * _SUPERSAMPLE)
    canvas = cv2.resize(region, doubled, interpolation=cv2.INTER_LINEAR)
    mask = np.zeros(canvas.shape[:2], np.uint8)
    paint(canvas, mask, replace(quads, xy=(quads.xy - low) * _SUPERSAMPLE))
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    covered = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    cv2.copyTo(cv2.GaussianBlur(small, (3, 3), 0.55), covered, region)


def _shadow(picture: Picture, camera: Camera, footprint: Array) -> None:
    """Darkens the road under and beside a vehicle. ``footprint`` (4, 2) in world metres."""
    sun = camera.light.sun
    cast = footprint + np.array(sun[:2]) * (-0.55 / sun[2])
    for outline, strength in ((np.concatenate([footprint, cast]), camera.light.shadow), (footprint, 0.55)):
        pixels, depths = camera.view.project(np.column_stack([outline, np.zeros(len(outline))]))
        if depths.min() < 0.4:
            pixels, depths = pixels[depths > 0.4], depths[depths > 0.4]
        if len(pixels) >= 3:
            _darken(picture, cv2.convexHull(pixels.astype(np.float32))[:, 0], strength, float(depths.min()))


def _darken(picture: Picture, outline: Array, strength: float, distance: float) -> None:
    margin = int(np.clip(60 / distance, 2, 14))
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 2 * margin, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 2 * margin, (picture.shape[1], picture.shape[0]))
    if (high - low < 2).any():
        return
    region = picture[low[1] : high[1], low[0] : high[0]]
    keep = np.full(region.shape[:2], 255, np.uint8)
    cv2.fillConvexPoly(keep, np.round((outline - low) * 16).astype(np.int32), int(255 * (1 - strength)), shift=4)
    keep = cv2.blur(cv2.blur(keep, (margin, margin)), (margin, margin))
    cv2.multiply(region, cv2.cvtColor(keep, cv2.COLOR_GRAY2RGB), region, scale=1 / 255)


def _lamps(
    picture: Picture, camera: Camera, vehicle: Vehicle, model: vehicles.Model, turn: Array, middle: Array
) -> None:
    lamps, colour = (model.headlamps, (255, 246, 220)) if vehicle.approaching else (model.tail_lamps, (255, 40, 30))
    pixels, depths = camera.view.project(lamps @ turn.T + middle)
    for centre, depth in zip(pixels, depths, strict=True):
        if depth > 1:
            size = camera.view.focal_px / depth
            glow(picture, centre, 0.30 * size, colour, 0.45)
            glow(picture, centre, 0.09 * size, colour, 0.9)


@functools.lru_cache(maxsize=64)
def _plate_picture(text: str, seed: int) -> Picture:
    picture = render_plate(text, "ru_private", seed, height=112, wobble=0.6).image
    return np.ascontiguousarray(picture[:, :, ::-1])


# ---- the demo's cameras and traffic -------------------------------------------------------------------------

_HOUSES = ((-21.0, 44.0, 11.0, 9.0, 7.0), (9.0, 38.0, 9.0, 12.0, 6.5), (-12.5, 70.0, 9.0, 8.0, 9.5))
CAMERAS = (
    Camera(
        "gate_north", Pinhole(1280, 720, 1900, 3.2, 9.6, 1.5), Place(houses=_HOUSES, posts=((5.9, 30.0), (-5.9, 46.0))),
        DAY, 10.0, Generation.AGENT_MS, fragmented=True,
    ),
    Camera(
        "gate_south", Pinhole(1280, 720, 1950, 3.4, 10.0, -2.0, 0.4),
        Place(houses=((8.0, 30.0, 12.0, 10.0, 6.0), (-24.0, 52.0, 14.0, 9.0, 8.0)), posts=((-5.9, 27.0),), fence_x=-5.6),
        OVERCAST, 12.0, Generation.AGENT,
    ),
    Camera(
        "yard_west", Pinhole(1280, 720, 1800, 3.0, 9.6, 0.0),
        Place(slabs=True, centre_line=False, pavement=0.0, houses=((-16.0, 30.0, 11.0, 14.0, 5.0), (6.5, 26.0, 12.0, 9.0, 6.0)),
              posts=((5.0, 21.0),), fence_x=5.2),
        DUSK, 4.0, Generation.AGENT_MS, fragmented=True,
    ),
    Camera(
        "ring_road", Pinhole(1280, 720, 1850, 3.6, 10.4, 0.8, -0.3), Place(pavement=0.0, posts=((6.0, 34.0),), fence_x=6.2),
        DAY, 15.0, Generation.MACHINERY, codec="hevc", calibrated=False, jitter_ms=12,
    ),
)  # fmt: skip

COLOURS = {
    "white": (214, 216, 218), "silver": (160, 165, 170), "black": (38, 40, 44), "red": (158, 32, 34),
    "blue": (38, 66, 122), "green": (44, 82, 62), "grey": (92, 97, 103), "beige": (186, 172, 146), "orange": (196, 96, 32),
}  # fmt: skip
MORNING_MS = 1_781_593_200_000  # 2026-06-16T07:00:00Z


@dataclass(frozen=True, slots=True)
class Trip:
    """A planned passage: who is where at the start of the first recording, and in how many recordings it stays."""

    lane: int
    approaching: bool
    y_m: float
    speed_mps: float
    body: str
    colour: str
    drift_mps: float = 0.0


# Per camera: recordings as (seconds after the morning, length in s, trips that start there). A recording that starts
# exactly where the one before ends sees the same vehicles go on.
_APPROACH, _RECEDE = True, False
_TIMETABLE: dict[str, tuple[tuple[float, float, tuple[Trip, ...]], ...]] = {
    "gate_north": (
        (612.414, 4.0, (Trip(-1, _APPROACH, 30.0, 7.0, "sedan", "blue"),)),
        (3584.007, 3.5, (Trip(-1, _APPROACH, 28.0, 4.6, "suv", "red"),)),
        (3587.507, 3.5, (Trip(1, _APPROACH, 27.0, 6.4, "hatchback", "white"),)),
        (4210.0, 4.5, (Trip(-1, _APPROACH, 25.0, 5.6, "van", "beige"), Trip(1, _APPROACH, 29.0, 6.0, "sedan", "black"))),
    ),
    "gate_south": (
        (901.0, 4.0, (Trip(1, _RECEDE, 5.5, 5.5, "hatchback", "green"),)),
        (1500.0, 4.5, (Trip(1, _RECEDE, 5.0, 4.8, "suv", "grey"), Trip(-1, _RECEDE, 7.5, 5.4, "sedan", "silver"))),
        (2400.0, 3.0, ()),
    ),
    "yard_west": (
        (50_700.25, 5.0, (Trip(0, _APPROACH, 22.0, 3.4, "sedan", "orange", 0.10),)),
        (51_320.9, 5.0, (Trip(0, _RECEDE, 6.5, 3.0, "hatchback", "white", -0.08),)),
    ),
    "ring_road": (
        (1803.818, 4.0, (Trip(-1, _APPROACH, 30.0, 7.5, "sedan", "grey"), Trip(1, _RECEDE, 6.5, 6.0, "van", "white"))),
        (2745.002, 3.5, (Trip(-1, _APPROACH, 27.0, 7.0, "suv", "blue"),)),
    ),
}


def timetable(seed: int = 1, cameras: int = len(CAMERAS)) -> list[Recording]:
    """The demo's recordings: those of the first ``cameras`` cameras, in order of camera and time."""
    if not 1 <= cameras <= len(CAMERAS):
        raise ValueError(f"there are 1 to {len(CAMERAS)} cameras, not {cameras}")
    rng = np.random.default_rng(seed)
    recordings = []
    for camera in CAMERAS[:cameras]:
        recordings += _camera_day(camera, rng)
    return recordings


def _camera_day(camera: Camera, rng: np.random.Generator) -> list[Recording]:
    recordings: list[Recording] = []
    for after_s, length_s, trips in _TIMETABLE[camera.name]:
        start_ms = _start_ms(camera, after_s)
        going_on: tuple[Vehicle, ...] = ()
        if recordings and recordings[-1].start_ms + recordings[-1].duration_ms == start_ms:
            going_on = recordings[-1].vehicles
        coming = tuple(_vehicle(trip, start_ms, rng) for trip in trips)
        count = round(length_s * camera.fps)
        late = rng.integers(0, camera.jitter_ms + 1, count)
        late[0] = 0
        times = tuple(round(i * 1000 / camera.fps) + int(late[i]) for i in range(count))
        recordings.append(
            Recording(camera, start_ms, times, round(length_s * 1000), (*going_on, *coming), int(rng.integers(2**31)))
        )
    return recordings


def _start_ms(camera: Camera, after_s: float) -> int:
    """An old agent's file names know whole seconds only, so its recordings start there."""
    start_ms = MORNING_MS + round(after_s * 1000)
    return start_ms - start_ms % 1000 if camera.naming is Generation.AGENT else start_ms


def _vehicle(trip: Trip, start_ms: int, rng: np.random.Generator) -> Vehicle:
    speed = trip.speed_mps * float(rng.uniform(0.95, 1.05))
    return Vehicle(
        plate=plate_text("ru_private", rng).replace(" ", ""), body=trip.body, colour=COLOURS[trip.colour],
        x_m=trip.lane * 1.8 + float(rng.uniform(-0.2, 0.2)), y_m=trip.y_m, speed_mps=speed,
        approaching=trip.approaching, at_ms=start_ms, seed=int(rng.integers(2**31)), drift_mps=trip.drift_mps,
    )  # fmt: skip

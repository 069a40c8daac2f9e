"""The demo's cameras and who drives past them when. A seed in, recordings out. Pure.

Between them the cameras show what installations show: day, dusk and an overcast sky, cars that come and cars that go,
4, 8 and 10 frames a second and a variable rate, H.264 and H.265, all three generations of file names, whole and
fragmented MP4, a camera without calibration, a recording without any vehicle, and a vehicle that crosses the boundary
between two recordings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from services.contracts.kerberos import Generation
from services.inference.training.plates import plate_text
from services.simulator.backdrop import DAY, DUSK, OVERCAST, Place
from services.simulator.geometry import Pinhole
from services.simulator.scene import Camera, Recording, Vehicle

_HOUSES = ((-21.0, 44.0, 11.0, 9.0, 7.0), (9.0, 38.0, 9.0, 12.0, 6.5), (-12.5, 70.0, 9.0, 8.0, 9.5))
CAMERAS = (
    Camera(
        "gate_north", Pinhole(1280, 720, 1900, 3.2, 9.6, 1.5), Place(houses=_HOUSES, posts=((5.9, 30.0), (-5.9, 46.0))),
        DAY, 8.0, Generation.AGENT_MS, fragmented=True,
    ),
    Camera(
        "gate_south", Pinhole(1280, 720, 1950, 3.4, 10.0, -2.0, 0.4),
        Place(houses=((8.0, 30.0, 12.0, 10.0, 6.0), (-24.0, 52.0, 14.0, 9.0, 8.0)), posts=((-5.9, 27.0),),
              fence_x=-5.6),
        OVERCAST, 10.0, Generation.AGENT,
    ),
    Camera(
        "yard_west", Pinhole(1280, 720, 1800, 3.0, 9.6, 0.0),
        Place(slabs=True, centre_line=False, pavement=0.0,
              houses=((-16.0, 30.0, 11.0, 14.0, 5.0), (6.5, 26.0, 12.0, 9.0, 6.0)),
              posts=((5.0, 21.0),), fence_x=5.2),
        DUSK, 4.0, Generation.AGENT_MS, fragmented=True,
    ),
    Camera(
        "ring_road", Pinhole(1280, 720, 1850, 3.6, 10.4, 0.8, -0.3),
        Place(pavement=0.0, posts=((6.0, 34.0),), fence_x=6.2),
        DAY, 10.0, Generation.MACHINERY, codec="hevc", calibrated=False, jitter_ms=12,
    ),
)  # fmt: skip

COLOURS = {
    "white": (214, 216, 218), "silver": (160, 165, 170), "black": (38, 40, 44), "red": (158, 32, 34),
    "blue": (38, 66, 122), "green": (44, 82, 62), "grey": (92, 97, 103), "beige": (186, 172, 146),
    "orange": (196, 96, 32),
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
        (612.414, 3.5, (Trip(-1, _APPROACH, 28.0, 7.0, "sedan", "blue"),)),
        (3584.007, 3.0, (Trip(-1, _APPROACH, 27.0, 4.6, "suv", "red"),)),
        (3587.007, 3.0, (Trip(1, _APPROACH, 27.0, 6.4, "hatchback", "white"),)),
        (4060.0, 4.0, (Trip(-1, _APPROACH, 25.0, 5.6, "van", "beige"),
                       Trip(1, _APPROACH, 29.0, 6.0, "sedan", "black"))),
    ),
    "gate_south": (
        (901.0, 3.5, (Trip(1, _RECEDE, 5.5, 5.5, "hatchback", "green"),)),
        (1500.0, 4.0, (Trip(1, _RECEDE, 5.0, 4.8, "suv", "grey"), Trip(-1, _RECEDE, 7.5, 5.4, "sedan", "silver"))),
        (2400.0, 2.5, ()),
    ),
    "yard_west": (
        (50_700.25, 4.5, (Trip(0, _APPROACH, 21.0, 3.4, "sedan", "orange", 0.10),)),
        (51_320.9, 4.5, (Trip(0, _RECEDE, 6.5, 3.0, "hatchback", "white", -0.08),)),
    ),
    "ring_road": (
        (1803.818, 3.5, (Trip(-1, _APPROACH, 30.0, 7.5, "sedan", "grey"), Trip(1, _RECEDE, 6.5, 6.0, "van", "white"))),
        (2745.002, 3.0, (Trip(-1, _APPROACH, 27.0, 7.0, "suv", "blue"),)),
    ),
}  # fmt: skip


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

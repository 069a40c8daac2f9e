"""Cars as lofted bodies with painted faces. Body type and colour in, textured faces in the vehicle's frame out. Pure.

Vehicle frame: x to its right, y forward, z up, origin on the ground under its middle. The body is a profile (bumper,
bonnet, windscreen, roof, ...) swept across its width, bulging in the middle; its sides are cut from the profile.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from services.simulator.carpaint import PaintJob, paint_job
from services.simulator.raster import Array, Picture, Texture

PLATE_SIZE_M = (0.52, 0.1133)
"""Plates of 520 x 112 mm with a hair of margin: European and Russian form."""
PLATE_HEIGHT_M = 0.52
"""Height of the middle of every plate over the road."""
_ACROSS = 6  # strips across the width of a bulging face


@dataclass(frozen=True, slots=True)
class Body:
    """A body type: profile vertices (y, z, half width, bulge) from the front bumper over the roof to the rear."""

    name: str
    profile: tuple[tuple[float, float, float, float], ...]
    wheels: tuple[float, float, float]
    """y of the front and of the rear axle, and the radius."""

    @property
    def front_y(self) -> float:
        return max(y for y, *_ in self.profile)

    @property
    def rear_y(self) -> float:
        return min(y for y, *_ in self.profile)


# Vertices in order: bumper foot, bumper, grille top, bonnet edge | windscreen foot, roof front, roof rear,
# rear window foot | boot edge, boot top, bumper, bumper foot. `FRONT`, `REAR` etc. below index the faces between them.
SEDAN = Body(
    "sedan",
    (
        (2.12, 0.20, 0.80, 0.22), (2.25, 0.42, 0.87, 0.26), (2.22, 0.64, 0.88, 0.28), (1.98, 0.84, 0.87, 0.26),
        (1.02, 0.98, 0.86, 0.10), (0.28, 1.42, 0.64, 0.05), (-0.85, 1.44, 0.64, -0.04), (-1.55, 1.08, 0.82, -0.06),
        (-2.12, 1.03, 0.86, -0.14), (-2.24, 0.78, 0.88, -0.18), (-2.26, 0.45, 0.87, -0.18), (-2.15, 0.22, 0.80, -0.15),
    ),
    (1.38, -1.36, 0.32),
)  # fmt: skip
HATCHBACK = Body(
    "hatchback",
    (
        (1.92, 0.20, 0.79, 0.24), (2.03, 0.42, 0.85, 0.28), (2.00, 0.66, 0.86, 0.30), (1.76, 0.88, 0.85, 0.28),
        (1.02, 1.02, 0.85, 0.10), (0.30, 1.50, 0.66, 0.05), (-1.45, 1.50, 0.66, -0.05), (-1.88, 1.06, 0.82, -0.10),
        (-1.95, 0.98, 0.85, -0.12), (-2.00, 0.76, 0.86, -0.14), (-2.04, 0.45, 0.86, -0.14), (-1.95, 0.22, 0.79, -0.12),
    ),
    (1.22, -1.22, 0.32),
)  # fmt: skip
SUV = Body(
    "suv",
    (
        (2.18, 0.26, 0.85, 0.18), (2.28, 0.50, 0.92, 0.20), (2.26, 0.76, 0.93, 0.22), (2.08, 1.02, 0.92, 0.20),
        (1.05, 1.16, 0.91, 0.08), (0.40, 1.68, 0.72, 0.05), (-1.75, 1.70, 0.72, -0.04), (-2.15, 1.20, 0.88, -0.08),
        (-2.22, 1.10, 0.91, -0.09), (-2.26, 0.84, 0.92, -0.10), (-2.30, 0.50, 0.92, -0.11), (-2.20, 0.27, 0.85, -0.10),
    ),
    (1.40, -1.38, 0.37),
)  # fmt: skip
VAN = Body(
    "van",
    (
        (2.38, 0.24, 0.86, 0.16), (2.48, 0.48, 0.93, 0.18), (2.46, 0.74, 0.94, 0.20), (2.30, 1.02, 0.93, 0.18),
        (1.75, 1.20, 0.92, 0.10), (1.05, 1.92, 0.80, 0.06), (-2.38, 1.98, 0.82, -0.02), (-2.46, 1.22, 0.91, -0.03),
        (-2.47, 1.12, 0.92, -0.04), (-2.48, 0.86, 0.93, -0.05), (-2.50, 0.50, 0.93, -0.06), (-2.42, 0.27, 0.87, -0.06),
    ),
    (1.62, -1.45, 0.34),
)  # fmt: skip
BODIES = {body.name: body for body in (SEDAN, HATCHBACK, SUV, VAN)}

FRONT, BONNET, WINDSCREEN, ROOF, REAR_WINDOW, BOOT, REAR = (0, 3), (3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 11)


@dataclass(frozen=True, slots=True)
class Face:
    """One textured quad in the vehicle frame: corners clockwise from top left, as somebody outside sees it."""

    texture: Texture
    uv: Array  # (4, 2)
    corners: Array  # (4, 3)


@dataclass(frozen=True, slots=True)
class Model:
    """A car ready to be placed: its faces, the corners of both plates, its lamps and its outline on the ground."""

    body: Body
    paint: PaintJob
    faces: tuple[Face, ...]
    front_plate: Array  # (4, 3)
    rear_plate: Array
    headlamps: Array  # (2, 3)
    tail_lamps: Array
    footprint: Array  # (4, 3)


@functools.lru_cache(maxsize=64)
def build(body_name: str, colour: tuple[int, int, int], lights_on: bool, seed: int) -> Model:
    """The model of a car, without its plate's picture. Deterministic."""
    body = BODIES[body_name]
    width = body.profile[1][2]
    z_low, z_high = body.profile[0][1], body.profile[3][1]
    paint = paint_job(body_name, colour, (width * 2, z_high - z_low), body.wheels, lights_on, seed)
    faces = [*_swept(body, paint), *_sides(body, paint), *_tyres(body, paint)]
    front, rear = body.front_y, body.rear_y
    lamp_z = 0.5 * (body.profile[2][1] + body.profile[3][1]) - 0.02
    lamps = np.array([[-width * 0.74, 0, lamp_z], [width * 0.74, 0, lamp_z]])
    return Model(
        body=body,
        paint=paint,
        faces=tuple(faces),
        front_plate=plate_corners(front + 0.02, facing=1),
        rear_plate=plate_corners(rear - 0.03, facing=-1),
        headlamps=lamps + np.array([0, front - 0.14, 0]),
        tail_lamps=lamps + np.array([0, rear + 0.08, 0.06]),
        footprint=np.array([[-width, front, 0], [width, front, 0], [width, rear, 0], [-width, rear, 0]]),
    )


def plate_corners(y_m: float, facing: int, grow_m: float = 0.0) -> Array:
    """Corners (4, 3) of an upright plate in the plane ``y_m``, facing forward (1) or back (-1), top left first."""
    half_w, half_h = PLATE_SIZE_M[0] / 2 + grow_m, PLATE_SIZE_M[1] / 2 + grow_m
    left = half_w * facing
    low, high = PLATE_HEIGHT_M - half_h, PLATE_HEIGHT_M + half_h
    return np.array([[left, y_m, high], [-left, y_m, high], [-left, y_m, low], [left, y_m, low]])


def rotation(heading_rad: float) -> Array:
    """Vehicle frame to world: heading 0 drives away from the camera (+y), pi comes towards it."""
    cos, sin = math.cos(heading_rad), math.sin(heading_rad)
    return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])


def plate_face(picture: Picture, corners: Array) -> tuple[Face, Face]:
    """The plate itself and, a centimetre larger, its dark holder."""
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
    centre = corners.mean(axis=0)
    holder = centre + (corners - centre) * (1.04, 1.0, 1.25)
    dark = np.full((16, 64, 3), 24, np.uint8)
    return Face(Texture(dark), whole, holder), Face(Texture(picture), whole, corners)


def _swept(body: Body, paint: PaintJob) -> Iterator[Face]:
    parts = {
        FRONT: paint.front, BONNET: paint.bonnet, WINDSCREEN: paint.windscreen, ROOF: paint.roof,
        REAR_WINDOW: paint.rear_window, BOOT: paint.boot, REAR: paint.rear_upside_down,
    }  # fmt: skip
    for (first, last), texture in parts.items():
        length = np.array([np.hypot(*np.subtract(b[:2], a[:2])) for a, b in pairwise(body.profile[first : last + 1])])
        share = np.concatenate([[0.0], np.cumsum(length)]) / length.sum()
        for step, (low, high) in enumerate(pairwise(body.profile[first : last + 1])):
            yield from _strip(texture, low, high, 1 - share[step], 1 - share[step + 1])


def _strip(
    texture: Texture, low: tuple[float, ...], high: tuple[float, ...], v_low: float, v_high: float
) -> Iterator[Face]:
    """The band between two profile vertices, in `_ACROSS` quads; seen from the front, left is the vehicle's right."""
    edges = np.linspace(-1, 1, _ACROSS + 1)
    for left, right in pairwise(edges):
        corners = np.array([_on(high, left), _on(high, right), _on(low, right), _on(low, left)])
        u0, u1 = (left + 1) / 2, (right + 1) / 2
        yield Face(texture, np.array([[u0, v_high], [u1, v_high], [u1, v_low], [u0, v_low]]), corners)


def _on(vertex: tuple[float, ...], across: float) -> tuple[float, float, float]:
    y, z, half_width, bulge = vertex
    return (-across * half_width, y - bulge * abs(across) ** 2.5, z)


def _sides(body: Body, paint: PaintJob) -> Iterator[Face]:
    """Both flanks, cut along the profile; the texture is a side view in metres (`PaintJob.side_span`)."""
    upper = [body.profile[index] for index in (3, 4, 7, 8)]
    lower = [(y - bulge, z, w) for y, z, w, bulge in [body.profile[2], *upper, body.profile[9]]]
    for side in (1, -1):
        for front, rear in pairwise(lower):
            floor = body.profile[0][1] + 0.02
            bottom = [(rear[0], floor, rear[2] - 0.03), (front[0], floor, front[2] - 0.03)]
            yield _side_face(paint, side, [(rear[0], rear[1], rear[2]), front, *reversed(bottom)])
        foot_f, roof_f, roof_r, foot_r = (body.profile[i] for i in (4, 5, 6, 7))
        corners = [(y - bulge, z, w) for y, z, w, bulge in (roof_r, roof_f, foot_f, foot_r)]
        yield _side_face(paint, side, corners)


def _side_face(paint: PaintJob, side: int, corners: list[tuple[float, float, float]]) -> Face:
    """``corners`` (y, z, half width) clockwise from the rear top, as seen from the vehicle's right."""
    y0, y1, z0, z1 = paint.side_span
    world = np.array([[side * w, y, z] for y, z, w in corners])
    uv = np.array([[(y - y0) / (y1 - y0), (z1 - z) / (z1 - z0)] for y, z, _ in corners])
    if side == 1:
        return Face(paint.side, uv, world)
    turned = [1, 0, 3, 2]  # from the left, front and rear change places
    return Face(paint.side, uv[turned], world[turned])


def _tyres(body: Body, paint: PaintJob) -> Iterator[Face]:
    """Treads, as seen from ahead and from behind, and the wheels' discs at the sides."""
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
    half, radius = body.profile[1][2], body.wheels[2]
    for wheel_y in body.wheels[:2]:
        for left in (-half + 0.02, half - 0.24):
            for facing in (1, -1):
                y, a, b = wheel_y + facing * radius * 0.8, left, left + 0.22
                a, b = (b, a) if facing == 1 else (a, b)
                yield Face(paint.tyre, whole, np.array([[a, y, 0.34], [b, y, 0.34], [b, y, 0.0], [a, y, 0.0]]))
        for side in (1, -1):
            x, rear, front = side * (half - 0.02), wheel_y - radius * 0.75, wheel_y + radius * 0.75
            rear, front = (rear, front) if side == 1 else (front, rear)
            corners = [[x, rear, radius * 0.9], [x, front, radius * 0.9], [x, front, 0.0], [x, rear, 0.0]]
            yield Face(paint.tyre, whole, np.array(corners))

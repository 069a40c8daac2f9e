"""Paints the frames of a recording: the still backdrop, the cars in it, their shadows and lamps, the sensor's noise.

A `Recording` in, RGB pictures out. Pure and deterministic by the recording's seed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import replace

import cv2
import numpy as np

from services.inference.training.plates import render_plate
from services.simulator import vehicles
from services.simulator.backdrop import draw, glow
from services.simulator.raster import Array, Picture, Quads, paint
from services.simulator.scene import Camera, Recording, Vehicle

_SMALL_PX = 260
"""A vehicle narrower than this is painted finer before it is shrunk."""


def frames(recording: Recording, still: Picture | None = None) -> Iterator[Picture]:
    """The recording's frames, RGB (H, W, 3). ``still``: the camera's `backdrop`, where it was painted before."""
    camera = recording.camera
    rng = np.random.default_rng(recording.seed)
    still = backdrop(camera) if still is None else still
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
    faces = [*model.faces, *vehicles.plate_face(plate_picture(vehicle.plate, vehicle.seed), plate)]
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
    """Paints on an enlarged copy of the region and shrinks it back, which smooths all edges."""
    every = quads.xy.reshape(-1, 2)
    low = np.maximum(np.floor(every.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(every.max(axis=0)).astype(int) + 3, (picture.shape[1], picture.shape[0]))
    if (high - low < 2).any():
        return
    region = picture[low[1] : high[1], low[0] : high[0]]
    size = (region.shape[1], region.shape[0])
    finer = 2.0 if size[0] < _SMALL_PX else 1.5  # what is near is large enough to need less
    enlarged = cv2.resize(region, None, fx=finer, fy=finer, interpolation=cv2.INTER_LINEAR)
    canvas = np.asarray(enlarged, dtype=np.uint8)
    mask = np.zeros(canvas.shape[:2], np.uint8)
    paint(canvas, mask, replace(quads, xy=(quads.xy - low) * finer))
    small = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    covered = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    cv2.copyTo(cv2.GaussianBlur(small, (3, 3), 0.55), covered, region)


def _shadow(picture: Picture, camera: Camera, footprint: Array) -> None:
    """Darkens the road under and beside a vehicle. ``footprint`` (4, 2) in world metres."""
    sun = camera.light.sun
    cast = footprint + np.array(sun[:2]) * (-0.55 / sun[2])
    for ground, strength in ((np.concatenate([footprint, cast]), camera.light.shadow), (footprint, 0.55)):
        pixels, depths = camera.view.project(np.column_stack([ground, np.zeros(len(ground))]))
        if depths.min() < 0.4:
            pixels, depths = pixels[depths > 0.4], depths[depths > 0.4]
        if len(pixels) >= 3:
            outline = np.asarray(cv2.convexHull(pixels.astype(np.float32))[:, 0], dtype=np.float64)
            _darken(picture, outline, strength, float(depths.min()))


def _darken(picture: Picture, outline: Array, strength: float, distance: float) -> None:
    margin = int(np.clip(60 / distance, 2, 14))
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 2 * margin, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 2 * margin, (picture.shape[1], picture.shape[0]))
    if (high - low < 2).any():
        return
    region = picture[low[1] : high[1], low[0] : high[0]]
    whole = np.full(region.shape[:2], 255, np.uint8)
    cv2.fillConvexPoly(whole, np.round((outline - low) * 16).astype(np.int32), int(255 * (1 - strength)), shift=4)
    keep = cv2.blur(cv2.blur(whole, (margin, margin)), (margin, margin))
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
def plate_picture(text: str, seed: int) -> Picture:
    picture = render_plate(text, "ru_private", seed, height=112, wobble=0.6).image
    return np.ascontiguousarray(picture[:, :, ::-1])

"""The still part of a camera's picture: sky, trees, houses, lamp posts, grass, pavement and road in true perspective.

A camera, a place and a seed in; an RGB picture out. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from services.simulator.geometry import Pinhole, apply
from services.simulator.raster import Array, Picture, Quads, Texture, blend, paint

Plane = NDArray[np.float32]
_WALLS = ((196, 186, 164), (172, 120, 98), (188, 190, 190), (206, 196, 150), (150, 158, 160))


@dataclass(frozen=True, slots=True)
class Light:
    """The hour of the day: colours of sky and air, brightness of everything, whether lamps burn, sensor noise."""

    sky_top: tuple[int, int, int]
    sky_low: tuple[int, int, int]
    ground: tuple[float, float, float]
    """What the light does to the red, green and blue of things."""
    lamps: bool
    noise: float
    sun: tuple[float, float, float] = (-0.45, -0.55, 0.70)
    shadow: float = 0.5


DAY = Light((92, 140, 200), (205, 220, 232), (1.0, 0.99, 0.96), lamps=False, noise=1.8)
OVERCAST = Light((168, 176, 184), (214, 218, 220), (0.90, 0.92, 0.94), lamps=False, noise=2.2, shadow=0.34)
DUSK = Light((38, 46, 78), (196, 132, 104), (0.46, 0.45, 0.53), lamps=True, noise=2.2, shadow=0.22)


@dataclass(frozen=True, slots=True)
class Place:
    """What stands round the road. Metres; the road runs along y between -half_road and +half_road."""

    half_road: float = 3.6
    centre_line: bool = True
    pavement: float = 1.6
    slabs: bool = False
    """A paved yard instead of asphalt."""
    houses: tuple[tuple[float, float, float, float, float], ...] = ()
    """(x, y, width, depth, height) of each: its corner nearest to the camera on the left."""
    posts: tuple[tuple[float, float], ...] = ()
    fence_x: float | None = None


def draw(camera: Pinhole, place: Place, light: Light, seed: int) -> Picture:
    rng = np.random.default_rng(seed)
    picture = _sky(camera, light, rng)
    _hills(picture, camera, light, rng)
    _ground(picture, camera, place, light, rng)
    doubled = _doubled(camera)
    picture = np.asarray(cv2.resize(picture, (doubled.width, doubled.height)), dtype=np.uint8)
    for house in sorted(place.houses, key=lambda house: -house[1]):
        _house(picture, doubled, house, light, rng)
    if place.fence_x is not None:
        _fence(picture, doubled, place.fence_x, light)
    for post in sorted(place.posts, key=lambda post: -post[1]):
        _post(picture, doubled, post, light)
    small = cv2.resize(picture, (camera.width, camera.height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 0.5), dtype=np.uint8)


def _doubled(camera: Pinhole) -> Pinhole:
    """The same camera with twice as many pixels: what is drawn on its picture and shrunk has smooth edges."""
    return replace(camera, width=camera.width * 2, height=camera.height * 2, focal_px=camera.focal_px * 2)


def noise_sheet(rng: np.random.Generator, size: int = 512, octaves: int = 5) -> Plane:
    """Tileable noise in -1..1, the same strength at every scale from ``size`` / 2 ** ``octaves`` texels up."""
    sheet = np.zeros((size, size), np.float32)
    for octave in range(octaves):
        cells = size >> octave
        small = rng.normal(0, 1, (cells, cells)).astype(np.float32)
        padded = np.pad(small, 2, mode="wrap")
        step = 1 << octave
        grown = cv2.resize(padded, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        sheet += grown[2 * step : 2 * step + size, 2 * step : 2 * step + size]
    return np.tanh(sheet / octaves)


def _sky(camera: Pinhole, light: Light, rng: np.random.Generator) -> Picture:
    horizon = max(camera.horizon_px(), 1.0)
    ramp = np.clip(np.arange(camera.height) / horizon, 0, 1)[:, None, None] ** 0.7
    colours = np.array(light.sky_top) * (1 - ramp) + np.array(light.sky_low) * ramp
    picture = np.broadcast_to(colours, (camera.height, camera.width, 3)).astype(np.uint8, order="C")
    clouds = cv2.resize(noise_sheet(rng, 256, 7)[:128], (camera.width, camera.height), interpolation=cv2.INTER_CUBIC)
    blend(picture, light.sky_low, np.clip(cv2.GaussianBlur(clouds, (0, 0), 9) * 1.2, 0, 0.7).astype(np.float32))
    return picture


def _hills(picture: Picture, camera: Pinhole, light: Light, rng: np.random.Generator) -> None:
    """Far trees in three rows, each nearer, darker and greener than the one behind."""
    horizon, x = camera.horizon_px(), np.arange(camera.width)
    crown = noise_sheet(rng, 512, 3)
    for row, (rise, colour) in enumerate(((0.085, (128, 146, 140)), (0.06, (84, 108, 82)), (0.035, (56, 80, 50)))):
        points = rng.normal(0, 1, 40 * (row + 1))
        bumps = np.interp(x, np.linspace(0, camera.width, len(points)), points)
        fine = cv2.GaussianBlur(rng.normal(0, 1, (1, camera.width)).astype(np.float32), (0, 0), 5 + row)[0] * 9
        top = horizon - camera.height * rise * (1 + 0.16 * bumps + 0.10 * fine)
        alpha = (np.arange(camera.height)[:, None] > top[None, :]).astype(np.float32)
        shade = 1 + 0.30 * np.tile(crown, (camera.height // 512 + 1, camera.width // 512 + 1))
        lit = shade[: camera.height, : camera.width, None] * (np.array(colour) * light.ground)
        np.copyto(picture, np.clip(lit, 0, 255).astype(np.uint8), where=alpha[..., None] > 0)


def _ground(picture: Picture, camera: Pinhole, place: Place, light: Light, rng: np.random.Generator) -> None:
    first = int(max(0, np.ceil(camera.horizon_px() + 6)))
    rows, columns = np.mgrid[first : camera.height, 0 : camera.width]
    plan = apply(camera.homography(), np.column_stack([columns.ravel(), rows.ravel()]).astype(float))
    x, y = (plan[:, i].reshape(rows.shape).astype(np.float32) for i in (0, 1))
    footprint = (camera.height_m**2 + y**2) / (camera.focal_px * camera.height_m)  # metres per pixel, along the road
    sheets = [noise_sheet(rng) for _ in range(2)]
    fine = _sample(sheets[0], x, y, 40.0) * np.clip(0.08 / footprint, 0, 1)
    rough = _sample(sheets[1], x, y * 0.5, 6.0)
    broad = _sample(sheets[0], x, y, 0.9)
    grass = np.array([92, 112, 62]) + (fine * 40 + rough * 26 + broad * 22)[..., None] * (1, 1.1, 0.6)
    colour = grass.astype(np.float32)
    kerb, side = place.half_road + 0.18, place.half_road + 0.18 + place.pavement
    if place.pavement > 0:
        slabs = 150 + fine * 16 + rough * 8 - _joints(x, y, 0.5, 1.0, footprint) * 34
        _lay(colour, slabs[..., None] * (1.0, 0.985, 0.95), _inside(np.abs(x), 0, side, footprint))
    _lay(colour, (176 + fine * 14)[..., None] * (1.0, 1.0, 0.98), _inside(np.abs(x), 0, kerb, footprint))
    _lay(colour, _road(x, y, fine, rough, broad, footprint, place), _inside(np.abs(x), 0, place.half_road, footprint))
    haze = 0.42 * (1 - np.exp(-y / 160))[..., None]
    air = 0.55 * np.array(light.sky_low) + 0.45 * np.array((110, 130, 110)) * light.ground
    lit = colour * light.ground * (1 - haze) + air * haze
    picture[first:] = np.clip(lit, 0, 255).astype(np.uint8)


def _road(
    x: Plane, y: Plane, fine: Plane, rough: Plane, broad: Plane, footprint: Plane, place: Place
) -> NDArray[np.float32]:
    """Colour of asphalt or slabs, with wheel tracks, patches and markings."""
    if place.slabs:
        grey = 142 + fine * 18 + rough * 10 + broad * 9 - _joints(x, y, 2.4, 3.0, footprint) * 46
    else:
        lane = place.half_road / 2
        tracks = np.exp(-((np.abs(np.abs(np.abs(x) - lane) - 0.72) / 0.28) ** 2))
        grey = 104 + fine * 22 + rough * 9 + broad * 10 - tracks * 9
        grey -= 16 * _inside(x, 0.5, 2.6, footprint) * _inside(y, 14.0, 17.2, footprint)  # a mended patch
    colour = grey[..., None] * np.array([1.0, 1.0, 1.015])
    paint_wear = np.clip(0.86 + rough * 0.7, 0.45, 1.0)
    edge = place.half_road - 0.3
    marks = _inside(np.abs(x), edge - 0.06, edge + 0.06, footprint)
    if place.centre_line:
        marks = np.maximum(marks, _inside(x, -0.06, 0.06, footprint) * _inside(y % 7.5, 0.0, 3.0, footprint))
    _lay(colour, np.broadcast_to(np.array([214, 214, 208]), colour.shape), marks * paint_wear)
    return np.asarray(colour, dtype=np.float32)


def _sample(sheet: Plane, x: Plane, y: Plane, texels_per_m: float) -> Plane:
    size = sheet.shape[0]
    u, v = np.mod(x * texels_per_m, size), np.mod(y * texels_per_m, size)
    return np.asarray(cv2.remap(sheet, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR, None,
                                cv2.BORDER_WRAP), dtype=np.float32)  # fmt: skip


def _inside(value: Plane, low: float, high: float, footprint: Plane) -> Plane:
    """1 where low < value < high, 0 elsewhere, with an edge as soft as a pixel is large."""
    soft = np.maximum(footprint, 0.01)
    rising = np.clip((value - low) / soft + 0.5, 0, 1)
    falling = np.clip((high - value) / soft + 0.5, 0, 1)
    return np.asarray(rising * falling, dtype=np.float32)


def _joints(x: Plane, y: Plane, step_x: float, step_y: float, footprint: Plane) -> Plane:
    across = _inside(np.mod(x, step_x), 0.0, 0.02, footprint)
    along = _inside(np.mod(y, step_y), 0.0, 0.03, footprint)
    return np.asarray(np.maximum(across, along) * np.clip(0.15 / footprint, 0, 1), dtype=np.float32)


def _lay(colour: NDArray[np.float32], top: NDArray[np.floating], alpha: Plane) -> None:
    colour += (top - colour) * alpha[..., None]


def _house(picture: Picture, camera: Pinhole, house: tuple[float, ...], light: Light, rng: np.random.Generator) -> None:
    x, y, width, depth, height = house
    base = _WALLS[int(rng.integers(len(_WALLS)))]
    front = Texture(_facade(base, width, height, light, rng))
    flank = Texture(_facade(tuple(int(c * 0.78) for c in base), depth, height, light, rng))
    roof = Texture((np.full((8, 8, 3), (88, 70, 66)) * light.ground).astype(np.uint8))
    x1, y1 = x + width, y + depth
    flank_x = x1 if x1 < camera.x_m else x
    side = [(flank_x, y, height), (flank_x, y1, height), (flank_x, y1, 0), (flank_x, y, 0)]
    if flank_x == x:
        side = [side[1], side[0], side[3], side[2]]
    faces = [
        (front, [(x, y, height), (x1, y, height), (x1, y, 0), (x, y, 0)]),
        (flank, side),
        (roof, [(x - 0.3, y, height + 0.3), (x1 + 0.3, y, height + 0.3), (x1 + 0.3, y, height), (x - 0.3, y, height)]),
    ]
    corners = np.array([face for _, face in faces], dtype=float)
    pixels, depths = camera.project(corners.reshape(-1, 3))
    if depths.min() > 0.5:
        uv = np.tile(np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float), (len(faces), 1, 1))
        distance = depths.reshape(-1, 4).mean(axis=1)
        quads = Quads([texture for texture, _ in faces], uv, pixels.reshape(-1, 4, 2), distance, np.ones(len(faces)))
        paint(picture, np.zeros(picture.shape[:2], np.uint8), quads)


def _facade(base: tuple[int, ...], width: float, height: float, light: Light, rng: np.random.Generator) -> Picture:
    """A wall with rows of windows; at dusk some are lit."""
    scale = 40
    wall = np.full((int(height * scale), int(width * scale), 3), base, np.float32)
    wall += noise_sheet(rng, 512, 4)[:1, :1] + rng.normal(0, 3, wall.shape[:2])[..., None]
    wall[-int(0.5 * scale) :] *= 0.72
    wall *= np.array(light.ground, np.float32)
    for floor in np.arange(1.0, height - 1.2, 2.9):
        for column in np.arange(0.8, width - 1.2, 2.1):
            lit = light.lamps and rng.random() < 0.45
            glass = (238, 202, 138) if lit else tuple(c * g for c, g in zip(_pane(rng), light.ground, strict=True))
            top, left = int((height - floor - 1.5) * scale), int(column * scale)
            pane = wall[top : top + int(1.5 * scale), left : left + int(1.1 * scale)]
            pane[:] = np.array((225, 225, 222)) * light.ground
            pane[4:-4, 4:-4] = glass
            pane[:, pane.shape[1] // 2 - 2 : pane.shape[1] // 2 + 2] = np.array((225, 225, 222)) * light.ground
    return np.clip(wall, 0, 255).astype(np.uint8)


def _pane(rng: np.random.Generator) -> tuple[float, float, float]:
    """The colour of a dark window: bluish, some with a curtain."""
    shade = float(rng.uniform(52, 92))
    return (shade + 30, shade + 26, shade + 14) if rng.random() < 0.2 else (shade, shade + 6, shade + 14)


def _fence(picture: Picture, camera: Pinhole, x: float, light: Light) -> None:
    colour = tuple(int(c * g) for c, g in zip((98, 104, 98), light.ground, strict=True))
    for y in np.arange(62, 5, -2.5):
        _line(picture, camera, (x, y, 0.0), (x, y, 1.5), colour, 0.06)
    for z in (0.3, 0.9, 1.45):
        for y in np.arange(60, 5, -2.5):
            _line(picture, camera, (x, y, z), (x, y + 2.5, z), colour, 0.035)


def _post(picture: Picture, camera: Pinhole, post: tuple[float, float], light: Light) -> None:
    x, y = post
    colour = tuple(int(c * g) for c, g in zip((112, 116, 118), light.ground, strict=True))
    reach = x - np.sign(x) * 1.3
    _line(picture, camera, (x, y, 0), (x, y, 6.0), colour, 0.14)
    _line(picture, camera, (x, y, 6.0), (reach, y, 6.2), colour, 0.09)
    _line(picture, camera, (reach, y, 6.2), (reach - np.sign(x) * 0.6, y, 6.2), (226, 222, 206), 0.16)
    if light.lamps:
        centre, depth = camera.project(np.array([[reach - np.sign(x) * 0.3, y, 6.1]]))
        glow(picture, centre[0], 1.3 * camera.focal_px / depth[0], (255, 226, 168), 0.9)
        _pool(picture, camera, reach, y)


def _pool(picture: Picture, camera: Pinhole, x: float, y: float) -> None:
    """The patch of light that a lamp throws on the ground."""
    angle = np.linspace(0, 2 * np.pi, 24)
    ring = np.column_stack([x + 3.4 * np.cos(angle), y + 4.5 * np.sin(angle), np.zeros(24)])
    pixels, depths = camera.project(ring)
    if depths.min() < 1:
        return
    alpha = np.zeros(picture.shape[:2], np.float32)
    cv2.fillConvexPoly(alpha, np.round(pixels).astype(np.int32), 0.16)
    blend(picture, (255, 214, 150), np.asarray(cv2.GaussianBlur(alpha, (0, 0), 14), dtype=np.float32))


def glow(picture: Picture, centre: Array, radius: float, colour: tuple[int, int, int], strength: float) -> None:
    """Adds the halo of a lamp, in place."""
    reach = int(np.ceil(radius * 2.2))
    x0, y0 = (int(value) - reach for value in centre)
    rows = slice(max(0, y0), min(picture.shape[0], y0 + 2 * reach + 1))
    columns = slice(max(0, x0), min(picture.shape[1], x0 + 2 * reach + 1))
    if reach < 1 or rows.start >= rows.stop or columns.start >= columns.stop:
        return
    y = (np.arange(rows.start, rows.stop) - centre[1])[:, None]
    x = (np.arange(columns.start, columns.stop) - centre[0])[None, :]
    light = strength * np.exp(-(x**2 + y**2) / (0.5 * max(radius, 1.0) ** 2))
    patch = picture[rows, columns]
    patch[:] = np.clip(patch + light[..., None] * np.array(colour), 0, 255).astype(np.uint8)


def _line(
    picture: Picture, camera: Pinhole, start: tuple[float, ...], end: tuple[float, ...],
    colour: tuple[int, ...], thick_m: float,
) -> None:  # fmt: skip
    pixels, depths = camera.project(np.array([start, end], dtype=float))
    if depths.min() < 1.0:
        return
    thick = max(1, round(thick_m * camera.focal_px / float(depths.mean())))
    points = np.round(pixels * 8).astype(int)
    cv2.line(picture, points[0].tolist(), points[1].tolist(), colour, thick, cv2.LINE_AA, 3)

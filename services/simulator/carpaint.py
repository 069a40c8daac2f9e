"""Paints the faces of a car: colour and proportions in, textures out. Pure and deterministic by seed.

Every painter draws in parts of its face (0..1 in both directions, top left first) on a canvas three times too large,
which is then shrunk: that smooths all edges.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw

from services.simulator.raster import Picture, Texture

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]
_OVERSAMPLE = 3
_GLASS_TOP, _GLASS_LOW = (150, 170, 188), (22, 26, 32)


@dataclass(frozen=True, slots=True)
class PaintJob:
    """Textures by part. ``side`` is a view from the vehicle's right, ``side_span`` its (y0, y1, z0, z1) in metres."""

    front: Texture
    bonnet: Texture
    windscreen: Texture
    roof: Texture
    rear_window: Texture
    boot: Texture
    rear_upside_down: Texture
    side: Texture
    side_span: tuple[float, float, float, float]
    tyre: Texture


class Face:
    """A face being painted: shapes in parts of its size, so that mirrored halves are easy to draw."""

    def __init__(self, width: int, height: int, top: Colour, low: Colour) -> None:
        self.size = (width, height)
        ramp = np.linspace(0, 1, height * _OVERSAMPLE)[:, None, None]
        colours = np.asarray(top, float) * (1 - ramp) + np.asarray(low, float) * ramp
        canvas = np.broadcast_to(colours, (height * _OVERSAMPLE, width * _OVERSAMPLE, 3)).astype(np.uint8, order="C")
        self.image = Image.fromarray(canvas)
        self.pen = ImageDraw.Draw(self.image)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return x * self.image.width, y * self.image.height

    def polygon(self, points: Points, colour: Colour, mirrored: bool = False) -> None:
        self.pen.polygon([self.at(*point) for point in points], fill=colour)
        if mirrored:
            self.pen.polygon([self.at(1 - x, y) for x, y in points], fill=colour)

    def rounded(self, box: tuple[float, float, float, float], radius: float, colour: Colour) -> None:
        x0, y0 = self.at(box[0], box[1])
        x1, y1 = self.at(box[2], box[3])
        self.pen.rounded_rectangle((x0, y0, x1, y1), radius * self.image.height, fill=colour)

    def line(self, points: Points, colour: Colour, width: float, mirrored: bool = False) -> None:
        thick = max(1, round(width * self.image.height))
        self.pen.line([self.at(*point) for point in points], fill=colour, width=thick, joint="curve")
        if mirrored:
            self.pen.line([self.at(1 - x, y) for x, y in points], fill=colour, width=thick, joint="curve")

    def ellipse(self, centre: tuple[float, float], radii: tuple[float, float], colour: Colour) -> None:
        (x, y), (dx, dy) = self.at(*centre), self.at(*radii)
        self.pen.ellipse((x - dx, y - dy, x + dx, y + dy), fill=colour)

    def picture(self) -> Picture:
        return np.asarray(self.image.resize(self.size, Image.Resampling.BOX), dtype=np.uint8)


def tint(colour: Colour, factor: float, add: float = 0.0) -> Colour:
    red, green, blue = (int(np.clip(channel * factor + add, 0, 255)) for channel in colour)
    return red, green, blue


@functools.lru_cache(maxsize=64)
def paint_job(
    body: str,
    colour: Colour,
    front_m: tuple[float, float],
    wheels: tuple[float, float, float],
    lights_on: bool,
    seed: int,
) -> PaintJob:
    """All textures of a car; ``front_m``: width and height of its front; ``wheels``: axles and radius. Metres."""
    rng = np.random.default_rng(seed)
    rear = _rear(colour, front_m, lights_on)
    return PaintJob(
        front=Texture(_front(colour, front_m, lights_on, int(rng.integers(3)))),
        bonnet=Texture(_bonnet(colour)),
        windscreen=Texture(_windscreen(colour)),
        roof=Texture(_panel(tint(colour, 1.0, 14), tint(colour, 0.9))),
        rear_window=Texture(_rear_window(colour)),
        boot=Texture(_panel(tint(colour, 1.0, 10), tint(colour, 0.95))),
        rear_upside_down=Texture(np.ascontiguousarray(rear[::-1, ::-1])),
        side=Texture(_side(body, colour, wheels)),
        side_span=SIDE_SPAN,
        tyre=Texture(np.full((16, 16, 3), 17, np.uint8)),
    )


def _front(colour: Colour, size_m: tuple[float, float], lights_on: bool, grille: int) -> Picture:
    face = _blank(size_m, tint(colour, 1.08, 12), tint(colour, 0.72))
    dark, chrome = (20, 21, 23), (168, 172, 176)
    face.polygon([(0, 0.86), (1, 0.86), (0.97, 1), (0.03, 1)], (26, 27, 29))  # skirt
    face.polygon([(0.16, 0.74), (0.84, 0.74), (0.79, 0.93), (0.21, 0.93)], dark)  # lower intake
    face.polygon([(0.03, 0.62), (0.13, 0.66), (0.13, 0.84), (0.05, 0.80)], dark, mirrored=True)
    face.ellipse((0.085, 0.745), (0.026, 0.05), (190, 192, 188))
    face.ellipse((0.915, 0.745), (0.026, 0.05), (190, 192, 188))
    upper: Points = [(0.27, 0.15), (0.73, 0.15), (0.69, 0.40), (0.31, 0.40)]
    face.polygon([(0.255, 0.13), (0.745, 0.13), (0.70, 0.425), (0.30, 0.425)], chrome)
    face.polygon(upper, dark)
    _grille(face, grille)
    face.ellipse((0.5, 0.27), (0.034, 0.075), chrome)
    face.ellipse((0.5, 0.27), (0.025, 0.055), (70, 74, 80))
    _headlamps(face, lights_on)
    face.line([(0.0, 0.50), (0.25, 0.535), (0.75, 0.535), (1.0, 0.50)], tint(colour, 0.55), 0.012)
    face.line([(0.0, 0.515), (0.25, 0.55), (0.75, 0.55), (1.0, 0.515)], tint(colour, 1.1, 22), 0.010)
    face.line([(0.14, 0.05), (0.86, 0.05)], tint(colour, 0.45), 0.016)  # gap below the bonnet
    return _grain(face.picture())


def _grille(face: Face, kind: int) -> None:
    bar = (74, 77, 80)
    if kind == 0:
        for y in (0.20, 0.25, 0.30, 0.35):
            face.line([(0.29, y), (0.71, y)], bar, 0.016)
    elif kind == 1:
        for x in np.linspace(0.31, 0.69, 16):
            face.line([(float(x), 0.17), (float(0.5 + (x - 0.5) * 0.92), 0.39)], bar, 0.014)
    else:
        for x in np.linspace(0.28, 0.72, 24):
            face.line([(float(x), 0.16), (float(x) + 0.05, 0.39)], bar, 0.007)
            face.line([(float(x), 0.16), (float(x) - 0.05, 0.39)], bar, 0.007)


def _headlamps(face: Face, lights_on: bool) -> None:
    glass, bright = ((196, 204, 210), (250, 250, 246)) if not lights_on else ((252, 250, 236), (255, 255, 255))
    shell: Points = [(0.02, 0.12), (0.13, 0.13), (0.235, 0.22), (0.225, 0.39), (0.08, 0.37), (0.015, 0.28)]
    face.polygon([(x, y) for x, y in shell], (34, 36, 40), mirrored=True)
    inner = [(0.125 + (x - 0.125) * 0.90, 0.255 + (y - 0.255) * 0.86) for x, y in shell]
    face.polygon(inner, (118, 126, 134), mirrored=True)
    for side in (0.0, 1.0):
        for x, radius in ((0.10, 0.046), (0.175, 0.036)):
            centre = (abs(side - x), 0.265)
            face.ellipse(centre, (radius, radius * 1.9), glass)
            face.ellipse(centre, (radius * 0.55, radius * 1.05), bright)


def _rear(colour: Colour, size_m: tuple[float, float], lights_on: bool) -> Picture:
    face = _blank(size_m, tint(colour, 1.02, 8), tint(colour, 0.68))
    red, bright = ((188, 22, 26), (236, 70, 60)) if lights_on else ((140, 16, 20), (186, 44, 42))
    face.polygon([(0, 0.86), (1, 0.86), (0.96, 1), (0.04, 1)], (28, 29, 31))
    face.polygon([(0.02, 0.05), (0.17, 0.07), (0.25, 0.14), (0.24, 0.33), (0.06, 0.36), (0.01, 0.27)], red, True)
    face.polygon([(0.05, 0.10), (0.13, 0.11), (0.13, 0.20), (0.05, 0.20)], bright, True)
    face.polygon([(0.15, 0.22), (0.22, 0.22), (0.22, 0.29), (0.15, 0.29)], (222, 214, 204), True)
    face.line([(0.25, 0.03), (0.27, 0.44), (0.73, 0.44), (0.75, 0.03)], tint(colour, 0.5), 0.014)  # boot lid
    face.line([(0.0, 0.45), (1.0, 0.45)], tint(colour, 0.5), 0.014)
    face.line([(0.0, 0.465), (1.0, 0.465)], tint(colour, 1.1, 20), 0.010)
    face.line([(0.30, 0.17), (0.70, 0.17)], (170, 172, 174), 0.022)
    face.ellipse((0.5, 0.11), (0.026, 0.055), (176, 178, 180))
    face.polygon([(0.05, 0.74), (0.15, 0.74), (0.15, 0.79), (0.05, 0.79)], (150, 24, 24), True)
    face.polygon([(0.30, 0.45), (0.70, 0.45), (0.68, 0.75), (0.32, 0.75)], tint(colour, 0.6))  # niche of the plate
    face.ellipse((0.20, 0.93), (0.03, 0.035), (70, 70, 72))
    return _grain(face.picture())


def _bonnet(colour: Colour) -> Picture:
    """Rows from the windscreen (top) to the bonnet's edge."""
    face = _blank((1.7, 0.9), tint(colour, 0.9, 4), tint(colour, 1.12, 30))
    face.polygon([(0.36, 0), (0.64, 0), (0.60, 1), (0.40, 1)], tint(colour, 1.05, 26))
    face.line([(0.22, 0), (0.28, 1)], tint(colour, 0.78), 0.02, mirrored=True)
    face.line([(0.235, 0), (0.295, 1)], tint(colour, 1.15, 34), 0.02, mirrored=True)
    face.rounded((0.05, 0, 0.95, 0.05), 0.02, (24, 25, 27))  # wipers' well
    return _grain(np.asarray(cv2.GaussianBlur(face.picture(), (0, 0), 2.0), dtype=np.uint8))


def _windscreen(colour: Colour) -> Picture:
    face = _blank((1.5, 0.85), tint(colour, 0.85), tint(colour, 0.8))
    glass: Points = [(0.07, 0.05), (0.93, 0.05), (0.985, 0.97), (0.015, 0.97)]
    _glass(face, glass)
    face.rounded((0.44, 0.05, 0.56, 0.15), 0.03, (16, 17, 20))  # mirror
    for x in (0.28, 0.72):  # head rests
        face.rounded((x - 0.085, 0.38, x + 0.085, 0.66), 0.08, (34, 38, 44))
    face.ellipse((0.72, 0.44), (0.050, 0.13), (92, 74, 66))  # the driver
    face.rounded((0.60, 0.58, 0.84, 0.90), 0.12, (42, 48, 66))
    face.polygon([(0.02, 0.86), (0.98, 0.86), (0.985, 0.97), (0.015, 0.97)], (20, 22, 25))  # dashboard
    picture = np.asarray(cv2.GaussianBlur(face.picture(), (0, 0), 1.6), dtype=np.uint8)
    return _grain(_reflection(picture, 0.34))


def _rear_window(colour: Colour) -> Picture:
    face = _blank((1.4, 0.7), tint(colour, 0.85), tint(colour, 0.8))
    _glass(face, [(0.06, 0.08), (0.94, 0.08), (0.98, 0.94), (0.02, 0.94)])
    picture = np.ascontiguousarray(face.picture()[::-1])  # its top is the roof: the last row of the strip
    return _grain(_reflection(picture, 0.22))


def _glass(face: Face, points: Points) -> None:
    face.polygon(points, (40, 46, 54))
    ys = [y for _, y in points]
    for step in range(24):
        y0 = min(ys) + (max(ys) - min(ys)) * step / 24
        y1 = min(ys) + (max(ys) - min(ys)) * (step + 1) / 24
        mix = (1 - step / 23) ** 1.6
        colour = tuple(int(a * mix + b * (1 - mix)) for a, b in zip(_GLASS_TOP, _GLASS_LOW, strict=True))
        low, high = (_edge_at(points, y) for y in (y0, y1))
        face.polygon([(low[0], y0), (low[1], y0), (high[1], y1), (high[0], y1)], (colour[0], colour[1], colour[2]))


def _edge_at(points: Points, y: float) -> tuple[float, float]:
    """Left and right edge of a four-cornered pane (top left, top right, bottom right, bottom left) at ``y``."""
    (x0, top), (x1, _), (x2, low), (x3, _) = points
    part = (y - top) / (low - top)
    return x0 + (x3 - x0) * part, x1 + (x2 - x1) * part


def _reflection(picture: Picture, strength: float) -> Picture:
    """A pale diagonal band, as the sky leaves on glass."""
    height, width = picture.shape[:2]
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    band = np.exp(-(((x - 0.28 + 0.35 * y) / 0.10) ** 2)) + 0.6 * np.exp(-(((x - 0.62 + 0.35 * y) / 0.05) ** 2))
    return np.clip(picture + (band * strength * 120)[..., None], 0, 255).astype(np.uint8)


SIDE_SPAN = (-2.6, 2.6, 0.0, 2.0)


def _side(body: str, colour: Colour, wheels: tuple[float, float, float]) -> Picture:
    """Seen from the right: the rear at the left. Where glass lies follows from the greenhouse of the body type."""
    face = _blank((5.2, 2.0), tint(colour, 0.96, 10), tint(colour, 0.62), scale=120)

    def at(y: float, z: float) -> tuple[float, float]:
        return (y + 2.6) / 5.2, 1 - z / 2.0

    windows = {
        "sedan": [(-1.38, 1.12), (-0.85, 1.38), (0.22, 1.37), (0.88, 1.04)],
        "hatchback": [(-1.72, 1.10), (-1.42, 1.43), (0.24, 1.44), (0.88, 1.08)],
        "suv": [(-1.98, 1.26), (-1.70, 1.61), (0.34, 1.62), (0.92, 1.23)],
        "van": [(0.20, 1.32), (0.20, 1.82), (0.98, 1.82), (1.55, 1.30)],
    }[body]
    face.polygon([at(*point) for point in windows], (40, 46, 54))
    belt, top = windows[0][1], windows[1][1]
    for y in (-0.45, 0.45) if body != "van" else ():
        face.line([at(y, belt - 0.06), at(y - 0.04, top)], tint(colour, 0.35), 0.035)
    for y in (-1.2, -0.40, 0.62):
        face.line([at(y, 0.35), at(y, belt)], tint(colour, 0.5), 0.007)
    face.line([at(-2.2, belt - 0.22), at(2.0, belt - 0.26)], tint(colour, 1.05, 24), 0.012)
    face.line([at(-2.2, 0.30), at(2.2, 0.30)], (28, 29, 31), 0.05)
    *axles, radius = wheels
    for y in axles:
        for size, shade in ((1.16, (14, 14, 15)), (1.0, (24, 24, 26)), (0.66, (150, 153, 157)), (0.2, (60, 62, 66))):
            face.ellipse(at(y, radius), (radius * size / 5.2, radius * size / 2.0), shade)
    return _grain(face.picture())


def _panel(top: Colour, low: Colour) -> Picture:
    return _grain(_blank((1.4, 1.0), top, low).picture())


def _blank(size_m: tuple[float, float], top: Colour, low: Colour, scale: int = 240) -> Face:
    return Face(round(size_m[0] * scale), round(size_m[1] * scale), top, low)


def _grain(picture: Picture) -> Picture:
    """Uneven light on the lacquer: smooth noise, always the same."""
    rng = np.random.default_rng(1)
    height, width = picture.shape[:2]
    coarse = rng.normal(0, 1, (max(2, height // 24), max(2, width // 24))).astype(np.float32)
    waves = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(picture * (1 + 0.03 * waves[..., None]), 0, 255).astype(np.uint8)

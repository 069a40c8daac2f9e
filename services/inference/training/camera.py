"""What light, lens, sensor and codec do to a plate: in comes a grey picture and a generator, out comes a
worse one.

Rules. `hardness` in 0..1 scales how far everything goes. Blur is measured against the height of the picture,
so that a plate of few pixels is not wiped out by what a large one survives. The same generator state gives
the same picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Field = NDArray[np.float32]
Points = NDArray[np.float32]


def resized(picture: Image, width: int, height: int, way: int = cv2.INTER_AREA) -> Image:
    return np.asarray(cv2.resize(picture, (width, height), interpolation=way), np.uint8)


def to_bytes(picture: NDArray[np.generic]) -> Image:
    """Clipped to 0..255."""
    return np.clip(np.asarray(picture, np.float32), 0, 255).astype(np.uint8)


def view(corners: Points, rng: np.random.Generator, hardness: float) -> Points:
    """The plate's corners (4, 2) as a pinhole camera sees them after a random turn about three axes."""
    wild = rng.random() < 0.12 * hardness
    spread = np.deg2rad((45, 28, 9) if wild else (22, 14, 5)) * (0.3 + 0.7 * hardness)
    yaw, pitch, roll = np.clip(rng.normal(0, spread * 0.6), -spread * 1.8, spread * 1.8)
    axes = ((0, yaw, 0), (pitch, 0, 0), (0, 0, roll))
    turn, tilt, lean = (np.asarray(cv2.Rodrigues(np.array(axis, float))[0]) for axis in axes)
    flat = corners - corners.mean(axis=0)
    solid = np.column_stack((flat, np.zeros(4))) @ (lean @ tilt @ turn).T
    distance = float(np.ptp(flat[:, 0])) * float(rng.uniform(2.5, 12))
    return np.asarray(solid[:, :2] * (distance / (distance + solid[:, 2:])), np.float32)


def lit(picture: Image, rng: np.random.Generator, hardness: float) -> Image:
    """Uneven light, shadows, glare, exposure, contrast; rarely the inverse, as infrared cameras give."""
    light = picture.astype(np.float32)
    rows, columns = picture.shape
    if rng.random() < 0.5 * hardness:
        coarse = rng.uniform(0.45, 1.3, (2, int(rng.integers(2, 5)))).astype(np.float32)
        light = light * cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.15 * hardness:
        light = light * _shadow(rows, columns, rng)
    if rng.random() < 0.1 * hardness:
        for _ in range(int(rng.integers(1, 4))):
            light = light + _glare(rows, columns, rng)
    return _exposed(light, rng)


def _exposed(light: Field, rng: np.random.Generator) -> Image:
    contrast = float(np.clip(np.exp(rng.normal(-0.35, 0.45)), 0.22, 1.6))
    light = (light - 128) * contrast + float(rng.normal(120, 40))
    if rng.random() < 0.25:
        gamma = float(np.exp(rng.normal(0, 0.4)))
        light = np.asarray(255 * (np.clip(light, 0, 255) / 255) ** gamma, np.float32)
    if rng.random() < 0.02:
        light = 255 - light
    return to_bytes(light)


def _plane(rows: int, columns: int) -> tuple[Field, Field]:
    """y and x of each pixel, both from -0.5 to 0.5."""
    y, x = np.linspace(-0.5, 0.5, rows, dtype=np.float32), np.linspace(-0.5, 0.5, columns, dtype=np.float32)
    return y[:, None], x[None, :]


def _shadow(rows: int, columns: int, rng: np.random.Generator) -> Field:
    """A half-plane in the shade, as factors."""
    y, x = _plane(rows, columns)
    angle = float(rng.uniform(0, 2 * np.pi))
    edge = (x * np.cos(angle) + y * np.sin(angle) - float(rng.normal(0, 0.2))) * float(rng.uniform(5, 60))
    return np.asarray(1 - float(rng.uniform(0.3, 0.7)) / (1 + np.exp(-edge)), np.float32)


def _glare(rows: int, columns: int, rng: np.random.Generator) -> Field:
    """A bright soft spot, to be added."""
    y, x = _plane(rows, columns)
    cx, cy = rng.uniform(-0.5, 0.5, 2)
    distance = ((x - cx) / rng.uniform(0.05, 0.25)) ** 2 + ((y - cy) / rng.uniform(0.1, 0.6)) ** 2
    return np.asarray(float(rng.uniform(60, 200)) * np.exp(-distance), np.float32)


def spoil(picture: Image, rng: np.random.Generator, hardness: float) -> Image:
    """Blur, motion blur, a coarser sensor, sharpening, noise, compression: each some of the time."""
    pixel = picture.shape[0] / 40
    if rng.random() < 0.5 * hardness:
        picture = _blurred(picture, float(rng.uniform(0.3, 1.4)) * pixel)
    if rng.random() < 0.2 * hardness:
        picture = _moved(picture, float(rng.uniform(1, 6)) * pixel, rng)
    if rng.random() < 0.25 * hardness:
        picture = _coarser(picture, float(rng.uniform(0.4, 0.9)), rng)
    if rng.random() < 0.15:
        picture = to_bytes(picture * np.float32(1.8) - _blurred(picture, 1.2) * np.float32(0.8))
    if rng.random() < 0.5 * hardness:
        picture = _grainy(picture, rng)
    if rng.random() < 0.5:
        picture = _compressed(picture, int(rng.integers(94 - round(74 * hardness), 96)))
    return picture


def low_light(picture: Image, rng: np.random.Generator) -> Image:
    """A tenth to a third of the light, with the noise of photons (it grows with the root of the light) and of the
    sensor, compressed."""
    dim = picture.astype(np.float32) * np.float32(rng.uniform(0.1, 0.33))
    noise = rng.standard_normal(picture.shape, np.float32) * np.sqrt(0.15 * dim + np.float32(rng.uniform(0.3, 2.0)))
    return _compressed(to_bytes(dim + noise + np.float32(rng.uniform(2, 10))), int(rng.integers(85, 96)))


def _blurred(picture: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.2)), np.uint8)


def _moved(picture: Image, length: float, rng: np.random.Generator) -> Image:
    """Motion blur along a line, mostly level or upright as vehicles and cameras move."""
    size = max(int(length) | 1, 3)
    angle = float(rng.normal(0, 0.5) + (np.pi / 2 if rng.random() < 0.3 else 0))
    reach, middle = np.array((np.cos(angle), np.sin(angle))) * (size - 1) / 2, (size - 1) / 2
    start, end = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int)
    kernel = np.zeros((size, size), np.float32)
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0)
    moved = cv2.filter2D(picture, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def _coarser(picture: Image, factor: float, rng: np.random.Generator) -> Image:
    """As from fewer pixels, enlarged again."""
    rows, columns = picture.shape
    way = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_NEAREST)[int(rng.integers(3))]
    small = resized(picture, max(round(columns * factor), 12), max(round(rows * factor), 9), way)
    return resized(small, columns, rows, cv2.INTER_LINEAR)


def _grainy(picture: Image, rng: np.random.Generator) -> Image:
    return to_bytes(picture + rng.standard_normal(picture.shape, np.float32) * np.float32(rng.uniform(1, 14)))


def _compressed(picture: Image, quality: int) -> Image:
    _, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)

"""The camera file: one YAML or JSON file with the point pairs and the plan of every camera, read again when
it changes.

    vessosa/gate:
      pairs: [[[257, 262], [110, 145]], [[370, 225], [349, 145]], ...]   # [pixel, plan unit], four or more
      plan: {width: 699, height: 996, metres_per_unit: 0.05, geo: {lat: 59.9386, lon: 30.3141, rotation: 15}}
      anchor: center            # or bottom: what of the box is projected
      image: {width: 1280, height: 720}   # frame size of the pairs, where recordings differ
      lens: {k1: -0.2, k2: 0.03}          # where it bends straight lines: services/aggregator/core/lens.py; needs image
      cell: 40                  # pixels
      recognise: {zones: ...}   # which plates count: services/contracts/gates.py
    default: {cell: 40}         # for cameras that are not named

A camera without pairs gets its image-plane heatmap. A bad file changes nothing: the last good one stays, and
the log says so.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Protocol

import msgspec
import yaml

from services.aggregator.core import homography
from services.aggregator.core.config import Anchor, Camera, Config, Geo, Ground, Lens, Options
from services.aggregator.core.homography import BadPairs, Pair
from services.aggregator.core.lens import BadLens, Optics
from services.aggregator.core.lens import check as check_lens
from services.contracts.gates import BadGate, Gate, check
from services.runtime.errors import SettingsError
from services.runtime.watched import Watched

log = logging.getLogger(__name__)

DEFAULT = "default"
MISS = 0.03
"""Where ``ransac`` is not given: pairs that miss by more than this part of the plan's diagonal are left out."""
CELLS_ALONG = 50
"""Cells along the plan's longer side, where ``plan.cell`` does not say otherwise."""


class Size(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    width: int
    height: int


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The plan that pairs lead to: a drawing's pixels, or metres; origin top left, y downwards."""

    width: float
    height: float
    metres_per_unit: float | None = None
    cell: float | None = None
    """Side of a heatmap cell, in plan units."""
    geo: Geo | None = None
    """Where it lies on the earth: heatmaps can then be layers of a map."""


class CameraFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One camera as a person writes it."""

    pairs: tuple[Pair, ...] = ()
    plan: Plan | None = None
    anchor: Anchor = "center"
    ransac: float | None = None
    """Plan units by which a pair may miss; 0 uses every pair."""
    image: Size | None = None
    lens: Lens | None = None
    """None: straight lines stay straight."""
    cell: int | None = None
    label: str | None = None
    recognise: Gate | None = None
    """Which plates count: inference's to know, checked here so that one program says all that is wrong."""


class Cameras(Protocol):
    """The configuration that should be in force."""

    @property
    def config(self) -> Config: ...

    def poll(self, now_s: float) -> None:
        """Looks for a change, if it is time."""
        ...


class FixedCameras:
    """A configuration that never changes."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def poll(self, now_s: float) -> None:
        """Nothing to look for."""


class WatchedCameras:
    """The configuration in a file. SettingsError where it is bad from the beginning."""

    def __init__(self, path: Path, options: Options, cell: int) -> None:
        try:
            self._file = Watched(path, lambda file: read(file, options, cell), _tell)
        except BadCameras as error:
            raise SettingsError(f"PLATEFLOW_CAMERAS: {error}") from error

    @property
    def config(self) -> Config:
        return self._file.value

    def poll(self, now_s: float) -> None:
        self._file.poll(now_s)


class BadCameras(ValueError):
    """The camera file cannot be used. Says where and why."""


def read(path: Path, options: Options, cell: int = 40) -> Config:
    """The configuration in a camera file; ``cell``: pixels, for cameras that name none. Raises BadCameras."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadCameras(f"cannot read {path}: {error.strerror}") from error
    except RecursionError as error:
        raise BadCameras(f"{path} is nested too deeply") from error
    except (yaml.YAMLError, ValueError) as error:  # also of what looks like a date or a number and is none
        raise BadCameras(f"{path} is neither YAML nor JSON: {error}") from error
    return parse(content, options, cell)


def parse(content: Any, options: Options, cell: int = 40) -> Config:
    """The same from what the file holds, already parsed. Raises BadCameras with every fault in it."""
    if content is None:
        content = {}
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise BadCameras("the camera file must map names of cameras to their settings")
    cameras: dict[str, Camera] = {}
    faults: list[str] = []
    for name, value in content.items():
        try:
            cameras[name] = camera_of(msgspec.convert(value if value is not None else {}, CameraFile), cell)
        except (msgspec.ValidationError, BadPairs, BadCameras, BadGate, BadLens) as error:
            faults.append(f"{name}: {error}")
    if faults:
        raise BadCameras("; ".join(faults))
    default = cameras.pop(DEFAULT, Camera(cell=cell))
    return Config(options=options, cameras=cameras, default=default)


def camera_of(given: CameraFile, cell: int = 40) -> Camera:
    """A camera with its homography fitted. Raises BadPairs, BadLens or BadCameras."""
    if given.recognise is not None:
        check(given.recognise)
    if given.lens is not None:
        check_lens(given.lens)
    k = given.cell if given.cell is not None else cell
    if k < 1:
        raise BadCameras("cell must be at least 1 pixel")
    return Camera(cell=k, label=given.label, ground=_ground(given) if given.pairs else None)


def tolerance(size: tuple[float, float], told: float | None = None) -> float:
    """Plan units by which a pair may miss on a plan of that width and height; what was told, where it was."""
    return MISS * math.hypot(*size) if told is None else told


def _ground(given: CameraFile) -> Ground:
    plan, image = given.plan, given.image
    if plan is None:
        raise BadCameras("pairs need a plan: {width, height} in plan units")
    if not all(map(math.isfinite, _numbers(given, plan))):
        raise BadCameras("every number must be finite")
    if min(plan.width, plan.height, plan.cell or 1, plan.metres_per_unit or 1) <= 0:
        raise BadCameras("plan.width, height, cell and metres_per_unit must be above 0")
    if plan.geo is not None:
        _check_geo(plan.geo, plan.metres_per_unit)
    if image is not None and min(image.width, image.height) < 1:
        raise BadCameras("image.width and height must be at least 1")
    if given.ransac is not None and given.ransac < 0:
        raise BadCameras("ransac must be 0 (use every pair) or more")
    if given.lens is not None and image is None:
        raise BadCameras("lens needs image, too: {width, height} of the frame that the pairs were measured in")
    size = (plan.width, plan.height)
    ransac = tolerance(size, given.ransac)
    optics = Optics(given.lens, image.width, image.height) if given.lens and image else None
    fit = homography.fit(given.pairs, ransac, optics)
    image_size = (image.width, image.height) if image else (None, None)
    return Ground(
        matrix=fit.matrix,
        version=homography.version_of(given.pairs, given.anchor, ransac, size, image_size, given.lens),
        width=plan.width,
        height=plan.height,
        cell=plan.cell or max(size) / CELLS_ALONG,
        anchor=given.anchor,
        metres_per_unit=plan.metres_per_unit,
        geo=plan.geo,
        image_width=image_size[0],
        image_height=image_size[1],
        lens=given.lens,
        pairs=len(fit.inliers),
        inliers=sum(fit.inliers),
        rms=round(fit.rms, 3),
        worst=round(fit.worst, 3) if math.isfinite(fit.worst) else None,
    )


def _check_geo(geo: Geo, metres_per_unit: float | None) -> None:
    """Raises BadCameras."""
    if metres_per_unit is None:
        raise BadCameras("plan.geo needs plan.metres_per_unit, too")
    if not (abs(geo.lat) <= 89 and abs(geo.lon) <= 180 and abs(geo.rotation) <= 360):
        raise BadCameras("plan.geo: lat must be -89 to 89, lon -180 to 180, rotation -360 to 360, in degrees")


def _numbers(given: CameraFile, plan: Plan) -> list[float]:
    points = [number for pair in given.pairs for point in pair for number in point]
    others = (plan.width, plan.height, plan.cell, plan.metres_per_unit, given.ransac)
    points += [plan.geo.lat, plan.geo.lon, plan.geo.rotation] if plan.geo is not None else []
    return points + [number for number in others if number is not None]


def _tell(config: Config) -> None:
    """Reports how well each homography fits, so that a bad one does not stay unseen."""
    for name, camera in config.cameras.items():
        ground = camera.ground
        if ground is not None:
            log.info(
                "homography",
                extra={
                    "camera": name,
                    "version": ground.version,
                    "pairs": ground.pairs,
                    "inliers": ground.inliers,
                    "rms": ground.rms,
                    "worst": ground.worst,
                },
            )

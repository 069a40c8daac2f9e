"""A lens that bends straight lines: undone, drawn, kept in the camera file, and never gone past."""

from __future__ import annotations

import math
import re

import msgspec
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.aggregator import cameras
from services.aggregator.cameras import BadCameras
from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Camera, Config, Ground, Lens, Options
from services.aggregator.core.homography import ground_points, view_of
from services.aggregator.core.lens import BadLens, Floats, Optics, check, reach
from tests.aggregator.build import NOON_MS, track
from tests.support.cache import REPOSITORY

WIDTH, HEIGHT = 1280, 720
BARREL = Optics(Lens(-0.2, 0.03), WIDTH, HEIGHT)
PAIRS = [[[0, 0], [0, 0]], [[100, 0], [10, 0]], [[100, 100], [10, 10]], [[0, 100], [0, 10]]]
GATE = {"pairs": PAIRS, "plan": {"width": 10, "height": 20, "metres_per_unit": 0.5}, "label": "Gate"}
FRAME = {"image": {"width": 1280, "height": 720}}

lenses = st.builds(Lens, st.floats(-0.6, 0.6), st.floats(-0.3, 0.3))
points = st.lists(st.tuples(st.floats(-3000, 5000), st.floats(-3000, 4000)), min_size=1, max_size=30)


def axes(of: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    return np.array([x for x, _ in of]), np.array([y for _, y in of])


@given(lenses, points)
def test_what_is_undone_and_bent_again_is_where_it_was_and_what_is_out_of_reach_is_nowhere(
    lens: Lens, seen: list[tuple[float, float]]
) -> None:
    optics = Optics(lens, WIDTH, HEIGHT)
    x, y = axes(seen)

    straight = optics.undistort(x, y)
    again = optics.distort(*straight)

    radius = np.hypot(x - WIDTH / 2, y - HEIGHT / 2) / (math.hypot(WIDTH, HEIGHT) / 2)
    inside, outside = radius < reach(lens) * (1 - 1e-6), radius > reach(lens) * (1 + 1e-6)
    assert np.allclose(np.array(again)[:, inside], np.array([x, y])[:, inside], rtol=0, atol=1e-6)
    assert np.isnan(np.array(straight)[:, outside]).all()


@given(lenses, points)
def test_what_is_bent_and_undone_is_where_it_was(lens: Lens, shown: list[tuple[float, float]]) -> None:
    optics = Optics(lens, WIDTH, HEIGHT)
    x, y = axes(shown)
    seen = np.array(optics.distort(x, y))
    radius = np.hypot(seen[0] - WIDTH / 2, seen[1] - HEIGHT / 2) / (math.hypot(WIDTH, HEIGHT) / 2)
    well = np.isfinite(seen[0]) & (radius < 0.98 * reach(lens))  # at the fold itself, a hair leads far

    again = np.array(optics.undistort(*seen))

    assert np.allclose(again[:, well], np.array([x, y])[:, well], rtol=0, atol=1e-6)


@given(points)
def test_a_lens_of_no_strength_changes_nothing(shown: list[tuple[float, float]]) -> None:
    x, y = axes(shown)
    for found in (
        Optics(Lens(0.0, 0.0), WIDTH, HEIGHT).undistort(x, y),
        Optics(Lens(0.0), WIDTH, HEIGHT).distort(x, y),
    ):
        assert np.allclose(np.array(found), np.array([x, y]), rtol=0, atol=1e-9)


@given(lenses, points)
def test_a_point_is_undone_to_the_same_bits_alone_or_in_company(lens: Lens, seen: list[tuple[float, float]]) -> None:
    optics = Optics(lens, WIDTH, HEIGHT)
    x, y = axes(seen)

    together = np.stack(optics.undistort(x, y))
    alone = np.stack([np.concatenate(optics.undistort(x[i : i + 1], y[i : i + 1])) for i in range(len(x))], axis=1)

    assert together.tobytes() == alone.tobytes()


@given(lenses)
def test_a_lens_that_is_accepted_leads_from_every_pixel_of_the_frame_outwards_in_order(lens: Lens) -> None:
    try:
        check(lens)
    except BadLens:
        assume(False)
    along = np.linspace(0, 1, 200)

    x, _ = Optics(lens, WIDTH, HEIGHT).undistort(along * WIDTH, along * HEIGHT)

    assert np.isfinite(x).all() and (np.diff(x) > 0).all()


def test_a_barrel_shows_the_corners_nearer_than_they_are() -> None:
    x, y = BARREL.undistort(np.array([0.0, 640.0]), np.array([0.0, 360.0]))

    assert x[0] < -100 and y[0] < -50
    assert (x[1], y[1]) == (640, 360)
    assert BARREL.distort(np.array([640.0 + math.hypot(640, 360)]), np.array([360.0]))[0][0] == pytest.approx(
        640 + math.hypot(640, 360) * (1 - 0.2 + 0.03)
    )


@pytest.mark.parametrize(
    ("lens", "says"),
    [
        ({"k1": -0.5}, "fold the image within the frame, at 54% of the way"),
        ({"k1": 0.0, "k2": -1}, "fold the image within the frame"),
        ({"k1": math.nan}, "must be finite"),
        ({"k1": 0.1, "k2": math.inf}, "must be finite"),
        ({"k2": 0.1}, "k1"),
        ({"k1": 0.1, "k3": 0.1}, "k3"),
        ({"k1": "much"}, "k1"),
    ],
)
def test_a_lens_that_cannot_be_is_refused_with_a_reason(lens: object, says: str) -> None:
    with pytest.raises(BadCameras, match=f"gate: .*{says}"):
        cameras.parse({"gate": {**GATE, **FRAME, "lens": lens}}, Options())


def test_a_lens_needs_the_size_of_the_frame() -> None:
    with pytest.raises(BadCameras, match="lens needs image, too"):
        cameras.parse({"gate": {**GATE, "lens": {"k1": -0.1}}}, Options())


def ground_of(entry: object) -> Ground:
    ground = cameras.parse({"gate": entry}, Options()).camera("gate").ground
    assert ground is not None
    return ground


def test_without_a_lens_the_version_is_what_it_was_before_there_were_lenses_and_with_one_another() -> None:
    assert ground_of(GATE).version == "7a059eb07b08"
    assert ground_of({**GATE, **FRAME, "anchor": "bottom", "ransac": 2}).version == "a1dd9bf5f5d0"
    versions = [ground_of({**GATE, **FRAME, "lens": lens}).version for lens in (None, {"k1": 0}, {"k1": 0.1})]
    versions.append(ground_of({**GATE, **FRAME, "lens": {"k1": 0.1, "k2": 0.01}}).version)
    assert len(set(versions)) == 4


def test_a_checkpoint_of_before_there_were_lenses_is_read_and_one_with_a_lens_comes_back_the_same() -> None:
    config = cameras.parse({"gate": {**GATE, **FRAME, "lens": {"k1": -0.1}}}, Options())
    data = msgspec.to_builtins(config)
    assert msgspec.convert(data, Config) == config

    del data["cameras"]["gate"]["ground"]["lens"]
    older = msgspec.convert(data, Config).camera("gate").ground
    assert older is not None and older.lens is None


# x, y -> x / 10, y / 10: a yard of 128 by 72 under a camera that looks straight down through a barrel
YARD = Ground(
    matrix=(0.1, 0, 0, 0, 0.1, 0, 0, 0, 1), version="v", width=128, height=72, cell=4, image_width=WIDTH,
    image_height=HEIGHT, lens=BARREL.lens, metres_per_unit=0.5,
)  # fmt: skip


def test_boxes_stand_where_a_straight_lens_would_show_them_in_frames_of_every_size() -> None:
    belongs = np.array([[30.0, 20], [64, 36], [100, 60]])
    seen = np.stack(BARREL.distort(belongs[:, 0] * 10, belongs[:, 1] * 10), axis=1)
    boxes = np.concatenate([seen - 5, np.full((3, 2), 10.0)], axis=1)

    for scale in (1.0, 0.5):
        x, y, on = ground_points(YARD, boxes * scale, int(WIDTH * scale), int(HEIGHT * scale))
        assert on.all()
        assert np.allclose(np.stack([x, y], axis=1), belongs, atol=2e-3)


def test_what_the_lens_shows_nothing_of_is_off_the_plan() -> None:
    narrow = msgspec.structs.replace(YARD, lens=Lens(-0.14), width=9e9, height=9e9)
    boxes = np.array([[6000.0, 360, 0, 0], [640, 360, 0, 0]])

    x, y, on = ground_points(narrow, boxes, WIDTH, HEIGHT)

    assert on.tolist() == [False, True] and np.isnan([x[0], y[0]]).all()


def test_sightings_and_speeds_on_the_ground_go_through_the_lens() -> None:
    belongs = [(30.0 + 4 * step, 20.0) for step in range(11)]  # 2 m every 250 ms: 8 m/s
    centres = [BARREL.distort(np.array([x * 10]), np.array([y * 10])) for x, y in belongs]
    boxes = [(float(x[0]) - 45, float(y[0]) - 11, 90.0, 22.0) for x, y in centres]
    one = track([NOON_MS + 250 * step for step in range(11)], boxes=boxes)

    outcome = replay([one], Config(default=Camera(ground=YARD)))

    found = [(plate.ground.x, plate.ground.y) for plate in outcome.plates if plate.ground]
    assert np.allclose(found, belongs, atol=0.02)
    assert outcome.passages[0].speed_mps == pytest.approx(8.0, abs=0.05)


def test_the_view_leads_to_the_plan_and_back() -> None:
    x, y = np.array([30.0, 64, 100]), np.array([20.0, 36, 60])
    view = view_of(YARD)

    assert np.allclose(view.to_plan(*view.to_image(x, y)), [x, y], atol=2e-3)


def test_nobody_projects_past_the_lens() -> None:
    allowed = {"services/aggregator/core/homography.py", "services/simulator"}
    past = [
        str(path.relative_to(REPOSITORY))
        for path in sorted((REPOSITORY / "services").rglob("*.py"))
        if re.search(r"\bproject\(|[gG]round\.matrix|\binverse\(", path.read_text())
        and not any(str(path.relative_to(REPOSITORY)).startswith(one) for one in allowed)
    ]
    assert past == []

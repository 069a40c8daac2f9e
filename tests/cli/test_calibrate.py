"""`plateflow calibrate`: how good point pairs are, which to drop, and the camera file that comes of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from services.aggregator import cameras
from services.aggregator.core.calibration import calibrate, mirrors
from services.aggregator.core.config import Lens, Matrix, Options
from services.aggregator.core.homography import BadPairs, Pair, inverse, project
from services.aggregator.core.lens import Optics
from services.cli import camera_file
from services.cli.calibrate_page import Desk
from services.cli.calibration_pictures import Scene, warped
from services.cli.pair_file import read_pairs
from tests.aggregator.test_homography import COURT
from tests.cli.command import Plateflow

# x' = (2x + 0.5y) / w, y' = 3y / w, w = 1 + y / 500: a camera over a yard of 60 by 40
VIEW: Matrix = (0.05, 0.01, 0.0, 0.0, 0.08, 0.0, 0.0, 0.0004, 1.0)
PLAN = (60.0, 40.0)
PIXELS = [(20, 20), (900, 40), (880, 460), (60, 450), (400, 240), (200, 330), (700, 120)]


def seen(pixels: list[tuple[int, int]] = PIXELS) -> list[Pair]:
    points = np.array(pixels, dtype=float)
    x, y, _ = project(VIEW, points[:, 0], points[:, 1])
    return [((float(a), float(b)), (float(c), float(d))) for (a, b), c, d in zip(pixels, x, y, strict=True)]


def table(folder: Path, pairs: list[Pair], name: str = "pairs.csv") -> Path:
    path = folder / name
    path.write_text("".join(f"{x},{y},{a},{b}\n" for (x, y), (a, b) in pairs))
    return path


def frame(folder: Path) -> Path:
    image = np.full((480, 960, 3), 90, np.uint8)
    image[:, :480, 2] = 200
    cv2.imwrite(str(folder / "frame.png"), image)
    return folder / "frame.png"


def pixels_of(path: Path) -> npt.NDArray[np.int64]:
    """BGR, wide enough to reckon with."""
    image = cv2.imread(str(path))
    assert image is not None
    return image.astype(np.int64)


# ---- how good they are -------------------------------------------------------------------------------------
def test_the_older_programs_pairs_are_told_to_be_bad_and_which_to_drop(tmp_path: Path, plateflow: Plateflow) -> None:
    pairs = table(tmp_path, COURT)

    assert plateflow("calibrate", "--pairs", pairs, "--plan-size", "699x996") == 0
    assert "all 8 pairs: mean error 25.2 plan units (2.1% of the plan's diagonal), worst 40.1 (pair 8)" in plateflow.out
    assert "without pair 8: mean error 10.2 plan units (0.8% of the plan's diagonal), worst 20.3" in plateflow.out
    assert "drop pair 8, or measure it again" in plateflow.out
    rows = [line.split() for line in plateflow.out.splitlines()[1:9]]
    assert [float(row[5]) for row in rows] == pytest.approx([16.4, 27.8, 4.9, 30.8, 27.3, 26.7, 27.6, 40.1], abs=0.1)
    assert [row[-1] == "out" for row in rows] == [False] * 7 + [True]


def test_all_of_the_older_programs_pairs_together_are_not_good_enough(tmp_path: Path, plateflow: Plateflow) -> None:
    pairs = table(tmp_path, COURT)

    assert plateflow("calibrate", "--pairs", pairs, "--plan-size", "699x996", "--tolerance", "0") == 1
    assert "more than 1% of the plan's diagonal" in plateflow.out


def test_good_pairs_have_no_error_and_none_is_left_out(tmp_path: Path, plateflow: Plateflow) -> None:
    options = ("--plan-size", "60x40", "--metres-per-unit", "0.5")

    assert plateflow("calibrate", "--pairs", table(tmp_path, seen()), *options) == 0
    assert "mean error 0.000" in plateflow.out.replace("e-", "000") or "mean error 0 plan" in plateflow.out
    assert "left out" not in plateflow.out and "drop" not in plateflow.out
    assert " m (0.0% of" in plateflow.out


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 6), st.sampled_from([(6.0, 3.0), (-5.0, 4.0), (7.0, -2.0)]))
def test_one_wrong_pair_among_seven_is_the_one_that_is_named(wrong: int, off: tuple[float, float]) -> None:
    pairs = seen()
    pixel, (x, y) = pairs[wrong]
    pairs[wrong] = (pixel, (x + off[0], y + off[1]))

    found = calibrate(pairs, PLAN, 0.5)

    assert found.bad == (wrong,)
    assert found.mean < 0.01 < found.everything.mean
    assert found.worst < 0.02


def test_two_exchanged_pairs_among_seven_are_named(tmp_path: Path, plateflow: Plateflow) -> None:
    pairs = seen()
    pairs[1], pairs[4] = (pairs[1][0], pairs[4][1]), (pairs[4][0], pairs[1][1])

    assert plateflow("calibrate", "--pairs", table(tmp_path, pairs), "--plan-size", "60x40") == 0
    assert "drop pairs 2, 5, or measure them again" in plateflow.out


def test_four_pairs_are_told_to_prove_nothing(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("calibrate", "--pairs", table(tmp_path, seen()[:4]), "--plan-size", "60x40") == 0
    assert "four pairs fit whatever they are" in plateflow.out


# ---- what is refused ---------------------------------------------------------------------------------------
def crossed() -> list[Pair]:
    (a, p), (b, q), *others = seen()[:4]
    return [(a, q), (b, p), *others]


MIRRORED = [(pixel, (x, 40 - y)) for pixel, (x, y) in seen()]
COLLINEAR: list[Pair] = [((100 * i, 50 * i), (2 * i, 3 * i * i)) for i in range(1, 7)]


@pytest.mark.parametrize(
    ("pairs", "reason"),
    [
        (seen()[:3], "at least 4 point pairs, here are 3"),
        (COLLINEAR, "the points in the image lie on one line"),
        ([(plan, pixel) for pixel, plan in COLLINEAR], "the points on the plan lie on one line"),
        ([*COLLINEAR[:5], ((10, 400), (30, 2))], "the points in the image lie on one line, but for at most one"),
        ([*seen()[:3], *seen()[:3]], "fewer than 4 different points"),
        (crossed(), "at least one pair is wrong"),
        (MIRRORED, "the pairs mirror the image"),
        (MIRRORED[:4], "the pairs mirror the image"),
        ([*seen()[:4], ((500, 100), (1, 39)), ((300, 400), (59, 2))], "only four of the 6 pairs agree"),
    ],
)
def test_pairs_that_lead_nowhere_are_refused_with_a_reason_and_nothing_is_written(
    pairs: list[Pair], reason: str, tmp_path: Path, plateflow: Plateflow
) -> None:
    out = tmp_path / "cameras.yaml"
    arguments = ("--pairs", table(tmp_path, pairs), "--plan-size", "60x40", "--out", out, "--camera", "site/gate")

    assert plateflow("calibrate", *arguments) == 2
    assert reason in plateflow.complaint
    assert not out.exists()


def test_a_turned_plan_does_not_mirror() -> None:
    turned: Matrix = (0, -1, 100, 1, 0, 0, 0, 0, 1)

    assert not mirrors(VIEW) and not mirrors(turned)
    assert mirrors((1, 0, 0, 0, -1, 100, 0, 0, 1))
    with pytest.raises(BadPairs, match="mirror"):
        calibrate(MIRRORED, PLAN, 1.0)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ((), "how large is the plan"),
        (("--plan-size", "60"), "no width and height"),
        (("--plan-size", "0x40"), "no width and height"),
        (("--plan-size", "60x40", "--metres-per-unit", "0"), "--metres-per-unit"),
        (("--plan-size", "60x40", "--tolerance", "-1"), "--tolerance"),
        (("--plan-size", "60x40", "--out", "cameras.yaml"), "--camera"),
        (("--plan", "nowhere.png"), "no such file"),
        (("--plan-size", "60x40", "--image", __file__), "neither an image nor a video"),
    ],
)
def test_a_mistake_in_the_command_is_told(
    options: tuple[str, ...], complaint: str, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("calibrate", "--pairs", table(tmp_path, seen()), *options) == 2
    assert complaint in plateflow.complaint


def test_a_pixel_outside_the_frame_is_named(tmp_path: Path, plateflow: Plateflow) -> None:
    pairs = table(tmp_path, [*seen(), ((970, 20), (50, 3))])

    assert plateflow("calibrate", "--pairs", pairs, "--plan-size", "60x40", "--image", frame(tmp_path)) == 2
    assert "pair 8 lies outside the 960×480 frame" in plateflow.complaint


# ---- pairs as written down ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "x,y,plan_x,plan_y\n1,2,3,4\n\n5,6,7,8.5\n"),
        ("a.txt", "# gate\n1 2   3 4  # the kerb\n5\t6\t7\t8.5"),
        ("a.csv", "1;2;3;4\n5;6;7;8.5\n"),
        ("a.yaml", "pairs:\n- [[1, 2], [3, 4]]\n- [[5, 6], [7, 8.5]]\n"),
        ("a.json", "[[[1, 2], [3, 4]], [[5, 6], [7, 8.5]]]"),
    ],
)
def test_pairs_are_read_however_they_are_written(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)

    assert read_pairs(tmp_path / name) == [((1, 2), (3, 4)), ((5, 6), (7, 8.5))]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.csv", "1,2,3,4\n1,2,3\n1,2,3,four\n", "line 2: '1,2,3' is not `x y plan_x plan_y`; line 3"),
        ("a.csv", "1,2,3\n", "line 1"),
        ("a.csv", "1,2,3,inf\n", "finite"),
        ("a.yaml", "site/gate: {pairs: []}", "has no `pairs`"),
        ("a.json", "[[1, 2, 3, 4]]", "is no list of"),
        ("a.json", "7", "is no list of"),
        ("a.json", "{", "is no list of"),
    ],
)
def test_broken_pairs_are_told(name: str, text: str, complaint: str, tmp_path: Path, plateflow: Plateflow) -> None:
    (tmp_path / name).write_text(text)

    assert plateflow("calibrate", "--pairs", tmp_path / name, "--plan-size", "60x40") == 2
    assert complaint in plateflow.complaint


# ---- the camera file ---------------------------------------------------------------------------------------
FORMER = """# our cameras
site/yard: {cell: 20}

site/gate:            # the old gate
  cell: 30
  label: Gate
  ransac: 5
  pairs: [[[0, 0], [0, 0]], [[100, 0], [10, 0]], [[100, 100], [10, 10]], [[0, 100], [0, 10]]]
  plan: {width: 60, height: 40, cell: 0.5}

# all others
default:
  cell: 50
"""


def test_one_camera_is_replaced_and_all_else_stays_comments_too(tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "cameras.yaml"
    out.write_text(FORMER)
    before = cameras.read(out, Options()).camera("site/gate").ground
    pairs = table(tmp_path, seen())

    assert (
        plateflow("calibrate", "--pairs", pairs, "--camera", "site/gate", "--metres-per-unit", "0.5", "--out", out) == 0
    )
    config = cameras.read(out, Options())
    gate, after = config.camera("site/gate"), config.camera("site/gate").ground
    assert before is not None and after is not None and after.version != before.version
    assert f"site/gate, homography {after.version}" in plateflow.out
    assert (after.pairs, after.inliers, after.metres_per_unit, after.cell) == (7, 7, 0.5, 0.5)
    assert (gate.cell, gate.label, config.camera("site/yard").cell, config.default.cell) == (30, "Gate", 20, 50)
    text = out.read_text()
    assert text.startswith("# our cameras\nsite/yard: {cell: 20}\n")
    assert text.endswith("\n# all others\ndefault:\n  cell: 50\n")
    assert "ransac" not in text
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []


def test_the_aggregator_uses_just_the_pairs_that_the_report_uses(tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "new" / "cameras.yaml"
    arguments = ("--pairs", table(tmp_path, COURT), "--plan-size", "699x996", "--camera", "site/court", "--out", out)

    for tolerance, used in (((), 7), (("--tolerance", "0"), 8), (("--tolerance", "20"), 5)):
        plateflow("calibrate", *arguments, *tolerance, "--anchor", "bottom")
        ground = cameras.read(out, Options()).camera("site/court").ground
        assert ground is not None and (ground.inliers, ground.anchor) == (used, "bottom")
        assert plateflow.out.count("left out") == 8 - used


@pytest.mark.parametrize(
    "former", ['{"site/yard": {"cell": 20}}', "{site/yard: {cell: 20}, b: null}", "", "# none yet"]
)
@pytest.mark.parametrize("name", ["cameras.json", "cameras.yaml"])
def test_other_ways_of_writing_the_file_are_understood(former: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if former:
        path.write_text(former)
    if name.endswith("json") and former.startswith(("{site", "#")):
        path.unlink()  # no JSON
    kept = camera_file.load(path)

    camera_file.put(path, "site/gate", {"cell": 7})
    camera_file.put(path, "site/gate", {"cell": 8})

    assert camera_file.load(path) == {**kept, "site/gate": {"cell": 8}}
    if name.endswith("json"):
        json.loads(path.read_text())


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b c", "yes", "12", "ü/gate", "#1", "x: y", "- z", "'", '"', "null"]), unique=True),
    st.integers(0, 3),
)
def test_any_name_can_be_put_before_between_and_after_others(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], twice: int
) -> None:
    path = tmp_path_factory.mktemp("files") / "cameras.yaml"
    expected: dict[str, object] = {}
    for cell, name in enumerate([*names, *names[:twice]], start=1):
        expected[name] = {"cell": cell, "label": name}
        camera_file.put(path, name, {"cell": cell, "label": name})

    assert (yaml.safe_load(path.read_text()) if expected else {}) == expected


@pytest.mark.parametrize("content", ["site/yard: {cell: 0}", "- no mapping", "a: ["])
def test_a_camera_file_that_cannot_be_read_is_not_touched(content: str, tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "cameras.yaml"
    out.write_text(content)
    arguments = ("--pairs", table(tmp_path, seen()), "--plan-size", "60x40", "--camera", "site/gate", "--out", out)

    assert plateflow("calibrate", *arguments) == 2
    assert "it is not changed" in plateflow.complaint
    assert out.read_text() == content


# ---- pictures ----------------------------------------------------------------------------------------------
def test_the_frame_with_the_grid_and_the_plan_with_the_frame_are_drawn(tmp_path: Path, plateflow: Plateflow) -> None:
    pairs = [*seen([(x, y) for x, y in PIXELS if x < 960]), ((480.0, 200.0), (5.0, 35.0))]
    drawing = np.full((40, 60, 3), 250, np.uint8)
    cv2.imwrite(str(tmp_path / "plan.png"), drawing)
    arguments: list[str | Path] = [
        "--pairs", table(tmp_path, pairs), "--camera", "site/north gate", "--image", frame(tmp_path)
    ]  # fmt: skip

    for plan in (("--plan", tmp_path / "plan.png"), ("--plan-size", "60x40", "--metres-per-unit", "1")):
        made = tmp_path / str(plan[0]).strip("-")
        assert plateflow("calibrate", *arguments, *plan, "--pictures", made) == 0
        assert {path.name for path in made.iterdir()} == {"site-north-gate-frame.png", "site-north-gate-plan.png"}
        for path in made.iterdir():
            picture = pixels_of(path)
            red = (picture[..., 2] > 200) & (picture[..., 1] < 70) & (picture[..., 0] < 80)
            assert red.sum() > 100  # the bad pair
    grid = pixels_of(tmp_path / "plan-size" / "site-north-gate-frame.png")
    assert ((grid[..., 2] > 180) & (grid[..., 1] > 150) & (grid[..., 0] < 110)).sum() > 2000


def test_the_size_of_the_frame_is_written_so_that_other_sizes_are_scaled(tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "cameras.yaml"
    arguments = ("--pairs", table(tmp_path, seen()), "--plan-size", "60x40", "--camera", "g", "--out", out)

    assert plateflow("calibrate", *arguments, "--image", frame(tmp_path)) == 0
    ground = cameras.read(out, Options()).camera("g").ground
    assert ground is not None and (ground.image_width, ground.image_height) == (960, 480)
    assert (tmp_path / "g-frame.png").is_file() and (tmp_path / "g-plan.png").is_file()


def test_what_lies_behind_the_camera_is_not_drawn_onto_the_plan() -> None:
    # w = 1 - y / 300 in the image: the horizon is the line y = 300, and pixels below it look at the sky
    pixels = np.array([(10.0, 10.0), (390, 10), (390, 200), (10, 200)])
    w = 1 - pixels[:, 1] / 300
    pairs: list[Pair] = [
        ((float(x), float(y)), (float(a), float(b)))
        for (x, y), a, b in zip(pixels, pixels[:, 0] / w, pixels[:, 1] / w, strict=True)
    ]
    found = calibrate(pairs, (1200.0, 900.0), 0)
    image = np.zeros((400, 400, 3), np.uint8)
    image[:299] = (0, 255, 0)
    image[299:] = (255, 0, 0)

    drawn = warped(Scene("c", pairs, found, (1200.0, 900.0), None), image)

    shown = drawn[drawn[..., 3] == 255]
    assert len(shown) > 1000
    assert not (shown[:, 0] > 128).any()
    x, y, w_back = project(inverse(found.used.matrix), np.array([100.0]), np.array([-2000.0]))
    assert w_back[0] <= 0 and np.isnan(x[0]) and np.isnan(y[0])


# ---- a lens that bends lines -------------------------------------------------------------------------------
OPTICS = Optics(Lens(-0.2, 0.03), 960, 480)


def bent() -> list[Pair]:
    """The same points of the yard through a barrel."""
    pixels = np.array([pair[0] for pair in seen()])
    x, y = OPTICS.distort(pixels[:, 0], pixels[:, 1])
    return [((a, b), where) for a, b, (_, where) in zip(x.tolist(), y.tolist(), seen(), strict=True)]


def test_a_known_lens_is_undone_written_kept_and_taken_out_again(tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "cameras.yaml"
    where = ("--pairs", table(tmp_path, bent()), "--plan-size", "60x40", "--camera", "g", "--out", out)

    assert plateflow("calibrate", *where, "--image", frame(tmp_path), "--lens", "-0.2,0.03") == 0
    assert "lens: k1 -0.2, k2 0.03" in plateflow.out
    first = cameras.read(out, Options()).camera("g").ground
    assert first is not None and first.lens == Lens(-0.2, 0.03) and first.rms < 0.01
    assert plateflow("calibrate", *where, "--anchor", "bottom") == 0
    second = cameras.read(out, Options()).camera("g").ground
    assert second is not None and (second.lens, second.image_width, second.rms) == (first.lens, 960, first.rms)
    plateflow("calibrate", *where, "--lens", "none")
    third = cameras.read(out, Options()).camera("g").ground
    assert third is not None and third.lens is None and third.rms > 0.1


@pytest.mark.parametrize(
    ("lens", "complaint"),
    [("much", "is no k1"), ("1,2,3", "is no k1"), ("nan", "finite"), ("-0.9", "fold"), ("-0.1", "name the frame")],
)
def test_a_lens_that_cannot_be_used_is_told(lens: str, complaint: str, tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("calibrate", "--pairs", table(tmp_path, bent()), "--plan-size", "60x40", "--lens", lens) == 2
    assert complaint in plateflow.complaint


def test_a_lens_that_the_pairs_tell_is_fitted_written_and_its_gain_told(tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "cameras.yaml"
    where = ("--pairs", table(tmp_path, bent()), "--plan-size", "60x40", "--camera", "g", "--out", out)

    assert plateflow("calibrate", *where, "--image", frame(tmp_path), "--lens", "fit") == 0

    told = re.search(r"k1 (-0\.\d+), k2 \S+; mean error (0\.\d+) plan units, without it (0\.\d+)", plateflow.out)
    assert told is not None and float(told[2]) < float(told[3]) / 3
    found = cameras.read(out, Options()).camera("g").ground
    assert found is not None and found.lens is not None and found.lens.k1 == float(told[1]) and found.rms < 0.2


def test_pairs_that_tell_of_no_lens_are_refused_and_nothing_is_written(tmp_path: Path, plateflow: Plateflow) -> None:
    out = tmp_path / "cameras.yaml"
    where = ("--plan-size", "60x40", "--camera", "g", "--out", out, "--image", frame(tmp_path), "--lens", "fit")

    assert plateflow("calibrate", "--pairs", table(tmp_path, seen()), *where) == 2
    assert "the lens is straight" in plateflow.complaint
    assert plateflow("calibrate", "--pairs", table(tmp_path, bent()[:5]), *where) == 2
    assert "at least 6 pairs" in plateflow.complaint
    assert not out.exists()


def test_the_page_undoes_the_lens_and_bends_the_grid() -> None:
    image = np.zeros((480, 960, 3), np.uint8)
    said = Desk("g", image, None, PLAN, None, None, (), "cameras.yaml", lambda pairs, optics: "", OPTICS).fit(bent())

    assert said["bad"] == () and said["worst"] < 0.01
    line = np.array(said["grid"][0])  # the plan's left side
    along, middle = line[-1] - line[0], line[len(line) // 2] - line[0]
    assert abs(along[0] * middle[1] - along[1] * middle[0]) / np.hypot(*along) > 3  # pixels off the straight way


def test_the_frame_is_laid_over_the_plan_straightened() -> None:
    image = np.zeros((480, 960, 3), np.uint8)
    for (x, y), _ in bent():
        cv2.circle(image, (round(x), round(y)), 6, (255, 255, 255), -1)

    drawn = warped(Scene("g", bent(), calibrate(bent(), PLAN, 0.5, OPTICS), PLAN, None), image)

    scale = drawn.shape[1] / PLAN[0]
    shown = [(x, y) for _, (x, y) in bent() if 0 < x < PLAN[0] and 0 < y < PLAN[1]]
    assert len(shown) > 4
    assert all(drawn[int(y * scale), int(x * scale), 0] > 128 for x, y in shown)

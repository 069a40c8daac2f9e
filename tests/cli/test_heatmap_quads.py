"""`plateflow heatmap FILE.txt`: the older program's figures and pictures, or right ones; its defects are not ours."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from services.aggregator import picture
from services.cli.quad_file import read_quads
from tests.cli.command import Plateflow
from tests.cli.test_heatmap import CAMERA, write

LONG_FIRST = "100 200 200 100 50 50 80 80"
SHORT_FIRST = "200 200 100 100 50 80 80 50"
FLAT = "10 90 90 10 300 300 302 302"


def quads(folder: Path, *lines: str, header: str = "640 480 gate 25", name: str = "plates.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
    return path


def grid(path: Path) -> npt.NDArray[np.float64]:
    return np.loadtxt(path, delimiter=",", ndmin=2)


# ---- compatible --------------------------------------------------------------------------------------------
GOLDEN = [
    ("test_mini3", 20, (42, 31), 7, (20, 21), 63),
    ("test_mini3", 30, (28, 20), 10, (12, 14), 38),
    ("test_mini3", 40, (21, 15), 18, (9, 10), 23),
    ("test_mini3", 60, (14, 10), 21, (7, 6), 16),
    ("test_mini3", 100, (8, 6), 42, (3, 4), 8),
    ("multy_mini", 20, (64, 48), 47, (25, 34), 201),
    ("multy_mini", 30, (42, 32), 61, (16, 22), 117),
    ("multy_mini", 40, (32, 24), 75, (8, 20), 82),
    ("multy_mini", 60, (21, 16), 177, (9, 11), 46),
    ("multy_mini", 100, (12, 9), 237, (5, 6), 23),
]


@pytest.mark.parametrize(("file", "k", "bins", "most", "at", "nonzero"), GOLDEN)
def test_the_older_programs_figures_come_to_the_number(
    file: str,
    k: int,
    bins: tuple[int, int],
    most: int,
    at: tuple[int, int],
    nonzero: int,
    shared_data: Path,
    tmp_path: Path,
    plateflow: Plateflow,
) -> None:
    source, table = shared_data / "quads" / f"{file}.txt", tmp_path / "grid.csv"

    assert plateflow("heatmap", source, "--compatible", "--k", str(k), "--out", tmp_path, "--csv", table) == 0
    counts = grid(table)[::-1]  # its rows are counted from the bottom, the file begins at the top
    assert counts.shape[::-1] == bins
    assert (counts.max(), (counts > 0).sum()) == (most, nonzero)
    assert counts[at[::-1]] == most
    plates = {"test_mini3": 8, "multy_mini": 94}[file]
    assert counts.sum() == plates * 15
    assert f"{plates} plates, {plates * 15} points in {bins[0]}×{bins[1]} bins, at most {most}" in plateflow.out
    assert {path.name for path in tmp_path.glob("*.png")} == {
        f"{file}_15points.png",
        f"{file}({bins[0]}, {bins[1]}).png",
    }


def test_pictures_are_dark_named_after_the_video_and_have_the_points_where_the_plate_is(
    tmp_path: Path, plateflow: Plateflow
) -> None:
    source = quads(tmp_path, LONG_FIRST, header="640 480 my first video.mp4 29.97")

    assert plateflow("heatmap", source, "--compatible", "--k", "40", "--out", tmp_path / "made") == 0
    names = {path.name for path in (tmp_path / "made").iterdir()}
    assert names == {"my first video.mp4_15points.png", "my first video.mp4(16, 12).png"}
    for name in names:
        image = cv2.imread(str(tmp_path / "made" / name))
        assert image is not None and min(image.shape[:2]) > 400
        assert image[0, 0].tolist() == [0, 0, 0]
    dots = cv2.imread(str(tmp_path / "made" / "my first video.mp4_15points.png"))
    assert dots is not None
    coloured = np.argwhere(dots.max(axis=2).astype(int) - dots.min(axis=2) > 40)
    assert len(coloured) >= 15
    height, width = dots.shape[:2]
    assert coloured[:, 0].max() < height * 0.4  # the plate is in the upper left of the frame
    assert coloured[:, 1].max() < width * 0.45


@pytest.mark.parametrize("address", ["rtsp://camera.example:554/stream?channel=1", "../../../escape", "...", "каминг"])
def test_a_video_whose_name_is_an_address_leads_to_files_in_the_folder(
    address: str, tmp_path: Path, plateflow: Plateflow
) -> None:
    source = quads(tmp_path / "in", LONG_FIRST, header=f"640 480 {address} 0")

    assert plateflow("heatmap", source, "--compatible", "--out", tmp_path / "in" / "made") == 0
    assert plateflow("heatmap", source, "--out", tmp_path / "in" / "made") == 0
    assert len(list((tmp_path / "in" / "made").glob("*.png"))) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_first_line_of_the_grid_is_the_top_of_the_picture_in_either_mode(
    tmp_path: Path, plateflow: Plateflow
) -> None:
    source = quads(tmp_path, "10 110 110 10 5 5 35 35")

    for options in (("--compatible",), ()):
        assert plateflow("heatmap", source, "--k", "160", "--out", tmp_path, "--csv", tmp_path / "g.csv", *options) == 0
        counts = grid(tmp_path / "g.csv")
        assert counts.shape == (3, 4)
        assert counts[0, 0] == counts.sum() > 0


# ---- ours --------------------------------------------------------------------------------------------------
def test_ours_counts_plates_not_points_in_true_cells(tmp_path: Path, plateflow: Plateflow) -> None:
    source = quads(tmp_path, LONG_FIRST, FLAT, header="848 624 gate 25")

    assert plateflow("heatmap", source, "--out", tmp_path / "made", "--csv", tmp_path / "g.csv") == 0
    assert "1 plate drawn, 1 thinner than 3 pixels left out" in plateflow.out
    counts = grid(tmp_path / "g.csv")
    assert counts.shape == (16, 22)  # 848 / 40 = 21.2, 624 / 40 = 15.6: the last ones end with the frame
    assert counts.sum() == pytest.approx(1, abs=1e-4)
    assert counts[1, 3] == pytest.approx(40 * 30 / 3000, abs=1e-6)
    assert (tmp_path / "made" / "gate_k40.png").is_file()


def test_ours_does_not_depend_on_which_corner_comes_first(tmp_path: Path, plateflow: Plateflow) -> None:
    tables: dict[str, list[npt.NDArray[np.float64]]] = {"": [], "--compatible": []}
    for line in (LONG_FIRST, SHORT_FIRST):
        source = quads(tmp_path, line)
        for mode, found in tables.items():
            options = [mode] if mode else []
            assert (
                plateflow("heatmap", source, "--k", "7", "--out", tmp_path, "--csv", tmp_path / "g.csv", *options) == 0
            )
            found.append(grid(tmp_path / "g.csv"))

    assert np.array_equal(tables[""][0], tables[""][1])
    assert not np.array_equal(tables["--compatible"][0], tables["--compatible"][1])


def test_every_plate_of_the_older_programs_files_is_drawn_but_the_degenerate_one(
    shared_data: Path, tmp_path: Path, plateflow: Plateflow
) -> None:
    source = shared_data / "quads" / "multy_mini.txt"

    assert plateflow("heatmap", source, "--k", "20", "--out", tmp_path, "--csv", tmp_path / "g.csv") == 0
    assert "93 plates drawn, 1 thinner than 3 pixels left out" in plateflow.out
    assert grid(tmp_path / "g.csv").sum() == pytest.approx(93, abs=1e-3)


def test_ours_may_be_named_and_lie_over_a_frame(tmp_path: Path, plateflow: Plateflow) -> None:
    source, out = quads(tmp_path, LONG_FIRST), tmp_path / "named.png"
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, 320:] = 255
    cv2.imwrite(str(tmp_path / "frame.jpg"), frame)

    assert plateflow("heatmap", source, "--out", out, "--background", tmp_path / "frame.jpg") == 0
    drawn = cv2.imread(str(out))
    assert drawn is not None
    row = drawn[int(drawn.shape[0] * 0.7)].mean(axis=1)
    assert row[drawn.shape[1] // 4] + 80 < row[drawn.shape[1] * 2 // 3]


# ---- the most significant area -----------------------------------------------------------------------------
def test_the_most_significant_area_is_marked_told_and_exported(tmp_path: Path, plateflow: Plateflow) -> None:
    source = quads(tmp_path, LONG_FIRST, LONG_FIRST, LONG_FIRST, LONG_FIRST, "500 600 600 500 400 400 430 430")

    assert plateflow("heatmap", source, "--k", "10", "--area", "0.8", "--out", tmp_path / "a.png") == 0
    said = json.loads((tmp_path / "a.area.json").read_text())
    assert said["pixels"] == {"x": 100, "y": 50, "width": 100, "height": 30}
    assert said["relative"] == {"x": 0.15625, "y": 0.104167, "width": 0.15625, "height": 0.0625}
    assert said["held"] == 0.8
    assert "80% lie within 100 to 200 across and 50 to 80 down" in plateflow.out
    green = np.argwhere(np.all(cv2.imread(str(tmp_path / "a.png")) == (0x5F, 0x8A, 0x0F), axis=2))
    assert len(green) > 100


def test_the_area_of_sightings_is_exported_as_well(tmp_path: Path, plateflow: Plateflow) -> None:
    data, out = write(tmp_path / "data"), tmp_path / "heat.png"

    assert plateflow("heatmap", data, "--out", out, "--area", "0.5") == 0
    said = json.loads((tmp_path / "heat.area.json").read_text())
    assert said["held"] >= 0.5
    expected = picture.area_of(picture.load(data, CAMERA), share=0.5)
    assert said["pixels"]["x"] == expected.left and said["frame"] == {"width": 1280, "height": 720}


def test_the_grid_of_sightings_is_exported_as_well(tmp_path: Path, plateflow: Plateflow) -> None:
    data, table = write(tmp_path / "data"), tmp_path / "grid.csv"

    assert plateflow("heatmap", data, "--out", tmp_path / "heat.png", "--cell", "80", "--csv", table) == 0
    counts = grid(table)
    assert counts.shape == (9, 16) and counts.sum() == 400
    assert counts[0, 0] == 7  # the n-th vehicle is first seen at 30, 10 + 10 n
    assert "." not in table.read_text()
    assert plateflow("heatmap", data, "--out", tmp_path / "s.png", "--csv", table, "--weight", "seconds") == 0
    assert grid(table).sum() == pytest.approx(40 * 9 * 0.25)


# ---- several cell sizes ------------------------------------------------------------------------------------
def test_several_cell_sizes_are_compared_in_one_picture(tmp_path: Path, plateflow: Plateflow) -> None:
    source, data = quads(tmp_path, LONG_FIRST), write(tmp_path / "data")

    assert plateflow("heatmap", source, "--out", tmp_path / "made", "--sheet", "20,30,40,60,100") == 0
    assert "1 plate drawn with 5 cell sizes" in plateflow.out
    assert plateflow("heatmap", data, "--out", tmp_path / "made" / "data.png", "--sheet", "10,80") == 0
    assert "400 sightings" in plateflow.out and "2 cell sizes" in plateflow.out
    sizes = {path.name: np.asarray(cv2.imread(str(path))).shape for path in (tmp_path / "made").iterdir()}
    assert set(sizes) == {"gate_sheet.png", "data.png"}
    assert sizes["gate_sheet.png"][1] > 1.3 * sizes["data.png"][1]  # three beside each other, two beside each other


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--sheet", "20,many"), "names no cell sizes"),
        (("--sheet", "0"), "names no cell sizes"),
        (("--sheet", ",".join(["9"] * 13)), "names no cell sizes"),
        (("--sheet", "20,2.5"), "whole pixels"),
        (("--sheet", "20,481"), "between 1 and 480"),
        (("--sheet", "20,40", "--k", "9"), "leave out --cell"),
        (("--sheet", "20,40", "--compatible"), "knows no"),
    ],
)
def test_a_sheet_that_cannot_be_drawn_is_told(
    options: tuple[str, ...], complaint: str, tmp_path: Path, plateflow: Plateflow
) -> None:
    assert plateflow("heatmap", quads(tmp_path, LONG_FIRST), "--out", tmp_path / "made", *options) == 2
    assert complaint in plateflow.complaint
    assert not (tmp_path / "made").exists()


# ---- mistakes ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [(), ("--compatible",)])
def test_without_plates_there_is_a_sentence_and_no_picture(
    options: tuple[str, ...], tmp_path: Path, plateflow: Plateflow
) -> None:
    source = quads(tmp_path / "in")

    out = tmp_path / "made"
    assert plateflow("heatmap", source, "--out", out, "--csv", tmp_path / "g.csv", *options) == 3
    assert "there are no plates" in plateflow.complaint
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_file_of_degenerate_quads_alone_has_no_plates(tmp_path: Path, plateflow: Plateflow) -> None:
    source = quads(tmp_path, FLAT, "900 950 950 900 10 10 40 40")

    assert plateflow("heatmap", source, "--out", tmp_path) == 3
    assert "1 thinner than 3 pixels and 1 outside the frame left out" in plateflow.complaint


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--k", "0"), "between 1 and 480"),
        (("--k", "-20", "--compatible"), "between 1 and 480"),
        (("--k", "481", "--compatible"), "the shorter side of the 640×480 frame"),
        (("--k", "20.5"), "whole pixels"),
        (("--k", "nan"), "whole pixels"),
        (("--area", "0"), "--area"),
        (("--area", "0.8", "--compatible"), "knows no --area"),
        (("--camera", "site/gate"), "leave out --camera"),
        (("--weight", "seconds"), "leave out --camera"),
        (("--from", "0"), "leave out --camera"),
        (("--background", "nowhere.png"), "no such file"),
    ],
)
def test_a_mistake_in_the_command_is_told(
    options: tuple[str, ...], complaint: str, tmp_path: Path, plateflow: Plateflow
) -> None:
    source = quads(tmp_path, LONG_FIRST)

    assert plateflow("heatmap", source, "--out", tmp_path / "made", *options) == 2
    assert complaint in plateflow.complaint
    assert not (tmp_path / "made").exists()


def test_what_is_of_text_files_is_refused_for_a_folder(tmp_path: Path, plateflow: Plateflow) -> None:
    assert plateflow("heatmap", tmp_path, "--out", tmp_path / "a.png", "--compatible") == 2
    assert "only of a text file" in plateflow.complaint


def test_a_switch_takes_no_word_that_would_turn_it_on(tmp_path: Path, plateflow: Plateflow) -> None:
    source = quads(tmp_path, LONG_FIRST)

    assert plateflow("heatmap", source, "--out", tmp_path / "made", "--compatible=False") == 2
    assert not (tmp_path / "made").exists()


def test_broken_lines_are_named_by_their_number(tmp_path: Path, plateflow: Plateflow) -> None:
    source = quads(tmp_path, LONG_FIRST, "1 2 3", "", "1 2 3 4 5 6 7 x", "1 2 3 4 5 6 7 nan", LONG_FIRST)

    assert plateflow("heatmap", source, "--out", tmp_path / "made") == 2
    for fault in ("line 3: 3 numbers", "line 5: 'x' is no number", "line 6: 'nan' is no number"):
        assert fault in plateflow.complaint
    assert "line 2" not in plateflow.complaint and "line 7" not in plateflow.complaint
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("header", ["", "640 480", "640 480 gate", "640 0 gate 25", "wide 480 gate 25", "640 480 a b"])
def test_a_broken_header_is_line_one(header: str, tmp_path: Path, plateflow: Plateflow) -> None:
    source = quads(tmp_path, LONG_FIRST, header=header)

    assert plateflow("heatmap", source, "--out", tmp_path / "made") == 2
    assert "line 1" in plateflow.complaint and "W H name fps" in plateflow.complaint


def test_what_is_no_text_is_told(tmp_path: Path, plateflow: Plateflow) -> None:
    (tmp_path / "plates.bin").write_bytes(b"\x00\xff\xfe" * 100)

    assert plateflow("heatmap", tmp_path / "plates.bin", "--out", tmp_path / "made") == 2
    assert "no text" in plateflow.complaint


def test_a_name_with_blanks_and_a_broken_frame_rate_are_kept_as_they_are(tmp_path: Path) -> None:
    found = read_quads(quads(tmp_path, LONG_FIRST, header="640 480 north gate,  morning 29.97"))

    assert (found.width, found.height, found.name, found.fps) == (640, 480, "north gate,  morning", 29.97)
    assert found.quads[0].tolist() == [[100, 50], [200, 50], [200, 80], [100, 80]]

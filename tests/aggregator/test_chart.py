"""Pictures of grids: their size, their page, what can be read on them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from services.aggregator import chart
from services.aggregator.chart import Chart, Grid, Look, Picture
from services.aggregator.style import DARK, LIGHT, NATURAL, SMALL, Page, Style, heading


def drawn(folder: Path, look: Look, shape: tuple[int, int] = (9, 16), title: str = "gate") -> Picture:
    rows, columns = shape
    values = np.arange(rows * columns, dtype=np.float64).reshape(shape)
    x, y = (np.array([40.0 * index for index in range(count + 1)]) for count in (columns, rows))
    grid = Grid(values, x, y, "sightings per cell")
    image = cv2.imread(str(chart.draw(Chart(grid, title, ["a fact", "another"]), folder / "a.png", look)))
    assert image is not None
    return np.asarray(image, np.uint8)


@pytest.mark.parametrize("width", [300, 640, 1350, 3000])
def test_a_picture_is_as_wide_as_asked(width: int, tmp_path: Path) -> None:
    assert abs(drawn(tmp_path, Look(width=width)).shape[1] - width) <= 1


@pytest.mark.parametrize("width", [300, 640, 1350, 3000, 8000])
def test_text_is_never_smaller_than_can_be_read_nor_small_on_a_large_picture(width: int) -> None:
    pixels = SMALL / 72 * Page(width).dpi

    assert pixels >= 8
    assert pixels >= SMALL / 72 * 130 * min(1, width / NATURAL)


@pytest.mark.parametrize("width", [300, 640, 1350])
def test_a_title_breaks_into_lines_that_fit(width: int, tmp_path: Path) -> None:
    title = " ".join(["a camera with a long name"] * 6)
    page = Page(width)
    head = heading(page, title, ["2026-06-16 07:10:12 to 08:07:43 UTC", "71 sightings", "6 vehicles"], page.inches - 1)

    assert " ".join(head.title) == title
    assert len(head.title) > 1
    image = drawn(tmp_path, Look(width=width), title=title)
    assert (image[: image.shape[0] // 2, -max(2, width // 100) :] == 255).all(), "text runs out of the picture"


@pytest.mark.parametrize(("style", "bright"), [(LIGHT, True), (DARK, False)])
def test_a_page_is_light_or_dark_and_its_text_can_be_told_from_it(style: Style, bright: bool, tmp_path: Path) -> None:
    image = drawn(tmp_path, Look(style))

    assert (image[:10].mean() > 200) == bright
    top = image[: image.shape[0] // 8].mean(axis=2)
    assert top.max() - top.min() > 150


@pytest.mark.parametrize("shape", [(40, 8), (3, 60), (1, 1)])
def test_a_grid_of_any_shape_keeps_its_cells_square(shape: tuple[int, int], tmp_path: Path) -> None:
    rows, columns = shape
    image = drawn(tmp_path, Look(), shape)
    field = np.array([int(LIGHT.field[i : i + 2], 16) for i in (5, 3, 1)])
    top = np.array([round(255 * part) for part in LIGHT.colours(1.0)[2::-1]])
    hot = np.argwhere(np.abs(image.astype(int) - top).max(axis=2) <= 6)

    assert rows * columns == 1 or len(hot) > 20
    assert image.shape[0] < 2.5 * image.shape[1]
    assert rows * columns > 1 or (np.abs(image.astype(int) - field).max(axis=2) <= 1).any()


def test_a_difference_has_zero_in_the_middle_of_its_scale() -> None:
    norm = chart.norm([np.array([[-1.0, 0, 4]])], difference=True)

    assert (norm(-4), norm(0), norm(4)) == (0, 0.5, 1)


def test_several_grids_share_one_scale() -> None:
    assert chart.norm([np.array([[1.0]]), np.array([[9.0]])]).vmax == 9


def test_a_picture_replaces_the_former_one_in_one_go(tmp_path: Path) -> None:
    drawn(tmp_path, Look())

    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]

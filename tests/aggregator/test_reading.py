"""What analysts read: Parquet under DuckDB and pandas, while it is written; pictures; the aggregator without Kafka."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from services.aggregator import picture
from services.aggregator.core.aggregate import replay
from services.aggregator.core.config import Camera, Config
from services.aggregator.files import LocalFiles
from services.aggregator.local import LocalAggregator
from services.contracts.messages import Box, Track
from services.runtime.errors import SettingsError
from tests.aggregator.build import HOUR_MS, NOON_MS, track
from tests.aggregator.test_aggregate import GROUND
from tests.aggregator.world import World

CAMERA = "site/north gate"
CONFIG = Config(default=Camera(ground=GROUND))


def traffic(count: int) -> list[Track]:
    boxes: list[Box] = [(40.0 * i, 100.0, 60.0, 20.0) for i in range(20)]
    return [
        track(
            [NOON_MS + 60_000 * n + 100 * i for i in range(20)],
            f"A{n:03}BC77",
            recording=f"r{n}",
            run=n,
            camera=CAMERA,
            boxes=boxes,
        )
        for n in range(count)
    ]


def glob(data: Path, kind: str) -> str:
    return f"read_parquet('{data}/{kind}/**/*.parquet', hive_partitioning=true)"


def rows_of(query: str, connection: duckdb.DuckDBPyConnection | None = None) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = (connection or duckdb.connect()).execute(query).fetchall()
    return rows


def test_duckdb_never_sees_half_a_file_while_the_aggregator_writes(tmp_path: Path) -> None:
    world = World(traffic(40), files=LocalFiles(tmp_path))
    seen: list[tuple[int, ...]] = []
    done = threading.Event()

    def watch() -> None:
        connection = duckdb.connect()
        while not done.is_set():
            if not list(tmp_path.glob("sightings/**/*.parquet")):
                continue
            counted = f"select sum(count)::int from {glob(tmp_path, 'heatmap')} where plane = 'image'"
            stored = f"select count(*)::int from {glob(tmp_path, 'sightings')}"
            seen.append((*rows_of(counted, connection)[0], *rows_of(stored, connection)[0]))

    failures: list[BaseException] = []
    thread = threading.Thread(target=lambda: _note(watch, failures))
    thread.start()
    try:
        world.live(CONFIG)
    finally:
        done.set()
        thread.join()

    assert not failures
    assert seen == sorted(seen)
    assert len(world.sightings()) == len(world.plates()) == 400


def _note(work: object, failures: list[BaseException]) -> None:
    try:
        assert callable(work)
        work()
    except BaseException as error:
        failures.append(error)


def test_sums_are_equal_in_duckdb_and_pandas(tmp_path: Path) -> None:
    tracks = traffic(70)
    aggregator = LocalAggregator(tmp_path, CONFIG)
    published = [plate for message in tracks for plate in aggregator.add(message)[0]]
    aggregator.close()

    sums = rows_of(
        f"""select plane, sum(count)::int from {glob(tmp_path, "heatmap")} where results = 1
            group by plane order by plane"""
    )
    rows = pd.read_parquet(tmp_path / "sightings" / "results=1")
    assert sums[1] == ("image", len(published))
    assert sums[0][1] + int(rows["off_plan"].sum()) == len(published) == len(rows)
    assert set(rows["camera"].astype(str)) == {CAMERA}
    assert rows["time"].min() == pd.Timestamp(NOON_MS, unit="ms", tz="UTC")
    assert rows_of(f"select distinct camera from {glob(tmp_path, 'sightings')}") == [(CAMERA,)]
    expected = replay(tracks, CONFIG)
    assert published == expected.plates


def test_a_second_local_run_replaces_the_first(tmp_path: Path) -> None:
    for count in (70, 3):
        aggregator = LocalAggregator(tmp_path, CONFIG)
        for message in traffic(count):
            aggregator.add(message)
        aggregator.close()

    assert len(pd.read_parquet(tmp_path / "sightings" / "results=1")) == 30


def test_a_local_run_leaves_the_folder_of_a_service_alone(tmp_path: Path) -> None:
    World(traffic(1), files=LocalFiles(tmp_path)).live(CONFIG)

    with pytest.raises(SettingsError, match="choose another"):
        LocalAggregator(tmp_path, CONFIG)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    aggregator = LocalAggregator(tmp_path, CONFIG)
    for message in traffic(70):
        aggregator.add(message)
    aggregator.close()
    return tmp_path


def test_a_heatmap_adds_up_its_hours_and_fills_the_whole_frame(data: Path) -> None:
    heatmap = picture.load(data, CAMERA)
    first = picture.load(data, CAMERA, hours=range(NOON_MS, NOON_MS + HOUR_MS))

    assert picture.cameras(data) == [CAMERA]
    assert (heatmap.width, heatmap.height, heatmap.k) == (1280, 720, 40)
    assert picture.matrix(heatmap).shape == (18, 32)
    assert np.nansum(picture.matrix(heatmap)) == 700
    assert np.nansum(picture.matrix(first)) == 600
    assert (first.first_ms, first.end_ms) == (NOON_MS, NOON_MS + HOUR_MS)
    ground = picture.load(data, CAMERA, plane="ground")
    assert (ground.width, ground.height) == (200, 100)
    assert np.nansum(picture.matrix(ground)) + ground.off_plan == 700


def test_nothing_to_draw_says_what_there_is(data: Path) -> None:
    with pytest.raises(picture.NothingToDraw, match=f"there are: {CAMERA}"):
        picture.load(data, "site/other")


def test_a_picture_has_the_hot_cells_in_warm_colours(data: Path, tmp_path: Path) -> None:
    frame = np.full((720, 1280, 3), 90, np.uint8)
    for name, plane, background in (("a", "image", None), ("b", "image", frame), ("c", "ground", None)):
        out = picture.draw_heatmap(
            picture.load(data, CAMERA, plane="image" if plane == "image" else "ground"),
            tmp_path / "pictures" / f"{name}.png",
            background=background,
        )
        pixels = matplotlib.image.imread(out)[:, :, :3]
        red, blue = pixels[:, :, 0], pixels[:, :, 2]
        assert pixels.shape[0] > 400 and pixels.shape[1] > 600
        assert ((red > 0.8) & (blue < 0.4)).mean() > 0.001

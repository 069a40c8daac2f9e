"""The camera file."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import msgspec
import pytest

from services.aggregator.cameras import BadCameras, WatchedCameras, parse, read
from services.aggregator.core.config import Config, Options
from services.runtime.errors import SettingsError

PAIRS = [[[0, 0], [0, 0]], [[100, 0], [10, 0]], [[100, 100], [10, 10]], [[0, 100], [0, 10]]]
GATE = {"pairs": PAIRS, "plan": {"width": 10, "height": 20, "metres_per_unit": 0.5}, "label": "Gate"}
OPTIONS = Options()


def test_yaml_and_json_say_the_same(tmp_path: Path) -> None:
    yaml, json_ = tmp_path / "cameras.yaml", tmp_path / "cameras.json"
    json_.write_text(json.dumps({"site/gate": GATE}))
    yaml.write_text(
        f"site/gate:\n  pairs: {PAIRS}\n  label: Gate\n  plan: {{width: 10, height: 20, metres_per_unit: 0.5}}\n"
    )

    assert read(yaml, OPTIONS) == read(json_, OPTIONS)
    ground = read(yaml, OPTIONS).camera("site/gate").ground
    assert ground is not None
    assert (ground.pairs, ground.inliers, ground.rms, ground.worst) == (4, 4, 0.0, 0.0)
    assert ground.cell == 20 / 50


def test_a_camera_that_is_not_named_goes_by_the_default() -> None:
    config = parse({"default": {"cell": 20}, "site/gate": None}, OPTIONS, cell=30)

    assert config.camera("site/other").cell == 20
    assert config.camera("site/gate").cell == 30
    assert config.camera("site/gate").ground is None
    assert parse(None, OPTIONS).camera("any").cell == 40


def test_every_fault_is_told_with_its_camera() -> None:
    with pytest.raises(BadCameras) as told:
        parse(
            {
                "few": {"pairs": PAIRS[:3], "plan": {"width": 1, "height": 1}},
                "planless": {"pairs": PAIRS},
                "typo": {"pears": PAIRS},
                "small": {"cell": 0},
                "endless": {"pairs": PAIRS, "plan": {"width": float("inf"), "height": 1}},
                "word": {"pairs": PAIRS, "plan": {"width": "wide", "height": 1}},
                "flat": {"pairs": PAIRS, "plan": {"width": 1, "height": 0}},
                "negative": {"pairs": PAIRS, "plan": {"width": 1, "height": 1}, "ransac": -1},
                "frame": {"pairs": PAIRS, "plan": {"width": 1, "height": 1}, "image": {"width": 0, "height": 1}},
                "good": GATE,
            },
            OPTIONS,
        )

    said = str(told.value).split("; ")
    assert [fault.split(":")[0] for fault in said] == [
        "few", "planless", "typo", "small", "endless", "word", "flat", "negative", "frame",
    ]  # fmt: skip
    assert "at least 4" in said[0]
    assert "$.plan.width" in said[5]


def test_what_is_no_mapping_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    for content in ("- a\n", "1: {}\n", "a: {b: [\n", "\x00"):
        path.write_text(content)
        with pytest.raises(BadCameras):
            read(path, OPTIONS)


def test_a_configuration_survives_its_checkpoint_exactly() -> None:
    # x, y -> (x, y) / (1 - y / 200): the last pair lies beyond the horizon
    pixels = [(0, 0), (100, 0), (100, 100), (0, 100), (50, 50), (20, 80)]
    pairs = [[[x, y], [x / (1 - y / 200), y / (1 - y / 200)]] for x, y in pixels]
    far = {**GATE, "pairs": [*pairs, [[50, 250], [5, 5]]], "ransac": 0.5}
    config = parse({"site/gate": GATE, "far": far}, OPTIONS)

    ground = config.camera("far").ground
    assert ground is not None and (ground.inliers, ground.worst) == (6, None)
    assert msgspec.json.decode(msgspec.json.encode(config), type=Config) == config


def test_a_changed_file_is_read_again_at_most_once_a_second(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_text("default: {cell: 20}")
    cameras = WatchedCameras(path, OPTIONS, 40)
    cameras.poll(0)
    path.write_text("default: {cell: 100}")

    cameras.poll(0.9)
    assert cameras.config.default.cell == 20
    cameras.poll(1.0)
    assert cameras.config.default.cell == 100


def test_a_bad_file_keeps_the_last_good_one_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_text("default: {cell: 20}")
    cameras = WatchedCameras(path, OPTIONS, 40)
    for now_s, content in enumerate(["default: {cell: none}", "{", "default: {cell: 0}"]):
        path.write_text(content)
        with caplog.at_level(logging.ERROR):
            cameras.poll(float(now_s))
    path.unlink()
    cameras.poll(10)

    assert cameras.config.default.cell == 20
    assert len(caplog.records) == 4
    assert "the last good one stays" in caplog.text


def test_a_bad_file_at_the_start_is_a_mistake_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "cameras.yaml"
    path.write_text("site/gate: {pairs: [[1, 2]]}")

    with pytest.raises(SettingsError, match="PLATEFLOW_CAMERAS: site/gate"):
        WatchedCameras(path, OPTIONS, 40)

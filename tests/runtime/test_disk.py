"""The free share of a disk is shown at each scrape, also before its folder is made, and never breaks /metrics."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from services.runtime.disk import free_share, watch_disk
from services.runtime.metrics import REGISTRY


def shown(store: str) -> float | None:
    return REGISTRY.get_sample_value("plateflow_disk_free_ratio", {"store": store})


def test_a_folders_disk_is_shown_also_before_the_folder_is_made(tmp_path: Path) -> None:
    watch_disk("clips", str(tmp_path / "not" / "yet"))

    assert 0 < (shown("clips") or 0) <= 1
    assert free_share(tmp_path) == pytest.approx(free_share(tmp_path / "not" / "yet"), abs=0.05)


def test_a_bucket_has_no_disk() -> None:
    watch_disk("bucket", "s3://plates/clips")

    assert shown("bucket") is None


def test_a_disk_that_cannot_be_asked_is_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_path: Path) -> object:
        raise OSError("stale file handle")

    monkeypatch.setattr("shutil.disk_usage", fails)
    watch_disk("objects", str(tmp_path))

    assert math.isnan(shown("objects") or 0)

"""docs/install.md tells the truth: its values are accepted, what it names exists, and its table follows its formula."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from tests.support import helm
from tests.support.cache import REPOSITORY
from tests.support.compose import load

TEXT = (REPOSITORY / "docs" / "install.md").read_text()
VALUES: dict[str, Any] = yaml.safe_load((helm.CHART / "values.yaml").read_text())


def test_the_values_file_that_it_shows_is_accepted(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    values = tmp_path / "values.yaml"
    values.write_text(shown)
    for one in helm.objects(values):
        helm.check(one)


def test_every_value_that_it_names_exists() -> None:
    rows = re.findall(
        r"^\| `([a-z]\w+(?:\.\w+)*)`", TEXT.partition("### Values")[2].partition("## 3.")[0], re.MULTILINE
    )
    assert len(rows) > 8
    for path in rows:
        value: Any = VALUES
        for name in path.split("."):
            assert name in value, path
            value = value[name]


def test_the_sizing_table_follows_its_formula() -> None:
    rows = re.findall(r"^\| (\d+) × (\d+) \| (\d+) \| (\d+) \| (\d+) \|", TEXT, re.MULTILINE)
    assert len(rows) == 4
    for row in rows:
        cameras, an_hour, frames_s, workers, partitions = map(int, row)
        exact = cameras * an_hour * 20 * 5 / 3600
        assert round(exact) == frames_s
        assert workers == math.ceil(exact / 25 / 0.6)
        assert partitions >= max(6, 2 * workers)


def test_profiles_and_addresses_of_compose_are_as_it_says(tmp_path: Path) -> None:
    services = load(tmp_path)
    there = {profile for service in services.values() for profile in service.get("profiles", [])}
    assert set(re.findall(r"--profile (\w+)", TEXT)) == there
    published = {port["published"] for service in services.values() for port in service.get("ports", [])}
    assert set(re.findall(r"^\| (?:http://)?localhost:(\d+)", TEXT, re.MULTILINE)) == published

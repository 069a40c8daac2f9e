"""The dashboards are what the code says, ask for metrics that there are, and show data while recordings come in."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest
import yaml

from services.cli.dashboards import TARGET, main
from tests.deploy.conftest import Watched
from tests.deploy.promql import DASHBOARDS, Expression, of_dashboards, of_rules, rules, unknown
from tests.support.cache import REPOSITORY
from tests.support.prometheus import PrometheusServer, promtool

GRAFANA = REPOSITORY / "deploy" / "grafana"
EMPTY_WHERE_NOTHING_IS_WRONG = {
    "plateflow_dead_letters_total": "no record was given up on",
    "plateflow_retries_total": "nothing had to be tried again",
    "plateflow_inference_decoder_restarts_total": "no decoder was replaced",
    "plateflow_gpu_": "there is no graphics card",
}
"""Metrics whose label values are not known before something goes wrong, so that a good run shows none."""


def test_the_dashboards_are_what_the_code_says() -> None:
    assert main(["--check"]) == 0


def test_a_changed_dashboard_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.dashboards.TARGET", tmp_path)
    assert main([]) == 0
    assert main(["--check"]) == 0

    (tmp_path / "plateflow-quality.json").write_text("{}")
    assert main(["--check"]) == 1


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_lie_side_by_side_within_the_page_and_never_overlap(path: Path) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(path.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {(x + place["x"], y + place["y"]) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_every_panel_says_what_to_read_off_it(path: Path) -> None:
    panels = [panel for panel in json.loads(path.read_text())["panels"] if panel["type"] != "row"]

    assert all(panel["description"].endswith(".") and panel["targets"] for panel in panels)
    assert len({panel["title"] for panel in panels}) == len(panels)


def test_grafana_is_told_where_the_dashboards_and_prometheus_are() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/plateflow.yml").read_text())["providers"]

    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards/plateflow"
    assert TARGET == GRAFANA / "dashboards"


@pytest.mark.parametrize("expression", sorted(set(of_dashboards())), ids=lambda one: one.place)
def test_a_panel_uses_metrics_and_labels_that_there_are(expression: Expression) -> None:
    assert list(unknown(expression.text)) == []


def test_prometheus_can_parse_every_expression_of_every_dashboard(tmp_path: Path) -> None:
    """As recording rules, since promtool parses those without a server."""
    as_rules = [{"record": f"panel:{index}", "expr": one.text} for index, one in enumerate(of_dashboards())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": as_rules}]}))

    said = promtool("check", "rules", file)

    assert said.returncode == 0, said.stdout + said.stderr
    assert f"{len(as_rules)} rules found" in said.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_panel_and_every_recording_rule_shows_data_while_recordings_come_in(watched: Watched) -> None:
    scraped = watched.prometheus
    recorded = [Expression(rule["record"], rule["record"]) for rule in rules() if "record" in rule]
    expected = [one for one in of_dashboards() + recorded if not _may_be_empty(one)]
    deadline = time.monotonic() + 60
    while missing := [one for one in expected if not _has_data(scraped, one.text)]:
        if time.monotonic() > deadline:
            raise AssertionError("no data after a minute:\n" + "\n".join(f"{one.place}: {one.text}" for one in missing))
        time.sleep(1)

    for expression in of_dashboards() + of_rules():
        scraped.query(expression.text)  # raises where Prometheus cannot evaluate it
    firing = scraped.query('ALERTS{alertstate="firing"}')
    assert firing == []


def _may_be_empty(expression: Expression) -> bool:
    return any(name in expression.text for name in EMPTY_WHERE_NOTHING_IS_WRONG)


def _has_data(prometheus: PrometheusServer, text: str) -> bool:
    """A number at least; 0/0 is none."""
    return any(not math.isnan(float(sample["value"][1])) for sample in prometheus.query(text))

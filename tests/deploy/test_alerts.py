"""Every alert fires when it should and keeps silent when it should, by Prometheus' own test tool."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from tests.deploy.promql import RULES, of_rules, rules, unknown
from tests.support.cache import REPOSITORY
from tests.support.prometheus import promtool

CONFIG = REPOSITORY / "deploy" / "prometheus" / "prometheus.yml"
RUNBOOKS = REPOSITORY / "docs" / "runbooks.md"
ALERTS = [rule for rule in rules() if "alert" in rule]

PLACE = 'job="plateflow-inference", instance="inference:8080"'
SERVICE = f'{PLACE}, service="inference"'


@dataclass(frozen=True)
class Case:
    """Series in promtool's notation, one value every ``step`` minutes, and whether the alert fires after ``steps``."""

    alert: str
    fires: bool
    what: str
    series: dict[str, str] = field(default_factory=dict)
    steps: int = 60
    step: int = 1


def ready(values: str) -> dict[str, str]:
    return {f"plateflow_ready{{{SERVICE}}}": values}


def vault(values: str) -> dict[str, str]:
    return {f'plateflow_check_ok{{{SERVICE}, check="vault"}}': values}


def records(handled: str, rejected: str = "0x60") -> dict[str, str]:
    return {
        f'plateflow_records_total{{{SERVICE}, outcome="handled"}}': handled,
        f'plateflow_records_total{{{SERVICE}, outcome="rejected"}}': rejected,
    }


def started(values: str) -> dict[str, str]:
    return {f"process_start_time_seconds{{{PLACE}}}": values}


def behind(values: str) -> dict[str, str]:
    return {f"plateflow_lag_seconds{{{SERVICE}}}": values}


def in_flight(values: str) -> dict[str, str]:
    return {f"plateflow_in_flight{{{SERVICE}}}": values}


def announced(values: str) -> dict[str, str]:
    return {f'plateflow_ingest_recordings_total{{{PLACE}, outcome="stored"}}': values}


def sent(values: str, behind_s: str = "0") -> dict[str, str]:
    """Unix seconds; promtool's clock begins with 0."""
    return {
        f'plateflow_camera_last_recording_timestamp_seconds{{{PLACE}, camera="yard/gate"}}': values,
        f'plateflow_lag_seconds{{{PLACE}, service="ingest"}}': f"{behind_s}x{WEEK + 96}",
    }


def aborted(values: str) -> dict[str, str]:
    return {f'plateflow_transactions_total{{{SERVICE}, outcome="aborted"}}': values}


def expired(values: str) -> dict[str, str]:
    return {f"plateflow_records_expired_total{{{SERVICE}}}": values}


def retried(reason: str, values: str) -> dict[str, str]:
    return {f'plateflow_retries_total{{{SERVICE}, reason="{reason}"}}': values}


def free(values: str) -> dict[str, str]:
    return {f'plateflow_disk_free_ratio{{{PLACE}, store="clips"}}': values}


def readings(decided: str, partial: str) -> dict[str, str]:
    return {
        f'plateflow_inference_readings_total{{{PLACE}, outcome="decided"}}': decided,
        f'plateflow_inference_readings_total{{{PLACE}, outcome="partial"}}': partial,
    }


def reloads(values: str) -> dict[str, str]:
    return {f'plateflow_aggregator_camera_reloads_total{{{PLACE}, outcome="refused"}}': values}


DAY, WEEK = 288, 672
"""In steps of 5 and of 15 minutes."""
EVENINGS = " ".join(f"{86_400 * day}+900x47 {86_400 * day + 42_300}x47" for day in range(8))
"""The newest recording of a camera that sends from midnight to noon, in steps of 15 minutes."""
CASES = [
    Case("PlateflowDown", True, "a process that does not answer", {f"up{{{PLACE}}}": "0x60"}),
    Case("PlateflowDown", False, "a short restart", {f"up{{{PLACE}}}": "1x56 0x3"}),
    Case("PlateflowUnready", True, "a process that waits for Kafka", ready("0x60")),
    Case("PlateflowUnready", True, "one that starts again and again", ready("0 0 _ 0 0 _ 0 0 _" + " 0" * 51)),
    Case("PlateflowUnready", False, "a process that has just started", ready("0 1x59")),
    Case("PlateflowVaultRefuses", True, "keys that Vault refuses", vault("1x30 0x29")),
    Case("PlateflowVaultRefuses", False, "one ping lost", vault("1x50 0 1x8")),
    Case("PlateflowRestarting", True, "three starts in half an hour", started("1x40 2x5 3x5 4x8")),
    Case("PlateflowRestarting", False, "one restart", started("1x40 2x19")),
    Case("PlateflowBehind", True, "work that falls behind", behind("400x60") | records("0+5x60")),
    Case("PlateflowBehind", False, "an old lag where nothing is left to do", behind("400x60") | records("7x60")),
    Case("PlateflowBehind", False, "a lag of a minute", behind("60x60") | records("0+5x60")),
    Case("PlateflowStuck", True, "records in hand and none finished", in_flight("4x60") | records("9x60")),
    Case("PlateflowStuck", True, "that, before any was ever finished", in_flight("4x60")),
    Case("PlateflowStuck", False, "records in hand that are finished", in_flight("4x60") | records("0+1x60")),
    Case("PlateflowStuck", False, "nothing to do", in_flight("0x60") | records("9x60")),
    Case("PlateflowNoRecordings", True, "a silence unlike yesterday", announced(f"0+1x{DAY} {DAY}x24"), DAY + 23, 5),
    Case("PlateflowNoRecordings", False, "recordings as yesterday", announced(f"0+1x{DAY + 24}"), DAY + 23, 5),
    Case("PlateflowNoRecordings", False, "the same silence as yesterday", announced(f"7x{DAY + 24}"), DAY + 23, 5),
    Case("PlateflowCameraSilent", True, "a camera that always sent and stopped",
         sent(f"0+900x{WEEK} {900 * WEEK}x96"), WEEK + 10, 15),
    Case("PlateflowCameraSilent", False, "one that goes on", sent(f"0+900x{WEEK + 96}"), WEEK + 10, 15),
    Case("PlateflowCameraSilent", False, "one that is silent every night", sent(EVENINGS), WEEK + 70, 15),
    Case("PlateflowCameraSilent", False, "one that is silent since ingest is behind",
         sent(f"0+900x{WEEK} {900 * WEEK}x96", "900"), WEEK + 10, 15),
    Case("PlateflowTransactionsAborted", True, "aborts again and again", aborted("0+1x60")),
    Case("PlateflowTransactionsAborted", False, "two, when partitions moved", aborted("0x55 2x4")),
    Case("PlateflowDeadLetters", True, "the very first dead letter", records("0+1x60", "0x55 1x4")),
    Case("PlateflowDeadLetters", False, "none since", records("0+1x60", "3x60")),
    Case("PlateflowManyDeadLetters", True, "half of the records", records("0+1x60", "0+1x60")),
    Case("PlateflowManyDeadLetters", False, "one of hundreds", records("0+50x60", "0x55 1x4")),
    Case("PlateflowManyDeadLetters", False, "two of three, which is not yet many", records("0x55 1x4", "0x55 2x4")),
    Case("PlateflowRecordsExpired", True, "records deleted while it ran", expired("0x55 20x4")),
    Case("PlateflowRecordsExpired", True, "records found deleted at its start", expired("_x50 20x9")),
    Case("PlateflowRecordsExpired", False, "none deleted", expired("0x60")),
    Case("PlateflowDiskFull", True, "a full store", retried("store-full", "0+2x60")),
    Case("PlateflowDiskFull", False, "another dependency that is down", retried("vault-unavailable", "0+2x60")),
    Case("PlateflowDiskFilling", True, "a disk that is nearly full", free("0.2x20 0.05x39")),
    Case("PlateflowDiskFilling", False, "a disk that was nearly full for a moment", free("0.2x50 0.05x4 0.3x4")),
    Case("PlateflowQualityDrift", True, "half of the readings partial since six hours",
         readings(f"0+10x{WEEK} {10 * WEEK}+5x24", f"0x{WEEK} 0+5x24"), WEEK + 23, 15),
    Case("PlateflowQualityDrift", False, "the share of the week",
         readings(f"0+10x{WEEK + 24}", f"0+1x{WEEK + 24}"), WEEK + 23, 15),
    Case("PlateflowQualityDrift", False, "too few readings to say",
         readings(f"0+10x{WEEK} {10 * WEEK}x24", f"0x{WEEK} 0+1x24"), WEEK + 23, 15),
    Case("PlateflowCameraFileRefused", True, "a refused camera file", reloads("0x55 1x4")),
    Case("PlateflowCameraFileRefused", False, "none refused lately", reloads("1x60")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}-{case.what}".replace(" ", "_"))
def test_an_alert_fires_or_keeps_silent(case: Case, tmp_path: Path) -> None:
    firing = f'count(ALERTS{{alertname="{case.alert}", alertstate="firing"}}) or vector(0)'
    file = tmp_path / "test.yml"
    sample = {"labels": "{}", "value": int(case.fires)}
    test = {
        "interval": f"{case.step}m",
        "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": f"{case.steps * case.step}m", "exp_samples": [sample]}],
    }
    every = f"{case.step}m"
    # promtool takes groups in any order; with steps of 15 minutes a value recorded a step ago is forgotten already
    order = [group["name"] for group in yaml.safe_load(RULES.read_text())["groups"]]
    whole = {"rule_files": [str(RULES)], "evaluation_interval": every, "group_eval_order": order, "tests": [test]}
    file.write_text(yaml.safe_dump(whole))

    said = promtool("test", "rules", file)

    assert said.returncode == 0, said.stdout + said.stderr


def test_every_alert_is_tested_firing_and_silent() -> None:
    assert {(case.alert, case.fires) for case in CASES} == {
        (alert["alert"], fires) for alert in ALERTS for fires in (True, False)
    }


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    said = promtool("check", "config", CONFIG)

    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("expression", of_rules(), ids=lambda one: one.place)
def test_a_rule_uses_metrics_and_labels_that_there_are(expression: tuple[str, str]) -> None:
    assert list(unknown(expression[1])) == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_how_bad_it_is_and_leads_to_its_runbook(alert: dict[str, dict[str, str]]) -> None:
    anchors = [heading.lower() for heading in re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")

    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"]["summary"] and alert["annotations"]["description"]
    assert (REPOSITORY / page) == RUNBOOKS
    assert anchor in anchors


def test_every_runbook_belongs_to_an_alert() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)) == {one["alert"] for one in ALERTS}


def test_a_made_up_metric_or_label_would_be_noticed() -> None:
    assert list(unknown("sum by (camera) (rate(plateflow_frames_total[5m]))")) == [
        "there is no metric plateflow_frames_total",
        "nothing here has the label camera",
    ]
    assert list(unknown('plateflow_ready{plate="A"} > 0')) == ["plateflow_ready has no label plate"]

"""Reads PromQL as far as these tests need it: which metrics an expression names, with which labels."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml
from prometheus_client.metrics_core import Metric

from services.runtime.metrics import REGISTRY
from tests.support.cache import REPOSITORY

DASHBOARDS = sorted((REPOSITORY / "deploy" / "grafana" / "dashboards").glob("*.json"))
RULES = REPOSITORY / "deploy" / "prometheus" / "rules" / "plateflow.yml"
_NAME = re.compile(r"(?<![\w:])(?:plateflow|process|up|ALERTS)[\w:]*(?![\w:]*\s*\()")
_SELECTOR = re.compile(rf"({_NAME.pattern})(?:\{{([^}}]*)\}})?")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate"}}
TARGET = {"job", "instance"}
"""Labels that Prometheus itself adds."""


class Expression(NamedTuple):
    """A PromQL expression and where it stands."""

    place: str
    text: str


def of_dashboards() -> list[Expression]:
    """Every expression of every panel; Grafana's window stands for five minutes, its choice of cameras for all."""
    found = []
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                text = target["expr"].replace("$__rate_interval", "5m").replace("$camera", ".*")
                found.append(Expression(f"{path.stem}: {panel['title']}", text))
    return found


def of_rules(path: Path = RULES) -> list[Expression]:
    return [Expression(rule.get("alert") or rule["record"], rule["expr"]) for rule in rules(path)]


def rules(path: Path = RULES) -> list[dict[str, str]]:
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


def unknown(expression: str) -> Iterator[str]:
    """A sentence for each metric or label in an expression that no service and no rule of ours shows."""
    shown = _shown()
    plain = re.sub(r'"[^"]*"', '""', expression)
    labels = set(TARGET)
    for name, matchers in _SELECTOR.findall(plain):
        if name not in shown:
            yield f"there is no metric {name}"
            continue
        labels |= shown[name]
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers):
            if label not in shown[name] | TARGET:
                yield f"{name} has no label {label}"
    labels |= set(re.findall(r'label_replace\(.*?, "(\w+)", ', expression))
    for group in _GROUPING.findall(plain):
        for label in filter(None, map(str.strip, group.split(","))):
            if label not in labels:
                yield f"nothing here has the label {label}"


def _shown() -> dict[str, set[str]]:
    """Name of each series -> its labels."""
    recorded = {rule["record"]: _grouped_by(rule["expr"]) for rule in rules() if "record" in rule}
    return OF_PROMETHEUS | recorded | {name: labels for one in REGISTRY.collect() for name, labels in _series(one)}


def _grouped_by(expression: str) -> set[str]:
    return {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}


def _series(family: Metric) -> Iterator[tuple[str, set[str]]]:
    collector = REGISTRY._names_to_collectors.get(family.name)
    labels = set(getattr(collector, "_labelnames", ()))
    match family.type:
        case "counter":
            yield f"{family.name}_total", labels
        case "histogram":
            yield f"{family.name}_bucket", labels | {"le"}
            yield f"{family.name}_sum", labels
            yield f"{family.name}_count", labels
        case _:
            yield family.name, labels

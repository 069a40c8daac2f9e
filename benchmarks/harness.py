"""Benchmarks measure variants in turn, several times, in one run; a table and a JSON line come out.

A variant is called again and again and answers with one figure (higher or lower is better, as its unit says). Taking
turns, all of them meet the same disturbances of the machine, so that ratios hold where absolute times do not.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping

import psutil

Variants = Mapping[str, Callable[[], float]]


class Skipped(Exception):
    """A part that the benchmark needs is not there; the text says which."""


def alternate(variants: Variants, rounds: int, warm_up: bool = True) -> dict[str, list[float]]:
    """Each variant once without being counted, if there is a warm-up, then all in turn, `rounds` times."""
    for variant in variants.values() if warm_up else ():
        variant()
    figures: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            figures[name].append(variant())
    return figures


def medians(figures: Mapping[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in figures.items()}


def table(title: str, unit: str, figures: Mapping[str, list[float]]) -> str:
    """Median and spread (lowest to highest) of each variant."""
    width = max(map(len, figures), default=0)
    rows = [
        f"  {name:<{width}}  {statistics.median(values):>12,.4g} {unit}   ({min(values):,.4g} to {max(values):,.4g})"
        for name, values in figures.items()
    ]
    return "\n".join([title, *rows])


def cpu_s(process: psutil.Process) -> float:
    """Processor seconds of a process so far, without its children."""
    spent = process.cpu_times()
    return float(spent.user + spent.system)


def cpu_of_children_s(process: psutil.Process) -> float:
    """Of those that are alive."""
    return sum(cpu_s(one) for one in process.children(recursive=True))


def last_line(name: str, fields: Mapping[str, object]) -> str:
    """The JSON line that a benchmark ends in."""
    return json.dumps({"benchmark": name} | dict(fields))

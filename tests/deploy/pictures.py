"""`make dashboards`: every dashboard as a picture, drawn from what a real Prometheus answers while clips come in.

In: the three services on a real Kafka, a Prometheus that scrapes them each second, cameras that upload for a while.
Out: a PNG of each dashboard in ``--out``. Panels, their queries and places are those of deploy/grafana/dashboards.
Grafana would draw the same data; this shows that there are some, and how the page reads.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from services.simulator import traffic
from services.simulator.camera import recorded_at
from services.simulator.clips import render
from tests.deploy.promql import DASHBOARDS, RULES
from tests.support.kafka import KafkaServer
from tests.support.prometheus import PrometheusServer
from tests.support.stack import SERVICES, Stack

WINDOW = "20s"
"""In the place of Grafana's `$__rate_interval`."""
CELL_W, CELL_H = 0.62, 0.36
"""Inches of one unit of Grafana's grid."""
COLOURS = ("#1b7f79", "#c4472b", "#4a5a9a", "#b98b2e", "#7a3f7d", "#5b8c3a", "#8a8a8a", "#2f6fb0")
Lines = list[tuple[str, list[float], list[float]]]


def draw(path: Path, prometheus: PrometheusServer, start_s: float, end_s: float, out: Path) -> None:
    """One dashboard as ``out``/<its name>.png."""
    board = json.loads(path.read_text())
    panels = board["panels"]
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * CELL_W, rows * CELL_H + 0.7
    figure = Figure(figsize=(width, height), facecolor="white")
    figure.text(0.012, 1 - 0.32 / height, board["title"], fontsize=15, weight="bold", va="center")
    figure.text(0.988, 1 - 0.32 / height, board["description"], fontsize=9, color="0.35", va="center", ha="right")
    for panel in panels:
        place = panel["gridPos"]
        left, top = place["x"] / 24, (0.7 + place["y"] * CELL_H) / height
        box = (left, 1 - top - place["h"] * CELL_H / height, place["w"] / 24, place["h"] * CELL_H / height)
        if panel["type"] == "row":
            figure.text(left + 0.012, box[1] + box[3] / 2, panel["title"], fontsize=11, weight="bold", va="center")
        else:
            lines = list(answers(panel, prometheus, start_s, end_s))
            drawn = number if panel["type"] == "stat" else series
            drawn(figure, box, panel, lines)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / f"{path.stem}.png", dpi=80)


def answers(panel: dict[str, Any], prometheus: PrometheusServer, start_s: float, end_s: float) -> Iterator[Any]:
    """(name, times since the start, values) of each line."""
    for target in panel["targets"]:
        text = target["expr"].replace("$__rate_interval", WINDOW).replace("$camera", ".*")
        for line in prometheus.series(text, start_s, end_s):
            name = target["legendFormat"]
            for label, value in line["metric"].items():
                name = name.replace(f"{{{{{label}}}}}", value)
            pairs = [(float(at) - start_s, float(value)) for at, value in line["values"]]
            kept = [(at, value) for at, value in pairs if math.isfinite(value)]
            if kept:
                yield name, [at for at, _ in kept], [value for _, value in kept]


def number(figure: Figure, box: tuple[float, ...], panel: dict[str, Any], lines: Lines) -> None:
    axes = _frame(figure, box, panel["title"])
    axes.set_axis_off()
    newest = max(lines, key=lambda line: line[1][-1], default=None)
    text = "no data" if newest is None else shown(newest[2][-1], panel["fieldConfig"]["defaults"]["unit"])
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    colour = "#222222"
    if steps and newest is not None:
        colour = "#b3261e" if newest[2][-1] >= steps[1]["value"] else "#2e7d32"
    axes.text(0.5, 0.5, text, fontsize=20, color=colour, ha="center", va="center", transform=axes.transAxes)
    if newest is not None and newest[0]:
        axes.text(0.5, 0.08, newest[0], fontsize=9, color="0.3", ha="center", transform=axes.transAxes)


def series(figure: Figure, box: tuple[float, ...], panel: dict[str, Any], lines: Lines) -> None:
    axes = _frame(figure, box, panel["title"])
    unit = panel["fieldConfig"]["defaults"]["unit"]
    for index, (name, times, values) in enumerate(lines):
        axes.plot(times, values, color=COLOURS[index % len(COLOURS)], linewidth=1.3, label=textwrap.shorten(name, 44))
    highest = max((value for _, _, values in lines for value in values), default=0.0)
    axes.set_ylim(0, 1.45 * highest if highest > 0 else 1.0)  # room for the names
    axes.yaxis.set_major_formatter(lambda value, _place: shown(value, unit))
    axes.tick_params(labelsize=7, color="0.7", labelcolor="0.35")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("0.8")
    axes.grid(axis="y", color="0.92")
    if lines:
        axes.legend(fontsize=6.5, frameon=False, loc="upper left", ncols=2 if len(lines) > 4 else 1)
    else:
        axes.text(0.5, 0.5, "no data", color="0.55", ha="center", va="center", transform=axes.transAxes)


def _frame(figure: Figure, box: tuple[float, ...], title: str) -> Axes:
    left, bottom, width, height = box
    figure.text(left + 0.012, bottom + height - 0.16 / figure.get_figheight(), title, fontsize=9, va="center")
    pad_x, pad_y = 0.042, 0.3 / figure.get_figheight()
    return figure.add_axes((left + pad_x, bottom + pad_y, width - pad_x - 0.012, height - 2.1 * pad_y))


def shown(value: float, unit: str) -> str:
    """A value with its unit, short."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit in ("bytes", "Bps"):
        step = next((number for number in (3, 2, 1) if abs(value) >= 1000**number), 0)
        return f"{value / 1000**step:.3g} {['B', 'kB', 'MB', 'GB'][step]}{'/s' if unit == 'Bps' else ''}"
    if unit == "s" and value >= 7200:
        return f"{value / 86400:.3g} d" if value >= 172_800 else f"{value / 3600:.3g} h"
    if unit == "s" and 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.3g}" + {"s": " s", "ops": "/s", "celsius": " °C"}.get(unit, "")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make dashboards", description=__doc__)
    parser.add_argument("--seconds", type=float, default=150.0, help="for which cameras upload")
    parser.add_argument("--out", type=Path, default=Path("build/dashboards"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="plateflow-dashboards-") as name:
        folder = Path(name)
        render(traffic.timetable(seed=7), folder / "clips", seed=7)
        clips = sorted((folder / "clips").rglob("*.mp4"))
        broker = KafkaServer(folder / "kafka").start()
        try:
            with Stack(folder / "stack", broker, "pictures", folder / "clips" / "cameras.yaml") as stack:
                stack.start(*SERVICES)
                targets = {f"plateflow-{service}": stack.address(service) for service in SERVICES}
                prometheus = PrometheusServer(folder / "prometheus", targets, [RULES]).start()
                began = time.time()
                number = 0
                while time.time() < began + options.seconds:
                    clip = clips[number % len(clips)]
                    stack.upload([clip], recorded_at(clip.name, round(time.time() * 1000)))
                    number += 1
                    time.sleep(4)
                for path in DASHBOARDS:
                    draw(path, prometheus, began, time.time(), options.out)
                    print(options.out / f"{path.stem}.png", flush=True)
                prometheus.stop()
        finally:
            broker.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Copies rules and dashboards into the chart: ``python -m services.cli.chart_files [--check]``.

Helm packs only what lies in the chart's folder. With ``--check`` it copies nothing and exits with 1 where they differ.
"""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "helm" / "plateflow" / "files"
COPIED = {"dashboards": "deploy/grafana/dashboards/*.json", "rules": "deploy/prometheus/rules/*.yml"}


def main(arguments: list[str]) -> int:
    wanted = {
        CHART / folder / path.name: path.read_bytes()
        for folder, pattern in COPIED.items()
        for path in REPOSITORY.glob(pattern)
    }
    there = {path: path.read_bytes() for folder in COPIED for path in (CHART / folder).glob("*")}
    if wanted == there:
        return 0
    if "--check" in arguments:
        sys.stderr.write("helm/plateflow/files is not what deploy/ holds: run `make docs` and commit it\n")
        return 1
    for path in there.keys() - wanted.keys():
        path.unlink()
    for path, content in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

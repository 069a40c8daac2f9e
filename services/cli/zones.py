"""`--zone` and `--mask`: polygons as a person gives them.

Corners as `x,y x,y x,y …` in parts of the frame, or a JSON file: what `plateflow heatmap --area` wrote (`polygon`), a
polygon, or a list of polygons.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import typer

from services.contracts.gates import BadGate, Gate, Polygon, check


def gate_of(zones: Sequence[str], masks: Sequence[str]) -> Gate:
    """BadParameter where one of them is no polygon."""
    inside = tuple(polygon for one in zones for polygon in _polygons(one, "--zone"))
    outside = tuple(polygon for one in masks for polygon in _polygons(one, "--mask"))
    for gate, option in ((Gate(zones=inside), "--zone"), (Gate(masks=outside), "--mask")):
        try:
            check(gate)
        except BadGate as error:
            raise typer.BadParameter(str(error), param_hint=option) from error
    return Gate(zones=inside, masks=outside)


def _polygons(text: str, option: str) -> Sequence[Polygon]:
    try:
        corners = tuple(_corner(part) for part in text.split())
    except ValueError:
        return _from_file(Path(text), option)
    return (corners,)


def _corner(text: str) -> tuple[float, float]:
    x, y = (float(part) for part in text.split(","))
    if not (math.isfinite(x) and math.isfinite(y)):
        raise ValueError(text)
    return x, y


def _from_file(path: Path, option: str) -> Sequence[Polygon]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(
            f"{str(path)!r} is neither corners, as '0.1,0.2 0.9,0.2 0.5,0.9', nor a file: {error.strerror}",
            param_hint=option,
        ) from error
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}", param_hint=option) from error
    if isinstance(content, dict):
        content = content.get("polygon")
    for polygons in (content, [content]):
        try:
            return msgspec.convert(polygons, tuple[Polygon, ...])
        except msgspec.ValidationError:
            continue
    raise typer.BadParameter(
        f"{path} holds no polygon: it must be [[x, y], …], a list of such, or {{polygon: …}}", param_hint=option
    )

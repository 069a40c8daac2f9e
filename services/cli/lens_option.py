"""`plateflow calibrate --lens`: what was told of a lens, what the camera file says of it, what the pairs say."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import typer

from services.aggregator import cameras
from services.aggregator.core.config import Lens
from services.aggregator.core.homography import BadPairs, Pair
from services.aggregator.core.lens import BadLens, Optics
from services.aggregator.core.lens import check as check_lens
from services.aggregator.core.lens_fit import FoundLens, NoLens, find_lens
from services.cli.camera_file import Entry

FIT = "fit"
HELP = "How much the lens bends lines: its numbers; `fit`: told by the pairs. Else: what the camera file says."


def with_lens(known: Entry, text: str | None) -> Entry:
    """The camera file's entry with the lens that was told; `fit` is told later."""
    if text is None:
        return known
    rest = {name: value for name, value in known.items() if name != "lens"}
    if text.strip() in ("none", FIT):
        return rest
    try:
        k1, k2 = map(float, text.split(",")) if "," in text else (float(text), 0.0)
        check_lens(Lens(k1, k2))
    except BadLens as error:
        raise typer.BadParameter(str(error), param_hint="--lens") from error
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no k1, no k1,k2, not none and not fit", param_hint="--lens") from error
    return {**rest, "lens": {"k1": k1, "k2": k2}}


def put(entry: Entry, optics: Optics | None) -> Entry:
    """The entry with this lens and no other."""
    rest = {name: value for name, value in entry.items() if name != "lens"}
    return rest if optics is None else {**rest, "lens": {"k1": optics.lens.k1, "k2": optics.lens.k2}}


def optics_of(entry: Entry) -> Optics | None:
    """The lens before the frame that the pairs were measured in; None where it is straight."""
    return Optics(msgspec.convert(entry["lens"], Lens), *_frame(entry)) if entry.get("lens") else None


def fitted(entry: Entry, pairs: Sequence[Pair], size: tuple[float, float], tolerance: float | None) -> FoundLens:
    """The lens that the pairs tell."""
    try:
        return find_lens(pairs, _frame(entry), size, cameras.tolerance(size, tolerance))
    except NoLens as error:
        raise typer.BadParameter(str(error), param_hint="--lens fit") from error
    except BadPairs as error:
        raise typer.BadParameter(str(error), param_hint="--pairs") from error


def told(found: FoundLens, metres_per_unit: float | None) -> str:
    """What the lens is, and how much it helps."""
    lens, without = found.optics.lens, found.without
    unit, times = ("m", metres_per_unit) if metres_per_unit else ("plan units", 1.0)
    before = "without it they lead nowhere"
    if without is not None:
        before = f"without it {without.mean * times:.2g} {unit}"
        before += f" and {len(without.bad)} left out" if without.bad else ""
    return (
        f"lens fitted to {found.pairs} pairs: k1 {lens.k1:g}, k2 {lens.k2:g}; "
        f"mean error {found.with_.mean * times:.2g} {unit}, {before}"
    )


def _frame(entry: Entry) -> tuple[float, float]:
    if not entry.get("image"):
        raise typer.BadParameter("a lens counts from the frame's size: name the frame", param_hint="--image")
    return float(entry["image"]["width"]), float(entry["image"]["height"])

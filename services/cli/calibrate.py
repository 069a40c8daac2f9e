"""`plateflow calibrate`: from point pairs to a camera's way onto the plan, with its error told and drawn.

In: pairs, from a file or clicked (`services.cli.calibrate_page`), and the plan's size. Out: a table of errors; pictures
where a frame is given; the camera file, whose other cameras stay. What the pairs are refused for:
`services.aggregator.core.calibration`.

Exit codes: 0 done; 1 done, but the mean error is above 1 % of the plan's diagonal; 2 a mistake in the command, or
pairs that lead to no homography.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from services.aggregator import cameras
from services.aggregator.cameras import BadCameras, CameraFile
from services.aggregator.core.calibration import GOOD, Calibration, calibrate
from services.aggregator.core.config import Anchor
from services.aggregator.core.homography import BadPairs, Pair
from services.aggregator.core.lens import Optics
from services.cli import camera_file, lens_option
from services.cli.background import NoPicture, Picture, read_background
from services.cli.calibrate_page import Desk, NotSaved, serve
from services.cli.calibration_pictures import Scene, draw_frame, draw_plan
from services.cli.camera_file import Entry
from services.cli.local_page import show
from services.cli.pair_file import BadPairFile, read_pairs

app = typer.Typer(
    add_completion=False, rich_markup_mode="markdown", context_settings={"help_option_names": ["-h", "--help"]}
)


@app.command("calibrate")
def calibrate_command(
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A line `x y plan_x plan_y` per pair; or YAML, as in the camera file."),
    ] = None,
    camera: Annotated[str | None, typer.Option(help="Name of the camera, as its messages have it: site/gate.")] = None,
    image: Annotated[
        Path | None, typer.Option(metavar="IMAGE|VIDEO", help="A frame, in which the pairs' pixels were measured.")
    ] = None,
    plan: Annotated[
        Path | None, typer.Option(metavar="IMAGE", help="The plan's drawing; its pixels are the plan units.")
    ] = None,
    plan_size: Annotated[
        str | None, typer.Option(metavar="WxH", help="The plan's size in its units, where they are not pixels.")
    ] = None,
    metres_per_unit: Annotated[
        float | None, typer.Option(metavar="METRES", help="Length of a plan unit; gives speeds, and a grid in metres.")
    ] = None,
    anchor: Annotated[Anchor | None, typer.Option(help="What of a plate's box is projected.")] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(metavar="UNITS", help="A pair that misses by more is left out. Else: 3 % of the plan."),
    ] = None,
    lens: Annotated[
        str | None,
        typer.Option(metavar="K1[,K2]|fit|none", help=lens_option.HELP),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="cameras.yaml", help="The camera file to write, or to change.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="For the pictures. Else: that of --out, or this one.")
    ] = None,
    page: Annotated[
        bool, typer.Option("--page", help="Click the pairs on a page in the browser; saves to --out.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the page; 0: any that is free.")] = 8766,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Fit a camera's image to a plan of the ground, say how well each point pair fits, and write the camera file.

    Example:

    - `plateflow calibrate --pairs gate.csv --camera site/gate --image gate.jpg --plan yard.png --out cameras.yaml`
    - `plateflow calibrate --page --camera site/gate --image gate.jpg --plan yard.png --out cameras.yaml`
    """
    if out is not None and camera is None:
        raise typer.BadParameter("the camera file needs the camera's name", param_hint="--camera")
    frame, drawing = _picture(image, "--image"), _picture(plan, "--plan")
    known = lens_option.with_lens(_known(out, camera), lens)
    size = _size(plan_size, drawing, known)
    if page:
        if frame is None or camera is None or out is None:
            raise typer.BadParameter("needs --image to click on, --camera and --out to save", param_hint="--page")
        begun = _pairs(pairs, frame) if pairs is not None else known.get("pairs", [])

        def entry_of(before: Entry, clicked: Sequence[Pair], optics: Optics | None) -> Entry:
            entry = _entry(before, clicked, size, frame, metres_per_unit, anchor, tolerance)
            return lens_option.put(entry, optics)

        begins = _entry(known, begun, size, frame, metres_per_unit, anchor, tolerance)
        metres = begins["plan"].get("metres_per_unit")
        save, given = partial(_save, out, camera, entry_of), lens_option.optics_of(begins)
        fits = lens is not None and lens.strip() == lens_option.FIT
        desk = Desk(camera, frame, drawing, size, metres, tolerance, begun, str(out), save, given, fits)
        show(partial(serve, desk), port, f"the pairs go to {out}", open_)
        return
    if pairs is None:
        raise typer.BadParameter("name the file of the pairs, or click them with --page", param_hint="--pairs")
    measured = _pairs(pairs, frame)
    entry = _entry(known, measured, size, frame, metres_per_unit, anchor, tolerance)
    metres = entry["plan"].get("metres_per_unit")
    if lens is not None and lens.strip() == lens_option.FIT:
        fitted = lens_option.fitted(entry, measured, size, tolerance)
        typer.echo(lens_option.told(fitted, metres))
        found, entry = fitted.with_, lens_option.put(entry, fitted.optics)
    else:
        found = _fit(measured, size, tolerance, lens_option.optics_of(entry))
    _report(measured, found, metres)
    if frame is not None:
        folder = pictures or (out.parent if out is not None else Path())
        scene = Scene(camera or pairs.stem, measured, found, size, metres)
        _draw(scene, frame, drawing, folder)
    if out is not None and camera is not None:
        _write(out, camera, entry)
    raise typer.Exit(0 if found.good else 1)


def _picture(path: Path | None, option: str) -> Picture | None:
    try:
        return None if path is None else read_background(path)
    except NoPicture as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def _known(out: Path | None, camera: str | None) -> Entry:
    """What the camera file says of this camera already."""
    try:
        return {} if out is None or camera is None else camera_file.load(out).get(camera) or {}
    except BadCameras as error:
        raise typer.BadParameter(f"it is not changed, since it cannot be read: {error}", param_hint="--out") from error


def _size(text: str | None, drawing: Picture | None, known: Entry) -> tuple[float, float]:
    """Width and height of the plan: as told, as the drawing has it, or as the camera file says."""
    if text is not None:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)[x×](\d+(?:\.\d+)?)", text.strip())
        if match is None or min(float(match[1]), float(match[2])) <= 0:
            raise typer.BadParameter(f"{text!r} is no width and height above 0, as 40x25.5", param_hint="--plan-size")
        return float(match[1]), float(match[2])
    if drawing is not None:
        return float(drawing.shape[1]), float(drawing.shape[0])
    if "plan" in known:
        return float(known["plan"]["width"]), float(known["plan"]["height"])
    raise typer.BadParameter("how large is the plan? Name its drawing, or its size", param_hint="--plan, --plan-size")


def _pairs(path: Path, frame: Picture | None) -> list[Pair]:
    try:
        pairs = read_pairs(path)
    except BadPairFile as error:
        raise typer.BadParameter(str(error), param_hint="--pairs") from error
    if frame is not None:
        height, width = frame.shape[:2]
        outside = [n for n, ((x, y), _) in enumerate(pairs, 1) if not (0 <= x <= width and 0 <= y <= height)]
        if outside:
            raise typer.BadParameter(
                f"{_named(outside)} outside the {width}×{height} frame: first the pixel, then the plan's point; "
                "and measure in this very frame",
                param_hint="--pairs",
            )
    return pairs


def _entry(
    known: Entry,
    pairs: Sequence[Pair],
    size: tuple[float, float],
    frame: Picture | None,
    metres_per_unit: float | None,
    anchor: Anchor | None,
    tolerance: float | None,
) -> Entry:
    """The camera file's entry: what was measured now, and what it said before of all else."""
    if metres_per_unit is not None and not 0 < metres_per_unit < math.inf:
        raise typer.BadParameter("must be above 0", param_hint="--metres-per-unit")
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise typer.BadParameter("must be 0 (use every pair) or more", param_hint="--tolerance")
    entry = {name: value for name, value in known.items() if name not in ("pairs", "plan", "image", "ransac")}
    before = known.get("plan", {})
    plan: Entry = before if (before.get("width"), before.get("height")) == size else {}
    plan = {**plan, "width": _short(size[0]), "height": _short(size[1])}
    if metres_per_unit is not None:
        plan["metres_per_unit"] = metres_per_unit
    entry |= {"pairs": [[[_short(number) for number in point] for point in pair] for pair in pairs], "plan": plan}
    if frame is not None:
        entry["image"] = {"width": frame.shape[1], "height": frame.shape[0]}
    elif entry.get("lens") and known.get("image"):
        entry["image"] = known["image"]  # without it the lens says nothing
    if anchor is not None:
        entry["anchor"] = anchor
    if tolerance is not None:
        entry["ransac"] = tolerance
    return entry


def _fit(
    pairs: Sequence[Pair], size: tuple[float, float], tolerance: float | None, optics: Optics | None
) -> Calibration:
    try:
        return calibrate(pairs, size, cameras.tolerance(size, tolerance), optics)
    except BadPairs as error:
        raise typer.BadParameter(str(error), param_hint="--pairs") from error


def _report(pairs: Sequence[Pair], found: Calibration, metres_per_unit: float | None) -> None:
    if (optics := found.used.view.optics) is not None:
        typer.echo(f"lens: k1 {optics.lens.k1:g}, k2 {optics.lens.k2:g}, undone before the fit")
    typer.echo("pair               pixel                plan   error of all   of those used")
    rows = zip(pairs, found.everything.errors, found.used.errors, found.used.inliers, strict=True)
    for number, ((pixel, plan), of_all, of_used, used) in enumerate(rows, 1):
        typer.echo(
            f"{number:4} {_point(pixel):>19} {_point(plan):>19} {of_all:14.3f} {of_used:15.3f}"
            f"{'' if used else '  left out'}"
        )
    everything = found.everything
    worst = everything.errors.index(everything.worst) + 1
    typer.echo(
        f"all {len(pairs)} pairs: mean error {_length(everything.mean, found, metres_per_unit)}, "
        f"worst {everything.worst:.3g} (pair {worst})"
    )
    if found.bad:
        bad = [index + 1 for index in found.bad]
        typer.echo(
            f"without {_list(bad)}: mean error {_length(found.mean, found, metres_per_unit)}, worst {found.worst:.3g}"
        )
        typer.echo(f"drop {_list(bad)}, or measure {'it' if len(bad) == 1 else 'them'} again")
    if found.exact:
        typer.echo("four pairs fit whatever they are: add more to learn how good they are")
    if not found.good:
        typer.echo(
            f"that is more than {GOOD:.0%} of the plan's diagonal: measure again; "
            "where all pairs miss, the lens may bend the image: --lens fit"
        )


def _draw(scene: Scene, frame: Picture, drawing: Picture | None, folder: Path) -> None:
    name = re.sub(r"[^\w.-]+", "-", scene.name).strip("-.") or "camera"
    over_frame, over_plan = folder / f"{name}-frame.png", folder / f"{name}-plan.png"
    draw_frame(scene, frame, over_frame)
    draw_plan(scene, frame, drawing, over_plan)
    typer.echo(f"drawn: {over_frame}, {over_plan}")


def _save(
    out: Path,
    camera: str,
    entry_of: Callable[[Entry, Sequence[Pair], Optics | None], Entry],
    pairs: list[Pair],
    optics: Optics | None,
) -> str:
    """For the page, which may save several times, beside whoever else changes the file. Raises NotSaved."""
    try:
        return _put(out, camera, entry_of(camera_file.load(out).get(camera) or {}, pairs, optics))
    except BadCameras as error:
        raise NotSaved(f"{out} cannot be read, so it is not changed: {error}") from error


def _put(out: Path, camera: str, entry: Entry) -> str:
    try:
        ground = cameras.camera_of(msgspec.convert(entry, CameraFile)).ground
        camera_file.put(out, camera, entry)
    except (BadCameras, msgspec.ValidationError) as error:
        raise NotSaved(f"it is not changed: {error}") from error
    assert ground is not None  # there are pairs
    return f"written: {out}, {camera}, homography {ground.version}"


def _write(out: Path, camera: str, entry: Entry) -> None:
    try:
        typer.echo(_put(out, camera, entry))
    except NotSaved as error:
        raise typer.BadParameter(str(error), param_hint="--out") from error


def _length(error: float, found: Calibration, metres_per_unit: float | None) -> str:
    metres = f" = {error * metres_per_unit:.2g} m" if metres_per_unit else ""
    return f"{error:.3g} plan units{metres} ({error / found.diagonal:.1%} of the plan's diagonal)"


def _point(point: tuple[float, float]) -> str:
    return f"{point[0]:g}, {point[1]:g}"


def _named(numbers: Sequence[int]) -> str:
    return f"{_list(numbers)} {'lies' if len(numbers) == 1 else 'lie'}"


def _list(numbers: Sequence[int]) -> str:
    return f"pair{'' if len(numbers) == 1 else 's'} {', '.join(map(str, numbers))}"


def _short(number: float) -> float | int:
    return int(number) if float(number).is_integer() else number

"""Videos and photos for `plateflow heatmap`: read by `plateflow run` itself, into a folder to draw from."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from services.cli.inputs import VIDEO_SUFFIXES
from services.cli.photos import PHOTO_SUFFIXES


def is_video(path: Path) -> bool:
    """A video or photo, by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES | PHOTO_SUFFIXES


@contextmanager
def read_videos(
    paths: Sequence[Path], results: Path | None, cameras: Path | None, camera: str | None
) -> Iterator[tuple[Path, int]]:
    """The folder of results and the exit code of `plateflow run`: 0, 1 or 130. ``results``: None leaves nothing behind.

    Exit where nothing could be read.
    """
    with tempfile.TemporaryDirectory(prefix="plateflow-") as folder:
        out = results or Path(folder, "results")
        code = _run([str(path) for path in paths], out, cameras, camera)
        if not (out / "heatmap").is_dir():
            if code == 0:
                typer.echo("plateflow heatmap: nothing drawn: no number plate was seen in what was read", err=True)
            raise typer.Exit(code or 3)
        yield out, code


def _run(names: list[str], out: Path, cameras: Path | None, camera: str | None) -> int:
    from services.cli.run import run  # not before it is needed: the models take their time

    try:
        with contextlib.redirect_stdout(io.StringIO()):  # its table; what goes on is told on stderr
            run(names, out=out, cameras=cameras, camera=camera)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0

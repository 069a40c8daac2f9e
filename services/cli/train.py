"""`plateflow train detector|recogniser`: the trainings of `services.inference.training`, which need torch.

Exit codes: those of the training; 2 where a package is missing.
"""

from __future__ import annotations

import importlib
import importlib.util

import typer

NEEDED = {"detector": ("torch", "ultralytics", "onnx"), "recogniser": ("torch", "onnx")}
_SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
app = typer.Typer(
    help="Train the models; needs pip install 'plateflow[train]'.", no_args_is_help=True, add_completion=False
)


@app.callback()
def train_group() -> None:
    """Train the models; needs pip install 'plateflow[train]'. Then export and measure them: docs/training.md."""


@app.command(context_settings=_SETTINGS)
def detector(context: typer.Context) -> None:
    """The plate detector, on labelled photos and drawn scenes; `plateflow train detector --help` tells all."""
    raise typer.Exit(_train("detector", context.args))


@app.command(context_settings=_SETTINGS)
def recogniser(context: typer.Context) -> None:
    """The plate recogniser, on drawn plates and real ones; `plateflow train recogniser --help` tells all."""
    raise typer.Exit(_train("recogniser", context.args))


def _train(name: str, words: list[str]) -> int:
    missing = [package for package in NEEDED[name] if importlib.util.find_spec(package) is None]
    if missing:
        typer.echo(f"plateflow train: {', '.join(missing)} missing: pip install 'plateflow[train]'", err=True)
        return 2
    code: int = importlib.import_module(f"services.inference.training.{name}").main(words)
    return code

"""`plateflow data`: prepares pictures with known plates for training and measuring. The commands lie in `data_*`."""

from __future__ import annotations

import typer

from services.cli import data_check, data_convert, data_label, data_pictures, data_sets

app = typer.Typer(
    help="Prepare pictures with known plates: convert, cut, draw, merge, split, check, label.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def data_group() -> None:
    """Prepare pictures with known plates: convert, cut, draw, merge, split, check, label.

    All commands read and write one layout: `images/`, `plates.csv`, `sources.csv` (docs/data.md). `plates.csv` is a
    truth file: `plateflow evaluate plates --images DIR/images --truth DIR/plates.csv`.
    """


for _register in (data_convert, data_pictures, data_sets, data_check, data_label):
    _register.register(app)

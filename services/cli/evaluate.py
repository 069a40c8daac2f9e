"""`plateflow evaluate`: measures the models and the events against what is known to be true.

Exit codes: 0 done; 2 a mistake in the command or the data. Where single pictures or clips were missing or did not
decode (named on stderr, counted as `unreadable`, left out of every figure), the rest is measured, and the code is 2 as
well.
"""

from __future__ import annotations

import typer

from services.cli.evaluate_events import events
from services.cli.evaluate_plates import plates
from services.cli.evaluate_tracks import tracks

app = typer.Typer(
    help="Measure what is found and read against what is known to be true.", no_args_is_help=True, add_completion=False
)


@app.callback()
def evaluate_group() -> None:
    """Measure what is found and read against what is known to be true."""


app.command()(plates)
app.command()(tracks)
app.command()(events)

"""`plateflow aggregator`: runs the aggregator service, like `python -m services.aggregator`, or mends checkpoints."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()

ResetCheckpoint = Annotated[
    str | None,
    typer.Option(
        metavar="TOPIC:PARTITION",
        help="Forget a checkpoint and leave: the next start rebuilds its state from what the log still holds.",
    ),
]
Migrate = Annotated[
    str | None,
    typer.Option(
        metavar="TOPIC", help="Deal the cameras out again after a change of the number of partitions, and leave."
    ),
]


@app.command()
def aggregator(reset_checkpoint: ResetCheckpoint = None, migrate: Migrate = None) -> None:
    """Run the aggregator service until SIGTERM. Its settings are environment variables: docs/configuration.md."""
    if reset_checkpoint is not None or migrate is not None:
        raise typer.Exit(_mend(reset_checkpoint, migrate))
    from services.aggregator.__main__ import main

    raise typer.Exit(main())


def _mend(reset: str | None, migrate: str | None) -> int:
    from services.aggregator import upkeep
    from services.aggregator.settings import AggregatorSettings
    from services.runtime.errors import SettingsError, Stop
    from services.runtime.settings import load

    try:
        settings = load(AggregatorSettings)
        if reset is not None:
            typer.echo(upkeep.reset_checkpoint(settings, reset))
        if migrate is not None:
            typer.echo(upkeep.migrate_topic(settings, migrate))
    except (SettingsError, Stop) as error:
        typer.echo(str(error), err=True)
        return 2 if isinstance(error, SettingsError) else 3
    return 0

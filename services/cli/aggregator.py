"""`plateflow aggregator`: runs the aggregator service, as `python -m services.aggregator` does."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def aggregator() -> None:
    """Run the aggregator service until SIGTERM. Its settings are environment variables: docs/configuration.md."""
    from services.aggregator.__main__ import main

    raise typer.Exit(main())

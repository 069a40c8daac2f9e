"""`plateflow ingest`: runs the ingest service, as `python -m services.ingest` does."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def ingest() -> None:
    """Run the ingest service until SIGTERM. Its settings are environment variables: docs/configuration.md."""
    from services.ingest.__main__ import main

    raise typer.Exit(main())

"""`plateflow inference`: runs the inference service, as `python -m services.inference` does."""

from __future__ import annotations

import typer

app = typer.Typer()


@app.command()
def inference() -> None:
    """Run the inference service until SIGTERM. Its settings are environment variables: docs/configuration.md."""
    from services.inference.__main__ import main

    raise typer.Exit(main())

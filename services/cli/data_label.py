"""`plateflow data label`: a page on this machine's loopback address in which a person types the texts of plates.

A text is saved before the page moves on (`services.inference.datasets.labelling`). Who may ask:
`services.cli.local_page`.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

from services.cli.data_check import Formats, Patterns, known_patterns
from services.cli.data_common import clear_errors
from services.cli.local_page import LOOPBACK, PageHandler, PageServer, show
from services.inference.datasets.labelling import Labelling

PAGE = Path(__file__).with_name("data_label.html")
_TALL = 320
"""Pixels to which low crops are enlarged."""


def register(app: typer.Typer) -> None:
    app.command()(label)


def label(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Crops of plates, or a folder in our layout.")],
    page: Annotated[
        bool, typer.Option("--page/--no-page", help="Serve the page; without, only say what is typed and what is not.")
    ] = True,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port of the page; 0: any that is free.")] = 8765,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    pattern: Patterns = [],  # noqa: B006 -- typer copies it
    format: Formats = [],  # noqa: B006
) -> None:
    """Type the texts of plates in the browser. Every text is saved at once; come back any time and go on.

    Crops that lie in any folder get a labels.csv beside them; of a folder in our layout, plates.csv takes the texts.
    Enter saves and goes on, Shift+Enter goes back, Esc leaves a plate out. Ctrl+C here ends it.
    """
    with clear_errors():
        known_patterns(pattern, format)
        labelling = Labelling(folder)
    if not page:
        _tell(labelling)
        return
    patterns = [*pattern, *(one.pattern for one in known_patterns([], format))]
    show(lambda at: serve(labelling, at, patterns), port, f"texts go to {labelling.target}", open_)
    _tell(labelling)


def serve(labelling: Labelling, port: int, patterns: list[str]) -> PageServer:
    """A server that listens, and does not answer yet."""
    return PageServer((LOOPBACK, port), partial(_Handler, labelling, patterns))


def _tell(labelling: Labelling) -> None:
    typed = sum(bool(text) for text in labelling.texts())
    typer.echo(f"{typed} of {len(labelling)} plates have a text, in {labelling.target}")


class _Handler(PageHandler):
    def __init__(self, labelling: Labelling, patterns: list[str], *rest: Any) -> None:
        self._labelling, self._patterns = labelling, patterns
        super().__init__(*rest)

    def get(self, path: str) -> None:
        if path == "/":
            self.answer(200, "text/html; charset=utf-8", PAGE.read_bytes())
        elif path == "/state":
            self.json(200, self._state())
        elif (number := self._number(path.removeprefix("/plates/"))) is not None:
            self._picture(number)
        else:
            self.json(404, {"error": "there is no such page"})

    def post(self, path: str) -> None:
        number = self._number(path.removeprefix("/plates/"))
        body = self.body()
        if number is None or body is None:
            self.json(400, {"error": "a plate's number and a short JSON object are needed"})
            return
        try:
            text = json.loads(body)["text"]
            if not isinstance(text, str) or len(text) > 40 or not text.isprintable():
                raise ValueError
        except (ValueError, KeyError, TypeError, RecursionError):
            self.json(400, {"error": 'write {"text": "…"} of at most 40 letters'})
            return
        try:
            self.json(200, {"text": self._labelling.put(number, text)})
        except OSError as error:
            self.json(500, {"error": f"cannot write {self._labelling.target}: {error.strerror}"})

    def _state(self) -> dict[str, Any]:
        names = [self._labelling.name(number) for number in range(len(self._labelling))]
        return {"names": names, "texts": self._labelling.texts(), "patterns": self._patterns}

    def _picture(self, number: int) -> None:
        try:
            image = self._labelling.image(number)
        except ValueError as error:
            self.json(404, {"error": str(error)})
            return
        scale = max(1.0, _TALL / image.shape[0])
        large = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        _, data = cv2.imencode(".png", large)
        self.answer(200, "image/png", data.tobytes())

    def _number(self, word: str) -> int | None:
        number = int(word) if word.isascii() and word.isdigit() and len(word) < 9 else len(self._labelling)
        return number if number < len(self._labelling) else None

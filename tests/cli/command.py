"""Runs `plateflow ...` in this process, as the shell would: arguments in, exit code out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from services.cli.__main__ import main


class Plateflow:
    """``plateflow("run", ...)`` gives the exit code; ``out`` and ``err`` hold what the latest call printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self.out = self.err = ""

    def __call__(self, *arguments: str | Path) -> int:
        self._monkeypatch.setattr("sys.argv", ["plateflow", *map(str, arguments)])
        self._capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        self.out, self.err = self._capsys.readouterr()
        return code

    @property
    def answer(self) -> dict[str, Any]:
        """The JSON object that is all of stdout."""
        (line,) = self.out.splitlines()
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def complaint(self) -> str:
        """stderr as one line, without the frames that the terminal draws around it."""
        return " ".join("".join(" " if letter in "│╭╮╰╯─\n" else letter for letter in self.err).split())

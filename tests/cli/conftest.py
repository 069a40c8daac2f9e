"""Fixtures of the command line's tests."""

from __future__ import annotations

import pytest

from tests.cli.command import Plateflow


@pytest.fixture
def plateflow(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Plateflow:
    return Plateflow(capsys, monkeypatch)

"""docs/guarantees.md names tests that exist."""

from __future__ import annotations

import re

from tests.support.cache import REPOSITORY


def test_every_test_that_the_guarantees_name_is_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", (REPOSITORY / "docs" / "guarantees.md").read_text())
    assert len(named) > 20
    missing = [f"{file}::{name}" for file, name in named if f"def {name}(" not in (REPOSITORY / file).read_text()]
    assert missing == []

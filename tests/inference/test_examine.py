"""`python -m services.inference.training.examine`: the second opinion, and one whole small examination."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from services.contracts.messages import Reading
from services.inference.models import rapid_recogniser
from services.inference.training.examine import differs_alike, filled
from services.inference.training.styles import STYLES


def test_another_engine_fills_what_is_undecided_only_where_it_agrees_with_all_that_is_decided() -> None:
    assert filled("A1#3BC77", "A123BC77") == "A123BC77"
    assert filled("A1#3B#77", "A123B#77") == "A123B#77"
    assert filled("A1#3BC77", "A128BC77") == "A1#3BC77"
    assert filled("A1#3BC77", "A123BC777") == "A1#3BC77"
    assert filled("A1#3BC77", "A1#3BC77") == "A1#3BC77"


def test_plates_that_are_exact_but_for_0_and_o_or_1_and_i_are_told_from_other_errors() -> None:
    def differs(true: str, raw: str, text: str = "") -> bool:
        return differs_alike(true, Reading(text or raw, raw, 0.5))

    assert differs("AO1", "A01")
    assert differs("AO1", "A0I")
    assert differs("AO1", "A01", "A#1")
    assert not differs("AO1", "AO1")
    assert not differs("AO1", "AO1", "#O1")
    assert not differs("AO1", "A07")
    assert not differs("AO1", "A011")


@pytest.mark.slow
@pytest.mark.skipif(not rapid_recogniser.available(), reason="rapidocr is not installed")
def test_an_examination_says_how_many_undecided_plates_a_second_engine_settles() -> None:
    command = [sys.executable, "-m", "services.inference.training.examine", "--count", "60"]
    command += ["--only", "all kinds", "--only", "no plates", "--second", "rapidocr"]

    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)

    figures = json.loads(done.stdout.splitlines()[-1])
    second = figures["all kinds"]["second"]
    assert figures["all kinds"]["plates"] == figures["no plates"]["crops"] == 60
    assert 0 < second["undecided"] < 60
    assert second["right"] + second["wrong"] <= second["undecided"]
    assert f"of {second['undecided']} undecided {second['right']} right, {second['wrong']} wrong" in done.stdout


@pytest.mark.slow
def test_each_kind_of_plate_is_examined_by_itself_and_easier_pictures_are_read_better() -> None:
    command = [sys.executable, "-m", "services.inference.training.examine", "--count", "60", "--each-kind"]

    def exact(hardness: str) -> int:
        done = subprocess.run(
            [*command, "--hardness", hardness], check=True, capture_output=True, text=True, timeout=200
        )
        figures = json.loads(done.stdout.splitlines()[-1])
        assert set(figures) == set(STYLES)
        assert {one["plates"] for one in figures.values()} == {6}
        return sum(one["exact_counts"][0] for one in figures.values())

    assert exact("0.2") > exact("1") > 0


@pytest.mark.parametrize("wrong", [["--hardness", "2"], ["--each-kind", "--only", "two rows"]])
def test_what_cannot_be_examined_is_told(wrong: list[str]) -> None:
    command = [sys.executable, "-m", "services.inference.training.examine", *wrong]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=100)

    assert done.returncode == 2
    assert "0 to 1" in done.stderr or "not allowed with" in done.stderr

"""The machinery that shows that the suite notices a broken rule; `make mutants` breaks each of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.faults.broken import Mutant
from tests.faults.mutants import MUTANTS, Copy, Outcome, mutated
from tests.support.cache import REPOSITORY

LEDGER = next(mutant for mutant in MUTANTS if mutant.what == "the ledger ignores the runs of recordings")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.rule}: {mutant.what}")
def test_every_mutant_fits_the_code_and_its_test_is_there(mutant: Mutant) -> None:
    text = mutated((REPOSITORY / mutant.file).read_text(), mutant)
    compile(text, mutant.file, "exec")
    file, _, name = mutant.test.partition("::")

    assert f"\ndef {name.partition('[')[0]}" in (REPOSITORY / file).read_text()


def test_every_rule_about_guarantees_has_a_mutant() -> None:
    assert {1, 2, 3, 4, 5, 9, 10, 11} <= {mutant.rule for mutant in MUTANTS}


@pytest.mark.slow
def test_a_mutant_is_caught_and_one_that_breaks_nothing_or_everything_is_not_called_so(tmp_path: Path) -> None:
    copy = Copy(tmp_path)
    harmless = dataclasses.replace(LEDGER, new=LEDGER.old + "  # as before")
    nonsense = dataclasses.replace(LEDGER, new="(")

    assert copy.outcome(LEDGER) is Outcome.CAUGHT
    assert copy.outcome(harmless) is Outcome.SURVIVED
    assert copy.outcome(nonsense) is Outcome.NOT_RUN

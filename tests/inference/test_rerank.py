"""Formats settle what is near-tied, and touch nothing else; wording touches the text, never raw."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.formats import shipped
from services.contracts.messages import Reading
from services.inference.core.vote import Read, VoteOptions, vote
from services.inference.core.wording import BadRules, WordingOptions, parse_rules, to_cyrillic, word
from services.inference.models.recogniser import ALPHABET
from services.inference.settings import PipelineSettings
from services.runtime.environment import load
from services.runtime.errors import SettingsError

RUSSIAN = ("ru-private", "ru-private-two-row")
ALL = VoteOptions(formats=shipped())


def read(*places: dict[str, float]) -> Read:
    rows = np.zeros((len(places), len(ALPHABET)), np.float32)
    for row, shares in zip(rows, places, strict=True):
        for letter, share in shares.items():
            row[ALPHABET.index(letter)] = share
    return Read("".join(max(one, key=lambda key: one[key]) for one in places), rows, 1.0)


def sure(text: str) -> list[dict[str, float]]:
    return [{char: 0.97} for char in text]


def test_a_near_tied_look_alike_is_settled_by_the_format_and_raw_keeps_what_led() -> None:
    places = [*sure("K"), {"O": 0.5, "0": 0.45}, *sure("21MX77")]
    reading = vote([read(*places)], ALPHABET, ALL)
    assert (reading.text, reading.raw, reading.formats, reading.country) == (
        "K021MX77",
        "KO21MX77",
        ("ru-private", "ru-private-two-row"),
        "RU",
    )
    assert vote([read(*places)], ALPHABET).text == "K#21MX77"


def test_a_sure_character_is_never_rewritten() -> None:
    reading = vote([read(*sure("KO21MX77"))], ALPHABET, ALL)
    assert reading.text == reading.raw == "KO21MX77"


def test_equal_evidence_within_a_format_stays_undecided() -> None:
    places = [*sure("K021M"), {"X": 0.48, "K": 0.48}, *sure("77")]
    assert vote([read(*places)], ALPHABET, ALL).text == "K021M#77"


def test_equal_evidence_that_two_formats_allow_stays_undecided() -> None:
    places = [*sure("ABC1"), {"D": 0.48, "0": 0.48}, *sure("23")]  # both kinds of Brazilian plates
    assert vote([read(*places)], ALPHABET, ALL).text == "ABC1#23"


shares = st.floats(0.01, 1).map(lambda x: round(x, 3))


@given(st.lists(st.tuples(st.sampled_from(ALPHABET), st.sampled_from(ALPHABET), shares), min_size=1, max_size=9))
def test_formats_change_only_what_is_near_tied(columns: list[tuple[str, str, float]]) -> None:
    one = read(
        *(
            {first: 1.0} if first == second else {first: share, second: round(1 - share, 3)}
            for first, second, share in columns
        )
    )
    plain, formatted = vote([one], ALPHABET), vote([one], ALPHABET, ALL)
    assert formatted.raw == plain.raw
    assert len(formatted.text) == len(plain.text)
    for before, after, lead, row in zip(plain.raw, formatted.text, one.text, one.probabilities, strict=True):
        if after not in ("#", before):
            assert row[ALPHABET.index(lead)] < 0.9
            assert row[ALPHABET.index(after)] >= 0.29 * row[ALPHABET.index(lead)]


@given(st.lists(st.text(ALPHABET, min_size=4, max_size=9), min_size=1, max_size=5), st.randoms())
def test_the_order_of_readings_does_not_matter_with_formats_either(texts: list[str], random: object) -> None:
    reads = [read(*sure(text)) for text in texts]
    assert vote(reads, ALPHABET, ALL) == vote(reads[::-1], ALPHABET, ALL)


def test_thresholds_for_digits_and_letters_are_apart_and_raw_stays() -> None:
    reading = Reading("K1M2", "K1M2", 0.5, (0.6, 0.5, 0.8, 0.9))
    worded = word(reading, WordingOptions(digits=0.6, letters=0.7))
    assert (worded.text, worded.raw) == ("##M2", "K1M2")


def test_rules_are_applied_in_their_order() -> None:
    rules = parse_rules(["// Ours", "", "^AB => CD", "CD(.) => E\\1"], "rules.txt")
    assert word(Reading("AB12", "AB12", 0.9, (0.9,) * 4), WordingOptions(rules=rules)).text == "E12"


@pytest.mark.parametrize("line", ["no sign", "( => a", "A => \\3", " => a"])
def test_a_bad_rule_is_named_by_file_and_line(line: str) -> None:
    with pytest.raises(BadRules, match=r"rules\.txt:2:"):
        parse_rules(["A => B", line], "rules.txt")


def test_only_a_plate_of_letters_that_look_the_same_becomes_cyrillic() -> None:
    assert to_cyrillic("K021#X77") == "К021#Х77"
    assert to_cyrillic("KZ1") == "KZ1"


def test_settings_refuse_unknown_formats_and_bad_files(tmp_path: Path) -> None:
    bad = tmp_path / "mine.yaml"
    bad.write_text("- {name: a, country: B, pattern: q}\n")
    for environment, words in (
        ({"PLATEFLOW_FORMATS": "atlantis"}, "atlantis"),
        ({"PLATEFLOW_FORMATS_FILE": str(bad)}, "mine.yaml:1"),
        ({"PLATEFLOW_REPLACEMENTS": str(bad)}, "mine.yaml:1"),
    ):
        with pytest.raises(SettingsError, match=words):
            load(PipelineSettings, environment)

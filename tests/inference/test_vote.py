"""The vote: what counts, what is undecided, and that the order of the readings never matters; and what
belongs together."""

from __future__ import annotations

import math
import random
from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.contracts.messages import Reading
from services.inference.core.alignment import align, compatible, distance
from services.inference.core.evidence import evidence
from services.inference.core.spread import Spread
from services.inference.core.stitch import KeepOptions, Piece, divide, keep, stitch
from services.inference.core.vote import Read, VoteOptions, vote, weigh

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def read(text: str, weight: float = 1.0, sure: float = 0.95) -> Read:
    """A reading whose characters all have the probability ``sure``, the rest spread evenly."""
    probabilities = np.full((len(text), len(ALPHABET)), (1 - sure) / (len(ALPHABET) - 1), np.float32)
    for row, character in enumerate(text):
        probabilities[row, ALPHABET.index(character)] = sure
    return Read(text, probabilities, weight)


def text_of(*reads: Read) -> str:
    return vote(reads, ALPHABET).text


# ---- the vote
# ------------------------------------------------------------------------------------------------------


def test_one_clear_reading_is_the_result() -> None:
    reading = vote([read("A123BC77")], ALPHABET)

    assert (reading.text, reading.raw) == ("A123BC77", "A123BC77")
    assert reading.confidences == pytest.approx([0.95] * 8, abs=0.002)


def test_nothing_legible_is_an_empty_reading() -> None:
    assert vote([], ALPHABET) == vote([read(""), read("A1", weight=0)], ALPHABET) == Reading("", "", 0.0)


def test_a_wrong_first_reading_is_out_voted() -> None:
    assert text_of(read("A128BC77"), read("A123BC77"), read("A123BC77")) == "A123BC77"


def test_a_clear_reading_outweighs_several_blurred_ones() -> None:
    blurred = [read("A128BC77", weight=0.1)] * 3

    assert text_of(*blurred, read("A123BC77", weight=1.0)) == "A123BC77"


def test_equal_evidence_is_undecided_and_the_raw_text_is_kept_beside_it() -> None:
    reading = vote([read("A123BC77"), read("A128BC77")], ALPHABET)

    assert reading.text == "A12#BC77"
    assert reading.raw == "A123BC77"
    assert reading.confidence < reading.confidences[3] < 0.5


def test_a_missed_character_does_not_shift_the_others() -> None:
    assert text_of(read("A123BC77"), read("A123BC77"), read("A13BC77")) == "A123BC77"


def test_a_character_that_most_did_not_see_is_left_out() -> None:
    assert text_of(read("A123BC77"), read("A123BC77"), read("A1123BC77")) == "A123BC77"


def test_readings_of_two_lengths_keep_all_their_votes() -> None:
    """Each length has an error of its own at another place: only together are they right."""
    eight = [read("A128BC77")] * 2
    nine = [read("A123BK777")] * 3

    assert text_of(*eight, *nine, read("A123BC777"), read("A123BC777")) == "A123BC777"
    assert text_of(nine[0], eight[0], nine[1], eight[1], nine[2], read("A123BC777"), read("A123BC777")) == "A123BC777"


def test_a_character_that_half_of_the_evidence_has_is_undecided() -> None:
    assert text_of(read("A123BC77"), read("A123BC7")) == "A123BC#7"


def test_different_errors_in_each_reading_add_up_to_the_truth() -> None:
    assert text_of(read("X123BC77"), read("A723BC77"), read("A123BC71"), read("A123C77")) == "A123BC77"


def test_a_doubtful_character_is_undecided() -> None:
    assert text_of(read("A1", sure=0.35)) == "##"


def test_the_confidence_is_that_of_all_characters_together() -> None:
    reading = vote([read("A123", weight=3), read("A128", weight=1)], ALPHABET)

    assert reading.text == "A123"
    assert min(reading.confidences) == reading.confidences[3]
    assert reading.confidence == pytest.approx(math.prod(reading.confidences), abs=1e-4)


def test_readings_that_agree_make_each_other_surer_and_one_that_does_not_makes_them_less_sure() -> None:
    confidence = [vote([read("A123BC77", sure=0.8)] * count, ALPHABET).confidence for count in (1, 2, 4, 8)]
    against = vote([read("A123BC77", sure=0.8)] * 7 + [read("A128BC77", sure=0.8)], ALPHABET)

    assert confidence == sorted(confidence)
    assert confidence[0] < 0.2 < 0.95 < confidence[-1]
    assert against.text == "A123BC77"
    assert against.confidence < confidence[-1]


def test_one_reading_however_sure_cannot_rule_out_what_all_others_say() -> None:
    assert text_of(read("A128BC77", sure=1.0), *[read("A123BC77", sure=0.9)] * 4) == "A123BC77"


def test_what_a_reading_thinks_less_likely_counts_too() -> None:
    """Two see a B that may well be an 8, one is sure of an 8: together they say 8."""
    unsure = read("AB")
    unsure.probabilities[1] = 0
    unsure.probabilities[1, ALPHABET.index("B")], unsure.probabilities[1, ALPHABET.index("8")] = 0.55, 0.45
    other = read("A8")
    other.probabilities[1] = 0
    other.probabilities[1, ALPHABET.index("8")], other.probabilities[1, ALPHABET.index("B")] = 0.98, 0.02

    assert text_of(unsure, unsure, other) == "A8"


def test_the_least_share_and_the_least_lead_are_options() -> None:
    reads = [read("A", sure=0.7), read("A", sure=0.3), read("B", sure=0.4)]
    winner, rival = (vote(reads, ALPHABET, VoteOptions(min_share=0.1)).confidence, 0.1)
    assert 0.5 < winner < 0.9

    assert vote(reads, ALPHABET, VoteOptions(min_share=winner)).text == "A"
    assert vote(reads, ALPHABET, VoteOptions(min_share=winner + 0.01)).text == "#"
    assert vote(reads, ALPHABET, VoteOptions(min_share=0.1, min_lead=winner + rival)).text == "#"


plates = st.text("AB128", min_size=0, max_size=9)
some_reads = st.lists(
    st.builds(read, plates, st.sampled_from([0.1, 0.25, 0.5, 1.0]), st.sampled_from([0.5, 0.9])), max_size=7
)


@given(some_reads, st.randoms(use_true_random=False))
def test_the_order_of_the_readings_does_not_matter(reads: list[Read], rng: random.Random) -> None:
    mixed = list(reads)
    rng.shuffle(mixed)

    assert vote(mixed, ALPHABET) == vote(reads, ALPHABET)


@given(some_reads)
def test_a_reading_has_a_confidence_for_each_character_and_differs_from_its_raw_text_in_hashes_only(
    reads: list[Read],
) -> None:
    reading = vote(reads, ALPHABET)

    assert len(reading.text) == len(reading.raw) == len(reading.confidences)
    assert all(decided in ("#", raw) for decided, raw in zip(reading.text, reading.raw, strict=True))
    assert all(0 <= share <= 1 and share == round(share, 4) for share in reading.confidences)


@given(st.text(ALPHABET, min_size=1, max_size=9), st.integers(1, 6))
def test_readings_that_agree_give_their_text(text: str, count: int) -> None:
    assert vote([read(text)] * count, ALPHABET).text == text


@given(st.text("AB1", min_size=1, max_size=5), st.text("AB1", min_size=1, max_size=5), st.integers(1, 4))
def test_equal_evidence_stays_undecided_however_much_of_it_there_is(first: str, second: str, times: int) -> None:
    reading = vote([read(first), read(second)] * times, ALPHABET)

    assert ("#" in reading.text) == (first != second)


def test_weight_grows_with_score_confidence_sharpness_and_size() -> None:
    full = weigh(0.9, [0.9, 0.9], 1.0, 120)

    assert full == pytest.approx(0.9**5)
    assert weigh(0.5, [0.9, 0.9], 1.0, 120) < full
    assert weigh(0.9, [0.9, 0.5], 1.0, 120) < full
    assert weigh(0.9, [0.9, 0.9], 0.5, 120) < full
    assert weigh(0.9, [0.9, 0.9], 1.0, 60) < full
    assert weigh(0.9, [], 1.0, 120) == 0


# ---- alignment
# -------------------------------------------------------------------------------------------------------


@given(st.text("AB1#", max_size=7), st.text("AB1#", max_size=7))
def test_an_alignment_goes_through_both_texts_in_order_and_costs_the_same_both_ways(first: str, second: str) -> None:
    pairs = align(first, second)

    assert [i for i, _ in pairs if i is not None] == list(range(len(first)))
    assert [j for _, j in pairs if j is not None] == list(range(len(second)))
    assert (None, None) not in pairs
    assert distance(first, second) == distance(second, first)
    assert abs(len(first) - len(second)) <= distance(first, second) <= max(len(first), len(second))


def test_readings_are_compatible_where_only_undecided_characters_differ() -> None:
    assert compatible("A123BC77", "A1#3BC#7")
    assert not compatible("A123BC77", "A1#4BC77")
    assert not compatible("A123BC77", "A123BC7")
    assert not compatible("A1##", "#1BC")


# ---- dividing
# ------------------------------------------------------------------------------------------------


def test_a_track_is_divided_where_another_plate_begins() -> None:
    assert divide(["A123BC77", "A128BC77", "A123BC77", "K777KK99", "K777KK99"]) == 3
    assert divide(["A123BC77"] * 2 + ["K777KK99"] * 9) == 2


def test_a_track_is_not_divided_for_errors_in_reading_or_single_strangers() -> None:
    assert divide(["A123BC77"] * 6) is None
    assert divide(["A123BC77", "A128BC77", "A123BC71", "A123BC77", "A123BC7", "8123BC77"]) is None
    assert divide(["K777KK99", "A123BC77", "A123BC77", "A123BC77"]) is None
    assert divide(["A123BC77", "A123BC77", "11", "5KM", "77XX00", "A123BC77", "A123BC77"]) is None
    assert divide([]) is None


@given(st.lists(st.text("A1B2", max_size=8), max_size=10))
def test_a_division_leaves_two_readings_on_both_sides(texts: list[str]) -> None:
    place = divide(texts)

    assert place is None or 2 <= place <= len(texts) - 2


# ---- stitching
# -------------------------------------------------------------------------------------------------------


def test_pieces_with_the_same_reading_one_after_the_other_are_one() -> None:
    assert stitch([Piece(0, 1000, "A123BC77"), Piece(4000, 6000, "A123BC77")]) == [[0, 1]]


def test_pieces_at_the_same_time_are_one_with_the_same_reading_only() -> None:
    assert stitch([Piece(0, 1000, "A123BC77"), Piece(900, 2000, "A12#BC77")]) == [[0, 1]]
    assert stitch([Piece(0, 1000, "A123BC77"), Piece(900, 2000, "A128BC77")]) == [[0], [1]]


def test_pieces_far_apart_in_time_stay_two() -> None:
    assert stitch([Piece(0, 1000, "A123BC77"), Piece(11_001, 12_000, "A123BC77")]) == [[0], [1]]


def test_one_character_of_difference_is_forgiven_only_close_in_time() -> None:
    assert stitch([Piece(0, 1000, "A123BC77"), Piece(2000, 3000, "A128BC77")]) == [[0, 1]]
    assert stitch([Piece(0, 1000, "A123BC77"), Piece(5000, 6000, "A128BC77")]) == [[0], [1]]
    assert stitch([Piece(0, 1000, "A123"), Piece(2000, 3000, "A128")]) == [[0], [1]]


def test_a_chain_of_pieces_is_one_and_a_stranger_between_them_stays_alone() -> None:
    pieces = [
        Piece(0, 900, "A123BC77"),
        Piece(1000, 1400, "K777KK77"),
        Piece(1500, 2000, "A12#BC77"),
        Piece(2500, 3000, "A123BC77"),
    ]

    assert stitch(pieces) == [[0, 2, 3], [1]]


def test_pieces_without_a_reading_are_never_joined() -> None:
    assert stitch([Piece(0, 900, ""), Piece(1000, 1400, "")]) == [[0], [1]]


spans = st.builds(
    lambda start, length, text: Piece(start, start + length, text),
    st.integers(0, 20_000), st.integers(0, 3000), st.sampled_from(["A123BC77", "A12#BC77", "A128BC77", "K777KK77", ""]),
)  # fmt: skip


@given(st.lists(spans, max_size=8))
def test_every_piece_is_in_one_group_and_what_was_seen_at_one_time_in_a_group_reads_the_same(
    pieces: list[Piece],
) -> None:
    groups = stitch(pieces)

    assert sorted(i for group in groups for i in group) == list(range(len(pieces)))
    for one, other in (pair for group in groups for pair in combinations([pieces[i] for i in group], 2)):
        assert one.first_ms <= other.first_ms
        assert one.last_ms < other.first_ms or compatible(one.text, other.text)
    assert [pieces[group[0]].first_ms for group in groups] == sorted(pieces[group[0]].first_ms for group in groups)


def test_what_is_no_plate_is_dropped() -> None:
    good = Reading("A123BC77", "A123BC77", 0.9, (0.9,) * 8)

    assert keep(good, [0.9, 0.9])
    assert keep(good, [0.9])
    assert not keep(good, [0.5])
    assert not keep(Reading("A1##B#", "A1??B?", 0.3, (0.9, 0.9, 0.3, 0.3, 0.9, 0.3)), [0.9, 0.9])
    assert not keep(Reading("A123", "A123", 0.0729, (0.9, 0.9, 0.9, 0.1)), [0.9, 0.9])
    assert not keep(Reading("", "", 0.0), [0.9] * 9)
    assert keep(Reading("A1#3B", "A1?3B", 0.1, (0.9, 0.9, 0.1, 0.9, 0.9)), [0.9, 0.9], KeepOptions(min_confidence=0.5))


def test_characters_that_are_each_rather_right_make_no_plate_where_together_they_are_rather_wrong() -> None:
    doubtful = Reading("A123BC77", "A123BC77", 0.0576, (0.7,) * 8)

    assert not keep(doubtful, [0.9, 0.9])
    assert keep(doubtful, [0.9, 0.9], KeepOptions(min_confidence=doubtful.confidence))


def test_undecided_characters_do_not_make_a_reading_unsure() -> None:
    assert keep(Reading("A1##BC77", "A1??BC77", 0.06, (0.9, 0.9, 0.3, 0.3, 0.9, 0.9, 0.9, 0.9)), [0.9, 0.9])
    assert not keep(Reading("A1##BC77", "A1??BC77", 0.01, (0.6, 0.6, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6)), [0.9, 0.9])


# ---- the choice of pictures
# -----------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.lists(st.tuples(st.integers(1, 500), st.integers(0, 9)), max_size=60))
def test_the_choice_is_bounded_spread_over_time_and_has_the_best_of_all(
    limit: int, offers: list[tuple[int, int]]
) -> None:
    spread, now, seen = Spread[int](limit), 0, list[tuple[int, int]]()
    for gap, value in offers:
        now += gap
        seen.append((now, value))
        spread.offer(now, value, partial(int, now))
        assert len(spread.kept()) <= limit
    kept = spread.kept()

    assert [one.item for one in kept] == sorted(one.item for one in kept)
    assert {(one.time_ms, one.value) for one in kept} <= set(seen)
    if seen:
        assert max(one.value for one in kept) == max(value for _, value in seen)


def test_no_limit_keeps_everything() -> None:
    spread = Spread[str](0)
    for k in range(100):
        spread.offer(k * 40, 1.0, lambda: "picture")

    assert len(spread.kept()) == 100


# ---- evidence
# --------------------------------------------------------------------------------------------------------


def logs(reading: Read, doubt: float = 0.05) -> NDArray[np.float64]:
    blank = np.maximum(1 - reading.probabilities.sum(axis=1, keepdims=True), 0)
    whole = np.hstack([reading.probabilities, blank]).astype(np.float64)
    logarithms: NDArray[np.float64] = np.log((1 - doubt) * whole + doubt / whole.shape[1])
    return logarithms


def likelihoods(reading: NDArray[np.float64], text: list[int], gap: float) -> float:
    """Of the best of all alignments, by trying each."""
    if not len(reading) or not text:
        return float(reading[:, -1].sum()) + gap * len(text)
    return max(
        float(reading[0, text[0]]) + likelihoods(reading[1:], text[1:], gap),
        gap + likelihoods(reading, text[1:], gap),
        float(reading[0, -1]) + likelihoods(reading[1:], text, gap),
    )


@given(st.text("AB1", max_size=4), st.text("AB1", max_size=4), st.sampled_from([0.4, 0.9]))
def test_evidence_is_that_of_the_best_alignment_and_goes_through_both_in_order(
    seen: str, said: str, sure: float
) -> None:
    reading, text, gap = logs(read(seen, sure=sure)), [ALPHABET.index(letter) for letter in said], math.log(0.05 / 37)
    likelihood, pairs = evidence(reading, text, gap)

    assert likelihood == pytest.approx(likelihoods(reading, text, gap))
    assert [i for i, _ in pairs if i is not None] == list(range(len(said)))
    assert [j for _, j in pairs if j is not None] == list(range(len(seen)))
    assert (None, None) not in pairs

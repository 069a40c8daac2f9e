"""What a training keeps in its folder: last and best state, log, curve; patience; Ctrl+C."""

from __future__ import annotations

import json
import os
import signal
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.inference.training.logbook import Logbook, StopAsked, check_config, read_log
from services.runtime.errors import Stop


def feed(book: Logbook, *scores: float) -> None:
    for score in scores:
        step = 100 * (len(book.rows) + 1)
        book.measured(step, {"loss": 1 / step, "exact": score}, score, partial(Path.write_text, data=f"state {step}"))


def test_the_best_state_stays_while_the_last_one_moves_on(tmp_path: Path) -> None:
    feed(Logbook(tmp_path), 0.5, 0.9, 0.7)

    assert (tmp_path / "best.pt").read_text() == "state 200"
    assert (tmp_path / "last.pt").read_text() == "state 300"
    assert [json.loads(line)["exact"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [0.5, 0.9, 0.7]
    with Image.open(tmp_path / "curve.png") as curve:
        assert curve.width > 600


def test_a_resumed_training_remembers_its_best_and_a_new_one_does_not(tmp_path: Path) -> None:
    feed(Logbook(tmp_path), 0.5, 0.9, 0.7)
    resumed = Logbook(tmp_path, patience=2, resume=True)
    assert (resumed.best_score, resumed.since_best, resumed.done) == (0.9, 1, False)
    feed(resumed, 0.8)

    assert resumed.done
    assert (tmp_path / "best.pt").read_text() == "state 200"
    assert Logbook(tmp_path).best_score is None


def test_without_patience_a_training_never_ends_by_itself(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    feed(book, 0.9, *[0.1] * 5)

    assert not book.done


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 4))
def test_patience_ends_exactly_when_so_many_measurements_brought_nothing_better(
    scores: list[float], patience: int
) -> None:
    book = Logbook.__new__(Logbook)
    book.patience, book.rows = patience, [{"step": n, "score": score} for n, score in enumerate(scores)]
    # As one would do it by hand: how many of the last measurements can go without losing the best.
    stale = max(n for n in range(len(scores)) if max(scores[: len(scores) - n]) == max(scores))

    assert book.since_best == stale
    assert book.done == (stale >= patience)


def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_one_whole(tmp_path: Path) -> None:
    book = Logbook(tmp_path)
    feed(book, 0.5)

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        book.keep(fail)
    assert (tmp_path / "last.pt").read_text() == "state 100"


def test_a_checkpoint_of_another_alphabet_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    check_config({"alphabet": "01AB", "more": 1}, {"alphabet": "01AB"}, tmp_path / "last.pt")

    with pytest.raises(Stop, match=r"last\.pt was trained for alphabet '01', this training needs '01AB': name another"):
        check_config({"alphabet": "01"}, {"alphabet": "01AB"}, tmp_path / "last.pt")
    with pytest.raises(Stop, match="alphabet that it does not name"):
        check_config(None, {"alphabet": "01AB"}, tmp_path / "last.pt")


def test_a_line_cut_off_at_the_end_of_the_log_is_dropped_and_a_broken_one_named(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1, "score": 0.5}\n{"step": 2, "sc')
    assert [row["score"] for row in read_log(log)] == [0.5]
    assert log.read_text() == '{"step": 1, "score": 0.5}\n'

    log.write_text('{"step": 1, "score": 0.5}\nnonsense\n')
    with pytest.raises(Stop, match=r"log\.jsonl, line 2"):
        read_log(log)


def test_the_first_interrupt_is_a_request_and_the_second_an_order() -> None:
    with StopAsked() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is not stop._handle

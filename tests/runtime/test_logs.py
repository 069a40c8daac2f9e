"""Log lines say when, how grave, who and what, and never a secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from services.runtime.logs import configure
from services.runtime.settings import ObservabilitySettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def lines_of(
    stream: io.StringIO, log_format: Literal["auto", "json", "console"] = "auto", **settings: Any
) -> io.StringIO:
    configure(ObservabilitySettings(log_format=log_format, **settings), "ingest", stream)
    return stream


def only(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    parsed: dict[str, Any] = json.loads(line)
    return parsed


log = logging.getLogger("services.ingest.handler")


def test_a_line_is_a_json_object_with_its_fields() -> None:
    stream = lines_of(io.StringIO())
    log.info("clip %s", "stored", extra={"camera": "front/gate", "size": 7, "path": Path("a/b"), "topics": ("x", "y")})
    line = only(stream)

    assert datetime.fromisoformat(line.pop("ts")).utcoffset() is not None
    assert line == {
        "level": "info",
        "service": "ingest",
        "logger": "services.ingest.handler",
        "message": "clip stored",
        "camera": "front/gate",
        "size": 7,
        "path": "a/b",
        "topics": ["x", "y"],
    }


def test_a_field_cannot_replace_what_every_line_says() -> None:
    stream = lines_of(io.StringIO())
    log.info("clip stored", extra={"service": "someone-else", "level": "calm"})

    assert (only(stream)["service"], only(stream)["level"]) == ("ingest", "info")


def test_a_defect_carries_its_traceback_in_the_same_line() -> None:
    stream = lines_of(io.StringIO())
    try:
        raise ZeroDivisionError("made up")
    except ZeroDivisionError:
        log.exception("defect")

    assert only(stream)["level"] == "error"
    assert "ZeroDivisionError: made up" in only(stream)["exception"]


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_shows_a_secret(log_format: Literal["json", "console"]) -> None:
    stream = lines_of(io.StringIO(), log_format)
    url = "https://s.example/a.mp4?X-Amz-Credential=Zq7&X-Amz-Signature=Zq7"
    log.info(
        "fetching %s", url, extra={"url": url, "secret_key": "Zq7", "headers": {"X-Kerberos-Storage-AccessKey": "Zq7"}}
    )
    try:
        raise ValueError(f"403 from {url}")
    except ValueError:
        log.exception("password=Zq7", extra={"event": '{"payload":{"publickey":"Zq7","key":"a/b.mp4"}}'})

    assert "Zq7" not in stream.getvalue()
    assert "a/b.mp4" in stream.getvalue()
    assert "https://s.example/a.mp4?***" in stream.getvalue()


def test_a_terminal_gets_readable_lines_in_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = lines_of(Terminal())
    log.warning("clip stored", extra={"camera": "front/gate"})

    assert "\x1b[33mWARNING\x1b[0m ingest     clip stored  camera=front/gate" in stream.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = lines_of(Terminal())
    log.warning("clip stored")

    assert "\x1b" not in stream.getvalue()


def test_a_format_can_be_chosen_whatever_the_stream() -> None:
    terminal = lines_of(Terminal(), "json")
    log.info("clip stored")
    pipe = lines_of(io.StringIO(), "console")
    log.info("clip stored")

    assert only(terminal)["message"] == "clip stored"
    assert pipe.getvalue().endswith("INFO    ingest     clip stored\n")


def test_only_what_is_grave_enough_is_said() -> None:
    stream = lines_of(io.StringIO(), log_level="WARNING")
    log.info("clip stored")
    log.warning("clip lost")

    assert only(stream)["message"] == "clip lost"


def test_libraries_do_not_log_the_urls_they_ask() -> None:
    stream = lines_of(io.StringIO(), log_level="DEBUG")
    logging.getLogger("httpx").info("HTTP Request: GET https://vault.example/api")
    logging.getLogger("botocore.auth").debug("signature")

    assert stream.getvalue() == ""


def test_configuring_again_replaces_what_was_before() -> None:
    first = lines_of(io.StringIO())
    second = lines_of(io.StringIO())
    log.info("clip stored")

    assert first.getvalue() == ""
    assert only(second)["message"] == "clip stored"

"""The command line: lists its commands quickly, and tells a user's mistake in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from services.cli.__main__ import COMMANDS, load
from services.cli.tail import describe, full_name, line
from services.contracts.codec import encode
from services.contracts.messages import GroundPosition, Plate, Run
from services.contracts.topics import Topics

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "NO_COLOR": "1", "COLUMNS": "100"}


def plateflow(
    *words: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *words],
        env={**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[2]), **(env or {})},
        cwd=cwd,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_lists_every_command() -> None:
    shown = plateflow("--help")

    assert shown.returncode == 0
    assert all(f" {name} " in shown.stdout for name in COMMANDS)


def test_help_loads_no_command() -> None:
    code = (
        "import sys, services.cli.__main__ as cli\n"
        "try: cli.app(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('cv2', 'numpy', 'confluent_kafka', 'onnxruntime') if name in sys.modules])"
    )

    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert shown.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_loaded_and_has_help(name: str) -> None:
    command = load(name)

    assert command.name == name
    assert command.help


def test_the_version_is_the_distribution_s() -> None:
    from importlib.metadata import version

    assert plateflow("--version").stdout == f"plateflow {version('plateflow')}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dmeo",), "No such command 'dmeo'"),
        (("demo", "--cameras", "9"), "--cameras"),
        (("demo", "--out", "{tmp}"), "not empty"),
        (("tail", "plates"), "PLATEFLOW_KAFKA_BROKER"),
        (("ingest",), "PLATEFLOW_KAFKA_BROKER"),
        (("inference",), "PLATEFLOW_KAFKA_BROKER"),
        (("aggregator",), "PLATEFLOW_KAFKA_BROKER"),
        (("simulate", "camera", "{tmp}"), "STORAGE_URI"),
        (("simulate", "vault", "{tmp}", "--form", "Z"), "none of A, B, C"),
    ],
)
def test_a_mistake_is_told_without_a_traceback_and_ends_with_2(
    words: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    (tmp_path / "something of yours").touch()

    shown = plateflow(*(word.format(tmp=tmp_path) for word in words), cwd=tmp_path)

    assert shown.returncode == 2
    assert said in " ".join(shown.stderr.replace("│", " ").split())
    assert "Traceback" not in shown.stderr
    assert (tmp_path / "something of yours").exists()


def test_the_services_of_the_command_line_are_those_of_the_modules() -> None:
    from services.aggregator.__main__ import NAME as AGGREGATOR
    from services.inference.__main__ import NAME as INFERENCE
    from services.ingest.__main__ import NAME as INGEST

    assert {INGEST, INFERENCE, AGGREGATOR} <= set(COMMANDS)


def test_tail_knows_our_topics_by_their_short_names() -> None:
    assert full_name("plates", Topics("site")) == "site.plates"
    assert full_name("kcloud-event-queue", Topics()) == "kcloud-event-queue"


def test_tail_shows_a_sighting_in_one_line_and_what_it_cannot_read_as_such() -> None:
    plate = Plate(
        id="p", results=1, recording_id="r", camera="demo/gate", key="demo/k.mp4", run=Run("plateflow.clips", 0, 1),
        track_id="t", passage_id="v", time_ms=1_781_593_812_414, plate="A123BC77", raw="A123BC77", confidence=0.91,
        box=(1, 2, 3, 4), center=(2.5, 4), frame_width=1280, frame_height=720, detection=0.8,
        ground=GroundPosition(1.25, 30.5, "v1"),
    )  # fmt: skip

    assert describe(plate) == "2026-06-16 07:10:12.414  demo/gate  A123BC77  0.91  at 1.2, 30.5"
    assert line(Topics(), "plateflow.plates", encode(plate)) == describe(plate)
    assert line(Topics(), "plateflow.plates", b"{}").startswith("(not readable: Plate:")
    assert line(Topics(), "others", b"hello") == "hello"


def test_tail_prints_what_is_on_a_topic_and_stops_at_the_count() -> None:
    from confluent_kafka import Producer

    from services.simulator.broker import EmbeddedBroker

    with EmbeddedBroker(["others"]) as broker:
        producer = Producer({"bootstrap.servers": broker.address})
        for key in ("gate", "yard", "gate"):
            producer.produce("others", f"seen at {key}".encode(), key.encode())
        assert producer.flush(10) == 0
        words = ("tail", "others", "--from-beginning", "--count", "2", "--camera", "gate")
        shown = plateflow(*words, env={"KAFKA_BROKER": broker.address})
        unknown = plateflow("tail", "nowhere", env={"KAFKA_BROKER": broker.address})

    assert shown.stdout == "seen at gate\nseen at gate\n"
    assert (unknown.returncode, "there is no topic nowhere" in unknown.stderr) == (2, True)

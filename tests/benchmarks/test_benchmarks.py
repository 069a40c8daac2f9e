"""Benchmarks run, take turns, and end in a line of JSON with the promised fields. No figure is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.harness import alternate, medians, table


def test_variants_take_turns_and_the_first_turn_does_not_count() -> None:
    calls: list[str] = []

    def variant(name: str, figures: list[float]) -> float:
        calls.append(name)
        return figures.pop(0)

    a, b = [9.0, 1.0, 3.0, 2.0], [9.0, 10.0, 30.0, 20.0]
    figures = alternate({"a": lambda: variant("a", a), "b": lambda: variant("b", b)}, rounds=3)

    assert calls == ["a", "b"] * 4
    assert figures == {"a": [1.0, 3.0, 2.0], "b": [10.0, 30.0, 20.0]}
    assert medians(figures) == {"a": 2.0, "b": 20.0}


def test_a_table_shows_median_and_spread() -> None:
    text = table("title", "ms", {"one": [1.0, 3.0, 2.0]})

    assert text.splitlines()[0] == "title"
    assert "2 ms" in text
    assert "(1 to 3)" in text


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("aggregator", {"observations_per_second", "of_limit", "cost_of_10000_cameras_150"}),
        (
            "heatmap_commit",
            {
                "p50_ms",
                "p95_ms",
                "file_bytes",
                "p50_last_tenth_ms",
                "memory_growth_mb",
                "deltalake_p50_ms",
                "s3_p50_ms",
            },
        ),
        ("detector", {"cpu_ms", "least"}),
        ("recogniser", {"cpu_ms", "least"}),
        ("decode", {"frames_per_second", "frames_left"}),
        ("ingest", {"recordings_per_second", "mb_per_second", "of_curl"}),
        pytest.param(
            "startup",
            {"ready_seconds", "imports_seconds", "idle_cpu_percent"},
            marks=[pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(300)],
        ),
        pytest.param(
            "transactions",
            {"clips_per_second", "of_at_least_once", "of_producer", "p50_ms", "p95_ms", "p99_ms"},
            marks=[pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(300)],
        ),
        pytest.param(
            "scale",
            {"clips_per_second", "of_ideal", "on_paper"},
            marks=[pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(300)],
        ),
        pytest.param(
            "pipeline",
            {"frames_per_second", "of_limit", "cpu_seconds_per_clip_second", "peak_memory_mb"},
            marks=[pytest.mark.slow, pytest.mark.timeout(300)],
        ),
    ],
)
def test_each_benchmark_ends_in_its_line_of_json(
    name: str, fields: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([name, "--quick"]) == 0

    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["benchmark"] == name
    assert fields <= set(last)


def test_an_unknown_benchmark_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["nonsense"])

    assert left.value.code == 2
    assert "there are: aggregator" in capsys.readouterr().err


@pytest.mark.slow
def test_a_profile_has_a_budget_for_each_stage_and_a_flame_graph(tmp_path: Path) -> None:
    out = tmp_path / "pictures" / "flame.svg"
    command = [sys.executable, "-m", "benchmarks.profile", "--quick", "--out", str(out)]

    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    (line,) = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {"decode_ms", "detect_ms", "track_ms", "read_ms", "processor_decoding_child_ms"} < line.keys()
    if "Permission Denied" not in done.stderr:  # a system may forbid looking into processes
        assert "pipeline.py" in out.read_text(), done.stderr

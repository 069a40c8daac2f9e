"""The demo's verdict finds every fault, its children die with it, and the whole of it works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.cli.children import ChildFailed, Children, own_environment
from services.cli.demo_check import Published, Sums, judge
from services.contracts.messages import GroundPosition, Models, Passage, Plate, RecordingDone, Run
from services.simulator.clips import ClipTruth, Truth, key_of, truth_of
from services.simulator.traffic import timetable

ROOT = Path(__file__).parents[2]
RUN = Run("plateflow.clips", 0, 0)


def truth() -> Truth:
    return truth_of(timetable(1, 2), seed=1)


def perfect(known: Truth) -> Published:
    """What a system without fault publishes."""
    published = Published()
    before: dict[str, str] = {}
    for clip in known.recordings:
        published.recordings[clip.key] = _done(clip)
        for number, expected in enumerate(clip.passages):
            id_ = f"{clip.key}/{number}"
            common: dict[str, Any] = {
                "results": 1, "recording_id": clip.key, "camera": clip.camera, "key": clip.key, "run": RUN,
                "track_id": id_,
            }  # fmt: skip
            published.passages[id_] = Passage(
                **common, id=id_, plate=expected.plate, raw=expected.plate, confidence=0.9, confidences=(),
                first_seen_ms=expected.first_ms, last_seen_ms=expected.last_ms, observations=9, sightings=9,
                first_box=(0, 0, 1, 1), last_box=(0, 0, 1, 1), direction=expected.direction,
                speed_mps=expected.speed_mps, continues=before.get(expected.plate) if expected.continues else None,
            )  # fmt: skip
            before[expected.plate] = id_
            for seen in expected.seen:
                published.plates[f"{id_}/{seen.frame}"] = Plate(
                    **common, id=f"{id_}/{seen.frame}", passage_id=id_, time_ms=seen.time_ms, plate=expected.plate,
                    raw=expected.plate, confidence=0.9, box=seen.box, center=seen.ground, frame_width=clip.width,
                    frame_height=clip.height, detection=0.9, ground=GroundPosition(*seen.ground, version="v"),
                )  # fmt: skip
    return published


def _done(clip: ClipTruth) -> RecordingDone:
    return RecordingDone(
        id=clip.key, results=1, recording_id=clip.key, camera=clip.camera, key=clip.key, run=RUN, seconds=1.0,
        start_ms=clip.start_ms, duration_ms=clip.duration_ms, frames=len(clip.frame_ms), frame_width=clip.width,
        frame_height=clip.height, tracks=len(clip.passages), observations=9, models=Models("d", "r"),
    )  # fmt: skip


def sums(published: Published) -> Sums:
    count = len(published.plates)
    return Sums(image=count, ground=count, off_plan=0, uncalibrated=0, sightings=count)


def faults(published: Published) -> tuple[str, ...]:
    return judge(truth(), published, sums(published)).faults


def test_a_perfect_system_has_no_fault() -> None:
    published = perfect(truth())
    verdict = judge(truth(), published, sums(published))

    assert verdict.faults == ()
    assert verdict.exact == len(verdict.rows) == sum(len(clip.passages) for clip in truth().recordings)
    assert max(row.worst_m or 0 for row in verdict.rows) == 0


def test_a_recording_that_never_finished_is_missing() -> None:
    published = perfect(truth())
    key, _ = published.recordings.popitem()

    assert f"{key} was never finished" in faults(published)


def test_a_vehicle_that_nobody_saw_is_missing() -> None:
    published = perfect(truth())
    _, passage = published.passages.popitem()

    found = faults(published)

    assert any(f"{passage.plate} was not seen at all" in fault for fault in found)
    assert any("read exactly, less than 95%" in fault for fault in found)


def change(published: Published, **changes: object) -> str:
    """Changes the first passage; its id."""
    id_, passage = next(iter(published.passages.items()))
    published.passages[id_] = msgspec.structs.replace(passage, **changes)
    return id_


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"plate": "X000XX00"}, "read exactly, less than 95%"),
        ({"first_seen_ms": 1_781_593_816_000}, "after it could be read"),
        ({"last_seen_ms": 1_781_593_812_500}, "before it could be read no more"),
        ({"direction": "receding"}, "receding instead of approaching"),
        ({"speed_mps": 12.0}, "speed 12.0 m/s"),
        ({"continues": "some other"}, "linked to a passage of another vehicle"),
    ],
)
def test_a_wrong_passage_is_a_fault(changes: dict[str, object], said: str) -> None:
    published = perfect(truth())
    change(published, **changes)

    assert any(said in fault for fault in faults(published))


def test_a_passage_without_a_vehicle_is_a_fault() -> None:
    published = perfect(truth())
    passage = next(iter(published.passages.values()))
    published.passages["ghost"] = msgspec.structs.replace(passage, id="ghost", plate="Y111YY11")

    assert any("Y111YY11 passed, but no such vehicle was there" in fault for fault in faults(published))


def test_a_chain_that_was_not_linked_is_a_fault() -> None:
    published = perfect(truth())
    for id_, passage in published.passages.items():
        published.passages[id_] = msgspec.structs.replace(passage, continues=None)

    assert [fault for fault in faults(published) if "not linked" in fault] != []


def test_a_position_that_is_off_is_a_fault() -> None:
    published = perfect(truth())
    id_ = next(iter(published.passages))
    for key, plate in published.plates.items():
        if plate.passage_id == id_ and plate.ground:
            ground = GroundPosition(plate.ground.x + 2, plate.ground.y, "v")
            published.plates[key] = msgspec.structs.replace(plate, ground=ground)

    assert any("a ground position is 2.00 m off" in fault for fault in faults(published))


@pytest.mark.parametrize("field", ["image", "ground", "sightings"])
def test_parquet_that_does_not_add_up_is_a_fault(field: str) -> None:
    published = perfect(truth())
    right = sums(published)
    wrong = replace(right, **{field: getattr(right, field) - 1})

    assert len(judge(truth(), published, wrong).faults) == 1


def test_a_dead_letter_is_a_fault() -> None:
    published = perfect(truth())
    published.dead_letters.append("ingest: not-found")

    assert faults(published) == ("a dead letter: ingest: not-found",)


def test_settings_of_the_parent_lead_no_child_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BROKER", "production:9092")
    monkeypatch.setenv("PLATEFLOW_DATA", "/srv/plateflow")
    monkeypatch.setenv("PLATEFLOW_DEVICE", "cpu")

    environment = own_environment()

    assert "KAFKA_BROKER" not in environment and "PLATEFLOW_DATA" not in environment
    assert environment["PLATEFLOW_DEVICE"] == "cpu"


def test_a_child_that_dies_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("vault", "services.simulator.vault", ["--nonsense"])
        with pytest.raises(ChildFailed, match=r"(?s)vault ended with exit code 2.*required"):
            children.wait_for(child, lambda: False, timeout_s=30)


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from services.cli.children import Children\n"
        "with Children(Path(sys.argv[1])) as children:\n"
        "    child = children.start('broker', 'services.simulator.broker')\n"
        "    children.wait_for(child, lambda: 'KAFKA_BROKER' in child.log.read_text(), 30)\n"
        "    print(child._process.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_the_demo_of_one_camera_ends_well_and_says_so_in_one_object(tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = [sys.executable, "-m", "services.cli", "demo", "--cameras", "1", "--json", "--out", str(out)]

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    shown = subprocess.run(
        words, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=400, env=environment
    )

    assert shown.returncode == 0, shown.stdout + shown.stderr
    said = json.loads(shown.stdout)  # nothing else is there: all that people read is on stderr
    expected = [passage for clip in truth_of(timetable(1, 1), 1).recordings for passage in clip.passages]
    assert all(passage.plate in shown.stderr for passage in expected)
    assert said["recordings"] == 4
    assert said["expected_passages"] == said["passages"] == said["exact"] == len(expected)
    assert Path(said["heatmap"]).stat().st_size > 10_000
    assert list(Path(said["parquet"]).rglob("*.parquet"))
    assert not (out / "vault").exists()  # copies of the clips are not kept
    assert all((out / "clips" / key_of(one)).exists() for one in timetable(1, 1))

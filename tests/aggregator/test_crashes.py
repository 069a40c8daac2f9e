"""The aggregator killed at any point, and restarted: as if nothing had happened (rules 2 to 5)."""

from __future__ import annotations

from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.aggregator import partition, tables
from services.aggregator.core.aggregate import Outcome, replay
from services.aggregator.core.config import Camera, Config, Options
from services.aggregator.files import MemoryFiles
from services.aggregator.handler import AggregatorHandler
from services.contracts.messages import Run, Track
from services.runtime.errors import Fenced, Stop
from services.runtime.ports import Partition
from tests.aggregator.build import HOUR_MS, NOON_MS, TRACKS, record, track
from tests.aggregator.test_aggregate import CONFIG, GROUND, logs
from tests.aggregator.world import Cells, Crash, Fuse, Identity, World


def expected_cells(outcome: Outcome) -> dict[str, Cells]:
    """By path, without cells that hold nothing."""
    return {
        tables.heatmap_path(results, layer, camera, hour): {
            cell: values for cell, values in cells.items() if any(values)
        }
        for (results, camera, layer, hour), cells in outcome.cells.items()
    }


def check(world: World, outcome: Outcome) -> None:
    """Everything published and written is what the pure core makes of the log."""
    assert world.plates() == outcome.plates
    assert world.passages() == outcome.passages
    cells = world.cells()
    expected = expected_cells(outcome)
    assert {path: found for path, found in cells.items() if found} == {p: c for p, c in expected.items() if c}
    rows = world.sightings()
    assert sorted(str(row["sighting_id"]) for row in rows) == sorted(plate.id for plate in outcome.plates)
    first_runs: dict[str, object] = {}
    for message in world.tracks:
        first_runs.setdefault(message.recording_id, message.run)
    assert world.ledger() == first_runs
    image = sum(values[0] for path, found in cells.items() if "plane=image" in path for values in found.values())
    ground = sum(values[0] for path, found in cells.items() if "plane=ground" in path for values in found.values())
    off_plan = sum(footer.off_plan for footer in world.footers().values())
    assert image == len(rows) == ground + off_plan


def test_an_undisturbed_life_gives_what_the_core_gives() -> None:
    tracks = [track([NOON_MS + 100 * i for i in range(30)]), track([NOON_MS + 4000], recording="two", run=1)]
    world = World(tracks)
    world.live(CONFIG)

    check(world, replay(tracks, CONFIG))


@settings(deadline=None, max_examples=50)
@given(
    logs(),
    st.lists(st.integers(0, 2), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 40), st.lists(st.integers(1, 6), max_size=2)), max_size=4),
    st.integers(1, 4),
    st.sampled_from([0.0, 2.0, 1000.0]),
    st.integers(1, 3),
)
def test_killed_at_any_point_and_restarted_nothing_is_lost_and_nothing_counts_twice(
    log: list[Track],
    gaps: list[int],
    deaths: list[tuple[int, list[int]]],
    batch: int,
    flush_s: float,
    files_per_tick: int,
) -> None:
    world = World(log, gaps)
    with patch.object(partition, "FILES_PER_TICK", files_per_tick):
        for point, aborts in deaths:
            try:
                world.live(CONFIG, Fuse(point), batch=batch, flush_s=flush_s, aborts=aborts)
            except Crash:
                continue
        world.live(CONFIG, batch=batch, flush_s=flush_s)

    check(world, replay(log, CONFIG))


@pytest.mark.parametrize("nth", range(40))
def test_each_named_point_of_a_busy_log_is_survived(nth: int) -> None:
    tracks = [
        track([NOON_MS + 900 * i, NOON_MS + 900 * i + 250], recording=f"rec-{i}", run=i, camera=f"site/{i % 2}")
        for i in range(6)
    ]
    world, fuse = World(tracks, gaps=[0, 1]), Fuse(nth)
    try:
        world.live(CONFIG, fuse, batch=2)
    except Crash:
        world.live(CONFIG)
    else:
        assert nth >= len(fuse.passed)

    check(world, replay(tracks, CONFIG))


@settings(deadline=None, max_examples=25)
@given(logs(), st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=4), st.sampled_from([0.0, 3.0]))
def test_a_changed_configuration_takes_effect_between_flushes_and_sums_stay_equal(
    log: list[Track], deaths: list[tuple[int, bool]], flush_s: float
) -> None:
    moved = GROUND.__class__(matrix=(0.5, 0, 9, 0, 0.5, 9, 0, 0.0005, 1), version="def", width=200, height=100, cell=10)
    changed = Config(default=Camera(cell=25, ground=moved), options=Options(gap_ms=5000))
    world = World(log, gaps=[1])
    for point, change in [*deaths, (None, True)]:
        try:
            world.live(changed if change else CONFIG, Fuse(point), flush_s=flush_s)
        except Crash:
            continue

    published = {plate.id: plate for plate in world.plates()}
    rows = {str(row["sighting_id"]): row for row in world.sightings()}
    assert len(published) == len(world.plates()) == len(world.sightings())
    assert rows.keys() == published.keys()
    for id_, plate in published.items():
        ground = (plate.ground.x, plate.ground.y, plate.ground.version) if plate.ground else (None, None, None)
        assert (rows[id_]["ground_x"], rows[id_]["ground_y"], rows[id_]["ground_version"]) == ground
    cells = world.cells()
    for version in ("abc", "def"):
        count = sum(v[0] for path, found in cells.items() if f"version={version}" in path for v in found.values())
        assert count == sum(1 for plate in published.values() if plate.ground and plate.ground.version == version)
    image = sum(v[0] for path, found in cells.items() if "plane=image" in path for v in found.values())
    assert image == len(published)


def test_a_changed_camera_is_in_force_only_after_a_flush_and_a_checkpoint() -> None:
    tracks = [track([NOON_MS + 20_000 * i], recording=f"r{i}", run=i) for i in range(3)]
    world = World(tracks[:1])
    world.live(CONFIG)
    world.log += [record(1, tracks[1]), record(2, tracks[2])]
    world.live(Config(default=Camera(cell=25)))

    assert [plate.off_plan for plate in world.plates()] == [True, True, False]


def test_a_changed_camera_file_between_two_flushes_never_changes_what_a_replay_gives() -> None:
    """Published under the new configuration, then killed before the next flush: the replay goes by the same one."""
    tracks = [track([NOON_MS + 20_000 * i], recording=f"r{i}", run=i) for i in range(3)]
    moved = Config(default=Camera(cell=25))
    world = World(tracks[:1])
    world.live(CONFIG)
    world.log += [record(1, tracks[1]), record(2, tracks[2])]

    def die(handler: AggregatorHandler) -> None:
        if handler.position(TRACKS) == 3:
            raise Crash("the last track is published, and in no file")

    with pytest.raises(Crash):
        world.live(moved, flush_s=1000, each_batch=die)
    world.live(moved)

    assert [plate.off_plan for plate in world.plates()] == [True, True, False]
    assert [row["off_plan"] for row in world.sightings()] == [True, True, False]
    assert {path.split("/")[3] for path in world.cells() if "plane=image" in path} == {
        "version=1280x720-k40",
        "version=1280x720-k25",
    }


Deliveries = list[tuple[str, list[int]]]
"""A plate and when it was seen, ms after noon; in the order in which their recordings arrive."""


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A123BC77", "A12#BC77", "B456EK77"]),
            st.lists(st.integers(0, 2000), min_size=1, max_size=6),
        ),
        min_size=2,
        max_size=8,
    ).flatmap(st.permutations),
    st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["killed", "rebalanced", "lost"])), max_size=4),
    st.sampled_from([0.0, 1000.0]),
)
@example([("A123BC77", [0]), ("A123BC77", [199])], [(1, "rebalanced")], 0.0)
@example([("A123BC77", [199]), ("A123BC77", [0]), ("A123BC77", [398])], [(1, "killed"), (1, "lost")], 1000.0)
def test_deduplication_goes_on_exactly_after_a_crash_and_at_another_worker(
    delivered: Deliveries, ends: list[tuple[int, str]], flush_s: float
) -> None:
    """Each life is another worker: it takes the partition, handles some recordings, and ends in one of three ways."""
    tracks = [
        track([NOON_MS + t for t in sorted(times)], plate, recording=f"rec-{n}", run=n, start_ms=NOON_MS)
        for n, (plate, times) in enumerate(delivered)
    ]
    world = World(tracks)
    for count, end in ends:
        handler = world.handler(CONFIG, flush_s=flush_s)
        start = handler.assigned(TRACKS, world.committed, 0) or 0
        floor, first_new = world.committed or 0, max(start, world.committed or 0)
        for taken in world.log[start : first_new + count]:
            outgoing = handler.handle(taken)
            world.published += outgoing if taken.offset >= floor else ()
            world.committed = max(taken.offset + 1, floor)
            if taken.offset >= floor:
                handler.committed({TRACKS: world.committed})
            handler.tick(float(taken.offset))
        if end != "killed":
            handler.revoked(TRACKS, lost=end == "lost")
    world.live(CONFIG)

    check(world, replay(tracks, CONFIG))


def test_a_replay_publishes_nothing_and_writes_nothing_before_k() -> None:
    tracks = [track([NOON_MS + 1000 * i], number=i, start_ms=NOON_MS) for i in range(4)]
    world, fuse = World(tracks), Fuse(left=10**6)
    with pytest.raises(Crash):
        world.live(CONFIG, Fuse(9), flush_s=1000)
    assert world.committed == 4
    before = len(world.published)
    world.log.append(record(4, track([NOON_MS + 9000], number=9, start_ms=NOON_MS)))
    written: list[tuple[int, int]] = []
    world.live(CONFIG, fuse, each_batch=lambda handler: written.append((handler.position(TRACKS), len(fuse.passed))))

    assert [points for position, points in written if position < 4] == [0, 0, 0]
    assert len(world.published) == before + 2


def test_a_recording_counts_once_over_restarts_and_backfill_long_after() -> None:
    again = [track([NOON_MS + 50], recording="two", run=9), track([NOON_MS + 50], recording="two", run=10)]
    far = track([NOON_MS + 40 * 3_600_000], recording="far", run=3)
    world = World([track([NOON_MS], recording="two", run=9), far])
    world.live(CONFIG)
    world.log += [record(2, again[1]), record(3, again[0])]
    world.live(CONFIG)

    assert [plate.run.offset for plate in world.plates()] == [9, 3, 9]
    assert len(world.sightings()) == 3


def test_a_recording_without_any_sighting_is_in_the_ledger() -> None:
    """One whose only observation is suppressed, and one whose sightings all lie in the hour after that of its start."""
    hidden = track([NOON_MS + 10], recording="hidden", run=1)
    later = track([NOON_MS + HOUR_MS + 10], recording="later", run=2, start_ms=NOON_MS + HOUR_MS - 50)
    world = World([track([NOON_MS]), hidden, later])
    world.live(CONFIG)
    assert [plate.run.offset for plate in world.plates()] == [0, 2]
    assert len(world.ledger()) == 3

    again = [msgspec.structs.replace(one, run=Run("plateflow.clips", 0, 9)) for one in (hidden, later)]
    world.log += [record(3, again[0]), record(4, again[1])]
    world.live(CONFIG)
    assert [plate.run.offset for plate in world.plates()] == [0, 2]


def test_a_superseded_aggregator_can_write_nothing_any_more_and_leaves() -> None:
    tracks = [track([NOON_MS + 1000 * i], number=i, start_ms=NOON_MS) for i in range(4)]
    world = World(tracks)
    zombie = world.handler(CONFIG, flush_s=0)
    zombie.assigned(TRACKS, None, 0)
    zombie.handle(world.log[0])
    zombie.committed({TRACKS: 1})
    world.live(CONFIG)

    with pytest.raises(Fenced, match="start it again"):
        zombie.tick(0)
    check(world, replay(tracks, CONFIG))


def test_a_lost_partition_is_let_go_without_a_word() -> None:
    world = World([track([NOON_MS])])
    handler = world.handler(CONFIG)
    handler.assigned(TRACKS, None, 0)
    handler.handle(world.log[0])
    handler.committed({TRACKS: 1})
    handler.revoked(TRACKS, lost=True)

    assert world.files.paths("sightings") == []
    with pytest.raises(Stop, match="out of turn"):
        handler.handle(world.log[0])


def lived() -> World:
    world = World([track([NOON_MS + 1000 * i], number=i, start_ms=NOON_MS) for i in range(4)])
    world.live(CONFIG)
    return world


def test_a_log_that_begins_behind_the_checkpoint_stops_with_the_command_that_resolves_it() -> None:
    world = lived()
    world.log_start = world.committed = 9

    with pytest.raises(Stop, match=r"--reset-checkpoint plateflow\.tracks:0"):
        world.live(CONFIG)


def test_the_end_of_a_transaction_that_retention_took_is_no_loss() -> None:
    world = lived()
    world.log_start = 5
    world.log = [record(5, track([NOON_MS + 8000], number=8, start_ms=NOON_MS))]
    world.live(CONFIG)

    assert len(world.plates()) == 5


def test_a_group_offset_before_the_checkpoint_stops() -> None:
    world = lived()
    world.committed = 2

    with pytest.raises(Stop, match="--to-offset 4"):
        world.live(CONFIG)


def test_a_topic_made_again_stops_and_after_a_reset_its_old_recordings_do_not_count_again() -> None:
    world = lived()
    world.identity, world.committed = Identity(topic="topic-2"), None

    with pytest.raises(Stop, match="another cluster, or to a topic that was deleted"):
        world.live(CONFIG)

    from services.aggregator import checkpoint

    assert checkpoint.reset(world.files, TRACKS)
    world.log = [record(0, track([NOON_MS + 5000], run=99)), record(1, track([NOON_MS + 5000], recording="new", run=1))]
    world.live(CONFIG)
    assert [plate.run.offset for plate in world.plates()] == [0, 0, 0, 0, 1]
    assert len(world.sightings()) == 5


def test_a_reset_rebuilds_the_state_from_the_log_and_counts_nothing_twice() -> None:
    world = lived()
    world.files.remove("checkpoints/plateflow.tracks-0.json")
    world.live(CONFIG)

    check(world, replay(world.tracks, CONFIG))


def test_a_changed_number_of_partitions_is_refused_with_the_command_that_migrates() -> None:
    world = lived()
    world.identity = Identity(count=3)

    with pytest.raises(Stop, match=r"--migrate plateflow\.tracks"):
        world.live(CONFIG)


def test_a_damaged_checkpoint_or_file_stops_and_names_it() -> None:
    world = lived()
    assert isinstance(world.files, MemoryFiles)
    (path,) = world.files.paths("sightings")
    world.log.append(record(4, track([NOON_MS + 9000], recording="two")))
    intact = world.files.contents[path]
    world.files.contents[path] = b"no parquet"
    with pytest.raises(Stop, match=r"sightings\.parquet"):
        world.live(CONFIG)

    world.files.contents[path] = intact
    world.files.contents["checkpoints/plateflow.tracks-0.json"] = b"{"
    with pytest.raises(Stop, match="is damaged"):
        world.live(CONFIG)


def test_the_embedded_broker_begins_anew_each_time() -> None:
    world = World([track([NOON_MS + 1000 * i], number=i, start_ms=NOON_MS) for i in range(4)], identity=Identity(""))
    world.live(CONFIG)
    world.committed, world.published = None, []
    world.live(CONFIG)

    check(world, replay(world.tracks, CONFIG))


def test_the_embedded_broker_never_touches_the_results_of_a_cluster() -> None:
    world = lived()
    world.identity = Identity("")

    with pytest.raises(Stop, match="PLATEFLOW_DATA"):
        world.live(CONFIG)


def test_the_pointer_names_the_first_results_and_is_left_alone_then() -> None:
    world = lived()
    assert world.files.read("current.json") == b'{"results":1}'

    world.log.append(record(4, track([NOON_MS], results=2)))
    world.live(CONFIG)
    assert world.files.read("current.json") == b'{"results":1}'


def test_partitions_do_not_touch_each_other() -> None:
    world = World([])
    handler = world.handler(CONFIG)
    other = Partition("plateflow.tracks", 1)
    handler.assigned(TRACKS, None, 0)
    handler.assigned(other, None, 0)
    handler.handle(record(0, track([NOON_MS], camera="a/a")))
    handler.handle(record(0, track([NOON_MS], camera="b/b"), other))
    handler.committed({TRACKS: 1, other: 1})
    handler.revoked(other, lost=False)

    assert [path.split("/")[2] for path in world.files.paths("sightings")] == ["camera=b%2Fb"]

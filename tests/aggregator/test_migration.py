"""Another number of partitions."""

from __future__ import annotations

import pytest

from services.aggregator import checkpoint as checkpoints
from services.aggregator.core.config import Config
from services.aggregator.files import MemoryFiles
from services.aggregator.migration import migrate, murmur2, partition_of
from services.runtime.errors import Stop
from services.runtime.ports import Partition
from tests.aggregator.build import NOON_MS, record, track
from tests.aggregator.world import Crash, Fuse, FusedFiles, Identity, World

TOPIC = "plateflow.tracks"
CAMERAS = [f"site/{index}" for index in range(8)]


def test_keys_go_where_kafka_puts_them() -> None:
    # The vectors of the Java client's own tests.
    assert murmur2(b"21") == -973932308 & 0xFFFFFFFF
    assert murmur2(b"foobar") == -790332482 & 0xFFFFFFFF
    assert murmur2(b"a-little-bit-long-string") == -985981536 & 0xFFFFFFFF
    assert murmur2(b"abc") == 479470107
    assert 0 <= partition_of(b"foobar", 6) < 6


def lived() -> World:
    """Eight cameras on one partition."""
    world = World([track([NOON_MS], recording=name, camera=name, run=i) for i, name in enumerate(CAMERAS)])
    world.live(Config())
    return world


def where(files: MemoryFiles, count: int) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for index in range(count):
        found = checkpoints.load(files, Partition(TOPIC, index))
        for entry in found.cameras if found else ():
            places.setdefault(entry.camera, []).append(index)
    return places


def test_each_camera_moves_to_the_partition_of_its_key_and_deduplication_goes_on_there() -> None:
    world = lived()
    assert isinstance(world.files, MemoryFiles)
    moved = migrate(world.files, TOPIC, 3, {0: world.committed}, lambda index, offset: False)

    places = where(world.files, 3)
    assert places == {name: [partition_of(name.encode(), 3)] for name in CAMERAS}
    assert moved == sum(index != [0] for index in places.values()) > 0
    world.identity = Identity(count=3)
    handler = world.handler(Config())
    name, (index,) = next((name, index) for name, index in places.items() if index != [0])
    assert handler.assigned(Partition(TOPIC, index), None, 0) == 0
    again = track([NOON_MS + 50, NOON_MS + 250], recording="next", camera=name, run=99)
    outgoing = handler.handle(record(0, again, Partition(TOPIC, index)))
    assert [out.topic for out in outgoing] == ["plateflow.plates", "plateflow.passages"]


def test_what_is_not_aggregated_yet_is_in_the_way() -> None:
    world = lived()
    for k, rest in ((world.committed, True), ((world.committed or 0) + 1, False)):
        with pytest.raises(Stop, match="FORMER_PARTITIONS=1"):
            migrate(world.files, TOPIC, 3, {0: k}, lambda index, offset, rest=rest: rest)  # type: ignore[misc]
    with pytest.raises(Stop, match="nothing to migrate"):
        migrate(MemoryFiles(), TOPIC, 3, {}, lambda index, offset: False)


def test_the_former_number_can_be_finished_with() -> None:
    world = lived()
    world.identity = Identity(count=3)
    with pytest.raises(Stop, match="--migrate"):
        world.live(Config())

    world.former_partitions = 1
    world.log.append(record(8, track([NOON_MS + 900], camera=CAMERAS[0], run=50)))
    world.live(Config())
    assert len(world.plates()) == 9


@pytest.mark.parametrize("point", range(12))
def test_a_migration_that_died_is_run_again(point: int) -> None:
    world = lived()
    assert isinstance(world.files, MemoryFiles)
    try:
        migrate(FusedFiles(world.files, Fuse(point)), TOPIC, 3, {0: world.committed}, lambda index, offset: False)
    except Crash:
        migrate(world.files, TOPIC, 3, {0: world.committed}, lambda index, offset: False)

    assert where(world.files, 3) == {name: [partition_of(name.encode(), 3)] for name in CAMERAS}

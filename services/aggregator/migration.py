"""Cameras dealt out again after the number of partitions of ``plateflow.tracks`` has changed (rule 1).

In: the checkpoints of all partitions, everything on the topic aggregated. Out: checkpoints in which each camera's
state lies with the partition that its tracks will come on from now. May be run again after a crash at any point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from services.aggregator import checkpoint as checkpoints
from services.aggregator.checkpoint import CameraEntry, Checkpoint
from services.aggregator.files import Files
from services.aggregator.tables import Origin
from services.runtime.errors import Stop
from services.runtime.ports import Partition


def migrate(
    files: Files,
    topic: str,
    count: int,
    committed: Mapping[int, int | None],
    waiting: Callable[[int, int], bool],
) -> int:
    """Deals the cameras out to ``count`` partitions; returns how many changed theirs.

    ``committed``: K per partition. ``waiting(partition, offset)``: are there records from that offset on?
    Stop where something is still to be aggregated, or there is nothing to migrate.
    """
    found = {index: one for index in range(count) if (one := checkpoints.load(files, Partition(topic, index)))}
    if not found:
        raise Stop(f"there is no checkpoint of {topic} in PLATEFLOW_DATA: nothing to migrate")
    for index, checkpoint in found.items():
        _check_finished(topic, index, checkpoint, committed.get(index), waiting)
    wanted: dict[int, dict[tuple[int, str], CameraEntry]] = {index: {} for index in range(count)}
    moved = 0
    for index, checkpoint in found.items():
        for entry in checkpoint.cameras:
            target = partition_of(entry.camera.encode(), count)
            moved += target != index
            wanted[target][entry.results, entry.camera] = entry
    # First everything to where it belongs, then away from where it was: a crash between leaves it twice, never nowhere.
    for index, entries in wanted.items():
        there = found[index].cameras if index in found else ()
        kept = [entry for entry in there if (entry.results, entry.camera) not in entries]
        _save(files, topic, index, found, [*kept, *entries.values()], None)
    for index, entries in wanted.items():
        _save(files, topic, index, found, entries.values(), count)
    return moved


def _check_finished(
    topic: str, index: int, checkpoint: Checkpoint, k: int | None, waiting: Callable[[int, int], bool]
) -> None:
    c = checkpoint.next_offset
    if (k or 0) > c or waiting(index, c):
        raise Stop(
            f"{topic}:{index} holds records that are not aggregated yet. Set PLATEFLOW_AGGREGATOR_FORMER_PARTITIONS="
            f"{checkpoint.partitions}, run the aggregator until plateflow_lag_records is 0, stop it, and migrate again"
        )


def _save(
    files: Files,
    topic: str,
    index: int,
    found: Mapping[int, Checkpoint],
    entries: Iterable[CameraEntry],
    count: int | None,
) -> None:
    """``count`` None: the former number stays, so that the aggregator goes on refusing until all is done."""
    partition = Partition(topic, index)
    like = found.get(index) or next(iter(found.values()))
    origin = Origin(like.origin.cluster_id, like.origin.topic_id, topic, index)
    checkpoint = Checkpoint(
        origin=origin,
        partitions=count if count is not None else like.partitions,
        next_offset=like.next_offset if index in found else 0,
        config=like.config,
        cameras=list(entries),
    )
    checkpoints.save(files, files.claim(checkpoints.name_of(partition)), partition, checkpoint)


def partition_of(key: bytes, count: int) -> int:
    """Where Kafka's own partitioner (librdkafka's ``murmur2_random``) puts a key."""
    return (murmur2(key) & 0x7FFFFFFF) % count


def murmur2(data: bytes) -> int:
    """32-bit MurmurHash2 (Austin Appleby) with the seed that Kafka's clients agree on."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * m & mask
        h = (h * m & mask) ^ ((k ^ k >> 24) * m & mask)
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15

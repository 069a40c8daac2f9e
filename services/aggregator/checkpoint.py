"""One checkpoint per input partition: from which offset to replay, in which state and configuration (rule 2)."""

from __future__ import annotations

import msgspec

from services.aggregator.core.aggregate import Snapshot
from services.aggregator.core.config import Config
from services.aggregator.files import Claim, Files
from services.aggregator.tables import Origin
from services.runtime.errors import Stop
from services.runtime.ports import Partition

FORMAT = 1


class CameraEntry(msgspec.Struct):
    results: int
    camera: str
    state: Snapshot


class Checkpoint(msgspec.Struct, kw_only=True):
    origin: Origin
    partitions: int
    """Of the topic; another number would put cameras elsewhere."""
    next_offset: int
    """C: the state holds all that comes of the offsets below."""
    config: Config
    """In force from C on."""
    cameras: list[CameraEntry] = []
    format: int = FORMAT


def path_of(partition: Partition) -> str:
    return f"checkpoints/{name_of(partition)}.json"


def name_of(partition: Partition) -> str:
    return f"{partition.topic}-{partition.index}"


def load(files: Files, partition: Partition) -> Checkpoint | None:
    """None where there is none yet. Stop where it cannot be read."""
    data = files.read(path_of(partition))
    if data is None:
        return None
    try:
        checkpoint = msgspec.json.decode(data, type=Checkpoint)
    except msgspec.DecodeError as error:
        raise Stop(f"the checkpoint {path_of(partition)} is damaged ({error}): {remedy(partition)}") from error
    if checkpoint.format > FORMAT:
        raise Stop(f"a newer version wrote {path_of(partition)} (format {checkpoint.format}): upgrade plateflow")
    return checkpoint


def save(files: Files, claim: Claim, partition: Partition, checkpoint: Checkpoint) -> None:
    files.write(path_of(partition), msgspec.json.encode(checkpoint), claim)


def reset(files: Files, partition: Partition) -> bool:
    """Forgets a checkpoint: the next start rebuilds state from what the log still holds. Says whether there was one."""
    there = files.read(path_of(partition)) is not None
    files.remove(path_of(partition))
    return there


def remedy(partition: Partition) -> str:
    return (
        f"run `plateflow aggregator --reset-checkpoint {partition.topic}:{partition.index}`, which rebuilds the state "
        "from what the log still holds (nothing that is in a file is counted again)"
    )


def migration(topic: str) -> str:
    return (
        f"stop inference and the aggregators, then run `plateflow aggregator --migrate {topic}`, which deals the "
        "cameras out again once everything on the topic is aggregated"
    )

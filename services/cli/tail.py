"""`plateflow tail TOPIC`: prints the messages of a topic, committed ones only, until Ctrl+C or `--count`."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import msgspec
import typer
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition

from services.contracts.codec import BadMessage, decode
from services.contracts.messages import Clip, DeadLetter, Message, Passage, Plate, RecordingDone, Track
from services.contracts.topics import Topics
from services.runtime.kafka import client_config
from services.runtime.settings import KafkaSettings, load

app = typer.Typer()
_ANSWER_S = 10.0


@app.command()
def tail(
    topic: Annotated[str, typer.Argument(help="A topic of ours, with or without `plateflow.`, or any other.")],
    from_beginning: Annotated[bool, typer.Option("--from-beginning", help="Also what is in the log already.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Whole messages, one JSON object per line.")] = False,
    count: Annotated[int, typer.Option(min=0, help="Stop after so many messages; 0: never.")] = 0,
    camera: Annotated[str | None, typer.Option(help="Only this camera, such as demo/gate_north.")] = None,
) -> None:
    """Print the messages of a topic as they come. The broker is the one in KAFKA_BROKER."""
    settings = load(KafkaSettings)
    name = full_name(topic, settings.topics)
    shown = 0
    try:
        for key, value in messages(settings, name, from_beginning):
            if camera is None or key == camera.encode():
                typer.echo(value.decode(errors="replace") if as_json else line(settings.topics, name, value))
                shown += 1
            if count and shown >= count:
                return
    except LookupError as error:
        typer.echo(f"plateflow tail: {error.args[0]}", err=True)
        raise typer.Exit(2) from error
    except KafkaException as error:
        typer.echo(f"plateflow tail: {settings.broker} does not answer: {error.args[0].str()}", err=True)
        raise typer.Exit(2) from error


def full_name(topic: str, topics: Topics) -> str:
    """``plates`` is short for ``plateflow.plates``."""
    ours = f"{topics.prefix}.{topic}"
    return ours if ours in topics.all() else topic


def messages(settings: KafkaSettings, topic: str, from_beginning: bool) -> Iterator[tuple[bytes | None, bytes]]:
    """Keys and values of a topic, for ever. LookupError for a topic that is not there."""
    config = client_config(settings) | {
        "group.id": f"plateflow-tail-{uuid.uuid4().hex[:8]}",  # required, but nothing is committed
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
    }
    consumer = Consumer(config)
    try:
        found = consumer.list_topics(timeout=_ANSWER_S).topics
        if topic not in found:
            raise LookupError(f"there is no topic {topic}; there are {', '.join(sorted(found)) or 'none'}")
        start = OFFSET_BEGINNING if from_beginning else OFFSET_END
        consumer.assign([TopicPartition(topic, number, start) for number in found[topic].partitions])
        while True:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                yield message.key(), message.value() or b""
    finally:
        consumer.close()


def line(topics: Topics, topic: str, value: bytes) -> str:
    """One message as a person reads it; what is not ours is printed as it is."""
    if topic not in topics.all():
        return value.decode(errors="replace")
    try:
        return describe(decode(value, topics.message_type(topic)))
    except BadMessage as error:
        return f"(not readable: {error})"


def describe(message: Message) -> str:
    """What a message says, in one line."""
    match message:
        case Plate():
            where = f"  at {message.ground.x:.1f}, {message.ground.y:.1f}" if message.ground else ""
            return f"{_clock(message.time_ms)}  {message.camera}  {message.plate}  {message.confidence:.2f}{where}"
        case Passage():
            return passage_line(message)
        case Track():
            part = f" (part {message.part + 1} of {message.of})" if message.of > 1 else ""
            read = f"track {message.track}: {message.reading.text}, {len(message.observations)} observations{part}"
            return f"{_clock(message.start_ms)}  {message.camera}  {read}"
        case RecordingDone():
            found = f"{message.tracks} tracks in {message.frames} frames, {message.seconds:.1f} s"
            return f"{_clock(message.start_ms)}  {message.camera}  {message.key}: {found}"
        case Clip():
            return f"{_clock(message.start_ms)}  {message.camera}  {message.key}: {message.size:,} bytes"
        case DeadLetter():
            return f"{message.stage}: {message.reason} ({message.detail}), attempts {message.attempts}"
        case _:
            return msgspec.json.encode(message).decode()


def passage_line(message: Passage) -> str:
    """A passage in one line: when, where, which plate, how it moved."""
    seen = f"{(message.last_seen_ms - message.first_seen_ms) / 1000:.1f} s"
    speed = f", {message.speed_mps:.1f} m/s" if message.speed_mps is not None else ""
    how = f"{message.direction or 'passing'}{speed}"
    chain = ", goes on from another recording" if message.continues else ""
    return (
        f"{_clock(message.first_seen_ms)}  {message.camera:<16}  {message.plate:<9}  {message.confidence:.2f}  "
        f"{how}, seen for {seen}{chain}"
    )


def _clock(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]

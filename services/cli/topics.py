"""`plateflow topics create`: makes the topics that are missing, with partitions, retention and compaction.

In: the broker of KAFKA_BROKER and what is asked for. Out: one line for each topic: made, changed, or as it was.

Rules
- Run twice, the second run changes nothing: what a topic has already is compared first.
- Partitions of an existing topic are never changed, since a camera would move to another partition: fewer than asked
  for are told, and end the command with exit code 1. Retention and compaction are set to what is asked for.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from services.contracts.topics import BACKFILL, VERDICTS
from services.runtime.kafka import client_config
from services.runtime.settings import KafkaSettings, load

app = typer.Typer(no_args_is_help=True)

RETENTION = {
    "clips": "24h",
    "tracks": "7d",
    "recordings": "7d",
    "plates": "30d",
    "passages": "30d",
    "deadletter": "30d",
    BACKFILL: "7d",
    VERDICTS: "60d",
}
"""How long each topic keeps its messages where nothing else is asked for. `clips`: no longer than the clip store;
verdicts: longer than the dead letters that they are about."""
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_CALL_S = 15.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it shall be. ``config`` holds Kafka's own names and values."""

    name: str
    partitions: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is."""

    partitions: int
    config: Mapping[str, str]


@app.callback()
def topics() -> None:
    """Make plateflow's topics."""


@app.command()
def create(
    partitions: Annotated[int | None, typer.Option(min=1, help="Of a topic that is made.", show_default="6")] = None,
    replication: Annotated[int, typer.Option(min=-1, help="Copies of a topic that is made; -1: the broker's.")] = -1,
    retention: Annotated[
        list[str] | None, typer.Option(help="How long a topic keeps messages, such as plates=30d or clips=forever.")
    ] = None,
    compact: Annotated[
        list[str] | None, typer.Option(help="Compact this topic too: the newest message of each camera stays.")
    ] = None,
    vault_topic: Annotated[bool, typer.Option("--vault-topic", help="Make also the topic that Vault writes.")] = False,
    wait_s: Annotated[float, typer.Option(min=0, help="Seconds to wait for a broker that does not answer.")] = 60.0,
) -> None:
    """Make the topics that are missing. The broker is the one in KAFKA_BROKER; run twice, nothing changes."""
    settings = load(KafkaSettings)
    asked = wanted(settings, partitions or settings.topic_partitions, retention or [], compact or [])
    if vault_topic:
        asked = [Wanted(settings.vault_topic, asked[0].partitions, {}), *asked]
    admin = AdminClient(client_config(settings))
    try:
        wait_for(admin, settings.broker, wait_s)
        short = bring_about(admin, asked, replication)
    except KafkaException as error:
        typer.echo(f"plateflow topics: {settings.broker} says: {error.args[0].str()}", err=True)
        raise typer.Exit(2) from error
    if short:
        typer.echo(
            f"plateflow topics: {', '.join(short)} have fewer partitions than asked for. Ask for as many as there are, "
            "or make them anew (docs/install.md, Partitions).",
            err=True,
        )
        raise typer.Exit(1)


def wanted(settings: KafkaSettings, partitions: int, retention: Sequence[str], compact: Sequence[str]) -> list[Wanted]:
    """All topics of ours as they shall be. BadParameter for a name or a duration that is none."""
    kept = RETENTION | dict(_named(text) for text in retention)
    for name in compact:
        _known(name, "--compact")
    return [
        Wanted(
            f"{settings.topic_prefix}.{name}",
            partitions,
            {
                "retention.ms": str(milliseconds(kept[name])),
                "cleanup.policy": "compact,delete" if name in compact else "delete",
            },
        )
        for name in RETENTION
    ]


def milliseconds(text: str) -> int:
    """`36h` as milliseconds, -1 for `forever`. BadParameter for anything else."""
    if text == "forever":
        return -1
    match = re.fullmatch(r"([1-9]\d*)(ms|s|m|h|d)", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is no duration such as 30m, 24h, 7d or forever", param_hint="--retention")
    return int(match[1]) * _UNITS_MS[match[2]]


def _named(text: str) -> tuple[str, str]:
    name, _, duration = text.partition("=")
    _known(name, "--retention")
    milliseconds(duration)
    return name, duration


def _known(name: str, option: str) -> None:
    if name not in RETENTION:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(RETENTION)}", param_hint=option)


def wait_for(admin: AdminClient, broker: str, wait_s: float) -> None:
    """Returns once a broker answers; KafkaException after ``wait_s``."""
    until, told = time.monotonic() + wait_s, False
    while True:
        try:
            admin.list_topics(timeout=2.0)
            return
        except KafkaException as error:
            if time.monotonic() > until:
                raise
            if not told:
                why = error.args[0].str()
                typer.echo(f"{broker} does not answer ({why}); trying for {wait_s:g} s (--wait-s)", err=True)
                told = True


def bring_about(admin: AdminClient, asked: Sequence[Wanted], replication: int) -> list[str]:
    """Makes and changes topics, says what it did; the names of those with fewer partitions than asked for."""
    found = existing(admin, [one.name for one in asked])
    short = []
    for one in asked:
        there = found.get(one.name)
        if there is None:
            _make(admin, one, replication)
            typer.echo(f"{one.name}: made, {one.partitions} partitions{_shown(one.config)}")
            continue
        changes = differing(one, there)
        if changes:
            _change(admin, one.name, changes)
        typer.echo(f"{one.name}: {f'changed{_shown(changes)}' if changes else 'as it was'}")
        if there.partitions < one.partitions:
            short.append(f"{one.name} ({there.partitions} of {one.partitions})")
    return short


def differing(asked: Wanted, there: Found) -> dict[str, str]:
    """The settings of ``asked`` that the topic does not have yet."""
    return {name: value for name, value in asked.config.items() if _set(there.config.get(name, "")) != _set(value)}


def _set(value: str) -> frozenset[str]:
    """`compact,delete` and `delete,compact` are the same policy."""
    return frozenset(value.split(","))


def existing(admin: AdminClient, names: Sequence[str]) -> dict[str, Found]:
    """Those of ``names`` that exist, as they are."""
    topics = admin.list_topics(timeout=_CALL_S).topics
    there = [name for name in names if name in topics]
    if not there:
        return {}
    answers = admin.describe_configs([ConfigResource(ResourceType.TOPIC, name) for name in there])
    return {
        resource.name: Found(
            len(topics[resource.name].partitions),
            {name: str(entry.value) for name, entry in answer.result(_CALL_S).items()},
        )
        for resource, answer in answers.items()
    }


def _make(admin: AdminClient, topic: Wanted, replication: int) -> None:
    new = NewTopic(topic.name, topic.partitions, replication, config=dict(topic.config))
    try:
        admin.create_topics([new], operation_timeout=_CALL_S)[topic.name].result(_CALL_S)
    except KafkaException as error:  # another run of this command was quicker
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def _change(admin: AdminClient, name: str, changes: Mapping[str, str]) -> None:
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in changes.items()]
    resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(_CALL_S)


def _shown(config: Mapping[str, str]) -> str:
    return "".join(f", {name}={value}" for name, value in config.items())

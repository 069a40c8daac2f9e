"""What a campaign breaks, and how. Each strikes services of `Campaign`, or what they need, and mends it again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException, Producer

from services.runtime.crash import POINTS
from tests.support.tcp_proxy import Mode

if TYPE_CHECKING:
    from tests.faults.campaign import Campaign

Strike = Callable[["Campaign", Sequence[str]], None]
FROZEN_S = 6.5
"""Longer than the session of a member."""
DAYS = 86_400.0


@dataclass(frozen=True, slots=True)
class Breakage:
    name: str
    strike: Strike
    victims: int = 1
    """So many services at most at once; 1 also where it is no service that breaks."""


# ---- services ----------------------------------------------------------------------------------------------
def kill(campaign: Campaign, services: Sequence[str]) -> None:
    """SIGKILL at a random moment."""
    for service in services:
        campaign.members[service, 0].kill()
    for service in services:
        campaign.start(service, 0)


def die_at_a_point(campaign: Campaign, services: Sequence[str]) -> None:
    """Each is started again so that it dies at a named point; who has nothing to do lives on."""
    started = []
    for service in services:
        point = campaign.random.choice(POINTS if service == "aggregator" else POINTS[:2])
        campaign.members[service, 0].kill()
        started.append(campaign.start(service, 0, f"{point}:{campaign.random.randint(1, 3)}"))
    campaign.upload(campaign.random.sample(campaign.uploaded, 1))
    until = time.monotonic() + 12
    while time.monotonic() < until and any(one.process.running for one in started):
        time.sleep(0.1)
    for service in services:
        campaign.members[service, 0].kill()
        campaign.start(service, 0)


def freeze(campaign: Campaign, services: Sequence[str]) -> None:
    """Long enough to lose its partitions, which nobody else takes."""
    for service in services:
        campaign.members[service, 0].process.pause()
    time.sleep(FROZEN_S)
    for service in services:
        campaign.members[service, 0].process.resume()


def zombie(campaign: Campaign, services: Sequence[str]) -> None:
    """Another member works on what a frozen one held; then the frozen one wakes."""
    frozen = [campaign.members[service, 0].process for service in services]
    for process in frozen:
        process.pause()
    for service in services:
        campaign.start(service, 1)
    time.sleep(FROZEN_S + 2)
    for process in frozen:
        process.resume()
    time.sleep(1)
    for service in services:
        campaign.dismiss(service, 1)


def rebalance(campaign: Campaign, services: Sequence[str]) -> None:
    for service in services:
        campaign.start(service, 1)
    time.sleep(campaign.random.uniform(3, 6))
    for service in services:
        campaign.dismiss(service, 1)


def abort_transactions(campaign: Campaign, services: Sequence[str]) -> None:
    """Somebody takes over its transactional id: what is open is aborted, the service is fenced."""
    for service in services:
        name = f"{campaign.stack.topics.prefix}-{service}-0"
        usurper = Producer({"bootstrap.servers": campaign.broker.bootstrap, "transactional.id": name, "log_level": 0})
        try:
            usurper.init_transactions(10)
        except KafkaException as error:
            campaign.say(f"not fenced: {error.args[0].str()}")


def clock_jumps(campaign: Campaign, _services: Sequence[str]) -> None:
    """The wall clock of every service is two days ahead, then two days behind, then right."""
    for offset in (2 * DAYS, -2 * DAYS):
        campaign.clock.write_text(str(offset))
        time.sleep(1.5)
    campaign.clock.write_text("0")


# ---- what they need ----------------------------------------------------------------------------------------
def restart_broker(campaign: Campaign, _services: Sequence[str]) -> None:
    campaign.broker.restart()


def kill_broker(campaign: Campaign, _services: Sequence[str]) -> None:
    campaign.broker.kill()
    campaign.broker.start()


def freeze_broker(campaign: Campaign, _services: Sequence[str]) -> None:
    campaign.broker.pause()
    time.sleep(campaign.random.uniform(1, 6))
    campaign.broker.resume()
    campaign.broker.process.wait_until(campaign.broker.answers)


def cut_off_from_kafka(campaign: Campaign, _services: Sequence[str]) -> None:
    """Reset, held up, or slowed, on the way between services and broker."""
    mode = campaign.random.choice((Mode.CUT, Mode.DROP, Mode.DELAY))
    campaign.to_kafka.disturb(mode, campaign.random.uniform(1, 6))


def vault_refuses(campaign: Campaign, _services: Sequence[str]) -> None:
    """5xx, and bodies that break off."""
    for status in (500, 503, campaign.stack.vault.faults.BREAK_OFF):
        campaign.stack.vault.faults.plan("/blob", status, 2)


def vault_is_slow(campaign: Campaign, _services: Sequence[str]) -> None:
    """Slower than ingest waits."""
    campaign.stack.vault.faults.slow_s = 3.0
    time.sleep(3)
    campaign.stack.vault.faults.slow_s = 0.0


def announce_again(campaign: Campaign, _services: Sequence[str]) -> None:
    campaign.upload(campaign.random.sample(campaign.uploaded, 2))


def disk_full(campaign: Campaign, _services: Sequence[str]) -> None:
    """Clip store, best shots and heatmaps: not one byte more goes in for a while."""
    campaign.disk.fill()
    time.sleep(campaign.random.uniform(1, 4))
    campaign.disk.make_room()


def restart_s3(campaign: Campaign, _services: Sequence[str]) -> None:
    if campaign.s3 is not None:
        campaign.s3.stop()  # SIGKILL would test that server, which may tear an object from its ETag
        time.sleep(campaign.random.uniform(0, 3))
        campaign.s3.start()


def freeze_s3(campaign: Campaign, _services: Sequence[str]) -> None:
    if campaign.s3 is not None:
        campaign.s3.process.pause()
        time.sleep(campaign.random.uniform(1, 6))
        campaign.s3.process.resume()


def s3_answers_with_errors(campaign: Campaign, _services: Sequence[str]) -> None:
    campaign.to_s3.status = campaign.random.choice((500, 503))
    campaign.to_s3.disturb(campaign.random.choice((Mode.ANSWER, Mode.DELAY, Mode.CUT)), campaign.random.uniform(1, 4))


ALWAYS = (
    *(Breakage("kill", kill, 3),) * 3,
    *(Breakage("die at a point", die_at_a_point, 3),) * 3,
    Breakage("freeze", freeze, 3),
    Breakage("zombie", zombie, 3),
    Breakage("rebalance", rebalance, 3),
    Breakage("abort transactions", abort_transactions, 3),
    Breakage("clock jumps", clock_jumps),
    Breakage("restart broker", restart_broker),
    Breakage("kill broker", kill_broker),
    Breakage("freeze broker", freeze_broker),
    Breakage("cut off from Kafka", cut_off_from_kafka),
    Breakage("Vault refuses", vault_refuses),
    Breakage("Vault is slow", vault_is_slow),
    Breakage("announce again", announce_again),
)
DISK = Breakage("disk full", disk_full)
S3 = (
    Breakage("restart S3", restart_s3),
    Breakage("freeze S3", freeze_s3),
    *(Breakage("S3 answers with errors", s3_answers_with_errors),) * 2,
)


def possible(campaign: Campaign) -> list[Breakage]:
    """What can be broken here; says what cannot."""
    if not campaign.disk.mounted:
        campaign.say("no disk will be full: this process may not mount a file system of its own")
    return [*ALWAYS, *([DISK] if campaign.disk.mounted else []), *(S3 if campaign.s3 else ())]

"""`make memory`: a burst of announcements through ingest, then a long row of one camera's clips through one inference
worker, each a process of its own on a Kafka of its own; resident memory over the run.

Out: a chart for each, and as the last line of stdout JSON: growth from the first tenth after the warm-up to the last,
the most records in flight at once, how many messages came out of their camera's order or not at all (must be 0).

Ingest remembers a bounded number of recordings; here so few that its memory of them is full before the warm-up ends.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import msgspec
from confluent_kafka import Producer

from services.contracts.messages import Clip
from services.simulator.camera import Account, UploadingCamera
from services.simulator.vault_events import Arrival
from tests.faults.small import Small, copies, rendered
from tests.support.kafka import KafkaServer
from tests.support.recordings import mp4, noise
from tests.support.services import ServiceProcess
from tests.support.stack import ACCESS_KEY, SECRET, Stack

CAMERAS = 20
REMEMBERED = 500
FIRST_S = 1_785_000_000
"""Start of the first made-up recording, in Unix seconds."""
BARS, WIDTH = 20, 40
TARGET_PERCENT = 1.0
"""Growth over 1,000 records, after the warm-up."""
MB = 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    records: int
    """Handled so far."""
    own: float
    children: float
    """Bytes, resident."""

    @property
    def total(self) -> float:
        return self.own + self.children


@dataclass(slots=True)
class Curve:
    """Samples of one service while it handles ``end`` records, the first ``warm_up`` of which do not count."""

    title: str
    warm_up: int
    end: int
    samples: list[Sample] = field(default_factory=list)
    most_in_flight: int = 0

    def growth_percent(self) -> float:
        """Median of the last tenth over the median of the first tenth after the warm-up."""
        tenth = (self.end - self.warm_up) / 10
        first = self._median(self.warm_up, self.warm_up + tenth)
        return round(100 * (self._median(self.end - tenth, self.end) / first - 1), 2)

    def _median(self, begin: float, end: float) -> float:
        return statistics.median(one.total for one in self.samples if begin <= one.records <= end)

    def chart(self) -> str:
        """A bar for each twentieth of the run, from 0."""
        step, lines = self.end / BARS, [self.title]
        highest = max(one.total for one in self.samples)
        for bar in range(BARS):
            inside = [one for one in self.samples if bar * step <= one.records < (bar + 1) * step]
            if inside:
                own, children = (
                    statistics.median(getattr(one, part) for one in inside) for part in ("own", "children")
                )
                drawn = "█" * round(WIDTH * (own + children) / highest)
                note = "  warm-up" if (bar + 1) * step <= self.warm_up else ""
                upto = round((bar + 1) * step)
                lines.append(
                    f"  {upto:>6,}  {own / MB:7.1f} + {children / MB:5.1f} MB  {drawn:<{WIDTH}}{note}".rstrip()
                )
        return "\n".join(lines)


class Part(msgspec.Struct):
    """What came of one of the two."""

    records: int
    growth_percent: float
    most_in_flight: int
    out_of_order: int
    missing: int

    @property
    def clean(self) -> bool:
        """Grew by less than the target for each thousand records, and everything came, in order."""
        per_thousand = self.growth_percent / max(1.0, self.records / 1000)
        return per_thousand < TARGET_PERCENT and not self.out_of_order and not self.missing


class Verdict(msgspec.Struct, omit_defaults=True):
    """The last line; a part that was left out is not in it."""

    seconds: float
    announcements: Part | None = None
    clips: Part | None = None

    @property
    def clean(self) -> bool:
        return all(part is None or part.clean for part in (self.announcements, self.clips))


def sample(service: ServiceProcess) -> tuple[Sample, int]:
    """What the page of a service says, and how many records are in flight."""
    page = service.ask("/metrics").text
    return (
        Sample(
            int(_value(page, "plateflow_records_total", 'outcome="handled"')),
            _value(page, "process_resident_memory_bytes"),
            _value(page, "plateflow_children_resident_memory_bytes"),
        ),
        int(_value(page, "plateflow_in_flight")),
    )


def _value(page: str, name: str, label: str = "") -> float:
    return next(
        float(line.split()[-1]) for line in page.splitlines() if re.match(rf"{name}[{{ ]", line) and label in line
    )


def watch(curve: Curve, service: ServiceProcess, every_s: float, patience_s: float = 300.0) -> None:
    """Until the service has handled all; RuntimeError where it dies or nothing moves any more."""
    moved = time.monotonic()
    while not curve.samples or curve.samples[-1].records < curve.end:
        if not service.process.running or time.monotonic() - moved > patience_s:
            raise RuntimeError(f"{service.name} does not go on\n{service.process.tail()}")
        now, in_flight = sample(service)
        if not curve.samples or now.records > curve.samples[-1].records:
            moved = time.monotonic()
            if sys.stderr.isatty():
                print(f"\r{service.name}: {now.records} of {curve.end} ", end="", file=sys.stderr, flush=True)
        curve.samples.append(now)
        curve.most_in_flight = max(curve.most_in_flight, in_flight)
        time.sleep(every_s)


def burst(folder: Path, broker: KafkaServer, events: int, warm_up: int) -> Part:
    """All announced before ingest starts."""
    content = mp4(noise(400))
    more = {"PLATEFLOW_INGEST_REMEMBERED": str(REMEMBERED)}
    keys = [
        f"yard/{FIRST_S + number}_3-414_gate{number % CAMERAS}_1-2-3-4_57_20452.mp4"
        for number in range(events + warm_up)
    ]
    with Stack(folder, broker, "burst", partitions=1, more=more) as stack:
        for key in keys:
            stack.vault.put(key, content)
        announce(stack, [Arrival(key, "demo", len(content)) for key in keys])
        ingest = ServiceProcess("ingest", stack.settings(), folder).start().wait_until_ready()
        curve = Curve(f"ingest, {events:,} announcements after {warm_up:,}; own + children", warm_up, len(keys))
        watch_to_the_end(curve, ingest, 0.25)
        return part_of(curve, [clip.key for clip in stack.read(stack.topics.clips, Clip)], keys, camera_of)


def announce(stack: Stack, arrivals: Sequence[Arrival]) -> None:
    """As fast as Kafka takes them."""
    producer = Producer({"bootstrap.servers": stack.broker.bootstrap, "queue.buffering.max.messages": 1_000_000})
    for arrival in arrivals:
        producer.produce(stack.vault_topic, stack.vault.message(arrival))
    if producer.flush(60):
        raise RuntimeError("Kafka did not take all announcements")


def row_of_clips(folder: Path, broker: KafkaServer, clips: int, warm_up: int) -> Part:
    """All clips, of one camera, wait on the topic when inference starts."""
    out = folder / "rendered"
    recordings = rendered(out, seed=1)
    one_camera = [one for one in recordings if one.camera == recordings[0].camera]
    small = list(islice(copies(one_camera, out), clips + warm_up))
    with Stack(folder, broker, "row", out / "cameras.yaml", partitions=1) as stack:
        ingest = ServiceProcess("ingest", stack.settings(), folder).start().wait_until_ready()
        upload(stack, small)
        watch_to_the_end(Curve("", 0, len(small)), ingest, 0.5)
        inference = ServiceProcess("inference", stack.settings(), folder).start().wait_until_ready(120)
        curve = Curve(
            f"inference, {clips:,} clips of one camera after {warm_up:,}; own + children", warm_up, len(small)
        )
        watch_to_the_end(curve, inference, 0.5)
        return part_of(curve, [one.key for one in stack.done()], [clip.key for clip in small], lambda _key: "")


def watch_to_the_end(curve: Curve, service: ServiceProcess, every_s: float) -> None:
    """Then stops the service; shows the curve where it has a title."""
    try:
        watch(curve, service, every_s)
        service.stop()
    finally:
        service.kill()
    if curve.title:
        print(curve.chart(), flush=True)


def part_of(curve: Curve, found: Sequence[str], keys: Sequence[str], camera: Callable[[str], str]) -> Part:
    return Part(
        records=curve.end - curve.warm_up,
        growth_percent=curve.growth_percent(),
        most_in_flight=curve.most_in_flight,
        out_of_order=out_of_order(found, keys, camera),
        missing=len(keys) - len(found),
    )


def upload(stack: Stack, clips: Sequence[Small]) -> None:
    camera = UploadingCamera(Account(stack.vault.api, ACCESS_KEY, SECRET))
    for clip in clips:
        camera.upload(clip.file, clip.name)


def camera_of(key: str) -> str:
    return key.split("_")[2]


def out_of_order(found: Sequence[str], announced: Sequence[str], camera: Callable[[str], str]) -> int:
    """Messages that come after one of the same camera that was announced later."""
    place = {key: number for number, key in enumerate(announced)}
    newest: dict[str, int] = {}
    wrong = 0
    for key in found:
        wrong += place[key] < newest.get(camera(key), -1)
        newest[camera(key)] = max(place[key], newest.get(camera(key), -1))
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="make memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=10_000, help="announcements through ingest; 0 leaves them out")
    parser.add_argument("--events-warm-up", type=int, default=10_000, help="announcements before, which do not count")
    parser.add_argument("--clips", type=int, default=1_000, help="of one camera through one worker; 0 leaves them out")
    parser.add_argument("--clips-warm-up", type=int, default=200, help="clips before, which do not count")
    options = parser.parse_args()
    folder, began = Path(tempfile.mkdtemp(prefix="plateflow-memory-")), time.monotonic()
    verdict = Verdict(seconds=0.0)
    broker = KafkaServer(folder / "kafka").start()
    try:
        if options.events:
            verdict.announcements = burst(folder / "burst", broker, options.events, options.events_warm_up)
        if options.clips:
            verdict.clips = row_of_clips(folder / "row", broker, options.clips, options.clips_warm_up)
    finally:
        broker.kill()
        shutil.rmtree(folder, ignore_errors=True)
    verdict.seconds = round(time.monotonic() - began, 1)
    print(msgspec.json.encode(verdict).decode())
    return 0 if verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())

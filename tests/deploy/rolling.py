"""`make rolling`: inference from 1 to 4 workers and back, and a restart of every process in turn, all under load.

In: a real Kafka of its own, a Vault stand-in, the services as processes; cameras that never stop uploading.
Out: the lag of each service every two seconds (CSV and picture in ``--out``), and as the last line of stdout the
verdict of the judge that the faults have, too: nothing lost, nothing twice, every cell of Parquet right. Exit code 1
where that is not so.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, islice
from pathlib import Path

import msgspec

from services.cli.status_kafka import KafkaView
from services.runtime.settings import KafkaSettings, load
from services.simulator.camera import Account, UploadingCamera
from services.simulator.clips import file_name, key_of
from services.simulator.scene import Recording
from tests.faults.judge import Verdict, judge, reasons
from tests.faults.small import APART_MS, Small, rendered
from tests.support.kafka import KafkaServer
from tests.support.services import ServiceProcess
from tests.support.stack import ACCESS_KEY, SECRET, SERVICES, Stack

PARTITIONS = 8
FLEET = 6
"""So many cameras stand for each rendered one, so that every worker gets some."""
MOST_WORKERS = 4
EVERY_S = 2.0


@dataclass(slots=True)
class Curve:
    """What waited, and what was done when."""

    began_s: float = field(default_factory=time.monotonic)
    lags: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    events: list[tuple[float, str]] = field(default_factory=list)

    def now(self) -> float:
        return round(time.monotonic() - self.began_s, 1)

    def mark(self, text: str) -> None:
        self.events.append((self.now(), text))
        print(f"{self.now():6.1f} s  {text}", flush=True)

    def peak(self, service: str) -> int:
        return max((lag[service] for _, lag in self.lags), default=0)


class Report(msgspec.Struct):
    """The last line."""

    verdict: Verdict
    per_second_alone: float
    """Clips that one worker finished a second, before the load began."""
    per_second_fed: float
    peak_lag: dict[str, int]
    restarts: int
    clips_of_workers: list[int]
    """How many each worker processed."""


def fleet(originals: Sequence[Recording], out: Path) -> Iterator[Small]:
    """The originals, then copies without end: of many cameras in turn, each further and further on in time."""
    for original in originals:
        yield Small(out / key_of(original), file_name(original), key_of(original), key_of(original))
    for number in count(1):
        for original in originals:
            for twin in range(FLEET):
                camera = replace(original.camera, name=f"{original.camera.name}{twin}")
                shifted = replace(original, camera=camera, start_ms=original.start_ms + number * APART_MS)
                yield Small(out / key_of(original), file_name(shifted), key_of(shifted), key_of(original))


class Fleet:
    """Everything that runs: members of the services, the feed, the clerk who notes the lag."""

    def __init__(self, folder: Path, stack: Stack, clips: Iterator[Small], curve: Curve) -> None:
        self.folder, self.stack, self.curve = folder, stack, curve
        self._clips = clips
        self._camera = UploadingCamera(Account(stack.vault.api, ACCESS_KEY, SECRET))
        self.members: dict[tuple[str, int], ServiceProcess] = {}
        self.uploaded: list[Small] = []
        self._over = threading.Event()
        self._fed = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, service: str, *instances: int) -> None:
        """Returns when all are ready."""
        for instance in instances:
            place = self.folder / f"instance-{instance}"
            place.mkdir(exist_ok=True)
            settings = self.stack.settings() | {"PLATEFLOW_KAFKA_INSTANCE_ID": str(instance)}
            known = self.members.setdefault((service, instance), ServiceProcess(service, settings, place))
            known.start()
        for instance in instances:
            self.members[service, instance].wait_until_ready(120)

    def stop(self, service: str, instance: int) -> None:
        code = self.members[service, instance].stop(90)
        if code:
            raise AssertionError(
                f"{service} {instance} ended with {code}\n{self.members[service, instance].process.tail(20)}"
            )

    def upload(self, number: int) -> list[Small]:
        taken = list(islice(self._clips, number))
        for clip in taken:
            self._camera.upload(clip.file, clip.name)
        self.uploaded += taken
        return taken

    def feed(self, per_second: float) -> None:
        """Uploads at this pace, in a thread, until `enough`."""

        def work() -> None:
            due = time.monotonic()
            while not self._fed.is_set():
                self.upload(1)
                due += 1 / per_second
                self._fed.wait(max(0.0, due - time.monotonic()))

        self._thread(work)

    def enough(self) -> None:
        self._fed.set()

    def watch(self) -> None:
        """Notes the lag every two seconds, as `plateflow status` measures it."""
        env = self.stack.settings()
        topics = (self.stack.vault_topic, self.stack.topics.clips, self.stack.topics.tracks)

        def work() -> None:
            with KafkaView(load(KafkaSettings, env)) as view:
                while not self._over.wait(EVERY_S):
                    lag = {
                        service: view.waiting(service, topic) for service, topic in zip(SERVICES, topics, strict=True)
                    }
                    self.curve.lags.append((self.curve.now(), lag))

        self._thread(work)

    def wait_for(self, clips: Sequence[Small], timeout_s: float = 600) -> None:
        wanted, until = {clip.key for clip in clips}, time.monotonic() + timeout_s
        while not (wanted <= {done.key for done in self.stack.done()} and self.stack.aggregated()):
            if time.monotonic() > until:
                raise AssertionError(f"not all came out within {timeout_s:.0f} s")
            time.sleep(1.0)

    def close(self) -> None:
        self._fed.set()
        self._over.set()
        for thread in self._threads:
            thread.join(30)
        for member in self.members.values():
            member.kill()

    def _thread(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()


def run(folder: Path, broker: KafkaServer, *, seed: int, phase_s: float) -> tuple[Report, Curve]:
    """The whole play."""
    made = folder / "clips"
    originals = rendered(made, seed)
    curve = Curve()
    began = time.monotonic()
    with Stack(folder / "stack", broker, "rolling", made / "cameras.yaml", partitions=PARTITIONS) as stack:
        them = Fleet(folder, stack, fleet(originals, made), curve)
        try:
            alone, fed = _play(them, originals, phase_s)
        finally:
            them.close()
        verdict = judge(stack, them.uploaded, made / "cameras.yaml")
        for reason, number in reasons(stack).items():
            print(f"{number} dead letters, {reason}", flush=True)
    verdict.faults, verdict.seconds = len(them.members) + MOST_WORKERS - 1, round(time.monotonic() - began, 1)
    peaks = {service: curve.peak(service) for service in SERVICES}
    restarts = sum("restarted" in text for _, text in curve.events)
    workers = [processed(folder / f"instance-{number}" / "inference.log") for number in range(MOST_WORKERS)]
    return Report(verdict, round(alone, 2), round(fed, 2), peaks, restarts, workers), curve


def processed(file: Path) -> int:
    return sum('"clip processed"' in line for line in file.read_text().splitlines())


def _play(them: Fleet, originals: Sequence[Recording], phase_s: float) -> tuple[float, float]:
    for service in SERVICES:
        them.start(service, 0)
    them.wait_for(them.upload(len(originals)))
    began = time.monotonic()
    them.wait_for(them.upload(24))
    alone = 24 / (time.monotonic() - began)
    them.curve.began_s = time.monotonic()
    them.watch()
    fed = 1.5 * alone  # one worker falls behind
    them.feed(fed)
    them.curve.mark("load begins, 1 worker")
    time.sleep(phase_s)
    them.start("inference", *range(1, MOST_WORKERS))
    them.curve.mark(f"{MOST_WORKERS} workers")
    time.sleep(phase_s)
    for service, instance in sorted(them.members):
        them.stop(service, instance)
        them.start(service, instance)
        them.curve.mark(f"{service} {instance} restarted")
    for instance in range(1, MOST_WORKERS):
        them.stop("inference", instance)
    them.curve.mark("1 worker again")
    time.sleep(phase_s / 2)
    them.enough()
    them.curve.mark("load ends")
    them.wait_for(them.uploaded)
    them.curve.mark("all came out")
    for service in SERVICES:
        them.stop(service, 0)
    return alone, fed


def write(curve: Curve, out: Path) -> None:
    """lag.csv and lag.png."""
    from matplotlib.figure import Figure

    out.mkdir(parents=True, exist_ok=True)
    with (out / "lag.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["seconds", *SERVICES])
        table.writerows([at, *(lag[service] for service in SERVICES)] for at, lag in curve.lags)
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots()
    for service, colour in zip(SERVICES, ("#1b7f79", "#c4472b", "#4a5a9a"), strict=True):
        axes.plot([at for at, _ in curve.lags], [lag[service] for _, lag in curve.lags], color=colour, label=service)
    top = 1.05 * max(1, *(curve.peak(service) for service in SERVICES))
    free = 0.0
    for at, text in curve.events:
        axes.axvline(at, color="0.75", linewidth=0.8, zorder=0)
        axes.text(max(at, free), top, f" {text}", rotation=60, fontsize=8, color="0.25", va="bottom", ha="left")
        free = max(at, free) + 0.02 * curve.events[-1][0]
    axes.set(xlabel="seconds since the load began", ylabel="records waiting", ylim=(0, top), xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper right")
    figure.savefig(out / "lag.png", dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make rolling", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phase", type=float, default=20.0, help="seconds of each quiet stretch")
    parser.add_argument("--out", type=Path, default=Path("build/rolling"))
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plateflow-rolling-"))
    broker = KafkaServer(folder / "kafka").start()
    try:
        report, curve = run(folder, broker, seed=options.seed, phase_s=options.phase)
    except BaseException:
        print(f"what was left lies in {folder}", file=sys.stderr)
        raise
    finally:
        broker.kill()
    write(curve, options.out)
    print(f"the lag: {options.out / 'lag.png'}", flush=True)
    if report.verdict.clean:
        shutil.rmtree(folder)
    else:
        print(f"logs, topics and files lie in {folder}", file=sys.stderr)
    print(msgspec.json.encode(report).decode())
    return 0 if report.verdict.clean else 1


if __name__ == "__main__":
    sys.exit(main())

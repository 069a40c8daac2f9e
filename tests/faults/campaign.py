"""A campaign: clips go in, and at random moments something breaks. What breaks when follows from the seed.

Faults: SIGKILL of a service; SIGSTOP for longer than its session, alone or while another member takes over (a zombie
then); a member more for a while; the broker stopped, killed or frozen; Vault refusing, breaking off, slow; the same
recording announced again; with S3, that server stopped or frozen too.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from services.aggregator.files_s3 import S3Files
from services.simulator.camera import Account, UploadingCamera
from tests.aggregator.buckets import in_bucket
from tests.faults.judge import Verdict, judge, reasons
from tests.faults.small import Small, copies, rendered
from tests.support.kafka import KafkaServer
from tests.support.s3 import S3Server
from tests.support.services import ServiceProcess
from tests.support.stack import ACCESS_KEY, SECRET, SERVICES, Stack

SESSION_S = 6.0
"""Of `Stack`'s settings: after that a stopped member is out of its group."""


class Campaign:
    """``s3``: a server of the campaign's own, in which the aggregator keeps its files; else they lie in a folder."""

    def __init__(
        self, folder: Path, broker: KafkaServer, *, faults: int, clips: int, seed: int, s3: S3Server | None = None
    ) -> None:
        self.folder, self.broker, self.faults, self.s3 = folder, broker, faults, s3
        self._bucket = s3.new_bucket() if s3 else ""
        self._random = random.Random(seed)
        self._made = folder / "clips"
        originals = rendered(self._made, seed)
        self.clips = list(islice(copies(originals, self._made), max(clips, len(originals))))
        self._originals = self.clips[: len(originals)]
        self.tracebacks = 0
        """Services that ended by an exception which nobody had foreseen."""
        self._uploaded: list[Small] = []
        self._members: dict[tuple[str, int], ServiceProcess] = {}

    def run(self) -> Verdict:
        """Runs it all; the judge's verdict."""
        began = time.monotonic()
        with Stack(self.folder / "stack", self.broker, "faults", self._made / "cameras.yaml") as stack:
            self.stack = stack
            self._camera = UploadingCamera(Account(stack.vault.api, ACCESS_KEY, SECRET))
            try:
                self._undisturbed()
                self._disturbed()
                self._come_to_rest()
            finally:
                for member in self._members.values():
                    member.kill()
            self._fetch_files()
            verdict = judge(stack, self.clips, self._made / "cameras.yaml")
            for reason, count in reasons(stack).items():
                self._say(f"{count} dead letters, {reason}")
        verdict.faults, verdict.seconds = self.faults, round(time.monotonic() - began, 1)
        return verdict

    # How it goes

    def _undisturbed(self) -> None:
        """The originals, of which we learn what each copy must give."""
        for service in SERVICES:
            self._start(service, 0)
        for service in SERVICES:
            self._members[service, 0].wait_until_ready(120)
        self._upload(self._originals)
        self._wait_for(self._originals)
        if not self.stack.tracks():
            raise AssertionError(f"the clips show no plate, so nothing could be lost\n{self.stack.tails()}")

    def _disturbed(self) -> None:
        rest = self.clips[len(self._originals) :]
        for number in range(self.faults):
            self._upload(rest[number * len(rest) // self.faults : (number + 1) * len(rest) // self.faults])
            self._supervise()
            time.sleep(self._random.uniform(0.0, 2.0))
            faults = FAULTS + S3_FAULTS if self.s3 else FAULTS
            fault, service = self._random.choice(faults), self._random.choice(SERVICES)
            self._say(f"{number + 1}/{self.faults} {fault.__name__} {service}")
            fault(self, service)

    def _come_to_rest(self) -> None:
        self.stack.vault.faults.slow_s = 0.0
        self._wait_for(self.clips)
        for (service, instance), member in self._members.items():
            code = member.stop(60)
            if code:
                raise AssertionError(f"{service} {instance} ended with {code}\n{member.process.tail(15)}")

    def _wait_for(self, clips: list[Small], timeout_s: float = 900) -> None:
        wanted, until = {clip.key for clip in clips}, time.monotonic() + timeout_s
        while not (wanted <= {done.key for done in self.stack.done()} and self.stack.aggregated()):
            if time.monotonic() > until:
                self._say(f"gave up waiting after {timeout_s} s")  # the judge will say what is missing
                return
            self._supervise()
            time.sleep(2.0)

    def _upload(self, clips: list[Small]) -> None:
        for clip in clips:
            self._camera.upload(clip.file, clip.name)
            self._uploaded.append(clip)

    def _fetch_files(self) -> None:
        """From the bucket to where the judge looks."""
        if self.s3 is None:
            return
        files = S3Files(in_bucket(self.s3, self._bucket))
        for path in (*files.paths("heatmap"), *files.paths("sightings")):
            target = self.stack.data / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(files.read(path) or b"")

    # Who runs

    def _start(self, service: str, instance: int) -> None:
        folder = self.folder / f"instance-{instance}"
        folder.mkdir(exist_ok=True)
        settings = self.stack.settings() | self._where() | {"PLATEFLOW_KAFKA_INSTANCE_ID": str(instance)}
        member = self._members.setdefault((service, instance), ServiceProcess(service, settings, folder))
        member.start()

    def _where(self) -> dict[str, str]:
        if self.s3 is None:
            return {}
        data = in_bucket(self.s3, self._bucket)
        return {
            "PLATEFLOW_DATA": data.url,
            "PLATEFLOW_DATA_ENDPOINT": self.s3.endpoint_url,
            "PLATEFLOW_DATA_ACCESS_KEY": self.s3.access_key,
            "PLATEFLOW_DATA_SECRET_KEY": self.s3.secret_key,
        }

    def _supervise(self) -> None:
        """Starts again who has left, as an orchestrator does."""
        for (service, instance), member in self._members.items():
            if not member.process.running:
                code = member.process.returncode
                self._say(f"{service} {instance} left with {code} and is started again")
                if code == 1:  # a traceback: a defect, even where nothing got lost by it
                    self._say(member.process.tail(30))
                    self.tracebacks += 1
                member.start()

    @staticmethod
    def _say(text: str) -> None:
        print(text, flush=True)

    # What breaks

    def kill(self, service: str) -> None:
        self._members[service, 0].kill()
        self._start(service, 0)

    def freeze(self, service: str) -> None:
        """Long enough to lose its partitions, which nobody else takes."""
        self._members[service, 0].process.pause()
        time.sleep(SESSION_S + 2)
        self._members[service, 0].process.resume()

    def zombie(self, service: str) -> None:
        """Another member works on what a frozen one held; then the frozen one wakes."""
        frozen = self._members[service, 0].process
        frozen.pause()
        self._start(service, 1)
        time.sleep(SESSION_S + 4)
        frozen.resume()
        time.sleep(2)
        self._dismiss(service, 1)

    def rebalance(self, service: str) -> None:
        self._start(service, 1)
        time.sleep(self._random.uniform(3, 8))
        self._dismiss(service, 1)

    def restart_broker(self, _service: str) -> None:
        self.broker.restart()

    def kill_broker(self, _service: str) -> None:
        self.broker.kill()
        self.broker.start()

    def freeze_broker(self, _service: str) -> None:
        self.broker.pause()
        time.sleep(self._random.uniform(1, 8))
        self.broker.resume()
        self.broker.process.wait_until(self.broker.answers)

    def vault_refuses(self, _service: str) -> None:
        for status in (500, 503, self.stack.vault.faults.BREAK_OFF):
            self.stack.vault.faults.plan("/blob", status, 2)

    def vault_is_slow(self, _service: str) -> None:
        self.stack.vault.faults.slow_s = 1.0
        time.sleep(3)
        self.stack.vault.faults.slow_s = 0.0

    def announce_again(self, _service: str) -> None:
        self._upload(self._random.sample(self._uploaded, 2))

    def restart_s3(self, _service: str) -> None:
        if self.s3 is not None:
            self.s3.stop()  # SIGKILL would test that server, which may tear an object from its ETag
            time.sleep(self._random.uniform(0, 3))
            self.s3.start()

    def freeze_s3(self, _service: str) -> None:
        if self.s3 is not None:
            self.s3.process.pause()
            time.sleep(self._random.uniform(1, 8))
            self.s3.process.resume()

    def _dismiss(self, service: str, instance: int) -> None:
        """By SIGTERM or SIGKILL, and for good."""
        member = self._members.pop((service, instance))
        if self._random.random() < 0.5:
            member.kill()
        else:
            member.stop(60)


Fault = Callable[[Campaign, str], None]
FAULTS: tuple[Fault, ...] = (
    Campaign.kill,
    Campaign.kill,
    Campaign.kill,
    Campaign.freeze,
    Campaign.zombie,
    Campaign.rebalance,
    Campaign.restart_broker,
    Campaign.kill_broker,
    Campaign.freeze_broker,
    Campaign.vault_refuses,
    Campaign.vault_is_slow,
    Campaign.announce_again,
)
S3_FAULTS: tuple[Fault, ...] = (Campaign.restart_s3, Campaign.freeze_s3)

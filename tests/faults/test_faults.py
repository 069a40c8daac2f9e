"""A short campaign; `make faults` runs a long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.support.kafka import KafkaServer


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_faults_lose_nothing_and_count_nothing_twice(tmp_path: Path, own_kafka: KafkaServer) -> None:
    """This seed: a zombie aggregator, SIGKILL of inference and of the broker, and a Vault that refuses."""
    campaign = Campaign(tmp_path, own_kafka, faults=4, clips=14, seed=563)
    verdict = campaign.run()
    assert verdict.clean, verdict
    assert campaign.tracebacks == 0
    assert (verdict.faults, verdict.clips) == (4, 14)

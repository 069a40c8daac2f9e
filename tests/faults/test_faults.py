"""A short campaign; `make faults` runs a long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import Campaign
from tests.support.kafka import KafkaServer


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_faults_lose_nothing_and_count_nothing_twice(tmp_path: Path, own_kafka: KafkaServer) -> None:
    """A short campaign whose seed strikes every service and the way to Kafka."""
    campaign = Campaign(tmp_path, own_kafka, faults=8, clips=16, seed=7)
    verdict = campaign.run()
    assert verdict.clean, verdict
    assert campaign.tracebacks == 0
    assert (verdict.faults, verdict.clips) == (8, 16)

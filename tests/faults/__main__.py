"""`python -m tests.faults`: a campaign of faults on its own Kafka; the last line of stdout is the verdict as JSON."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import msgspec

from tests.faults.campaign import Campaign
from tests.support.kafka import KafkaServer
from tests.support.s3 import S3Server


def main() -> int:
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--clips", type=int, default=500, help="that go in; some are rendered, the others copies")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--s3", action="store_true", help="the aggregator's files lie in S3")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="plateflow-faults-"))
    broker = KafkaServer(folder / "kafka").start()
    s3 = S3Server(folder / "s3").start() if options.s3 else None
    try:
        campaign = Campaign(folder, broker, faults=options.faults, clips=options.clips, seed=options.seed, s3=s3)
        verdict = campaign.run()
    except BaseException:
        print(f"what was left lies in {folder}", file=sys.stderr)
        raise
    finally:
        broker.kill()
        if s3 is not None:
            s3.process.kill()
    good = verdict.clean and not campaign.tracebacks
    if good:
        shutil.rmtree(folder)
    else:
        print(f"{campaign.tracebacks} tracebacks; logs, topics and files lie in {folder}", file=sys.stderr)
    print(msgspec.json.encode(verdict).decode())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""What a mutant is, and where the code and the tests lie that mutants name: `tests.faults.broken_once`, `.broken_rest`.

A text replaces another that stands exactly once in its file; where code moves on, `tests.faults.test_mutants` says so.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    rule: int
    what: str
    file: str
    old: str
    new: str
    test: str
    """The smallest part of the suite that must fail then."""


KAFKA, LOOP = "services/runtime/kafka.py", "services/runtime/loop.py"
PARTITION, HOURS, FILES = (f"services/aggregator/{name}.py" for name in ("partition", "hours", "files"))
S3, AGGREGATE = "services/aggregator/files_s3.py", "services/aggregator/core/aggregate.py"
INGEST, DECODE = "services/ingest/handler.py", "services/inference/decode.py"

DYING = "tests/runtime/test_kafka_crash.py::test_who_dies_"
CONTRACT, TURN = "tests/runtime/test_broker_contract.py::test_", "tests/runtime/test_loop.py::test_"
CRASHES, POINTS = "tests/aggregator/test_crashes.py::test_", "tests/aggregator/test_crashes.py::test_each_named_point"
ON_S3, ON_DISK = "tests/aggregator/test_files_s3.py::test_", "tests/aggregator/test_files.py::test_"
SWEEP = "tests/security/test_secrets_sweep.py::test_no_secret_and_no_plate_shows_up"

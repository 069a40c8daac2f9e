"""`make mutants`: breaks one rule at a time in a copy of the code, and runs the test that must notice.

In: `tests.faults.broken_once` and `.broken_rest`. Out: a table of rules, what was broken, which test fails then; as the
last line JSON. Exit code 1 where a mutant survives. Before, all those tests must pass on the code as it is, else their
failing says nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

from tests.faults.broken import Mutant
from tests.faults.broken_once import ONCE
from tests.faults.broken_rest import REST
from tests.support.cache import CACHE, REPOSITORY
from tests.support.kafka import KafkaServer

MUTANTS: tuple[Mutant, ...] = (*ONCE, *REST)
COPIED = ("services", "tests", "pyproject.toml")
LONGEST_S = 300


class Outcome(StrEnum):
    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    NOT_RUN = "NOT RUN"
    """The test did not come to run: broken in a way that shows nothing."""


class Copy:
    """A copy of the code in which tests run; the code itself is never touched."""

    def __init__(self, folder: Path, kafka: str = "") -> None:
        """``kafka``: a broker that is there already; else each test that needs one starts it."""
        self.folder, self._kafka = folder, kafka
        leave_out = shutil.ignore_patterns("__pycache__", "*.pt")
        for name in COPIED:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=leave_out)
            else:
                shutil.copy(source, folder / name)
        CACHE.mkdir(exist_ok=True)
        (folder / CACHE.name).symlink_to(CACHE)

    def outcome(self, mutant: Mutant) -> Outcome:
        with self._broken(mutant):
            code, _said = self.run([mutant.test])
        return {0: Outcome.SURVIVED, 1: Outcome.CAUGHT}.get(code, Outcome.NOT_RUN)

    def run(self, tests: Collection[str]) -> tuple[int, str]:
        """pytest's exit code (0 passed, 1 failed, else nothing was shown), and what it said."""
        named = [one for test in tests for one in self._nodes(test)]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *named]
        environment = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",  # what was compiled may be older than a mutant of the same length
            "PYTHONPATH": str(self.folder),
            **({"PLATEFLOW_TEST_KAFKA": self._kafka} if self._kafka else {}),
        }
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=LONGEST_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return -1, f"took longer than {LONGEST_S} s"
        return done.returncode, done.stdout + done.stderr

    def _nodes(self, test: str) -> list[str]:
        """Full names of the tests whose names begin so; with a parameter, that case alone."""
        file, _, begin = test.partition("::")
        begin, bracket, case = begin.partition("[")
        lines = (self.folder / file).read_text().splitlines()
        names = [line.removeprefix("def ").partition("(")[0] for line in lines if line.startswith(f"def {begin}")]
        return [f"{file}::{name}{bracket}{case}" for name in names]

    @contextmanager
    def _broken(self, mutant: Mutant) -> Iterator[None]:
        path = self.folder / mutant.file
        text = path.read_text()
        path.write_text(mutated(text, mutant))
        try:
            yield
        finally:
            path.write_text(text)


def mutated(text: str, mutant: Mutant) -> str:
    """ValueError where what is to be replaced does not stand there exactly once."""
    if text.count(mutant.old) != 1:
        raise ValueError(f"{mutant.file}: what `{mutant.what}` replaces is there {text.count(mutant.old)} times")
    return text.replace(mutant.old, mutant.new)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("--rule", type=int, action="append", help="only these rules of the design")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if not options.rule or mutant.rule in options.rule]
    began, caught = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="plateflow-mutants-") as folder:
        broker = KafkaServer(Path(folder) / "kafka").start()
        try:
            copy = Copy(Path(folder) / "copy", broker.bootstrap)
            code, said = copy.run(sorted({mutant.test for mutant in chosen}))
            if code:
                print(f"{said}\nthe tests do not pass on the code as it is, so nothing can be shown", file=sys.stderr)
                return 1
            for mutant in chosen:
                outcome = copy.outcome(mutant)
                caught += outcome is Outcome.CAUGHT
                print(f"{mutant.rule:>4}  {outcome:<9} {mutant.what}\n{'':16}{mutant.test}", flush=True)
        finally:
            broker.kill()
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"mutants": len(chosen), "caught": caught, "seconds": seconds}))
    return 0 if caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())

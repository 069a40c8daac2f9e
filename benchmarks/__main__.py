"""Runs benchmarks: `python -m benchmarks [NAME ...] [--quick]`; without a name, all, one after the other."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from benchmarks.harness import Skipped, last_line

NAMES = (
    "aggregator",
    "decode",
    "detector",
    "heatmap_commit",
    "ingest",
    "pipeline",
    "recogniser",
    "scale",
    "startup",
    "transactions",
)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure plateflow beside its peers and limits. Each benchmark prints a table and ends in a line "
        "of JSON. Compare figures of one run only: machines and their load differ.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of: {', '.join(NAMES)}; none: all")
    parser.add_argument("--quick", action="store_true", help="only see that it runs; the figures mean little")
    given = parser.parse_args(arguments)
    if wrong := [name for name in given.names if name not in NAMES]:
        parser.error(f"no benchmark {wrong[0]!r}; there are: {', '.join(NAMES)}")
    for name in given.names or NAMES:
        try:
            print(importlib.import_module(f"benchmarks.{name}").run(given.quick), flush=True)
        except Skipped as reason:
            print(last_line(name, {"skipped": str(reason)}), flush=True)
    return 0


if __name__ == "__main__":
    try:
        code = main()
    except BrokenPipeError:  # whoever read it, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141  # as the shell says of a program that SIGPIPE ended
    raise SystemExit(code)

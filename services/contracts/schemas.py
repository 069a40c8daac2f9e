"""JSON Schemas of all topics, for readers in any language: ``docs/schemas/<name>.json``.

``python -m services.contracts.schemas`` writes them; with ``--check`` it only fails when one is stale.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from services.contracts.messages import Message
from services.contracts.topics import MESSAGE_OF

FOLDER = Path(__file__).parents[2] / "docs" / "schemas"
COMMAND = "python -m services.contracts.schemas"


def schema_text(kind: type[Message]) -> str:
    """The JSON Schema (2020-12) of one message type, as the text of its file."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(kind)}
    return msgspec.json.format(msgspec.json.encode(schema, order="sorted"), indent=2).decode() + "\n"


def stale(folder: Path) -> list[Path]:
    """Files that are missing, or not what the messages say now, or belong to no topic."""
    wanted = {folder / f"{name}.json": schema_text(kind) for name, kind in MESSAGE_OF.items()}
    wrong = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    return sorted(wrong + [path for path in folder.glob("*.json") if path not in wanted])


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in stale(folder):
        path.unlink(missing_ok=True)
    for name, kind in MESSAGE_OF.items():
        (folder / f"{name}.json").write_text(schema_text(kind))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Write the JSON Schemas of all topics.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    if not options.check:
        write(options.folder)
        return 0
    wrong = stale(options.folder)
    if wrong:
        names = ", ".join(path.name for path in wrong)
        sys.stderr.write(f"docs/schemas is stale ({names}): run `{COMMAND}`\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Point pairs as a person writes them down: a table, or the `pairs:` of a camera file.

- text: a line per pair, `x y plan_x plan_y`, parted by blanks, commas, semicolons or tabs; `#` begins a comment; a
  first line of names is left out
- YAML or JSON (.yaml, .yml, .json): a list of `[[x, y], [plan_x, plan_y]]`, or a mapping whose `pairs` is one
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import msgspec
import yaml

from services.aggregator.core.homography import Pair


class BadPairFile(ValueError):
    """The file holds something else than pairs. Names the lines."""


def read_pairs(path: Path) -> list[Pair]:
    """Raises BadPairFile."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPairFile(f"cannot read {path}: {error}") from error
    pairs = _structured(path, text) if path.suffix.lower() in (".yaml", ".yml", ".json") else _table(path, text)
    if not all(math.isfinite(number) for pair in pairs for point in pair for number in point):
        raise BadPairFile(f"{path}: every number must be finite")
    return pairs


def _structured(path: Path, text: str) -> list[Pair]:
    try:
        content = yaml.safe_load(text)
        return msgspec.convert(content["pairs"] if isinstance(content, dict) else content, list[Pair])
    except KeyError:
        raise BadPairFile(f"{path} has no `pairs`; of a camera file, take the entry of one camera") from None
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise BadPairFile(f"{path} is no list of [[x, y], [plan_x, plan_y]]: {error}") from error


def _table(path: Path, text: str) -> list[Pair]:
    pairs: list[Pair] = []
    faults: list[str] = []
    rows = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), start=1)]
    rows = [(number, line) for number, line in rows if line]
    for place, (number, line) in enumerate(rows):
        words = re.split(r"[\s,;]+", line)
        try:
            x, y, plan_x, plan_y = map(float, words)
        except ValueError:
            if place or any(character.isdigit() for word in words for character in word[:1]):
                faults.append(f"line {number}: {line[:40]!r} is not `x y plan_x plan_y`")
            continue
        pairs.append(((x, y), (plan_x, plan_y)))
    if faults:
        raise BadPairFile(f"{path}: {'; '.join(faults[:5])}")
    return pairs

"""Reads `deploy/Dockerfile` as far as the tests need it: stages, and instructions with their continued lines joined."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.cache import REPOSITORY

DOCKERFILE = REPOSITORY / "deploy" / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    text: str


@dataclass(slots=True)
class Stage:
    """One FROM and what follows it."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[str]:
        return [one.text for one in self.instructions if one.word == word]


def stages(path: Path = DOCKERFILE) -> dict[str, Stage]:
    """Stages by name, in order."""
    found: dict[str, Stage] = {}
    current: Stage | None = None
    for one in _instructions(path.read_text()):
        if one.word == "FROM":
            base, _, name = one.text.partition(" AS ")
            current = found[name] = Stage(base, name)
        elif current is not None:
            current.instructions.append(one)
    return found


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


def chain(name: str, of: dict[str, Stage]) -> list[Stage]:
    """The stage and all that it is based on, the last one first."""
    found, next_name = [], name
    while next_name in of:
        found.append(of[next_name])
        next_name = of[next_name].base
    return found


def environment(name: str, of: dict[str, Stage]) -> dict[str, str]:
    """What ENV sets in an image of this stage."""
    pairs = [pair for stage in reversed(chain(name, of)) for text in stage.all("ENV") for pair in text.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def inherited(name: str, word: str, of: dict[str, Stage]) -> str:
    """The last USER, CMD, HEALTHCHECK ... that holds in an image of this stage; empty where there is none."""
    return next((texts[-1] for stage in chain(name, of) if (texts := stage.all(word))), "")


def command(name: str, of: dict[str, Stage]) -> list[str]:
    """What a container of this stage runs."""
    entry, words = (inherited(name, word, of) for word in ("ENTRYPOINT", "CMD"))
    return [*(json.loads(entry) if entry else []), *(json.loads(words) if words else [])]

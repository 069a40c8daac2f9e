"""Writes docs/configuration.md from the settings of all services: ``python -m services.cli.configuration [--check]``.

With ``--check`` it writes nothing and exits with 1 where the file is not what the code says.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.runtime.environment import Settings, Variable, groups, variables
from services.runtime.settings import ServiceSettings, StoreSettings

SERVICES = ("ingest", "inference", "aggregator")
TITLES: dict[type[Settings], str] = {StoreSettings: "ClipStore"}
TARGET = Path(__file__).parents[2] / "docs" / "configuration.md"
HEAD = """# Configuration

Every service reads its settings once, at start, from environment variables.
What is wrong or missing is reported in one text that names every variable.
An empty variable counts as not set.
Where Kerberos' own services have a name for a setting, that name works too; ours wins.

Four variables connect plateflow to a Kerberos Vault and its Kafka; everything else has a default:

```sh
export KAFKA_BROKER=kafka.example:9092
export STORAGE_URI=https://vault.example/api
export STORAGE_ACCESS_KEY=...
export STORAGE_SECRET=...
```

This file is generated from the code by `make docs`.
"""


def main(arguments: list[str]) -> int:
    text = document({name: settings_of(name) for name in SERVICES})
    if "--check" not in arguments:
        TARGET.parent.mkdir(exist_ok=True)
        TARGET.write_text(text, encoding="utf-8")
        return 0
    if TARGET.is_file() and TARGET.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/configuration.md is not what the settings say: run `make docs` and commit it\n")
    return 1


def settings_of(service: str) -> type[ServiceSettings]:
    """The one class of settings that ``services.<service>.settings`` defines."""
    module = importlib.import_module(f"services.{service}.settings")
    found = [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, ServiceSettings) and one.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise TypeError(f"{module.__name__} defines {len(found)} classes derived from ServiceSettings, needs one")
    return found[0]


def document(services: Mapping[str, type[ServiceSettings]]) -> str:
    """The whole page: what several services read, group by group, then each service's own."""
    parts = [HEAD]
    for group, kinds in _readers(services).items():
        parts.append(_section(_title(group), _intro(group, kinds), dict(groups(group))[group]))
    for name, kind in services.items():
        if own := list(_own(kind)):
            parts.append(_section(f"Only {name}", _sentence(kind), own))
    return "\n".join(parts)


def _readers(services: Mapping[str, type[ServiceSettings]]) -> dict[type[Settings], dict[str, type[Settings]]]:
    """Each group, and who reads it: the service, and which variety of the group it has."""
    readers: dict[type[Settings], dict[str, type[Settings]]] = {}
    for name, kind in services.items():
        for group, own in list(groups(kind)):
            if own and group is not kind:
                readers.setdefault(_plain(group), {})[name] = group
    return readers


def _plain(group: type[Settings]) -> type[Settings]:
    """The group that ``group`` only varies: a base with the same variables."""
    names = [variable.name for variable in variables(group)]
    bases = [one for one in group.__mro__ if issubclass(one, Settings) and one is not Settings]
    return [one for one in bases if [variable.name for variable in variables(one)] == names][-1]


def _intro(group: type[Settings], kinds: Mapping[str, type[Settings]]) -> str:
    varied = [f"In {name}: {_sentence(kind)}" for name, kind in kinds.items() if kind is not group]
    return "\n".join([_sentence(group), f"Read by {_and(list(kinds))}.", *varied])


def _own(kind: type[ServiceSettings]) -> Iterator[Variable]:
    """The service's own variables, and those of groups whose default it changes."""
    for group, own in list(groups(kind)):
        usual = dict(groups(group))[group]
        yield from own if group is kind else (one for one, other in zip(own, usual, strict=True) if one != other)


def _section(title: str, intro: str, rows: list[Variable]) -> str:
    head = "| variable | other names | default | meaning |\n|---|---|---|---|"
    return "\n".join([f"## {title}", "", intro, "", head, *map(_row, rows), ""])


def _row(variable: Variable) -> str:
    words = {None: "**required**", "required": "**required**", "not set": "not set"}
    default = words.get(variable.default, f"`{variable.default}`")
    aliases = ", ".join(f"`{name}`" for name in variable.aliases)
    meaning = variable.description + (" Secret." if variable.secret else "")
    cells = (f"`{variable.name}`", aliases, default, meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _title(group: type[Settings]) -> str:
    name = TITLES.get(group, group.__name__.removesuffix("Settings"))
    return "".join(f" {c}" if c.isupper() else c for c in name).strip().capitalize()


def _sentence(kind: type[Settings]) -> str:
    return " ".join((kind.__doc__ or "").strip().partition("\n\n")[0].split())


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

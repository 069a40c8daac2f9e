"""National plate formats: the table `formats.yaml` (or a user's) in, `Format`s out, and which of them a text is of.

Rules. One row is one format; a row that is wrong is a `BadFormats` that names file and line. A format that allows
letter or digit in a place (`X`) is `general`: it names plates, and settles no character.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

import yaml

DIGITS = "0123456789"
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ALIKE = ("0O", "0D", "0Q", "1I", "1L", "2Z", "4A", "5S", "6G", "7T", "8B")
_ITEM = re.compile(r"(?:([LDNX])|\[([0-9A-Z]+)\])(\??)")
_FIELDS = {"name", "country", "pattern", "alphabet", "rows", "alike"}
EU = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"}
    | {"IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)

Places = tuple[frozenset[str], ...]


class BadFormats(ValueError):
    """A table of formats, or a choice of them, that cannot be used. Says where and why."""


@dataclass(frozen=True, slots=True)
class Format:
    """``variants``: what each place may hold, one for each length that the format has."""

    name: str
    country: str
    pattern: str
    variants: tuple[Places, ...]
    rows: int = 1
    alike: frozenset[frozenset[str]] = frozenset(map(frozenset, ALIKE))

    @property
    def general(self) -> bool:
        return any(kind == "X" for kind, _, _ in _ITEM.findall(self.pattern))

    def places(self, length: int) -> tuple[Places, ...]:
        return tuple(one for one in self.variants if len(one) == length)

    def matches(self, text: str) -> bool:
        """Whether the text, decided in every character, is one of this format."""
        return any(all(map(frozenset.__contains__, one, text)) for one in self.places(len(text)))


def parse(text: str, name: str) -> tuple[Format, ...]:
    """The formats of a table. BadFormats with every fault; ``name``: of the file."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise BadFormats(f"{name} is not YAML: {error}") from error
    if not isinstance(root, yaml.SequenceNode):
        raise BadFormats(f"{name} must be a list of rows such as {{name: xx-private, country: XX, pattern: LLDDD}}")
    formats: list[Format] = []
    faults: list[str] = []
    for node in root.value:
        try:
            format_ = _row(node)
            if format_.name in {one.name for one in formats}:
                raise BadFormats(f"the name {format_.name} is taken by an earlier row")
            formats.append(format_)
        except BadFormats as error:
            faults.append(f"{name}:{node.start_mark.line + 1}: {error}")
    if faults:
        raise BadFormats("; ".join(faults))
    return tuple(formats)


def _row(node: yaml.Node) -> Format:
    if not isinstance(node, yaml.MappingNode) or not all(isinstance(value, yaml.ScalarNode) for _, value in node.value):
        raise BadFormats("a row must be {name: ..., country: ..., pattern: ...}")
    row = {key.value: value.value for key, value in node.value}
    if unknown := row.keys() - _FIELDS:
        raise BadFormats(f"there is no field {', '.join(sorted(unknown))}; there are {', '.join(sorted(_FIELDS))}")
    if missing := [field for field in ("name", "country", "pattern") if not row.get(field)]:
        raise BadFormats(f"{', '.join(missing)} is missing")
    letters = row.get("alphabet", LETTERS)
    if not set(letters) <= set(LETTERS):
        raise BadFormats("alphabet may hold letters A to Z only")
    if row.get("rows", "1") not in ("1", "2"):
        raise BadFormats("rows must be 1 or 2")
    pairs = row.get("alike", "").split()
    if any(len(pair) != 2 for pair in pairs):
        raise BadFormats("alike must be pairs of characters with blanks between, such as 0O 8B")
    alike = frozenset(map(frozenset, [*ALIKE, *pairs]))
    variants = _variants(row["pattern"], letters)
    return Format(row["name"], row["country"], row["pattern"], variants, int(row.get("rows", "1")), alike)


def _variants(pattern: str, letters: str) -> tuple[Places, ...]:
    if not re.fullmatch(f"(?:{_ITEM.pattern})+", pattern):
        raise BadFormats(f"the pattern {pattern} may hold L, D, N, X, [AB] and, behind these, ? only")
    digits = frozenset(DIGITS)
    kinds = {"L": frozenset(letters), "D": digits, "N": digits - {"0"}, "X": digits | frozenset(letters)}
    variants: list[Places] = [()]
    for kind, own, optional in _ITEM.findall(pattern):
        allowed = kinds[kind] if kind else frozenset(own)
        longer = [(*one, allowed) for one in variants]
        variants = [*variants, *longer] if optional else longer
    return tuple(dict.fromkeys(variants))


@functools.cache
def shipped() -> tuple[Format, ...]:
    return parse(resources.files(__package__).joinpath("formats.yaml").read_text(encoding="utf-8"), "formats.yaml")


def choose(formats: Sequence[Format], wished: str) -> tuple[Format, ...]:
    """Those of ``wished``: names, countries or ``eu`` with commas between; empty: all; ``none``. BadFormats."""
    words = [word.strip().lower() for word in wished.split(",") if word.strip()]
    if words == ["none"]:
        return ()
    if words == ["all"]:
        return tuple(formats)
    chosen: list[Format] = []
    for word in words:
        found = [one for one in formats if _is(one, word)]
        if not found:
            known = ", ".join(sorted({one.country.lower() for one in formats} | {"eu"}))
            raise BadFormats(f"no format and no country is called {word}; countries: {known}, or none")
        chosen += found
    return tuple(dict.fromkeys(chosen)) if words else tuple(formats)


def _is(format_: Format, word: str) -> bool:
    return word in (format_.name, format_.country.lower()) or (word == "eu" and format_.country in EU)


def names(text: str, formats: Iterable[Format]) -> tuple[str, ...]:
    """The formats that a decided text is of; general ones only where there is no other."""
    found = [one for one in formats if one.matches(text)]
    special = [one.name for one in found if not one.general]
    return tuple(special or [one.name for one in found])


def country(of: Collection[str], formats: Iterable[Format]) -> str:
    """The country of the formats of these names; empty where they are of several, and for general ones, which say
    little about it."""
    found = {one.country for one in formats if one.name in of and not one.general}
    return found.pop() if len(found) == 1 else ""

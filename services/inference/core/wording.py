"""How a decided reading is worded for those who receive it: thresholds, replacements, Cyrillic. Pure.

Rules. Only `text` changes, never `raw`. First characters below their threshold become `#`, then the user's rules are
applied in their order, last the script is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from services.contracts.messages import Reading
from services.inference.core.alignment import UNDECIDED

_LATIN, _CYRILLIC = "ABEKMHOPCTYX", "АВЕКМНОРСТУХ"
_SIGN = "=>"


class BadRules(ValueError):
    """A file of replacements that cannot be used. Says where and why."""


@dataclass(frozen=True, slots=True)
class Rule:
    pattern: re.Pattern[str]
    replacement: str


@dataclass(frozen=True, slots=True)
class WordingOptions:
    digits: float = 0.0
    """Share that a digit needs, else it is `#`."""
    letters: float = 0.0
    rules: tuple[Rule, ...] = ()
    cyrillic: bool = False
    """The twelve letters that look the same, out as Cyrillic; only where a plate has no other."""


def word(reading: Reading, options: WordingOptions) -> Reading:
    """The reading as it shall be published."""
    text = "".join(_sure(char, share, options) for char, share in zip(reading.text, reading.confidences, strict=True))
    for rule in options.rules:
        text = rule.pattern.sub(rule.replacement, text)
    if options.cyrillic:
        text = to_cyrillic(text)
    confidences = reading.confidences if len(text) == len(reading.text) else ()
    return msgspec.structs.replace(reading, text=text, confidences=confidences)


def _sure(char: str, share: float, options: WordingOptions) -> str:
    return char if share >= (options.digits if char.isdigit() else options.letters) else UNDECIDED


def to_cyrillic(text: str) -> str:
    """The text in Cyrillic letters where each of its letters has one that looks the same, else as it is."""
    if any(char.isalpha() and char not in _LATIN for char in text):
        return text
    return text.translate(str.maketrans(_LATIN, _CYRILLIC))


def parse_rules(lines: Sequence[str], name: str) -> tuple[Rule, ...]:
    """A rule a line, `regular expression => replacement`; lines that begin with // are comments. BadRules."""
    rules: list[Rule] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("//"):
            continue
        pattern, sign, replacement = line.partition(_SIGN)
        if not sign or not pattern.strip():
            raise BadRules(f"{name}:{number}: a rule is written `text => other text`")
        try:
            rule = Rule(re.compile(pattern.strip()), replacement.strip())
            re.sub(f"(?:{rule.pattern.pattern})?", rule.replacement, "")  # tries the replacement's groups
        except (re.error, IndexError) as error:
            raise BadRules(f"{name}:{number}: not a regular expression: {error}") from error
        rules.append(rule)
    return tuple(rules)

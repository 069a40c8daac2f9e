"""Secret values out of bytes that people will see: dead letters, error texts and log lines. Pure.

In: any bytes. Out: the same bytes, each secret value replaced by ``***``; identical where there was none.

Rules
- A value is secret by the name it stands under (`_NAME`), at any depth, also in JSON inside a string of JSON,
  and whatever its type. So are a password in a URL, and the query string of every URL: it may sign it.
- JSON stays JSON (white space between its tokens may go). Bytes that do not parse are masked by pattern,
  rather too much than too little: where the end of a secret value cannot be seen, everything from it on
  goes.
- Time is linear in the length of the input.
"""

from __future__ import annotations

import json
import re
from typing import Any

MASK = "***"

_NAME = (
    rb"(?:public[-_]?key|signed[-_]?url|secret|pass(?:word|wd|phrase)|credential"
    rb"|authori[sz]ation|cookie|signature"
    rb"|(?:access|private|api|service|account|cloud|hub|symmetric|encryption)[-_]?key"
    rb"|(?<!event)(?<!event[-_])token|storage_|monitor[-_]?stage)"
)
_VALUE = (
    rb"(?:\"(?:[^\"\\]|\\.)*"  # a JSON string, its end quote left in place
    rb"|'(?:[^'\\]|\\.)*"  # a Python string
    rb"|\\+[\"'](?:[^\"\\]|\\.)*"  # a string inside a JSON string: all the rest of the outer one
    rb"|[\[{].*"  # an object or array whose end nobody knows
    rb"|(?:(?:Bearer|Basic)\s+)?[^\s&\"']+)"
)
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_PAIR = re.compile(
    rb"(" + _NAME + rb"[\w.-]{0,64}+\\*+[\"']?\s*[:=]\s*(?:u(?=[\"']))?)(" + _VALUE + rb")",
    re.IGNORECASE | re.DOTALL,
)
_URL_QUERY = re.compile(rb"(:\\?/\\?/(?:(?!:\\?/\\?/)[^\s\"'<>?]){1,4096}+\?)[^\s\"'<>]+")
_URL_PASSWORD = re.compile(rb"(:\\?/\\?/[^\s\"'<>?/@:]{0,256}+:)(?:[^\s\"'@]{1,256}+@)+")
_OPENING = re.compile(rb"\\*[\"']")


def mask(value: bytes) -> bytes:
    """``value`` without secret values. Never raises."""
    try:
        repeated: list[bool] = []
        document = json.loads(value, object_pairs_hook=lambda pairs: _object(pairs, repeated))
        masked = mask_value(document)
        if masked == document and not repeated:
            return value
        return _to_bytes(masked)
    except (ValueError, RecursionError):
        return _by_pattern(value)


def without_masked(value: bytes) -> bytes:
    """``value`` without the members of its JSON that `mask` emptied, so that a reader uses its own. Never raises."""
    if MASK.encode() not in value:
        return value
    try:
        document = json.loads(value)
        kept = _without_masked(document)
        return value if kept == document else _to_bytes(kept)
    except (ValueError, RecursionError):
        return value


def mask_text(text: str) -> str:
    """The same for text, such as a log line."""
    data = text.encode("utf-8", "surrogatepass")
    masked = mask(data) if data[:1] in (b"{", b"[") else _by_pattern(data)
    return text if masked == data else masked.decode("utf-8", "surrogatepass")


def mask_value(value: Any) -> Any:
    """The same for what JSON can hold: dictionaries, lists, text, numbers."""
    if isinstance(value, dict):
        return {name: _member(name, item) for name, item in value.items()}
    if isinstance(value, list):
        return [mask_value(item) for item in value]
    return mask_text(value) if isinstance(value, str) else value


def _object(pairs: list[tuple[str, Any]], repeated: list[bool]) -> dict[str, Any]:
    """A JSON object; a name given twice hides a value from us, so it is written down that one was dropped."""
    result = dict(pairs)
    if len(result) < len(pairs):
        repeated.append(True)
    return result


def _member(name: str, value: Any) -> Any:
    if _SECRET_NAME.search(name.encode("utf-8", "surrogatepass")):
        return value if value in (None, "", {}, []) else MASK
    return mask_value(value)


def _without_masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_masked(item) for name, item in value.items() if not _is_masked(name, item)}
    return [_without_masked(item) for item in value] if isinstance(value, list) else value


def _is_masked(name: str, value: Any) -> bool:
    return value == MASK and _SECRET_NAME.search(name.encode("utf-8", "surrogatepass")) is not None


def _to_bytes(document: Any) -> bytes:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes its JSON escape again


def _by_pattern(data: bytes) -> bytes:
    without_passwords = _URL_PASSWORD.sub(rb"\1***@", data)
    return _PAIR.sub(_masked_pair, _URL_QUERY.sub(rb"\1***", without_passwords))


def _masked_pair(match: re.Match[bytes]) -> bytes:
    name, value = match.groups()
    quote = found.group() if (found := _OPENING.match(value)) else b""
    if value in (quote, b"null", b"null,", b"null}"):
        return match.group()
    return bytes(name) + quote + MASK.encode()

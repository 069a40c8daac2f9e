"""The camera file (`services.aggregator.cameras`), changed: one camera's entry replaced, all else left as it is.

Comments and the order of a YAML file stay, but for those within the entry that is replaced. The file is replaced in one
go, and only by one that the aggregator will read.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

import yaml

from services.aggregator import cameras
from services.aggregator.core.config import Options

Entry = dict[str, Any]


def load(path: Path) -> dict[str, Any]:
    """What the file holds; nothing where there is none. Raises BadCameras."""
    if not path.exists():
        return {}
    cameras.read(path, Options())
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def put(path: Path, camera: str, entry: Entry) -> None:
    """Puts one camera's entry into the file. Raises BadCameras, and leaves the file alone, where it would be bad."""
    content = {**load(path), camera: entry}
    cameras.parse(content, Options())
    former = path.read_text(encoding="utf-8") if path.exists() else ""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    if path.suffix.lower() != ".json":
        text = _spliced(former, camera, entry)
        if not _says(text, content):  # the former one is written in an unusual way, as all on one line
            text = "".join(block(name, one) for name, one in content.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.tmp")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def block(camera: str, entry: Entry | None) -> str:
    """One camera as YAML, a pair to a line."""
    lines = [f"{_key(camera)}:"]
    rest = dict(entry or {})
    if pairs := rest.pop("pairs", None):
        lines += ["  pairs:", *(f"    - {json.dumps(pair)}" for pair in pairs)]
    if rest:
        dumped = yaml.safe_dump(rest, default_flow_style=None, sort_keys=False, allow_unicode=True, width=1000)
        lines.append(textwrap.indent(dumped, "  ").rstrip())
    return "\n".join(lines) + "\n"


def _spliced(text: str, camera: str, entry: Entry) -> str:
    """The text with the camera's entry in place of its former one, or at the end."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    keys = [key for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
    names = [key.value for key in keys]
    if camera not in names:
        return text + ("" if not text or text.endswith("\n") else "\n") + block(camera, entry)
    index = names.index(camera)
    begin = keys[index].start_mark.index
    end = keys[index + 1].start_mark.index if index + 1 < len(keys) else len(text)
    after = re.search(
        r"(?:^[ \t]*(?:#.*)?\n?)*\Z", text[begin:end], re.MULTILINE
    )  # comments and blanks of what follows
    kept = text[begin:end][after.start() :] if after else ""
    return text[:begin] + block(camera, entry) + kept + text[end:]


def _says(text: str, content: dict[str, Any]) -> bool:
    try:
        return bool(yaml.safe_load(text) == content)
    except yaml.YAMLError:
        return False


def _key(camera: str) -> str:
    try:
        plain = yaml.safe_load(f"{camera}: 1") == {camera: 1} and "\n" not in camera
    except yaml.YAMLError:
        plain = False
    return camera if plain else json.dumps(camera, ensure_ascii=False)

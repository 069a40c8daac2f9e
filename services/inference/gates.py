"""The gates of the cameras: the `recognise` sections of the camera file, read again when it changes.

In: the file that the aggregator has too. A bad file stops a service that starts, naming the fault; a bad change changes
nothing: the last good one stays, and the log says so. What else the file holds is the aggregator's to judge.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from services.contracts.gates import OPEN, BadGate, Gate, check
from services.runtime.errors import SettingsError
from services.runtime.watched import Watched

DEFAULT = "default"
SECTION = "recognise"


class Gates:
    """Of all cameras, as they are now. SettingsError where the file is bad from the beginning."""

    def __init__(self, path: Path | None = None, also: Gate = OPEN) -> None:
        """``also``: zones and masks for every camera, beside those of the file."""
        self._also, self._file = also, None
        if path is not None:
            try:
                self._file = Watched(path, read)
            except BadGate as error:
                raise SettingsError(f"PLATEFLOW_CAMERAS: {error}") from error

    def of(self, camera: str) -> Gate:
        if self._file is None:
            return self._also
        self._file.poll(time.monotonic())
        gates = self._file.value
        gate = gates.get(camera, gates.get(DEFAULT, OPEN))
        zones, masks = gate.zones + self._also.zones, gate.masks + self._also.masks
        return msgspec.structs.replace(gate, zones=zones, masks=masks)


def read(path: Path) -> dict[str, Gate]:
    """The gate of each camera that the file names. BadGate with every fault in it."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadGate(f"cannot read {path}: {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadGate(f"{path} is neither YAML nor JSON: {error}") from error
    return gates_of({} if content is None else content)


def gates_of(content: Any) -> dict[str, Gate]:
    """The same from what the file holds."""
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise BadGate("the camera file must map names of cameras to their settings")
    gates, faults = {}, []
    for name, entry in content.items():
        section = entry.get(SECTION) if isinstance(entry, Mapping) else None
        try:
            gates[name] = check(msgspec.convert(section if section is not None else {}, Gate))
        except (msgspec.ValidationError, BadGate) as error:
            faults.append(f"{name}: {SECTION}: {error}")
    if faults:
        raise BadGate("; ".join(faults))
    return gates

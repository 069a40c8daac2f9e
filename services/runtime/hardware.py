"""What the machine under a service does, asked at each scrape: memory of its children, and graphics cards.

Cards are read by NVIDIA's management library (`nvidia-ml-py`, of the gpu extra); without it, without a driver or
without a card nothing is shown of them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from services.runtime import metrics

log = logging.getLogger(__name__)

PAGE = os.sysconf("SC_PAGE_SIZE")
_PROCESS = Path("/proc")


def watch() -> None:
    """From now on /metrics shows it."""
    if _PROCESS.is_dir():
        metrics.CHILDREN_MEMORY.set_function(children_memory)
    watch_cards(management_library())


def management_library() -> Any:
    """`pynvml`, with a driver under it; else None."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception as error:  # not installed, no driver, no card, no permission: there is nothing to show then
        log.debug("no graphics card to watch: %s", error)
        return None
    return pynvml


def watch_cards(library: Any) -> None:
    """Gauges for each card, labelled by its number and name; none where ``library`` is None."""
    for index in range(library.nvmlDeviceGetCount() if library is not None else 0):
        card = library.nvmlDeviceGetHandleByIndex(index)
        name = library.nvmlDeviceGetName(card)
        label = f"{index} {name if isinstance(name, str) else name.decode()}"
        for gauge, read in (
            (metrics.GPU_UTILISATION, lambda card=card: library.nvmlDeviceGetUtilizationRates(card).gpu / 100),
            (metrics.GPU_MEMORY_USED, lambda card=card: library.nvmlDeviceGetMemoryInfo(card).used),
            (metrics.GPU_MEMORY_TOTAL, lambda card=card: library.nvmlDeviceGetMemoryInfo(card).total),
            (metrics.GPU_TEMPERATURE, lambda card=card: library.nvmlDeviceGetTemperature(card, 0)),
        ):
            gauge.labels(label).set_function(_or_nan(read))


def _or_nan(read: Callable[[], float]) -> Callable[[], float]:
    """A card that fell off the bus must not break the page."""

    def safely() -> float:
        try:
            return float(read())
        except Exception:
            return float("nan")

    return safely


def children_memory() -> float:
    """Bytes; those of all descendants."""
    total, waiting = 0, [os.getpid()]
    while waiting:
        parent = waiting.pop()
        for pid in _children(parent):
            waiting.append(pid)
            total += _resident(pid)
    return float(total)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for task in (_PROCESS / str(pid) / "task").iterdir():
            found += map(int, (task / "children").read_text().split())
    except OSError:
        pass  # it ended meanwhile
    return found


def _resident(pid: int) -> int:
    try:
        return int((_PROCESS / str(pid) / "statm").read_text().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0

"""How much room is left on the disks that hold our stores, asked at each scrape."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

from services.runtime import metrics
from services.runtime.settings import folder


def watch_disk(store: str, url: str) -> None:
    """Show the free share of the disk below ``url``; ``store`` (clips, objects, data) is a metric label.

    Nothing is shown of a bucket.
    """
    root = folder(url)
    if root is not None:
        metrics.DISK_FREE.labels(store).set_function(lambda: free_share(root))


def free_share(root: Path) -> float:
    """0..1 of the disk that ``root`` lies on, or will lie on once it is made; NaN where that cannot be told."""
    absolute = root.absolute()
    try:
        existing = next(one for one in (absolute, *absolute.parents) if one.exists())
        usage = shutil.disk_usage(existing)
    except OSError:
        return math.nan
    return usage.free / usage.total if usage.total else math.nan

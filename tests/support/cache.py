"""What the servers need on disk (`.cache/` in the repository): fetched or built once, under a lock.

An entry appears by a rename, so that a half-finished download is never taken for a whole one.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache"


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The folder `.cache/<name>`; where it is missing, `make(folder)` fills it once for all processes."""
    folder = CACHE / name
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _make_whole(folder, make)
    return folder


def _make_whole(folder: Path, make: Callable[[Path], None]) -> None:
    print(f"setting up {folder.name} (once) ...", file=sys.stderr, flush=True)
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    make(unfinished)
    unfinished.rename(folder)


def run_quietly(command: Sequence[str], extra_env: dict[str, str] | None = None) -> None:
    """Run a command that should succeed; its output is shown only where it does not."""
    done = subprocess.run(command, env={**os.environ, **(extra_env or {})}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")

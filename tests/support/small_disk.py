"""A folder on a file system of its own that can really be full: a tmpfs, where this process may mount one."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path


class SmallDisk:
    """``mounted`` is False where we may not mount: then the folder is an ordinary one, and `fill` does nothing."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
        self.mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Until not one byte more goes in."""
        if not self.mounted:
            return
        with self._filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """What lies in it is gone then."""
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], capture_output=True, check=False)

"""Folders and zips of others, as folders: a path in, a folder to read while the `with` block runs.

Rules
- A zip is unpacked into a temporary folder, zips in it, too. Of a folder that holds zips, these and the files beside
  them are read, no folders; each zip becomes a folder of its own name, so that train.zip is the split train.
- Names that lead out of the folder, and an archive that would not fit on the disk, are refused.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.inference.datasets.layout import DataError, safe_file


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """Raises DataError."""
    if not source.exists():
        raise DataError(f"{source} is not there; name a folder or a zip")
    zips = [source] if source.is_file() else sorted(source.glob("*.zip"))
    if not zips:
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="plateflow-") as temporary:
        folder = Path(temporary)
        if source.is_dir():
            for path in source.iterdir():
                if path.is_file() and path not in zips:
                    (folder / path.name).symlink_to(path.absolute())
        for archive in zips:
            _unpack(archive, folder / archive.stem if source.is_dir() else folder)
        for inner in sorted(folder.rglob("*.zip")) if source.is_file() else ():
            _unpack(inner, inner.with_suffix(""))
        yield folder


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            needed = sum(one.file_size for one in opened.infolist())
            folder.mkdir(parents=True, exist_ok=True)
            if needed > shutil.disk_usage(folder).free:
                raise DataError(f"{archive} needs {needed / 1e9:.1f} GB unpacked, more than is free in TMPDIR")
            for one in opened.infolist():
                if not one.is_dir():
                    _safe(archive, one.filename)
                    opened.extract(one, folder)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{archive} is no zip that can be opened: {error}") from error


def _safe(archive: Path, name: str) -> None:
    try:
        safe_file(name)
    except ValueError as error:
        raise DataError(f"{archive}: {error}") from error

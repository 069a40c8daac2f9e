"""The Dockerfile's build stage without Docker: its install steps, run in an empty folder with a clean environment.

`python -m tests.deploy.image [cpu|cuda]` builds it so and says how large the installed set is, and what makes it so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.deploy.dockerfile import command, environment, stages
from tests.support.cache import REPOSITORY

OUTSIDE = ("LANG", "PIP_CONFIG_FILE", "PIP_INDEX_URL", "PIP_CERT", "SSL_CERT_FILE", "HTTPS_PROXY", "NO_PROXY")
"""How this machine reaches its package index; nothing else of its environment comes along."""


class Image:
    """The build stage, replayed: `/src` and `/opt/plateflow` lie below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.src = root / "src"
        self.venv = root / "opt" / "plateflow"

    def here(self, text: str) -> str:
        return text.replace("/opt/plateflow", str(self.venv)).replace("/src", str(self.src))

    def build(self, variant: str) -> None:
        self.src.mkdir(parents=True)
        outer = self.root / "bin"  # the base image's `python`, and nothing beside it
        outer.mkdir()
        (outer / "python").symlink_to(sys.executable)
        kept = {name: os.environ[name] for name in OUTSIDE if name in os.environ}
        build = stages()["build"]
        env = {name: self.here(value) for name, value in environment("build", stages()).items()}
        env |= kept | {"PATH": f"{outer}:/usr/bin:/bin", "HOME": str(self.root), "VARIANT": variant}
        for step in build.instructions:
            if step.word == "COPY":
                self._copy(step.text.split())
            elif step.word == "RUN":
                self._run(self.here(step.text), env)

    def _copy(self, words: list[str]) -> None:
        for pattern in words[:-1]:
            for source in REPOSITORY.glob(pattern):
                if source.is_dir():
                    shutil.copytree(source, self.src / words[-1], ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(source, self.src)

    def _run(self, script: str, env: Mapping[str, str]) -> None:
        done = subprocess.run(["sh", "-c", script], cwd=self.src, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"

    def start(self, target: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """The target's own command, or with other arguments, in the image's environment."""
        env = {name: value for name, value in environment(target, stages()).items() if not name.startswith("PATH")}
        env |= {"PATH": f"{self.venv}/bin:/usr/bin:/bin", "HOME": str(self.root), **settings}
        words = [*command(target, stages())[:1], *arguments] if arguments else command(target, stages())
        return subprocess.run(words, cwd=self.root, env=env, capture_output=True, text=True, check=False, timeout=120)

    def megabytes(self) -> float:
        return sum(file.lstat().st_size for file in self.venv.rglob("*") if not file.is_dir()) / 1e6

    def packages(self) -> Counter[str]:
        """Megabytes of each folder of site-packages; what is small is under its own name, too."""
        found: Counter[str] = Counter()
        for place in self.venv.glob("lib/python*/site-packages"):
            for file in place.rglob("*"):
                if not file.is_dir():
                    found[file.relative_to(place).parts[0]] += round(file.lstat().st_size)
        return found


def main() -> int:
    variant = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    if variant not in ("cpu", "cuda"):
        print(f"cpu or cuda, not {variant}", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="plateflow-image-") as folder:
        made = Image(Path(folder))
        made.build(variant)
        for name, size in made.packages().most_common(15):
            print(f"{size / 1e6:8.1f} MB  {name}")
        print(f"{made.megabytes():8.1f} MB  in all, beyond the base image")
    return 0


if __name__ == "__main__":
    sys.exit(main())

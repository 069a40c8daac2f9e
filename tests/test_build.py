"""The project file tells the truth: imports are declared, packages are pinned, targets have help."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.cache import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
LIGHT = {canonicalize_name(Requirement(line).name) for line in PROJECT["dependencies"]}
ONLY_WITH_AN_EXTRA = ("services/inference/training/", "services/inference/models/torch_")


def third_party_imports(source: Path) -> Iterator[str]:
    """Top-level packages that are imported when the module is; not inside functions or TYPE_CHECKING blocks."""
    for node in ast.parse(source.read_text()).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module]
        else:
            continue
        for name in names:
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names and package not in ("services", "__future__"):
                yield package


def installed_for(extra: str = "") -> set[str]:
    """The distributions that plateflow needs with this extra, and those that they need in turn."""
    seen: set[tuple[str, str]] = set()
    pending = {("plateflow", ""), ("plateflow", extra)}
    while pending:
        name, with_extra = pending.pop()
        seen.add((name, with_extra))
        for needed in map(Requirement, metadata.requires(name) or ()):
            if needed.marker is None or needed.marker.evaluate({"extra": with_extra}):
                pending |= {(canonicalize_name(needed.name), more) for more in ("", *needed.extras)} - seen
    return {name for name, _ in seen} - {"plateflow"}


def test_whatever_the_services_import_is_in_the_light_set() -> None:
    distributions = metadata.packages_distributions()
    missing = {
        f"{source.relative_to(REPOSITORY)}: {package}"
        for source in sorted((REPOSITORY / "services").rglob("*.py"))
        if not source.relative_to(REPOSITORY).as_posix().startswith(ONLY_WITH_AN_EXTRA)
        for package in third_party_imports(source)
        if not LIGHT & {canonicalize_name(name) for name in distributions.get(package, ())}
    }

    assert missing == set()


def test_the_light_set_brings_no_torch() -> None:
    assert not {"torch", "torchvision", "ultralytics", "ultralytics-opencv-headless"} & installed_for()


def test_every_package_that_make_test_installs_is_pinned() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}

    assert installed_for("dev") - pinned - {"pip"} == set(), "pip comes with the Python that made the environment"


def test_no_package_lays_another_opencv_over_the_headless_one() -> None:
    assert {name for name in installed_for("dev") if name.startswith("opencv-")} == {"opencv-python-headless"}


def test_make_help_lists_every_target() -> None:
    text = (REPOSITORY / "Makefile").read_text()
    offered = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    helped = re.findall(r"^([a-z-]+):.*## \S", text, re.MULTILINE)

    assert offered is not None
    assert sorted(helped) == sorted(offered[1].split())

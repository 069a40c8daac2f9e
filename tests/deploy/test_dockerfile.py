"""`deploy/Dockerfile`: its install steps in an empty folder, with a clean environment, then every target's command."""

from __future__ import annotations

import json
import subprocess

import pytest
from packaging.utils import canonicalize_name

from tests.deploy.dockerfile import DOCKERFILE, environment, inherited, stages
from tests.deploy.image import Image
from tests.support.cache import REPOSITORY

TARGETS = ("ingest", "inference", "aggregator", "cli")
SERVICES = TARGETS[:3]
LARGEST_MB = 1000


def test_every_image_runs_as_a_user_without_rights() -> None:
    assert {inherited(target, "USER", stages()) for target in TARGETS} == {"10001:10001"}


def test_every_service_has_a_health_check_on_the_port_that_it_exposes() -> None:
    for service in SERVICES:
        assert "/readyz" in inherited(service, "HEALTHCHECK", stages())
        assert inherited(service, "EXPOSE", stages()) == environment(service, stages())["PLATEFLOW_HTTP_PORT"]


def test_images_say_where_their_bill_of_materials_lies() -> None:
    built = [text for text in stages()["build"].all("RUN") if "sbom.py >" in text]
    assert built[0].split("> ")[1] in inherited("cli", "LABEL", stages())


def test_what_the_image_copies_is_not_kept_from_the_builder() -> None:
    let_through = {line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copied = {word.replace("[d]", "d") for text in stages()["build"].all("COPY") for word in text.split()[:-1]}
    assert copied == let_through


def test_every_base_image_is_pinned_to_a_patch_release() -> None:
    base = next(line for line in DOCKERFILE.read_text().splitlines() if line.startswith("ARG BASE="))
    assert base.split("=")[1].split(":")[1].split("-")[0].count(".") == 2
    assert {stage.base for stage in stages().values()} <= {"${BASE}", *stages()}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    made = Image(tmp_path_factory.mktemp("image"))
    made.build("cpu")
    print(f"\nthe cpu image adds {made.megabytes():.0f} MB to its base")
    return made


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("service", SERVICES)
def test_each_service_starts_in_the_image_and_says_which_settings_are_missing(image: Image, service: str) -> None:
    started = image.start(service)
    assert started.returncode == 2
    assert "PLATEFLOW_KAFKA_BROKER (or KAFKA_BROKER): missing" in started.stderr
    assert "Traceback" not in started.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_everything_that_a_person_types_is_in_the_image(image: Image) -> None:
    assert "demo" in image.start("cli").stdout
    for words in (["demo", "--help"], ["topics", "create", "--help"], ["simulate", "camera", "--help"]):
        assert image.start("cli", *words).returncode == 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_shipped_models_can_be_loaded_in_the_image(image: Image) -> None:
    load = (
        "from services.inference.build import build_inference; from services.inference.settings import "
        "PipelineSettings; from services.runtime.settings import load; "
        "made = build_inference(load(PipelineSettings)); print(made.models); made.close()"
    )
    env = {"PATH": f"{image.venv}/bin", "HOME": str(image.root), "PLATEFLOW_DEVICE": "cpu"}
    python = [str(image.venv / "bin" / "python"), "-c", load]
    done = subprocess.run(python, cwd=image.root, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_image_holds_the_versions_of_the_constraints_and_its_bill_says_so(image: Image) -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    bill = json.loads((image.venv / "sbom.cdx.json").read_text())
    there = {part["name"]: part["version"] for part in bill["components"]}
    assert there.pop("plateflow")
    assert there == {name: pinned.get(canonicalize_name(name)) for name in there}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_image_is_small_and_holds_no_tools_to_build_with(image: Image) -> None:
    packages = {path.name for path in image.venv.glob("lib/python*/site-packages/*")}
    assert not packages & {"pip", "setuptools", "wheel", "torch", "pytest", "ruff"}
    assert image.megabytes() < LARGEST_MB

"""Marked secrets in every secret setting there is: no service and no command prints one, whatever goes wrong.

The settings themselves say which of them are secret, so a new one joins by itself. What goes wrong: nothing answers at
all; every other setting is wrong; Vault refuses and repeats what it was given.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.aggregator.settings import AggregatorSettings
from services.inference.settings import InferenceSettings
from services.ingest.settings import IngestSettings
from services.runtime.environment import Variable, variables
from services.simulator.vault import VaultStandIn
from tests.support.processes import free_port
from tests.support.services import OURS

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

ALL: dict[str, Variable] = {
    one.name: one for kind in (IngestSettings, InferenceSettings, AggregatorSettings) for one in variables(kind)
}
SECRETS = sorted(name for name, one in ALL.items() if one.secret)
ELSEWHERE = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PLATEFLOW_SERVE_TOKEN")
"""Secrets that we do not read ourselves, or not as a service's setting."""
MARKS = {name: f"marked{number:02}secret" for number, name in enumerate((*SECRETS, *ELSEWHERE))}
TIMES = ("--from", "2026-06-16T07:00:00Z", "--to", "2026-06-16T08:00:00Z")
AGENT = ("--source", "demo", *TIMES, "--device", "agent")
COMMANDS = (
    ("ingest",),
    ("inference",),
    ("aggregator",),
    ("doctor",),
    ("status", "--over", "0.1"),
    ("topics", "create"),
    ("deadletters", "list"),
    ("deadletters", "show", "0:0"),
    ("tail", "plates", "--from-beginning", "--count", "1"),
    ("backfill", *AGENT),
    ("results", "list"),
    ("serve", "--host", "nowhere.invalid", "--port", "0"),
)
PATIENCE_S = 12
"""So long a command may try; a service that cannot reach anything tries for ever."""


def leaks(text: str) -> list[str]:
    return [name for name, mark in MARKS.items() if mark in text]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return kept | MARKS | {"PLATEFLOW_LOG_LEVEL": "DEBUG", "PLATEFLOW_DATA": str(tmp_path / "data")} | more


def said(arguments: tuple[str, ...], env: dict[str, str], folder: Path, patience_s: float) -> str:
    """All that a command prints, until it ends or its time is up."""
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / ("-".join(arguments[:2]).replace(":", "").replace("/", "") + ".log")
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.cli", *arguments], stdout=file, stderr=file, env=env, cwd=Path.cwd()
        )
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.terminate()
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    return out.read_text(errors="replace")


def everywhere(
    env: dict[str, str], folder: Path, commands: Sequence[tuple[str, ...]] = COMMANDS, patience_s: float = PATIENCE_S
) -> dict[str, str]:
    with ThreadPoolExecutor(4) as pool:
        texts = pool.map(lambda one: said(one, env, folder, patience_s), commands)
        return {" ".join(command): text for command, text in zip(commands, texts, strict=True)}


def judge(texts: dict[str, str], folder: Path) -> None:
    assert {command: found for command, text in texts.items() if (found := leaks(text))} == {}
    assert [command for command, text in texts.items() if "Traceback" in text] == []
    files = {str(path): leaks(path.read_text(errors="replace")) for path in folder.rglob("*") if path.is_file()}
    assert {path: found for path, found in files.items() if found} == {}


def nowhere() -> dict[str, str]:
    """Addresses at which nothing listens."""
    return {
        "KAFKA_BROKER": f"127.0.0.1:{free_port()}",
        "PLATEFLOW_KAFKA_USERNAME": "plateflow",
        "PLATEFLOW_KAFKA_MECHANISM": "SCRAM-SHA-512",
        "STORAGE_URI": f"http://127.0.0.1:{free_port()}/api",
        "PLATEFLOW_CLIPS_URL": "s3://clips",
        "PLATEFLOW_CLIPS_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "PLATEFLOW_OBJECTS_URL": "s3://objects",
        "PLATEFLOW_OBJECTS_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "KAFKA_QUEUE_NAME": "vault",
    }


def test_the_settings_name_the_secrets_that_we_know_of() -> None:
    assert {"STORAGE_ACCESS_KEY", "STORAGE_SECRET"} <= {name for one in SECRETS for name in ALL[one].names}
    assert len(SECRETS) >= 6


def test_the_search_finds_a_secret_that_is_logged(tmp_path: Path) -> None:
    secret = SECRETS[0]
    (tmp_path / "a.log").write_text(f"cannot sign in with {MARKS[secret]}\n")
    with pytest.raises(AssertionError, match=secret):
        judge({}, tmp_path)
    with pytest.raises(AssertionError, match=secret):
        judge({"ingest": f"key={MARKS[secret]}"}, tmp_path / "none")


def test_nothing_is_told_where_nothing_answers(tmp_path: Path) -> None:
    texts = everywhere(environment(tmp_path, **nowhere()), tmp_path / "logs")
    judge(texts, tmp_path)
    assert [command for command, text in texts.items() if "wrong or missing" in text] == []
    assert all(texts[service] for service in ("ingest", "inference", "aggregator"))
    assert [command for command, text in texts.items() if text.count("\n") > 60] == []  # nor is all else drowned


def test_nothing_is_told_where_every_other_setting_is_wrong(tmp_path: Path) -> None:
    wrong = {name: "\u2620 wrong" for name, one in ALL.items() if not one.secret}
    texts = everywhere(environment(tmp_path) | wrong, tmp_path / "logs")
    judge(texts, tmp_path)
    for service in ("ingest", "inference", "aggregator"):
        assert "PLATEFLOW_" in texts[service]


def test_nothing_is_told_where_vault_refuses_and_repeats_what_it_was_given(tmp_path: Path) -> None:
    with VaultStandIn(tmp_path / "vault", lambda _value: None, access_key="another", secret="other") as vault:
        env = environment(tmp_path, **nowhere()) | {"STORAGE_URI": vault.api}
        texts = everywhere(env, tmp_path / "logs", [("doctor",), ("ingest",), ("backfill", *AGENT)], patience_s=40)
    judge(texts, tmp_path)
    assert "STORAGE_ACCESS_KEY" in texts["doctor"]

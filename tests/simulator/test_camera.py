"""A camera uploads as a Kerberos agent does: against the Vault stand-in, and against a Vault that knows tus."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from services.simulator.camera import CHUNK, Account, UploadFailed, UploadingCamera
from services.simulator.vault import VaultStandIn

NAME = "1781593812_3-414_gate_north_402-263-405-280_6854_4000.mp4"
KEY = f"demo/{NAME}"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 900)
    return path


@pytest.fixture
def announced() -> list[bytes]:
    return []


@pytest.fixture
def vault(tmp_path: Path, announced: list[bytes]) -> Iterator[VaultStandIn]:
    with VaultStandIn(tmp_path / "vault", announced.append, access_key="demo", secret="made-up") as running:
        yield running


def agent(vault: VaultStandIn, secret: str = "made-up", attempts: int = 3) -> UploadingCamera:
    account = Account(vault.api, "demo", secret)
    return UploadingCamera(account, device="camera-7", attempts=attempts, sleep=lambda _s: None)


def test_a_camera_tries_tus_first_and_falls_back_to_the_classic_upload(
    vault: VaultStandIn, clip: Path, announced: list[bytes]
) -> None:
    key = agent(vault).upload(clip)

    assert key == KEY
    assert vault.requests == [("POST", "/api/storage/tus/"), ("POST", "/api/storage")]
    assert vault.path("demo", KEY).read_bytes() == clip.read_bytes()
    message = msgspec.json.decode(announced[0])
    assert (message["payload"]["key"], message["payload"]["metadata"]["productid"]) == (KEY, "camera-7")


def test_a_camera_that_knows_of_no_tus_does_not_ask_again(vault: VaultStandIn, clip: Path) -> None:
    camera = agent(vault)

    camera.upload(clip)
    camera.upload(clip)

    assert [path for _, path in vault.requests] == ["/api/storage/tus/", "/api/storage", "/api/storage"]


def test_an_upload_that_fails_is_tried_again(vault: VaultStandIn, clip: Path, announced: list[bytes]) -> None:
    vault.faults.plan("/api/storage", 503, 2)

    agent(vault).upload(clip)

    assert len(announced) == 1


def test_a_camera_gives_up_in_the_end_and_says_the_answer_but_no_secret(vault: VaultStandIn, clip: Path) -> None:
    with pytest.raises(UploadFailed, match=r"in 3 attempts: it answered 401") as failure:
        agent(vault, secret="wrong-secret").upload(clip)

    assert "wrong-secret" not in str(failure.value)


def test_a_vault_that_is_down_is_an_upload_that_failed(clip: Path) -> None:
    camera = UploadingCamera(Account("http://127.0.0.1:9/api", "demo", "made-up"), attempts=2, sleep=lambda _s: None)

    with pytest.raises(UploadFailed):
        camera.upload(clip)


def test_a_file_that_kerberos_did_not_name_is_refused(vault: VaultStandIn, tmp_path: Path) -> None:
    holiday = tmp_path / "holiday.mp4"
    holiday.write_bytes(b"x")

    with pytest.raises(ValueError, match=r"holiday\.mp4 is not named as Kerberos"):
        agent(vault).upload(holiday)


def test_a_vault_that_knows_tus_gets_the_clip_in_chunks(tmp_path: Path) -> None:
    clip = tmp_path / NAME
    clip.write_bytes(b"v" * (CHUNK + 10))
    got = bytearray()
    about: dict[str, str] = {}

    def tus(request: httpx.Request) -> httpx.Response:
        assert request.headers["X-Kerberos-Storage-SecretAccessKey"] == "made-up"
        if request.method == "POST":
            pairs = (pair.split(" ") for pair in request.headers["Upload-Metadata"].split(",") if " " in pair)
            about.update({name: base64.b64decode(value).decode() for name, value in pairs})
            return httpx.Response(201, headers={"Location": "/api/storage/tus/17"})
        assert request.url.path == "/api/storage/tus/17"
        assert int(request.headers["Upload-Offset"]) == len(got)
        got.extend(request.read())
        return httpx.Response(204)

    client = httpx.Client(transport=httpx.MockTransport(tus))
    UploadingCamera(Account("http://vault/api", "demo", "made-up"), client=client).upload(clip)

    assert bytes(got) == clip.read_bytes()
    assert (about["filename"], about["directory"]) == (NAME, "demo")

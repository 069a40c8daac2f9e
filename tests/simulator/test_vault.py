"""The Vault stand-in answers as Vault does, asked by a plain HTTP client, and announces what cameras upload."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from services.contracts.kerberos import parse_event, recording_start_ms
from services.simulator.vault import KafkaPublisher, VaultStandIn
from services.simulator.vault_events import Arrival, Form, event
from tests.support.kafka import Broker
from tests.support.recordings import ACCESS_KEY, CYRILLIC_KEY, KEY, SECRET, fragmented_mp4, mp4

Headers = list[tuple[bytes, bytes]]


@pytest.fixture
def announced() -> list[bytes]:
    return []


@pytest.fixture
def vault(tmp_path: Path, announced: list[bytes]) -> Iterator[VaultStandIn]:
    with VaultStandIn(tmp_path / "vault", announced.append, access_key=ACCESS_KEY, secret=SECRET) as running:
        yield running


@pytest.fixture
def http(vault: VaultStandIn) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=vault.api, trust_env=False) as client:
        yield client


def account(**more: str) -> Headers:
    values = {"AccessKey": ACCESS_KEY, "SecretAccessKey": SECRET, **more}
    return [(f"X-Kerberos-Storage-{name}".encode(), value.encode()) for name, value in values.items()]


def asking(key: str = KEY, source: str = "demo") -> Headers:
    return account(FileName=key, Provider=source)


def upload(http: httpx.Client, key: str, content: bytes, **more: str) -> httpx.Response:
    directory, _, name = key.rpartition("/")
    headers = account(**{"FileName": name, "Directory": directory, "Provider": "demo", "Device": "d-1", **more})
    return http.post("/storage", headers=headers, content=content)


def test_a_ping_tells_right_keys_from_wrong_ones(http: httpx.Client) -> None:
    assert http.post("/ping", headers=account()).status_code == 200
    assert http.post("/ping", headers=account(SecretAccessKey="other")).status_code == 401
    assert http.post("/ping").status_code == 400


def test_an_upload_is_kept_and_announced_in_form_b(
    vault: VaultStandIn, http: httpx.Client, announced: list[bytes]
) -> None:
    assert upload(http, KEY, mp4()).status_code == 200

    assert vault.path("demo", KEY).read_bytes() == mp4()
    [message] = announced
    arrived = parse_event(message)
    assert (arrived.key.key, arrived.source, arrived.file_size) == (KEY, "demo", len(mp4()))
    assert (arrived.camera, recording_start_ms(arrived)) == ("yard/gate", 1785934709414)
    assert (arrived.product_id, arrived.instance_name, arrived.request) == ("d-1", "gate", "persist")
    assert json.loads(message)["payload"]["is_fragmented"] is False


def test_an_upload_in_chunks_without_a_length_is_the_same(vault: VaultStandIn, http: httpx.Client) -> None:
    content = fragmented_mp4(20)

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    headers = account(FileName=KEY.rpartition("/")[2], Directory="yard", Provider="demo")
    assert http.post("/storage", headers=headers, content=pieces()).status_code == 200
    assert vault.path("demo", KEY).read_bytes() == content


@pytest.mark.parametrize("form", list(Form))
def test_every_form_is_an_event_that_our_parser_understands(
    form: Form, vault: VaultStandIn, http: httpx.Client, announced: list[bytes]
) -> None:
    vault.form = form
    upload(http, KEY, fragmented_mp4(), Duration="20452", Fps="25")

    message = json.loads(announced[0])
    arrived = parse_event(announced[0])
    assert (arrived.camera, recording_start_ms(arrived)) == ("yard/gate", 1785934709414)
    assert ("request" in message) == (form is not Form.A)
    assert ("signedUrl" in message["payload"]) == (form is Form.C)
    if form is Form.C:
        assert message["payload"]["is_fragmented"] is True
        assert httpx.get(message["payload"]["signedUrl"], trust_env=False).content == fragmented_mp4()


def test_all_values_of_the_metadata_are_strings_as_vault_has_them() -> None:
    for form in Form:
        metadata = json.loads(event(Arrival(KEY, "demo", 5, duration_ms="20452"), form))["payload"]["metadata"]
        assert all(isinstance(value, str) for value in metadata.values())
        assert metadata["event-timestamp"] == "1785934709"
        assert (metadata["event-regioncoordinates"], metadata["event-numberofchanges"]) == ("1-2-3-4", "57")


def test_a_blob_comes_as_gzip_in_chunks_with_the_headers_of_vault(vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, mp4(bytes(300_000)))
    with http.stream("GET", "/storage/blob", headers=asking()) as response:
        raw = b"".join(response.iter_raw())

    assert gzip.decompress(raw) == mp4(bytes(300_000))
    assert len(raw) < 10_000
    assert response.headers["content-type"] == "video/mp4"
    assert response.headers["content-encoding"] == "gzip"
    assert response.headers["content-disposition"] == f"attachment; filename={KEY}"
    assert response.headers["content-description"] == "File Transfer"
    assert response.headers["content-transfer-encoding"] == "binary"
    assert response.headers["vary"] == "Accept-Encoding"
    assert "content-length" not in response.headers


def test_a_client_that_knows_no_gzip_gets_plain_bytes(vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, mp4())

    response = http.get("/storage/blob", headers=[*asking(), (b"Accept-Encoding", b"identity")])

    assert "content-encoding" not in response.headers
    assert response.content == mp4()


def test_names_in_any_script_pass_through_headers(vault: VaultStandIn, http: httpx.Client) -> None:
    assert upload(http, CYRILLIC_KEY, mp4()).status_code == 200

    response = http.get("/storage/blob", headers=asking(CYRILLIC_KEY))
    assert response.content == mp4()
    signed = http.get("/storage", headers=asking(CYRILLIC_KEY)).json()["data"]
    assert httpx.get(signed, trust_env=False).content == mp4()


def test_wrong_keys_are_answered_with_401_and_json_that_echoes_them(http: httpx.Client) -> None:
    response = http.get(
        "/storage/blob", headers=[*account(AccessKey="a", SecretAccessKey="b", FileName=KEY, Provider="d")]
    )

    assert response.status_code == 401
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.json() == {"data": "account for a and b was not found."}


def test_a_closed_source_is_401_while_the_ping_is_fine(vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, mp4())
    vault.faults.closed_sources.add("demo")

    assert http.get("/storage/blob", headers=asking()).status_code == 401
    assert http.post("/ping", headers=account()).status_code == 200


@pytest.mark.parametrize("path", ["/storage", "/storage/blob"])
def test_a_missing_recording_is_404_and_a_missing_header_400(path: str, http: httpx.Client) -> None:
    assert http.get(path, headers=asking()).status_code == 404
    assert http.get(path, headers=account(FileName=KEY)).status_code == 400
    assert http.get(path, headers=asking("../" + KEY)).status_code == 400
    assert http.get(path, headers=asking(KEY, "..")).status_code == 400


def test_a_signed_url_is_good_for_one_recording_and_its_lifetime(vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, mp4())
    vault.put("yard/other.mp4", b"secret")
    url = http.get("/storage", headers=asking()).json()["data"]

    assert http.get(url).content == mp4()
    assert http.get(url.replace("gate", "other")).status_code == 403
    assert http.get(re.sub("e=[0-9]+", "e=99999999999", url)).status_code == 403
    assert http.get(url.partition("?")[0]).status_code == 403
    assert http.get(vault.signed_url(KEY, "demo", lifetime_s=-1)).status_code == 403
    assert http.get(vault.signed_url("yard/gone.mp4", "demo")).status_code == 404


def test_bulk_signs_many_and_encodes_its_answer_twice(vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, mp4())
    body = [{"filename": KEY, "provider": "demo", "uriExpiryTime": "24h"}, {"filename": "yard/b.mp4"}]

    answer = http.post("/storage/bulk", headers=account(), json=body).json()["data"]
    urls = json.loads(answer)

    assert list(urls) == [KEY, "yard/b.mp4"]
    assert http.get(urls[KEY]).content == mp4()
    assert http.post("/storage/bulk", headers=account(), content=b"{").status_code == 400


def test_a_deleted_recording_is_gone(vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, mp4())

    assert http.delete("/storage", headers=asking()).status_code == 200
    assert http.get("/storage/blob", headers=asking()).status_code == 404
    assert http.delete("/storage", headers=asking()).status_code == 404


def test_resumable_uploads_are_not_there_so_that_agents_fall_back(http: httpx.Client) -> None:
    assert http.post("/storage/tus/", headers=account(), content=b"x" * 100_000).status_code == 404
    assert http.post("/ping", headers=account()).status_code == 200


def test_an_upload_that_cannot_be_announced_is_answered_with_an_error(tmp_path: Path) -> None:
    def refuse(_value: bytes) -> None:
        raise ConnectionError("no broker")

    with (
        VaultStandIn(tmp_path, refuse, access_key=ACCESS_KEY, secret=SECRET) as vault,
        httpx.Client(base_url=vault.api, trust_env=False) as http,
    ):
        assert upload(http, KEY, mp4()).status_code == 500


def test_an_upload_that_breaks_off_leaves_nothing(
    vault: VaultStandIn, http: httpx.Client, announced: list[bytes]
) -> None:
    def broken() -> Iterator[bytes]:
        yield mp4()[:5000]
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        http.post(
            "/storage",
            headers=[*account(FileName="clip.mp4", Directory="yard"), (b"Content-Length", b"50000")],
            content=broken(),
        )

    assert http.get("/storage/blob", headers=asking("yard/clip.mp4")).status_code == 404
    assert announced == []


def test_planned_faults_are_used_up(vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, mp4())
    vault.faults.plan("/storage/blob", 503, 2)
    vault.faults.plan("/storage/blob", 500, 1)

    statuses = [http.get("/storage/blob", headers=asking()).status_code for _ in range(4)]

    assert statuses == [503, 503, 500, 200]


@pytest.mark.parametrize("way", ["blob", "signed"])
def test_a_body_can_break_off(way: str, vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, mp4())
    vault.faults.plan(f"/storage/{way}", vault.faults.BREAK_OFF, 1)
    url = "/storage/blob" if way == "blob" else vault.signed_url(KEY, "demo")

    with pytest.raises(httpx.RemoteProtocolError):
        http.get(url, headers=asking())
    assert http.get(url, headers=asking()).content == mp4()


def test_many_cameras_upload_at_once(vault: VaultStandIn, announced: list[bytes]) -> None:
    keys = [f"yard/17859347{number:02}_3-414_gate_1-2-3-4_57_20452.mp4" for number in range(30)]

    def camera(key: str) -> None:
        with httpx.Client(base_url=vault.api, trust_env=False) as http:
            assert upload(http, key, mp4()).status_code == 200

    threads = [threading.Thread(target=camera, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(parse_event(value).key.key for value in announced) == keys


def test_as_a_process_it_announces_on_kafka_without_a_key(
    tmp_path: Path, kafka: Broker, fresh_topic: Callable[..., str]
) -> None:
    topic = fresh_topic("vault", partitions=3)
    command = [sys.executable, "-m", "services.simulator.vault", "--folder", str(tmp_path)]
    process = subprocess.Popen(
        [*command, "--broker", kafka.bootstrap, "--topic", topic, "--form", "A"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "STORAGE_ACCESS_KEY": ACCESS_KEY, "STORAGE_SECRET": SECRET},
    )
    try:
        assert process.stdout is not None
        api = process.stdout.readline().strip().removeprefix("STORAGE_URI=")
        with httpx.Client(base_url=api, trust_env=False) as http:
            assert upload(http, KEY, mp4()).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

    [message] = kafka.read_all(topic)
    assert message.key() is None
    assert parse_event(message.value()).key.key == KEY


def test_a_publisher_without_a_broker_says_so() -> None:
    publisher = KafkaPublisher({"bootstrap.servers": "127.0.0.1:1", "message.timeout.ms": 300}, "vault", timeout_s=2)

    with pytest.raises(ConnectionError, match="vault"):
        publisher(b"{}")


def test_gzip_of_the_stand_in_is_real(vault: VaultStandIn, http: httpx.Client) -> None:
    vault.put(KEY, b"")

    with http.stream("GET", "/storage/blob", headers=asking()) as response:
        assert zlib.decompress(b"".join(response.iter_raw()), wbits=31) == b""

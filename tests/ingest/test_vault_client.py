"""Fetching recordings: every way, every failure, over real HTTP and a real S3."""

import gzip
import hashlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from pydantic import SecretStr

from services.contracts.kerberos import StorageOverride
from services.runtime.errors import Reject, Retry, Stop
from services.runtime.settings import VaultSettings
from services.runtime.vault import Ping, VaultClient, Wanted
from services.simulator.vault import VaultStandIn
from tests.support.recordings import ACCESS_KEY, CYRILLIC_KEY, KEY, SECRET, mp4
from tests.support.s3 import S3Server

WANTED = Wanted(KEY, "demo")
CLIP = mp4()
LIMIT = 1_000_000


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[VaultStandIn]:
    ignore: Callable[[bytes], None] = lambda value: None  # noqa: E731
    with VaultStandIn(tmp_path / "vault", ignore, access_key=ACCESS_KEY, secret=SECRET) as running:
        running.put(KEY, CLIP)
        yield running


def client(uri: str | None, **more: Any) -> VaultClient:
    values: dict[str, Any] = {
        "uri": uri,
        "access_key": SecretStr(ACCESS_KEY) if uri else None,
        "secret_key": SecretStr(SECRET) if uri else None,
        "connect_timeout_s": 2.0,
        "read_timeout_s": 2.0,
        **more,
    }
    return VaultClient(VaultSettings(**values), LIMIT)


def paths(vault: VaultStandIn) -> list[str]:
    return [path for _, path in vault.requests]


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "clip.mp4"


def test_a_blob_arrives_whole(vault: VaultStandIn, into: Path) -> None:
    fetched = client(vault.api).fetch(WANTED, into)

    assert into.read_bytes() == CLIP
    assert (fetched.how, fetched.size, fetched.transferred) == ("blob", len(CLIP), len(CLIP))
    assert fetched.sha256 == hashlib.sha256(CLIP).hexdigest()


@pytest.mark.parametrize("ending", ["", "/", "/api", "/api/"])
def test_the_address_may_be_written_in_any_usual_way(ending: str, vault: VaultStandIn, into: Path) -> None:
    with client(vault.url + ending) as ours:
        assert ours.ping() is Ping.ACCEPTED
        assert ours.fetch(WANTED, into).how == "blob"


def test_camera_names_in_any_script_are_fetched(vault: VaultStandIn, into: Path) -> None:
    vault.put(CYRILLIC_KEY, CLIP)

    assert client(vault.api).fetch(Wanted(CYRILLIC_KEY, "demo"), into).how == "blob"


def test_a_signed_url_of_the_event_is_taken_first(vault: VaultStandIn, into: Path) -> None:
    fetched = client(vault.api).fetch(Wanted(KEY, "demo", vault.signed_url(KEY, "demo")), into)

    assert (fetched.how, paths(vault)) == ("signed-url", ["/api/storage/signed"])


@pytest.mark.parametrize("url", ["expired", "gone", "http://other.example/clip", "ftp://x/clip", "http://[", "\0"])
def test_a_signed_url_that_fails_leads_to_the_blob(url: str, vault: VaultStandIn, into: Path) -> None:
    signed = {
        "expired": vault.signed_url(KEY, "demo", lifetime_s=-1),
        "gone": vault.signed_url("yard/gone.mp4", "demo"),
    }.get(url, url)

    assert client(vault.api).fetch(Wanted(KEY, "demo", signed), into).how == "blob"


@pytest.mark.parametrize("status", [404, 405, 500, 503])
def test_a_blob_that_fails_leads_to_a_url_that_vault_signs(status: int, vault: VaultStandIn, into: Path) -> None:
    vault.faults.plan("/storage/blob", status, 1)

    assert client(vault.api).fetch(WANTED, into).how == "storage"
    assert into.read_bytes() == CLIP


def test_a_refused_url_is_signed_again_once(vault: VaultStandIn, into: Path) -> None:
    vault.faults.plan("/storage/blob", 500, 2)
    vault.faults.plan("/storage/signed", 403, 3)
    ours = client(vault.api)

    with pytest.raises(Retry, match="refuses the signed URL"):
        ours.fetch(WANTED, into)
    assert paths(vault).count("/api/storage/signed") == 2
    assert ours.fetch(WANTED, into).how == "storage"
    assert not (into.parent / "clip.mp4.plain").exists()


def test_a_recording_that_vault_does_not_have_is_gone(vault: VaultStandIn, into: Path) -> None:
    with pytest.raises(Reject) as caught:
        client(vault.api).fetch(Wanted("yard/gone.mp4", "demo"), into)

    assert caught.value.reason == "gone"
    assert not into.exists()


def test_a_vault_that_is_ill_is_tried_again_and_is_healthy_by_its_ping(vault: VaultStandIn, into: Path) -> None:
    vault.faults.plan("/storage/blob", 503, 1)
    vault.faults.plan("/storage", 500, 1)
    ours = client(vault.api)

    with pytest.raises(Retry) as caught:
        ours.fetch(WANTED, into)
    assert caught.value.reason == "vault-unavailable"
    assert "503" in caught.value.detail
    assert caught.value.healthy()
    vault.faults.plan("/ping", 500, 1)
    assert not caught.value.healthy()
    assert ours.fetch(WANTED, into).how == "blob"


def test_a_vault_that_does_not_answer_is_asked_once_and_is_not_healthy(into: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ours = client(f"http://127.0.0.1:{silent.getsockname()[1]}/api", read_timeout_s=0.2)
        with pytest.raises(Retry) as caught:
            ours.fetch(WANTED, into)
        assert not caught.value.healthy()

    assert caught.value.reason == "vault-unavailable"
    assert caught.value.detail.count("does not answer") == 1
    assert ours.ping() is Ping.UNREACHABLE


@pytest.mark.parametrize("way", ["/storage/blob", "/storage/signed"])
def test_a_download_that_breaks_off_is_tried_again(way: str, vault: VaultStandIn, into: Path) -> None:
    if way == "/storage/signed":
        vault.faults.plan("/storage/blob", 404, 1)
    vault.faults.plan(way, vault.faults.BREAK_OFF, 1)
    ours = client(vault.api)

    with pytest.raises(Retry):
        ours.fetch(WANTED, into)
    assert not into.exists()
    assert ours.fetch(WANTED, into).size == len(CLIP)


def test_refused_keys_stop_the_service_and_name_the_variables(vault: VaultStandIn, into: Path) -> None:
    vault.faults.refuse_keys = True
    ours = client(vault.api)

    with pytest.raises(Stop, match="STORAGE_ACCESS_KEY and STORAGE_SECRET") as caught:
        ours.fetch(WANTED, into)
    assert ACCESS_KEY not in str(caught.value)
    assert ours.ping() is Ping.REFUSED


def test_a_source_closed_to_accepted_keys_is_a_dead_letter(vault: VaultStandIn, into: Path) -> None:
    vault.faults.closed_sources.add("demo")

    with pytest.raises(Reject) as caught:
        client(vault.api).fetch(WANTED, into)
    assert caught.value.reason == "source-not-permitted"
    assert ACCESS_KEY not in caught.value.detail
    assert SECRET not in caught.value.detail


def test_a_refusal_whose_ping_fails_is_tried_again(vault: VaultStandIn, into: Path) -> None:
    vault.faults.closed_sources.add("demo")
    vault.faults.plan("/ping", 502, 1)

    with pytest.raises(Retry):
        client(vault.api).fetch(WANTED, into)


@pytest.mark.parametrize("announced", [True, False])
def test_a_recording_larger_than_the_limit_is_refused_without_keeping_it(
    announced: bool, vault: VaultStandIn, into: Path
) -> None:
    vault.put("yard/large.mp4", mp4(bytes(LIMIT)))
    url = vault.signed_url("yard/large.mp4", "demo") if announced else None

    with pytest.raises(Reject) as caught:
        client(vault.api).fetch(Wanted("yard/large.mp4", "demo", url), into)
    assert caught.value.reason == "too-large"
    assert not into.exists()


def test_an_empty_recording_is_refused(vault: VaultStandIn, into: Path) -> None:
    vault.put("yard/empty.mp4", b"")

    with pytest.raises(Reject) as caught:
        client(vault.api).fetch(Wanted("yard/empty.mp4", "demo"), into)
    assert caught.value.reason == "empty"


def test_a_disk_that_cannot_be_written_to_is_tried_again(vault: VaultStandIn, tmp_path: Path) -> None:
    with pytest.raises(Retry) as caught:
        client(vault.api).fetch(WANTED, tmp_path / "missing" / "clip.mp4")
    assert caught.value.reason == "disk-failed"
    assert not caught.value.healthy()


def test_keys_that_an_event_carries_are_used_on_allowed_hosts_only(vault: VaultStandIn, into: Path) -> None:
    vault.faults.refuse_keys = False
    good = StorageOverride(vault.url, ACCESS_KEY, SECRET)
    with client(vault.api, access_key=SecretStr("old"), secret_key=SecretStr("old")) as ours:
        assert ours.fetch(Wanted(KEY, "demo", override=good), into).how == "blob"
        bad = StorageOverride(access_key="other")
        with pytest.raises(Reject, match="keys that the event carries"):
            ours.fetch(Wanted(KEY, "demo", override=bad), into)
        elsewhere = StorageOverride("http://collector.example/api")
        with pytest.raises(Reject, match=r"collector\.example") as caught:
            ours.fetch(Wanted(KEY, "demo", override=elsewhere), into)
    assert caught.value.reason == "host-not-allowed"


# A storage behind signed URLs on a host of its own


class Storage(BaseHTTPRequestHandler):
    """Answers what `answers` says, path by path: (status, headers, body)."""

    answers: dict[str, tuple[int, dict[str, str], bytes]]
    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.asked.append((self.path.partition("?")[0], str(self.headers)))
        status, headers, body = self.answers.get(self.path.partition("?")[0], (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def storage() -> Iterator[tuple[str, type[Storage]]]:
    """Its address by the name localhost (Vault's is 127.0.0.1), and the handler to set answers on.

    It also answers at 127.0.0.2, which nobody allows.
    """
    handler = type("Answers", (Storage,), {"answers": {}, "asked": []})
    server = ThreadingHTTPServer(("0.0.0.0", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://localhost:{server.server_address[1]}", handler
    server.shutdown()
    server.server_close()
    thread.join()


def test_other_hosts_are_downloaded_from_only_when_allowed(
    vault: VaultStandIn, storage: tuple[str, type[Storage]], into: Path
) -> None:
    address, handler = storage
    handler.answers["/clip"] = (200, {}, CLIP)
    wanted = Wanted(KEY, "demo", f"{address}/clip?X-Amz-Signature=made-up")

    assert client(vault.api).fetch(wanted, into).how == "blob"
    assert handler.asked == []
    for entry in ("localhost", address.removeprefix("http://")):
        assert client(vault.api, allowed_hosts=(entry,)).fetch(wanted, into).how == "signed-url"
    assert client(vault.api, allowed_hosts=("localhost:1",)).fetch(wanted, into).how == "blob"
    assert all(ACCESS_KEY not in headers for _, headers in handler.asked)


def test_an_allowed_host_that_an_event_names_does_not_get_our_keys(
    vault: VaultStandIn, storage: tuple[str, type[Storage]], into: Path
) -> None:
    address, handler = storage
    handler.answers = dict.fromkeys(("/api/storage/blob", "/api/ping"), (401, {}, b""))
    ours = client(vault.api, allowed_hosts=("localhost",))

    with pytest.raises(Reject):
        ours.fetch(Wanted(KEY, "demo", override=StorageOverride(address)), into)
    handler.answers["/api/storage/blob"] = (200, {}, CLIP)
    assert ours.fetch(Wanted(KEY, "demo", override=StorageOverride(address, "theirs", "theirs")), into).how == "blob"
    assert handler.asked
    assert all(ACCESS_KEY not in headers and SECRET not in headers for _, headers in handler.asked)


def test_a_redirect_is_followed_within_the_allow_list_and_not_beyond(
    vault: VaultStandIn, storage: tuple[str, type[Storage]], into: Path
) -> None:
    address, handler = storage
    handler.answers = {
        "/moved": (302, {"Location": "/clip"}, b""),
        "/clip": (200, {}, CLIP),
        "/astray": (302, {"Location": f"{address.replace('localhost', '127.0.0.2')}/clip"}, b""),
        "/circle": (302, {"Location": "/circle"}, b""),
    }
    ours = client(vault.api, allowed_hosts=("localhost",))

    hows = [ours.fetch(Wanted(KEY, "demo", address + path), into).how for path in ("/moved", "/astray", "/circle")]

    assert hows == ["signed-url", "blob", "blob"]


def test_a_vault_that_redirects_never_gets_our_keys_followed(
    vault: VaultStandIn, storage: tuple[str, type[Storage]], into: Path
) -> None:
    address, handler = storage
    handler.answers = dict.fromkeys(
        ("/api/storage/blob", "/api/storage", "/api/ping"), (301, {"Location": f"{vault.api}/storage/blob"}, b"")
    )
    ours = client(f"{address}/api")

    with pytest.raises(Retry, match=r"redirects to 127\.0\.0\.1: set STORAGE_URI"):
        ours.fetch(WANTED, into)
    assert vault.requests == []
    assert ours.ping() is Ping.UNREACHABLE


@pytest.mark.parametrize(
    ("body", "headers", "instruction"),
    [
        (b"not gzip at all", {"Content-Encoding": "gzip"}, Retry),
        (b"\x1f\x8b\x08\0\0\0\0\0", {"Content-Encoding": "gzip"}, Retry),
        (CLIP, {"Content-Encoding": "br"}, Reject),
        (CLIP, {"Content-Length": "99999999999"}, Reject),
    ],
)
def test_a_body_that_is_not_what_it_claims_is_no_clip(
    body: bytes, headers: dict[str, str], instruction: type[Exception], storage: tuple[str, type[Storage]], into: Path
) -> None:
    address, handler = storage
    handler.answers["/api/storage/blob"] = (200, headers, body)
    handler.answers["/api/ping"] = (200, {}, b"")

    with pytest.raises(instruction):
        client(f"{address}/api").fetch(WANTED, into)
    assert not into.exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": null}', b'{"data": 7}', b"<html>"])
def test_an_answer_without_a_signed_url_makes_no_sense(
    body: bytes, storage: tuple[str, type[Storage]], into: Path
) -> None:
    address, handler = storage
    handler.answers = {"/api/storage": (200, {}, body), "/api/storage/blob": (400, {}, b"")}

    with pytest.raises(Reject, match="without a signed URL") as caught:
        client(f"{address}/api").fetch(WANTED, into)
    assert caught.value.reason == "vault-answer"


def test_a_video_is_asked_for_as_it_is_and_unpacked_where_it_comes_compressed(
    storage: tuple[str, type[Storage]], into: Path
) -> None:
    address, handler = storage
    handler.answers["/api/storage/blob"] = (200, {"Content-Encoding": "gzip"}, gzip.compress(CLIP, mtime=0))

    fetched = client(f"{address}/api").fetch(WANTED, into)

    assert into.read_bytes() == CLIP
    assert (fetched.how, fetched.size, fetched.sha256) == ("blob", len(CLIP), hashlib.sha256(CLIP).hexdigest())
    assert "Accept-Encoding: identity" in handler.asked[-1][1]


def test_a_small_gzip_that_unpacks_to_much_is_cut_at_the_limit(storage: tuple[str, type[Storage]], into: Path) -> None:
    address, handler = storage
    bomb = gzip.compress(bytes(50 * LIMIT), mtime=0)
    handler.answers["/api/storage/blob"] = (200, {"Content-Encoding": "gzip"}, bomb)

    with pytest.raises(Reject) as caught:
        client(f"{address}/api").fetch(WANTED, into)
    assert caught.value.reason == "too-large"


def test_nothing_secret_is_logged_or_told(vault: VaultStandIn, into: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    url = vault.signed_url(KEY, "demo")
    ours = client(vault.api)
    texts = [repr(Wanted(KEY, "demo", url, StorageOverride("u", "hidden-key", "hidden-secret")))]
    ours.fetch(Wanted(KEY, "demo", url), into)
    vault.faults.plan("/storage/signed", 500, 2)
    vault.faults.plan("/storage/blob", 500, 1)
    for fault in (Wanted(KEY, "demo", url), Wanted("yard/gone.mp4", "demo")):
        with pytest.raises((Retry, Reject)) as caught:
            ours.fetch(fault, into)
        texts.append(str(caught.value))
    vault.faults.closed_sources.add("demo")
    with pytest.raises(Reject) as refused:
        ours.fetch(WANTED, into)

    told = "\n".join([*texts, str(refused.value), caplog.text, *(str(vars(record)) for record in caplog.records)])
    assert "s=" not in told
    for secret in (ACCESS_KEY, SECRET, url.rpartition("=")[2], "hidden-key", "hidden-secret", "was not found"):
        assert secret not in told


# Straight from the bucket


def source_map(tmp_path: Path, s3: S3Server, bucket_name: str, **change: Any) -> Path:
    place = {
        "endpoint": s3.endpoint_url,
        "bucket": bucket_name,
        "region": s3.region,
        "access_key": s3.access_key,
        "secret_key": s3.secret_key,
        **change,
    }
    file = tmp_path / "sources.yaml"
    file.write_text(json.dumps({"demo": place}))
    return file


def test_a_source_map_fetches_straight_from_the_bucket(s3: S3Server, tmp_path: Path, into: Path) -> None:
    bucket = s3.new_bucket()
    for key in (KEY, CYRILLIC_KEY):
        s3.client().put_object(Bucket=bucket, Key=key, Body=CLIP)
    ours = client(None, sources_file=source_map(tmp_path, s3, bucket))

    for key in (KEY, CYRILLIC_KEY):
        fetched = ours.fetch(Wanted(key, "demo"), into)
        assert (fetched.how, fetched.size, into.read_bytes()) == ("bucket", len(CLIP), CLIP)
    assert ours.ping() is Ping.ACCEPTED


def test_what_the_bucket_lacks_refuses_or_holds_too_much_of_is_a_dead_letter(
    s3: S3Server, tmp_path: Path, into: Path
) -> None:
    bucket = s3.new_bucket()
    for key, body in ((KEY, CLIP), ("yard/large.mp4", bytes(LIMIT + 1)), ("yard/empty.mp4", b"")):
        s3.client().put_object(Bucket=bucket, Key=key, Body=body)

    def reason(key: str, source: str = "demo", **change: Any) -> str:
        with pytest.raises(Reject) as caught:
            client(None, sources_file=source_map(tmp_path, s3, bucket, **change)).fetch(Wanted(key, source), into)
        assert s3.secret_key not in caught.value.detail
        return caught.value.reason

    assert reason("yard/gone.mp4") == "gone"
    assert reason("yard/large.mp4") == "too-large"
    assert reason("yard/empty.mp4") == "empty"
    assert reason(KEY, "elsewhere") == "unknown-source"
    assert reason(KEY, secret_key="wrong") == "source-not-permitted"
    assert reason(KEY, bucket="no-such-bucket") == "source-not-permitted"


def test_a_bucket_that_does_not_answer_is_tried_again(s3: S3Server, tmp_path: Path, into: Path) -> None:
    file = source_map(tmp_path, s3, "any", endpoint="http://127.0.0.1:1")

    with pytest.raises(Retry) as caught:
        client(None, sources_file=file).fetch(WANTED, into)
    assert not caught.value.healthy()


def test_while_vault_is_down_the_bucket_of_a_mapped_source_answers(
    s3: S3Server, vault: VaultStandIn, tmp_path: Path, into: Path
) -> None:
    bucket = s3.new_bucket()
    s3.client().put_object(Bucket=bucket, Key=KEY, Body=CLIP)
    ours = client("http://127.0.0.1:1/api", sources_file=source_map(tmp_path, s3, bucket))

    assert ours.fetch(WANTED, into).how == "bucket"


def test_a_url_that_s3_signed_is_fetched_and_one_that_it_refuses_leads_on(
    s3: S3Server, vault: VaultStandIn, into: Path
) -> None:
    bucket = s3.new_bucket()
    s3.client().put_object(Bucket=bucket, Key=KEY, Body=CLIP)
    ours = client(vault.api)

    assert ours.fetch(Wanted(KEY, "demo", presigned(s3, bucket, s3.secret_key)), into).how == "signed-url"
    assert ours.fetch(Wanted(KEY, "demo", presigned(s3, bucket, "other-secret")), into).how == "blob"


def presigned(s3: S3Server, bucket: str, secret_key: str) -> str:
    """As storages of today sign: SigV4."""
    signer = boto3.client(
        "s3",
        endpoint_url=s3.endpoint_url,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=secret_key,
        region_name=s3.region,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    return str(signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": KEY}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("demo: {bucket: b, secret: hunter2}", "demo.secret"),
        ("demo: {endpoint: http://x}", "demo.bucket"),
        ("demo: [hunter2]", "demo"),
        ("{", "line"),
        ("hunter2", "sources.yaml"),
    ],
)
def test_a_wrong_source_map_is_told_by_file_source_and_field(text: str, told: str, tmp_path: Path) -> None:
    file = tmp_path / "sources.yaml"
    file.write_text(text)

    with pytest.raises(Stop, match=r"sources\.yaml") as caught:
        client(None, sources_file=file)
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)

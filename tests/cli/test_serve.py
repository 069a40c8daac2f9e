"""`plateflow serve`: photos posted over HTTP are read by the very models, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from services.cli.serve import TOKEN
from services.simulator.frames import plate_picture
from tests.cli.command import Plateflow
from tests.support.browser import browser

PLATE = "A123BC77"


@dataclass(frozen=True)
class Server:
    address: str
    process: subprocess.Popen[str]

    def post(self, **request: Any) -> httpx.Response:
        return httpx.post(f"{self.address}/read", timeout=60, **request)


@contextmanager
def serving(*options: str, **environment: str) -> Iterator[Server]:
    command = [sys.executable, "-m", "services.cli", "serve", "--port", "0", *options]
    env = dict(os.environ) | environment
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.match(r"(http://\S+:\d+)/", line)
            assert found, line + process.stderr.read()
            yield Server(found[1], process)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving("--max-mb", "5") as one:
        yield one


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A grey car with a plate, as JPEG."""
    return jpeg(car())


def car() -> np.ndarray[Any, np.dtype[np.uint8]]:
    image = np.full((480, 640, 3), 96, np.uint8)
    cv2.rectangle(image, (120, 80), (520, 420), (60, 50, 45), -1)
    cv2.rectangle(image, (170, 110), (470, 220), (120, 110, 100), -1)
    plate = cv2.resize(plate_picture(PLATE, 1), (208, 45), interpolation=cv2.INTER_AREA)
    image[330 : 330 + 45, 216 : 216 + 208] = plate
    return image


def jpeg(image: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    return bytes(cv2.imencode(".jpg", image)[1])


def test_a_photo_in_a_form_is_read_with_box_corners_and_confidences(server: Server, photo: bytes) -> None:
    answer = server.post(files={"photo": ("car.jpg", photo, "image/jpeg")})

    assert answer.status_code == 200
    (one,) = answer.json()["photos"]
    assert (one["name"], one["width"], one["height"]) == ("car.jpg", 640, 480)
    (plate,) = one["plates"]
    assert (plate["plate"], plate["country"]) == (PLATE, "RU")
    assert 0.5 < plate["confidence"] <= 1 and len(plate["confidences"]) == len(PLATE)
    x, y, w, h = plate["box"]
    assert abs(x - 216) < 15 and abs(y - 330) < 15 and abs(w - 208) < 30 and abs(h - 45) < 20
    assert np.abs(np.array(plate["corners"]) - [(216, 330), (424, 330), (424, 375), (216, 375)]).max() < 15


def test_curl_posts_several_photos_and_each_is_answered_in_its_place(
    server: Server, photo: bytes, tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    for name, data in (("car.jpg", photo), ("broken.jpg", photo[:200]), ("empty road.png", jpeg(car() * 0 + 90))):
        (tmp_path / name).write_bytes(data)
    forms = [f"-Fphoto=@{tmp_path / name}" for name in ("car.jpg", "broken.jpg", "empty road.png")]

    said = subprocess.run(["curl", "-sS", *forms, f"{server.address}/read"], capture_output=True, check=True).stdout
    first, second, third = json.loads(said)["photos"]
    assert [plate["plate"] for plate in first["plates"]] == [PLATE]
    assert second["name"] == "broken.jpg" and "broken" in second["error"]
    assert (third["name"], third["plates"]) == ("empty road.png", [])


def test_a_picture_may_be_the_body_itself(server: Server, photo: bytes) -> None:
    answer = server.post(content=photo, headers={"Content-Type": "image/jpeg"})
    assert [plate["plate"] for plate in answer.json()["photos"][0]["plates"]] == [PLATE]


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        ({"content": b"x" * 100, "headers": {"Content-Type": "image/jpeg"}}, 422, "no JPEG"),
        ({"content": b"", "headers": {"Content-Type": "image/jpeg"}}, 400, "empty"),
        ({"content": b"x" * 5_100_000, "headers": {"Content-Type": "image/jpeg"}}, 413, "5 MB"),
        ({"json": {"photo": "car.jpg"}}, 415, "curl -F"),
        ({"files": {"photo": (None, "car.jpg")}}, 400, "no photo"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "boundary"),
        ({"content": b"nothing", "headers": {"Content-Type": "multipart/form-data; boundary=b"}}, 400, "taken apart"),
        ({"content": iter([b"x"]), "headers": {"Content-Type": "image/jpeg"}}, 411, "Content-Length"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong_and_the_next_is_answered(
    server: Server, request_: dict[str, Any], status: int, said: str
) -> None:
    answer = server.post(**request_)
    assert answer.status_code == status
    assert said in answer.text
    assert httpx.get(f"{server.address}/healthz").json() == {"ready": True}


def test_a_name_that_a_stranger_gives_never_becomes_a_path(server: Server, photo: bytes) -> None:
    answer = server.post(files={"photo": ("../../etc/passwd", photo, "image/jpeg")})
    assert answer.status_code == 200
    assert answer.json()["photos"][0]["plates"][0]["plate"] == PLATE


def test_another_sites_page_cannot_ask(server: Server, photo: bytes) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
        answer = server.post(files={"photo": ("car.jpg", photo)}, headers=headers)
        assert answer.status_code == 403
        assert PLATE not in answer.text


def test_others_may_ask_only_with_the_word(photo: bytes, plateflow: Plateflow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert plateflow("serve", "--host", "0.0.0.0") == 2
    assert TOKEN in plateflow.err

    with serving("--host", "0.0.0.0", **{TOKEN: "open sesame"}) as one:
        port = one.address.rpartition(":")[2]
        here = Server(f"http://127.0.0.1:{port}", one.process)
        form = {"photo": ("car.jpg", photo, "image/jpeg")}
        assert here.post(files=form).status_code == 401
        assert here.post(files=form, headers={"Authorization": "Bearer open"}).status_code == 401
        assert here.post(files=form, headers={"Authorization": "Bearer open sesame"}).status_code == 200


def test_who_hangs_up_in_mid_upload_leaves_no_traceback_and_the_next_is_answered(photo: bytes) -> None:
    with serving() as one:
        host, port = one.address.removeprefix("http://").split(":")
        for kind in ("image/jpeg", "multipart/form-data; boundary=b"):
            head = f"POST /read HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 900000\r\n\r\n"
            with socket.create_connection((host, int(port))) as client:
                client.sendall(head.encode() + photo[:1000])
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # hangs up at once
        assert one.post(files={"photo": ("car.jpg", photo)}).status_code == 200
        one.process.send_signal(signal.SIGTERM)
        _, err = one.process.communicate(timeout=30)
    assert "Traceback" not in err and "Error" not in err


def test_a_taken_port_is_told_in_a_line(plateflow: Plateflow) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert plateflow("serve", "--port", str(taken.getsockname()[1])) == 2
    assert "name another --port" in plateflow.err


def test_it_ends_at_once_when_told_to_and_logs_no_plate(photo: bytes) -> None:
    with serving() as one:
        one.post(files={"photo": ("car.jpg", photo)})
        one.process.send_signal(signal.SIGTERM)
        out, err = one.process.communicate(timeout=30)
    assert one.process.returncode == 0
    assert PLATE not in out + err and "Traceback" not in err


def test_the_page_shows_the_photo_with_its_plates(server: Server, photo: bytes, tmp_path: Path) -> None:
    (tmp_path / "car.jpg").write_bytes(photo)
    (tmp_path / "broken.jpg").write_bytes(photo[:200])
    with browser() as chrome:
        chrome.get(server.address)
        chrome.find_element(By.ID, "files").send_keys(f"{tmp_path / 'broken.jpg'}\n{tmp_path / 'car.jpg'}")
        wait = WebDriverWait(chrome, 60)
        wait.until(lambda _: len(chrome.find_elements(By.TAG_NAME, "article")) == 2)
        read, broken = chrome.find_elements(By.TAG_NAME, "article")
        assert PLATE in read.text and "640 × 480" in read.text
        assert len(read.find_elements(By.TAG_NAME, "polygon")) == 1
        assert "broken" in broken.text
        get_log: Any = chrome.get_log
        complaints = [entry["message"] for entry in get_log("browser") if entry["level"] == "SEVERE"]
        assert ["422" in message for message in complaints] == [True]  # of the broken photo, nothing else
        if folder := os.environ.get("PLATEFLOW_PICTURES"):
            chrome.save_screenshot(str(Path(folder) / "serve.png"))

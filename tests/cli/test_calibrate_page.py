"""`plateflow calibrate --page`, as a person uses it: in a real browser, by mouse and by keyboard."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from services.aggregator import cameras
from services.aggregator.core.config import Options
from services.aggregator.core.homography import Pair
from services.aggregator.core.lens import Optics
from services.cli.calibrate_page import Desk, serve
from tests.aggregator.test_homography import COURT
from tests.cli.test_calibrate import COLLINEAR, bent, seen, table
from tests.support.browser import browser

FRAME, PLAN = (960, 480), (60, 40)


@dataclass(frozen=True)
class Served:
    """The command, running; what it saves to."""

    port: int
    out: Path


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    image = np.full((FRAME[1], FRAME[0], 3), 120, np.uint8)
    cv2.rectangle(image, (100, 100), (860, 440), (160, 160, 160), -1)
    cv2.imwrite(str(tmp_path / "frame.png"), image)
    out = tmp_path / "cameras.yaml"
    out.write_text("# ours\nsite/yard: {cell: 20}\n")
    command = [
        sys.executable, "-m", "services.cli", "calibrate", "--page", "--port", "0", "--camera", "site/gate",
        "--image", str(tmp_path / "frame.png"), "--plan-size", "60x40", "--metres-per-unit", "0.5", "--out", str(out),
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            found = re.match(r"http://127\.0\.0\.1:(\d+)/", line)
            assert found, line + process.stderr.read()
            yield Served(int(found[1]), out)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
    assert process.returncode == 0


def spot(page: Chrome, side: str, x: float, y: float) -> tuple[int, int]:
    """A point of the frame or the plan, in pixels of the window."""
    script = """const [id, x, y] = arguments, at = new DOMPoint(x, y).matrixTransform(
        document.getElementById(id).getScreenCTM()); return [at.x, at.y];"""
    at = page.execute_script(script, side, x, y)
    return round(at[0]), round(at[1])


def click(page: Chrome, side: str, point: tuple[float, float]) -> None:
    page.execute_script("window.scrollTo(0, 0)")
    actions = ActionChains(page, duration=0)
    pointer: Any = actions.w3c_actions.pointer_action  # without types
    pointer.move_to_location(*spot(page, side, *point))
    pointer.click()
    actions.perform()


def drag(page: Chrome, side: str, begin: tuple[float, float], end: tuple[float, float]) -> None:
    page.execute_script("window.scrollTo(0, 0)")
    actions = ActionChains(page, duration=0)
    pointer: Any = actions.w3c_actions.pointer_action
    pointer.move_to_location(*spot(page, side, *begin))
    pointer.pointer_down()
    pointer.move_to_location(*spot(page, side, *end))
    pointer.pointer_up()
    actions.perform()


def verdict(page: Chrome, wanted: str) -> str:
    """What the page says of the pairs, once it says ``wanted``."""
    WebDriverWait(page, 10).until(lambda _: wanted in page.find_element(By.ID, "verdict").text)
    return page.find_element(By.ID, "verdict").text


def rows(page: Chrome) -> list[WebElement]:
    return page.find_elements(By.CSS_SELECTOR, "#rows tr")


def photograph(page: Chrome, name: str) -> None:
    """Kept where PLATEFLOW_PICTURES says, for a person to look at."""
    if folder := os.environ.get("PLATEFLOW_PICTURES"):
        page.save_screenshot(str(Path(folder) / f"{name}.png"))


def test_pairs_are_clicked_judged_dragged_and_saved_with_a_new_version(served: Served) -> None:
    with browser() as page:
        page.get(f"http://127.0.0.1:{served.port}/")
        verdict(page, "0 of at least 4")
        assert not page.find_element(By.ID, "save").is_enabled()
        pairs = seen()
        wrong = (pairs[5][1][0] + 12.0, pairs[5][1][1] + 9.0)
        for index, (pixel, plan) in enumerate(pairs):
            click(page, "frame", pixel)
            click(page, "plan", wrong if index == 5 else plan)
        assert "1 left out" in verdict(page, "left out")
        assert [index for index, row in enumerate(rows(page)) if "left out" in row.text] == [5]
        assert float(rows(page)[5].find_element(By.CLASS_NAME, "error").text) == pytest.approx(7.5, abs=0.5)  # metres
        assert len(page.find_elements(By.CSS_SELECTOR, ".mark.bad")) == 2  # in the frame and on the plan
        assert len(page.find_elements(By.CSS_SELECTOR, "#frame .grid")) > 30
        photograph(page, "bad-pair")

        drag(page, "plan", wrong, pairs[5][1])
        WebDriverWait(page, 10).until(lambda _: not page.find_elements(By.CSS_SELECTOR, ".mark.bad"))
        verdict(page, "Mean error 0.")
        page.find_element(By.ID, "save").click()
        WebDriverWait(page, 10).until(lambda _: "written" in page.find_element(By.ID, "said").text)
        photograph(page, "saved")
        first = cameras.read(served.out, Options()).camera("site/gate").ground
        assert first is not None and (first.pairs, first.inliers, first.metres_per_unit) == (7, 7, 0.5)
        assert first.rms < 0.3
        assert first.version in page.find_element(By.ID, "said").text
        assert served.out.read_text().startswith("# ours\nsite/yard: {cell: 20}\n")

        drag(page, "frame", pairs[4][0], (pairs[4][0][0] + 6, pairs[4][0][1]))
        ActionChains(page).key_down(Keys.CONTROL).send_keys("s").key_up(Keys.CONTROL).perform()
        WebDriverWait(page, 10).until(lambda _: first.version not in page.find_element(By.ID, "said").text)
        second = cameras.read(served.out, Options()).camera("site/gate").ground
        assert second is not None and second.version != first.version
        log: Any = page.get_log
        assert [entry for entry in log("browser") if entry["level"] == "SEVERE"] == []


def test_everything_can_be_done_by_keyboard_in_metres_and_in_the_dark(served: Served) -> None:
    with browser(dark=True) as page:
        page.get(f"http://127.0.0.1:{served.port}/")
        verdict(page, "0 of at least 4")
        page.find_element(By.CSS_SELECTOR, "#unit option[value=metres]").click()
        page.find_element(By.TAG_NAME, "h1").click()
        for (x, y), (a, b) in seen()[:6]:
            ActionChains(page).send_keys("n").perform()
            for number in (x, y, a / 2, b / 2):
                ActionChains(page).send_keys(f"{number:.3f}", Keys.TAB).perform()
            page.execute_script("document.activeElement.blur()")
        verdict(page, "Mean error 0.00 m")
        background = page.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert max(map(int, re.findall(r"\d+", background))) < 60
        photograph(page, "dark")
        page.execute_script("document.querySelector('#frame .mark[data-index=\"2\"]').focus()")
        for _ in range(4):
            ActionChains(page).key_down(Keys.SHIFT).send_keys(Keys.ARROW_LEFT).key_up(Keys.SHIFT).perform()
        box = rows(page)[2].find_elements(By.TAG_NAME, "input")[0]
        assert float(box.get_attribute("value") or "nan") == 880 - 40
        page.execute_script("document.querySelector('#frame .mark[data-index=\"2\"]').focus()")
        ActionChains(page).send_keys(Keys.DELETE).perform()
        assert len(rows(page)) == 5


def test_the_page_takes_nothing_from_elsewhere_and_only_it_may_ask(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)

    def ask(method: str, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, json.dumps(body) if body is not None else None, named)
        answer = connection.getresponse()
        return answer.status, answer.read()

    before = served.out.read_text()
    body = ask("GET", "/")[1]
    assert b"//" not in body.replace(b"http://www.w3.org/2000/svg", b"")
    kind = {"Content_Type": "application/json"}
    assert ask("GET", "/state", Host="evil.example")[0] == 403
    assert ask("POST", "/save", {"pairs": seen()}, Content_Type="text/plain")[0] == 403
    assert ask("POST", "/save", {"pairs": seen()}, **kind, Origin="http://evil.example")[0] == 403
    assert ask("POST", "/save", {"pairs": [[1, 2]]}, **kind)[0] == 400
    assert ask("POST", "/save", {"pairs": [[[1e999, 0], [0, 0]]] * 4}, **kind)[0] == 400
    status, said = ask("POST", "/save", {"pairs": COLLINEAR}, **kind)
    assert status == 409 and "lie on one line" in json.loads(said)["error"]
    assert served.out.read_text() == before
    assert ask("GET", "/frame")[1].startswith(b"\xff\xd8")
    assert ask("GET", "/plan")[0] == 404


def test_the_page_says_of_the_older_programs_pairs_what_the_command_says() -> None:
    frame = np.zeros((480, 800, 3), np.uint8)
    desk = Desk("site/court", frame, None, (699.0, 996.0), None, None, (), "cameras.yaml", lambda pairs, optics: "")

    said = desk.fit(COURT)

    assert said["bad"] == (7,) and said["good"]
    assert said["mean_of_all"] == pytest.approx(25.2, abs=0.05) and said["mean"] == pytest.approx(10.2, abs=0.05)
    assert said["errors"][7] == max(said["errors"]) > 60


def test_the_page_needs_a_frame_a_camera_and_a_file(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "services.cli", "calibrate", "--page", "--plan-size", "60x40"]
    done = subprocess.run(
        [*command, "--pairs", str(table(tmp_path, seen()))], check=False, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "--image" in done.stderr


def test_on_the_page_the_pairs_tell_the_lens_and_it_is_saved(tmp_path: Path) -> None:
    saved: list[Optics | None] = []

    def save(pairs: list[Pair], optics: Optics | None) -> str:
        saved.append(optics)
        return "written"

    image = np.full((480, 960, 3), 120, np.uint8)
    desk = Desk("g", image, None, PLAN, None, None, bent(), "cameras.yaml", save)
    server = serve(desk, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with browser() as page:
            page.get(f"http://127.0.0.1:{server.server_port}/")
            straight = verdict(page, "Mean error")
            Select(page.find_element(By.ID, "lens")).select_by_visible_text("told by the pairs")
            fitted = verdict(page, "Lens: k1 -0.")
            assert mean(fitted) < mean(straight) / 3
            photograph(page, "lens")
            page.find_element(By.ID, "save").click()
            WebDriverWait(page, 20).until(lambda _: saved)
    finally:
        server.shutdown()
    assert saved[0] is not None and saved[0].lens.k1 < -0.1


def mean(verdict: str) -> float:
    found = re.search(r"Mean error ([\d.]+)", verdict)
    assert found, verdict
    return float(found[1])

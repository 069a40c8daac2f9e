"""`plateflow data`: the commands on made-up pictures, and on the shared ones where they are there."""

from __future__ import annotations

import http.client
import json
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from services.cli.data_label import serve
from services.inference.datasets.labelling import Labelling
from services.inference.datasets.layout import load
from services.inference.datasets.pictures import read_picture
from tests.cli.command import Plateflow
from tests.inference.test_datasets import picture

Page = tuple[Path, http.client.HTTPConnection, int]
LINE = "0 0.5 0.5 0.25 0.1\n"


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """Three pictures of which one is broken, with labels."""
    folder = tmp_path / "theirs"
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / "images" / split / f"{name}.png"), picture(ord(name)))
        (folder / "labels" / split / f"{name}.txt").write_text(LINE)
    (folder / "images" / "train" / "b.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def ours(yolo: Path, plateflow: Plateflow, tmp_path: Path) -> Path:
    (yolo / "images" / "train" / "b.png").unlink()
    (yolo / "labels" / "train" / "b.txt").unlink()
    assert plateflow("data", "import", "yolo", yolo, "--out", tmp_path / "ours", "--licence", "CC0-1.0") == 0
    return tmp_path / "ours"


def test_a_broken_picture_is_named_with_code_2_and_the_rest_is_there(
    yolo: Path, plateflow: Plateflow, tmp_path: Path
) -> None:
    assert plateflow("data", "import", "yolo", yolo, "--out", tmp_path / "ours") == 2
    assert "images/train/b.png does not decode" in plateflow.complaint
    assert "no licence named" in plateflow.complaint
    assert [one.file for one in load(tmp_path / "ours").pictures] == ["images/train/a.png", "images/val/c.png"]


def test_zips_are_read_without_downloading_and_their_names_are_splits(
    yolo: Path, plateflow: Plateflow, tmp_path: Path
) -> None:
    zips = tmp_path / "zips"
    zips.mkdir()
    for split, name in (("train", "a"), ("val", "c")):
        with zipfile.ZipFile(zips / f"{split}.zip", "w") as archive:
            archive.write(yolo / "images" / split / f"{name}.png", f"images/{name}.png")
            archive.write(yolo / "labels" / split / f"{name}.txt", f"labels/{name}.txt")

    assert plateflow("data", "import", "yolo", zips, "--out", tmp_path / "ours", "--licence", "x") == 0
    found = load(tmp_path / "ours").pictures
    assert [(one.file, one.split, len(one.plates)) for one in found] == [
        ("train/images/a.png", "train", 1),
        ("val/images/c.png", "val", 1),
    ]


def test_an_archive_that_leads_out_of_its_folder_is_refused(plateflow: Plateflow, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../../evil.png", b"x")

    assert plateflow("data", "import", "yolo", tmp_path / "bad.zip", "--out", tmp_path / "ours") == 2
    assert "is no name of a file in the folder" in plateflow.complaint
    (tmp_path / "worse.zip").write_bytes(b"no zip")
    assert plateflow("data", "import", "yolo", tmp_path / "worse.zip", "--out", tmp_path / "ours") == 2
    assert "is no zip that can be opened" in plateflow.complaint


def test_plates_are_cut_with_their_margin_and_resized_with_their_boxes(
    ours: Path, plateflow: Plateflow, tmp_path: Path
) -> None:
    assert plateflow("data", "crops", ours, "--out", tmp_path / "crops", "--margin", "0", "--grey") == 0
    first = load(tmp_path / "crops").pictures[0]
    assert first.plates[0].box == (0.0, 0.0, 40.0, 12.0)

    assert plateflow("data", "resize", ours, "--out", tmp_path / "half", "--width", "80") == 0
    small = load(tmp_path / "half").pictures[0]
    assert small.plates[0].box == (30.0, 27.0, 20.0, 6.0)
    assert read_picture(tmp_path / "half" / "images" / small.file).shape == (60, 80, 3)
    assert plateflow("data", "resize", ours, "--out", tmp_path / "x", "--width", "96", "--exact") == 2
    assert plateflow("data", "resize", ours, "--out", tmp_path / "x", "--width", "96", "--height", "48", "--exact") == 0


def test_annotations_are_drawn_on_copies(ours: Path, plateflow: Plateflow, tmp_path: Path) -> None:
    assert plateflow("data", "draw", ours, "--out", tmp_path / "drawn") == 0
    before = read_picture(ours / "images" / "images" / "train" / "a.png")
    after = read_picture(tmp_path / "drawn" / "images" / "train" / "a.png")
    assert before.shape == after.shape
    assert not np.array_equal(before, after)


def test_own_crops_are_added_once_and_invalid_ones_named(ours: Path, plateflow: Plateflow, tmp_path: Path) -> None:
    for text in ("K456MH99", "no plate!"):
        (tmp_path / "own" / text).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "own" / text / "1.png"), picture(7, (60, 20)))

    assert plateflow("data", "add", ours, tmp_path / "own") == 2
    assert plateflow.out.strip() == "1 added, 0 there before, 1 invalid, 0 broken"
    assert "no plate!" in plateflow.complaint
    assert load(ours).pictures[-1].plates[0].text == "K456MH99"
    plateflow("data", "add", ours, tmp_path / "own")
    assert plateflow.out.strip() == "0 added, 1 there before, 1 invalid, 0 broken"


def test_sets_are_merged_split_counted_and_their_licences_listed(
    ours: Path, plateflow: Plateflow, tmp_path: Path
) -> None:
    assert plateflow("data", "merge", ours, ours, "--out", tmp_path / "both", "--json") == 0
    assert json.loads(plateflow.out.splitlines()[-1]) == {
        "sets": {"ours": 2, "ours-2": 2},
        "pictures": 2,
        "duplicates": 2,
    }
    assert plateflow("data", "split", tmp_path / "both", "--shares", "1,1", "--json") == 0
    assert json.loads(plateflow.out.splitlines()[-1])["pictures"] == {"train": 1, "val": 1}
    assert plateflow("data", "stats", tmp_path / "both", "--json") == 0
    figures = json.loads(plateflow.out.splitlines()[-1])
    assert (figures["pictures"], figures["plates"], figures["broken"], figures["plate_shape"]) == (
        2,
        2,
        0,
        {"one row": 2},
    )
    assert plateflow("data", "sources", tmp_path / "both", "--json") == 0
    assert json.loads(plateflow.out.splitlines()[-1])["sources"][0]["licence"] == "CC0-1.0"


def test_texts_that_match_no_format_are_listed_with_code_1(plateflow: Plateflow, tmp_path: Path) -> None:
    labels = tmp_path / "annotations.txt"
    labels.write_text("a.png BCDF12\nb.png AEIO12\n")
    assert plateflow("data", "check", labels, "--format", "chile") == 1
    assert "b.png: AEIO12 matches no format" in plateflow.out
    assert plateflow("data", "check", labels, "--pattern", "[A-Z]{4}[0-9]{2}") == 0
    labels.write_text("a.png BCDF12\nbroken\n")
    assert plateflow("data", "check", labels, "--format", "chile") == 2
    assert "annotations.txt, line 2" in plateflow.complaint
    assert plateflow("data", "check", labels, "--pattern", "(") == 2
    assert "is no regular expression" in plateflow.complaint


def test_a_folder_that_is_none_of_ours_and_one_that_is_full_are_refused(ours: Path, plateflow: Plateflow) -> None:
    assert plateflow("data", "stats", ours / "images") == 2
    assert "holds no plates.csv" in plateflow.complaint
    assert plateflow("data", "crops", ours, "--out", ours) == 2
    assert "is not empty" in plateflow.complaint


def test_frames_are_taken_out_of_a_video_by_its_time(plateflow: Plateflow, tmp_path: Path) -> None:
    video = cv2.VideoWriter(str(tmp_path / "gate.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for shade in range(20):
        video.write(np.full((48, 64, 3), shade * 12, np.uint8))
    video.release()
    (tmp_path / "broken.mp4").write_bytes(b"no video")

    videos = [tmp_path / "gate.avi", tmp_path / "broken.mp4"]
    assert plateflow("data", "frames", *videos, "--out", tmp_path / "f", "--fps", "2") == 2
    assert "broken.mp4" in plateflow.complaint
    rows = (tmp_path / "f" / "frames.csv").read_text().split()
    assert rows[0] == "file,group,time_ms"
    assert [int(row.split(",")[2]) for row in rows[1:]] == [0, 500, 1000, 1500]
    assert all((tmp_path / "f" / "images" / row.split(",")[0]).is_file() for row in rows[1:])


# ---- the page --------------------------------------------------------------------


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    folder = tmp_path / "crops"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), picture(ord(name[0]), (60, 20)))
    server = serve(Labelling(folder), 0, ["[A-Z]{2}[0-9]{4}"])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    yield folder, connection, server.server_port
    connection.close()
    server.shutdown()
    thread.join()
    server.server_close()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: str = "", **headers: str
) -> tuple[int, bytes]:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body or None, sent)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_page_needs_nothing_from_elsewhere(page: Page) -> None:
    status, body = ask(page[1], "GET", "/")
    assert status == 200
    assert b"http://" not in body
    assert b"https://" not in body
    assert b"src=" not in body.replace(b'href="data:,"', b"")


def test_a_text_typed_in_the_page_is_saved_before_it_answers(
    page: Page,
) -> None:
    folder, connection, _ = page
    status, body = ask(connection, "POST", "/plates/1", '{"text": "kb 1234"}', Content_Type="application/json")
    assert (status, json.loads(body)) == (200, {"text": "KB1234"})
    assert (folder / "labels.csv").read_text() == "file,text\nb.png,KB1234\n"
    state = json.loads(ask(connection, "GET", "/state")[1])
    assert state == {"names": ["a.png", "b.png"], "texts": ["", "KB1234"], "patterns": ["[A-Z]{2}[0-9]{4}"]}
    assert ask(connection, "GET", "/plates/0")[1].startswith(b"\x89PNG")


def test_only_the_page_itself_may_ask(page: Page) -> None:
    folder, connection, _ = page
    good = '{"text": "X"}'
    answers = [
        ask(connection, "GET", "/state", Host="evil.example")[0],
        ask(connection, "POST", "/plates/0", good, Content_Type="text/plain")[0],
        ask(connection, "POST", "/plates/0", good, Content_Type="application/json", Origin="http://evil.example")[0],
        ask(connection, "POST", "/plates/9", good, Content_Type="application/json")[0],
        ask(connection, "POST", "/plates/0", '{"text": 5}', Content_Type="application/json")[0],
        ask(connection, "GET", "/../../etc/passwd")[0],
    ]
    assert answers == [403, 403, 403, 400, 400, 404]
    assert not (folder / "labels.csv").exists()


# ---- the shared data -------------------------------------------------------------


def test_the_shared_crops_are_imported_whole_and_split_without_a_torn_vehicle(
    shared_data: Path, plateflow: Plateflow, tmp_path: Path
) -> None:
    out = tmp_path / "ocr"
    assert plateflow("data", "import", "labels", shared_data / "plates" / "ocr", "--out", out, "--licence", "x") == 0
    assert len(load(out).pictures) == 102
    assert plateflow("data", "check", out, "--format", "russia") == 0
    assert plateflow("data", "split", out, "--json") == 0
    assert json.loads(plateflow.out.splitlines()[-1])["vehicles"] == 99
    assert plateflow("data", "check", out) == 0

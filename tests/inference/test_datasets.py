"""Pictures with known plates: formats of others there and back; what is cut, merged, split and checked."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.inference.datasets import annotations as notes
from services.inference.datasets.checks import CHILE, compiled, shape, valid
from services.inference.datasets.duplicates import distance, groups, perceptual_hash
from services.inference.datasets.labelling import Labelling
from services.inference.datasets.layout import (
    DataError,
    Dataset,
    Picture,
    Plate,
    Source,
    clockwise,
    load,
    parse_plates,
    save,
)
from services.inference.datasets.merge import merge
from services.inference.datasets.pictures import Image, fitted, scaled
from services.inference.datasets.read import import_folder
from services.inference.datasets.split import assigned, leaks, vehicles
from services.inference.datasets.write import WRITERS, export_folder

HEADER = "file,x,y,w,h,text,corners,label,group,split,source"
BOX = (20.0, 30.0, 60.0, 16.0)


def picture(seed: int, size: tuple[int, int] = (160, 120)) -> Image:
    """Something that a perceptual hash can tell from others."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def make(folder: Path, *pictures: Picture) -> Path:
    for one in pictures:
        path = folder / "images" / one.file
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture(sum(one.file.encode())))
    save(Dataset(list(pictures), {"yard": Source("yard", "CC0-1.0", "yes")}), folder)
    return folder


# ---- the layout ------------------------------------------------------------------

texts = st.text("ABC123#", min_size=0, max_size=8)
boxes = st.tuples(st.integers(0, 80), st.integers(0, 80), st.integers(1, 80), st.integers(1, 40)).map(
    lambda box: tuple(float(value) for value in box)
)
plates = st.builds(
    Plate, box=boxes, text=texts, corners=st.sampled_from([(), (1.5, 2.0, 9.0, 2.0, 9.0, 5.25, 1.0, 5.0)])
)
sets = st.lists(
    st.builds(
        Picture,
        file=st.from_regex(r"[a-z]{1,4}(/[a-z. ,]{0,3}[a-z])?\.jpg", fullmatch=True),
        plates=st.lists(plates, max_size=3).map(tuple),
        group=st.sampled_from(["", "gate, north"]),
        split=st.sampled_from(["", "train"]),
        source=st.sampled_from(["", "yard"]),
    ),
    max_size=4,
    unique_by=lambda one: one.file,
)


@given(sets)
def test_what_is_saved_is_loaded_again(pictures: list[Picture]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save(Dataset(pictures, {"yard": Source("yard", "CC0-1.0", "no", "https://x.example", "a, b")}), Path(folder))
        loaded = load(Path(folder))

    assert (loaded.pictures, loaded.faults) == (pictures, [])
    assert loaded.sources["yard"].commercial == "no"


def test_a_broken_line_costs_its_picture_and_names_file_and_line() -> None:
    rows = ["a.jpg,1,2,30,10,A1,,plate,,,", "b.jpg,1,x,30,10,B2,,plate,,,", "../c.jpg,1,2,3,4,C3,,plate,,,", "d.jpg,1"]
    pictures, faults = parse_plates([HEADER, *rows], "plates.csv")

    assert [one.file for one in pictures] == ["a.jpg"]
    assert [re.match(r"plates.csv, line \d+", fault) is not None for fault in faults] == [True] * 3
    with pytest.raises(DataError, match="line 1: column h missing"):
        parse_plates(["file,x,y,w,text", "a,1,2,3,T"], "plates.csv")


@given(st.permutations([(0.0, 0.0), (10.0, 1.0), (11.0, 5.0), (1.0, 4.0)]))
def test_corners_come_out_clockwise_from_the_top_left(points: list[tuple[float, float]]) -> None:
    assert clockwise(points) == (0, 0, 10, 1, 11, 5, 1, 4)


# ---- formats of others -----------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(set(WRITERS) - {"truth"}))
def test_each_format_comes_back_as_it_was_written(kind: str, tmp_path: Path) -> None:
    ours = make(
        tmp_path / "ours",
        Picture("train/a.b.png", (Plate(BOX, "A123BC77"), Plate((90, 30, 50, 20), "K456MH99")), split="train"),
        Picture("val/a.b.png", (Plate(BOX, "T001TT01"),), split="val"),
        Picture("empty.png"),
    )
    theirs, back = tmp_path / "theirs", tmp_path / "back"
    assert export_folder(kind, load(ours), ours, theirs) == []
    again = import_folder(kind, theirs, back, Source("yard"))

    assert again.faults == []
    known = [plate for one in again.pictures for plate in one.plates]
    if kind in ("nomeroff", "labels"):  # crops with their texts
        assert sorted(plate.text for plate in known) == ["A123BC77", "K456MH99", "T001TT01"]
    else:
        assert len(again.pictures) == 3
        assert sorted(len(one.plates) for one in again.pictures) == [0, 1, 2]
        assert {tuple(round(value) for value in plate.box) for plate in known} == {BOX, (90, 30, 50, 20)}
    if kind in ("yolo", "via", "nomeroff", "labels"):
        assert {one.split for one in again.pictures} >= {"train", "val"}
    assert all((back / "images" / one.file).is_file() for one in again.pictures)


def test_a_kitti_line_has_its_box_in_fields_five_to_eight() -> None:
    line = notes.write_kitti([Plate(BOX)])

    assert line == "plate 0.00 0 0.00 20.00 30.00 80.00 46.00 0.00 0.00 0.00 0.00 0.00 0.00 0.00\n"


def test_yolo_lines_with_corners_and_key_points_are_understood() -> None:
    corners = "0.1 0.2 0.5 0.2 0.5 0.4 0.1 0.4"
    seen = "0.1 0.2 2 0.5 0.2 2 0.5 0.4 2 0.1 0.4 2"
    text = f"0 {corners}\n0 0.3 0.3 0.4 0.2 {corners}\n1 0.3 0.3 0.4 0.2 {seen}\n"
    obb, pose, visible = notes.parse_yolo(text, (100, 100), {0: "plate", 1: "car"})

    assert obb.corners == pose.corners == visible.corners == pytest.approx((10, 20, 50, 20, 50, 40, 10, 40))
    assert obb.box == pytest.approx((10, 20, 40, 20))
    assert visible.label == "car"


def test_cloud_annotations_may_be_in_pixels_or_in_parts_of_the_picture() -> None:
    def document(*numbers: float) -> str:
        values = dict(zip(("x", "y", "x2", "y2"), numbers, strict=True))
        return json.dumps({"annotations": {"a.jpg": [values | {"label": "plate"}]}})

    for text in (document(20, 30, 80, 46), document(0.1, 0.3, 0.4, 0.46)):
        found = notes.parse_ibm(text, lambda _: (200, 100))["a.jpg"]
        assert not isinstance(found, ValueError)
        assert found[0].box == pytest.approx(BOX)


@pytest.mark.parametrize(
    ("kind", "name", "content", "complaint"),
    [
        ("yolo", "labels/a.txt", "0 0.5 0.5 0.1\n", "labels/a.txt, line 1: 5 numbers are needed"),
        ("yolo", "labels/a.txt", "0 0.5 0.5 0.1 0.1\n0 x 1 1 1\n", "labels/a.txt, line 2"),
        ("yolo", "labels/gone.txt", "", "labels/gone.txt, line 1: there is no picture"),
        ("kitti", "labels/a.txt", "plate 0 0\n", "labels/a.txt, line 1: 15 fields"),
        ("voc", "a.xml", "<annotation>\n<object>", "a.xml, line 2"),
        ("voc", "b.xml", "<annotation><filename>b.png</filename></annotation>", "b.xml, filename: there is no picture"),
        ("ibm", "_annotations.json", "{\n]", "_annotations.json, line 2: no JSON"),
        ("ibm", "_annotations.json", '{"annotations": {"../a.png": []}}', "is no name of a file"),
        ("via", "via_region_data.json", '{"a": {}}', "via_region_data.json, no `filename`"),
        ("labels", "labels.tsv", "images/a.png\tA1\nb.png\n", "labels.tsv, line 2: a file and a text"),
        ("labels", "labels.csv", "file,text\nimages/a.png,A1\nimages/b.png,B1\n", "labels.csv, line 3: there is no"),
        ("folders", "images/b.png", "no picture", "b.png does not decode"),
    ],
)
def test_what_is_broken_is_named_and_the_rest_is_imported(
    kind: str, name: str, content: str, complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "in" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "in" / "images" / "a.png"), picture(1))
    target = tmp_path / "in" / name
    target.parent.mkdir(exist_ok=True)
    target.write_text(content)
    dataset = import_folder(kind, tmp_path / "in", tmp_path / "out", Source("yard"))

    assert len(dataset.faults) == 1
    assert complaint in dataset.faults[0]


def test_a_picture_that_ends_too_soon_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "in" / "K456MH99" / "a.jpg"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), picture(1))
    path.write_bytes(path.read_bytes()[:-200])

    assert "does not decode" in import_folder("folders", tmp_path / "in", tmp_path / "out", Source("x")).faults[0]


# ---- sizes -----------------------------------------------------------------------


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 300), st.integers(1, 300))
def test_a_resized_picture_fits_and_keeps_its_shape(w: int, h: int, width: int, height: int) -> None:
    new = fitted((w, h), width, height, exact=False)

    assert new[0] <= width and new[1] <= height
    assert abs(new[0] * h - new[1] * w) <= max(w, h)  # within one pixel
    assert fitted((w, h), width, height, exact=True) == (width, height)


def test_boxes_and_corners_go_with_their_picture() -> None:
    one = scaled(Picture("a", (Plate(BOX, corners=(1, 2, 3, 4, 5, 6, 7, 8)),)), 2, 0.5).plates[0]

    assert one.box == (40.0, 15.0, 120.0, 8.0)
    assert one.corners == (2, 1, 6, 2, 10, 3, 14, 4)


# ---- duplicates and splits -------------------------------------------------------


def test_a_copy_made_smaller_and_lighter_is_near_and_another_picture_is_not() -> None:
    first = picture(1, (400, 300))
    copy = np.asarray(cv2.convertScaleAbs(cv2.resize(first, (160, 120)), alpha=0.9, beta=15), np.uint8)

    assert distance(perceptual_hash(first), perceptual_hash(copy)) <= 4
    assert distance(perceptual_hash(first), perceptual_hash(picture(2, (400, 300)))) > 10


@given(st.lists(st.integers(0, 2**64 - 1), max_size=12), st.integers(0, 8), st.randoms())
def test_grouping_finds_what_comparing_each_with_each_finds(
    hashes: list[int], near: int, chance: random.Random
) -> None:
    for value in list(hashes):  # neighbours, so that there is something to find
        hashes.append(value ^ sum(1 << bit for bit in chance.sample(range(64), chance.randint(0, near + 2))))
    firsts: dict[int, list[int]] = {}
    for index, value in enumerate(hashes):
        first = next((one for one in firsts if distance(hashes[one], value) <= near), index)
        firsts.setdefault(first, []).append(index)

    assert groups(hashes, near) == [group for group in firsts.values() if len(group) > 1]


def test_merging_keeps_the_better_labelled_of_two_and_never_drops_another_plate(tmp_path: Path) -> None:
    one = make(tmp_path / "one", Picture("a.png", (Plate(BOX),)), Picture("b.png", (Plate(BOX, "B456BB01"),)))
    two = make(
        tmp_path / "two", Picture("a.png", (Plate(BOX, "A123AA77"),)), Picture("b.png", (Plate(BOX, "X456BB01"),))
    )
    merged = merge([one, two], tmp_path / "out", near=4)

    assert merged.duplicates == [("two/a.png", "one/a.png", 0)]
    assert sorted(picture.file for picture in merged.dataset.pictures) == ["one/b.png", "two/a.png", "two/b.png"]
    assert merged.counts == {"one": 2, "two": 2}


cars = st.lists(
    st.builds(
        Picture,
        file=st.from_regex(r"[a-c]_[0-9]{1,6}\.jpg", fullmatch=True),
        plates=st.lists(st.sampled_from(["A123BC77", "A12#BC77", "K456MH99", ""]), max_size=2).map(
            lambda found: tuple(Plate(BOX, text) for text in found)
        ),
        group=st.sampled_from(["", "", "g1", "g2"]),
    ),
    max_size=30,
    unique_by=lambda one: one.file,
)


@given(cars, st.integers(0, 9), st.sampled_from(["", "^([a-c])_"]))
def test_no_vehicle_is_in_two_splits_and_the_order_does_not_matter(pictures: list[Picture], seed: int, by: str) -> None:
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    done = assigned(pictures, shares, seed, by)

    assert leaks(done, by) == []
    for text in ("A123BC77", "K456MH99"):
        assert len({one.split for one in done if any(plate.text == text for plate in one.plates)}) <= 1
    assert {one.file: one.split for one in assigned(pictures[::-1], shares, seed, by)} == {
        one.file: one.split for one in done
    }


def test_shares_are_kept_and_another_seed_is_another_split() -> None:
    pictures = [Picture(f"{number}.jpg", (Plate(BOX, f"A{number:03}BC77"),)) for number in range(200)]
    shares = {"train": 0.8, "val": 0.1, "test": 0.1}
    done = assigned(pictures, shares, 0)

    assert [sum(one.split == name for one in done) for name in shares] == [160, 20, 20]
    assert done != assigned(pictures, shares, 1)
    assert len(vehicles(pictures)) == 200


# ---- checks ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "good"),
    [("BCDF12", True), ("AB1234", True), ("BC#F12", True), ("BCDF1", False), ("AEIO12", False), ("XBCDF12", False)],
)
def test_texts_are_checked_as_a_whole(text: str, good: bool) -> None:
    assert valid(text, compiled(CHILE)) is good


def test_width_by_height_tells_rows() -> None:
    kinds = [shape(Plate((0.0, 0.0, width, 20.0))) for width in (90.0, 46.0, 30.0)]
    assert kinds == ["one row", "unclear", "two rows"]


# ---- typing texts ----------------------------------------------------------------


def test_typed_texts_are_on_the_disk_at_once_and_there_again_later(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        cv2.imwrite(str(tmp_path / name), picture(1))
    labelling = Labelling(tmp_path)
    assert labelling.put(1, "k-456 mh 99") == "K456MH99"

    assert (tmp_path / "labels.csv").read_text() == "file,text\nb.png,K456MH99\n"
    assert Labelling(tmp_path).texts() == ["", "K456MH99"]
    labelling.put(1, "")
    assert (tmp_path / "labels.csv").read_text() == "file,text\n"


def test_earlier_work_of_labelerjs_is_taken_over_and_a_broken_line_is_not_lost(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    (tmp_path / "annotations.txt").write_text("a.png K456MH99\n")
    assert Labelling(tmp_path).texts() == ["K456MH99"]

    (tmp_path / "annotations.txt").write_text("a.png K456MH99\nb.png\n")
    with pytest.raises(DataError, match=r"annotations\.txt, line 2"):
        Labelling(tmp_path)


def test_plates_of_a_folder_in_our_layout_are_typed_into_its_table(tmp_path: Path) -> None:
    make(tmp_path, Picture("a.png", (Plate(BOX), Plate((90, 30, 50, 20), "K456MH99"))), Picture("none.png"))
    labelling = Labelling(tmp_path)
    labelling.put(0, "A123BC77")

    assert len(labelling) == 2
    assert labelling.image(0).shape[:2] == (22, 78)
    assert [plate.text for plate in load(tmp_path).pictures[0].plates] == ["A123BC77", "K456MH99"]

"""Photos as the frames of a clip: every kind and colour mode, gaps, other sizes, and frames made narrower."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from services.inference.decode import STOPPED, Decoder
from services.inference.decode_media import Timeline
from services.inference.decode_wire import Limits
from services.runtime.errors import Reject
from tests.support.video import Image, number_of, striped, write_clip


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    with Decoder(threads=1) as decoder:
        yield decoder


def save(path: Path, image: Image, mode: str = "RGB", **options: Any) -> Path:
    Pillow.fromarray(image[:, :, ::-1]).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize("kind", ["jpg", "jpeg", "png", "bmp", "webp"])
def test_every_kind_of_photo_is_a_frame(kind: str, decoder: Decoder, tmp_path: Path) -> None:
    photo = save(tmp_path / f"Фото 1.{kind}", striped(77))

    (frame,) = decoder.open_photos([photo], photo_ms=40)
    assert (number_of(frame.image), frame.time_ms) == (77, 0)
    assert frame.image.shape == striped(77).shape


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("L", "png"), ("LA", "png"), ("P", "png"), ("RGBA", "webp"), ("1", "png"), ("CMYK", "jpg"), ("I;16", "png")],
)
def test_any_colour_mode_becomes_bgr(mode: str, kind: str, decoder: Decoder, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{kind}"
    if mode == "I;16":
        Pillow.fromarray(striped(77)[:, :, 0].astype(np.uint16) * 257).save(path)
    else:
        save(path, striped(77), mode)

    (frame,) = decoder.open_photos([path], photo_ms=40)
    assert frame.image.shape == striped(77).shape
    assert number_of(frame.image) == 77


def test_what_is_transparent_is_white_and_colours_are_blue_green_red(decoder: Decoder, tmp_path: Path) -> None:
    Pillow.new("RGBA", (64, 48), (200, 10, 10, 0)).save(tmp_path / "clear.png")
    Pillow.new("RGB", (64, 48), (200, 100, 10)).save(tmp_path / "orange.png")

    clear, orange = decoder.open_photos([tmp_path / "clear.png", tmp_path / "orange.png"], photo_ms=40)
    assert clear.image[5, 5].tolist() == [255, 255, 255]
    assert orange.image[5, 5].tolist() == [10, 100, 200]


def test_a_photo_lying_on_its_side_is_turned_as_its_camera_noted(decoder: Decoder, tmp_path: Path) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turn by 90 degrees, clockwise
    lying = np.ascontiguousarray(np.rot90(striped(77)))
    photo = save(tmp_path / "phone.jpg", lying, exif=exif, quality=95)

    (frame,) = decoder.open_photos([photo], photo_ms=40)
    assert number_of(frame.image) == 77


def test_a_photo_that_cannot_be_read_is_a_named_gap(decoder: Decoder, tmp_path: Path) -> None:
    photos = [save(tmp_path / f"{k}.png", striped(k)) for k in range(4)]
    photos[1].write_bytes(b"no picture")
    photos[2].write_bytes(photos[3].read_bytes()[:60])
    frames = decoder.open_photos(photos, photo_ms=500)

    assert [(number_of(one.image), one.time_ms) for one in frames] == [(0, 0), (3, 1500)]
    assert frames.end is not None
    assert "1.png (no JPEG, PNG, BMP or WebP picture)" in frames.end.note and "2.png (broken" in frames.end.note
    assert frames.end.duration_ms == 2000


def test_photos_of_another_size_are_left_for_a_clip_of_their_own(decoder: Decoder, tmp_path: Path) -> None:
    large = [save(tmp_path / f"{k}.png", striped(k)) for k in range(2)]
    small = save(tmp_path / "small.png", striped(9)[:32, :32])
    frames = decoder.open_photos([*large, small, small], photo_ms=40)

    assert len(list(frames)) == 2
    assert frames.end is not None
    assert (frames.end.rest, frames.end.duration_ms) == (2, 80)


def test_photos_of_which_none_can_be_read_are_undecodable_and_a_huge_one_is_not_opened(tmp_path: Path) -> None:
    photo = save(tmp_path / "a.png", striped(1))
    with Decoder(Limits(max_pixels=100), threads=1) as decoder, pytest.raises(Reject, match="exceed the limit of 100"):
        list(decoder.open_photos([photo], photo_ms=40))


def test_frames_and_photos_are_made_no_wider_than_asked(decoder: Decoder, tmp_path: Path) -> None:
    height, width = striped(1).shape[:2]
    video = write_clip(tmp_path / "a.mp4", [(k * 40, striped(k)) for k in range(3)])
    photo = save(tmp_path / "a.png", striped(1))

    for frames in (
        decoder.open(video, 0, max_width=width // 2),
        decoder.open_photos([photo], 40, max_width=width // 2),
    ):
        assert {frame.image.shape[:2] for frame in frames} == {(height // 2, width // 2)}
    (wide,) = decoder.open_photos([photo], 40, max_width=10_000)
    assert wide.image.shape[1] == width


def test_a_clip_can_be_taken_up_again_in_the_middle(decoder: Decoder, tmp_path: Path) -> None:
    video = write_clip(tmp_path / "a.mp4", [(k * 100, striped(k)) for k in range(10)])
    first, seen = decoder.open(video, 0), 0
    first.stopped = lambda: seen >= 4
    for _ in first:
        seen += 1
    assert first.end is not None and first.end.note == STOPPED

    rest = [number_of(frame.image) for frame in decoder.open(video, 0, from_ms=first.end.duration_ms + 1)]
    assert rest == list(range(seen, 10))


class Untimed:
    """A frame whose container does not say when it is shown."""

    def __init__(self, pts: int | None = None) -> None:
        self.pts = pts
        self.duration = 0


def test_frames_without_a_time_are_25_a_second_until_one_has_a_time() -> None:
    timeline, base = Timeline(), Fraction(1, 1000)

    assert [timeline.add(Untimed(), base) for _ in range(4)] == [0, 40, 80, 120]
    assert [timeline.add(Untimed(5000 + k * 40), base) for k in range(2)] == [160, 200]
    assert timeline.duration_ms == 240

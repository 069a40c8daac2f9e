"""Plates of one row that begin with small characters in two rows, as many in India and some in America do.

In come a painter and a text, out comes paint. "/" parts the upper from the lower small characters, the first blank
behind it parts those from the large ones: "KA09/MA 2662"; without a blank one character stands below. Of the rows of
the plate's text the upper is what stands above, the lower all the rest, so that both together are read in order.
"""

from __future__ import annotations

from dataclasses import replace

from services.inference.training.marks import badge_letters, band, screws
from services.inference.training.painter import Painter
from services.inference.training.tworow import rows_of

_WIDEST = 0.42  # of the plate, for the small characters


def stacked(paint: Painter, text: str) -> None:
    """Small characters left, large ones beside them, a band before both now and then."""
    above, rest = rows_of(text)
    below, number = rest.split(" ", 1) if " " in rest else (rest[:1], rest[1:])
    wide, high = paint.size
    left = wide * paint.between(0.02, 0.04)
    if paint.chance(0.15):
        paint.scenery(paint.between(0.05, 0.3))
    if paint.chance(0.5):
        left = wide * paint.between(0.07, 0.1)
        band(paint, 0, left, high, "IND" if paint.chance(0.5) else badge_letters(paint))
        left += wide * 0.02
    if paint.chance(0.6):
        paint.frame(high * paint.between(0, 0.03), high * paint.between(0.01, 0.035))
    small = paint.between(0.24, 0.34) * high
    how = paint.lettering(small, small * paint.between(0.06, 0.2), paint.between(0.8, 1.2))
    right = left + min(max(how.room(above), how.room(below)), wide * _WIDEST)
    middle, apart = high * paint.between(0.47, 0.53), high * paint.between(0.03, 0.07)
    paint.row(above, left, right, middle - apart, how)
    paint.row(below, left, right, middle + apart + small, how)
    size = paint.between(0.5, 0.74) * high
    large = replace(how, height=size, gap=size * paint.between(0.05, 0.16), squeeze=paint.between(0.75, 1.1))
    paint.row(number, right + wide * paint.between(0.02, 0.08), wide * 0.97, middle + size / 2, large)
    screws(paint)

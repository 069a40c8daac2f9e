"""How pictures look: colours on a light or a dark page, and text that can be read at any size of the picture.

Text grows with a picture that is wider than `NATURAL` pixels, and shrinks slower than one that is narrower; titles
break into lines where they are too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties

Tone = Literal["light", "dark"]
NATURAL = 1350
"""Pixels across at which text has its natural size."""
DPI = 130
NARROWEST, WIDEST = 300, 16_000
BIG, SMALL = 14.0, 10.0
"""Points of a title, and of the facts below it."""
LINE = 1.35
"""Height of a line of text, in its size."""


@dataclass(frozen=True, slots=True)
class Style:
    ink: str
    pale_ink: str
    paper: str
    field: str
    """Where nothing was counted."""
    area: str
    """Outline of the smallest rectangle: a hue that the scale of colours has not."""
    shape: str
    """Outline of the smallest polygon, likewise."""
    colours: Colormap
    difference: Colormap
    """From less over none to more."""
    fade: tuple[float, float]
    """What a background becomes: darkest grey, and how much of its contrast is left."""

    def applied(self, size: float = 11) -> AbstractContextManager[None]:
        """Text and lines drawn within have these colours; ``size``: points of text that has none of its own."""
        names = ("axes.edgecolor", "text.color", "axes.labelcolor", "xtick.color", "ytick.color")
        settings: Any = {"font.size": size, **dict.fromkeys(names, self.ink)}
        return mpl.rc_context(settings)

    def faded(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Grey, so that only the heat has colour, and pale (or dark), so that it shows. RGB (height, width, 3)."""
        grey = frame.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
        low, contrast = self.fade
        return np.repeat(np.clip(low + grey * contrast, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)


def _part(low: float, high: float) -> Colormap:
    """A part of inferno: its ends would be lost on a page that is as pale or as dark."""
    return LinearSegmentedColormap.from_list("heat", mpl.colormaps["inferno"](np.linspace(low, high, 256)))


def _difference(less: str, none: str, more: str) -> Colormap:
    return LinearSegmentedColormap.from_list("difference", [less, none, more])


LIGHT = Style(
    ink="#1b2333", pale_ink="#5a6475", paper="#ffffff", field="#eef1f6", area="#0f8a5f", shape="#1668d6",
    colours=_part(0.12, 0.9), difference=_difference("#1d5fa8", "#f4f5f7", "#b8302a"), fade=(110, 0.55),
)  # fmt: skip
DARK = Style(
    ink="#eef2f8", pale_ink="#a3aec0", paper="#12161f", field="#1d2430", area="#3fe0a0", shape="#6cb6ff",
    colours=_part(0.3, 1.0), difference=_difference("#5aa9ff", "#2a3140", "#ff7a5c"), fade=(18, 0.42),
)  # fmt: skip
STYLES: dict[Tone, Style] = {"light": LIGHT, "dark": DARK}


@dataclass(frozen=True, slots=True)
class Page:
    """The size of a picture: pixels across, and the inches that they are at its resolution."""

    width: int
    natural: int = NATURAL
    """Pixels across at which text has its natural size: more, where several grids lie beside each other."""

    @property
    def dpi(self) -> float:
        part = self.width / self.natural
        return DPI * (part if part > 1 else part**0.5)

    @property
    def inches(self) -> float:
        return self.width / self.dpi

    def lines(self, text: str | Sequence[str], inches: float, size: float, bold: bool = False) -> list[str]:
        """Text in lines that are at most that wide; a list breaks between its items. ``size``: points."""
        words, between = (text.split(" "), " ") if isinstance(text, str) else (list(text), "   ·   ")
        lines = words[:1]
        for word in words[1:]:
            longer = f"{lines[-1]}{between}{word}"
            if self._wide(longer, size, bold) <= inches:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines

    def _wide(self, text: str, size: float, bold: bool) -> float:
        canvas: Any = FigureCanvasAgg(Figure(dpi=self.dpi))
        font = FontProperties(size=size, weight="bold" if bold else "normal")
        return float(canvas.get_renderer().get_text_width_height_descent(text, font, False)[0]) / self.dpi

    def figure(self, height: float, style: Style) -> Figure:
        """``height``: inches."""
        figure = Figure(figsize=(self.inches, height), dpi=self.dpi, facecolor=style.paper)
        FigureCanvasAgg(figure)
        return figure


@dataclass(frozen=True, slots=True)
class Heading:
    """A title and facts, broken into lines for a page."""

    title: list[str]
    facts: list[str]

    @property
    def height(self) -> float:
        """Inches."""
        return (len(self.title) * BIG + len(self.facts) * SMALL) * LINE / 72

    def draw(self, figure: Figure, left: float, top: float, style: Style) -> None:
        """``left``, ``top``: inches from the figure's left and upper edge."""
        wide, high = figure.get_size_inches()
        looks = [(line, BIG, "bold", style.ink) for line in self.title]
        for line, size, weight, colour in looks + [(line, SMALL, "normal", style.pale_ink) for line in self.facts]:
            figure.text(
                left / wide, 1 - top / high, line, fontsize=size, fontweight=weight, color=colour, va="top",
                parse_math=False,
            )  # fmt: skip
            top += size * LINE / 72


def heading(page: Page, title: str, facts: Sequence[str], inches: float) -> Heading:
    return Heading(page.lines(title, inches, BIG, bold=True), page.lines(facts, inches, SMALL) if facts else [])


def save(figure: Figure, out: Path) -> Path:
    """Writes a PNG in one go: who looks at it sees the former picture or this one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.tmp")
    try:
        figure.savefig(beside, format="png", dpi=figure.dpi, facecolor=figure.get_facecolor())
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    return out
